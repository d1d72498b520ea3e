//! Keeps the view on disk from time to time, off the async threads, so that a restart costs what is new.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleetcast_bus::checkpoint::Checkpoint;
use fleetcast_core::fold::View;
use serde::{Serialize, Serializer};
use tokio::task::JoinHandle;

use crate::shared::Shared;

/// After how many events the view is kept.
const EVENTS: u64 = 1_000;
/// After how long it is kept where there were fewer.
const INTERVAL: Duration = Duration::from_secs(5);
/// Keeping takes at most one part in so many of the time, however large the view is.
const SHARE: u32 = 10;

/// Keeps the view.
pub(crate) struct Keeper {
    checkpoint: Checkpoint,
    /// Events folded since the last save began.
    events: u64,
    saved_at: Instant,
    took: Duration,
    saving: Option<JoinHandle<Duration>>,
}

impl Keeper {
    /// Keeps the view in `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            checkpoint: Checkpoint::new(directory, "view"),
            events: 0,
            saved_at: Instant::now(),
            took: Duration::ZERO,
            saving: None,
        }
    }

    /// What was kept last; none where nothing was, or nothing that can be used.
    pub(crate) async fn load(&self) -> Option<View> {
        let checkpoint = self.checkpoint.clone();
        tokio::task::spawn_blocking(move || checkpoint.load())
            .await
            .ok()
            .flatten()
    }

    /// Takes note of `events` more, and begins to save where that is due and no save is under way.
    pub(crate) async fn folded(&mut self, events: u64, shared: &Arc<Shared>) {
        self.events += events;
        if let Some(saving) = self.saving.take_if(|saving| saving.is_finished()) {
            self.took = saving.await.unwrap_or_default();
        }
        let elapsed = self.saved_at.elapsed();
        let is_due = self.events >= EVENTS || (self.events > 0 && elapsed >= INTERVAL);
        if is_due && elapsed >= self.took * SHARE && self.saving.is_none() {
            self.events = 0;
            self.saved_at = Instant::now();
            let (checkpoint, shared) = (self.checkpoint.clone(), Arc::clone(shared));
            self.saving = Some(tokio::task::spawn_blocking(move || {
                save(&checkpoint, &shared)
            }));
        }
    }

    /// Waits for a save that is under way, and saves what is not kept yet.
    pub(crate) async fn finish(&mut self, shared: &Arc<Shared>) {
        if let Some(saving) = self.saving.take() {
            self.took = saving.await.unwrap_or_default();
        }
        if self.events > 0 {
            self.events = 0;
            let (checkpoint, shared) = (self.checkpoint.clone(), Arc::clone(shared));
            let saving = tokio::task::spawn_blocking(move || save(&checkpoint, &shared));
            self.took = saving.await.unwrap_or_default();
        }
    }
}

fn save(checkpoint: &Checkpoint, shared: &Shared) -> Duration {
    let begin = Instant::now();
    if let Err(error) = checkpoint.save(&Borrowed(shared)) {
        tracing::warn!(%error, "the view cannot be kept: the next start folds more than is new");
    }
    begin.elapsed()
}

/// The view as it is kept: borrowed while it is written out, not while it is compressed and stored.
struct Borrowed<'a>(&'a Shared);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.view.blocking_read().serialize(serializer)
    }
}
