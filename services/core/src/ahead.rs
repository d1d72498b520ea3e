//! Copies that are ahead: makes of what clusters hold, and a restored log does not, a document that says it.
//!
//! Three forms are tried, and each is believed only where it renders to exactly what every such cluster holds: the same change to the template
//! for all; the same with the clusters' replicas added up, where they are divided; and overrides for each cluster, where documents of the dialect
//! hold some (ours and KubeFed's). Karmada's stand in policies of their own, which a person hands in: the refusal names the fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use json_patch::{Patch, PatchOperation};
use serde_json::{Value, json};

use crate::Refusal;
use crate::dialect::Submitted;
use crate::model::{ClusterName, Dialect};

/// What a document comes to, by cluster.
pub type Manifests = BTreeMap<ClusterName, Arc<Value>>;

/// The document that renders to what each cluster of `held` holds (manifests without our marks), made from `document`, the newest that the log
/// knows; `document` itself where that does so already. `render` says what a document comes to.
///
/// # Errors
/// A refusal that says why no document was found, and what to do instead.
pub fn take(
    document: &Value,
    held: &BTreeMap<ClusterName, Value>,
    render: impl Fn(&Value) -> Result<Manifests, Refusal>,
) -> Result<Value, Refusal> {
    let held: BTreeMap<&ClusterName, Value> = held
        .iter()
        .map(|(cluster, manifest)| (cluster, plain(manifest)))
        .collect();
    let rendered = render(document)?;
    let mut patches = BTreeMap::new();
    for (cluster, manifest) in &held {
        let rendered = rendered.get(*cluster).ok_or_else(|| {
            Refusal::new(
                "",
                format!("the log does not place it in {cluster}, which holds it: change its placement, or use --reapply"),
            )
        })?;
        patches.insert(*cluster, json_patch::diff(&plain(rendered), manifest));
    }
    if patches.values().all(|patch| patch.0.is_empty()) {
        return Ok(document.clone());
    }
    let says_it = |candidate: &Value| {
        render(candidate).is_ok_and(|rendered| {
            held.iter().all(|(cluster, manifest)| {
                rendered
                    .get(*cluster)
                    .is_some_and(|rendered| plain(rendered) == *manifest)
            })
        })
    };
    let (template, dialect) = match Submitted::read(document)? {
        Submitted::Object(object) => ("/spec/template", object.dialect),
        Submitted::Plain(_) | Submitted::Policy(..) | Submitted::Cluster(_) => {
            ("", Dialect::Karmada)
        }
    };
    let candidates = [
        for_all(document, template, &patches, |_| true),
        added_up(document, template, &patches, &held),
        match dialect {
            Dialect::Native => for_each(document, &patches),
            Dialect::Kubefed => for_each_of_kubefed(document, &patches),
            Dialect::Karmada => None,
        },
    ];
    let found = candidates
        .into_iter()
        .flatten()
        .find(|candidate| says_it(candidate));
    found.ok_or_else(|| {
        let instead = match dialect {
            Dialect::Native | Dialect::Kubefed => "hand in the one that you want",
            Dialect::Karmada => "hand in an OverridePolicy for what differs, and run this again",
        };
        Refusal::new(
            "",
            format!(
                "no document of its kind renders to what the clusters hold ({}): {instead}, or use --reapply",
                told(&patches)
            ),
        )
    })
}

/// Which fields each cluster holds otherwise: `eu-1: /data/a; us-1: /data/a, /data/b`.
fn told(patches: &BTreeMap<&ClusterName, Patch>) -> String {
    /// So many fields and clusters are named.
    const SHOWN: usize = 5;
    let fields = |patch: &Patch| {
        let mut fields: Vec<&str> = patch.iter().map(|one| one.path().as_str()).collect();
        let more = fields.len() > SHOWN;
        fields.truncate(SHOWN);
        fields.join(", ") + if more { ", …" } else { "" }
    };
    let differ = patches.iter().filter(|(_, patch)| !patch.0.is_empty());
    let each = differ.map(|(cluster, patch)| format!("{cluster}: {}", fields(patch)));
    let mut all: Vec<String> = each.collect();
    if all.len() > SHOWN {
        all.truncate(SHOWN);
        all.push("…".to_owned());
    }
    all.join("; ")
}

/// The document with the change to its template that all clusters share; none where they do not share one.
fn for_all(
    document: &Value,
    template: &str,
    patches: &BTreeMap<&ClusterName, Patch>,
    counts: impl Fn(&PatchOperation) -> bool,
) -> Option<Value> {
    let mut shared: Option<Vec<&PatchOperation>> = None;
    for patch in patches.values() {
        let operations = patch.0.iter().filter(|one| counts(one)).collect();
        match &shared {
            None => shared = Some(operations),
            Some(first) if *first == operations => {}
            Some(_) => return None,
        }
    }
    let operations: Vec<PatchOperation> = shared?.into_iter().cloned().collect();
    let mut candidate = document.clone();
    let target = candidate.pointer_mut(template)?;
    if target.get("metadata").is_none_or(Value::is_null) {
        target
            .as_object_mut()?
            .insert("metadata".to_owned(), json!({}));
    }
    json_patch::patch(target, &operations).ok()?;
    Some(candidate)
}

