//! Makes one cluster true: which work to take, in which order to do it, what to answer and what to ask for.
//!
//! **Taking.** Work comes live, in the order of `n`, or in answer to a sync request. A gap, another incarnation or silence is closed by a
//! request; work of a lower epoch or term is refused, and so is work of another hub with the same epoch number.
//!
//! **Doing.** One thing at a time per object, newest wins; what fails is tried again without end, ever more rarely. Namespaces and
//! CustomResourceDefinitions go first and are removed last.
//!
//! **Watching.** What was applied is held in memory. What is seen of it ([`Fact::Observed`]) is judged: drift that the policy heals, a copy that is gone, or one
//! that does not say what it should are looked at again; health, drift and status that changed are told, the newest per object, behind the answers
//! to work.
//!
//! **Answering.** Every answer is kept until it is confirmed, the newest per object; [`Memory`] never counts work as done whose answer is not.

mod fact;
mod held;
mod outbox;
mod queue;
mod strays;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ack::{Ack, Observed, Outcome};
use crate::digest::fnv1a64;
use crate::document::Document;
use crate::epoch::Epoch;
use crate::model::{ClusterName, ObjectKey};
use crate::time::Time;
use crate::work::{self, Work};

pub use fact::{Copied, Effect, Fact, Pause, Sight, WatchNews, WatchedKind};
pub use strays::Strays;

use held::{Held, Said, Wanted};
use outbox::Outbox;
use queue::{Ended, Queue};
use strays::Known;

/// How many objects are worked on at the same time in one cluster.
const CONCURRENCY: usize = 16;
/// Between two heartbeats: one may be late or lost within the 15 seconds after which a silent cluster is said to be offline.
pub const HEARTBEAT_MS: i64 = 5_000;
/// Between two periodic syncs: this much, and up to as much again, so that clusters do not ask together.
const SYNC_MS: i64 = 30_000;
/// How long an answer to a sync request may take in all; that it stopped coming, the edge notices much sooner.
const SYNC_TIMEOUT_MS: i64 = 120_000;
/// The first pause before a failed sync is asked again; doubled each time up to [`SYNC_RETRY_MAX_MS`].
const SYNC_RETRY_MS: i64 = 200;
/// The longest pause before a failed sync is asked again.
const SYNC_RETRY_MAX_MS: i64 = 5_000;
/// Between two writes of the memory to the cluster.
const REMEMBER_MS: i64 = 5_000;

/// What the agent keeps in its cluster, so that it goes on where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Whose history it follows.
    pub epoch: Option<Epoch>,
    /// The highest term that it has met in that epoch.
    pub term: u64,
    /// The making of the stream that `n` and `sequence` belong to; empty before the first work.
    pub incarnation: String,
    /// All work up to this count is done, and its answers are confirmed.
    pub n: u64,
    /// The stream sequence that stands for `n`.
    pub sequence: u64,
}

/// What an agent has when it asks for what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Whose history it follows.
    pub epoch: Option<Epoch>,
    /// The making of the stream that it has read.
    pub incarnation: String,
    /// The count up to which it has read.
    pub n: u64,
    /// The stream sequence that stands for `n`.
    pub sequence: u64,
}

/// The whole answer to a sync request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Whose history the stream belongs to.
    pub epoch: Epoch,
    /// Which making of the stream it is.
    pub incarnation: String,
    /// Whether it holds everything, not only what came after the request's `n`.
    pub whole: bool,
    /// The count up to which the answer is complete.
    pub upto: u64,
    /// The stream sequence that stands for `upto`.
    pub sequence: u64,
    /// The newest work per object, each with its stream sequence.
    pub items: Vec<(u64, Work)>,
}

