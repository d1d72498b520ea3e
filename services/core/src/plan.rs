//! From an object and the fleet to a verdict for every cluster: placement, then overrides, then the rendered manifest.
//!
//! The placer, `fleetcast plan` and the door all ask here, so they cannot disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{Cluster, ClusterName, FederatedObject, Override};
use crate::placement::Exclusion;
use crate::{Refusal, digest, placement};

/// What one cluster gets, or why it gets nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It gets a manifest.
    Assigned {
        /// The manifest, shared by all clusters with the same overrides.
        rendered: Rendered,
        /// Its replicas; none for kinds without.
        replicas: Option<i64>,
        /// Why there and so.
        reasons: Vec<String>,
    },
    /// It gets nothing.
    Excluded {
        /// The rule.
        reason: Exclusion,
        /// The field, where one is refused, and the message.
        refusal: Refusal,
    },
}

/// A rendered manifest and its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The object as the cluster should hold it, without our marks.
    pub manifest: Arc<Value>,
    /// The digest of its canonical form.
    pub digest: String,
}

/// Plans `object` over `clusters`. `holds` tells which clusters have it already; `all` asks for a verdict on clusters that nobody meant, too.
pub fn plan(
    object: &FederatedObject,
    clusters: &BTreeMap<ClusterName, Cluster>,
    holds: impl Fn(&ClusterName) -> bool,
    all: bool,
) -> BTreeMap<ClusterName, Verdict> {
    let mut by_overrides: BTreeMap<Vec<usize>, Result<Rendered, Refusal>> = BTreeMap::new();
    placement::judge_all(object, clusters, holds, all)
        .into_iter()
        .map(|(name, judgement)| {
            let verdict = match judgement {
                Err((reason, refusal)) => Verdict::Excluded { reason, refusal },
                Ok(_) if object.suspend => Verdict::Excluded {
                    reason: Exclusion::Suspended,
                    refusal: Refusal::new("spec.suspend", "propagation rests until it is lifted"),
                },
                Ok(mut reasons) => {
                    let cluster = clusters
                        .get(&name)
                        .expect("only registered clusters are judged fit");
                    let applied = overrides_for(&object.overrides, cluster);
                    reasons.extend(
                        applied
                            .iter()
                            .map(|index| format!("spec.overrides[{index}] applies")),
                    );
                    let rendered = by_overrides
                        .entry(applied)
                        .or_insert_with_key(|applied| render(object, applied));
                    match rendered {
                        Err(refusal) => Verdict::Excluded {
                            reason: Exclusion::Refused,
                            refusal: refusal.clone(),
                        },
                        Ok(rendered) => Verdict::Assigned {
                            replicas: replicas_of(&rendered.manifest),
                            rendered: rendered.clone(),
                            reasons,
                        },
                    }
                }
            };
            (name, verdict)
        })
        .collect()
}

/// Renders `object` for `cluster`, whether or not it is placed there.
///
/// # Errors
/// Refuses an override that cannot be applied.
pub fn render_for(object: &FederatedObject, cluster: &Cluster) -> Result<Rendered, Refusal> {
    render(object, &overrides_for(&object.overrides, cluster))
}

/// The overrides that concern `cluster`, by index.
fn overrides_for(overrides: &[Override], cluster: &Cluster) -> Vec<usize> {
    overrides
        .iter()
        .enumerate()
        .filter(|(_, entry)| {
            entry
                .clusters
                .as_ref()
                .is_none_or(|names| names.contains(&cluster.name))
                && entry
                    .selector
                    .as_ref()
                    .is_none_or(|selector| selector.matches(&cluster.labels))
        })
        .map(|(index, _)| index)
        .collect()
}

/// Applies the overrides with the given indexes to the template.
///
/// # Errors
/// Refuses an operation that cannot be applied, and overrides that change what the object is.
fn render(object: &FederatedObject, overrides: &[usize]) -> Result<Rendered, Refusal> {
    let mut manifest = object.template.clone();
    for index in overrides {
        for operation in &object.overrides[*index].operations {
            operation.apply(&mut manifest)?;
        }
        for pointer in [
            "/apiVersion",
            "/kind",
            "/metadata/name",
            "/metadata/namespace",
        ] {
            if manifest.pointer(pointer) != object.template.pointer(pointer) {
                return Err(Refusal::new(
                    format!("spec.overrides[{index}]"),
                    format!("changes {pointer}: an override may not change which object it is"),
                ));
            }
        }
    }
    Ok(Rendered {
        digest: digest::of_value(&manifest),
        manifest: Arc::new(manifest),
    })
}

