//! The fleet that is planned over: `MemberCluster`, `KubeFedCluster` and Karmada's `Cluster` documents, in any mixture.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Refusal;
use crate::dialect::karmada::Member;
use crate::model::{Cluster, ClusterName, ObjectKey};

/// Clusters as each dialect sees them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    clusters: BTreeMap<ClusterName, Cluster>,
    /// What Karmada's scheduler looks at, where Karmada's own document says more than ours.
    members: BTreeMap<ClusterName, Member>,
    /// What the clusters are known to hold, whether it has replicas or not.
    held: BTreeMap<ObjectKey, BTreeSet<ClusterName>>,
}

impl Fleet {
    /// The fleet that is registered.
    pub fn of(clusters: impl IntoIterator<Item = Cluster>) -> Self {
        let clusters = clusters.into_iter();
        Self {
            clusters: clusters
                .map(|cluster| (cluster.name.clone(), cluster))
                .collect(),
            members: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes note that `cluster` holds `object`.
    pub fn hold(&mut self, object: &ObjectKey, cluster: &ClusterName) {
        let held = self.held.entry(object.clone()).or_default();
        held.insert(cluster.clone());
    }

    /// The clusters that are known to hold `object`; none where it is not known at all.
    pub fn holders(&self, object: &ObjectKey) -> Option<&BTreeSet<ClusterName>> {
        self.held.get(object)
    }

    /// Takes in a cluster's document; a later one of the same name replaces the earlier. None where it is no cluster's.
    pub fn add(&mut self, document: &Value) -> Option<Result<(), Refusal>> {
        Some(Cluster::read_any(document)?.and_then(|cluster| {
            let name = cluster.name.clone();
            self.members.remove(&name);
            if document["kind"] == "Cluster" {
                self.members.insert(name.clone(), Member::read(document)?);
            }
            self.clusters.insert(name, cluster);
            Ok(())
        }))
    }

    /// The clusters by name.
    pub fn clusters(&self) -> &BTreeMap<ClusterName, Cluster> {
        &self.clusters
    }

    /// The clusters as Karmada's scheduler sees them.
    pub fn members(&self) -> BTreeMap<ClusterName, Member> {
        let member = |(name, cluster): (&ClusterName, &Cluster)| {
            let own = self.members.get(name).cloned();
            (
                name.clone(),
                own.unwrap_or_else(|| Member::from_cluster(cluster)),
            )
        };
        self.clusters.iter().map(member).collect()
    }
}
