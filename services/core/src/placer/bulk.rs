//! Bulk removals wait: which removals belong together, when they are too many, and what a confirmation lets go.
//!
//! A decision that would take copies away is held where more than [`Limit`] would go together: its copies stay assigned, and the decision names the
//! batch that they wait in ([`crate::decision::Held`]). A [`Confirmation`] is a document among the policies; it asks for new decisions about the copies
//! that it lets go or keeps. So all of it stands in decisions: whoever folds the log knows what is held.

mod counted;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Placer;
use super::along::{along, namespace_of};
use super::announced::Announced;
use super::cause::Cause;
use super::copies::Copies;
use super::limit::Limit;
use crate::change::{Change, Content};
use crate::confirmation::{Confirmation, Ruling};
use crate::decision::{Body, Decision, Held, HeldCopies, Hold, Standing, Standings};
use crate::digest;
use crate::epoch::Epoch;
use crate::log::Entry;
use crate::model::federated::OnDelete;
use crate::model::{ClusterName, ObjectKey};
use crate::time::Time;

/// Removals belong together, whoever asks for them, if they are decided within this time.
const WINDOW_MS: i64 = 10 * 60_000;
/// How often what is older than that is looked for.
const EXPIRY_MS: i64 = 60_000;

/// Removals that wait together.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Batch {
    cause: String,
    /// The log sequence of the decision that holds each; 0 while it is not in the log.
    copies: Copies<u64>,
    /// Those that were held lately, and when: they count with what comes now.
    #[serde(default)]
    lately: Copies<Time>,
    /// What would go with the namespaces among them.
    #[serde(default)]
    along: Copies<Time>,
    /// What somebody said about them, until that is decided.
    #[serde(default)]
    rulings: BTreeMap<ObjectKey, BTreeMap<ClusterName, Ruling>>,
}

impl Batch {
    fn new(cause: &str) -> Self {
        Self {
            cause: cause.to_owned(),
            copies: Copies::default(),
            lately: Copies::default(),
            along: Copies::default(),
            rulings: BTreeMap::new(),
        }
    }

    /// The copy of `object` in `cluster` waits no more.
    fn forget(&mut self, object: &ObjectKey, cluster: &ClusterName) {
        self.copies.remove(object, cluster);
        self.lately.remove(object, cluster);
        if let Some(namespace) = namespace_of(object) {
            let is_inside = |key: &ObjectKey| key.namespace() == Some(namespace);
            self.along
                .retain(|key, at, _| !is_inside(key) || at != cluster);
        }
    }
}

/// What would go for one cause.
#[derive(Debug, Clone, Default)]
struct Survey {
    copies: Copies<()>,
    /// What would go with the namespaces among them, by which.
    along: Copies<ObjectKey>,
}

/// How the clusters stood that a decision speaks of, before it.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// A copy stood there, is deleted now, and did not wait for that.
    deleted: Vec<ClusterName>,
    /// A copy waited there, and with what.
    held: Vec<(ClusterName, String)>,
}

/// What the placer knows of removals that are many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Bulk {
    /// Of the events that ask for decisions which are not made.
    causes: BTreeMap<String, Cause>,
    /// What waits, by the id that confirms it.
    batches: BTreeMap<String, Batch>,
    /// What went lately without waiting, and when that was decided.
    gone: Copies<Time>,
    /// What went with the namespaces among that.
    #[serde(default)]
    along: Copies<Time>,
    /// Withdrawals that belong together, by publisher and id.
    #[serde(default)]
    announced: BTreeMap<String, Announced>,
    expired: Time,
    #[serde(skip)]
    limit: Limit,
    /// What all clusters hold, counted when it is asked for first.
    #[serde(skip)]
    placed: Option<Copies<()>>,
    /// What the objects that are to be decided about would lose, by cause; none before it is asked for.
    #[serde(skip)]
    survey: Option<BTreeMap<String, Survey>>,
    /// The batch in which a decision that is not in the log holds copies.
    #[serde(default)]
    deciding: BTreeMap<ObjectKey, String>,
}

impl Bulk {
    /// Takes note of why an event asks for decisions.
    pub(super) fn caused(&mut self, entry: &Entry, cause: Cause) {
        self.causes.insert(entry.id.clone(), cause);
    }