/// The change that all clusters share but for their replicas, which are added up.
fn added_up(
    document: &Value,
    template: &str,
    patches: &BTreeMap<&ClusterName, Patch>,
    held: &BTreeMap<&ClusterName, Value>,
) -> Option<Value> {
    const REPLICAS: &str = "/spec/replicas";
    let mut candidate = for_all(document, template, patches, |one| {
        one.path().as_str() != REPLICAS
    })?;
    let total = held
        .values()
        .map(|manifest| manifest.pointer(REPLICAS)?.as_i64())
        .sum::<Option<i64>>()?;
    let stated = match candidate.pointer("/spec/replicas/total") {
        Some(_) => candidate.pointer_mut("/spec/replicas/total")?,
        None => candidate.pointer_mut(&format!("{template}{REPLICAS}"))?,
    };
    *stated = json!(total);
    Some(candidate)
}

/// The list of overrides of a document, made where it has none.
fn overrides_of(document: &mut Value) -> Option<&mut Vec<Value>> {
    let spec = document.get_mut("spec")?.as_object_mut()?;
    let overrides = spec.entry("overrides").or_insert_with(|| json!([]));
    overrides.as_array_mut()
}

/// The document with an override more for each cluster that holds something else.
fn for_each(document: &Value, patches: &BTreeMap<&ClusterName, Patch>) -> Option<Value> {
    let mut candidate = document.clone();
    let overrides = overrides_of(&mut candidate)?;
    for (cluster, patch) in patches {
        if !patch.0.is_empty() {
            overrides.push(json!({"clusters": [cluster.as_str()], "patches": patch}));
        }
    }
    Some(candidate)
}

/// The same in KubeFed's words, which allow one list for each cluster: what it says already stays, and goes first.
fn for_each_of_kubefed(document: &Value, patches: &BTreeMap<&ClusterName, Patch>) -> Option<Value> {
    let mut candidate = document.clone();
    let overrides = overrides_of(&mut candidate)?;
    for (cluster, patch) in patches {
        if patch.0.is_empty() {
            continue;
        }
        let operations = serde_json::to_value(patch).ok()?;
        let is_its = |one: &&mut Value| one["clusterName"] == cluster.as_str();
        match overrides.iter_mut().find(is_its) {
            Some(there) => {
                let there = there.as_object_mut()?;
                let list = there.entry("clusterOverrides").or_insert_with(|| json!([]));
                let more = operations.as_array().cloned()?;
                list.as_array_mut()?.extend(more);
            }
            None => overrides
                .push(json!({"clusterName": cluster.as_str(), "clusterOverrides": operations})),
        }
    }
    Some(candidate)
}

