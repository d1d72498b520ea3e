//! What agents tell of strays in their heartbeats: kept in memory, since each tells it again within seconds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fleetcast_bus::{Bus, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_core::reconcile::Strays;
use fleetcast_core::time::Time;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

/// By cluster: what its agent told last, and when.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<ClusterName, (Strays, Time)>>);

impl Told {
    /// What is told now.
    pub(crate) fn all(&self) -> BTreeMap<ClusterName, (Strays, Time)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn take(&self, cluster: ClusterName, strays: Option<Strays>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match strays {
            Some(strays) => drop(told.insert(cluster, (strays, fleetcast_bus::now()))),
            None => drop(told.remove(&cluster)),
        }
    }
}

/// Hears heartbeats, for ever.
pub(crate) async fn follow(bus: &Bus, told: &Told) {
    let mut heartbeats = bus.follow(streams::HEARTBEAT, &[], 0);
    while let Some(stored) = heartbeats.recv().await {
        let message = &stored.message;
        if let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject)
            && let Ok(heartbeat) = event::read_heartbeat(&message.headers, &message.payload)
            // Who cannot look says nothing about what is there.
            && (heartbeat.trouble.is_none() || heartbeat.strays.is_some())
        {
            told.take(lane.cluster, heartbeat.strays);
        }
    }
    std::future::pending().await
}
