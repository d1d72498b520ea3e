//! What the cluster should hold and what is seen of it: what is looked at again, what is told, which kinds are watched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Copied, Effect, Sight, WatchNews, WatchedKind};
use crate::ack::{Observed, Outcome};
use crate::drift::Drift;
use crate::health::Health;
use crate::model::ObjectKey;
use crate::model::federated::{self, Mode};
use crate::time::Time;
use crate::work::{Body, Work};

/// Between two tellings about one object whose health stays the same.
const TELL_MS: i64 = 5_000;
/// Between two tellings about one object whose health or drift changed.
const TELL_CHANGED_MS: i64 = 1_000;
/// The first pause between two looks at the same object; doubled each time up to [`LOOK_MAX_MS`]: somebody else writes what we put right.
const LOOK_MS: i64 = 1_000;
/// The longest pause between two looks at the same object.
const LOOK_MAX_MS: i64 = 300_000;
/// After so long without a look the pauses begin anew.
const LOOK_CALM_MS: i64 = 600_000;

/// What the cluster should hold, by object.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    items: BTreeMap<ObjectKey, Item>,
    due: BTreeSet<(Time, ObjectKey)>,
    watched: BTreeMap<WatchedKind, Watched>,
    /// What the edge is asked to watch and to keep.
    changes: VecDeque<Effect>,
    /// Whether the edge keeps a copy of all work.
    keeps: bool,
}

/// The last answer about an object's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) outcome: Outcome,
    pub(super) message: String,
    pub(super) attempts: u32,
}

/// An object to be looked at again.
pub(super) struct Wanted {
    pub(super) work: Work,
    pub(super) at: Time,
}

#[derive(Debug, Clone)]
struct Item {
    work: Work,
    /// None before the first answer about this work.
    said: Option<Said>,
    seen: Observed,
    told: Observed,
    told_at: Option<Time>,
    due: Option<Time>,
    version: u64,
    /// Whether the watch has shown it since it began.
    shown: bool,
    looks: u32,
    looked_at: Time,
    /// What was put right last, with how often.
    healed: Option<Drift>,
    /// Fields that the server does not record as ours.
    unstated: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Watched {
    objects: usize,
    /// Whether all copies were shown since it began.
    complete: bool,
    /// Why it does not work; empty where it does.
    failure: String,
}

impl Item {
    fn new(work: Work, said: Option<Said>) -> Self {
        Self {
            work,
            said,
            seen: Observed::default(),
            told: Observed::default(),
            told_at: None,
            due: None,
            version: 0,
            shown: false,
            looks: 0,
            looked_at: Time::default(),
            healed: None,
            unstated: Vec::new(),
        }
    }

    fn policy(&self) -> (federated::Drift, Mode) {
        match &self.work.body {
            Body::Apply { policy, .. } => (policy.drift, policy.mode),
            Body::Remove { .. } => (federated::Drift::Ignore, Mode::CreateOnly),
        }
    }

    /// Takes in what is seen, with what is to be said about drift; the drift that is there now.
    fn see(&mut self, copy: Option<Copied>) -> Option<Drift> {
        let (policy, mode) = self.policy();
        let mut observed = match copy {
            Some(copy) => {
                if !copy.unstated.is_empty() {
                    self.unstated = copy.unstated;
                }
                copy.observed
            }
            None => Observed {
                health: Some(Health::unknown("it is not there")),
                drift: Some(Drift::deletion()),
                status: None,
            },
        };
        let is_looked_at = policy != federated::Drift::Ignore && mode == Mode::Sync;
        let drift = observed
            .drift
            .take()
            .filter(|_| is_looked_at)
            .and_then(|drift| drift.without(&self.unstated));
        match &drift {
            Some(found) if found.healed => {
                let heals = self.healed.as_ref().map_or(0, |healed| healed.heals) + 1;
                self.healed = Some(Drift {
                    heals,
                    ..found.clone()
                });
            }
            Some(_) | None => {}
        }
        observed.drift = match &drift {
            Some(found) if !found.healed && policy == federated::Drift::Report => {
                Some(found.clone())
            }
            _ => self.healed.clone(),
        };
        self.seen = observed;
        drift.filter(|drift| !drift.healed)
    }

    /// When it may be looked at again, counting this look.
    fn look(&mut self, now: Time) -> Time {
        if now.ms_since(self.looked_at) > LOOK_CALM_MS {
            self.looks = 0;
        }
        let pause = match self.looks {
            0 => 0,
            looks => LOOK_MS
                .saturating_mul(1 << (looks - 1).min(20))
                .min(LOOK_MAX_MS),
        };
        let at = self.looked_at.plus_ms(pause).max(now);
        self.looks = self.looks.saturating_add(1);
        self.looked_at = at;
        at
    }
}

impl Held {
    pub(super) fn work(&self, object: &ObjectKey) -> Option<&Work> {
        self.items.get(object).map(|item| &item.work)
    }

    pub(super) fn keeps_a_copy(&mut self) {
        self.keeps = true;
    }

    pub(super) fn has_nothing_to_tell(&self) -> bool {
        self.due.is_empty()
    }