/// A manifest without what says nothing: nulls and empty labels and annotations in its metadata, and its status.
fn plain(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(whole) = manifest.as_object_mut() {
        whole.remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, value| {
            let says_nothing = match value {
                Value::Null => true,
                Value::Object(fields) => {
                    fields.is_empty() && ["labels", "annotations"].contains(&field.as_str())
                }
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
            };
            !says_nothing
        });
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::{Document, Fleet, plan};

    fn name(text: &str) -> ClusterName {
        ClusterName::parse(text).expect("valid")
    }

    fn render(document: &Value) -> Result<Manifests, Refusal> {
        let clusters = ["eu-1", "us-1"].map(name);
        let mut fleet = Fleet::of(clusters.clone().map(crate::model::Cluster::named));
        // KubeFed's objects go where their namespace is.
        let namespace = "Namespace/shop".parse().expect("valid");
        for cluster in &clusters {
            fleet.hold(&namespace, cluster);
        }
        let document = Document {
            file: String::new(),
            index: 0,
            value: Ok(document.clone()),
        };
        let mut report = plan(&[document], fleet, &[]);
        if let Some(refused) = report.refusals.pop() {
            return Err(Refusal::new(refused.field, refused.message));
        }
        let row = report.objects.pop().expect("one object");
        if let Some(refusal) = row.refusal {
            return Err(refusal);
        }
        let planned = row.clusters.into_iter();
        Ok(planned.map(|one| (one.cluster, one.manifest)).collect())
    }

    fn document(more: Value) -> Value {
        let mut document = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "template": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 4, "image": "web:1"}},
                "placement": {"clusters": ["eu-1", "us-1"]},
            },
        });
        for (field, value) in more.as_object().expect("fields") {
            document["spec"][field] = value.clone();
        }
        document
    }

    /// What clusters hold: what `document` comes to, changed by `change`.
    fn held(document: &Value, change: impl Fn(&str, &mut Value)) -> BTreeMap<ClusterName, Value> {
        let rendered = render(document).expect("rendered").into_iter();
        let changed = rendered.map(|(cluster, manifest)| {
            let mut manifest = Value::clone(&manifest);
            change(cluster.as_str(), &mut manifest);
            (cluster, manifest)
        });
        changed.collect()
    }

    #[test]
    fn what_all_hold_alike_becomes_the_template() {
        let overridden = json!({"overrides": [
            {"clusters": ["us-1"], "patches": [{"op": "replace", "path": "/spec/image", "value": "web:us"}]},
        ]});
        let document = document(overridden);
        let held = held(&document, |_, manifest| {
            manifest["metadata"]["labels"] = json!({"tier": "1"});
            manifest["spec"]["paused"] = json!(true);
        });
        let taken = take(&document, &held, render).expect("taken");
        assert_eq!(
            taken["spec"]["template"]["metadata"]["labels"],
            json!({"tier": "1"})
        );
        assert_eq!(taken["spec"]["template"]["spec"]["image"], "web:1");
        assert_eq!(taken["spec"]["overrides"], document["spec"]["overrides"]);
    }

    #[test]
    fn divided_replicas_are_added_up() {
        let document = document(json!({"replicas": {"divide": "weighted", "total": 4}}));
        let held = held(&document, |_, manifest| {
            manifest["spec"]["replicas"] = json!(5);
        });
        let taken = take(&document, &held, render).expect("taken");
        assert_eq!(taken["spec"]["replicas"]["total"], 10);
        assert_eq!(taken["spec"].get("overrides"), None);
    }

    #[test]
    fn what_each_holds_otherwise_becomes_its_override() {
        let document = document(json!({}));
        let held = held(&document, |cluster, manifest| {
            manifest["spec"]["image"] = json!(format!("web:{cluster}"));
        });
        let taken = take(&document, &held, render).expect("taken");
        let overrides = taken["spec"]["overrides"].as_array().expect("overrides");
        assert_eq!(overrides.len(), 2);
        assert_eq!(
            render(&taken).expect("rendered")[&name("us-1")]["spec"]["image"],
            "web:us-1"
        );
    }

    #[test]
    fn what_is_the_same_stays_and_what_cannot_be_said_is_refused() {
        let document = document(json!({}));
        let same = held(&document, |_, manifest| {
            manifest["metadata"]["labels"] = json!({});
            manifest["status"] = json!({"ready": 1});
        });
        assert_eq!(take(&document, &same, render), Ok(document.clone()));
        let elsewhere = BTreeMap::from([(name("ap-1"), json!({}))]);
        let refused = take(&document, &elsewhere, render).expect_err("refused");
        assert!(refused.message.contains("ap-1"), "{refused}");

        let kubefed = json!({
            "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedConfigMap", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"data": {"a": "1"}}, "placement": {"clusters": [{"name": "eu-1"}, {"name": "us-1"}]}},
        });
        let differ = held(&kubefed, |cluster, manifest| {
            manifest["data"]["a"] = json!(cluster);
        });
        let taken = take(&kubefed, &differ, render).expect("taken");
        let of = |cluster: &str, value: &str| json!({"clusterName": cluster, "clusterOverrides": [{"op": "replace", "path": "/data/a", "value": value}]});
        assert_eq!(
            taken["spec"]["overrides"],
            json!([of("eu-1", "eu-1"), of("us-1", "us-1")])
        );
        // On top of what it says already about a cluster.
        let differ = self::held(&taken, |cluster, manifest| {
            if cluster == "us-1" {
                manifest["data"]["b"] = json!("x");
            }
        });
        let again = take(&taken, &differ, render).expect("taken");
        let overrides = again["spec"]["overrides"].as_array().expect("a list");
        assert_eq!(overrides.len(), 2, "one list for each cluster");
        assert_eq!(overrides[1]["clusterOverrides"][1]["path"], "/data/b");
        let alike = held(&kubefed, |_, manifest| {
            manifest["data"]["a"] = json!("2");
        });
        let taken = take(&kubefed, &alike, render).expect("taken");
        assert_eq!(taken["spec"]["template"]["data"]["a"], "2");
    }

    #[test]
    fn what_a_plain_object_cannot_say_of_each_cluster_is_named_for_an_override_policy() {
        let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}, "data": {"a": "1"}});
        let render = |document: &Value| {
            let clusters = ["eu-1", "us-1"].map(name).into_iter();
            Ok(clusters
                .map(|cluster| (cluster, Arc::new(document.clone())))
                .collect())
        };
        let copies = |change: &dyn Fn(&str, &mut Value)| -> BTreeMap<ClusterName, Value> {
            let clusters = ["eu-1", "us-1"].into_iter().map(|cluster| {
                let mut copy = document.clone();
                change(cluster, &mut copy);
                (name(cluster), copy)
            });
            clusters.collect()
        };
        let differ = copies(&|cluster, copy| copy["data"]["a"] = json!(cluster));
        let refused = take(&document, &differ, render).expect_err("refused");
        for part in [
            "eu-1: /data/a; us-1: /data/a",
            "OverridePolicy",
            "--reapply",
        ] {
            assert!(refused.message.contains(part), "{part}: {refused}");
        }
        let alike = copies(&|_, copy| copy["data"]["a"] = json!("2"));
        let taken = take(&document, &alike, render).expect("taken");
        assert_eq!(taken["data"]["a"], "2");
    }
}
