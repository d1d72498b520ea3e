//! KubeFed's dialect: `types.kubefed.io/v1beta1` `Federated<Kind>`, read as it is.
//!
//! Template, `placement.clusters` and `placement.clusterSelector`, `retainReplicas`, and overrides with KubeFed's default operation, its
//! validation of the whole list and its JSON patch engine's meaning. Containment in the FederatedNamespace is decided where the namespace
//! is known ([`plan`](crate::plan)); a ReplicaSchedulingPreference rewrites placement and overrides ([`preference`]).
//!
//! **`kubefed.io/managed`** is not put on member objects, though KubeFed does: while a fleet is taken over, KubeFed takes that label away
//! from whatever has no federated object of its own any more, and two hands would fight over it. Whoever selects by it writes it into the
//! template. The annotation `kubefed.io/orphan: "true"` keeps the members' copies, as there. `fleetcast.dev/status-collection: Enabled` is ours: the object
//! gets `remoteStatus`, which KubeFed gives to whole kinds behind a feature gate.

pub mod preference;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kinds::{self, Behind, Catalog, Scope};
use super::{Identity, complete, group_of};
use crate::Refusal;
use crate::field::Field;
use crate::model::federated::{Adopt, Conflict, OnDelete, Predecessor, Reported};
use crate::model::name::read_list as cluster_names;
use crate::model::{
    ApplyPolicy, ClusterName, Dialect, FederatedObject, ObjectKey, Override, Placement, Selector,
};
use crate::overrides::Operation;

/// Asks for the whole status of each member's copy.
const STATUS_COLLECTION: &str = "fleetcast.dev/status-collection";
/// The apiVersion of KubeFed's federated kinds.
pub const API_VERSION: &str = "types.kubefed.io/v1beta1";

/// Paths that KubeFed's overrides may not touch (an exact compare, as there).
const FORBIDDEN: &[&str] = &[
    "/metadata/namespace",
    "/metadata/name",
    "/metadata/generateName",
    "/kind",
];

/// Reads a `Federated<Kind>` with no more knowledge of kinds than the table's.
///
/// # Errors
/// As [`read_with`].
pub fn read(document: &Value) -> Result<FederatedObject, Refusal> {
    read_with(document, &Catalog::default())
}

/// Reads a `Federated<Kind>`.
///
/// # Errors
/// Refuses what KubeFed would answer with an error, and a kind behind it that is unknown and has no `template.apiVersion`.
pub fn read_with(document: &Value, catalog: &Catalog) -> Result<FederatedObject, Refusal> {
    let root = Field::root(document);
    let kind_field = root.get("kind");
    let Behind {
        kind,
        api_version,
        scope,
    } = catalog
        .behind(kind_field.string()?)
        .ok_or_else(|| kind_field.refuse("must be Federated<Kind> in types.kubefed.io"))?;
    let metadata = root.get("metadata");
    let name = metadata.get("name").string()?;
    let namespace = metadata.get("namespace").optional_string()?;
    let spec = root.get("spec");
    spec.object()?;

    let template = spec.get("template");
    template.get("metadata").optional_object()?;
    let mut value = template
        .optional_object()?
        .cloned()
        .map_or_else(|| json!({}), Value::Object);
    // Neither annotations nor finalizers of a template are carried over; overrides may set them.
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
        metadata.remove("finalizers");
    }
    let given = template.get("apiVersion");
    let api_version = match (given.optional_string()?, api_version) {
        (Some(given), _) => given.to_owned(),
        (None, Some(known)) => known,
        (None, None) => {
            return Err(given.refuse(format!("is needed, since the group of {kind} is unknown")));
        }
    };
    let group = group_of(&api_version);
    let scope = kinds::find(&kind, Some(group)).map_or(scope, |known| Some(known.scope));
    let target_namespace = match (kind.as_str(), scope, namespace) {
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
    let target = ObjectKey::new(&kind, group, target_namespace, name)?;
    let status = value.get("status").cloned();
    let mut value = complete(value, &api_version, &kind, target_namespace, name);
    // KubeFed leaves a template's status where it is.
    if let Some(status) = status {
        value["status"] = status;
    }
    let retain_replicas = spec.get("retainReplicas").optional_bool()?.unwrap_or(false)
        && !["Service", "ServiceAccount"].contains(&kind.as_str());
    let annotations = metadata.get("annotations").value();
    let annotated = |name: &str| annotations.and_then(|given| given.get(name)?.as_str());
    let orphan = annotated("kubefed.io/orphan");
    Ok(FederatedObject {
        target,
        dialect: Dialect::Kubefed,
        template: value,
        placement: read_placement(&spec.get("placement"))?,
        division: None,
        retain_replicas,
        dependencies: false,
        overrides: read_overrides(&spec.get("overrides"))?,
        apply: ApplyPolicy {
            // KubeFed adopts by default (KubeFedConfig adoptResources: Enabled), and writes whole objects.
            adopt: Adopt::Always,
            conflict: Conflict::Force,
            predecessor: Some(Predecessor::Kubefed),
            report: match annotated(STATUS_COLLECTION) {
                Some("Enabled") => Reported::Whole,
                _ => Reported::Selected,
            },
            on_delete: if orphan == Some("true") {
                OnDelete::Orphan
            } else {
                OnDelete::Delete
            },
            ignore: match retain_replicas {
                true => vec!["/spec/replicas".to_owned()],
                false => Vec::new(),
            },
            ..ApplyPolicy::default()
        },
        suspend: false,
    })
}

