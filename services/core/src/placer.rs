//! Folds the log into placements and says what to append and what to write.
//!
//! **Order.** A decision is made on a prefix of the log and expects to be the next about its object. Work is written only for objects about
//! which nothing is undecided, from the decisions that stand in the log: whoever leads next comes to the same work.
//!
//! **One leader.** Each write expects the sequence of the one before, so that a predecessor that was paused cannot write any more.
//! [`Placer::take_over`] starts from what the work stream holds; [`Placer::lose`] ends leading after any write that failed.

mod along;
mod announced;
mod bulk;
mod cause;
mod consider;
mod copies;
mod dirty;
mod lane;
mod limit;
mod object;
mod policies;
mod related;
mod stream;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capacity::{self, Capacity};
use crate::decision::{Body, Decision, Inputs, Place, Standing};
use crate::epoch::{Beginning, Epoch};
use crate::log::{ClusterNews, Entry, Event};

use crate::model::{Cluster, ClusterName, Dialect, ObjectKey};
use crate::plan::Verdict;
use crate::time::Time;
use crate::work::{self, Stamp, Work};
use crate::{change, digest, sealed};

use bulk::Bulk;
use cause::Cause;
use consider::Considered;
use dirty::Dirty;
use object::{Object, Parsed};
use policies::Policies;

pub use lane::{Fence, Found, Lane};
pub use limit::Limit;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Append a decision, if the newest decision about the object still stands at `expected` (0: none).
    Append {
        /// The decision.
        decision: Box<Decision>,
        /// The expected last sequence of the object's decision subject.
        expected: u64,
    },
    /// Write an item of work, if the last message of its partition's stream still has the sequence `expected`.
    Write {
        /// The work.
        work: Box<Work>,
        /// Its partition.
        partition: u16,
        /// The expected last sequence of the stream.
        expected: u64,
    },
    /// Take away removal work that was acknowledged, or work of a cluster that left, up to `sequence`.
    Forget {
        /// The cluster.
        cluster: ClusterName,
        /// The object.
        object: ObjectKey,
        /// The sequence of the work.
        sequence: u64,
    },
    /// All work of a partition is written anew: say so behind it, if the stream's last message still has the sequence `expected`.
    Complete {
        /// The partition.
        partition: u16,
        /// The term.
        term: u64,
        /// The making of the stream.
        incarnation: String,
        /// The expected last sequence of the stream.
        expected: u64,
    },
    /// Nothing can be written about an object: it renders differently from what was decided.
    Stuck {
        /// The object.
        object: ObjectKey,
        /// What differs.
        message: String,
    },
}

/// The placer's knowledge: all of it can be folded anew from the log and the work streams.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Placer {
    /// The log sequence up to which it is folded.
    sequence: u64,
    beginning: Option<Beginning>,
    clusters: BTreeMap<ClusterName, Cluster>,
    #[serde(default)]
    policies: Policies,
    cluster_sequence: u64,
    objects: BTreeMap<ObjectKey, Object>,
    lanes: BTreeMap<u16, Lane>,
    /// The highest term seen in the log.
    term: u64,
    /// Objects to decide about, each with the id of the event that asks for it.
    dirty: Dirty,
    /// Objects about which a decision was made that is not in the log yet; [`Placer::lose`] decides about them again.
    deciding: BTreeSet<ObjectKey>,
    /// The event that asked for each of them.
    #[serde(default)]
    asked_by: BTreeMap<ObjectKey, String>,
    #[serde(default)]
    bulk: Bulk,
    /// Who takes an object along, by the object.
    #[serde(default)]
    dependents: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Work that the log asks for and the work stream lacks.
    unwritten: BTreeSet<(ObjectKey, ClusterName)>,
    /// Work among it that cannot be written as things are: said once, and tried again after the next event about its object or a restart.
    #[serde(skip)]
    stuck: BTreeSet<(ObjectKey, ClusterName)>,
    /// The keys that are held; none where it does not matter which.
    #[serde(skip)]
    keys: Option<BTreeSet<String>>,
    #[serde(skip)]
    forget: Vec<(ClusterName, ObjectKey, u64)>,
    /// Whether the work streams that it took over may hold work that nobody is owed any more.
    #[serde(skip)]
    looks_for_undue: bool,
    /// The term that it leads in; none while it only follows.
    #[serde(skip)]
    leading: Option<u64>,
    /// What agents measured last. It asks for no decision; one that is due looks at it, and records the numbers that it used.
    #[serde(skip)]
    capacities: BTreeMap<ClusterName, Capacity>,
}

