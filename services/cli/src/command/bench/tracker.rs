//! What was acknowledged, by object, as the acknowledgements come by.

use std::collections::HashMap;
use std::time::Instant;

use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::ack::Outcome;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::event;
use tokio::sync::mpsc;

/// Follows all acknowledgements from now on.
pub(super) struct Acks {
    receiver: mpsc::Receiver<Stored>,
}

impl Acks {
    pub(super) async fn follow(bus: &Bus, partitions: u16) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel(4_096);
        for partition in 0..partitions {
            let stream = streams::acks(partition);
            let mut acks = bus.follow(&stream, &[], bus.last_sequence(&stream).await?);
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(stored) = acks.recv().await {
                    if sender.send(stored).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { receiver })
    }

    pub(super) async fn next(&mut self) -> Option<Stored> {
        self.receiver.recv().await
    }
}

/// Which objects wait for whom.
#[derive(Default)]
pub(super) struct Tracker {
    waiting: HashMap<ObjectKey, Waiting>,
    /// Acknowledgements of what was waited for.
    pub(super) acknowledged: u64,
}

struct Waiting {
    place: usize,
    revision: u64,
    clusters: Vec<ClusterName>,
}

impl Tracker {
    /// Waits until each of `clusters` has applied `revision` of `object`; `place` is what [`Tracker::take`] tells then.
    pub(super) fn expect(
        &mut self,
        place: usize,
        object: ObjectKey,
        revision: u64,
        clusters: Vec<ClusterName>,
    ) {
        let waiting = Waiting {
            place,
            revision,
            clusters,
        };
        self.waiting.insert(object, waiting);
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a batch of acknowledgements: the places of the objects of which it was the last that was waited for.
    pub(super) fn take(&mut self, stored: &Stored) -> Vec<(usize, Instant)> {
        let Ok((_, batch)) = event::read_acks(&stored.message) else {
            return Vec::new();
        };
        let now = Instant::now();
        let mut done = Vec::new();
        for ack in batch.body.acks {
            if ack.outcome != Outcome::Applied {
                continue;
            }
            let Some(waiting) = self.waiting.get_mut(&ack.object) else {
                continue;
            };
            if ack.revision < waiting.revision {
                continue;
            }
            let Ok(found) = waiting.clusters.binary_search(&batch.cluster) else {
                continue;
            };
            waiting.clusters.remove(found);
            self.acknowledged += 1;
            if waiting.clusters.is_empty() {
                done.push((waiting.place, now));
                self.waiting.remove(&ack.object);
            }
        }
        done
    }
}
