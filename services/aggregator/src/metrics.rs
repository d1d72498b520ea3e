//! What an aggregator counts.

use fleetcast_core::ack::{Batch, Outcome};
use fleetcast_core::log::{Entry, Event};
use fleetcast_endpoint::Health;
use fleetcast_endpoint::metrics::{Counter, Counters, Gauge, Gauges, Hop, Hops};

/// What an aggregator counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    acknowledgements: Counters,
    /// Answers to questions: answered, refused.
    pub(crate) queries: Counters,
    /// Heartbeats that were heard.
    pub(crate) heartbeats: Counter,
    /// Confirmations that were sent to agents.
    pub(crate) confirmations: Counter,
    /// Messages that nobody could read.
    pub(crate) dead_letters: Counter,
    pub(crate) position: Gauge,
    pub(crate) ack_position: Gauges,
    pub(crate) ack_lag: Gauges,
    hops: Hops,
    pub(crate) health: Health,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::of(&Health::default())
    }
}

impl Metrics {
    /// Those that `health` tells.
    pub(crate) fn of(health: &Health) -> Self {
        Self {
            acknowledgements: health.counters(
                "aggregator_acknowledgements",
                "Acknowledgements that were folded, by outcome",
                "outcome",
                &Outcome::ALL.map(Outcome::word),
            ),
            queries: health.counters(
                "aggregator_queries",
                "Questions to the view by what became of them",
                "outcome",
                &["answered", "refused"],
            ),
            heartbeats: health.counter(
                "aggregator_heartbeats",
                "Heartbeats of agents that were heard",
            ),
            confirmations: health.counter(
                "aggregator_confirmations",
                "Confirmations that were sent to agents",
            ),
            dead_letters: health
                .counter("aggregator_dead_letters", "Messages that nobody could read"),
            position: health.gauge(
                "aggregator_fold_position",
                "The log sequence up to which the view is folded",
            ),
            ack_position: health.gauges(
                "aggregator_ack_position",
                "The sequence up to which a partition's acknowledgements are folded",
                "partition",
                &[],
            ),
            ack_lag: health.gauges(
                "aggregator_ack_lag_messages",
                "How many messages of acknowledgements of a partition are not folded yet",
                "partition",
                &[],
            ),
            hops: health.hops(),
            health: health.clone(),
        }
    }

    /// A batch is folded; how long it took counts where it is not history.
    pub(crate) fn batch(&self, batch: &Batch, is_live: bool) {
        for ack in &batch.body.acks {
            self.acknowledgements.count(ack.outcome.word());
        }
        if is_live && let Some(ack) = batch.body.acks.last() {
            let took = fleetcast_bus::now().ms_since(ack.time);
            self.hops.took_ms(Hop::Acknowledge, took);
        }
    }

    /// The newest event of a turn is folded.
    pub(crate) fn entry(&self, entry: &Entry) {
        let time = match &entry.event {
            Event::Change(change) | Event::Policy(change) => change.time,
            Event::Decision(decision) => decision.time,
            Event::Cluster(event) => event.time,
            Event::Epoch(_) => return,
        };
        let took = fleetcast_bus::now().ms_since(time);
        self.hops.took_ms(Hop::Fold, took);
    }
}
