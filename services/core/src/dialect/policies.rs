//! Policies as documents of their own: what places or changes other objects, Karmada's four kinds and KubeFed's preference, and what lets removals go that
//! wait ([`Confirmation`]).
//!
//! They stand in the log under keys of their own, with revisions of their own; the dialects say what they mean.

use serde_json::Value;

use super::karmada::{Set, names};
use super::kubefed::preference::{self, Preference};
use crate::Refusal;
use crate::confirmation::Confirmation;
use crate::field::Field;
use crate::model::{Dialect, ObjectKey};

/// The group of KubeFed's preference.
const PREFERENCE_GROUP: &str = "scheduling.kubefed.io";
/// The kind of KubeFed's preference.
const PREFERENCE: &str = "ReplicaSchedulingPreference";

/// Whether `key` is a policy's.
pub fn is_policy(key: &ObjectKey) -> bool {
    match key.group() {
        names::GROUP => matches!(
            key.kind(),
            "PropagationPolicy"
                | "ClusterPropagationPolicy"
                | "OverridePolicy"
                | "ClusterOverridePolicy"
        ),
        PREFERENCE_GROUP => key.kind() == PREFERENCE,
        _ => Confirmation::is_key(key),
    }
}

/// Reads a policy as far as to know that it can be read; none where the document is none.
pub fn read(document: &Value) -> Option<Result<(Dialect, ObjectKey), Refusal>> {
    if Set::is_policy(document) {
        let read = Set::default().add_policy(document);
        return Some(read.and_then(|()| Ok((Dialect::Karmada, key(document, names::GROUP)?))));
    }
    if Confirmation::is_one(document) {
        let read = Confirmation::read(document);
        return Some(read.and_then(|read| Ok((Dialect::Native, Confirmation::key(&read.id)?))));
    }
    let is_preference =
        document["apiVersion"] == preference::API_VERSION && document["kind"] == PREFERENCE;
    is_preference.then(|| {
        Preference::read(document)?;
        Ok((Dialect::Kubefed, key(document, PREFERENCE_GROUP)?))
    })
}

fn key(document: &Value, group: &str) -> Result<ObjectKey, Refusal> {
    let root = Field::root(document);
    let kind = root.get("kind").string()?;
    let metadata = root.get("metadata");
    let namespace = metadata.get("namespace").optional_string()?;
    let namespace = match kind.starts_with("Cluster") {
        true => None,
        false => Some(namespace.filter(|n| !n.is_empty()).unwrap_or("default")),
    };
    ObjectKey::new(kind, group, namespace, metadata.get("name").string()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_are_known_by_their_documents_and_by_their_keys() {
        let selectors = json!([{"apiVersion": "v1", "kind": "ConfigMap"}]);
        for (document, expected) in [
            (
                json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "p"},
                    "spec": {"resourceSelectors": selectors}}),
                "PropagationPolicy.policy.karmada.io/default/p",
            ),
            (
                json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "ClusterOverridePolicy", "metadata": {"name": "p"}, "spec": {}}),
                "ClusterOverridePolicy.policy.karmada.io/p",
            ),
            (
                json!({"apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
                    "metadata": {"name": "web", "namespace": "shop"}, "spec": {"targetKind": "FederatedDeployment", "totalReplicas": 3}}),
                "ReplicaSchedulingPreference.scheduling.kubefed.io/shop/web",
            ),
        ] {
            let (_, key) = read(&document).expect("a policy").expect("valid");
            assert_eq!(key.to_string(), expected);
            assert!(is_policy(&key), "{key}");
        }
        let deployment =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        assert_eq!(read(&deployment), None);
        assert!(!is_policy(
            &"Deployment.apps/shop/web".parse().expect("valid")
        ));
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_refused_with_its_field() {
        let document = json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "p"}, "spec": {"resourceSelectors": []}});
        let refusal = read(&document).expect("a policy").expect_err("refused");
        assert_eq!(refusal.field, "spec.resourceSelectors");
    }
}
