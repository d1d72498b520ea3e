//! One object of a hub as it was seen: what it declares, and what of it is the hub's own affair.
//!
//! What counts as a change is settled here: two states whose documents are equal are one change. The hub's bookkeeping (`status`, `resourceVersion`,
//! `managedFields`, `generation`, finalizers, owners, kubectl's last-applied annotation, our own annotations) is in no document.

use serde_json::{Map, Value};

use crate::Refusal;
use crate::dialect::{self, Submitted, is_plain, karmada};
use crate::digest;
use crate::document::Document;
use crate::model::federated::{OnDelete, Predecessor};
use crate::model::{Cluster, ObjectKey};

/// Holds an object of a hub until its withdrawal is in the log.
pub const FINALIZER: &str = "fleetcast.dev/withdrawal";
/// The annotation that lets an object go that is being deleted, whatever clusters still hold: any value but `false`.
pub const LET_GO: &str = "fleetcast.dev/let-go";
/// The annotation that says which content of a cluster object was registered last.
pub const REGISTERED: &str = "fleetcast.dev/registered";
/// kubectl's memory of what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of a hub as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub version: u64,
    /// Its generation; 0 for kinds that count none.
    pub generation: u64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// All its finalizers.
    pub finalizers: Vec<String>,
    /// Whether somebody lets it go whatever clusters still hold.
    pub let_go: bool,
    /// A digest of what its metadata say that may be a change.
    pub metadata: String,
    /// The status of its condition `Accepted`, where it has one.
    pub accepted: Option<bool>,
    /// What it declares.
    pub what: What,
}

/// Seals the values of a document about an object in place, and answers how it was sealed under each key before the newest.
///
/// Its errors say why that cannot be done: the object is refused then.
pub type Seal<'a> = &'a dyn Fn(&mut Value, &ObjectKey) -> Result<Vec<Value>, Refusal>;

/// Leaves a document as it is.
///
/// # Errors
/// None.
pub fn unsealed(_: &mut Value, _: &ObjectKey) -> Result<Vec<Value>, Refusal> {
    Ok(Vec::new())
}

/// What an object of a hub declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A federated object, a policy, or a plain object.
    Change {
        /// What it is about.
        target: ObjectKey,
        /// What is handed in.
        document: Document,
        /// Of the document.
        digest: String,
        /// Digests of the document as keys before the newest would have sealed it: where the log has one of these, nothing changed.
        before: Vec<String>,
        /// Whether the members' copies go with it.
        waits: bool,
    },
    /// A cluster.
    Cluster {
        /// The key that stands for it on the bus.
        target: ObjectKey,
        /// What is handed in.
        document: Document,
        /// Of the document.
        digest: String,
        /// The digest of what was registered last.
        registered: Option<String>,
    },
    /// Only its metadata were seen.
    Metadata,
    /// Nothing that can be taken in.
    Refused(Refusal),
}

impl Sighting {
    /// Whether our finalizer holds it.
    pub fn is_held(&self) -> bool {
        self.finalizers.iter().any(|one| one == FINALIZER)
    }

    /// Its finalizers with ours; or without, and without those of the controllers whose place we took: nobody else would take them off.
    pub fn finalizers_with_ours(&self, held: bool) -> Vec<String> {
        let others = self.finalizers.iter().filter(|one| {
            let is_theirs = [Predecessor::Kubefed, Predecessor::Karmada]
                .iter()
                .any(|before| before.owns(one));
            *one != FINALIZER && (held || !is_theirs)
        });
        let ours = held.then(|| FINALIZER.to_owned());
        others.cloned().chain(ours).collect()
    }

    /// Reads a live object, and where it stands on the hub; none where it is no object at all.
    pub fn read(live: &Value) -> Option<(ObjectKey, Self)> {
        let (place, mut sighting) = Self::read_metadata(live)?;
        sighting.what = What::of(live, &unsealed);
        Some((place, sighting))
    }

    /// Reads a live object of which only the metadata were asked for.
    pub fn read_metadata(live: &Value) -> Option<(ObjectKey, Self)> {
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str);
        let (api_version, kind) = (text("/apiVersion")?, text("/kind")?);
        let place = ObjectKey::new(
            kind,
            dialect::group_of(api_version),
            text("/metadata/namespace"),
            text("/metadata/name")?,
        );
        let metadata = &live["metadata"];
        let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
        let let_go = &metadata["annotations"][LET_GO];
        let conditions = live["status"]["conditions"].as_array();
        let accepted = conditions
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "Accepted")
            .and_then(|one| one["status"].as_str())
            .map(|status| status == "True");
        let sighting = Self {
            uid: text("/metadata/uid")?.to_owned(),
            version: text("/metadata/resourceVersion")?.parse().ok()?,
            generation: metadata["generation"].as_u64().unwrap_or(0),
            deleting: metadata["deletionTimestamp"].is_string(),
            finalizers: finalizers
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            let_go: let_go.is_string() && *let_go != "false",
            metadata: digest::short(&digest::canonical(&Value::Object(own_metadata(live)))),
            accepted,
            what: What::Metadata,
        };
        Some((place.ok()?, sighting))
    }
}

