//! What the log is told, once per distinct message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fleetcast_bus::work_key::Forged;
use fleetcast_core::ack::Outcome;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::reconcile::WatchedKind;
use fleetcast_core::work::Work;
use fleetcast_schemas::DecodeError;
use tracing::Span;

use crate::cluster::Report;

/// How long heartbeats tell of work that somebody else wrote.
const FORGED_IS_TOLD: Duration = Duration::from_secs(60);

/// What was told so far in one session.
pub(super) struct Told {
    cluster: ClusterName,
    open: BTreeMap<ObjectKey, Open>,
    unreadable: u64,
    /// Why the last sync failed; empty where it did not.
    unsynced: String,
    fenced: String,
    /// Why work was refused that nothing proves to be ingest's, and when last.
    forged: Option<(String, Instant)>,
    unwatched: BTreeSet<String>,
}

/// An object whose work was begun and is not done.
#[derive(Default)]
struct Open {
    decision: u64,
    attempts: u32,
    /// The refusal that was told last.
    refusal: String,
}

impl Told {
    pub(super) fn new(cluster: ClusterName) -> Self {
        Self {
            cluster,
            open: BTreeMap::new(),
            unreadable: 0,
            unsynced: String::new(),
            fenced: String::new(),
            forged: None,
            unwatched: BTreeSet::new(),
        }
    }

    /// The span of the next attempt at `work`.
    pub(super) fn attempt(&mut self, work: &Work) -> Span {
        let open = self.open.entry(work.object.clone()).or_default();
        if open.decision != work.decision {
            *open = Open {
                decision: work.decision,
                ..Open::default()
            };
        }
        open.attempts = open.attempts.saturating_add(1);
        tracing::info_span!(
            "work",
            object = %work.object,
            cluster = %self.cluster,
            revision = work.revision,
            attempt = open.attempts,
        )
    }

    /// An attempt at `object` ended.
    pub(super) fn attempted(&mut self, object: &ObjectKey, report: &Report, span: &Span) {
        let Report {
            outcome,
            message,
            wrote,
            sight: _,
            held: _,
            pause: _,
        } = report;
        let _entered = span.enter();
        match outcome {
            Outcome::Applied | Outcome::Removed | Outcome::Orphaned if *wrote => {
                tracing::info!(outcome = outcome.word(), "done");
            }
            Outcome::Refused | Outcome::Ahead => {
                let open = self.open.entry(object.clone()).or_default();
                if open.refusal == *message {
                    tracing::debug!(
                        outcome = outcome.word(),
                        reason = message,
                        "not written, again"
                    );
                } else {
                    tracing::warn!(outcome = outcome.word(), reason = message, "not written");
                    open.refusal.clone_from(message);
                }
            }
            Outcome::Applied | Outcome::Removed | Outcome::Orphaned | Outcome::Retrying => {
                tracing::debug!(outcome = outcome.word(), reason = message, "attempted");
            }
        }
        if outcome.is_final() {
            self.open.remove(object);
        }
    }

    /// A message cannot be read.
    pub(super) fn unreadable(&mut self, subject: &str, error: &DecodeError) {
        self.unreadable += 1;
        let (cluster, count) = (&self.cluster, self.unreadable);
        if count == 1 {
            tracing::warn!(%cluster, subject, %error, "a message cannot be read; more are told at debug level");
        } else {
            tracing::debug!(%cluster, subject, %error, count, "a message cannot be read");
        }
    }

    /// Copies of one kind cannot be watched.
    pub(super) fn unwatched(&mut self, kind: &WatchedKind, reason: &str) {
        let WatchedKind { group, kind } = kind;
        if self.unwatched.insert(format!("{kind}.{group} {reason}")) {
            tracing::warn!(cluster = %self.cluster, kind, group, reason, "copies are not watched");
        }
    }

    /// The bus can be reached, or cannot.
    pub(super) fn connected(&self, is_connected: bool) {
        let cluster = &self.cluster;
        match is_connected {
            true => tracing::info!(%cluster, "the bus is reached"),
            false => tracing::warn!(
                %cluster,
                "the bus cannot be reached and is tried again; the cluster is kept as was told last"
            ),
        }
    }

    /// A sync was answered, or was not.
    pub(super) fn synced(&mut self, error: Option<String>) {
        let (cluster, reason) = (&self.cluster, error.unwrap_or_default());
        if !reason.is_empty() {
            if self.unsynced == reason {
                tracing::debug!(%cluster, reason, "no work was synced again");
            } else {
                tracing::warn!(%cluster, reason, "no work was synced, asking again");
            }
        }
        self.unsynced = reason;
    }

    /// Work came that ingest did not write.
    pub(super) fn forged(&mut self, why: &Forged) {
        let reason = why.to_string();
        if self
            .forged
            .as_ref()
            .is_none_or(|(before, _)| *before != reason)
        {
            tracing::error!(cluster = %self.cluster, reason, "work is refused: somebody else writes to this cluster's subjects");
        }
        self.forged = Some((reason, Instant::now()));
    }

    /// What came lately that ingest did not write, for heartbeats.
    pub(super) fn forged_lately(&self) -> Option<String> {
        let (reason, at) = self.forged.as_ref()?;
        (at.elapsed() < FORGED_IS_TOLD).then(|| format!("refused {reason}"))
    }

    /// Work of somebody who must not write any more was refused.
    pub(super) fn fenced(&mut self, reason: String) {
        if self.fenced != reason {
            tracing::warn!(cluster = %self.cluster, reason, "fenced");
            self.fenced = reason;
        }
    }
}
