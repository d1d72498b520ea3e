//! Hears agents' heartbeats: how much room their clusters have, and which strays are in them.

use fleetcast_bus::{Bus, streams};
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

use crate::shared::Shared;

/// Listens for ever: first to the newest of each agent, then to what comes.
pub(crate) async fn listen(bus: &Bus, shared: &Shared) {
    let mut heartbeats = bus.follow(streams::HEARTBEAT, &[], 0);
    while let Some(stored) = heartbeats.recv().await {
        let message = &stored.message;
        let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject) else {
            continue;
        };
        shared.metrics.heartbeats.inc();
        let Ok(heartbeat) = event::read_heartbeat(&message.headers, &message.payload) else {
            continue;
        };
        if let Some(capacity) = heartbeat.capacity
            && shared.capacities.heard(&lane.cluster, capacity)
            && let Some(touched) = &shared.touched
        {
            touched.capacity(&lane.cluster);
        }
        // Who cannot look says nothing about what is there.
        if heartbeat.trouble.is_none() || heartbeat.strays.is_some() {
            shared.strays.heard(lane.cluster, heartbeat.strays);
        }
    }
    std::future::pending().await
}