impl What {
    /// What a live object declares, sealed.
    pub(super) fn of(live: &Value, seal: Seal<'_>) -> Self {
        read(live, seal).unwrap_or_else(Self::Refused)
    }
}

fn read(live: &Value, seal: Seal<'_>) -> Result<What, Refusal> {
    let (mut document, registered) = (document(live), &live["metadata"]["annotations"][REGISTERED]);
    let taken = |document: &Value| {
        let bytes = Document::from_value(document);
        let digest = digest::of_bytes(bytes.as_bytes());
        (bytes, digest)
    };
    let submitted = match Submitted::read(&document) {
        Ok(Submitted::Cluster(cluster)) => {
            let (document, digest) = taken(&document);
            return Ok(What::Cluster {
                target: ObjectKey::of_cluster(&cluster.name),
                document,
                digest,
                registered: registered.as_str().map(str::to_owned),
            });
        }
        Ok(submitted) => submitted,
        Err(refusal) => return Err(unquoted(document, refusal, seal)),
    };
    let target = submitted.key();
    let before = seal(&mut document, &target)?;
    let (document, digest) = taken(&document);
    Ok(What::Change {
        target,
        document,
        digest,
        before: before.iter().map(|before| taken(before).1).collect(),
        waits: match submitted {
            Submitted::Object(object) => object.apply.on_delete == OnDelete::Delete,
            Submitted::Plain(_) => true,
            Submitted::Policy(..) | Submitted::Cluster(_) => false,
        },
    })
}

/// A refusal of `document` that quotes no value which is to be sealed.
fn unquoted(mut document: Value, refusal: Refusal, seal: Seal<'_>) -> Refusal {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let group = dialect::group_of(text("/apiVersion").unwrap_or_default());
    let namespace = text("/metadata/namespace");
    let name = text("/metadata/name").unwrap_or_default();
    let place = ObjectKey::new(text("/kind").unwrap_or_default(), group, namespace, name);
    let Ok(place) = place else {
        return refusal;
    };
    match seal(&mut document, &place) {
        Ok(_) => Submitted::read(&document).err().unwrap_or(refusal),
        Err(unsealed) => unsealed,
    }
}

/// What a live object declares, without what is the hub's own affair.
pub fn document(live: &Value) -> Value {
    let mut document = live.clone();
    let api_version = live["apiVersion"].as_str().unwrap_or_default().to_owned();
    let metadata = own_metadata(live);
    if is_plain(&api_version) {
        karmada::strip(&mut document);
    }
    let Some(object) = document.as_object_mut() else {
        return document;
    };
    match object.get_mut("status") {
        Some(status) if Cluster::is_foreign(live) => {
            // Whether it is ready and what it has room for is for its agent to say from now on.
            if let Some(status) = status.as_object_mut() {
                for told in [
                    "conditions",
                    "kubernetesVersion",
                    "nodeSummary",
                    "resourceSummary",
                ] {
                    status.remove(told);
                }
                if status.is_empty() {
                    object.remove("status");
                }
            }
        }
        Some(_) => drop(object.remove("status")),
        None => {}
    }
    let stripped = object.remove("metadata").unwrap_or_default();
    let mut metadata = metadata;
    if is_plain(&api_version) {
        // Karmada's own pruning knows more annotations that are the hub's.
        match stripped["annotations"].as_object() {
            Some(kept) => retain_annotations(&mut metadata, |key| kept.contains_key(key)),
            None => drop(metadata.remove("annotations")),
        }
    }
    object.insert("metadata".to_owned(), Value::Object(metadata));
    document
}

