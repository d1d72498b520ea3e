//! The work of one cluster that is not done and confirmed: what may start, what waits, what runs.

use std::collections::{BTreeMap, BTreeSet};

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
    ready: BTreeSet<(u8, u64, ObjectKey)>,
    running: BTreeMap<ObjectKey, u8>,
    /// `n` of every item that counts as not done, with its stream sequence.
    open: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone)]
struct Item {
    work: Work,
    /// Its place in `open`; none where it belongs to an incarnation that is gone.
    n: Option<u64>,
    state: State,
    attempts: u32,
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
        let same_again = self
            .items
            .get(&object)
            .is_some_and(|old| old.work.decision == work.decision);
        match self.items.get_mut(&object) {
            Some(old) => {
                if let Some(n) = old.n.filter(|old| *old != n) {
                    self.open.remove(&n);
                }
                self.ready
                    .remove(&(rank(&old.work), old.n.unwrap_or(0), object.clone()));
                old.n = Some(n);
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
                        state: State::Ready,
                        attempts: 0,
                    },
                );
            }
        }
        self.enqueue(&object);
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
            self.ready
                .insert((rank(&item.work), item.n.unwrap_or(0), object.clone()));
        }
    }

    /// The next work that may start: nothing while something of a lower rank is ready or running.
    pub(super) fn start(&mut self, concurrency: usize) -> Option<Work> {
        if self.running.len() >= concurrency {
            return None;
        }
        let (rank, n, object) = self.ready.first()?.clone();
        if self.running.values().any(|running| *running < rank) {
            return None;
        }
        self.ready.remove(&(rank, n, object.clone()));
        self.running.insert(object.clone(), rank);
        let item = self.items.get_mut(&object)?;
        item.state = State::Running;
        item.attempts = item.attempts.saturating_add(1);
        Some(item.work.clone())
    }

    /// An attempt ended: the work and the number of attempts, to be answered; none where newer work overtook it.
    pub(super) fn done(
        &mut self,
        object: &ObjectKey,
        decision: u64,
        outcome: Outcome,
        now: Time,
    ) -> Option<(Work, u32)> {
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
            State::Waiting(now.plus_ms(pause(object, item.attempts)))
        };
        let answer = (item.work.clone(), item.attempts);
        if item.n.is_none() {
            // The stream names it no more: it is answered once and not tried again.
            self.items.remove(object);
        }
        if outcome == Outcome::Applied && rank(&answer.0) < 2 {
            // What waited for this namespace or kind need not wait any longer.
            self.wake(|_| true);
        }
        Some(answer)
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
            item.n = None;
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

/// Exponential, with up to a quarter more that differs by object, so that what failed together is not tried together.
fn pause(object: &ObjectKey, attempts: u32) -> i64 {
    let base = RETRY_MS
        .saturating_mul(1 << attempts.saturating_sub(1).min(20))
        .min(RETRY_MAX_MS);
    let spread = fnv1a64(format!("{object} {attempts}").as_bytes()) % 256;
    base + base * i64::try_from(spread).expect("below 256") / 1024
}
