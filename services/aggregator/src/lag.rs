//! How far the view is behind the streams, looked at every few seconds.

use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::{Bus, streams};
use fleetcast_endpoint::Part;
use fleetcast_endpoint::metrics::set;
use fleetcast_schemas::subject;

use crate::shared::Shared;

/// Between two looks at where the streams end.
const LOOK: Duration = Duration::from_secs(2);

/// Looks for ever at how far the view is behind the streams.
pub(crate) async fn watch(bus: &Bus, shared: &Arc<Shared>) {
    let metrics = &shared.metrics;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let (log, acks) = {
            let view = shared.view.read().await;
            let folded = |partition| view.acks.get(&partition).copied().unwrap_or(0);
            let partitions = 0..view.partitions().unwrap_or(0);
            let acks: Vec<_> = partitions.map(|one| (one, folded(one))).collect();
            (view.log, acks)
        };
        set(&metrics.position, log);
        let is_whole = shared.progress.borrow().is_whole;
        metrics.health.has_part(is_whole.then_some(Part::Serving));
        match behind(bus, shared, log, &acks).await {
            Ok(lag) if is_whole => metrics.health.is_behind(lag),
            Ok(_) => metrics.health.lost_its_place(),
            Err(error) => tracing::debug!(%error, "it cannot be said how far the view is behind"),
        }
    }
}

/// How many messages the streams have that are not folded.
async fn behind(
    bus: &Bus,
    shared: &Arc<Shared>,
    log: u64,
    acks: &[(u16, u64)],
) -> Result<u64, fleetcast_bus::Error> {
    let metrics = &shared.metrics;
    let mut lag = bus.last_sequence(streams::LOG).await?.saturating_sub(log);
    for &(partition, folded) in acks {
        let end = bus.last_sequence(&streams::acks(partition)).await?;
        let word = subject::partition_token(partition);
        metrics.ack_position.set(word.clone(), folded);
        let behind = end.saturating_sub(folded);
        metrics.ack_lag.set(word, behind);
        lag = lag.saturating_add(behind);
    }
    Ok(lag)
}
