//! One simulated ingest process: the intake and the placer, driven as `services/ingest/src/run.rs` drives them.

mod lanes;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use fleetcast_core::Refusal;
use fleetcast_core::change::{Change, Content};
use fleetcast_core::decision;
use fleetcast_core::dialect::policies;
use fleetcast_core::intake::{Intake, Receipt, Submission, Verdict};
use fleetcast_core::log::{ClusterEvent, ClusterNews, Entry, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::{Effect, Fence, Limit, Placer};
use fleetcast_core::time::Time;
use fleetcast_core::work::Work;

use super::Options;
use super::bus::{Bus, Item, LogSubject, No, WorkSubject};
use super::limit::limit;
use super::plant::Plant;

/// How often a submission that somebody else was faster than is decided anew (as the ingest service does).
const ATTEMPTS: u32 = 8;

/// What one ingest process knows, as in its checkpoint.
#[derive(Debug, Clone, Default)]
struct State {
    intake: Intake,
    placer: Placer,
    acks: BTreeMap<u16, u64>,
    confirmed: BTreeMap<u16, u64>,
    time: Time,
}

impl State {
    /// What comes back from a checkpoint: what is not written to it is gone.
    fn on_disk(&self) -> Option<Self> {
        let Self {
            intake,
            placer,
            acks,
            confirmed,
            time,
        } = self;
        let bytes = serde_json::to_vec(&(intake, placer)).ok()?;
        let (intake, placer) = serde_json::from_slice(&bytes).ok()?;
        Some(Self {
            intake,
            placer,
            acks: acks.clone(),
            confirmed: confirmed.clone(),
            time: *time,
        })
    }

    fn logged(&mut self, entry: &Entry) {
        if entry.sequence <= self.placer.sequence() {
            return;
        }
        match &entry.event {
            Event::Change(change) | Event::Policy(change) => {
                self.time = self.time.max(change.time);
                self.intake.logged(
                    entry.sequence,
                    change,
                    declared_by(&change.object, &change.content),
                );
            }
            Event::Decision(decision) => self.time = self.time.max(decision.time),
            Event::Cluster(event) => self.time = self.time.max(event.time),
            Event::Epoch(_) => {}
        }
        self.placer.logged(entry);
    }
}

/// Which document declares a target: its kind and name, which here follow from the target.
pub(super) fn declared_by(object: &ObjectKey, content: &Content) -> Option<String> {
    match content {
        Content::Declared { .. } => Some(format!("{}/{}", object.kind(), object.name())),
        Content::Withdrawn { .. } => None,
    }
}

/// Something that is handed in.
#[derive(Debug, Clone)]
pub(super) enum HandedIn {
    Change(Rc<Submission>),
    Cluster(ClusterName, ClusterNews),
}

#[derive(Debug, Clone)]
struct Handed {
    submission: Rc<Submission>,
    attempts: u32,
}

/// Something that was sent and is not stored yet, in any order.
#[derive(Debug, Clone)]
enum Sent {
    Change(Handed, Change, u64),
    Newest(Handed),
    Decision(Box<fleetcast_core::decision::Decision>, u64),
    DecideAgain(ObjectKey),
    Cluster(ClusterEvent),
    Forget(u16, u64, WorkSubject, u64),
}

#[derive(Debug)]
enum Outcome {
    Change(Handed, Change, Result<u64, No>),
    Newest(Handed, Option<Rc<Entry>>),
    Decision(ObjectKey, Result<u64, No>),
    DecideAgain(ObjectKey),
    Work(u16, u64, Result<u64, No>),
}

#[derive(Debug)]
struct Write {
    life: u32,
    item: Item,
    partition: u16,
    /// The making of the stream that it was meant for.
    making: u64,
    term: u64,
    expected: u64,
    /// The fence that must be the stream's newest.
    fence: u64,
}

/// How the bus treats one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    LostBefore,
    /// Stored, but nobody is told.
    LostAfter,
}

/// The answer to a submission.
pub(super) type Answer = (Rc<Submission>, Result<Receipt, Refusal>);