impl Placer {
    /// The log sequence up to which it is folded.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whose history the log tells, once known.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.beginning.as_ref().map(|beginning| &beginning.epoch)
    }

    /// The registered clusters.
    pub fn clusters(&self) -> &BTreeMap<ClusterName, Cluster> {
        &self.clusters
    }

    /// Takes note of what the agent of `cluster` measured: decisions that are due later look at it.
    pub fn measured(&mut self, cluster: &ClusterName, capacity: Capacity) {
        self.capacities.insert(cluster.clone(), capacity);
    }

    /// How many more replicas of `manifest` each cluster could take, where that is known.
    fn available(&self, manifest: &Value) -> BTreeMap<ClusterName, i64> {
        let each = capacity::of_replica(manifest);
        let capacities = self.capacities.iter();
        capacities
            .filter(|(cluster, _)| self.clusters.contains_key(*cluster))
            .map(|(cluster, capacity)| (cluster.clone(), capacity.fits(each)))
            .collect()
    }

    /// The clusters that hold `object`, as far as was decided.
    pub fn holds(&self, object: &ObjectKey, cluster: &ClusterName) -> bool {
        self.objects
            .get(object)
            .is_some_and(|object| object.standings.holds(cluster))
    }

    /// The partition of `cluster`: FNV-1a-64 of its name modulo the number of partitions.
    pub fn partition(&self, cluster: &ClusterName) -> u16 {
        self.beginning
            .as_ref()
            .map_or(0, |beginning| partition(cluster, beginning.partitions))
    }

    /// The highest term that is known to have led.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The work stream of `partition` as it was last known.
    pub fn lane(&self, partition: u16) -> Option<&Lane> {
        self.lanes.get(&partition)
    }

    /// Whether work of `partition` is still being written anew.
    pub fn is_rebuilding(&self, partition: u16) -> bool {
        self.lanes
            .get(&partition)
            .is_some_and(|lane| lane.rebuilding)
    }

    /// Whether nothing is left to decide or to write, as far as the log is folded.
    pub fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.deciding.is_empty() && self.unwritten.is_empty()
    }

    /// Work whose values are sealed to other keys than these is not written: nobody could seal it to its cluster.
    pub fn hold_keys(&mut self, keys: BTreeSet<String>) {
        self.keys = Some(keys);
    }

    /// Folds the next event of the log; one already folded is ignored.
    pub fn logged(&mut self, entry: &Entry) {
        if entry.sequence <= self.sequence {
            return;
        }
        self.sequence = entry.sequence;
        match &entry.event {
            Event::Epoch(beginning) => self.beginning = Some(beginning.clone()),
            Event::Change(change) => self.changed(entry, change),
            Event::Policy(change) => self.policy_changed(entry, change),
            Event::Decision(decision) => self.decided(entry, decision),
            Event::Cluster(event) => match &event.news {
                ClusterNews::Registered(cluster) => {
                    self.cluster_sequence = entry.sequence;
                    if self.clusters.get(&cluster.name) != Some(&**cluster) {
                        self.bulk.caused(entry, Cause::cluster(&cluster.name));
                        self.clusters
                            .insert(cluster.name.clone(), Cluster::clone(cluster));
                        self.seal_anew(&cluster.name);
                        self.policies.forget_members();
                        self.look_again(&cluster.name, &entry.id);
                    }
                }
                ClusterNews::Removed {} => {
                    self.cluster_sequence = entry.sequence;
                    if self.clusters.remove(&event.cluster).is_some() {
                        self.bulk.caused(entry, Cause::cluster(&event.cluster));
                        self.policies.forget_members();
                        self.look_again(&event.cluster, &entry.id);
                    }
                }
                ClusterNews::Online { trouble: _ } | ClusterNews::Offline {} => {}
            },
        }
    }

    fn changed(&mut self, entry: &Entry, change: &change::Change) {
        let before = self.names(&change.object);
        let object = self
            .objects
            .entry(change.object.clone())
            .or_insert_with(|| Object::new(&entry.id));
        if object.revision == 0 || object.withdrawn.is_some() {
            object.born = change.time;
        }
        object.revision = change.revision;
        object.change_sequence = entry.sequence;
        object.change_id.clone_from(&entry.id);
        object.source.clone_from(&change.origin.source);
        object.rendered.clear();
        let cause = self.bulk.announced(change);
        self.bulk.caused(entry, cause);
        self.stuck.retain(|(object, _)| *object != change.object);
        match &change.content {
            change::Content::Declared { dialect, document } => {
                object.is_plain = *dialect == Dialect::Karmada;
                object.documents.insert(change.revision, document.clone());
                object.withdrawn = None;
                object.parsed = None;
            }
            change::Content::Withdrawn {
                orphan,
                together: _,
            } => object.withdrawn = Some(*orphan),
        }
        self.dirty.insert(change.object.clone(), entry.id.clone());
        self.relate(&change.object, before, entry);
    }

    fn decided(&mut self, entry: &Entry, decision: &Decision) {
        self.term = self.term.max(decision.term);
        self.deciding.remove(&decision.object);
        self.asked_by.remove(&decision.object);
        self.stuck.retain(|(object, _)| *object != decision.object);
        let object = self
            .objects
            .entry(decision.object.clone())
            .or_insert_with(|| Object::new(&entry.id));
        object.decision = decision.number;
        object.decision_sequence = entry.sequence;
        object.decision_id.clone_from(&entry.id);
        object.decision_time = decision.time;
        object.decided_change_sequence = decision.body.inputs.change_sequence;
        let mut used = decision.body.inputs.policies.iter();
        object.is_placed = used.any(|used| used.policy.kind().ends_with("PropagationPolicy"));
        let before = self.bulk.before(&decision.body, &object.standings);
        object.standings.apply(decision);
        object.drop_documents();
        self.removals_decided(entry, decision, before);
        let Some(object) = self.objects.get(&decision.object) else {
            return;
        };
        let Body {
            inputs,
            assigned,
            removed,
            excluded,
            dropped,
            held: _,
        } = &decision.body;
        let let_go = excluded.iter().flat_map(|group| &group.clusters);
        let let_go: Vec<ClusterName> = let_go.chain(dropped).cloned().collect();
        let concerned = assigned
            .iter()
            .flat_map(|group| &group.clusters)
            .chain(removed.iter().flat_map(|group| &group.clusters));
        for cluster in concerned {
            if object.is_unwritten(cluster) {
                self.unwritten
                    .insert((decision.object.clone(), cluster.clone()));
            }
        }
        self.let_go(&decision.object, decision.number, &let_go);
        let Some(object) = self.objects.get(&decision.object) else {
            return;
        };
        // What was decided on the newest of everything needs no second look.
        if inputs.change_sequence >= object.change_sequence
            && inputs.cluster_sequence >= self.cluster_sequence
            && inputs.related_sequence >= object.related_sequence
        {
            self.dirty.remove(&decision.object);
        } else {
            // What was decided on more meanwhile is not stored behind this one, and may have come to nothing only because this one was not known.
            let cause = &object.change_id;
            self.dirty.insert_if_absent(&decision.object, cause);
        }
        self.relatives_look_again(&decision.object, entry);
    }

    /// Marks the objects dirty whose placement `cluster` may touch.
    fn look_again(&mut self, cluster: &ClusterName, cause: &str) {
        for (key, object) in &mut self.objects {
            let named_others_only = || {
                object
                    .parsed
                    .as_ref()
                    .and_then(Parsed::federated)
                    .and_then(|parsed| parsed.placement.clusters.as_ref())
                    .is_some_and(|names| !names.contains(cluster))
            };
            let no_work_there = object.standings.get(cluster).is_none();
            // Revision 0: met in a work stream only, the log has not come to it yet.
            if object.revision == 0
                || (no_work_there && (object.withdrawn.is_some() || named_others_only()))
                || (no_work_there && object.is_plain && self.policies.rests(key, object))
            {
                continue;
            }
            self.dirty.insert(key.clone(), cause.to_owned());
        }
    }

    /// A decision could not be appended because another stands there: it comes with the log, and the object is looked at again then.
    pub fn append_failed(&mut self, object: &ObjectKey) {
        self.deciding.remove(object);
        self.bulk.settled(object);
        let asked_by = self.asked_by.remove(object);
        if let Some(known) = self.objects.get(object) {
            let cause = asked_by.as_ref().unwrap_or(&known.change_id);
            self.dirty.insert_if_absent(object, cause);
        }
    }

    /// A cluster answered that `object` is gone, or kept without our marks, as the decision at `place` asked.
    pub fn removal_answered(&mut self, object: &ObjectKey, cluster: &ClusterName, place: &Place) {
        let decision = place.number;
        let Some(known) = self.objects.get_mut(object) else {
            return;
        };
        let is_removing = matches!(
            known.standings.get(cluster),
            Some(Standing::Removing { .. })
        );
        if is_removing && known.standings.place(cluster).as_ref() == Some(place) {
            // Who only follows may not have met the work yet, and must not write it again when it leads.
            known.settled.insert(cluster.clone(), decision);
            if let Some(found) = known.written.get(cluster)
                && found.decision == decision
            {
                self.forget
                    .push((cluster.clone(), object.clone(), found.sequence));
                known.written.remove(cluster);
            }
        }
    }

    /// What is to be done next at `now`; nothing while it does not lead.
    pub fn poll(&mut self, now: Time) -> Option<Effect> {
        let term = self.leading?;
        let epoch = self.epoch()?.clone();
        if std::mem::take(&mut self.looks_for_undue) {
            self.withdraw_undue();
        }
        if let Some((cluster, object, sequence)) = self.forget.pop() {
            return Some(Effect::Forget {
                cluster,
                object,
                sequence,
            });
        }
        if self.unwritten.is_empty()
            && let Some((partition, lane)) = self.lanes.iter_mut().find(|(_, lane)| lane.rebuilding)
        {
            lane.rebuilding = false;
            return Some(Effect::Complete {
                partition: *partition,
                term,
                incarnation: lane.incarnation.clone(),
                expected: lane.advance(),
            });
        }
        while let Some((key, cause)) = self.dirty.pop(|key| !self.deciding.contains(key)) {
            if let Some(effect) = self.decide(&key, cause, &epoch, term, now) {
                return Some(effect);
            }
        }
        loop {
            let next = self.unwritten.iter().find(|work| {
                !self.deciding.contains(&work.0)
                    && !self.dirty.contains_key(&work.0)
                    && !self.stuck.contains(work)
            });
            let (object, cluster) = next?.clone();
            self.unwritten.remove(&(object.clone(), cluster.clone()));
            let effect = self.write(&object, &cluster, epoch.clone(), term, now);
            if let Some(Effect::Stuck { .. }) = effect {
                self.stuck.insert((object.clone(), cluster.clone()));
                self.unwritten.insert((object, cluster));
            }
            if effect.is_some() {
                return effect;
            }
            if self.unwritten.is_empty() {
                return self.poll(now);
            }
        }
    }

    /// What a decision about an object says, before anything of it is held, and whether its newest change was carried out before; none where its document
    /// cannot be read.
    fn draft(&mut self, key: &ObjectKey, epoch: &Epoch) -> Option<(Considered, Body, bool)> {
        let mut considered = self.consider(key)?;
        let object = self.objects.get(key)?;
        let leaving = self.clusters.values().filter(|one| one.is_leaving());
        consider::take_from(leaving, &mut considered.verdicts, &object.standings);
        let registered = |cluster: &ClusterName| self.clusters.contains_key(cluster);
        let carried_out = object.decided_change_sequence == object.change_sequence;
        let change_in = (!carried_out).then_some(epoch);
        let body = object.standings.difference(
            &considered.verdicts,
            registered,
            considered.on_delete,
            &considered.gone_because,
            change_in,
            &considered.apply,
        );
        Some((considered, body, carried_out))
    }

    /// The decision about an object; none where nothing is to be recorded.
    fn decide(
        &mut self,
        key: &ObjectKey,
        causation: String,
        epoch: &Epoch,
        term: u64,
        now: Time,
    ) -> Option<Effect> {
        let Some((considered, mut body, carried_out)) = self.draft(key, epoch) else {
            return Some(unreadable(key));
        };
        let Considered {
            verdicts,
            on_delete: _,
            gone_because: _,
            policies,
            apply,
            available,
        } = considered;
        self.hold(key, &mut body, &causation, epoch, now);
        if body.changes_nothing() && carried_out {
            return None;
        }
        let available: BTreeMap<ClusterName, i64> = available
            .into_iter()
            .filter(|(cluster, _)| verdicts.contains_key(cluster))
            .collect();
        let object = self.objects.get_mut(key)?;
        body.inputs = Inputs {
            change_sequence: object.change_sequence,
            cluster_sequence: self.cluster_sequence,
            related_sequence: object.related_sequence,
            policies,
            apply,
            available: (!available.is_empty()).then(|| Box::new(available)),
        };
        object.rendered = verdicts
            .into_values()
            .filter_map(|verdict| match verdict {
                Verdict::Assigned { rendered, .. } => Some(rendered),
                Verdict::Excluded { .. } => None,
            })
            .collect();
        object.rendered.dedup_by(|a, b| a.digest == b.digest);
        let decision = Box::new(Decision {
            object: key.clone(),
            number: object.decision + 1,
            revision: object.revision,
            epoch: epoch.clone(),
            term,
            time: object.decision_time.max(now),
            causation: causation.clone(),
            correlation: object.change_id.clone(),
            body,
        });
        let expected = object.decision_sequence;
        self.deciding.insert(key.clone());
        self.asked_by.insert(key.clone(), causation);
        Some(Effect::Append { decision, expected })
    }

    /// The work that the standing asks for; none where there is nothing to write any more.
    fn write(
        &mut self,
        key: &ObjectKey,
        cluster: &ClusterName,
        epoch: Epoch,
        term: u64,
        now: Time,
    ) -> Option<Effect> {
        let partition = self.partition(cluster);
        let object = self.objects.get_mut(key)?;
        let standing = object.standings.get(cluster)?.clone();
        let (decision, revision) = standing.due()?;
        let decision_epoch = object.standings.epoch_of(decision)?.clone();
        if object.is_settled(cluster, decision) {
            return None;
        }
        if object.parse().is_none() {
            return Some(unreadable(key));
        }
        let (digest, body) = match standing {
            Standing::Assigned {
                digest,
                replicas,
                held,
                ..
            } => {
                let Some((manifest, policy)) =
                    self.manifest(key, cluster, &digest, replicas, revision)
                else {
                    // What made it so may be what takes it away (a label, a policy): the copy stays as it is, and nobody heals it until that is confirmed.
                    if held.is_some() {
                        return None;
                    }
                    return Some(Effect::Stuck {
                        object: key.clone(),
                        message: format!(
                            "decision {decision} recorded the digest {digest} for {cluster}, which no manifest has now"
                        ),
                    });
                };
                (Some(digest), work::Body::Apply { manifest, policy })
            }
            Standing::Removing { mode, .. } => (
                None,
                work::Body::Remove {
                    mode,
                    api_version: object.parse()?.api_version()?.to_owned(),
                },
            ),
            Standing::Excluded { .. } => return None,
        };
        let recipients = match &body {
            work::Body::Apply { manifest, .. } if sealed::may_be_in(manifest) => {
                sealed::recipients(&manifest.value().unwrap_or_default())
            }
            work::Body::Apply { .. } | work::Body::Remove { .. } => BTreeSet::new(),
        };
        if let (Some(held), Some(lacking)) = (&self.keys, recipients.first())
            && !recipients.is_subset(held)
        {
            let lacking = recipients.difference(held).next().unwrap_or(lacking);
            return Some(Effect::Stuck {
                object: key.clone(),
                message: format!(
                    "values are sealed to the key {lacking}, which is not held here: start ingest with --sealing-keys, all keys in it that were ever used"
                ),
            });
        }
        let registered = self.clusters.get(cluster);
        let recipient = registered.and_then(|cluster| cluster.sealing_key.as_deref());
        if !recipients.is_empty() && recipient.is_none() {
            // Its registration went meanwhile: there is nobody to seal it to.
            return None;
        }
        let object = self.objects.get_mut(key)?;
        let lane = self.lanes.get_mut(&partition)?;
        let (n, expected) = lane.next(cluster);
        object.written.insert(
            cluster.clone(),
            Found {
                decision,
                sequence: expected + 1,
                key: Found::key_of(recipient.filter(|_| !recipients.is_empty())),
            },
        );
        Some(Effect::Write {
            work: Box::new(Work {
                cluster: cluster.clone(),
                object: key.clone(),
                revision,
                decision,
                decision_epoch,
                digest,
                stamp: Stamp {
                    epoch,
                    term,
                    incarnation: lane.incarnation.clone(),
                    n,
                },
                time: now,
                causation: object.decision_id.clone(),
                correlation: object.change_id.clone(),
                body,
            }),
            partition,
            expected,
        })
    }
}

/// Says that the document of an object cannot be read, so that nobody knows what it should become.
fn unreadable(object: &ObjectKey) -> Effect {
    Effect::Stuck {
        object: object.clone(),
        message: "its document cannot be read by this version".to_owned(),
    }
}

/// The partition of `cluster` among `partitions`.
pub fn partition(cluster: &ClusterName, partitions: u16) -> u16 {
    let modulus = u64::from(partitions.max(1));
    u16::try_from(digest::fnv1a64(cluster.as_str().as_bytes()) % modulus)
        .expect("the remainder is below a u16")
}

#[cfg(test)]
mod tests;