    /// Takes newer work in: what was said about the older says nothing about it.
    pub(super) fn take(&mut self, work: &Work) {
        self.set_due(&work.object, None);
        let Some(item) = self.items.get_mut(&work.object) else {
            if let Body::Apply { .. } = &work.body {
                self.keep(work);
                self.insert(Item::new(work.clone(), None));
            }
            return;
        };
        if item.work.decision == work.decision && item.work.decision_epoch == work.decision_epoch {
            let is_of_another_history = item.work.stamp.epoch != work.stamp.epoch;
            item.work = work.clone();
            if is_of_another_history && matches!(work.body, Body::Apply { .. }) {
                self.keep(work);
            }
            return;
        }
        let older = std::mem::replace(item, Item::new(work.clone(), None));
        (item.version, item.shown) = (older.version, older.shown);
        item.seen = Observed {
            drift: None,
            ..older.seen
        };
        match &work.body {
            Body::Apply { .. } => self.keep(work),
            // Whoever starts without the bus must not bring back what is being removed.
            Body::Remove { .. } => self.drop_copy(&work.object),
        }
    }

    fn keep(&mut self, work: &Work) {
        if self.keeps {
            self.changes.push_back(Effect::Keep(Box::new(work.clone())));
        }
    }

    fn drop_copy(&mut self, object: &ObjectKey) {
        if self.keeps {
            self.changes.push_back(Effect::Drop(object.clone()));
        }
    }

    /// Learns of work that was carried out and confirmed before the agent started: what is to be looked at because the watch of its kind has shown
    /// all copies before.
    pub(super) fn learn(&mut self, work: Work, now: Time) -> Option<Wanted> {
        if matches!(work.body, Body::Apply { .. }) && !self.items.contains_key(&work.object) {
            self.keep(&work);
        }
        self.recall(work, now)
    }

    /// As [`Held::learn`], of work that the local copy holds.
    pub(super) fn recall(&mut self, work: Work, now: Time) -> Option<Wanted> {
        if !matches!(work.body, Body::Apply { .. }) || self.items.contains_key(&work.object) {
            return None;
        }
        let said = Said {
            outcome: Outcome::Applied,
            message: String::new(),
            attempts: 1,
        };
        let object = work.object.clone();
        self.insert(Item::new(work, Some(said)));
        let watched = self.watched.get(&WatchedKind::of(&object))?;
        if !watched.complete {
            return None;
        }
        let item = self.items.get_mut(&object)?;
        Some(Wanted {
            work: item.work.clone(),
            at: item.look(now),
        })
    }

    fn insert(&mut self, item: Item) {
        let kind = WatchedKind::of(&item.work.object);
        let watched = self.watched.entry(kind).or_default();
        watched.objects += 1;
        if watched.objects == 1 {
            self.changes
                .push_back(Effect::Watch(Box::new(item.work.clone())));
        }
        self.items.insert(item.work.object.clone(), item);
    }

    /// Nobody decides about `object` here any more: it is not looked at.
    pub(super) fn forget(&mut self, object: &ObjectKey) {
        self.set_due(object, None);
        if self.items.remove(object).is_none() {
            return;
        }
        self.drop_copy(object);
        let kind = WatchedKind::of(object);
        if let Some(watched) = self.watched.get_mut(&kind) {
            watched.objects -= 1;
            if watched.objects == 0 {
                self.watched.remove(&kind);
                self.changes.push_back(Effect::Unwatch(kind));
            }
        }
    }

    /// Looks after nothing else any more: of which the copies were shown.
    pub(super) fn keep_only(&mut self, keep: impl Fn(&ObjectKey) -> bool) -> Vec<ObjectKey> {
        let gone: Vec<ObjectKey> = self
            .items
            .keys()
            .filter(|object| !keep(object))
            .cloned()
            .collect();
        let is_there = |object: &&ObjectKey| self.items.get(object).is_some_and(|item| item.shown);
        let left = gone.iter().filter(is_there).cloned().collect();
        gone.iter().for_each(|object| self.forget(object));
        left
    }

    pub(super) fn next_change(&mut self) -> Option<Effect> {
        self.changes.pop_front()
    }

    /// An attempt ended: what is to be told with its answer, and whether any of that is new.
    pub(super) fn answered(
        &mut self,
        work: &Work,
        said: &Said,
        sight: Option<Sight>,
        now: Time,
    ) -> (Observed, bool) {
        self.set_due(&work.object, None);
        let unwatched = self.unwatched(&work.object);
        let Some(item) = self.items.get_mut(&work.object) else {
            return (Observed::default(), true);
        };
        if let Some(Sight { version, copy }) = sight {
            item.version = item.version.max(version);
            item.shown = true;
            let is_there = copy.is_some();
            item.see(copy);
            if let Some(health) = unwatched.filter(|_| is_there) {
                // What was seen in passing is not seen to change.
                item.seen.health = Some(health);
            }
        }
        let repeats = |before: &Said| {
            let Said {
                outcome,
                message,
                attempts: _,
            } = before;
            *outcome == said.outcome && *message == said.message
        };
        let is_news = !item.said.as_ref().is_some_and(repeats) || item.told != item.seen;
        item.said = Some(said.clone());
        (item.told, item.told_at) = (item.seen.clone(), Some(now));
        let observed = item.told.clone();
        match said.outcome {
            Outcome::Removed | Outcome::Orphaned => {
                self.forget(&work.object);
                (Observed::default(), is_news)
            }
            Outcome::Applied | Outcome::Refused | Outcome::Retrying | Outcome::Ahead => {
                (observed, is_news)
            }
        }
    }

