//! Folds the log and the acknowledgements into the view as they come, and confirms acknowledgements.
//!
//! Folding begins at the checkpoint where that belongs to this log, else at the base or the beginning. Where a stream turns out to be another one than
//! was folded, all of it begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetcast_bus::range::Bounds;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::ack::Seen;
use fleetcast_core::epoch::Beginning;
use fleetcast_core::fold::View;
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::Lane;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::keeper::Keeper;
use crate::reader::{Found, Reader, Source};
use crate::shared::{Progress, Shared, VIEW};

/// How much is read ahead of the fold.
const AHEAD: usize = 1_024;
/// How much is folded in one turn, while queries wait.
const TURN: usize = 256;
/// How long confirmations gather while there is more to fold.
const GATHER: Duration = Duration::from_millis(20);
/// Between two looks at whether the view is to be kept.
const LOOK: Duration = Duration::from_secs(1);
/// The first pause before the log is looked for again; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before the log is looked for again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Folds for ever.
pub(crate) async fn follow(bus: &Bus, shared: &Arc<Shared>, keeper: &mut Keeper) -> Infallible {
    let mut kept = keeper.load().await;
    loop {
        let (beginning, ends, view) = wait_for_log(bus, kept.take()).await;
        tracing::info!(log = view.log, end = ends[&Source::Log], epoch = %beginning.epoch, "folding");
        Fold::begin(bus, shared, view, beginning.partitions, &ends)
            .await
            .run(keeper)
            .await;
        tracing::warn!("a stream is another one than was folded: folding anew");
    }
}

/// Where each stream ends.
type Ends = BTreeMap<Source, u64>;