/// One ingest process.
pub(super) struct Hub {
    id: usize,
    skew: i64,
    pub(super) paused: bool,
    limit: Limit,
    state: State,
    saved: Option<State>,
    lease: Option<u64>,
    term: Option<u64>,
    /// The end of the log at the start: nothing is decided before.
    behind: Option<u64>,
    /// The end of the log behind the fence of its term: nothing is asked of the placer before.
    reads_first: u64,
    /// Its newest fence, by partition: the making of the stream, and its sequence there.
    fences: BTreeMap<u16, (u64, u64)>,
    life: u32,
    busy: BTreeMap<ObjectKey, VecDeque<Handed>>,
    pub(super) door: VecDeque<HandedIn>,
    sent: Vec<(u32, Sent)>,
    writes: VecDeque<Write>,
    outcomes: VecDeque<Outcome>,
    pub(super) answers: Vec<Answer>,
    /// What it did, where a story is told.
    pub(super) notes: Option<Vec<String>>,
    /// What could not be rendered as decided.
    pub(super) stuck: Vec<String>,
    plant: Option<Plant>,
}

impl Hub {
    pub(super) fn new(id: usize, skew: i64, options: Options) -> Self {
        let Options { plant, told, .. } = options;
        let limit = match plant {
            Some(Plant::HeldRemovalGoesOut) => Limit::OFF,
            _ => limit(options.seed),
        };
        let mut hub = Self {
            id,
            skew,
            paused: false,
            limit,
            state: State::default(),
            saved: None,
            lease: None,
            term: None,
            behind: None,
            reads_first: 0,
            fences: BTreeMap::new(),
            life: 0,
            busy: BTreeMap::new(),
            door: VecDeque::new(),
            sent: Vec::new(),
            writes: VecDeque::new(),
            outcomes: VecDeque::new(),
            answers: Vec::new(),
            notes: told.then(Vec::new),
            stuck: Vec::new(),
            plant,
        };
        hub.state.placer.limit_removals(limit);
        hub
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(line());
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.term.is_some()
    }

    fn time(&self, now: i64) -> Time {
        Time(now + self.skew).max(self.state.time)
    }

    /// The process ends and starts again from its checkpoint; what it had sent may still be stored.
    pub(super) fn restart(&mut self, bus: &Bus) {
        self.life += 1;
        self.lease = None;
        self.term = None;
        self.reads_first = 0;
        self.busy.clear();
        self.door.clear();
        self.outcomes.clear();
        let saved = self.saved.as_ref().and_then(State::on_disk);
        let fits = |state: &State| {
            state.placer.epoch() == bus.epoch.as_ref() && state.placer.sequence() <= bus.log.last()
        };
        self.state = saved.filter(fits).unwrap_or_default();
        self.state.placer.limit_removals(self.limit);
        for (partition, sequence) in self.state.confirmed.clone() {
            self.state.placer.rewind(partition, sequence);
        }
        self.state.placer.lose();
        self.behind = Some(bus.log.last());
    }

    /// Its checkpoint is lost.
    pub(super) fn forget(&mut self) {
        self.saved = None;
    }

    /// What was sent never arrives: the bus is another one.
    pub(super) fn lose_wire(&mut self) {
        self.sent.clear();
        self.writes.clear();
    }

    pub(super) fn save(&mut self) -> bool {
        let is_new = self
            .saved
            .as_ref()
            .is_none_or(|saved| saved.placer.sequence() != self.state.placer.sequence());
        if is_new {
            self.saved = Some(self.state.clone());
        }
        is_new
    }

    /// Folds up to `count` more events of the log.
    pub(super) fn read_log(&mut self, bus: &Bus, count: usize, now: i64) -> bool {
        let mut read = false;
        for _ in 0..count {
            let Some(entry) = bus.log.get(self.state.placer.sequence() + 1) else {
                break;
            };
            self.state.logged(entry);
            read = true;
        }
        if self
            .behind
            .is_some_and(|behind| self.state.placer.sequence() >= behind)
        {
            self.behind = None;
        }
        self.carry_out(bus, now);
        read
    }

    /// Takes note of up to `count` more batches of acknowledgements of each partition.
    pub(super) fn read_acks(&mut self, bus: &Bus, count: usize, now: i64) -> bool {
        if self.behind.is_some() {
            return false;
        }
        let mut read = false;
        for (partition, stream) in &bus.acks {
            let position = self.state.acks.entry(*partition).or_default();
            for _ in 0..count {
                let Some(batch) = stream.get(*position + 1) else {
                    break;
                };
                *position += 1;
                read = true;
                for ack in batch.body.acks.iter().filter(|ack| ack.outcome.is_final()) {
                    self.state
                        .placer
                        .removal_answered(&ack.object, &batch.cluster, &ack.place());
                }
            }
        }
        self.carry_out(bus, now);
        read
    }

