//! The work of one cluster that is not done and confirmed: what may start, what waits, what runs.

use std::collections::{BTreeMap, BTreeSet};

use super::Pause;
use crate::ack::Outcome;
use crate::digest::fnv1a64;
use crate::model::ObjectKey;
use crate::time::Time;
use crate::work::{Body, Work};

/// The first pause before failed work is tried again; doubled each time up to [`RETRY_MAX_MS`].
const RETRY_MS: i64 = 500;
/// The longest pause before failed work is tried again.
const RETRY_MAX_MS: i64 = 300_000;

/// The work of one cluster that is not done and confirmed.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    items: BTreeMap<ObjectKey, Item>,
    ready: BTreeSet<Turn>,
    running: BTreeMap<ObjectKey, Stage>,
    /// `n` of every item that counts as not done, with its stream sequence.
    open: BTreeMap<u64, u64>,
}

/// The order in which work starts: what others need first, new work before what is tried again, then as it came.
type Turn = (u8, bool, u64, ObjectKey);

#[derive(Debug, Clone)]
struct Item {
    work: Work,
    /// Its place in `open`; none where it belongs to an incarnation that is gone, or is looked at again.
    n: Option<u64>,
    /// Whether it was done and confirmed, and is looked at again.
    again: bool,
    state: State,
    attempts: u32,
}

impl Item {
    fn turn(&self, object: &ObjectKey) -> Turn {
        let repeated = self.again || self.attempts > 0;
        (
            rank(&self.work),
            repeated,
            self.n.unwrap_or(0),
            object.clone(),
        )
    }
}

