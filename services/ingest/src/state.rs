//! What one ingest process knows: all of it can be folded anew from the log.

use std::collections::BTreeMap;

use fleetcast_core::change::Content;
use fleetcast_core::decision::Place;
use fleetcast_core::intake::Intake;
use fleetcast_core::log::{ClusterNews, Entry, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Placer;
use fleetcast_core::readiness::Readiness;
use fleetcast_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents;

/// What one ingest process knows, in the form of its checkpoint and of the section `ingest` of a base.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    pub(crate) intake: Intake,
    pub(crate) placer: Placer,
    pub(crate) clusters: BTreeMap<ClusterName, KnownCluster>,
    /// Up to which acknowledgement of each partition removals were taken note of.
    pub(crate) acks: BTreeMap<u16, u64>,
    /// Up to which message each partition's work stream is known to be stored.
    pub(crate) confirmed: BTreeMap<u16, u64>,
    /// The newest time in the log: no event of ours is older.
    pub(crate) time: Time,
    /// Removals that a base says were answered: taken note of when the log behind it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removals: Vec<Answered>,
}

/// A removal that was answered; one in the section `removals` of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What was to go.
    pub object: ObjectKey,
    /// Where.
    pub cluster: ClusterName,
    /// The decision that took it away.
    pub place: Place,
}

/// What the log says about a cluster, beside what placement looks at.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct KnownCluster {
    /// The sequence of its newest registration or removal.
    pub(crate) sequence: u64,
    /// How it stands; none before its agent was heard.
    #[serde(default)]
    pub(crate) heard: Option<Readiness>,
}

impl State {
    /// How the cluster stands by the log; none where it says nothing.
    pub(crate) fn readiness(&self, cluster: &ClusterName) -> Option<Readiness> {
        self.clusters.get(cluster).and_then(|known| known.heard)
    }

    /// The log sequence up to which it is folded.
    pub fn sequence(&self) -> u64 {
        self.placer.sequence()
    }

    /// The newest time in the log.
    pub fn time(&self) -> Time {
        self.time
    }

    /// What the placer knows.
    pub fn into_placer(self) -> Placer {
        self.placer
    }

    /// With removals that were answered, to be taken note of by [`State::settle_removals`].
    #[must_use]
    pub fn answered(mut self, removals: Vec<Answered>) -> Self {
        self.removals = removals;
        self
    }

    /// Takes note of the removals that a base says were answered, once all of the log is known: some answer decisions behind the base.
    pub fn settle_removals(&mut self) {
        for Answered {
            object,
            cluster,
            place,
        } in std::mem::take(&mut self.removals)
        {
            self.placer.removal_answered(&object, &cluster, &place);
        }
    }

    /// Takes note of a removal that was answered.
    pub fn removal_answered(&mut self, object: &ObjectKey, cluster: &ClusterName, place: &Place) {
        self.placer.removal_answered(object, cluster, place);
    }

    /// What the core needs and has not: a reader of YAML inside strings.
    #[must_use]
    pub fn equipped(mut self) -> Self {
        self.placer.read_yaml_with(documents::yaml_in_text);
        self
    }

    /// Folds the next event of the log.
    pub fn logged(&mut self, entry: &Entry) {
        if entry.sequence <= self.placer.sequence() {
            return;
        }
        match &entry.event {
            Event::Change(change) | Event::Policy(change) => {
                self.time = self.time.max(change.time);
                self.intake
                    .logged(entry.sequence, change, declared_by(&change.content));
            }
            Event::Decision(decision) => self.time = self.time.max(decision.time),
            Event::Cluster(event) => {
                self.time = self.time.max(event.time);
                let known = self.clusters.entry(event.cluster.clone()).or_default();
                match event.news {
                    ClusterNews::Registered(_) | ClusterNews::Removed {} => {
                        known.sequence = entry.sequence
                    }
                    ClusterNews::Online { ref trouble } => {
                        known.heard = Some(Readiness::of(Some(true), trouble.is_some()))
                    }
                    ClusterNews::Offline {} => known.heard = Some(Readiness::Offline),
                }
            }
            Event::Epoch(_) => {}
        }
        self.placer.logged(entry);
    }

    /// The time for a new event: now, but never before what stands in the log.
    pub(crate) fn now(&self) -> Time {
        fleetcast_bus::now().max(self.time)
    }
}

/// Which document declares a target: its kind and name, the same for every revision of one source.
pub(crate) fn declared_by(content: &Content) -> Option<String> {
    match content {
        Content::Declared { document, .. } => document.value().ok().as_ref().map(document_name),
        Content::Withdrawn { .. } => None,
    }
}

/// `FederatedObject/shop/web`.
pub(crate) fn document_name(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let parts = [
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}
