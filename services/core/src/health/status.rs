//! The fields of an object's status that travel back: per kind, as far as they fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Rules;
use crate::document::Document;

/// How many bytes of selected status travel back per object where nothing else is configured.
pub const LIMIT_BYTES: usize = 2_048;

/// Selected fields of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Selected {
    /// The fields, where they stand below `status`.
    pub fields: Document,
    /// Fields that were selected and did not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
}

/// What is selected of the kinds that we know, below `/status`: what Karmada's interpreters reflect (`reflectstatus.go`).
fn selection(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "Deployment") => &[
            "replicas",
            "readyReplicas",
            "updatedReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "observedGeneration",
        ],
        ("apps", "StatefulSet") => &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
        ],
        ("apps", "DaemonSet") => &[
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberReady",
            "numberAvailable",
            "numberUnavailable",
            "numberMisscheduled",
            "observedGeneration",
        ],
        ("apps", "ReplicaSet") => &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
        ],
        ("batch", "Job") => &[
            "active",
            "succeeded",
            "failed",
            "startTime",
            "completionTime",
        ],
        ("batch", "CronJob") => &["lastScheduleTime", "lastSuccessfulTime"],
        ("", "Pod") => &["phase", "podIP", "startTime"],
        ("", "Service") | ("networking.k8s.io", "Ingress") => &["loadBalancer"],
        ("", "PersistentVolumeClaim") => &["phase", "capacity", "accessModes"],
        ("policy", "PodDisruptionBudget") => &[
            "currentHealthy",
            "desiredHealthy",
            "expectedPods",
            "disruptionsAllowed",
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => {
            &["currentReplicas", "desiredReplicas", "lastScaleTime"]
        }
        ("", "Namespace") => &["phase"],
        _ => &[
            "phase",
            "replicas",
            "readyReplicas",
            "observedGeneration",
            "conditions",
        ],
    }
}

/// The selected fields of `live` that fit into `limit_bytes`, each whole or not at all; none where there are none, or where the limit is 0.
pub fn select(live: &Value, rules: &Rules, limit_bytes: usize) -> Option<Selected> {
    if limit_bytes == 0 || !live["status"].is_object() {
        return None;
    }
    let (group, kind) = super::kind(live);
    let pointers: Vec<String> = match rules.status(live) {
        Some(pointers) => pointers.to_vec(),
        None => selection(group, kind)
            .iter()
            .map(|field| format!("/status/{field}"))
            .collect(),
    };
    let mut fields = Value::Object(Map::new());
    let mut omitted = Vec::new();
    for pointer in pointers {
        let Some(found) = live.pointer(&pointer).filter(|found| !found.is_null()) else {
            continue;
        };
        let below = pointer.trim_start_matches("/status/");
        let mut longer = fields.clone();
        put(&mut longer, below, brief(below, found));
        if longer.to_string().len() <= limit_bytes {
            fields = longer;
        } else {
            omitted.push(below.to_owned());
        }
    }
    let is_empty = fields.as_object().is_some_and(Map::is_empty);
    (!is_empty || !omitted.is_empty()).then(|| Selected {
        fields: Document::from_value(&fields),
        omitted,
    })
}

/// Conditions without what a person does not look for, and what changes without meaning anything (heartbeat times).
fn brief(field: &str, found: &Value) -> Value {
    let Some(conditions) = found.as_array().filter(|_| field == "conditions") else {
        return found.clone();
    };
    let conditions = conditions.iter().map(|condition| {
        let kept = ["type", "status", "reason"]
            .into_iter()
            .filter_map(|field| {
                let value = condition.get(field)?;
                Some((field.to_owned(), value.clone()))
            });
        Value::Object(kept.collect())
    });
    Value::Array(conditions.collect())
}

/// Sets what stands at `path` (steps of a JSON pointer without the first slash); an item of a list is put under its number.
fn put(fields: &mut Value, path: &str, value: Value) {
    let mut place = fields;
    for step in path.split('/') {
        let step = step.replace("~1", "/").replace("~0", "~");
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step];
    }
    *place = value;
}
