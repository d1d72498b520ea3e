//! What a process counts, for Prometheus: `fleetcast_<process>_<what>_<unit>`, one label at most, and no label whose values grow with objects or clusters.
//!
//! A new metric is a line where its service makes its own, and a row in the table of `docs/operating.md`, which a test holds against a running fleet.

use std::borrow::Cow;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;

type OneLabel = [(&'static str, Cow<'static, str>); 1];

/// The bounds of the buckets of a lag, seconds: from what one hop takes on a quiet bus to a cluster that was away for an hour.
const LAGS_S: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0,
];

/// Counters of one name, apart by a label.
#[derive(Debug, Clone)]
pub struct Counters {
    label: &'static str,
    pub(crate) family: Family<OneLabel, Counter>,
}

impl Counters {
    /// With a counter for each of `words`, so that nothing is missing before it happens.
    pub(crate) fn new(label: &'static str, words: &[&'static str]) -> Self {
        let counters = Self {
            label,
            family: Family::default(),
        };
        for word in words {
            counters.add(*word, 0);
        }
        counters
    }

    /// Counts one of `word`.
    pub fn count(&self, word: impl Into<Cow<'static, str>>) {
        self.add(word, 1);
    }

    /// Counts some of `word`.
    pub fn add(&self, word: impl Into<Cow<'static, str>>, count: u64) {
        let label = [(self.label, word.into())];
        self.family.get_or_create(&label).inc_by(count);
    }
}

/// Gauges of one name, apart by a label.
#[derive(Debug, Clone)]
pub struct Gauges {
    label: &'static str,
    pub(crate) family: Family<OneLabel, Gauge>,
}

impl Gauges {
    pub(crate) fn new(label: &'static str, words: &[&'static str]) -> Self {
        let gauges = Self {
            label,
            family: Family::default(),
        };
        for word in words {
            gauges.set(*word, 0);
        }
        gauges
    }

    /// Says how much of `word` there is.
    pub fn set(&self, word: impl Into<Cow<'static, str>>, value: u64) {
        let label = [(self.label, word.into())];
        self.family
            .get_or_create(&label)
            .set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

/// Sets a gauge to what is never negative.
pub fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// A part of the way that a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Ingest: from a submission that is taken in to its event in the log.
    Log,
    /// Ingest: from a change in the log to the decision about it in the log.
    Decide,
    /// Ingest: from work that is asked for to work that is stored.
    Work,
    /// Agent: from work that was stored to work that arrived, by two machines' clocks.
    Deliver,
    /// Agent: from an attempt's begin to its end.
    Apply,
    /// Aggregator: from acknowledgements that were sent to acknowledgements that are folded, by two machines' clocks.
    Acknowledge,
    /// Aggregator: from an event of the log to its being folded, by two machines' clocks.
    Fold,
}

impl Hop {
    /// The value of the label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Decide => "decide",
            Self::Work => "work",
            Self::Deliver => "deliver",
            Self::Apply => "apply",
            Self::Acknowledge => "acknowledge",
            Self::Fold => "fold",
        }
    }
}

/// How long each hop takes.
#[derive(Debug, Clone)]
pub struct Hops(pub(crate) Family<OneLabel, Histogram, fn() -> Histogram>);

impl Default for Hops {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(LAGS_S)))
    }
}

impl Hops {
    /// A hop took so long; what is negative, since clocks differ, is nothing.
    pub fn took_ms(&self, hop: Hop, ms: i64) {
        let ms = u32::try_from(ms.max(0)).unwrap_or(u32::MAX);
        let label = [("hop", Cow::Borrowed(hop.word()))];
        self.0
            .get_or_create(&label)
            .observe(f64::from(ms) / 1_000.0);
    }
}