    /// Takes note of what a change says of others that belong to it: why there will be a decision.
    pub(super) fn announced(&mut self, change: &Change) -> Cause {
        let source = &change.origin.source;
        let mut cause = Cause::publisher(source);
        if let Content::Withdrawn {
            orphan: false,
            together: Some(together),
        } = &change.content
        {
            cause.key = format!("publisher {source} together {}", together.id);
            let announced = self.announced.entry(cause.key.clone()).or_default();
            announced.note(&change.object, together, change.time);
            cause.together = Some(cause.key.clone());
        }
        cause
    }

    /// How the clusters stand that `body` speaks of.
    pub(super) fn before(&self, body: &Body, standings: &Standings) -> Before {
        let unheld = deleted(body, standings).filter(|(_, hold)| hold.is_none());
        let deleted = unheld.map(|(cluster, _)| cluster.clone()).collect();
        // Nothing waits nearly always, and then nobody has to look.
        let held = match self.batches.is_empty() {
            true => Vec::new(),
            false => body
                .clusters()
                .filter_map(|cluster| {
                    Some((cluster.clone(), hold_in(standings, cluster)?.id.clone()))
                })
                .collect(),
        };
        Before { deleted, held }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.deciding.is_empty()
    }

    fn expire(&mut self, now: Time) {
        if now.0 - self.expired.0 >= EXPIRY_MS {
            self.expired = now;
            let is_late =
                |_: &ObjectKey, _: &ClusterName, decided: &Time| now.0 - decided.0 < WINDOW_MS;
            self.gone.retain(is_late);
            self.along.retain(is_late);
            for batch in self.batches.values_mut() {
                batch.lately.retain(is_late);
                batch.along.retain(is_late);
            }
            self.announced
                .retain(|_, announced| announced.is_of_now(now, WINDOW_MS));
        }
    }

    fn batch_of(&self, cause: &str) -> Option<(&String, &Batch)> {
        self.batches.iter().find(|(_, batch)| batch.cause == cause)
    }

    /// The copy of `object` in `cluster` goes, without having waited.
    fn goes(&mut self, object: &ObjectKey, cluster: &ClusterName, at: Time) {
        self.gone.insert(object, cluster, at);
        self.along.remove(object, cluster);
    }

    fn ruling(&self, id: &str, object: &ObjectKey, cluster: &ClusterName) -> Option<Ruling> {
        let batch = self.batches.get(id)?;
        batch.rulings.get(object)?.get(cluster).copied()
    }

    /// What was decided about `object` is not in the log, or is now.
    pub(super) fn settled(&mut self, object: &ObjectKey) {
        let Some(id) = self.deciding.remove(object) else {
            return;
        };
        if let Some(batch) = self.batches.get_mut(&id) {
            for cluster in batch.copies.of(object, |sequence| *sequence == 0) {
                batch.forget(object, &cluster);
            }
            if batch.copies.is_empty() {
                self.batches.remove(&id);
            }
        }
    }

    fn let_go(&mut self, id: &str, object: &ObjectKey, cluster: &ClusterName) {
        let Some(batch) = self.batches.get_mut(id) else {
            return;
        };
        batch.forget(object, cluster);
        if let Some(rulings) = batch.rulings.get_mut(object) {
            rulings.remove(cluster);
            if rulings.is_empty() {
                batch.rulings.remove(object);
            }
        }
        if batch.copies.is_empty() {
            self.batches.remove(id);
        }
    }
}

impl Placer {
    /// More removals than `limit` wait for a confirmation from now on.
    pub fn limit_removals(&mut self, limit: Limit) {
        self.bulk.limit = limit;
    }

    fn cause_of(&self, id: &str, object: &ObjectKey) -> Cause {
        let known = self.bulk.causes.get(id).cloned();
        known.unwrap_or_else(|| {
            let object = self.objects.get(object);
            Cause::publisher(object.map_or("", |object| &object.source))
        })
    }

