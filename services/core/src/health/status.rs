//! The fields of an object's status that travel back: per kind, as far as they fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Rules;
use crate::document::Document;
use crate::model::federated::Reported;

/// How many bytes of selected status travel back per object where nothing else is configured.
pub const LIMIT_BYTES: usize = 2_048;
/// The same where all of it, or what is summed up, is wanted: a Pod's status with two containers is half of it.
pub const WANTED_LIMIT_BYTES: usize = 8_192;

/// Selected fields of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Selected {
    /// The fields, where they stand below `status`.
    pub fields: Document,
    /// Fields that were selected and did not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// The copy's generation, where somebody wants to know whether its status is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether all of the status was wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
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

/// What the sum over all clusters is made of (`aggregatestatus.go` of Karmada's native interpreter); `None` for kinds that are not summed up.
fn summed(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    Some(match (group, kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("", "Service") => {
            selection(group, kind)
        }
        ("networking.k8s.io", "Ingress") => selection(group, kind),
        ("batch", "Job") => &[
            "active",
            "succeeded",
            "failed",
            "startTime",
            "completionTime",
            "conditions",
        ],
        ("batch", "CronJob") => &["active", "lastScheduleTime", "lastSuccessfulTime"],
        ("", "Pod") => &["phase", "containerStatuses"],
        ("", "PersistentVolume" | "PersistentVolumeClaim") => &["phase"],
        ("policy", "PodDisruptionBudget") => &[
            "currentHealthy",
            "desiredHealthy",
            "expectedPods",
            "disruptionsAllowed",
            "disruptedPods",
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => &["currentReplicas", "desiredReplicas"],
        _ => return None,
    })
}

/// Whether objects of a kind have a status that is summed up over all clusters.
pub fn is_summed(group: &str, kind: &str) -> bool {
    summed(group, kind).is_some()
}

/// The fields of `live` that are to be `reported` and fit into `limit_bytes`, each whole or not at all; none where there are none, or where the limit is 0.
pub fn select(
    live: &Value,
    rules: &Rules,
    reported: Reported,
    limit_bytes: usize,
) -> Option<Selected> {
    let status = live["status"].as_object().filter(|_| limit_bytes > 0)?;
    let (group, kind) = super::kind(live);
    let named = |fields: &[&str]| -> Vec<String> {
        let fields = fields.iter();
        fields.map(|field| format!("/status/{field}")).collect()
    };
    let summed = summed(group, kind).filter(|_| reported == Reported::Summed);
    let pointers: Vec<String> = match (reported, summed, rules.status(live)) {
        (Reported::Whole, _, _) => {
            let fields = status.keys();
            let pointer = |field: &String| field.replace('~', "~0").replace('/', "~1");
            fields
                .map(|field| format!("/status/{}", pointer(field)))
                .collect()
        }
        (_, Some(fields), _) => named(fields),
        (_, None, Some(pointers)) => pointers.to_vec(),
        (_, None, None) => named(selection(group, kind)),
    };
    let is_wanted = reported != Reported::Selected;
    let limit_bytes = match is_wanted {
        true => limit_bytes.max(WANTED_LIMIT_BYTES),
        false => limit_bytes,
    };
    let mut fields = Value::Object(Map::new());
    let mut omitted = Vec::new();
    for pointer in pointers {
        let Some(found) = live.pointer(&pointer).filter(|found| !found.is_null()) else {
            continue;
        };
        let below = pointer.trim_start_matches("/status/");
        let mut longer = fields.clone();
        let found = match (reported, below) {
            (Reported::Whole, _) => found.clone(),
            (Reported::Summed, "containerStatuses") => containers(found),
            (Reported::Summed | Reported::Selected, _) => brief(below, found),
        };
        put(&mut longer, below, found);
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
        generation: live["metadata"]["generation"]
            .as_u64()
            .filter(|_| is_wanted),
        whole: reported == Reported::Whole,
    })
}

/// Containers as far as they are summed up: whether each is ready, and its state.
fn containers(found: &Value) -> Value {
    let containers = found.as_array().into_iter().flatten();
    let containers =
        containers.map(|one| json!({"ready": one["ready"] == true, "state": one["state"]}));
    containers.collect()
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