/// The replicas that a manifest asks for: `spec.replicas`, 1 where a workload that has them names none (Kubernetes' default).
fn replicas_of(manifest: &Value) -> Option<i64> {
    let given = manifest.pointer("/spec/replicas").and_then(Value::as_i64);
    match manifest["kind"].as_str() {
        Some("Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController") => {
            Some(given.unwrap_or(1))
        }
        _ => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{self, Input};
    use serde_json::json;

    fn object(spec: Value) -> FederatedObject {
        let document = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
        });
        match dialect::read(&document).expect("valid") {
            Input::Object(object) => *object,
            Input::Cluster(_) => unreachable!("a FederatedObject was written"),
        }
    }

    fn fleet() -> BTreeMap<ClusterName, Cluster> {
        ["eu-1", "eu-2", "us-1"]
            .map(|text| {
                let name = ClusterName::parse(text).expect("valid");
                let cluster = Cluster {
                    labels: [("region".to_owned(), text[..2].to_owned())].into(),
                    ..Cluster::named(name.clone())
                };
                (name, cluster)
            })
            .into()
    }

    fn template() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
            "replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}},
        }})
    }

    /// `cluster: image/replicas` or `cluster: reason field`, a line each.
    fn story(object: &FederatedObject) -> Vec<String> {
        plan(object, &fleet(), |_| false, true)
            .into_iter()
            .map(|(cluster, verdict)| match verdict {
                Verdict::Assigned {
                    rendered, replicas, ..
                } => format!(
                    "{cluster}: {} x{}",
                    rendered
                        .manifest
                        .pointer("/spec/template/spec/containers/0/image")
                        .expect("an image"),
                    replicas.expect("replicas")
                ),
                Verdict::Excluded { reason, refusal } => {
                    format!("{cluster}: {reason:?} {}", refusal.field)
                }
            })
            .collect()
    }

    #[test]
    fn overrides_reach_the_clusters_that_they_name_or_select() {
        let object = object(json!({
            "template": template(), "placement": {"clusterSelector": {}},
            "overrides": [
                {"clusterSelector": {"matchLabels": {"region": "eu"}}, "images": [{"component": "registry", "op": "replace", "value": "r.eu"}]},
                {"clusters": ["us-1"], "patches": [{"op": "replace", "path": "/spec/replicas", "value": 5}]},
                {"patches": [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]},
            ],
        }));
        assert_eq!(
            story(&object),
            [
                "eu-1: \"r.eu/web:1\" x2",
                "eu-2: \"r.eu/web:1\" x2",
                "us-1: \"web:1\" x5"
            ]
        );
    }

    #[test]
    fn an_override_that_fails_refuses_its_cluster_only() {
        let object = object(json!({
            "template": template(), "placement": {"clusters": ["eu-1", "us-1", "ap-1"]},
            "overrides": [{"clusters": ["us-1"], "patches": [{"op": "replace", "path": "/spec/nothing", "value": 1}]}],
        }));
        assert_eq!(
            story(&object),
            [
                "ap-1: Unknown ",
                "eu-1: \"web:1\" x2",
                "eu-2: NotSelected ",
                "us-1: Refused spec.overrides[0].patches[0].path",
            ]
        );
    }

    #[test]
    fn an_override_may_not_change_which_object_it_is() {
        for path in [
            "/metadata/name",
            "/metadata/namespace",
            "/kind",
            "/apiVersion",
        ] {
            let object = object(json!({
                "template": template(), "placement": {"clusters": ["eu-1"]},
                "overrides": [{"patches": [{"op": "replace", "path": path, "value": "other"}]}],
            }));
            assert_eq!(
                story(&object)[0],
                "eu-1: Refused spec.overrides[0]",
                "{path}"
            );
        }
    }
}