/// An attempt that ended.
pub(super) struct Ended {
    pub(super) work: Work,
    pub(super) attempts: u32,
    /// Whether it was done before, and was looked at again.
    pub(super) again: bool,
    /// Whether it counts as not done until an answer is confirmed.
    pub(super) owed: bool,
    /// Whether the stream names it, as far as is known.
    pub(super) named: bool,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For the first time: what needs it waits.
    First,
    /// Not for the first time: nobody waits, or one broken object would hold up others with each repetition.
    Repeated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Running,
    /// Runs, but what runs is an older decision.
    Overtaken,
    Waiting(Time),
    /// Done; its answer is not confirmed yet.
    Answered,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty() || !self.ready.is_empty()
    }

    /// Whether work for `object` is waiting or under way, not only unconfirmed.
    pub(super) fn is_open(&self, object: &ObjectKey) -> bool {
        self.items
            .get(object)
            .is_some_and(|item| item.state != State::Answered)
    }

    /// The greatest `n` (and its sequence) below everything that is open; none where nothing is.
    pub(super) fn done_up_to(&self) -> Option<(u64, u64)> {
        let (n, sequence) = self.open.first_key_value()?;
        Some((n - 1, sequence - 1))
    }

    /// Takes newer work for an object in.
    pub(super) fn take(&mut self, sequence: u64, work: Work) {
        let (object, n) = (work.object.clone(), work.stamp.n);
        let running = self.running.contains_key(&object);
        self.open.insert(n, sequence);
        let same_again = self.items.get(&object).is_some_and(|old| {
            old.work.decision == work.decision && old.work.decision_epoch == work.decision_epoch
        });
        match self.items.get_mut(&object) {
            Some(old) => {
                if let Some(n) = old.n.filter(|old| *old != n) {
                    self.open.remove(&n);
                }
                self.ready.remove(&old.turn(&object));
                (old.n, old.again) = (Some(n), false);
                if !(running && same_again) {
                    old.attempts = 0;
                    old.state = if running {
                        State::Overtaken
                    } else {
                        State::Ready
                    };
                }
                old.work = work;
            }
            None => {
                self.items.insert(
                    object.clone(),
                    Item {
                        work,
                        n: Some(n),
                        again: false,
                        state: State::Ready,
                        attempts: 0,
                    },
                );
            }
        }
        self.enqueue(&object);
    }

    /// Looks at work again that was done, from `at` on; nothing where work for the object is open.
    pub(super) fn again(&mut self, work: Work, at: Time) {
        let object = work.object.clone();
        if self.is_open(&object) {
            return;
        }
        let (n, attempts) = (self.items.get(&object).and_then(|item| item.n), 0);
        let item = Item {
            work,
            n,
            again: true,
            state: State::Waiting(at),
            attempts,
        };
        self.items.insert(object, item);
    }

    /// Older work stands for an object at `n`: what is known of it stays, in that place if it has none.
    pub(super) fn keep(&mut self, object: &ObjectKey, sequence: u64, n: u64) {
        if let Some(item) = self.items.get_mut(object)
            && item.n.is_none()
        {
            item.n = Some(n);
            self.open.insert(n, sequence);
        }
    }

    fn enqueue(&mut self, object: &ObjectKey) {
        if let Some(item) = self.items.get(object)
            && item.state == State::Ready
        {
            self.ready.insert(item.turn(object));
        }
    }

    /// The next work that may start, and whether it is looked at again: not what needs something that is attempted for the first time.
    pub(super) fn start(&mut self, concurrency: usize) -> Option<(Work, bool)> {
        if self.running.len() >= concurrency {
            return None;
        }
        let turn = self
            .ready
            .iter()
            .find(|(_, _, _, object)| !self.must_wait(object))?
            .clone();
        self.ready.remove(&turn);
        let (_, repeated, _, object) = turn;
        let stage = match repeated {
            true => Stage::Repeated,
            false => Stage::First,
        };
        self.running.insert(object.clone(), stage);
        let item = self.items.get_mut(&object)?;
        item.state = State::Running;
        item.attempts = item.attempts.saturating_add(1);
        Some((item.work.clone(), item.again))
    }

    /// Whether what `object` needs, or what stands in it, runs for the first time.
    fn must_wait(&self, object: &ObjectKey) -> bool {
        let removes = self
            .items
            .get(object)
            .is_some_and(|item| matches!(item.work.body, Body::Remove { .. }));
        self.running
            .iter()
            .filter(|(_, stage)| **stage == Stage::First)
            .any(|(running, _)| match removes {
                true => needs(running, object),
                false => needs(object, running),
            })
    }

    /// An attempt ended and is to be answered; none where newer work overtook it. `pause` is before the next.
    pub(super) fn done(
        &mut self,
        object: &ObjectKey,
        decision: u64,
        outcome: Outcome,
        pause: Pause,
        now: Time,
    ) -> Option<Ended> {
        self.running.remove(object);
        let item = self.items.get_mut(object)?;
        if item.state == State::Overtaken || item.work.decision != decision {
            item.state = State::Ready;
            self.enqueue(object);
            return None;
        }
        item.state = if outcome.is_final() {
            State::Answered
        } else {
            let ours = backoff(object, item.attempts);
            State::Waiting(now.plus_ms(match pause {
                Pause::Ours => ours,
                Pause::AtLeast(ms) => ours.max(ms),
                Pause::AtMost(ms) => ours.min(ms),
            }))
        };
        let ended = Ended {
            work: item.work.clone(),
            attempts: item.attempts,
            again: item.again,
            owed: item.n.is_some(),
            named: item.n.is_some() || item.again,
        };
        if item.n.is_none() && (!item.again || outcome.is_final()) {
            // The stream names it no more: it is answered once and not tried again.
            self.items.remove(object);
        }
        if outcome == Outcome::Applied && rank(&ended.work) < 2 {
            // What waited for this namespace or kind need not wait any longer.
            self.wake(|_| true);
        }
        Some(ended)
    }

    /// The newest answer about `object` is confirmed.
    pub(super) fn confirmed(&mut self, object: &ObjectKey) {
        if let Some(item) = self.items.get(object)
            && item.state == State::Answered
        {
            if let Some(n) = item.n {
                self.open.remove(&n);
            }
            self.items.remove(object);
        }
    }

    /// Something happened to `object`: what waits to be tried again is tried now.
    pub(super) fn hurry(&mut self, object: &ObjectKey) {
        if let Some(item) = self.items.get_mut(object)
            && let State::Waiting(_) = item.state
        {
            item.state = State::Ready;
            self.enqueue(object);
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        self.wake(|at| at <= now);
    }

    fn wake(&mut self, due: impl Fn(Time) -> bool) {
        let woken: Vec<ObjectKey> = self
            .items
            .iter_mut()
            .filter_map(|(object, item)| match item.state {
                State::Waiting(at) if due(at) => {
                    item.state = State::Ready;
                    Some(object.clone())
                }
                State::Ready
                | State::Running
                | State::Overtaken
                | State::Waiting(_)
                | State::Answered => None,
            })
            .collect();
        for object in woken {
            self.enqueue(&object);
        }
    }

    /// The stream is another one: what is known keeps no place until it is met there again.
    pub(super) fn forget_counts(&mut self) {
        self.open.clear();
        self.ready.clear();
        for item in self.items.values_mut() {
            (item.n, item.again) = (None, false);
        }
    }

    /// Drops what the whole answer did not name: there is no work for it any more.
    pub(super) fn drop_uncounted(&mut self) {
        self.items.retain(|_, item| {
            item.n.is_some() || matches!(item.state, State::Running | State::Overtaken)
        });
        let objects: Vec<ObjectKey> = self.items.keys().cloned().collect();
        for object in objects {
            self.enqueue(&object);
        }
    }
}

/// The order of the barrier: what others need first, last when it goes.
fn rank(work: &Work) -> u8 {
    let (apply, remove) = match (work.object.kind(), work.object.group()) {
        ("Namespace", "") => (0, 4),
        ("CustomResourceDefinition", "apiextensions.k8s.io") => (1, 3),
        _ => (2, 2),
    };
    match work.body {
        Body::Apply { .. } => apply,
        Body::Remove { .. } => remove,
    }
}

/// Whether `object` needs `other`: the namespace that it stands in, or the definition of its group's kinds.
fn needs(object: &ObjectKey, other: &ObjectKey) -> bool {
    match (other.kind(), other.group()) {
        ("Namespace", "") => object.namespace() == Some(other.name()),
        ("CustomResourceDefinition", "apiextensions.k8s.io") => {
            // Definitions are named `<plural>.<group>`.
            let group = other.name().split_once('.').map(|(_, group)| group);
            group == Some(object.group())
        }
        _ => false,
    }
}

/// Exponential, with up to a quarter more that differs by object, so that what failed together is not tried together.
fn backoff(object: &ObjectKey, attempts: u32) -> i64 {
    let base = RETRY_MS
        .saturating_mul(1 << attempts.saturating_sub(1).min(20))
        .min(RETRY_MAX_MS);
    let spread = fnv1a64(format!("{object} {attempts}").as_bytes()) % 256;
    base + base * i64::try_from(spread).expect("below 256") / 1024
}
