//! What an agent counts: each metric bears the cluster's name as a label, which one process has one of.

use fleetcast_core::ack::Outcome;
use fleetcast_endpoint::Health;
use fleetcast_endpoint::metrics::{Counter, Counters, Gauge, Hops, set};

/// What an agent counts; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Items of work that came live.
    pub(crate) work: Counter,
    /// Attempts by outcome.
    pub(crate) attempts: Counters,
    /// Requests for what it lacks: answered, failed.
    pub(crate) syncs: Counters,
    /// Messages of acknowledgements that were sent.
    pub(crate) acknowledgements: Counter,
    /// Heartbeats that were sent.
    pub(crate) heartbeats: Counter,
    /// Work that nothing proves to be ingest's.
    pub(crate) forged: Counter,
    position: Gauge,
    pub(crate) hops: Hops,
    pub(crate) health: Health,
}

impl Metrics {
    /// Those that `health` tells.
    pub(crate) fn of(health: &Health) -> Self {
        Self {
            work: health.counter("agent_work", "Items of work that came live"),
            attempts: health.counters(
                "agent_attempts",
                "Attempts at items of work by their outcome: what is retrying or refused is tried again",
                "outcome",
                &Outcome::ALL.map(Outcome::word),
            ),
            syncs: health.counters(
                "agent_syncs",
                "Requests for what it lacks, by their outcome",
                "outcome",
                &["answered", "failed"],
            ),
            acknowledgements: health.counter(
                "agent_acknowledgements",
                "Messages of acknowledgements that were sent",
            ),
            heartbeats: health.counter("agent_heartbeats", "Heartbeats that were sent"),
            forged: health.counter(
                "agent_forged_work",
                "Items of work that were refused since nothing proves them to be ingest's",
            ),
            position: health.gauge(
                "agent_work_position",
                "The count of the cluster's work up to which it was read",
            ),
            hops: health.hops(),
            health: health.clone(),
        }
    }

    /// It has read up to `n`, and so much is not done and confirmed.
    pub(crate) fn stands(&self, n: u64, open: usize) {
        set(&self.position, n);
        self.health
            .is_behind(u64::try_from(open).unwrap_or(u64::MAX));
    }
}
