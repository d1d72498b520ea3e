//! What would land where, and why: the answer of `fleetcast plan`, in the form of its contract (DESIGN, section 6).

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::Refusal;
use crate::model::{ClusterName, Dialect, ObjectKey};
use crate::placement::Exclusion;

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// One row an object, in input order.
    pub objects: Vec<ObjectPlan>,
    /// Documents that are no object at all, in input order.
    pub refusals: Vec<RefusedDocument>,
}

/// Where one object would land.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectPlan {
    /// The object that it becomes in the clusters.
    pub object: Target,
    /// Whose words it is written in.
    pub dialect: Dialect,
    /// Why it is refused as a whole; `clusters` is then empty.
    pub refusal: Option<Refusal>,
    /// Where it lands, by cluster name.
    pub clusters: Vec<PlannedCluster>,
    /// Where it does not, by cluster name.
    pub excluded: Vec<ExcludedCluster>,
    /// Replicas for which there is no place.
    pub unplaced_replicas: i64,
}

/// An object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; null for cluster scope.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Target {
    /// The key by which documents of the same object are found; none where a part is malformed.
    pub fn key(&self) -> Option<ObjectKey> {
        let Self {
            api_version,
            kind,
            namespace,
            name,
        } = self;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        ObjectKey::new(kind, group, namespace.as_deref(), name).ok()
    }
}

/// A cluster that an object lands in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCluster {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its replicas there; null for kinds without.
    pub replicas: Option<i64>,
    /// Why there and so.
    pub reasons: Vec<String>,
    /// The rendered manifest, without our marks; shared by all clusters that get the same.
    #[serde(serialize_with = "shared")]
    pub manifest: Arc<Value>,
}

fn shared<S: Serializer>(manifest: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    manifest.serialize(serializer)
}

/// A cluster that an object does not land in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExcludedCluster {
    /// The cluster.
    pub cluster: ClusterName,
    /// The rule.
    pub reason: Exclusion,
    /// The rule applied, for a person.
    pub message: String,
    /// The field, where the reason is Refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A document that is no object at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedDocument {
    /// The file.
    pub file: String,
    /// Its place in the file, counted from 0.
    pub document: usize,
    /// The field.
    pub field: String,
    /// The reason.
    pub message: String,
}

/// What a cluster holds of an object today (`--observed`); what is absent is unknown, which means no limit known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// `deployment/shop/web`.
    pub object: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Replicas that it is asked for there; a row with these is the object's previous placement.
    #[serde(default)]
    pub replicas: Option<i64>,
    /// Replicas that are ready.
    #[serde(default)]
    pub ready: Option<i64>,
    /// How many replicas the cluster could hold in all (KubeFed's estimated capacity).
    #[serde(default)]
    pub capacity: Option<i64>,
    /// How many more it could take (Karmada's available replicas).
    #[serde(default)]
    pub available: Option<i64>,
}
