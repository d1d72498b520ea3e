//! From a document to the model, or to a refusal that names the field.
//!
//! | dialect | documents | file |
//! |---|---|---|
//! | native | `fleetcast.dev/v1alpha1` FederatedObject, ClusterFederatedObject, MemberCluster | [`native`] |
//! | KubeFed | `types.kubefed.io/v1beta1` `Federated<Kind>` | [`kubefed`] |
//! | Karmada | plain objects | [`karmada::live`] |
//! | KubeFed, Karmada | policies | [`policies`] |
//!
//! A cluster's document of any dialect is read by the model itself ([`Cluster::read_any`]).
//!
//! A new dialect is one file with a `read`, one variant of [`Dialect`](crate::model::Dialect) and one arm in [`read`].

pub mod karmada;
pub mod kinds;
pub mod kubefed;
pub mod native;
pub mod policies;

use serde_json::Value;

use self::karmada::live::Scopes;
use self::kinds::Catalog;
use crate::Refusal;
use crate::field::Field;
use crate::model::{Cluster, Dialect, FederatedObject, ObjectKey};

/// What a document turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A federated object.
    Object(Box<FederatedObject>),
    /// A member cluster.
    Cluster(Box<Cluster>),
}

/// Reads a document of any dialect.
///
/// # Errors
/// A refusal that names the field; a plain Kubernetes object is refused with the advice to place it.
pub fn read(document: &Value) -> Result<Input, Refusal> {
    read_with(document, &Catalog::default())
}

/// Reads a document of any dialect, with what was learnt about kinds.
///
/// # Errors
/// As [`read`].
pub fn read_with(document: &Value, catalog: &Catalog) -> Result<Input, Refusal> {
    let root = Field::root(document);
    root.object()?;
    let (api_version, kind) = (root.get("apiVersion").string()?, root.get("kind").string()?);
    if let Some(cluster) = Cluster::read_any(document) {
        return cluster.map(Box::new).map(Input::Cluster);
    }
    match (api_version, kind) {
        (native::API_VERSION, _) => native::read(document).map(Box::new).map(Input::Object),
        (kubefed::API_VERSION, _) => kubefed::read_with(document, catalog)
            .map(Box::new)
            .map(Input::Object),
        _ if !is_plain(api_version) => Err(root
            .get("kind")
            .refuse(format!("{api_version} {kind} is not read by this version"))),
        _ => Err(Refusal::new(
            "",
            format!(
                "a plain {kind} says nothing about clusters: hand it in with --clusters, or wrap it in a FederatedObject"
            ),
        )),
    }
}

/// What is handed in: what [`read`] knows, and what the log knows beyond that.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A federated object.
    Object(Box<FederatedObject>),
    /// A plain object, placed by the policies in the log.
    Plain(ObjectKey),
    /// A policy.
    Policy(Dialect, ObjectKey),
    /// A member cluster.
    Cluster(Box<Cluster>),
}

impl Submitted {
    /// Reads a document of any dialect that is handed in.
    ///
    /// # Errors
    /// As [`read`], but that plain objects and policies are taken.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        Self::read_among(document, &Scopes::default())
    }

    /// Reads a document of any dialect that is handed in together with others, which tell the scope of kinds that nobody knows.
    ///
    /// # Errors
    /// As [`Submitted::read`].
    pub fn read_among(document: &Value, scopes: &Scopes) -> Result<Self, Refusal> {
        if let Some(policy) = policies::read(document) {
            return policy.map(|(dialect, key)| Self::Policy(dialect, key));
        }
        let root = Field::root(document);
        root.object()?;
        if is_plain(root.get("apiVersion").string()?) {
            return karmada::live::identify(document, scopes).map(Self::Plain);
        }
        Ok(match read(document)? {
            Input::Object(object) => Self::Object(object),
            Input::Cluster(cluster) => Self::Cluster(cluster),
        })
    }

    /// What it is about: a federated object's target, and for a cluster the key that stands for it on the bus.
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Object(object) => object.target.clone(),
            Self::Plain(key) | Self::Policy(_, key) => key.clone(),
            Self::Cluster(cluster) => ObjectKey::of_cluster(&cluster.name),
        }
    }
}

/// The object that a document would become in the clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none for cluster scope.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// Whose words a document is written in and which object it would become, where it says so much: also of one that is refused.
pub fn identify(document: &Value, catalog: &Catalog) -> Option<(Dialect, Identity)> {
    match document.get("apiVersion")?.as_str()? {
        native::API_VERSION => Some((Dialect::Native, native::identify(document)?)),
        kubefed::API_VERSION => Some((Dialect::Kubefed, kubefed::identify(document, catalog)?)),
        _ => None,
    }
}

/// Whether objects of `api_version` are placed by somebody else's words or are no federated objects at all: neither ours, KubeFed's nor
/// Karmada's.
pub fn is_plain(api_version: &str) -> bool {
    !["kubefed.io", "karmada.io", "fleetcast.dev"]
        .iter()
        .any(|domain| group_of(api_version).ends_with(domain))
}

/// The group in an apiVersion: empty for the core group (`v1`).
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Turns a template into the object that is rendered: identity set, what only an API server writes taken out.
fn complete(
    mut template: Value,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Value {
    let object = template.as_object_mut().expect("callers pass an object");
    object.remove("status");
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Default::default()));
    // Null is as good as absent.
    if metadata.is_null() {
        *metadata = Value::Object(Default::default());
    }
    if let Some(metadata) = metadata.as_object_mut() {
        for key in [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
            "namespace",
        ] {
            metadata.remove(key);
        }
        metadata.insert("name".into(), name.into());
        if let Some(namespace) = namespace {
            metadata.insert("namespace".into(), namespace.into());
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_dialect_reads_is_refused_with_a_reason() {
        for (document, field, part) in [
            (json!("text"), "", "must be an object"),
            (json!({"kind": "Pod"}), "apiVersion", "is required"),
            (json!({"apiVersion": "v1"}), "kind", "is required"),
            (json!({"apiVersion": "v1", "kind": "Pod"}), "", "--clusters"),
            (
                json!({"apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference"}),
                "kind",
                "not read by this version",
            ),
            (
                json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "Wave", "metadata": {"name": "w"}}),
                "kind",
                "is none of",
            ),
        ] {
            let refusal = read(&document).expect_err("refused");
            assert_eq!(refusal.field, field, "{document}");
            assert!(refusal.message.contains(part), "{refusal}");
        }
    }
}
