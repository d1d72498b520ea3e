//! KubeFed's dialect: `types.kubefed.io/v1beta1` `Federated<Kind>`, read as it is.
//!
//! Read here: template, `placement.clusters` and `placement.clusterSelector`, overrides with KubeFed's default operation and its JSON
//! patch engine's meaning (evanphx/json-patch v4.12: `replace` of a missing key in a parent that exists inserts it). Containment in the
//! FederatedNamespace, ReplicaSchedulingPreference and `retainReplicas` are not read by this version and the latter is refused.

use serde_json::{Value, json};

use super::kinds::{self, Scope};
use super::{cluster_names, complete, group_of};
use crate::Refusal;
use crate::field::Field;
use crate::model::federated::Adopt;
use crate::model::{
    ApplyPolicy, Dialect, FederatedObject, ObjectKey, Override, Placement, Selector,
};
use crate::overrides::Operation;

/// The apiVersion of KubeFed's federated kinds.
pub const API_VERSION: &str = "types.kubefed.io/v1beta1";

/// Paths that KubeFed's overrides may not touch (an exact compare, as there).
const FORBIDDEN: &[&str] = &[
    "/metadata/namespace",
    "/metadata/name",
    "/metadata/generateName",
    "/kind",
];

/// Reads a `Federated<Kind>`.
///
/// # Errors
/// Refuses what KubeFed would answer with an error, and a kind behind it that is unknown and has no `template.apiVersion`.
pub fn read(document: &Value) -> Result<FederatedObject, Refusal> {
    let root = Field::root(document);
    let kind_field = root.get("kind");
    let kind = kind_field
        .string()?
        .strip_prefix("Federated")
        .filter(|kind| !kind.is_empty())
        .ok_or_else(|| kind_field.refuse("must be Federated<Kind> in types.kubefed.io"))?;
    let metadata = root.get("metadata");
    let name = metadata.get("name").string()?;
    let namespace = metadata.get("namespace").optional_string()?;
    let spec = root.get("spec");
    spec.object()?;
    let retain = spec.get("retainReplicas");
    if retain.optional_bool()?.unwrap_or(false) {
        return Err(retain.refuse("true is not carried out by this version"));
    }

    let template = spec.get("template");
    let mut value = template
        .optional_object()?
        .cloned()
        .map_or_else(|| json!({}), Value::Object);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
        metadata.remove("finalizers");
    }
    let api_version = match (
        template.get("apiVersion").optional_string()?,
        kinds::find(kind, None),
    ) {
        (Some(given), _) => given,
        (None, Some(known)) => known.api_version,
        (None, None) => {
            return Err(template
                .get("apiVersion")
                .refuse(format!("is needed, since the group of {kind} is unknown")));
        }
    };
    let scope = kinds::find(kind, Some(group_of(api_version))).map(|known| known.scope);
    let target_namespace = match (kind, scope, namespace) {
        ("Namespace", _, Some(namespace)) if namespace != name => {
            return Err(metadata.get("name").refuse(format!(
                "{name:?} is not its namespace {namespace:?}: a FederatedNamespace lives in the namespace that it federates"
            )));
        }
        ("Namespace", ..) | (_, Some(Scope::Cluster), None) | (_, None, None) => None,
        (_, Some(Scope::Cluster), Some(_)) => {
            return Err(metadata
                .get("namespace")
                .refuse(format!("must be absent: {kind} is cluster-scoped")));
        }
        (_, Some(Scope::Namespaced), None) => Some("default"),
        (_, Some(Scope::Namespaced) | None, Some(namespace)) => Some(namespace),
    };
    let target = ObjectKey::new(kind, group_of(api_version), target_namespace, name)?;
    let value = complete(value, api_version, kind, target_namespace, name);
    Ok(FederatedObject {
        target,
        dialect: Dialect::Kubefed,
        template: value,
        placement: read_placement(&spec.get("placement"))?,
        overrides: read_overrides(&spec.get("overrides"))?,
        // KubeFed adopts by default (KubeFedConfig adoptResources: Enabled).
        apply: ApplyPolicy {
            adopt: Adopt::Always,
            ..ApplyPolicy::default()
        },
        suspend: false,
    })
}

/// `clusters`, where present, wins over the selector, also when it is empty; neither is nowhere.
fn read_placement(placement: &Field<'_>) -> Result<Placement, Refusal> {
    let clusters = cluster_names(&placement.get("clusters"), Some("name"))?;
    let selector = placement.get("clusterSelector");
    Ok(Placement {
        selector: match clusters {
            None if selector.is_present() => Some(Selector::read(&selector)?),
            _ => None,
        },
        clusters,
        ..Placement::default()
    })
}