/// One cluster's agent.
#[derive(Debug, Clone)]
pub struct Agent {
    cluster: ClusterName,
    /// What was read: `n` and `sequence` run ahead of what is remembered.
    have: Memory,
    remembered: Memory,
    remember_at: Time,
    queue: Queue,
    outbox: Outbox,
    held: Held,
    strays: Known,
    /// The newest decision met per object in this epoch, as (number of the epoch that made it, its own): an older one is never carried out.
    newest: BTreeMap<ObjectKey, (u64, u64)>,
    sync: Sync,
    syncs: u64,
    /// Whether what was carried out before the start is still to be learnt.
    inventory: bool,
    buffer: Vec<(u64, Work)>,
    connected: bool,
    heartbeat_at: Time,
    fenced: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// To be asked at this time; more pressing ones failed so many times in a row.
    At { time: Time, failures: u32 },
    /// Asked; given up at this time.
    Asked { until: Time, failures: u32 },
}

impl Agent {
    /// An agent that goes on from `memory` (the default where the cluster is new), having got the cluster's lease for the `transitions`-th time.
    pub fn new(cluster: ClusterName, memory: Memory, transitions: u64, now: Time) -> Self {
        Self {
            cluster,
            inventory: memory.n > 0,
            held: Held::default(),
            strays: Known::default(),
            have: memory.clone(),
            remembered: memory,
            remember_at: now,
            queue: Queue::default(),
            outbox: Outbox::new(transitions),
            newest: BTreeMap::new(),
            sync: Sync::At {
                time: now,
                failures: 0,
            },
            syncs: 0,
            buffer: Vec::new(),
            connected: false,
            heartbeat_at: now,
            fenced: None,
        }
    }

