//! What folding and answering share: the view, and how far it is.

use fleetcast_core::fold::View;
use tokio::sync::{RwLock, watch};

use crate::capacities::Capacities;
use crate::metrics::Metrics;
use crate::strays;
use crate::touched::Touched;

/// The section of a base that holds the view.
pub const VIEW: &str = "view";

/// The view, and how far it is folded.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Written by the fold in short turns; whoever reads it does so off the async threads and does not hold it while it waits for anything.
    pub(crate) view: RwLock<View>,
    /// How far it is.
    pub(crate) progress: watch::Sender<Progress>,
    /// What agents tell of strays.
    pub(crate) strays: strays::Told,
    /// What changed in it, where somebody wants to be told.
    pub(crate) touched: Option<Touched>,
    /// How much room clusters have, as heartbeats say it: not in the log, and so not in the view.
    pub(crate) capacities: Capacities,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

/// How far the view is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The log sequence up to which it is folded.
    pub(crate) log: u64,
    /// Where the log ended when folding began; none before the log is there.
    pub(crate) end: Option<u64>,
    /// Whether everything that stood in the streams when folding began is folded.
    pub(crate) is_whole: bool,
}
