//! What an object asks for: its replicas and whether its pods require something, and how a share is written into it.
//!
//! Absent counts are those that the API server fills in before Karmada sees the object: 1 replica, parallelism 1.

use serde_json::Value;

/// An object whose replicas Karmada schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workload {
    /// How many it asks for.
    pub(super) replicas: i64,
    /// Whether its pods ask for resources or certain nodes. Without, and with 0 replicas, it is no workload to the scheduler.
    requires: bool,
    /// How many completions a Job asks for, where it says so.
    pub(super) completions: Option<i64>,
}

impl Workload {
    /// Reads what `object` asks for; none for kinds without replicas.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
        let kind = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let (replicas, pod) = match kind {
            ("apps/v1", "Deployment" | "ReplicaSet" | "StatefulSet") => (
                number("/spec/replicas").unwrap_or(1),
                object.pointer("/spec/template/spec"),
            ),
            ("batch/v1", "Job") => {
                let parallelism = number("/spec/parallelism").unwrap_or(1);
                let completions = number("/spec/completions");
                (
                    completions.map_or(parallelism, |completions| parallelism.min(completions)),
                    object.pointer("/spec/template/spec"),
                )
            }
            ("v1", "Pod") => (1, object.get("spec")),
            _ => return None,
        };
        Some(Self {
            replicas: replicas.max(0),
            requires: pod.is_some_and(requires),
            completions: match kind.1 {
                "Job" => number("/spec/completions"),
                _ => None,
            },
        })
    }

    /// Whether the scheduler divides it; else it goes to every selected cluster.
    pub(super) fn is_scheduled(&self) -> bool {
        self.replicas > 0 || self.requires
    }
}

/// Whether pods with this spec require resources, nodes or tolerations.
fn requires(pod: &Value) -> bool {
    let filled = |value: &Value| match value {
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    };
    let some = |pointer: &str| pod.pointer(pointer).is_some_and(filled);
    let affinity = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    some("/nodeSelector")
        || some("/tolerations")
        || some(affinity)
        || ["containers", "initContainers"].iter().any(|list| {
            let containers = pod[*list].as_array();
            containers.into_iter().flatten().any(|container| {
                filled(&container["resources"]["requests"])
                    || filled(&container["resources"]["limits"])
            })
        })
}

/// Writes a cluster's share into its manifest, where the field is present.
pub(super) fn revise(manifest: &mut Value, replicas: i64, completions: Option<i64>) {
    let field = match manifest["kind"].as_str() {
        Some("Deployment" | "ReplicaSet" | "StatefulSet") => "/spec/replicas",
        Some("Job") => "/spec/parallelism",
        _ => return,
    };
    if let Some(value) = manifest.pointer_mut(field) {
        *value = Value::from(replicas);
    }
    if let (Some(completions), Some(value)) =
        (completions, manifest.pointer_mut("/spec/completions"))
    {
        *value = Value::from(completions);
    }
}

/// The replicas that a rendered manifest asks for; `share` where it does not say.
pub(super) fn asked_for(manifest: &Value, share: i64) -> i64 {
    let field = match manifest["kind"].as_str() {
        Some("Deployment" | "ReplicaSet" | "StatefulSet") => "/spec/replicas",
        Some("Job") => "/spec/parallelism",
        _ => return share,
    };
    manifest
        .pointer(field)
        .and_then(Value::as_i64)
        .unwrap_or(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_ask_for_what_karmada_reads_in_them() {
        let deployment =
            |spec| json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
        let job = |spec| json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec});
        for (object, replicas) in [
            (deployment(json!({"replicas": 3})), Some(3)),
            (deployment(json!({})), Some(1)),
            (deployment(json!({"replicas": 0})), Some(0)),
            (job(json!({"parallelism": 5})), Some(5)),
            (job(json!({"parallelism": 5, "completions": 3})), Some(3)),
            (job(json!({})), Some(1)),
            (json!({"apiVersion": "v1", "kind": "Pod"}), Some(1)),
            (json!({"apiVersion": "apps/v1", "kind": "DaemonSet"}), None),
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), None),
            (
                json!({"apiVersion": "x.example/v1", "kind": "Deployment", "spec": {"replicas": 2}}),
                None,
            ),
        ] {
            assert_eq!(
                Workload::read(&object).map(|workload| workload.replicas),
                replicas,
                "{object}"
            );
        }
    }

    #[test]
    fn without_replicas_only_requirements_make_a_workload() {
        for (pod, expected) in [
            (json!({}), false),
            (json!({"containers": [{"resources": {}}]}), false),
            (
                json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]}),
                true,
            ),
            (
                json!({"initContainers": [{"resources": {"requests": {"cpu": "1"}}}]}),
                true,
            ),
            (json!({"nodeSelector": {"a": "b"}}), true),
            (json!({"tolerations": [{"operator": "Exists"}]}), true),
        ] {
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "spec": {"replicas": 0, "template": {"spec": pod}}});
            let workload = Workload::read(&object).expect("a workload");
            assert_eq!(workload.is_scheduled(), expected, "{object}");
        }
    }

    #[test]
    fn a_share_is_written_where_the_field_is_present() {
        for (mut manifest, expected) in [
            (
                json!({"kind": "Deployment", "spec": {"replicas": 9}}),
                json!({"replicas": 2}),
            ),
            (json!({"kind": "Deployment", "spec": {}}), json!({})),
            (
                json!({"kind": "Job", "spec": {"parallelism": 9, "completions": 9}}),
                json!({"parallelism": 2, "completions": 4}),
            ),
            (
                json!({"kind": "Pod", "spec": {"replicas": 9}}),
                json!({"replicas": 9}),
            ),
        ] {
            revise(&mut manifest, 2, Some(4));
            assert_eq!(manifest["spec"], expected);
        }
    }
}