    /// Takes the next thing in that was handed in.
    pub(super) fn next_at_door(&mut self, bus: &Bus, lost: bool, now: i64) -> bool {
        if self.behind.is_some() {
            return false;
        }
        let Some(handed_in) = self.door.pop_front() else {
            return false;
        };
        if self.term.is_some() && !lost {
            match handed_in {
                HandedIn::Change(submission) => {
                    let handed = Handed {
                        submission,
                        attempts: 0,
                    };
                    match self.busy.get_mut(&handed.submission.object) {
                        Some(waiting) => waiting.push_back(handed),
                        None => self.submit(handed, now),
                    }
                }
                HandedIn::Cluster(cluster, news) => {
                    let known = self.state.placer.clusters().get(&cluster);
                    let nothing_new = match &news {
                        ClusterNews::Registered(new) => known == Some(new),
                        ClusterNews::Removed {} => known.is_none(),
                        ClusterNews::Online { trouble: _ } | ClusterNews::Offline {} => false,
                    };
                    if !nothing_new {
                        let time = self.time(now);
                        self.send(Sent::Cluster(ClusterEvent {
                            cluster,
                            time,
                            news,
                        }));
                    }
                }
            }
        }
        self.carry_out(bus, now);
        true
    }

    fn send(&mut self, sent: Sent) {
        self.sent.push((self.life, sent));
    }

    fn submit(&mut self, handed: Handed, now: i64) {
        let object = handed.submission.object.clone();
        match self.state.intake.submit(&handed.submission, self.time(now)) {
            Verdict::Refused(refusal) => {
                self.answers.push((handed.submission, Err(refusal)));
                self.next_for(&object, now);
            }
            Verdict::Known(receipt) => {
                self.answers.push((handed.submission, Ok(receipt)));
                self.next_for(&object, now);
            }
            Verdict::Append { change, expected } => {
                self.busy.entry(object).or_default();
                self.send(Sent::Change(handed, change, expected));
            }
        }
    }

    fn next_for(&mut self, object: &ObjectKey, now: i64) {
        if let Some(mut waiting) = self.busy.remove(object)
            && let Some(next) = waiting.pop_front()
        {
            self.busy.insert(object.clone(), waiting);
            self.submit(next, now);
        }
    }