/// The metadata that may be a change: name, namespace, labels, annotations; of what Karmada's rules look at also uid and age.
fn own_metadata(live: &Value) -> Map<String, Value> {
    let api_version = live["apiVersion"].as_str().unwrap_or_default();
    let is_karmadas =
        is_plain(api_version) || dialect::group_of(api_version).ends_with("karmada.io");
    let mut metadata = Map::new();
    for key in ["name", "namespace", "labels", "annotations"] {
        if let Some(value) = live["metadata"].get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    if is_karmadas {
        for key in ["uid", "creationTimestamp"] {
            if let Some(value) = live["metadata"].get(key) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
    }
    retain_annotations(&mut metadata, |key| {
        ![LAST_APPLIED, LET_GO, REGISTERED].contains(&key)
    });
    for key in ["labels", "annotations"] {
        if metadata
            .get(key)
            .is_some_and(|map| map.as_object().is_none_or(Map::is_empty))
        {
            metadata.remove(key);
        }
    }
    metadata
}

fn retain_annotations(metadata: &mut Map<String, Value>, keep: impl Fn(&str) -> bool) {
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.retain(|key, _| keep(key));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live() -> Value {
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": "db", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2, "labels": {"a": "b"}},
            "spec": {"template": {"apiVersion": "v1", "kind": "Secret"}, "placement": {"clusters": ["eu"]}},
        })
    }

    fn digest_of(live: &Value) -> String {
        match Sighting::read(live).expect("an object").1.what {
            What::Change { digest, .. } => digest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_hubs_bookkeeping_is_no_change() {
        for (pointer, value, is_change) in [
            ("/status", json!({"placed": 2}), false),
            ("/metadata/resourceVersion", json!("9"), false),
            ("/metadata/generation", json!(3), false),
            (
                "/metadata/managedFields",
                json!([{"manager": "kubectl"}]),
                false,
            ),
            (
                "/metadata/finalizers",
                json!(["fleetcast.dev/withdrawal", "x"]),
                false,
            ),
            ("/metadata/ownerReferences", json!([{"uid": "o"}]), false),
            (
                "/metadata/creationTimestamp",
                json!("2026-01-01T00:00:00Z"),
                false,
            ),
            (
                "/metadata/deletionTimestamp",
                json!("2026-01-01T00:00:00Z"),
                false,
            ),
            (
                "/metadata/annotations",
                json!({LAST_APPLIED: "{}", LET_GO: "true"}),
                false,
            ),
            ("/metadata/annotations", json!({"team": "a"}), true),
            ("/metadata/labels", json!({"a": "c"}), true),
            ("/spec/suspend", json!(true), true),
        ] {
            let mut other = live();
            let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
            other.pointer_mut(parent).expect("there")[field] = value.clone();
            let differs = digest_of(&other) != digest_of(&live());
            assert_eq!(differs, is_change, "{pointer} {value}");
        }
    }

    #[test]
    fn what_is_let_go_loses_the_finalizers_of_whose_place_we_took_and_nobody_elses() {
        let mut live = live();
        let all = [
            "kubefed.io/sync-controller",
            "karmada.io/cluster-controller",
            "notkarmada.io/x",
            FINALIZER,
        ];
        live["metadata"]["finalizers"] = json!(all);
        let (_, sighting) = Sighting::read(&live).expect("an object");
        assert_eq!(sighting.finalizers_with_ours(true), all);
        assert_eq!(sighting.finalizers_with_ours(false), ["notkarmada.io/x"]);
    }

    #[test]
    fn a_plain_object_keeps_what_karmadas_rules_look_at_and_loses_what_controllers_write() {
        let live = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"],
                "annotations": {"deployment.kubernetes.io/revision": "1", "team": "a"}},
            "spec": {"replicas": 2}, "status": {"replicas": 2},
        });
        let expected = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"team": "a"}},
            "spec": {"replicas": 2},
        });
        assert_eq!(document(&live), expected);
    }

    #[test]
    fn a_clusters_readiness_on_the_hub_is_no_change() {
        let cluster = |status: Value| {
            json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
                "metadata": {"name": "c1", "namespace": "kube-federation-system", "uid": "u", "resourceVersion": "1"},
                "spec": {"apiEndpoint": "https://c1"}, "status": status})
        };
        let read = |status| document(&cluster(status));
        let ready = json!({"region": "eu", "conditions": [{"type": "Ready", "status": "True"}]});
        let not = json!({"region": "eu", "conditions": [{"type": "Ready", "status": "False"}]});
        assert_eq!(read(ready.clone()), read(not));
        assert_ne!(read(ready), read(json!({"region": "us"})));
    }

    #[test]
    fn what_is_no_object_is_not_seen_and_what_cannot_be_read_is_refused_with_its_field() {
        assert_eq!(Sighting::read(&json!("text")), None);
        assert_eq!(
            Sighting::read(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}})),
            None
        );
        let mut bad = live();
        bad["spec"]["apply"] = json!({"drift": "sometimes"});
        let (place, sighting) = Sighting::read(&bad).expect("an object");
        assert_eq!(place.to_string(), "FederatedObject.fleetcast.dev/shop/db");
        assert!(
            matches!(sighting.what, What::Refused(refusal) if refusal.field == "spec.apply.drift")
        );
    }
}
