//! One simulated cluster and its agent's process: [`fleetcast_core::reconcile`] with everything around it under way.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use fleetcast_core::ack::{Batch, Outcome, Seen};
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::ClusterName;
use fleetcast_core::placer::{self, Fence};
use fleetcast_core::reconcile::{
    Agent, Effect, Fact, Memory, Pause, Sight, SyncAnswer, SyncRequest,
};
use fleetcast_core::sync;
use fleetcast_core::time::Time;
use fleetcast_core::work::Work;

use super::bus::{Held, WorkStream};
use super::chance::Salt;
use super::plant::Plant;
use super::server::{Looked, Server};
use super::watches::Watches;

/// How often one attempt looks again because the object changed in between (as the agent does).
const LOOKS: u32 = 3;

/// One cluster with its agent.
pub(super) struct Member {
    pub(super) name: ClusterName,
    pub(super) partition: u16,
    pub(super) server: Server,
    /// What the agent kept in the cluster, and how often its lease was taken.
    kept: Memory,
    transitions: u64,
    pub(super) agent: Agent,
    pub(super) connected: bool,
    pub(super) paused: bool,
    /// How far its clock is off, milliseconds.
    skew: i64,
    live: VecDeque<(u64, Rc<Work>)>,
    pub(super) seen: VecDeque<Seen>,
    attempts: Vec<Attempt>,
    done: VecDeque<Fact>,
    watches: Watches,
    sync: Option<Sync>,
    saving: Option<Memory>,
    /// Acknowledgements that were published and are not stored.
    wire: VecDeque<Batch>,
    pub(super) fenced: u64,
    plant: Option<Plant>,
}

struct Attempt {
    work: Work,
    looked: Option<Looked>,
    looks: u32,
    /// Whether it was answered already: only where that is planted.
    answered: bool,
}

struct Sync {
    request: SyncRequest,
    stage: Stage,
}

enum Stage {
    Asked,
    /// The ingest process has read the fence.
    Fence(Option<Fence>),
    Answered(Box<Option<SyncAnswer>>),
}

impl Member {
    pub(super) fn new(name: ClusterName, partitions: u16, skew: i64, plant: Option<Plant>) -> Self {
        let agent = Agent::new(name.clone(), Memory::default(), 1, Time(skew));
        Self {
            partition: placer::partition(&name, partitions),
            name,
            server: Server::default(),
            kept: Memory::default(),
            transitions: 1,
            agent,
            connected: true,
            paused: false,
            skew,
            live: VecDeque::new(),
            seen: VecDeque::new(),
            attempts: Vec::new(),
            done: VecDeque::new(),
            watches: Watches::default(),
            sync: None,
            saving: None,
            wire: VecDeque::new(),
            fenced: 0,
            plant,
        }
    }

    fn time(&self, now: i64) -> Time {
        Time(now + self.skew)
    }

    /// Tells the agent what happened and carries out what it asks for as far as that is under way at once.
    pub(super) fn tell(&mut self, fact: Fact, now: i64) {
        let time = self.time(now);
        self.agent.handle(fact, time);
        self.carry_out(time);
    }

    fn carry_out(&mut self, time: Time) {
        while let Some(effect) = self.agent.poll(time) {
            match effect {
                Effect::Sync(request) => {
                    self.sync = Some(Sync {
                        request,
                        stage: Stage::Asked,
                    })
                }
                Effect::Watch(work) => self.watches.begin(&work.object),
                Effect::Unwatch(kind) => self.watches.end(&kind),
                Effect::Do(work) | Effect::Check(work) => self.attempts.push(Attempt {
                    work: *work,
                    looked: None,
                    looks: 0,
                    answered: false,
                }),
                Effect::Publish(body) => {
                    if self.connected {
                        self.wire.push_back(Batch {
                            cluster: self.name.clone(),
                            body,
                        });
                    }
                }
                Effect::Remember(memory) => self.saving = Some(memory),
                Effect::Heartbeat => {}
                Effect::Fenced(_) => self.fenced += 1,
                // Agents here keep no local copy.
                Effect::Keep(_) | Effect::Drop(_) => {}
            }
        }
    }

