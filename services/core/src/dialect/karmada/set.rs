//! Everything in Karmada's words among what was handed in.

use serde_json::Value;

use crate::Refusal;
use crate::document::Document;
use crate::field::Field;
use crate::model::ObjectKey;
use crate::time::Time;

use super::overriders::{OverridePolicy, ReadYaml};
use super::policy::PropagationPolicy;

/// The group and version of Karmada's policies.
pub const API_VERSION: &str = "policy.karmada.io/v1alpha1";

/// The policies that were handed in.
#[derive(Debug, Clone, Default)]
pub struct Set {
    pub(super) policies: Vec<PropagationPolicy>,
    pub(super) overrides: Vec<OverridePolicy>,
    read_yaml: Option<ReadYaml>,
}

impl Set {
    /// An empty set that can patch YAML inside strings (`fieldOverrider.yaml`) with the parser `read_yaml`.
    pub fn with_yaml(read_yaml: ReadYaml) -> Self {
        Self {
            read_yaml: Some(read_yaml),
            ..Self::default()
        }
    }

    /// Those of Karmada's among the `policies` of the log, each with since when it is there.
    pub fn of_log<'a>(
        read_yaml: Option<ReadYaml>,
        policies: impl Iterator<Item = (&'a ObjectKey, &'a Document, Time)>,
    ) -> Self {
        let mut set = Self {
            read_yaml,
            ..Self::default()
        };
        for (key, document, born) in policies {
            if let Ok(document) = document.value()
                && Self::is_policy(&document)
                // It was read when it was taken in; what a later version cannot read any more selects nothing.
                && set.add_policy(&document).is_ok()
            {
                set.created(key, &born.rfc3339());
            }
        }
        set
    }

    /// Whether a document is one of Karmada's policies.
    pub fn is_policy(document: &Value) -> bool {
        document["apiVersion"] == API_VERSION
            && matches!(
                document["kind"].as_str(),
                Some(
                    "PropagationPolicy"
                        | "ClusterPropagationPolicy"
                        | "OverridePolicy"
                        | "ClusterOverridePolicy"
                )
            )
    }

    /// Takes a policy in; a later one of the same kind, namespace and name replaces the earlier, as an apply would.
    ///
    /// # Errors
    /// Refuses what Karmada's API server or webhook would refuse, naming the field.
    pub fn add_policy(&mut self, document: &Value) -> Result<(), Refusal> {
        let kind = Field::root(document).get("kind");
        match kind.string()? {
            name @ ("PropagationPolicy" | "ClusterPropagationPolicy") => {
                let new = PropagationPolicy::read(document, name == "PropagationPolicy")?;
                self.policies
                    .retain(|old| (&old.namespace, &old.name) != (&new.namespace, &new.name));
                self.policies.push(new);
            }
            name @ ("OverridePolicy" | "ClusterOverridePolicy") => {
                let new = OverridePolicy::read(document, name == "OverridePolicy")?;
                self.overrides
                    .retain(|old| (&old.namespace, &old.name) != (&new.namespace, &new.name));
                self.overrides.push(new);
            }
            other => return Err(kind.refuse(format!("{other} is none of Karmada's policies"))),
        }
        Ok(())
    }

    /// Says since when the policy `key` is there, where its document does not.
    fn created(&mut self, key: &ObjectKey, created: &str) {
        for policy in &mut self.policies {
            if policy.created.is_none() && policy.key() == *key {
                policy.created = Some(created.to_owned());
            }
        }
    }

    /// Whether there is no policy at all.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.overrides.is_empty()
    }

    pub(super) fn read_yaml(&self) -> Option<ReadYaml> {
        self.read_yaml
    }

    /// Whether a namespaced policy selects objects of a kind, which therefore live in namespaces.
    pub(super) fn selects_as_namespaced(&self, api_version: &str, kind: &str) -> bool {
        let propagated = self
            .policies
            .iter()
            .filter(|policy| policy.namespace.is_some())
            .flat_map(|policy| &policy.selectors);
        let overridden = self
            .overrides
            .iter()
            .filter(|policy| policy.namespace.is_some())
            .flat_map(|policy| &policy.selectors);
        propagated
            .chain(overridden)
            .any(|selector| selector.api_version == api_version && selector.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(kind: &str, name: &str, priority: i64) -> Value {
        json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name},
            "spec": {"priority": priority, "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}]}})
    }

    #[test]
    fn policies_are_told_from_other_documents() {
        for (document, expected) in [
            (policy("PropagationPolicy", "p", 0), true),
            (policy("ClusterOverridePolicy", "p", 0), true),
            (policy("FederatedResourceQuota", "p", 0), false),
            (
                json!({"apiVersion": "apps/v1", "kind": "PropagationPolicy"}),
                false,
            ),
            (json!("text"), false),
        ] {
            assert_eq!(Set::is_policy(&document), expected, "{document}");
        }
    }

    #[test]
    fn a_later_policy_of_the_same_name_replaces_the_earlier() {
        let mut set = Set::default();
        assert!(set.is_empty());
        for (kind, priority) in [
            ("PropagationPolicy", 1),
            ("ClusterPropagationPolicy", 2),
            ("PropagationPolicy", 3),
        ] {
            set.add_policy(&policy(kind, "p", priority)).expect("valid");
        }
        let priorities: Vec<_> = set.policies.iter().map(|policy| policy.priority).collect();
        assert_eq!(priorities, [2, 3]);
    }
}
