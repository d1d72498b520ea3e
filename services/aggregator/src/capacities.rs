//! How much room clusters have, as their agents' heartbeats say it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use fleetcast_bus::{Delivery, Subscription};
use fleetcast_core::capacity::Capacity;
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

use crate::shared::Shared;

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
    fn heard(&self, cluster: &ClusterName, capacity: Capacity) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.get(cluster) == Some(&capacity) {
            return false;
        }
        known.insert(cluster.clone(), capacity);
        true
    }
}

/// Listens for ever; who is heard by nobody else is heard again within seconds.
pub(crate) async fn listen(shared: &Shared, mut heartbeats: Subscription) {
    while let Some(Delivery { message, .. }) = heartbeats.next().await {
        let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject) else {
            continue;
        };
        let read = event::read_heartbeat(&message.headers, &message.payload);
        let capacity = read.ok().and_then(|heartbeat| heartbeat.capacity);
        if let Some(capacity) = capacity
            && shared.capacities.heard(&lane.cluster, capacity)
            && let Some(touched) = &shared.touched
        {
            touched.capacity(&lane.cluster);
        }
    }
    std::future::pending().await
}
