//! What an ingest process counts.

use std::collections::BTreeMap;

use fleetcast_core::model::ObjectKey;
use fleetcast_core::readiness::Readiness;
use fleetcast_core::time::Time;
use fleetcast_endpoint::Health;
use fleetcast_endpoint::metrics::{Counter, Counters, Gauge, Gauges, Hop, Hops, set};

/// How many objects' changes are timed until they are decided about; more at once are not.
const TIMED: usize = 10_000;

/// What an ingest process counts; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Submissions by what became of them: accepted, known, refused.
    pub(crate) submissions: Counters,
    /// Events stored in the log: change, cluster, decision.
    pub(crate) events: Counters,
    /// What was decided or stored anew, since somebody was faster or the bus did not answer: change, cluster, decision, work.
    pub(crate) retries: Counters,
    /// Items of work that were stored.
    pub(crate) work: Counter,
    /// Sync requests of agents by how they were answered: since, body, renew, refused.
    pub(crate) syncs: Counters,
    /// Heartbeats of agents.
    pub(crate) heartbeats: Counter,
    /// Messages that nobody could read.
    pub(crate) dead_letters: Counter,
    position: Gauge,
    term: Gauge,
    waiting: Gauge,
    clusters: Gauges,
    pub(crate) hops: Hops,
    pub(crate) health: Health,
}

impl Metrics {
    pub(crate) fn of(health: &Health) -> Self {
        let kinds = ["change", "cluster", "decision"];
        Self {
            submissions: health.counters(
                "ingest_submissions",
                "Submissions by what became of them",
                "outcome",
                &["accepted", "known", "refused"],
            ),
            events: health.counters(
                "ingest_events",
                "Events stored in the log",
                "event",
                &kinds,
            ),
            retries: health.counters(
                "ingest_retries",
                "What is decided or stored again, since somebody was faster or the bus did not answer",
                "what",
                &["change", "cluster", "decision", "work"],
            ),
            work: health.counter("ingest_work", "Items of work that were delivered to the bus"),
            syncs: health.counters(
                "ingest_syncs",
                "Requests of agents that lack something, by what they asked for",
                "asked",
                &["since", "body", "renew", "refused"],
            ),
            heartbeats: health.counter("ingest_heartbeats", "Heartbeats of agents that were heard"),
            dead_letters: health.counter(
                "ingest_dead_letters",
                "Messages of the log that nobody could read",
            ),
            position: health.gauge("ingest_fold_position", "The log sequence up to which it is folded"),
            term: health.gauge("ingest_term", "The term in which it leads, 0 where it does not"),
            waiting: health.gauge(
                "ingest_waiting",
                "Events and items of work that wait to be stored",
            ),
            clusters: health.gauges(
                "ingest_clusters",
                "Registered clusters by how they stand",
                "readiness",
                &Readiness::ALL.map(Readiness::word),
            ),
            hops: health.hops(),
            health: health.clone(),
        }
    }

    pub(crate) fn stands(&self, position: u64, term: Option<u64>, waiting: usize) {
        set(&self.position, position);
        set(&self.term, term.unwrap_or(0));
        set(&self.waiting, u64::try_from(waiting).unwrap_or(u64::MAX));
    }

    pub(crate) fn clusters(&self, readiness: impl Iterator<Item = Readiness>) {
        let none = Readiness::ALL.map(|readiness| (readiness.word(), 0));
        let mut counts = BTreeMap::<&'static str, u64>::from(none);
        for one in readiness {
            *counts.entry(one.word()).or_default() += 1;
        }
        for (word, count) in counts {
            self.clusters.set(word, count);
        }
    }
}

/// When changes came that are not decided about yet.
#[derive(Debug, Default)]
pub(crate) struct Undecided(BTreeMap<ObjectKey, Time>);

impl Undecided {
    pub(crate) fn change(&mut self, object: &ObjectKey, now: Time) {
        if self.0.len() < TIMED {
            self.0.entry(object.clone()).or_insert(now);
        }
    }

    pub(crate) fn decision(&mut self, object: &ObjectKey, now: Time, hops: &Hops) {
        if let Some(since) = self.0.remove(object) {
            hops.took_ms(Hop::Decide, now.ms_since(since));
        }
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