    /// The agent's process ends; what it had sent may still arrive. The next one has only what was kept in the cluster.
    pub(super) fn crash(&mut self, salt: &mut Salt, now: i64) {
        self.live.clear();
        self.seen.clear();
        self.done.clear();
        self.watches = Watches::default();
        self.sync = None;
        self.saving = None;
        for attempt in std::mem::take(&mut self.attempts) {
            // What was sent over a state that it named may still be done; a creation that is cut off and lands later is not simulated.
            if let Some(looked) = &attempt.looked
                && !matches!(looked, Looked::Answer(..) | Looked::Apply(None))
                && salt.one_in(2)
                && !self.server.cut
            {
                self.server.write(&attempt.work, looked);
            }
        }
        self.transitions += 1;
        self.agent = Agent::new(
            self.name.clone(),
            self.kept.clone(),
            self.transitions,
            self.time(now),
        );
        if self.connected {
            self.tell(Fact::Connected, now);
        }
    }

    pub(super) fn connect(&mut self, connected: bool, now: i64) {
        self.connected = connected;
        self.live.clear();
        self.seen.clear();
        let fact = if connected {
            Fact::Connected
        } else {
            self.sync = None;
            Fact::Disconnected
        };
        self.tell(fact, now);
    }

    /// Work is republished to whoever listens.
    pub(super) fn republish(&mut self, sequence: u64, work: &Rc<Work>) {
        if self.connected {
            self.live.push_back((sequence, Rc::clone(work)));
        }
    }

    /// The next live work arrives; `lost` and `again` are the bus's doing.
    pub(super) fn next_live(&mut self, lost: bool, again: bool, now: i64) -> bool {
        let Some((sequence, work)) = self.live.pop_front() else {
            return false;
        };
        if again {
            self.live.push_front((sequence, Rc::clone(&work)));
        }
        if !lost {
            if let Some(Plant::RememberWhatWasRead) = self.plant
                && work.stamp.incarnation == self.kept.incarnation
            {
                self.kept.n = self.kept.n.max(work.stamp.n);
                self.kept.sequence = self.kept.sequence.max(sequence);
            }
            self.tell(Fact::Live(sequence, Box::new(Work::clone(&work))), now);
        }
        true
    }

    pub(super) fn next_seen(&mut self, lost: bool, now: i64) -> bool {
        let Some(seen) = self.seen.pop_front() else {
            return false;
        };
        if !lost {
            self.tell(Fact::Seen(seen), now);
        }
        true
    }

    /// An attempt goes on by one stage: it looks, it writes, it is answered.
    pub(super) fn next_attempt(&mut self, index: usize, answer_lost: bool) -> bool {
        if self.attempts.is_empty() {
            return false;
        }
        let index = index % self.attempts.len();
        let attempt = &mut self.attempts[index];
        if self.plant == Some(Plant::SettleBeforeEffect) && !attempt.answered {
            attempt.answered = true;
            let outcome = match attempt.work.digest {
                Some(_) => Outcome::Applied,
                None => Outcome::Removed,
            };
            let fact = done(&attempt.work, outcome, String::new(), None);
            self.done.push_back(fact);
            return true;
        }
        let looked = match attempt.looked.take() {
            None if self.server.cut
                && self.plant == Some(Plant::FailedGetReadAsAbsent)
                && attempt.work.digest.is_some() =>
            {
                attempt.looked = Some(Looked::Apply(None));
                return true;
            }
            _ if self.server.cut => {
                return self.end_attempt(index, Outcome::Retrying, "it does not answer".to_owned());
            }
            None => {
                attempt.looked = Some(self.server.look(&attempt.work));
                attempt.looks += 1;
                return true;
            }
            Some(looked) => looked,
        };
        match self.server.write(&attempt.work, &looked) {
            None if attempt.looks < LOOKS => true,
            None => self.end_attempt(index, Outcome::Retrying, "it changed in between".to_owned()),
            Some(_) if answer_lost => {
                self.end_attempt(index, Outcome::Retrying, "the answer was lost".to_owned())
            }
            Some((Outcome::Ahead, _)) if self.plant == Some(Plant::AheadAnsweredAsApplied) => {
                self.end_attempt(index, Outcome::Applied, String::new())
            }
            Some((outcome, message)) => self.end_attempt(index, outcome, message),
        }
    }

    fn end_attempt(&mut self, index: usize, outcome: Outcome, message: String) -> bool {
        let attempt = self.attempts.remove(index);
        if !attempt.answered {
            // Seen only where the answer tells of the copy.
            let sight = matches!(outcome, Outcome::Applied)
                .then(|| self.server.sight(&attempt.work.object));
            let fact = done(&attempt.work, outcome, message, sight);
            self.done.push_back(fact);
        }
        true
    }

    pub(super) fn next_done(&mut self, now: i64) -> bool {
        let Some(fact) = self.done.pop_front() else {
            return false;
        };
        self.tell(fact, now);
        true
    }

