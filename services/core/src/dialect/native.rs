//! The native dialect: `fleetcast.dev/v1alpha1` FederatedObject and ClusterFederatedObject, one `spec` for both.

pub mod crds;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kinds::{self, Scope};
use super::{Identity, complete, group_of};
use crate::Refusal;
use crate::field::Field;
use crate::model::federated::{Adopt, Conflict, Drift, Mode, OnDelete, OnImmutable, Reported};
use crate::model::name::read_list as cluster_names;
use crate::model::{
    ApplyPolicy, ClusterName, Dialect, Division, FederatedObject, ObjectKey, Override, Placement,
    Preference, Selector, Spread, Toleration,
};
use crate::overrides::Operation;

pub use crate::model::API_VERSION;

/// Reads a FederatedObject or a ClusterFederatedObject.
///
/// # Errors
/// Refuses unknown or malformed fields, a template that is not of the document's scope, and what contradicts itself.
pub fn read(document: &Value) -> Result<FederatedObject, Refusal> {
    let root = Field::root(document);
    root.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    let metadata = root.get("metadata");
    let name = metadata.get("name").string()?;
    let kind = root.get("kind");
    let namespace = match kind.string()? {
        "FederatedObject" => Some(
            metadata
                .get("namespace")
                .optional_string()?
                .unwrap_or("default"),
        ),
        "ClusterFederatedObject" if metadata.get("namespace").is_present() => {
            return Err(metadata
                .get("namespace")
                .refuse("must be absent: a ClusterFederatedObject is cluster-scoped"));
        }
        "ClusterFederatedObject" => None,
        other => {
            return Err(kind.refuse(format!(
                "{other:?} is none of FederatedObject, ClusterFederatedObject, MemberCluster"
            )));
        }
    };
    let spec = root.get("spec");
    spec.object()?;
    spec.only(&[
        "template",
        "placement",
        "replicas",
        "overrides",
        "apply",
        "dependencies",
        "suspend",
    ])?;
    let (target, template) = read_template(&spec.get("template"), namespace, name)?;
    Ok(FederatedObject {
        division: read_division(&spec.get("replicas"), &template)?,
        retain_replicas: false,
        dependencies: spec.get("dependencies").optional_bool()?.unwrap_or(false),
        target,
        dialect: Dialect::Native,
        template,
        placement: read_placement(&spec.get("placement"))?,
        overrides: spec
            .get("overrides")
            .list()?
            .iter()
            .map(read_override)
            .collect::<Result<_, _>>()?,
        apply: read_apply(&spec.get("apply"))?,
        suspend: spec.get("suspend").optional_bool()?.unwrap_or(false),
    })
}

/// Wraps a plain object so that it goes to `clusters`: what `fleetcast apply --clusters` hands in.
///
/// # Errors
/// Refuses an object without apiVersion, kind or name, and one of unknown scope without a namespace.
pub fn wrap(object: &Value, clusters: &[ClusterName]) -> Result<Value, Refusal> {
    let root = Field::root(object);
    root.object()?;
    let group = group_of(root.get("apiVersion").string()?);
    let kind = root.get("kind").string()?;
    let metadata = root.get("metadata");
    let name = metadata.get("name").string()?;
    let namespace = metadata.get("namespace");
    let scope = match (kinds::find(kind, Some(group)), namespace.optional_string()?) {
        (Some(known), _) => known.scope,
        (None, Some(_)) => Scope::Namespaced,
        (None, None) => {
            return Err(namespace.refuse(format!(
                "is needed, since it is unknown whether {kind} lives in a namespace; where it does not, wrap it in a ClusterFederatedObject"
            )));
        }
    };
    let clusters: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
    let spec = json!({"template": object, "placement": {"clusters": clusters}});
    Ok(match scope {
        Scope::Namespaced => json!({
            "apiVersion": API_VERSION, "kind": "FederatedObject",
            "metadata": {"name": name, "namespace": namespace.optional_string()?.unwrap_or("default")},
            "spec": spec,
        }),
        Scope::Cluster => json!({
            "apiVersion": API_VERSION, "kind": "ClusterFederatedObject", "metadata": {"name": name}, "spec": spec,
        }),
    })
}

/// The object that a document would become, where it says so much, though the rest may be refused.
pub(super) fn identify(document: &Value) -> Option<Identity> {
    let kind = document.get("kind")?.as_str()?;
    let metadata =
        |object: &Value, key: &str| Some(object.get("metadata")?.get(key)?.as_str()?.to_owned());
    let template = document.get("spec")?.get("template")?;
    let text = |key: &str| Some(template.get(key)?.as_str()?.to_owned());
    Some(Identity {
        api_version: text("apiVersion")?,
        kind: text("kind")?,
        namespace: match kind {
            "FederatedObject" => {
                Some(metadata(document, "namespace").unwrap_or_else(|| "default".to_owned()))
            }
            "ClusterFederatedObject" => None,
            _ => return None,
        },
        name: metadata(template, "name").or_else(|| metadata(document, "name"))?,
    })
}