    /// Takes out of what a decision about `key` says the removals that have to wait, or that were ruled about.
    pub(super) fn hold(
        &mut self,
        key: &ObjectKey,
        body: &mut Body,
        causation: &str,
        epoch: &Epoch,
        now: Time,
    ) {
        let Some(object) = self.objects.get(key) else {
            return;
        };
        let mut fresh = BTreeSet::new();
        let mut waiting = BTreeSet::new();
        let mut kept = BTreeSet::new();
        for (cluster, hold) in deleted(body, &object.standings) {
            match hold.map(|hold| self.bulk.ruling(&hold.id, key, cluster)) {
                None => fresh.insert(cluster.clone()),
                Some(None) => waiting.insert(cluster.clone()),
                Some(Some(Ruling::Keep)) => kept.insert(cluster.clone()),
                Some(Some(Ruling::Remove)) => true,
            };
        }
        body.do_not_remove(&waiting);
        body.orphan(&kept);
        let next = object.decision + 1;
        if fresh.is_empty() || self.bulk.limit.objects == 0 {
            return;
        }
        let cause = self.cause_of(causation, key);
        if cause.confirmed {
            return;
        }
        self.bulk.expire(now);
        self.count(epoch);
        let counted = self.bulk.counted(&cause.key);
        let mut taken = Copies::default();
        for (inside, cluster) in along(&self.objects, key, &fresh) {
            if !counted.holds(&inside, &cluster) {
                taken.insert(&inside, &cluster, now);
            }
        }
        let passed = self.bulk.passed(key, &fresh, &taken, &cause);
        // From here on it counts by itself.
        for survey in self.bulk.survey.iter_mut().flat_map(BTreeMap::values_mut) {
            survey.along.retain_of(key, |at, _| !fresh.contains(at));
        }
        let Some(limit) = passed else {
            for cluster in fresh {
                self.bulk.goes(key, &cluster, now);
            }
            self.bulk.along.take(taken);
            return;
        };
        let id = match self.bulk.batch_of(&cause.key) {
            Some((id, _)) => id.clone(),
            None => digest::short(format!("held {key} {epoch} {next}").as_bytes())[..8].to_owned(),
        };
        let batch = self.bulk.batches.entry(id.clone());
        let batch = batch.or_insert_with(|| Batch::new(&cause.key));
        for cluster in &fresh {
            batch.copies.insert(key, cluster, 0);
            batch.lately.insert(key, cluster, now);
            batch.along.remove(key, cluster);
        }
        batch.along.take(taken);
        self.bulk.deciding.insert(key.clone(), id.clone());
        body.hold(&fresh, &id, &cause.by, &limit);
    }

    /// Counts what is needed to know whether removals are many.
    fn count(&mut self, epoch: &Epoch) {
        if self.bulk.placed.is_none() {
            let mut placed = Copies::default();
            for (key, object) in &self.objects {
                for (cluster, _) in object.standings.iter() {
                    if object.standings.holds(cluster) {
                        placed.insert(key, cluster, ());
                    }
                }
            }
            self.bulk.placed = Some(placed);
        }
        let fresh = match &self.bulk.survey {
            Some(_) => self.dirty.take_fresh(),
            None => {
                self.bulk.survey = Some(BTreeMap::new());
                self.dirty.take_all()
            }
        };
        for (key, cause) in fresh {
            // One that is under way is counted where it goes or waits.
            let cause = cause.filter(|_| !self.deciding.contains(&key));
            let asked = cause.map(|id| {
                let cause = self.cause_of(&id, &key).key;
                (cause, self.would_remove(&key, epoch))
            });
            let survey = self.bulk.survey.get_or_insert_default();
            for one in survey.values_mut() {
                one.copies.retain_of(&key, |_, ()| false);
                if namespace_of(&key).is_some() {
                    one.along.retain(|_, _, by| *by != key);
                }
            }
            if let Some((cause, clusters)) = asked {
                self.surveyed(&key, &cause, clusters.into_iter().collect());
            }
            let survey = self.bulk.survey.get_or_insert_default();
            survey.retain(|_, one| !one.copies.is_empty());
        }
    }

