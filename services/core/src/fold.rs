//! Folds the log and the acknowledgements into the view: per object and cluster what should be, what was answered, and how far behind it is.
//!
//! Acknowledgements of different partitions come in any order against each other and against the log; the greatest answer by
//! (writer's epoch, decision's epoch, decision, lease transitions, count) wins, so every order folds to the same view. The writer's epoch comes
//! first: an agent never goes back to an earlier one, so what it answers in a later one is said later.

mod rows;

use std::collections::{BTreeMap, btree_map};

use serde::{Deserialize, Serialize};

use crate::ack::{Ack, Batch, Observed, Outcome, Seen};
use crate::change::{Change, Content, Origin};
use crate::decision::{Inputs, Place, Standings};
use crate::document::Document;
use crate::epoch::{Beginning, Epoch};
use crate::log::{ClusterNews, Entry, Event};
use crate::model::{Cluster, ClusterName, Dialect, ObjectKey};
use crate::readiness::Readiness;
use crate::time::Time;

pub use rows::{CanonicalRow, Condition, Row};

/// The view, with the positions that it is folded to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The log sequence up to which it is folded.
    pub log: u64,
    /// The acknowledgement sequence up to which it is folded, by partition.
    pub acks: BTreeMap<u16, u64>,
    /// The newest time met in the log; agents' clocks do not count, one that is wrong would be everybody's.
    pub time: Time,
    beginning: Option<Beginning>,
    objects: BTreeMap<ObjectKey, Object>,
    #[serde(default)]
    policies: BTreeMap<ObjectKey, PolicyView>,
    answers: BTreeMap<ObjectKey, BTreeMap<ClusterName, Answer>>,
    clusters: BTreeMap<ClusterName, ClusterView>,
    seen: BTreeMap<ClusterName, Seen>,
}

/// What the log says about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its newest change.
    pub change: ChangeView,
    /// Its newest decision; none before the first.
    pub decision: Option<DecisionView>,
    /// Where it stands after that decision.
    pub standings: Standings,
}

/// The newest change of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its revision.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// Who handed it in.
    pub origin: Origin,
    /// When it was taken in.
    pub time: Time,
    /// Its dialect; the last one where it is a withdrawal.
    pub dialect: Option<Dialect>,
    /// The document that declared it last.
    pub document: Option<Document>,
    /// Whether it is withdrawn.
    pub withdrawn: bool,
}

/// What the log says about one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its newest change.
    pub change: ChangeView,
    /// Since when it is there: its first revision after the last withdrawal.
    pub born: Time,
}

/// The newest decision about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// Its number.
    pub number: u64,
    /// The revision that it carries out.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// The event that asked for it.
    pub causation: String,
    /// When it was made.
    pub time: Time,
    /// What it looked at.
    pub inputs: Inputs,
}

/// The greatest answer of one cluster about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose placer wrote the work that it answers.
    pub epoch: Epoch,
    /// The decision that it answers.
    pub place: Place,
    /// The agent's lease transitions.
    pub transitions: u64,
    /// Its count.
    pub count: u64,
    /// The revision which the decision carried out.
    pub revision: u64,
    /// How it ended or stands.
    pub outcome: Outcome,
    /// The reason.
    pub message: String,
    /// The digest of what the cluster holds.
    pub digest: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The work that it answers.
    pub work_id: String,
    /// When, by the agent's clock.
    pub time: Time,
    /// What was seen of the copy.
    #[serde(default)]
    pub observed: Observed,
    /// What the cluster holds where that is ahead, as far as it was told.
    #[serde(default)]
    pub held: Option<Document>,
    holds: Holds,
}

/// What a cluster is known to hold: whatever order its answers come in, the last of them by place counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Holds {
    /// Where it answered last that it applied, and which revision.
    applied: Option<(Turn, u64)>,
    /// Where it answered last that the copy is gone, or without our marks.
    gone: Option<Turn>,
}

/// The order of one cluster's answers about one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Turn {
    epoch: u64,
    decision_epoch: u64,
    decision: u64,
    transitions: u64,
    count: u64,
}

/// What is known of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// What is registered; none where it left the fleet.
    pub registered: Option<Cluster>,
    /// Whether its agent is heard; none before it was heard of.
    pub online: Option<bool>,
    /// Why its agent, which is heard, cannot do its work; none where it can, or is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Since when that is so.
    pub since: Time,
}