/// Division needs an object that has replicas, and a number of them.
fn read_division(field: &Field<'_>, template: &Value) -> Result<Option<Division>, Refusal> {
    if !field.is_present() {
        return Ok(None);
    }
    let division = Division::read(field)?;
    let kind = template["kind"].as_str().unwrap_or_default();
    let group = group_of(template["apiVersion"].as_str().unwrap_or_default());
    if kinds::find(kind, Some(group)).is_some() && !kinds::has_replicas(kind) {
        return Err(field.refuse(format!("a {kind} has no replicas to divide")));
    }
    let given = template.pointer("/spec/replicas");
    if let Some(given) = given.filter(|given| given.as_i64().is_none_or(|given| given < 0)) {
        return Err(Refusal::new(
            "spec.template.spec.replicas",
            format!("{given} is no number of replicas"),
        ));
    }
    if division.total.is_none() && given.is_none() && !kinds::has_replicas(kind) {
        return Err(field
            .get("total")
            .refuse("is needed, since the template names no replicas"));
    }
    Ok(Some(division))
}

fn read_template(
    template: &Field<'_>,
    namespace: Option<&str>,
    name: &str,
) -> Result<(ObjectKey, Value), Refusal> {
    template.object()?;
    let api_version = template.get("apiVersion").string()?;
    let kind = template.get("kind");
    let metadata = template.get("metadata");
    metadata.optional_object()?;
    for key in ["labels", "annotations"] {
        metadata.get(key).optional_object()?;
    }
    let name_field = metadata.get("name");
    let name = name_field.optional_string()?.unwrap_or(name);
    let group = group_of(api_version);
    match (
        kinds::find(kind.string()?, Some(group)).map(|known| known.scope),
        namespace,
    ) {
        (Some(Scope::Cluster), Some(_)) => {
            return Err(kind.refuse(format!(
                "{} is cluster-scoped: only a ClusterFederatedObject may carry it",
                kind.string()?
            )));
        }
        (Some(Scope::Namespaced), None) => {
            return Err(kind.refuse(format!(
                "{} lives in a namespace: only a FederatedObject may carry it",
                kind.string()?
            )));
        }
        (Some(Scope::Namespaced) | None, Some(_)) | (Some(Scope::Cluster) | None, None) => {}
    }
    let template_namespace = metadata.get("namespace");
    if let Some(found) = template_namespace.optional_string()?
        && Some(found) != namespace
    {
        let message = match namespace {
            Some(namespace) => {
                format!("{found:?} is not the FederatedObject's own namespace {namespace:?}")
            }
            None => {
                "must be absent: a ClusterFederatedObject carries no namespaced object".to_owned()
            }
        };
        return Err(template_namespace.refuse(message));
    }
    let target = ObjectKey::new(kind.string()?, group, namespace, name).map_err(|refusal| {
        let field = match refusal.field.as_str() {
            "metadata.namespace" => refusal.field,
            "metadata.name" if !name_field.is_present() => refusal.field,
            _ => format!("spec.template.{}", refusal.field),
        };
        Refusal::new(field, refusal.message)
    })?;
    let value = template.value().expect("an object stands there").clone();
    let value = complete(value, api_version, target.kind(), namespace, target.name());
    Ok((target, value))
}

fn read_placement(placement: &Field<'_>) -> Result<Placement, Refusal> {
    placement.only(&[
        "clusters",
        "clusterSelector",
        "exclude",
        "tolerations",
        "spread",
        "preferences",
    ])?;
    let clusters = cluster_names(&placement.get("clusters"), None)?;
    let exclude = cluster_names(&placement.get("exclude"), None)?.unwrap_or_default();
    let named: BTreeSet<&ClusterName> = clusters.iter().flatten().collect();
    if let Some(index) = exclude.iter().position(|name| named.contains(name)) {
        return Err(Refusal::new(
            format!("{}[{index}]", placement.get("exclude").path()),
            format!("{} is named in placement.clusters, too", exclude[index]),
        ));
    }
    Ok(Placement {
        selector: read_selector(&placement.get("clusterSelector"))?,
        spread: Spread::read_list(&placement.get("spread"))?,
        preferences: Preference::read_list(&placement.get("preferences"))?,
        clusters,
        exclude,
        tolerations: placement
            .get("tolerations")
            .list()?
            .iter()
            .map(Toleration::read)
            .collect::<Result<_, _>>()?,
    })
}

