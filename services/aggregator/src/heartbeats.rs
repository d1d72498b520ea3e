//! Listens to agents' heartbeats: how much room their clusters have.

use fleetcast_bus::{Delivery, Subscription};
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

use crate::shared::Shared;

/// Listens for ever; who is heard by nobody else is heard again within seconds.
pub(crate) async fn listen(shared: &Shared, mut heartbeats: Subscription) {
    while let Some(Delivery { message, .. }) = heartbeats.next().await {
        let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject) else {
            continue;
        };
        shared.metrics.heartbeats.inc();
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