fn read_overrides(overrides: &Field<'_>) -> Result<Vec<Override>, Refusal> {
    let mut seen = Vec::new();
    let mut read = Vec::new();
    for entry in overrides.list()? {
        let name = entry.get("clusterName");
        let cluster = crate::model::ClusterName::parse(name.string()?)
            .map_err(|refusal| name.refuse(refusal.message))?;
        if seen.contains(&cluster) {
            return Err(name.refuse(format!("{cluster} has overrides already")));
        }
        seen.push(cluster.clone());
        let mut paths = Vec::new();
        let mut operations = Vec::new();
        for patch in entry.get("clusterOverrides").list()? {
            let path = patch.get("path");
            let text = path.string()?;
            if FORBIDDEN.contains(&text) {
                return Err(path.refuse(format!("{text} must not be overridden")));
            }
            if paths.contains(&text) {
                return Err(path.refuse(format!("{text} is overridden twice for {cluster}")));
            }
            paths.push(text);
            operations.push(Operation::read_kubefed_patch(&patch)?);
        }
        read.push(Override {
            clusters: Some(vec![cluster]),
            selector: None,
            operations,
        });
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn federated(kind: &str, namespace: Option<&str>, spec: Value) -> Value {
        let mut document = json!({
            "apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "web"}, "spec": spec,
        });
        if let Some(namespace) = namespace {
            document["metadata"]["namespace"] = json!(namespace);
        }
        document
    }

    #[test]
    fn the_kind_behind_it_is_the_name_without_the_prefix() {
        for (kind, namespace, spec, target) in [
            (
                "FederatedDeployment",
                Some("shop"),
                json!({}),
                "Deployment.apps/shop/web",
            ),
            (
                "FederatedClusterRole",
                None,
                json!({}),
                "ClusterRole.rbac.authorization.k8s.io/web",
            ),
            (
                "FederatedNamespace",
                Some("web"),
                json!({}),
                "Namespace/web",
            ),
            (
                "FederatedThing",
                Some("shop"),
                json!({"template": {"apiVersion": "x.io/v1"}}),
                "Thing.x.io/shop/web",
            ),
        ] {
            assert_eq!(
                read(&federated(kind, namespace, spec))
                    .expect(kind)
                    .target
                    .to_string(),
                target
            );
        }
    }

    #[test]
    fn placement_by_names_wins_over_the_selector_also_when_empty() {
        for (placement, clusters, selector) in [
            (json!({}), None, false),
            (json!({"clusters": null, "clusterSelector": {}}), None, true),
            (
                json!({"clusters": [], "clusterSelector": {}}),
                Some(0),
                false,
            ),
            (
                json!({"clusters": [{"name": "a"}], "clusterSelector": {}}),
                Some(1),
                false,
            ),
        ] {
            let object = read(&federated(
                "FederatedSecret",
                Some("shop"),
                json!({"placement": placement}),
            ))
            .expect("valid");
            assert_eq!(
                object.placement.clusters.map(|names| names.len()),
                clusters,
                "{placement}"
            );
            assert_eq!(object.placement.selector.is_some(), selector, "{placement}");
        }
    }

    #[test]
    fn refusals_name_the_field() {
        for (kind, namespace, spec, field) in [
            ("Deployment", Some("shop"), json!({}), "kind"),
            (
                "FederatedThing",
                Some("shop"),
                json!({}),
                "spec.template.apiVersion",
            ),
            (
                "FederatedNamespace",
                Some("other"),
                json!({}),
                "metadata.name",
            ),
            (
                "FederatedClusterRole",
                Some("shop"),
                json!({}),
                "metadata.namespace",
            ),
            (
                "FederatedSecret",
                Some("shop"),
                json!({"overrides": [{"clusterName": "a"}, {"clusterName": "a"}]}),
                "spec.overrides[1].clusterName",
            ),
            (
                "FederatedSecret",
                Some("shop"),
                json!({"overrides": [{"clusterName": "a", "clusterOverrides": [{"path": "/kind", "value": "x"}]}]}),
                "spec.overrides[0].clusterOverrides[0].path",
            ),
        ] {
            assert_eq!(
                read(&federated(kind, namespace, spec))
                    .expect_err(field)
                    .field,
                field
            );
        }
    }
}