fn read_selector(field: &Field<'_>) -> Result<Option<Selector>, Refusal> {
    field
        .is_present()
        .then(|| Selector::read(field))
        .transpose()
}

fn read_override(field: &Field<'_>) -> Result<Override, Refusal> {
    field.only(&[
        "clusters",
        "clusterSelector",
        "images",
        "command",
        "args",
        "labels",
        "annotations",
        "env",
        "patches",
    ])?;
    let mut operations = Vec::new();
    for image in field.get("images").list()? {
        operations.push(Operation::read_image(&image)?);
    }
    for key in ["command", "args"] {
        for change in field.get(key).list()? {
            operations.push(Operation::read_words(key, &change)?);
        }
    }
    for key in ["labels", "annotations"] {
        for change in field.get(key).list()? {
            operations.push(Operation::read_metadata(key, &change)?);
        }
    }
    for change in field.get("env").list()? {
        operations.push(Operation::read_env(&change)?);
    }
    for patch in field.get("patches").list()? {
        operations.push(Operation::read_patch(&patch)?);
    }
    Ok(Override {
        clusters: cluster_names(&field.get("clusters"), None)?,
        selector: read_selector(&field.get("clusterSelector"))?,
        operations,
    })
}

fn read_apply(apply: &Field<'_>) -> Result<ApplyPolicy, Refusal> {
    apply.only(&[
        "conflict",
        "adopt",
        "drift",
        "onDelete",
        "onImmutable",
        "mode",
        "ignore",
    ])?;
    let ignore = apply.get("ignore");
    let mut pointers = Vec::new();
    for pointer in ignore.list()? {
        let text = pointer.string()?;
        if !text.starts_with('/') {
            return Err(pointer.refuse(format!("{text:?} is no JSON pointer: it begins with '/'")));
        }
        pointers.push(text.to_owned());
    }
    Ok(ApplyPolicy {
        conflict: word(&apply.get("conflict"), Conflict::parse, Conflict::WORDS)?,
        adopt: word(&apply.get("adopt"), Adopt::parse, Adopt::WORDS)?,
        drift: word(&apply.get("drift"), Drift::parse, Drift::WORDS)?,
        on_delete: word(&apply.get("onDelete"), OnDelete::parse, OnDelete::WORDS)?,
        on_immutable: word(
            &apply.get("onImmutable"),
            OnImmutable::parse,
            OnImmutable::WORDS,
        )?,
        mode: word(&apply.get("mode"), Mode::parse, Mode::WORDS)?,
        ignore: pointers,
        report: Reported::Selected,
        predecessor: None,
    })
}