    /// Takes note that `key` would go from `clusters` because of `cause`.
    fn surveyed(&mut self, key: &ObjectKey, cause: &str, clusters: BTreeSet<ClusterName>) {
        let counted = self.bulk.counted(cause);
        let inside = along(&self.objects, key, &clusters).into_iter();
        let inside: Vec<(ObjectKey, ClusterName)> = inside
            .filter(|(inside, cluster)| !counted.holds(inside, cluster))
            .collect();
        let survey = self.bulk.survey.get_or_insert_default();
        let one = survey.entry(cause.to_owned()).or_default();
        for cluster in &clusters {
            one.copies.insert(key, cluster, ());
            one.along.remove(key, cluster);
        }
        for (inside, cluster) in inside {
            one.along.insert(&inside, &cluster, key.clone());
        }
    }

    /// The clusters that a decision about `key` would take it away from now, and that do not wait for that already.
    fn would_remove(&mut self, key: &ObjectKey, epoch: &Epoch) -> Vec<ClusterName> {
        let Some((_, body, _)) = self.draft(key, epoch) else {
            return Vec::new();
        };
        let Some(object) = self.objects.get(key) else {
            return Vec::new();
        };
        let deleted = deleted(&body, &object.standings).filter(|(_, hold)| hold.is_none());
        deleted.map(|(cluster, _)| cluster.clone()).collect()
    }

    /// Takes note of what a decision in the log took away, held or let go; `before` says how things stood.
    pub(super) fn removals_decided(&mut self, entry: &Entry, decision: &Decision, before: Before) {
        let Before { deleted, held } = before;
        let key = &decision.object;
        self.bulk.settled(key);
        self.bulk.expire(decision.time);
        let cause = self.cause_of(&decision.causation, key);
        let Self { objects, bulk, .. } = self;
        let Some(object) = objects.get(key) else {
            return;
        };
        if !cause.confirmed {
            for cluster in &deleted {
                bulk.goes(key, cluster, decision.time);
            }
            let clusters = deleted.iter().cloned().collect();
            for (inside, cluster) in along(objects, key, &clusters) {
                if !bulk.gone.holds(&inside, &cluster) {
                    bulk.along.insert(&inside, &cluster, decision.time);
                }
            }
        }
        for (cluster, id) in &held {
            if hold_in(&object.standings, cluster).is_none_or(|hold| hold.id != *id) {
                bulk.let_go(id, key, cluster);
            }
        }
        if let Some(held) = &decision.body.held {
            let standings = &object.standings;
            let is_held = |cluster: &&ClusterName| hold_in(standings, cluster).is_some();
            let clusters: BTreeSet<ClusterName> =
                held.clusters().filter(is_held).cloned().collect();
            for cluster in &clusters {
                let batch = bulk.batches.entry(held.id.clone());
                let batch = batch.or_insert_with(|| Batch::new(&cause.key));
                batch.copies.insert(key, cluster, entry.sequence);
                batch.lately.insert(key, cluster, decision.time);
                batch.along.remove(key, cluster);
            }
            for (inside, cluster) in along(objects, key, &clusters) {
                let batch = bulk.batches.get_mut(&held.id);
                let batch = batch.filter(|batch| !batch.lately.holds(&inside, &cluster));
                if let Some(batch) = batch {
                    batch.along.insert(&inside, &cluster, decision.time);
                }
            }
        }
        if let Some(placed) = &mut bulk.placed {
            for cluster in decision.body.clusters() {
                match object.standings.holds(cluster) {
                    true => placed.insert(key, cluster, ()),
                    false => placed.remove(key, cluster),
                }
            }
        }
        // What follows from this decision has the same cause.
        bulk.causes.insert(entry.id.clone(), cause);
        if bulk.causes.len() > 1_000 + 4 * self.dirty.len() {
            let asked_for = self.dirty.causes();
            bulk.causes.retain(|id, _| asked_for.contains(id));
        }
    }

