//! `scheduling.kubefed.io/v1alpha1 ReplicaSchedulingPreference`, read as it is.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::replicas::kubefed::{Schedule, Wish};

/// The apiVersion of KubeFed's scheduling preferences.
pub const API_VERSION: &str = "scheduling.kubefed.io/v1alpha1";

/// How KubeFed divides the replicas of the federated object of the same namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// `FederatedDeployment` or `FederatedReplicaSet`.
    pub target_kind: String,
    /// Its and the target's namespace.
    pub namespace: String,
    /// Its and the target's name.
    pub name: String,
    /// Whether only clusters of the target's own selector are considered.
    pub intersect_with_cluster_selector: bool,
    /// What is to be planned.
    pub schedule: Schedule,
}

impl Preference {
    /// Reads a ReplicaSchedulingPreference. Like KubeFed, it does not mind numbers that make no sense.
    ///
    /// # Errors
    /// Refuses what is malformed, and a target kind that KubeFed does not schedule.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let (metadata, spec) = (root.get("metadata"), root.get("spec"));
        let target = spec.get("targetKind");
        let target_kind = target.string()?;
        if !["FederatedDeployment", "FederatedReplicaSet"].contains(&target_kind) {
            return Err(target.refuse(format!(
                "{target_kind:?} is neither FederatedDeployment nor FederatedReplicaSet"
            )));
        }
        let flag = |key: &str| Ok::<_, Refusal>(spec.get(key).optional_bool()?.unwrap_or(false));
        let mut clusters = BTreeMap::new();
        for (name, wish) in spec.get("clusters").entries()? {
            let number = |key: &str| wish.get(key).optional_integer();
            let wish = Wish {
                min: number("minReplicas")?.unwrap_or(0),
                max: number("maxReplicas")?,
                weight: number("weight")?.unwrap_or(0),
            };
            clusters.insert(name.to_owned(), wish);
        }
        if clusters.is_empty() {
            let all_alike = Wish {
                weight: 1,
                ..Wish::default()
            };
            clusters.insert("*".to_owned(), all_alike);
        }
        let name = metadata.get("name").string()?;
        let namespace = metadata.get("namespace").optional_string()?;
        let namespace = namespace.unwrap_or("default");
        Ok(Self {
            target_kind: target_kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            intersect_with_cluster_selector: flag("intersectWithClusterSelector")?,
            schedule: Schedule {
                key: format!("{namespace}/{name}"),
                total: spec.get("totalReplicas").optional_integer()?.unwrap_or(0),
                rebalance: flag("rebalance")?,
                wishes: clusters,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_clusters_means_all_alike() {
        let document = |clusters: Value| {
            json!({
                "apiVersion": API_VERSION, "kind": "ReplicaSchedulingPreference",
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {"targetKind": "FederatedDeployment", "totalReplicas": 9, "clusters": clusters},
            })
        };
        let all_alike = Preference::read(&document(json!({}))).expect("valid");
        assert_eq!(
            all_alike.schedule.wish("any").map(|wish| wish.weight),
            Some(1)
        );
        let some = json!({"a": {"weight": 2, "minReplicas": 1, "maxReplicas": 3}});
        let some = Preference::read(&document(some)).expect("valid");
        let expected = Wish {
            min: 1,
            max: Some(3),
            weight: 2,
        };
        assert_eq!(
            (some.schedule.wish("a"), some.schedule.wish("b")),
            (Some(expected), None)
        );
    }

    #[test]
    fn what_kubefed_does_not_schedule_is_refused() {
        for (spec, field) in [
            (json!({"targetKind": "FederatedJob"}), "spec.targetKind"),
            (json!({}), "spec.targetKind"),
            (
                json!({"targetKind": "FederatedDeployment", "totalReplicas": "9"}),
                "spec.totalReplicas",
            ),
            (
                json!({"targetKind": "FederatedDeployment", "clusters": {"a": {"weight": 1.5}}}),
                "spec.clusters.a.weight",
            ),
            (
                json!({"targetKind": "FederatedDeployment", "rebalance": 1}),
                "spec.rebalance",
            ),
        ] {
            let document = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
            assert_eq!(Preference::read(&document).expect_err(field).field, field);
        }
    }
}