fn word<T: Default>(
    field: &Field<'_>,
    parse: impl Fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<T, Refusal> {
    match field.optional_string()? {
        None => Ok(T::default()),
        Some(text) => parse(text)
            .ok_or_else(|| field.refuse(format!("{text:?} is none of {}", words.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(change: impl Fn(&mut Value)) -> Value {
        let mut document = json!({
            "apiVersion": API_VERSION, "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "template": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}},
                "placement": {"clusters": ["eu-1"]},
            },
        });
        change(&mut document);
        document
    }

    #[test]
    fn a_template_gets_its_identity_from_the_document() {
        let object = read(&document(|_| ())).expect("valid");
        assert_eq!(object.target.to_string(), "Deployment.apps/shop/web");
        assert_eq!(
            object.template["metadata"],
            json!({"name": "web", "namespace": "shop"})
        );
    }

    #[test]
    fn what_an_api_server_writes_is_taken_out_of_a_template() {
        let object = read(&document(|d| {
            d["spec"]["template"]["status"] = json!({"readyReplicas": 1});
            d["spec"]["template"]["metadata"] =
                json!({"uid": "u", "resourceVersion": "1", "labels": {"a": "b"}});
        }))
        .expect("valid");
        assert!(object.template.get("status").is_none());
        assert_eq!(
            object.template["metadata"],
            json!({"name": "web", "namespace": "shop", "labels": {"a": "b"}})
        );
    }

    #[test]
    fn refusals_name_the_field() {
        type Change = fn(&mut Value);
        let table: &[(Change, &str)] = &[
            (
                |d| {
                    d["spec"]["template"]
                        .as_object_mut()
                        .expect("object")
                        .remove("kind");
                },
                "spec.template.kind",
            ),
            (
                |d| {
                    d["spec"]
                        .as_object_mut()
                        .expect("object")
                        .remove("template");
                },
                "spec.template",
            ),
            (|d| d["spec"]["template"]["kind"] = json!("ClusterRole"), ""),
            (
                |d| d["spec"]["template"] = json!({"apiVersion": "v1", "kind": "Namespace"}),
                "spec.template.kind",
            ),
            (
                |d| d["spec"]["template"]["metadata"] = json!({"namespace": "other"}),
                "spec.template.metadata.namespace",
            ),
            (|d| d["metadata"]["name"] = json!("a/b"), "metadata.name"),
            (
                |d| d["metadata"]["namespace"] = json!("Shop"),
                "metadata.namespace",
            ),
            (
                |d| d["spec"]["placement"]["clusters"] = json!(["eu-1", "eu-1"]),
                "spec.placement.clusters[1]",
            ),
            (
                |d| d["spec"]["placement"]["cluster"] = json!("eu-1"),
                "spec.placement.cluster",
            ),
            (
                |d| d["spec"]["apply"] = json!({"drift": "maybe"}),
                "spec.apply.drift",
            ),
            (
                |d| d["spec"]["apply"] = json!({"ignore": ["spec"]}),
                "spec.apply.ignore[0]",
            ),
            (
                |d| d["spec"]["replicas"] = json!({"divide": "evenly"}),
                "spec.replicas.divide",
            ),
            (
                |d| {
                    d["spec"]["template"] = json!({"apiVersion": "v1", "kind": "Secret"});
                    d["spec"]["replicas"] = json!({"divide": "weighted", "total": 1});
                },
                "spec.replicas",
            ),
            (
                |d| {
                    d["spec"]["template"] = json!({"apiVersion": "x.io/v1", "kind": "Thing"});
                    d["spec"]["replicas"] = json!({"divide": "weighted"});
                },
                "spec.replicas.total",
            ),
            (
                |d| {
                    d["spec"]["template"]["spec"]["replicas"] = json!("2");
                    d["spec"]["replicas"] = json!({"divide": "weighted"});
                },
                "spec.template.spec.replicas",
            ),
            (
                |d| d["spec"]["placement"]["exclude"] = json!(["us-1", "eu-1"]),
                "spec.placement.exclude[1]",
            ),
            (
                |d| d["spec"]["placement"]["spread"] = json!([{"by": "rack"}]),
                "spec.placement.spread[0].by",
            ),
            (
                |d| d["spec"]["placement"]["preferences"] = json!([{}]),
                "spec.placement.preferences[0].clusterSelector",
            ),
            (
                |d| d["spec"]["dependencies"] = json!("yes"),
                "spec.dependencies",
            ),
            (
                |d| {
                    d["spec"]["overrides"] = json!([{"command": [{"op": "add", "value": ["sh"]}]}]);
                },
                "spec.overrides[0].command[0].container",
            ),
            (
                |d| {
                    d["spec"]["overrides"] =
                        json!([{"args": [{"container": "web", "op": "add", "value": "sh"}]}]);
                },
                "spec.overrides[0].args[0].value",
            ),
            (
                |d| {
                    d["spec"]["overrides"] =
                        json!([{"env": [{"container": "web", "op": "add", "value": {"A": 1}}]}]);
                },
                "spec.overrides[0].env[0].value.A",
            ),
            (
                |d| d["spec"]["overrides"] = json!([{"patches": [{"op": "set", "path": "/a"}]}]),
                "spec.overrides[0].patches[0].op",
            ),
            (
                |d| {
                    d["spec"]["overrides"] =
                        json!([{"patches": [{"op": "add", "path": "a", "value": 1}]}])
                },
                "spec.overrides[0].patches[0].path",
            ),
        ];
        for (change, field) in table {
            let document = document(change);
            match read(&document) {
                Err(refusal) => assert_eq!(refusal.field, *field, "{document}"),
                Ok(_) => assert_eq!(*field, "", "{document} should be refused"),
            }
        }
    }

    #[test]
    fn wrapping_follows_the_scope_of_the_kind() {
        let clusters = [ClusterName::parse("c1").expect("valid")];
        for (object, kind, target) in [
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}),
                "FederatedObject",
                "Service/default/a",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}),
                "ClusterFederatedObject",
                "Namespace/a",
            ),
            (
                json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "n"}}),
                "FederatedObject",
                "Thing.x.io/n/a",
            ),
        ] {
            let wrapped = wrap(&object, &clusters).expect("valid");
            assert_eq!(wrapped["kind"], kind);
            assert_eq!(read(&wrapped).expect("valid").target.to_string(), target);
        }
        let unknown = json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "a"}});
        assert_eq!(
            wrap(&unknown, &clusters).expect_err("refused").field,
            "metadata.namespace"
        );
    }
}
