//! Bulk removals wait: which removals belong together, when they are too many, and what a confirmation lets go.
//!
//! A decision that would take copies away is held where more than [`Limit`] would go together: its copies stay assigned, and the decision names the
//! batch that they wait in ([`crate::decision::Held`]). A [`Confirmation`] is a document among the policies; it asks for new decisions about the copies
//! that it lets go or keeps. So all of it stands in decisions: whoever folds the log knows what is held.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Placer;
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

/// Why objects are looked at: what removals have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cause {
    /// What removals that wait together have in common: a publisher, a policy, a cluster.
    key: String,
    /// For a person.
    by: String,
    /// Whether somebody confirmed it: what follows from that is not held again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    confirmed: bool,
}

impl Cause {
    /// A change of an object, handed in by `source`.
    pub(super) fn publisher(source: &str) -> Self {
        Self {
            key: format!("publisher {source}"),
            by: source.to_owned(),
            confirmed: false,
        }
    }

    /// A change of a policy.
    pub(super) fn policy(change: &Change) -> Self {
        let policy = change.object.for_people();
        let (revision, source) = (change.revision, &change.origin.source);
        Self {
            key: format!("policy {policy}"),
            by: format!("{policy} revision {revision}, handed in by {source}"),
            confirmed: false,
        }
    }

    /// News about a cluster.
    pub(super) fn cluster(cluster: &ClusterName) -> Self {
        Self {
            key: format!("cluster {cluster}"),
            by: format!("what is registered of cluster {cluster}"),
            confirmed: false,
        }
    }

    fn confirmation(change: &Change) -> Self {
        Self {
            confirmed: true,
            ..Self::policy(change)
        }
    }
}

/// Removals that wait together.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Batch {
    cause: String,
    /// The log sequence of the decision that holds each; 0 while it is not in the log.
    copies: Copies<u64>,
    /// Those that were held lately, and when: they count with what comes now.
    #[serde(default)]
    lately: Copies<Time>,
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
            rulings: BTreeMap::new(),
        }
    }
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
    expired: Time,
    #[serde(skip)]
    limit: Limit,
    /// What all clusters hold, counted when it is asked for first.
    #[serde(skip)]
    placed: Option<Copies<()>>,
    /// What the objects that are to be decided about would lose, by cause; none before it is asked for.
    #[serde(skip)]
    survey: Option<BTreeMap<String, Copies<()>>>,
    /// The batch in which a decision that is not in the log holds copies.
    #[serde(default)]
    deciding: BTreeMap<ObjectKey, String>,
}

impl Bulk {
    /// Takes note of why an event asks for decisions.
    pub(super) fn caused(&mut self, entry: &Entry, cause: Cause) {
        self.causes.insert(entry.id.clone(), cause);
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
            for batch in self.batches.values_mut() {
                batch.lately.retain(is_late);
            }
        }
    }

    fn batch_of(&self, cause: &str) -> Option<(&String, &Batch)> {
        self.batches.iter().find(|(_, batch)| batch.cause == cause)
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
                batch.copies.remove(object, &cluster);
                batch.lately.remove(object, &cluster);
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
        batch.copies.remove(object, cluster);
        batch.lately.remove(object, cluster);
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

    /// Which limit is passed if `object` goes from `clusters` because of `cause`: with what went lately, with what waits for the same reason, and with
    /// what is still to be decided for it.
    fn passed(
        &self,
        object: &ObjectKey,
        clusters: &BTreeSet<ClusterName>,
        cause: &str,
    ) -> Option<String> {
        let empty_held = Copies::default();
        let held = self
            .batch_of(cause)
            .map_or(&empty_held, |(_, batch)| &batch.lately);
        let empty_survey = Copies::default();
        let survey = self.survey.as_ref().and_then(|survey| survey.get(cause));
        let survey = survey.unwrap_or(&empty_survey);
        let placed = self.placed.as_ref()?;
        let (gone, limit) = (&self.gone, self.limit);
        for cluster in clusters {
            let mut asked = gone.in_cluster(cluster) + held.in_cluster(cluster);
            asked += survey.in_cluster(cluster) + 1;
            let of = placed.in_cluster(cluster) + gone.in_cluster(cluster);
            if limit.is_passed(asked, asked, of) {
                return Some(format!("{asked} of {of} objects in cluster {cluster}"));
            }
        }
        let namespace = object.namespace().unwrap_or_default();
        let all = [
            gone.in_namespace(namespace),
            held.in_namespace(namespace),
            survey.in_namespace(namespace),
        ];
        let objects = all.iter().map(|share| share.objects).sum::<u64>() + 1;
        let copies = all.iter().map(|share| share.copies).sum::<u64>() + clusters.len() as u64;
        let of = placed.in_namespace(namespace).copies + gone.in_namespace(namespace).copies;
        let passed = limit.is_passed(objects, copies, of);
        passed.then(|| {
            let place = match namespace {
                "" => "without a namespace".to_owned(),
                namespace => format!("in namespace {namespace}"),
            };
            format!("{copies} of {of} copies of objects {place}, {objects} objects")
        })
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
        let Some(limit) = self.bulk.passed(key, &fresh, &cause.key) else {
            for cluster in fresh {
                self.bulk.gone.insert(key, &cluster, now);
            }
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
        }
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
            for copies in survey.values_mut() {
                copies.retain_of(&key, |_, ()| false);
            }
            if let Some((cause, clusters)) = asked {
                for cluster in clusters {
                    let copies = survey.entry(cause.clone()).or_default();
                    copies.insert(&key, &cluster, ());
                }
            }
            survey.retain(|_, copies| !copies.is_empty());
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
                bulk.gone.insert(key, cluster, decision.time);
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
            for cluster in held.clusters().filter(is_held) {
                let batch = bulk.batches.entry(held.id.clone());
                let batch = batch.or_insert_with(|| Batch::new(&cause.key));
                batch.copies.insert(key, cluster, entry.sequence);
                batch.lately.insert(key, cluster, decision.time);
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
        self.bulk.gone.retain(|object, cluster, _| {
            let namespace = object.namespace().unwrap_or_default();
            seen.in_cluster(cluster) == 0 && seen.in_namespace(namespace).objects == 0
        });
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