/// Waits until the log, its epoch and all streams of acknowledgements are there: the newest epoch, where each stream ends, and the view to go on from:
/// `kept` where that belongs to this log, else what the base says.
async fn wait_for_log(bus: &Bus, kept: Option<View>) -> (Beginning, Ends, View) {
    let mut pause = PAUSE;
    loop {
        match look_for_log(bus, kept.as_ref()).await {
            Ok(Some((beginning, ends, view))) => {
                // Else it was kept.
                let view = view.or(kept).unwrap_or_default();
                return (beginning, ends, view);
            }
            Ok(None) if pause == PAUSE => {
                tracing::info!("the log has no epoch yet: waiting for ingest");
            }
            Err(error) if pause == PAUSE && error.is_worth_retrying() => {
                tracing::info!(%error, "the log is not there yet: waiting for ingest");
            }
            Err(error) if pause == PAUSE => tracing::error!(%error, "the log cannot be folded"),
            Ok(None) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The newest epoch, where the streams end, and the view to begin with where the one that was kept does not fit.
async fn look_for_log(
    bus: &Bus,
    kept: Option<&View>,
) -> Result<Option<(Beginning, Ends, Option<View>)>, fleetcast_bus::Error> {
    let Some(beginning) = bus.beginning().await? else {
        return Ok(None);
    };
    let mut ends = BTreeMap::new();
    for partition in 0..beginning.partitions {
        let last = bus.last_sequence(&streams::acks(partition)).await?;
        ends.insert(Source::Acks(partition), last);
    }
    let Bounds { first, last } = bus.bounds(streams::LOG).await?;
    ends.insert(Source::Log, last);
    if let Some(kept) = kept {
        if fits(kept, &beginning, first, &ends) {
            return Ok(Some((beginning, ends, None)));
        }
        tracing::warn!(
            log = kept.log,
            "the checkpoint belongs to another log, or it was cut behind that: folding anew"
        );
    }
    let view = match bus.base().await? {
        None => View::default(),
        Some(base) => {
            tracing::info!(log = base.head.log, "beginning at the base");
            bus.base_section(&base, VIEW).await?
        }
    };
    Ok(Some((beginning, ends, Some(view))))
}

/// Whether a view that was kept is a fold of this log's beginning: not of another epoch, of nothing that the streams do not hold, and of all that was cut
/// away.
fn fits(view: &View, newest: &Beginning, first: u64, ends: &Ends) -> bool {
    view.epoch() == Some(&newest.epoch)
        && view.partitions() == Some(newest.partitions)
        && view.log + 1 >= first
        && ends
            .iter()
            .all(|(source, end)| position(view, *source) <= *end)
}

/// Up to where `view` is folded in a stream.
fn position(view: &View, source: Source) -> u64 {
    match source {
        Source::Log => view.log,
        Source::Acks(partition) => view.acks.get(&partition).copied().unwrap_or(0),
    }
}

/// A fold under way.
struct Fold<'a> {
    bus: &'a Bus,
    shared: &'a Arc<Shared>,
    found: mpsc::Receiver<(Source, Found)>,
    /// The streams that have not caught up yet.
    behind: BTreeSet<Source>,
    /// What agents are to be told.
    seen: BTreeMap<ClusterName, (u16, Seen)>,
    told_at: Instant,
    /// Over how many partitions acknowledgements are read.
    partitions: u16,
    readers: JoinSet<()>,
}

impl<'a> Fold<'a> {
    async fn begin(
        bus: &'a Bus,
        shared: &'a Arc<Shared>,
        view: View,
        partitions: u16,
        ends: &Ends,
    ) -> Self {
        let (sender, found) = mpsc::channel(AHEAD);
        let mut readers = JoinSet::new();
        for (source, end) in ends {
            let last = position(&view, *source);
            readers.spawn(Reader::new(bus.clone(), *source, last, *end, sender.clone()).run());
        }
        shared.progress.send_replace(Progress {
            log: view.log,
            end: ends.get(&Source::Log).copied(),
            is_whole: false,
        });
        *shared.view.write().await = view;
        Self {
            bus,
            shared,
            found,
            behind: ends.keys().copied().collect(),
            seen: BTreeMap::new(),
            told_at: Instant::now(),
            partitions,
            readers,
        }
    }

    /// Folds until a stream is another one, or the fleet is partitioned otherwise.
    async fn run(mut self, keeper: &mut Keeper) {
        let mut turn = Vec::with_capacity(TURN);
        let mut look = tokio::time::interval(LOOK);
        loop {
            let count = tokio::select! {
                count = self.found.recv_many(&mut turn, TURN) => count,
                _ = look.tick() => 0,
                // A reader ends only where its stream is another one.
                _ = self.readers.join_next() => return,
            };
            if count > 0 && !self.fold(&mut turn).await {
                return;
            }
            if self.found.is_empty() || self.told_at.elapsed() >= GATHER {
                self.tell().await;
            }
            keeper
                .folded(u64::try_from(count).unwrap_or(u64::MAX), self.shared)
                .await;
        }
    }

    /// Folds one turn; false where the log turns out to be partitioned otherwise than it is read.
    async fn fold(&mut self, turn: &mut Vec<(Source, Found)>) -> bool {
        let mut view = self.shared.view.write().await;
        // Until everything is folded nothing is told: then all of it is.
        let touched = self
            .shared
            .touched
            .as_ref()
            .filter(|_| self.behind.is_empty());
        let metrics = &self.shared.metrics;
        let is_live = self.behind.is_empty();
        let mut newest = None;
        for (source, found) in turn.drain(..) {
            match (source, found) {
                (Source::Log, Found::Entry(entry)) => {
                    view.logged(&entry);
                    if let Some(touched) = touched {
                        touched.entry(&entry);
                    }
                    newest = Some(entry);
                }
                (Source::Acks(partition), Found::Batch(sequence, batch)) => {
                    if let Some(touched) = touched {
                        touched.batch(&batch);
                    }
                    metrics.batch(&batch, is_live);
                    let cluster = batch.cluster.clone();
                    if let Some(seen) = view.acknowledged(partition, sequence, *batch) {
                        self.seen.insert(cluster, (partition, seen));
                    }
                }
                (Source::Log, Found::Unreadable(sequence)) => {
                    metrics.dead_letters.inc();
                    view.log = view.log.max(sequence);
                }
                (Source::Acks(partition), Found::Unreadable(sequence)) => {
                    metrics.dead_letters.inc();
                    let folded = view.acks.entry(partition).or_default();
                    *folded = (*folded).max(sequence);
                }
                (source, Found::CaughtUp) => drop(self.behind.remove(&source)),
                (Source::Log, Found::Batch(..)) | (Source::Acks(_), Found::Entry(_)) => {
                    unreachable!("a reader sends what its stream holds")
                }
            }
        }
        let (log, partitions) = (view.log, view.partitions());
        drop(view);
        if let Some(entry) = newest.filter(|_| is_live) {
            metrics.entry(&entry);
        }
        // While it catches up the log may tell of earlier layouts.
        if !self.behind.contains(&Source::Log)
            && partitions.is_some_and(|found| found != self.partitions)
        {
            return false;
        }
        let is_whole = self.behind.is_empty();
        if let Some(touched) = self.shared.touched.as_ref().filter(|_| is_whole)
            && !self.shared.progress.borrow().is_whole
        {
            touched.all();
        }
        self.shared.progress.send_if_modified(|progress| {
            let changed = progress.log != log || progress.is_whole != is_whole;
            (progress.log, progress.is_whole) = (log, is_whole);
            changed
        });
        true
    }

    /// Tells agents up to which of their acknowledgements are folded. One that is not told sends them again, and is told then.
    async fn tell(&mut self) {
        self.told_at = Instant::now();
        let now = fleetcast_bus::now();
        for (cluster, (partition, seen)) in std::mem::take(&mut self.seen) {
            let lane = Lane { partition, cluster };
            self.shared.metrics.confirmations.inc();
            if let Err(error) = self.bus.publish(event::seen(seen, &lane, now)).await {
                tracing::debug!(cluster = %lane.cluster, %error, "a confirmation could not be sent");
            }
        }
    }
}
