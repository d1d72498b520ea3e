//! What the process tells of itself: its part, how far it is behind, how long its hops take.

use fleetcast_core::log::Event;
use fleetcast_core::readiness::Readiness;
use fleetcast_endpoint::Part;

use super::Ingest;

impl Ingest {
    /// Says how it stands.
    pub(super) fn tell(&self) {
        let part = match self.term {
            Some(_) => Part::Leader,
            None => Part::Standby,
        };
        self.metrics.health.has_part(Some(part));
        self.metrics
            .health
            .is_behind(self.log_end.saturating_sub(self.folded));
        let waiting = self.lanes.values().map(|lane| lane.outbox.len());
        let waiting = self.log.len() + waiting.sum::<usize>();
        self.metrics.stands(self.folded, self.term, waiting);
        let clusters = self.state.placer.clusters().keys();
        self.metrics.clusters(
            clusters.map(|cluster| self.state.readiness(cluster).unwrap_or(Readiness::Unknown)),
        );
    }

    /// Times what it leads: how long a change waits for its decision.
    pub(super) fn time(&mut self, event: &Event) {
        if !self.leads() {
            return;
        }
        let (now, hops) = (fleetcast_bus::now(), &self.metrics.hops);
        match event {
            Event::Change(change) => self.undecided.change(&change.object, now),
            Event::Decision(decision) => self.undecided.decision(&decision.object, now, hops),
            Event::Policy(_) | Event::Cluster(_) | Event::Epoch(_) => {}
        }
    }
}