    /// A watch shows a copy, or that it is gone: what is to be looked at again. `open` is whether work for it is waiting or under way.
    pub(super) fn observed(
        &mut self,
        object: &ObjectKey,
        sight: Sight,
        open: bool,
        now: Time,
    ) -> Option<Wanted> {
        let item = self.items.get_mut(object)?;
        let Sight { version, copy } = sight;
        if version != 0 && version < item.version {
            return None;
        }
        item.version = item.version.max(version);
        item.shown = true;
        let (policy, mode) = item.policy();
        let says_otherwise = mode == Mode::Sync
            && copy
                .as_ref()
                .is_some_and(|copy| copy.digest != item.work.digest);
        // Whether it was deleted or only lost our label, a watch by label does not tell.
        let is_gone = copy.is_none();
        let drifts = match copy {
            Some(copy) => item.see(Some(copy)).is_some(),
            None => false,
        };
        let heals = drifts && policy == federated::Drift::Heal;
        if is_gone || says_otherwise || heals {
            return (!open).then(|| Wanted {
                work: item.work.clone(),
                at: item.look(now),
            });
        }
        self.plan_to_tell(object, now);
        None
    }

    /// The watch of a kind goes on in another way: what is to be looked at again because it was not shown.
    pub(super) fn watch(
        &mut self,
        kind: &WatchedKind,
        news: WatchNews,
        is_open: impl Fn(&ObjectKey) -> bool,
        now: Time,
    ) -> Vec<Wanted> {
        let Some(watched) = self.watched.get_mut(kind) else {
            return Vec::new();
        };
        let of_kind = |(object, _): &(&ObjectKey, &mut Item)| {
            object.kind() == kind.kind && object.group() == kind.group
        };
        match news {
            WatchNews::Begins => {
                watched.complete = false;
                watched.failure.clear();
                for (_, item) in self.items.iter_mut().filter(of_kind) {
                    item.shown = false;
                }
                Vec::new()
            }
            WatchNews::Complete => {
                watched.complete = true;
                self.items
                    .iter_mut()
                    .filter(of_kind)
                    .filter(|(object, item)| !item.shown && item.said.is_some() && !is_open(object))
                    .map(|(_, item)| Wanted {
                        work: item.work.clone(),
                        at: item.look(now),
                    })
                    .collect()
            }
            WatchNews::Fails(why) => {
                if watched.failure == why {
                    return Vec::new();
                }
                watched.failure.clone_from(&why);
                let mut objects = Vec::new();
                for (object, item) in self.items.iter_mut().filter(of_kind) {
                    item.seen.health = Some(not_watched(&why));
                    objects.push(object.clone());
                }
                objects
                    .iter()
                    .for_each(|object| self.plan_to_tell(object, now));
                Vec::new()
            }
        }
    }

    /// The health of an object whose kind cannot be watched; none where it can.
    fn unwatched(&self, object: &ObjectKey) -> Option<Health> {
        let watched = self.watched.get(&WatchedKind::of(object))?;
        (!watched.failure.is_empty()).then(|| not_watched(&watched.failure))
    }

    fn plan_to_tell(&mut self, object: &ObjectKey, now: Time) {
        let Some(item) = self.items.get(object) else {
            return;
        };
        if item.said.is_none() || item.seen == item.told {
            return self.set_due(object, None);
        }
        let state = |observed: &Observed| observed.health.as_ref().map(|health| health.state);
        let changed = state(&item.seen) != state(&item.told) || item.seen.drift != item.told.drift;
        let pause = match changed {
            true => TELL_CHANGED_MS,
            false => TELL_MS,
        };
        let at = item
            .told_at
            .map_or(now, |told| told.plus_ms(pause))
            .max(now);
        let at = item.due.map_or(at, |due| due.min(at));
        self.set_due(object, Some(at));
    }

    fn set_due(&mut self, object: &ObjectKey, at: Option<Time>) {
        let Some(item) = self.items.get_mut(object) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut item.due, at) {
            self.due.remove(&(before, object.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, object.clone()));
        }
    }

    /// What is to be told about a copy now: the newest, with the last answer about its work.
    pub(super) fn next_to_tell(&mut self, now: Time) -> Option<(Work, Said, Observed)> {
        let (at, object) = self.due.first()?.clone();
        if at > now {
            return None;
        }
        self.set_due(&object, None);
        let item = self.items.get_mut(&object)?;
        (item.told, item.told_at) = (item.seen.clone(), Some(now));
        Some((item.work.clone(), item.said.clone()?, item.told.clone()))
    }
}

fn not_watched(why: &str) -> Health {
    Health::unknown(format!("it is not watched: {why}"))
}
