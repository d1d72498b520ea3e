//! Which objects and clusters changed in the view since somebody asked last.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use fleetcast_core::ack::Batch;
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use tokio::sync::Notify;

/// What changed since it was told last.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    what: Mutex<What>,
    wake: Notify,
}

/// Objects and clusters that changed.
#[derive(Debug, Default)]
pub(crate) struct What {
    /// Objects.
    pub(crate) objects: BTreeSet<ObjectKey>,
    /// Clusters, with all that is in them.
    pub(crate) clusters: BTreeSet<ClusterName>,
    /// Clusters of which only the room changed.
    pub(crate) capacities: BTreeSet<ClusterName>,
    /// Everything.
    pub(crate) all: bool,
}

impl Touched {
    fn touch(&self, change: impl FnOnce(&mut What)) {
        change(&mut self.what.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Everything may have changed: the view is folded anew.
    pub(crate) fn all(&self) {
        self.touch(|what| what.all = true);
    }

    /// How much room a cluster has is known anew.
    pub(crate) fn capacity(&self, cluster: &ClusterName) {
        self.touch(|what| {
            what.capacities.insert(cluster.clone());
        });
    }

    /// An event of the log was folded.
    pub(crate) fn entry(&self, entry: &Entry) {
        match &entry.event {
            Event::Change(change) => {
                self.touch(|what| {
                    what.objects.insert(change.object.clone());
                });
            }
            Event::Decision(decision) => {
                self.touch(|what| {
                    what.objects.insert(decision.object.clone());
                });
            }
            Event::Cluster(event) => {
                self.touch(|what| {
                    what.clusters.insert(event.cluster.clone());
                });
            }
            Event::Policy(_) | Event::Epoch(_) => {}
        }
    }

    /// Acknowledgements were folded.
    pub(crate) fn batch(&self, batch: &Batch) {
        let objects = batch.body.acks.iter().map(|ack| ack.object.clone());
        self.touch(|what| what.objects.extend(objects));
    }

    /// Waits until something changed.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What changed since it was taken last.
    pub(crate) fn take(&self) -> What {
        std::mem::take(&mut *self.what.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
