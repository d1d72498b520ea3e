//! One simulated aggregator: [`fleetcast_core::fold`], driven as `services/aggregator/src/follow.rs` drives it.

use std::collections::BTreeMap;

use fleetcast_core::ack::{Batch, Seen};
use fleetcast_core::fold::View;
use fleetcast_core::model::ClusterName;

use super::bus::Bus;

/// One aggregator.
#[derive(Default)]
pub(super) struct Aggregator {
    pub(super) view: View,
    saved: View,
    pub(super) paused: bool,
}

impl Aggregator {
    /// Folds up to `count` more messages of each stream; what agents are to be told.
    pub(super) fn fold(&mut self, bus: &Bus, count: usize) -> Option<BTreeMap<ClusterName, Seen>> {
        if !self.fits(bus) {
            self.view = View::default();
        }
        let mut folded = false;
        for _ in 0..count {
            let Some(entry) = bus.log.get(self.view.log + 1) else {
                break;
            };
            self.view.logged(entry);
            folded = true;
        }
        let mut told = BTreeMap::new();
        for (partition, stream) in &bus.acks {
            for _ in 0..count {
                let sequence = self.view.acks.get(partition).copied().unwrap_or(0) + 1;
                let Some(batch) = stream.get(sequence) else {
                    break;
                };
                folded = true;
                let seen = self
                    .view
                    .acknowledged(*partition, sequence, Batch::clone(batch));
                if let Some(seen) = seen {
                    told.insert(batch.cluster.clone(), seen);
                }
            }
        }
        folded.then_some(told)
    }

    /// Whether the view is a fold of the streams' beginning.
    fn fits(&self, bus: &Bus) -> bool {
        let is_new = self.view.log == 0;
        is_new
            || (self.view.log <= bus.log.last()
                && bus.acks.iter().all(|(partition, stream)| {
                    self.view.acks.get(partition).copied().unwrap_or(0) <= stream.last()
                }))
    }

    pub(super) fn save(&mut self) {
        self.saved = self.view.clone();
    }

    /// The process ends and starts again from its checkpoint, where that belongs to this log.
    pub(super) fn restart(&mut self, bus: &Bus) {
        self.view = self.saved.clone();
        if self.view.epoch() != bus.epoch.as_ref() || !self.fits(bus) {
            self.view = View::default();
        }
    }

    /// Whether everything is folded.
    pub(super) fn is_still(&self, bus: &Bus) -> bool {
        self.view.log == bus.log.last()
            && bus.acks.iter().all(|(partition, stream)| {
                self.view.acks.get(partition).copied().unwrap_or(0) == stream.last()
            })
    }
}