    /// Whether nothing is left to do, to answer or to have confirmed.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.outbox.is_empty()
            && self.held.has_nothing_to_tell()
            && matches!(self.sync, Sync::At { failures: 0, .. })
    }

    /// How much was read (`n`), and how many objects' work is not done and confirmed.
    pub fn standing(&self) -> (u64, usize) {
        (self.have.n, self.queue.len())
    }

    /// Whether nothing falls due within the next `ms` milliseconds but a heartbeat, and what it read to be remembered: it need not be asked more often.
    pub fn is_quiet(&self, now: Time, ms: i64) -> bool {
        let sync_is_due = match self.sync {
            Sync::At { time, failures } => failures > 0 || time.ms_since(now) <= ms,
            Sync::Asked { .. } => true,
        };
        self.queue.is_empty()
            && self.outbox.is_empty()
            && self.held.has_nothing_to_tell()
            && !sync_is_due
    }

    /// The same agent, which asks for a local copy of what the cluster should hold ([`Effect::Keep`], [`Effect::Drop`]).
    #[must_use]
    pub fn keeping_a_copy(mut self) -> Self {
        self.held.keeps_a_copy();
        self
    }

    /// Whether all that the cluster should hold was heard of since the start.
    pub fn knows_all(&self) -> bool {
        !self.inventory
    }

    /// Whose history it follows; none before the first work.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.have.epoch.as_ref()
    }

    /// The newest manifest that the cluster should hold for `object`, as work.
    pub fn held(&self, object: &ObjectKey) -> Option<&Work> {
        self.held.work(object)
    }

    /// What is ours in the cluster and in nobody's work; none where there is nothing, or where that is not known yet.
    pub fn strays(&self) -> Option<Strays> {
        let knows = self.knows_all() && self.syncs > 0;
        let in_work =
            |object: &ObjectKey| self.held.work(object).is_some() || self.queue.is_open(object);
        self.strays.tell(in_work).filter(|_| knows)
    }

    /// What is to be kept in the cluster now.
    pub fn memory(&self) -> Memory {
        let (n, sequence) = self
            .queue
            .done_up_to()
            .unwrap_or((self.have.n, self.have.sequence));
        Memory {
            n,
            sequence,
            ..self.have.clone()
        }
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, fact: Fact, now: Time) {
        match fact {
            Fact::Connected => {
                self.connected = true;
                self.sync = Sync::At {
                    time: now,
                    failures: 0,
                };
                self.outbox.resend(now);
                self.heartbeat_at = now;
            }
            Fact::Disconnected => self.connected = false,
            Fact::Live(sequence, work) => self.live(sequence, *work, now),
            Fact::Synced(answer) => self.synced(answer, now),
            Fact::SyncFailed => self.sync_failed(now),
            Fact::Done {
                object,
                decision,
                outcome,
                message,
                sight,
                held,
                pause,
            } => {
                if let Some(ended) = self.queue.done(&object, decision, outcome, pause, now) {
                    self.ended(ended, (outcome, held), message, sight, now);
                }
            }
            Fact::Stray(object) => self.strays.shown(&object),
            Fact::Observed { object, sight } => {
                if sight.copy.is_none() {
                    self.strays.gone(&object);
                }
                let open = self.queue.is_open(&object);
                if open && sight.copy.is_none() {
                    self.queue.hurry(&object);
                }
                let wanted = self.held.observed(&object, sight, open, now);
                self.look_again(wanted);
            }
            Fact::Watch(kind, news) => {
                self.strays.watch(&kind, &news);
                let queue = &self.queue;
                let unseen = self
                    .held
                    .watch(&kind, news, |object| queue.is_open(object), now);
                unseen
                    .into_iter()
                    .for_each(|wanted| self.look_again(Some(wanted)));
            }
            Fact::Recalled(items) => items.into_iter().for_each(|work| self.recall(work, now)),
            Fact::Seen(seen) => {
                for object in self.outbox.seen(seen, now) {
                    self.queue.confirmed(&object);
                }
            }
            Fact::Replay => {
                self.forget_position();
                if let Sync::At { .. } = self.sync {
                    self.sync = Sync::At {
                        time: now,
                        failures: 0,
                    };
                }
            }
            Fact::Tick => {
                self.queue.tick(now);
                if let Sync::Asked { until, .. } = self.sync
                    && now >= until
                {
                    self.sync_failed(now);
                }
            }
        }
    }

    /// What is to be done next; nothing when all that can be done is under way.
    pub fn poll(&mut self, now: Time) -> Option<Effect> {
        if let Some(message) = self.fenced.take() {
            return Some(Effect::Fenced(message));
        }
        if let Some((work, again)) = self.queue.start(CONCURRENCY) {
            let work = Box::new(work);
            return Some(match again {
                true => Effect::Check(work),
                false => Effect::Do(work),
            });
        }
        if let Some(change) = self.held.next_change() {
            if let Effect::Unwatch(kind) = &change {
                self.strays.unwatch(kind);
            }
            return Some(change);
        }
        if self.connected {
            if let Sync::At { time, failures } = self.sync
                && now >= time
            {
                self.sync = Sync::Asked {
                    until: now.plus_ms(SYNC_TIMEOUT_MS),
                    failures,
                };
                let Memory {
                    epoch,
                    term: _,
                    incarnation,
                    n,
                    sequence,
                } = match self.wants_inventory() {
                    true => Memory {
                        epoch: self.have.epoch.clone(),
                        ..Memory::default()
                    },
                    false => self.have.clone(),
                };
                return Some(Effect::Sync(SyncRequest {
                    epoch,
                    incarnation,
                    n,
                    sequence,
                }));
            }
            self.tell_what_is_seen(now);
            if let Some(batch) = self.outbox.next_batch(self.queue.is_running(), now) {
                return Some(Effect::Publish(batch));
            }
            if now >= self.heartbeat_at {
                self.heartbeat_at = now.plus_ms(HEARTBEAT_MS);
                return Some(Effect::Heartbeat);
            }
        }
        if now >= self.remember_at {
            let memory = self.memory();
            if memory != self.remembered {
                self.remember_at = now.plus_ms(REMEMBER_MS);
                self.remembered = memory.clone();
                return Some(Effect::Remember(memory));
            }
        }
        None
    }

    fn live(&mut self, sequence: u64, work: Work, now: Time) {
        if !self.admits(&work.stamp.epoch, work.stamp.term) {
            return;
        }
        let syncing = matches!(self.sync, Sync::Asked { .. });
        let follows =
            work.stamp.incarnation == self.have.incarnation && work.stamp.n == self.have.n + 1;
        if !syncing && follows {
            self.take(sequence, work);
        } else if syncing
            || work.stamp.incarnation != self.have.incarnation
            || work.stamp.n > self.have.n + 1
        {
            // A gap, another incarnation, or an answer under way that decides what comes first.
            self.buffer.push((sequence, work));
            if !syncing {
                self.sync = Sync::At {
                    time: now,
                    failures: 0,
                };
            }
        }
    }

    fn synced(&mut self, answer: SyncAnswer, now: Time) {
        let Sync::Asked { .. } = self.sync else {
            return;
        };
        let SyncAnswer {
            epoch,
            incarnation,
            whole,
            upto,
            sequence,
            items,
        } = answer;
        let met = items.iter().map(|(_, work)| work.stamp.term).max();
        // Terms are counted per epoch: another one's says nothing here.
        let known = match self.have.epoch.as_ref() {
            Some(ours) if *ours == epoch => self.have.term,
            Some(_) | None => 0,
        };
        if !self.admits(&epoch, met.unwrap_or(0).max(known)) {
            return self.sync_failed(now);
        }
        let is_inventory = whole && self.wants_inventory() && incarnation == self.have.incarnation;
        let is_about_ours = incarnation == self.have.incarnation && upto >= self.have.n;
        if (!whole || is_inventory) && !is_about_ours {
            // The answer is not about what we have: ask for everything.
            self.forget_position();
            self.sync = Sync::At {
                time: now,
                failures: 0,
            };
            return;
        }
        self.inventory &= !whole;
        let anew = whole && !is_inventory;
        if anew {
            self.queue.forget_counts();
            self.have.incarnation = incarnation;
            self.have.n = 0;
        }
        let named: BTreeSet<ObjectKey> = match whole {
            true => items.iter().map(|(_, work)| work.object.clone()).collect(),
            false => BTreeSet::new(),
        };
        let before = self.have.n;
        for (sequence, work) in items {
            if work.stamp.n > before {
                self.take(sequence, work);
            } else if is_inventory {
                self.know(&work);
                let unseen = self.held.learn(work, now);
                self.look_again(unseen);
            }
        }
        if anew {
            self.queue.drop_uncounted();
        }
        if whole {
            let queue = &self.queue;
            let left = self
                .held
                .keep_only(|object| named.contains(object) || queue.is_open(object));
            left.iter().for_each(|object| self.strays.shown(object));
        }
        (self.have.n, self.have.sequence) = (upto, sequence);
        self.syncs += 1;
        // Somebody listens: the first heartbeat may have come too early for them.
        self.heartbeat_at = now;
        let jitter = fnv1a64(format!("{} {}", self.cluster, self.syncs).as_bytes())
            % u64::try_from(SYNC_MS).expect("positive");
        let pause_ms = match self.inventory {
            true => 0,
            false => SYNC_MS + i64::try_from(jitter).expect("below SYNC_MS"),
        };
        self.sync = Sync::At {
            time: now.plus_ms(pause_ms),
            failures: 0,
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let met = buffer.len();
        buffer.retain(|(_, work)| work.stamp.incarnation == self.have.incarnation);
        if buffer.len() < met {
            // Work of an earlier incarnation, or of a later one: one more request tells, and none of it is kept until then.
            self.sync = Sync::At {
                time: now.plus_ms(SYNC_RETRY_MS),
                failures: 0,
            };
        }
        buffer.sort_by_key(|(sequence, _)| *sequence);
        for (at, work) in buffer {
            // What the answer covers and does not name is overtaken, or was answered and taken away: no gap.
            if work.stamp.incarnation != self.have.incarnation || at > sequence {
                self.live(at, work, now);
            }
        }
    }

    /// Takes up again what was carried out before the start; only where it is of the history that this cluster follows.
    fn recall(&mut self, work: Work, now: Time) {
        if self.have.epoch.as_ref() == Some(&work.stamp.epoch) {
            self.know(&work);
            let unseen = self.held.recall(work, now);
            self.look_again(unseen);
        }
    }

    fn know(&mut self, work: &Work) {
        self.newest
            .entry(work.object.clone())
            .or_insert((work.decision_epoch.number, work.decision));
    }

    fn sync_failed(&mut self, now: Time) {
        if let Sync::Asked { failures, .. } = self.sync {
            let pause = SYNC_RETRY_MS
                .saturating_mul(1 << failures.min(10))
                .min(SYNC_RETRY_MAX_MS);
            self.sync = Sync::At {
                time: now.plus_ms(pause),
                failures: failures.saturating_add(1),
            };
        }
    }

    /// Whether the next request asks for everything although nothing is missing: first what is new, then what there is.
    fn wants_inventory(&self) -> bool {
        self.inventory && self.syncs > 0
    }

    /// Whether work of `epoch` and `term` may be taken; a higher epoch or term is adopted.
    fn admits(&mut self, epoch: &Epoch, term: u64) -> bool {
        match &self.have.epoch {
            Some(ours)
                if epoch.number < ours.number
                    || (epoch.number == ours.number && epoch.hub != ours.hub) =>
            {
                self.fenced = Some(format!(
                    "work of epoch {epoch} is refused: this cluster follows {ours}"
                ));
                false
            }
            Some(ours) if epoch == ours => {
                if term < self.have.term {
                    self.fenced = Some(format!(
                        "work of term {term} is refused: this cluster has met term {}",
                        self.have.term
                    ));
                    return false;
                }
                self.have.term = term;
                true
            }
            Some(_) | None => {
                self.have = Memory {
                    epoch: Some(epoch.clone()),
                    term,
                    ..Memory::default()
                };
                self.newest.clear();
                true
            }
        }
    }

    fn forget_position(&mut self) {
        self.have.incarnation.clear();
        (self.have.n, self.have.sequence) = (0, 0);
    }

    fn take(&mut self, sequence: u64, work: Work) {
        self.have.n = self.have.n.max(work.stamp.n);
        self.have.sequence = self.have.sequence.max(sequence);
        self.have.term = self.have.term.max(work.stamp.term);
        let newest = self.newest.entry(work.object.clone()).or_default();
        let place = (work.decision_epoch.number, work.decision);
        if place < *newest {
            self.queue.keep(&work.object, sequence, work.stamp.n);
            return;
        }
        *newest = place;
        self.held.take(&work);
        self.queue.take(sequence, work);
    }

    fn look_again(&mut self, wanted: Option<Wanted>) {
        if let Some(Wanted { work, at }) = wanted {
            self.queue.again(work, at);
        }
    }

    /// Puts what is to be told about copies behind the answers to work, as far as there is room in the next message.
    fn tell_what_is_seen(&mut self, now: Time) {
        while self.outbox.has_room()
            && let Some((work, said, observed)) = self.held.next_to_tell(now)
        {
            let ack = self.ack(&work, said, observed, now);
            self.outbox.push(ack);
        }
    }

    fn ended(
        &mut self,
        ended: Ended,
        (outcome, held): (Outcome, Option<Document>),
        message: String,
        sight: Option<Sight>,
        now: Time,
    ) {
        let Ended {
            work,
            attempts,
            again,
            owed,
            named,
        } = ended;
        let said = Said {
            outcome,
            message,
            attempts,
        };
        let (observed, is_news) = self.held.answered(&work, &said, sight, now);
        if !again || owed || is_news {
            let ack = self.ack(&work, said, observed, now);
            self.outbox.push(Ack { held, ..ack });
        }
        if !named {
            self.held.forget(&work.object);
        }
    }

    fn ack(&self, work: &Work, said: Said, observed: Observed, now: Time) -> Ack {
        let Said {
            outcome,
            message,
            attempts,
        } = said;
        let digest = match outcome {
            Outcome::Applied => work.digest.clone(),
            Outcome::Removed
            | Outcome::Orphaned
            | Outcome::Refused
            | Outcome::Retrying
            | Outcome::Ahead => None,
        };
        Ack {
            object: work.object.clone(),
            epoch: work.stamp.epoch.clone(),
            decision: work.decision,
            decision_epoch: (work.decision_epoch != work.stamp.epoch)
                .then(|| work.decision_epoch.clone()),
            revision: work.revision,
            count: 0,
            outcome,
            message,
            digest,
            attempts,
            work_id: work::id(
                &work.object,
                &self.cluster,
                &work.decision_epoch,
                work.decision,
            ),
            time: now,
            observed,
            held: None,
        }
    }
}

#[cfg(test)]
mod tests;