impl ClusterView {
    /// How it stands.
    pub fn readiness(&self) -> Readiness {
        Readiness::of(self.online, self.trouble.is_some())
    }

    /// Takes note of how it stands at `time`; since when, only where that is new.
    fn stands(&mut self, online: bool, trouble: Option<&String>, time: Time) {
        let before = self.readiness();
        (self.online, self.trouble) = (Some(online), trouble.cloned());
        if self.readiness() != before {
            self.since = time;
        }
    }
}

impl ChangeView {
    /// The `change` that `entry` tells, after the one `before`.
    fn after(before: Option<&Self>, change: &Change, entry: &Entry) -> Self {
        let (dialect, document, withdrawn) = match &change.content {
            Content::Declared { dialect, document } => {
                (Some(*dialect), Some(document.clone()), false)
            }
            Content::Withdrawn {
                orphan: _,
                together: _,
            } => {
                let last = before.map(|last| (last.dialect, last.document.clone()));
                let (dialect, document) = last.unwrap_or_default();
                (dialect, document, true)
            }
        };
        Self {
            revision: change.revision,
            sequence: entry.sequence,
            id: entry.id.clone(),
            origin: change.origin.clone(),
            time: change.time,
            dialect,
            document,
            withdrawn,
        }
    }
}

impl View {
    /// Whose history it tells, once known.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.beginning.as_ref().map(|beginning| &beginning.epoch)
    }

    /// Over how many partitions acknowledgements are spread, once known.
    pub fn partitions(&self) -> Option<u16> {
        self.beginning
            .as_ref()
            .map(|beginning| beginning.partitions)
    }

    /// All objects of the log, by key.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.objects.iter()
    }

    /// One object of the log.
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// One cluster.
    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterView> {
        self.clusters.get(name)
    }

    /// How a cluster stands.
    pub fn readiness(&self, name: &ClusterName) -> Readiness {
        self.cluster(name)
            .map_or(Readiness::Unknown, ClusterView::readiness)
    }

    /// All policies of the log, by key.
    pub fn policies(&self) -> impl Iterator<Item = (&ObjectKey, &PolicyView)> {
        self.policies.iter()
    }

    /// All clusters, by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &ClusterView)> {
        self.clusters.iter()
    }

    /// The greatest answer of `cluster` about `object`.
    pub fn answer(&self, object: &ObjectKey, cluster: &ClusterName) -> Option<&Answer> {
        self.answers.get(object)?.get(cluster)
    }

    /// Every cluster's greatest answer about every object.
    pub fn answers(&self) -> impl Iterator<Item = (&ObjectKey, &ClusterName, &Answer)> {
        self.answers.iter().flat_map(|(object, answers)| {
            let answers = answers.iter();
            answers.map(move |(cluster, answer)| (object, cluster, answer))
        })
    }

    /// What the log says alone: as if no acknowledgement had been folded.
    #[must_use]
    pub fn without_answers(mut self) -> Self {
        self.acks.clear();
        self.answers.clear();
        self.seen.clear();
        self
    }

    /// Up to which of its acknowledgements `cluster` is confirmed.
    pub fn seen(&self, cluster: &ClusterName) -> Option<Seen> {
        self.seen.get(cluster).copied()
    }

    /// Folds the next event of the log; one already folded is ignored.
    pub fn logged(&mut self, entry: &Entry) {
        if entry.sequence <= self.log {
            return;
        }
        self.log = entry.sequence;
        match &entry.event {
            Event::Epoch(beginning) => self.beginning = Some(beginning.clone()),
            Event::Change(change) => {
                self.time = self.time.max(change.time);
                match self.objects.entry(change.object.clone()) {
                    btree_map::Entry::Occupied(mut there) => {
                        let object = there.get_mut();
                        object.change = ChangeView::after(Some(&object.change), change, entry);
                    }
                    btree_map::Entry::Vacant(place) => drop(place.insert(Object {
                        change: ChangeView::after(None, change, entry),
                        decision: None,
                        standings: Standings::default(),
                    })),
                }
            }
            Event::Policy(change) => {
                self.time = self.time.max(change.time);
                let before = self.policies.get(&change.object);
                let there = before.filter(|policy| !policy.change.withdrawn);
                let born = there.map_or(change.time, |policy| policy.born);
                let last = before.map(|policy| &policy.change);
                let change_view = ChangeView::after(last, change, entry);
                let policy = PolicyView {
                    change: change_view,
                    born,
                };
                self.policies.insert(change.object.clone(), policy);
            }
            Event::Decision(decision) => {
                self.time = self.time.max(decision.time);
                if let Some(object) = self.objects.get_mut(&decision.object) {
                    object.standings.apply(decision);
                    object.decision = Some(DecisionView {
                        number: decision.number,
                        revision: decision.revision,
                        sequence: entry.sequence,
                        id: entry.id.clone(),
                        causation: decision.causation.clone(),
                        time: decision.time,
                        inputs: decision.body.inputs.clone(),
                    });
                }
            }
            Event::Cluster(event) => {
                self.time = self.time.max(event.time);
                let cluster = self
                    .clusters
                    .entry(event.cluster.clone())
                    .or_insert(ClusterView {
                        registered: None,
                        online: None,
                        trouble: None,
                        since: event.time,
                    });
                match &event.news {
                    ClusterNews::Registered(registered) => {
                        cluster.registered = Some(Cluster::clone(registered))
                    }
                    ClusterNews::Removed {} => cluster.registered = None,
                    ClusterNews::Online { trouble } => {
                        cluster.stands(true, trouble.as_ref(), event.time)
                    }
                    ClusterNews::Offline {} => cluster.stands(false, None, event.time),
                }
            }
        }
    }

    /// Folds the next batch of `partition`'s acknowledgements; one already folded only repeats the confirmation.
    ///
    /// Returns what the agent may be told; nothing while a batch before this one is missing.
    pub fn acknowledged(&mut self, partition: u16, sequence: u64, batch: Batch) -> Option<Seen> {
        let Batch { cluster, body } = batch;
        let last = body.acks.last().map_or(body.after, |ack| ack.count);
        let folded = self.acks.entry(partition).or_default();
        if sequence > *folded {
            *folded = sequence;
            for ack in body.acks {
                self.answered(&cluster, body.transitions, ack);
            }
        }
        let known = self.seen.get(&cluster).copied().unwrap_or_default();
        let told = match body.transitions.cmp(&known.transitions) {
            // Its agent learns that a later one answered: where it holds the cluster's lease, that has forgotten (it was wiped, or restored).
            std::cmp::Ordering::Less => return Some(known),
            std::cmp::Ordering::Equal => known.count.max(body.confirmed),
            std::cmp::Ordering::Greater => body.confirmed,
        };
        if body.after > told {
            return None;
        }
        let seen = Seen {
            transitions: body.transitions,
            count: told.max(last),
        };
        self.seen.insert(cluster, seen);
        Some(seen)
    }

    fn answered(&mut self, cluster: &ClusterName, transitions: u64, ack: Ack) {
        // A key shares its text: it costs less to clone than to look for twice.
        let answers = self.answers.entry(ack.object.clone()).or_default();
        let known = answers.get_mut(cluster);
        let place = ack.place();
        let turn = Turn {
            epoch: ack.epoch.number,
            decision_epoch: place.epoch.number,
            decision: ack.decision,
            transitions,
            count: ack.count,
        };
        let mut holds = known
            .as_ref()
            .map(|answer| answer.holds)
            .unwrap_or_default();
        match ack.outcome {
            Outcome::Applied => holds.applied = holds.applied.max(Some((turn, ack.revision))),
            Outcome::Removed | Outcome::Orphaned => holds.gone = holds.gone.max(Some(turn)),
            Outcome::Refused | Outcome::Retrying | Outcome::Ahead => {}
        }
        let is_newer = known.as_ref().is_none_or(|known| {
            (&known.epoch, &known.place, known.transitions, known.count)
                < (&ack.epoch, &place, transitions, ack.count)
        });
        let newest = || Answer {
            epoch: ack.epoch,
            place,
            transitions,
            count: ack.count,
            revision: ack.revision,
            outcome: ack.outcome,
            message: ack.message,
            digest: ack.digest,
            attempts: ack.attempts,
            work_id: ack.work_id,
            time: ack.time,
            observed: ack.observed,
            held: ack.held,
            holds,
        };
        match known {
            Some(known) if is_newer => *known = newest(),
            Some(known) => known.holds = holds,
            None => drop(answers.insert(cluster.clone(), newest())),
        }
    }
}

impl Answer {
    /// The newest revision that the cluster is known to hold; 0 for none.
    pub fn applied_revision(&self) -> u64 {
        match (self.holds.applied, self.holds.gone) {
            (Some((applied, revision)), gone) if Some(applied) > gone => revision,
            (Some(_) | None, _) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
