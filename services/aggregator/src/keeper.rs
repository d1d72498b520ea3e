//! Keeps the view on disk from time to time, off the async threads, so that a restart costs what is new.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleetcast_bus::checkpoint::Checkpoint;
use fleetcast_core::fold::View;
use serde::{Serialize, Serializer};
use tokio::task::JoinHandle;

use crate::past::archive::{Archive, Position};
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
    archive: Arc<Archive>,
    /// Events folded since the last save began.
    events: u64,
    saved_at: Instant,
    took: Duration,
    saving: Option<JoinHandle<Duration>>,
}

impl Keeper {
    /// Keeps the view in `directory`, and one every so many events in `archive`.
    pub(crate) fn new(directory: &Path, archive: Arc<Archive>) -> Self {
        Self {
            checkpoint: Checkpoint::new(directory, "view"),
            archive,
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
            self.saving = Some(self.begin(shared));
        }
    }

    /// Waits for a save that is under way, and saves what is not kept yet.
    pub(crate) async fn finish(&mut self, shared: &Arc<Shared>) {
        if let Some(saving) = self.saving.take() {
            self.took = saving.await.unwrap_or_default();
        }
        if self.events > 0 {
            self.events = 0;
            self.took = self.begin(shared).await.unwrap_or_default();
        }
    }

    fn begin(&self, shared: &Arc<Shared>) -> JoinHandle<Duration> {
        let checkpoint = self.checkpoint.clone();
        let (archive, shared) = (Arc::clone(&self.archive), Arc::clone(shared));
        tokio::task::spawn_blocking(move || save(&checkpoint, &archive, &shared))
    }
}

fn save(checkpoint: &Checkpoint, archive: &Archive, shared: &Shared) -> Duration {
    let begin = Instant::now();
    let borrowed = Borrowed {
        shared,
        position: Mutex::default(),
    };
    match checkpoint.save(&borrowed) {
        Ok(()) => {
            let position = borrowed.position.into_inner();
            let position = position.unwrap_or_else(PoisonError::into_inner);
            if let Some(position) = position.filter(|position| archive.is_due(position.log)) {
                archive.link(checkpoint.path(), &position);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the view cannot be kept: the next start folds more than is new")
        }
    }
    begin.elapsed()
}

/// The view as it is kept: borrowed while it is written out, not while it is compressed and stored.
struct Borrowed<'a> {
    shared: &'a Shared,
    /// How far it was folded when it was written out.
    position: Mutex<Option<Position>>,
}

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = self.shared.view.blocking_read();
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        *position = Some(Position::of(&view));
        view.serialize(serializer)
    }
}
