//! How much room clusters have, as their agents' heartbeats say it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use fleetcast_core::capacity::Capacity;
use fleetcast_core::model::ClusterName;

/// By cluster, what was heard last.
#[derive(Debug, Default)]
pub(crate) struct Capacities(RwLock<BTreeMap<ClusterName, Capacity>>);

impl Capacities {
    /// What a cluster has room for, where that is known.
    pub(crate) fn of(&self, cluster: &ClusterName) -> Option<Capacity> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(cluster).cloned()
    }

    /// Takes note of what was heard: whether that is new.
    pub(crate) fn heard(&self, cluster: &ClusterName, capacity: Capacity) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.get(cluster) == Some(&capacity) {
            return false;
        }
        known.insert(cluster.clone(), capacity);
        true
    }
}
