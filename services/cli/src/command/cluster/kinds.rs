//! The kinds that an agent may change, as they are typed, as rules of RBAC.

use std::collections::BTreeMap;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::failure::Failure;

/// What an agent does with what is placed: server-side apply is `patch`, and `create` where the object is not there yet; health and drift come from a watch.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// The kinds that an agent may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Those that `compose/agent-rbac.yaml` names.
    Usual,
    /// Any that there is.
    All,
    /// These: resources by group, the core group is empty.
    Named(BTreeMap<String, Vec<String>>),
}

impl Kinds {
    /// Reads what was typed: `Deployment.apps` as in a manifest, `deployments.apps` as kubectl has it, or `all`.
    pub(super) fn read(texts: &[String]) -> Result<Self, Failure> {
        match texts {
            [] => return Ok(Self::Usual),
            [all] if all == "all" => return Ok(Self::All),
            _ => {}
        }
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let (kind, group) = text.split_once('.').unwrap_or((text, ""));
            let plain = |text: &str, more: &str| {
                text.chars()
                    .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            if kind.is_empty() || !plain(kind, "") || !plain(group, "-.") || text == "all" {
                return Err(Failure::Usage(format!(
                    "--kinds: {text:?} is no kind: Deployment.apps, deployments.apps or ConfigMap, with the group but without a version; or all, alone"
                )));
            }
            let resource = match kind.starts_with(|first: char| first.is_ascii_uppercase()) {
                true => ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)).plural,
                false => kind.to_owned(),
            };
            let resources = named.entry(group.to_owned()).or_default();
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
        Ok(Self::Named(named))
    }

    /// The rules of the ClusterRole in place of `usual`; those that only list are no kinds that are placed, and stay.
    pub(super) fn rules(&self, usual: &Value) -> Value {
        match self {
            Self::Usual => usual.clone(),
            Self::All => json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": VERBS}]),
            Self::Named(named) => {
                let rules = usual.as_array().into_iter().flatten();
                let mut rules: Vec<Value> = rules
                    .filter(|rule| rule["verbs"] == json!(["list"]))
                    .cloned()
                    .collect();
                for (group, resources) in named {
                    rules.push(
                        json!({"apiGroups": [group], "resources": resources, "verbs": VERBS}),
                    );
                }
                json!(rules)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Kinds, Failure> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Kinds::read(&texts)
    }

    #[test]
    fn kinds_are_read_as_manifests_and_as_kubectl_have_them() {
        assert_eq!(read(&[]).expect("usual"), Kinds::Usual);
        assert_eq!(read(&["all"]).expect("all"), Kinds::All);
        let Ok(Kinds::Named(named)) = read(&[
            "Deployment.apps",
            "deployments.apps",
            "Ingress.networking.k8s.io",
            "NetworkPolicy.networking.k8s.io",
            "ConfigMap",
            "widgets.example.com",
        ]) else {
            panic!("kinds")
        };
        let named: Vec<(String, String)> = named
            .into_iter()
            .map(|(group, resources)| (group, resources.join(" ")))
            .collect();
        let row = |group: &str, resources: &str| (group.to_owned(), resources.to_owned());
        assert_eq!(
            named,
            [
                row("", "configmaps"),
                row("apps", "deployments"),
                row("example.com", "widgets"),
                row("networking.k8s.io", "ingresses networkpolicies"),
            ]
        );
        for wrong in [
            &["*"][..],
            &["all", "ConfigMap"],
            &[""],
            &["apps/Deployment"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_is_named_may_be_changed() {
        let usual = json!([
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": VERBS},
        ]);
        assert_eq!(Kinds::Usual.rules(&usual), usual);
        let named = read(&["ConfigMap"]).expect("a kind").rules(&usual);
        assert_eq!(
            named,
            json!([usual[0], {"apiGroups": [""], "resources": ["configmaps"], "verbs": VERBS}])
        );
        assert_eq!(Kinds::All.rules(&usual)[0]["resources"], json!(["*"]));
    }
}