    /// Something that was sent is stored, or not; the work that is to be republished.
    pub(super) fn next_sent(
        &mut self,
        bus: &mut Bus,
        index: usize,
        fate: Fate,
        behind: u64,
    ) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        let (life, sent) = self.sent.swap_remove(index % self.sent.len());
        let mut store = |event: Event, id: String, expected: Option<u64>| match fate {
            Fate::LostBefore => Err(No::Lost),
            Fate::Stored => bus.append(event, id, expected),
            Fate::LostAfter => bus.append(event, id, expected).and(Err(No::Lost)),
        };
        let outcome = match sent {
            Sent::Change(handed, change, expected) => {
                let checked = (self.plant != Some(Plant::ForgetRevisionCheck)).then_some(expected);
                let id = change.origin.id.clone();
                let event = match policies::is_policy(&change.object) {
                    true => Event::Policy(change.clone()),
                    false => Event::Change(change.clone()),
                };
                let stored = store(event, id, checked);
                Outcome::Change(handed, change, stored)
            }
            Sent::Decision(decision, expected) => {
                let object = decision.object.clone();
                let id = decision::id(&object, &decision.epoch, decision.number);
                let told = self.notes.is_some().then(|| format!("{decision:?}"));
                let stored = store(Event::Decision(*decision), id, Some(expected));
                self.note(|| format!("decides {}: {stored:?}", told.unwrap_or_default()));
                Outcome::Decision(object, stored)
            }
            Sent::Cluster(event) => {
                let id = format!("cluster {} {}", event.cluster, event.time.0);
                // Nobody asks what became of it.
                let _ = store(Event::Cluster(event), id, None);
                return true;
            }
            Sent::Newest(handed) => {
                let subject = LogSubject::Change(handed.submission.object.clone());
                // A replica that is behind may answer: it has not got the newest events.
                let newest = bus.log.newest(&subject);
                let seen = newest <= bus.log.last().saturating_sub(behind);
                let entry = bus.log.get(newest).filter(|_| seen).cloned();
                Outcome::Newest(handed, entry)
            }
            Sent::DecideAgain(object) => Outcome::DecideAgain(object),
            Sent::Forget(partition, making, subject, sequence) => {
                self.note(|| format!("takes away {subject:?} up to {sequence}: {fate:?}"));
                if fate != Fate::LostBefore
                    && let Some(stream) = bus.works.get_mut(&partition)
                    && stream.making == making
                {
                    stream.forget(subject, sequence);
                }
                return true;
            }
        };
        if life == self.life {
            self.outcomes.push_back(outcome);
        }
        true
    }

    /// The next write to a work stream is stored, or not: they come in the order in which they were sent. What is to be republished.
    pub(super) fn next_write(
        &mut self,
        bus: &mut Bus,
        fate: Fate,
    ) -> Option<Option<(u64, Rc<Work>)>> {
        let Write {
            life,
            item,
            partition,
            making,
            term,
            expected,
            fence,
        } = self.writes.pop_front()?;
        let stream = bus.works.entry(partition).or_default();
        let checked = (self.plant != Some(Plant::LetAnOldLeaderWrite)).then_some(expected);
        // The first of many writes under way fails where a fence came in between; the second expects just the fence's place.
        let looks_at_fence = checked.is_some() && self.plant != Some(Plant::ExpectTheStreamAlone);
        let stored = match fate {
            Fate::LostBefore => Err(No::Lost),
            _ if stream.making != making => Err(No::Conflict),
            _ if looks_at_fence && stream.held.fence_sequence() != fence => Err(No::Conflict),
            Fate::Stored | Fate::LostAfter => stream.append(item.clone(), checked),
        };
        self.note(|| format!("{item} behind {expected}: {stored:?}"));
        let republished = match (&stored, item) {
            (Ok(sequence), Item::Work(work)) => {
                if self.plant == Some(Plant::ForgetUnanswered) && work.digest.is_none() {
                    let subject = WorkSubject::Work(work.cluster.clone(), work.object.clone());
                    stream.forget(subject, *sequence);
                }
                Some((*sequence, work))
            }
            (Ok(_) | Err(_), _) => None,
        };
        if let Some((_, work)) = &republished {
            bus.note(work);
        }
        if life == self.life {
            let told = match fate {
                Fate::LostAfter => Err(No::Lost),
                Fate::Stored | Fate::LostBefore => stored,
            };
            self.outcomes
                .push_back(Outcome::Work(partition, term, told));
        }
        Some(republished)
    }

    /// The process learns what became of the next thing that it sent.
    pub(super) fn next_outcome(&mut self, bus: &Bus, now: i64) -> bool {
        let Some(outcome) = self.outcomes.pop_front() else {
            return false;
        };
        match outcome {
            Outcome::Change(handed, change, Ok(sequence)) => {
                let by = handed.submission.declared_by.clone();
                self.state.intake.logged(sequence, &change, by);
                let receipt = Receipt {
                    object: change.object.clone(),
                    revision: change.revision,
                    sequence,
                };
                self.answers.push((handed.submission, Ok(receipt)));
                self.next_for(&change.object, now);
            }
            Outcome::Change(handed, mut change, Err(_))
                if self.plant == Some(Plant::RepeatBlindly) =>
            {
                let newest = bus.log.newest(&LogSubject::Change(change.object.clone()));
                if let Some(Event::Change(before) | Event::Policy(before)) =
                    bus.log.get(newest).map(|entry| &entry.event)
                {
                    change.revision = before.revision + 1;
                }
                self.send(Sent::Change(handed, change, newest));
            }
            Outcome::Change(handed, _, Err(_)) => self.send(Sent::Newest(handed)),
            Outcome::Newest(handed, newest) => {
                if let Some(entry) = newest
                    && let Event::Change(change) | Event::Policy(change) = &entry.event
                {
                    let by = declared_by(&change.object, &change.content);
                    self.state.intake.logged(entry.sequence, change, by);
                }
                if handed.attempts >= ATTEMPTS {
                    let object = handed.submission.object.clone();
                    self.next_for(&object, now);
                } else {
                    self.submit(
                        Handed {
                            attempts: handed.attempts + 1,
                            ..handed
                        },
                        now,
                    );
                }
            }
            Outcome::Decision(_, Ok(_)) => {}
            Outcome::Decision(object, Err(_)) => self.send(Sent::DecideAgain(object)),
            Outcome::DecideAgain(object) => self.state.placer.append_failed(&object),
            Outcome::Work(partition, term, told) => {
                if self.term == Some(term) {
                    match told {
                        Ok(sequence) => {
                            let confirmed = self.state.confirmed.entry(partition).or_default();
                            *confirmed = (*confirmed).max(sequence);
                        }
                        Err(_) => self.stop_leading(),
                    }
                }
            }
        }
        self.carry_out(bus, now);
        true
    }

    fn stop_leading(&mut self) {
        if let Some(term) = self.term.take() {
            self.note(|| format!("no longer leads in term {term}"));
            self.state.placer.lose();
            let confirmed = self.state.confirmed.clone();
            for (partition, sequence) in confirmed {
                self.state.placer.rewind(partition, sequence);
            }
        }
    }

    /// Sends what the placer asks for.
    fn carry_out(&mut self, bus: &Bus, now: i64) {
        let Some(term) = self.term else {
            return;
        };
        if self.state.placer.sequence() < self.reads_first
            && self.plant != Some(Plant::LeadBehindTheLog)
        {
            return;
        }
        while let Some(effect) = self.state.placer.poll(self.time(now)) {
            match effect {
                Effect::Append { decision, expected } => {
                    self.send(Sent::Decision(decision, expected));
                }
                Effect::Write {
                    mut work,
                    partition,
                    expected,
                } => {
                    if self.plant == Some(Plant::OrderByTheWriter) {
                        work.decision_epoch.clone_from(&work.stamp.epoch);
                    }
                    self.write(Item::Work(Rc::from(work)), partition, term, expected);
                }
                Effect::Complete {
                    partition,
                    term,
                    incarnation,
                    expected,
                } => {
                    if let Some(epoch) = bus.epoch.clone() {
                        let fence = Fence {
                            epoch,
                            term,
                            incarnation,
                            complete: true,
                        };
                        self.write(Item::Fence(fence), partition, term, expected);
                        let fence = (self.making(partition), expected + 1);
                        self.fences.insert(partition, fence);
                    }
                }
                Effect::Forget {
                    cluster,
                    object,
                    sequence,
                } => {
                    let partition = self.state.placer.partition(&cluster);
                    let subject = WorkSubject::Work(cluster, object);
                    let making = self.making(partition);
                    self.send(Sent::Forget(partition, making, subject, sequence));
                }
                Effect::Stuck { object, message } => {
                    self.stuck.push(format!("{object}: {message}"))
                }
            }
        }
    }

    fn write(&mut self, item: Item, partition: u16, term: u64, expected: u64) {
        self.writes.push_back(Write {
            life: self.life,
            item,
            partition,
            making: self.making(partition),
            term,
            expected,
            fence: self.fences.get(&partition).map_or(0, |(_, fence)| *fence),
        });
    }

    fn making(&self, partition: u16) -> u64 {
        self.fences.get(&partition).map_or(0, |(making, _)| *making)
    }

    /// Whether nothing of it is under way and nothing is left to decide or write.
    pub(super) fn is_still(&self, bus: &Bus) -> bool {
        self.door.is_empty()
            && self.sent.is_empty()
            && self.writes.is_empty()
            && self.outcomes.is_empty()
            && self.busy.is_empty()
            && self.behind.is_none()
            && self.state.placer.sequence() == bus.log.last()
            && (self.term.is_none() || self.state.placer.is_idle())
    }

    /// What keeps it from being still, for a story.
    pub(super) fn unrest(&self) -> String {
        format!(
            "hub {}: leads {:?}, door {}, sent {}, writes {}, outcomes {}, busy {}, behind {:?}, at {}, idle {}, stuck {:?}",
            self.id,
            self.term,
            self.door.len(),
            self.sent.len(),
            self.writes.len(),
            self.outcomes.len(),
            self.busy.len(),
            self.behind,
            self.state.placer.sequence(),
            self.state.placer.is_idle(),
            self.stuck
        )
    }
}