    /// The agent is shown the next thing that its watches tell; `broken` ends the connections of all of them before.
    pub(super) fn next_shown(&mut self, broken: bool, now: i64) -> bool {
        if broken {
            self.watches.break_off(&mut self.server);
        }
        let Some(fact) = self.watches.next(&mut self.server) else {
            return broken;
        };
        self.tell(fact, now);
        true
    }

    /// A sync request goes on by one stage: the fence is read, the work is read, the answer arrives.
    pub(super) fn next_sync(
        &mut self,
        stream: &WorkStream,
        behind: usize,
        lost: bool,
        now: i64,
    ) -> bool {
        let Some(sync) = &mut self.sync else {
            return false;
        };
        let replica;
        let held: &Held = if behind == 0 {
            &stream.held
        } else {
            replica = stream.replica(behind);
            &replica
        };
        match &sync.stage {
            Stage::Asked => {
                if self.plant == Some(Plant::HaveFromAnotherIncarnation)
                    && let Some(fence) = held.fence()
                {
                    sync.request.incarnation.clone_from(&fence.incarnation);
                }
                sync.stage = Stage::Fence(held.fence().cloned());
            }
            Stage::Fence(fence) => {
                let answer = answer(&self.name, fence.as_ref(), held, &sync.request);
                sync.stage = Stage::Answered(Box::new(answer));
            }
            Stage::Answered(answer) => {
                let answer = if lost { None } else { (**answer).clone() };
                self.sync = None;
                let goes = matches!(self.plant, Some(Plant::RemoveStrays | Plant::DropStrays));
                if let Some(answer) = answer.as_ref().filter(|_| goes)
                    && answer.whole
                {
                    let named: BTreeSet<_> = answer
                        .items
                        .iter()
                        .map(|(_, work)| work.object.clone())
                        .collect();
                    let is_told = self.plant == Some(Plant::RemoveStrays);
                    self.server.remove_strays(&named, is_told);
                }
                self.tell(answer.map_or(Fact::SyncFailed, Fact::Synced), now);
            }
        }
        true
    }

    pub(super) fn next_save(&mut self) -> bool {
        match self.saving.take() {
            Some(memory) if !self.server.cut => {
                self.kept = memory;
                true
            }
            Some(memory) => {
                self.saving = Some(memory);
                false
            }
            None => false,
        }
    }

    /// The next batch of acknowledgements that arrives at the bus.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        self.wire.pop_front()
    }

    /// What a planted fault does: the agent is told that a batch was folded which nobody has.
    pub(super) fn confirm(&mut self, batch: &Batch) {
        if let Some(last) = batch.body.acks.last() {
            self.seen.push_back(Seen {
                transitions: batch.body.transitions,
                count: last.count,
            });
        }
    }

    /// Whether nothing of it is under way.
    pub(super) fn is_still(&self) -> bool {
        self.live.is_empty()
            && self.seen.is_empty()
            && self.attempts.is_empty()
            && self.done.is_empty()
            && self.wire.is_empty()
            && self.watches.are_still(&self.server)
    }

    /// Whose history it follows.
    pub(super) fn follows(&self) -> Option<Epoch> {
        self.agent.memory().epoch
    }
}

fn done(work: &Work, outcome: Outcome, message: String, sight: Option<Sight>) -> Fact {
    Fact::Done {
        object: work.object.clone(),
        decision: work.decision,
        outcome,
        message,
        held: None,
        sight,
        pause: Pause::Ours,
    }
}

/// What an ingest process answers from the fence and the work that it read; none where it refuses (as `services/ingest/src/sync.rs`).
fn answer(
    cluster: &ClusterName,
    fence: Option<&Fence>,
    held: &Held,
    request: &SyncRequest,
) -> Option<SyncAnswer> {
    let reading = sync::reading(fence, request).ok()?;
    let fence = fence?;
    let after = match reading {
        sync::Reading::Whole => 0,
        sync::Reading::Behind(sequence) => sequence,
    };
    let items: Vec<(u64, Work)> = held
        .work(after)
        .into_iter()
        .filter(|(_, work)| work.cluster == *cluster && work.stamp.incarnation == fence.incarnation)
        .map(|(sequence, work)| (sequence, Work::clone(&work)))
        .collect();
    let counts = items.iter().map(|(_, work)| work.stamp.n);
    let end = sync::end(reading, request, held.last, counts).ok()?;
    Some(SyncAnswer {
        epoch: fence.epoch.clone(),
        incarnation: fence.incarnation.clone(),
        whole: end.whole,
        upto: end.upto,
        sequence: end.sequence,
        items,
    })
}