/// The object that a document would become, where it says so much, though the rest may be refused.
pub(super) fn identify(document: &Value, catalog: &Catalog) -> Option<Identity> {
    let text = |object: &Value, key: &str| Some(object.get(key)?.as_str()?.to_owned());
    let behind = catalog.behind(&text(document, "kind")?)?;
    let metadata = document.get("metadata")?;
    let given = document
        .get("spec")
        .and_then(|spec| text(spec.get("template")?, "apiVersion"));
    let is_cluster_scoped = behind.kind == "Namespace" || behind.scope == Some(Scope::Cluster);
    Some(Identity {
        api_version: given.or(behind.api_version)?,
        kind: behind.kind,
        namespace: text(metadata, "namespace").filter(|_| !is_cluster_scoped),
        name: text(metadata, "name")?,
    })
}

/// What the selector alone selects, whatever clusters are named beside it: what a ReplicaSchedulingPreference intersects with. None
/// selects nothing.
///
/// # Errors
/// What is no selector.
pub fn selector_alone(document: &Value) -> Result<Option<Selector>, Refusal> {
    let selector = Field::root(document)
        .get("spec")
        .get("placement")
        .get("clusterSelector");
    selector
        .is_present()
        .then(|| Selector::read(&selector))
        .transpose()
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
    let mut seen = BTreeSet::new();
    let mut read = Vec::new();
    for entry in overrides.list()? {
        let name = entry.get("clusterName");
        let cluster =
            ClusterName::parse(name.string()?).map_err(|refusal| name.refuse(refusal.message))?;
        if !seen.insert(cluster.clone()) {
            return Err(name.refuse(format!("{cluster} has overrides already")));
        }
        let mut paths = BTreeSet::new();
        let mut operations = Vec::new();
        for patch in entry.get("clusterOverrides").list()? {
            let path = patch.get("path");
            let text = path.string()?;
            if FORBIDDEN.contains(&text) {
                return Err(path.refuse(format!("{text} must not be overridden")));
            }
            if !paths.insert(text) {
                return Err(path.refuse(format!("{text} is overridden twice for {cluster}")));
            }
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
    fn annotations_keep_copies_and_ask_for_their_whole_status() {
        for (annotations, on_delete, report) in [
            (json!({}), OnDelete::Delete, Reported::Selected),
            (
                json!({"kubefed.io/orphan": "true"}),
                OnDelete::Orphan,
                Reported::Selected,
            ),
            (
                json!({STATUS_COLLECTION: "Enabled"}),
                OnDelete::Delete,
                Reported::Whole,
            ),
            (
                json!({STATUS_COLLECTION: "Disabled"}),
                OnDelete::Delete,
                Reported::Selected,
            ),
        ] {
            let mut document = federated("FederatedService", Some("shop"), json!({}));
            document["metadata"]["annotations"] = annotations.clone();
            let apply = read(&document).expect("it can be read").apply;
            assert_eq!(
                (apply.on_delete, apply.report),
                (on_delete, report),
                "{annotations}"
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