    /// Whether `change` is a confirmation; then what it is about is decided anew.
    pub(super) fn confirmed(&mut self, entry: &Entry, change: &Change) -> bool {
        if !Confirmation::is_key(&change.object) {
            return false;
        }
        let Content::Declared { document, .. } = &change.content else {
            return true;
        };
        let read = document.value().ok();
        let read = read.and_then(|document| Confirmation::read(&document).ok());
        let Some(Confirmation { id, upto, ruling }) = read else {
            return true;
        };
        self.bulk.caused(entry, Cause::confirmation(change));
        let Some(batch) = self.bulk.batches.get_mut(&id) else {
            return true;
        };
        let mut ruled: Vec<ObjectKey> = Vec::new();
        for (object, cluster, sequence) in batch.copies.iter() {
            if (1..=upto).contains(sequence) {
                let rulings = batch.rulings.entry(object.clone()).or_default();
                rulings.insert(cluster.clone(), ruling);
                if ruled.last() != Some(object) {
                    ruled.push(object.clone());
                }
            }
        }
        // Somebody has looked: what went before does not count against what comes now.
        let seen = batch.copies.clone();
        let is_apart = |object: &ObjectKey, cluster: &ClusterName, _: &Time| {
            let namespace = object.namespace().unwrap_or_default();
            seen.in_cluster(cluster) == 0 && seen.in_namespace(namespace).objects == 0
        };
        self.bulk.gone.retain(is_apart);
        self.bulk.along.retain(is_apart);
        for object in &ruled {
            self.look_again_because(object, entry);
        }
        true
    }
}

/// The clusters that `body` deletes a copy from which stands there, and why that waits where it does.
fn deleted<'a>(
    body: &'a Body,
    standings: &'a Standings,
) -> impl Iterator<Item = (&'a ClusterName, Option<&'a Hold>)> {
    let deleted = body
        .removed
        .iter()
        .filter(|group| group.mode == OnDelete::Delete);
    let clusters = deleted.flat_map(|group| &group.clusters);
    clusters
        .filter(|cluster| standings.holds(cluster))
        .map(|cluster| (cluster, hold_in(standings, cluster)))
}

fn hold_in<'a>(standings: &'a Standings, cluster: &ClusterName) -> Option<&'a Hold> {
    match standings.get(cluster)? {
        Standing::Assigned { held, .. } => held.as_deref(),
        Standing::Removing { .. } | Standing::Excluded { .. } => None,
    }
}

impl Body {
    /// Every cluster of which it says something.
    fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        let Self {
            inputs: _,
            assigned,
            removed,
            excluded,
            dropped,
            held,
        } = self;
        let assigned = assigned.iter().flat_map(|group| &group.clusters);
        let removed = removed.iter().flat_map(|group| &group.clusters);
        let excluded = excluded.iter().flat_map(|group| &group.clusters);
        let held = held.iter().flat_map(|held| held.clusters());
        assigned
            .chain(removed)
            .chain(excluded)
            .chain(held)
            .chain(dropped)
    }

    /// Takes `clusters` out of those that it removes the object from: why, for each that was there.
    fn do_not_remove(&mut self, clusters: &BTreeSet<ClusterName>) -> Vec<(ClusterName, String)> {
        let mut taken = Vec::new();
        for group in &mut self.removed {
            let is_meant = |cluster: &ClusterName| clusters.contains(cluster);
            let out = group.clusters.iter().filter(|cluster| is_meant(cluster));
            taken.extend(out.map(|cluster| (cluster.clone(), group.reason.clone())));
            group.clusters.retain(|cluster| !is_meant(cluster));
        }
        self.removed.retain(|group| !group.clusters.is_empty());
        taken
    }

    /// Leaves the copies in `clusters` where they are, without our marks.
    fn orphan(&mut self, clusters: &BTreeSet<ClusterName>) {
        for (cluster, reason) in self.do_not_remove(clusters) {
            let reason = format!("{reason}; its removal was rejected");
            self.remove(&cluster, OnDelete::Orphan, &reason);
        }
    }

    fn hold(&mut self, clusters: &BTreeSet<ClusterName>, id: &str, by: &str, limit: &str) {
        let mut copies: Vec<HeldCopies> = Vec::new();
        for (cluster, reason) in self.do_not_remove(clusters) {
            let group = copies.iter_mut().find(|group| group.reason == reason);
            match group {
                Some(group) => group.clusters.push(cluster),
                None => copies.push(HeldCopies {
                    reason,
                    clusters: vec![cluster],
                }),
            }
        }
        self.held = Some(Box::new(Held {
            id: id.to_owned(),
            by: by.to_owned(),
            limit: limit.to_owned(),
            copies,
        }));
    }
}
