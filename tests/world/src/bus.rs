//! The simulated bus: the log, the work streams and the acknowledgements, with what JetStream promises of each and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fleetcast_core::ack::Batch;
use fleetcast_core::decision::Place;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Fence;
use fleetcast_core::work::Work;

/// Everything that is stored.
#[derive(Debug, Default)]
pub(super) struct Bus {
    pub(super) log: Log,
    pub(super) works: BTreeMap<u16, WorkStream>,
    pub(super) acks: BTreeMap<u16, AckStream>,
    pub(super) lease: Lease,
    pub(super) incarnations: u64,
    pub(super) epoch: Option<Epoch>,
    /// The newest decision whose work was ever stored, by cluster and object.
    pub(super) carried_out: BTreeMap<(ClusterName, ObjectKey), Place>,
    pub(super) wrongs: Vec<String>,
}

impl Bus {
    pub(super) fn append(
        &mut self,
        event: Event,
        id: String,
        expected: Option<u64>,
    ) -> Result<u64, No> {
        self.log.append(event, id, expected, &self.acks)
    }

    /// Takes note of work that was stored: none may be older than what was stored before it, in whatever making of the stream.
    pub(super) fn note(&mut self, work: &Work) {
        let key = (work.cluster.clone(), work.object.clone());
        let place = work.place();
        match self.carried_out.get(&key) {
            Some(newest) if place < *newest => self.wrongs.push(format!(
                "{}: {}: {place} was written after {newest}",
                work.cluster, work.object
            )),
            Some(newest) if place == *newest => {}
            Some(_) | None => {
                self.carried_out.insert(key, place);
            }
        }
    }
}

/// Something else stands there, or nobody answered although it may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum No {
    /// The expected sequence is another.
    Conflict,
    /// The answer did not come.
    Lost,
}

/// A subject of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogSubject {
    Change(ObjectKey),
    Decision(ObjectKey),
    Other,
}

/// What was decided to go: from where, what, and by which decision.
pub(super) type Removals = BTreeSet<(ClusterName, ObjectKey, Place)>;

/// `FC_LOG`.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Vec<Rc<Entry>>,
    newest: BTreeMap<LogSubject, u64>,
    /// How many acknowledgements each partition held when the entry was written: what a backup of that moment holds.
    acks: Vec<BTreeMap<u16, u64>>,
    pub(super) changes: u64,
    pub(super) decisions: u64,
}

impl Log {
    pub(super) fn last(&self) -> u64 {
        u64::try_from(self.entries.len()).expect("small")
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Rc<Entry>> {
        self.entries.iter()
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Rc<Entry>> {
        self.entries
            .get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }

    pub(super) fn newest(&self, subject: &LogSubject) -> u64 {
        self.newest.get(subject).copied().unwrap_or(0)
    }

    /// Stores an event if the newest of its subject has the sequence `expected`; whatever stands there where that is none.
    pub(super) fn append(
        &mut self,
        event: Event,
        id: String,
        expected: Option<u64>,
        acks: &BTreeMap<u16, AckStream>,
    ) -> Result<u64, No> {
        let subject = match &event {
            Event::Change(change) | Event::Policy(change) => {
                LogSubject::Change(change.object.clone())
            }
            Event::Decision(decision) => LogSubject::Decision(decision.object.clone()),
            Event::Cluster(_) | Event::Epoch(_) => LogSubject::Other,
        };
        if expected.is_some_and(|expected| expected != self.newest(&subject)) {
            return Err(No::Conflict);
        }
        let sequence = self.last() + 1;
        match subject {
            LogSubject::Change(_) => self.changes += 1,
            LogSubject::Decision(_) => self.decisions += 1,
            LogSubject::Other => {}
        }
        self.entries.push(Rc::new(Entry {
            sequence,
            id,
            event,
        }));
        self.newest.insert(subject, sequence);
        self.acks
            .push(acks.iter().map(|(p, stream)| (*p, stream.last())).collect());
        Ok(sequence)
    }

    /// Whether a decision about `object` at `place` stands in it.
    pub(super) fn holds(&self, object: &ObjectKey, place: &Place) -> bool {
        self.entries.iter().any(|entry| {
            matches!(&entry.event, Event::Decision(decision)
                if decision.object == *object && decision.number == place.number && decision.epoch == place.epoch)
        })
    }

    /// The removals that it holds.
    pub(super) fn removals(&self) -> Removals {
        let mut removals = Removals::new();
        for entry in &self.entries {
            if let Event::Decision(decision) = &entry.event {
                let place = Place {
                    epoch: decision.epoch.clone(),
                    number: decision.number,
                };
                let groups = decision.body.removed.iter();
                for cluster in groups.flat_map(|group| &group.clusters) {
                    removals.insert((cluster.clone(), decision.object.clone(), place.clone()));
                }
            }
        }
        removals
    }

    /// Falls back to the first `length` entries, as an older backup has them; how many acknowledgements that holds.
    pub(super) fn cut(&mut self, length: u64) -> BTreeMap<u16, u64> {
        let length = usize::try_from(length).expect("small");
        let entries = std::mem::take(&mut self.entries);
        self.acks.truncate(length);
        self.newest.clear();
        for entry in entries.into_iter().take(length) {
            let subject = match &entry.event {
                Event::Change(change) | Event::Policy(change) => {
                    LogSubject::Change(change.object.clone())
                }
                Event::Decision(decision) => LogSubject::Decision(decision.object.clone()),
                Event::Cluster(_) | Event::Epoch(_) => LogSubject::Other,
            };
            self.newest.insert(subject, entry.sequence);
            self.entries.push(entry);
        }
        self.acks.last().cloned().unwrap_or_default()
    }
}

/// A subject of a work stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WorkSubject {
    Fence,
    Work(ClusterName, ObjectKey),
}

/// A message of a work stream.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Fence(Fence),
    Work(Rc<Work>),
}

impl Item {
    pub(super) fn subject(&self) -> WorkSubject {
        match self {
            Self::Fence(_) => WorkSubject::Fence,
            Self::Work(work) => WorkSubject::Work(work.cluster.clone(), work.object.clone()),
        }
    }
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fence(fence) => write!(f, "fence {} {}", fence.incarnation, fence.complete),
            Self::Work(work) => write!(
                f,
                "work {} {} decision {} n {} of {}",
                work.cluster, work.object, work.decision, work.stamp.n, work.stamp.incarnation
            ),
        }
    }
}

#[derive(Debug, Clone)]
enum Moment {
    Put(u64, Item),
    Gone(WorkSubject, u64),
}

/// What a work stream, or a replica of it that is behind, holds: the newest message per subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    newest: BTreeMap<WorkSubject, (u64, Item)>,
    pub(super) last: u64,
}

impl Held {
    fn take(&mut self, event: &Moment) {
        match event {
            Moment::Put(sequence, item) => {
                self.last = *sequence;
                self.newest
                    .insert(item.subject(), (*sequence, item.clone()));
            }
            Moment::Gone(subject, upto) => {
                if self.newest.get(subject).is_some_and(|(at, _)| at <= upto) {
                    self.newest.remove(subject);
                }
            }
        }
    }

    pub(super) fn fence(&self) -> Option<&Fence> {
        match self.newest.get(&WorkSubject::Fence) {
            Some((_, Item::Fence(fence))) => Some(fence),
            _ => None,
        }
    }

    /// The sequence of the newest fence; 0 where there is none.
    pub(super) fn fence_sequence(&self) -> u64 {
        self.newest
            .get(&WorkSubject::Fence)
            .map_or(0, |(at, _)| *at)
    }

    /// The newest work behind `after`, by sequence.
    pub(super) fn work(&self, after: u64) -> Vec<(u64, Rc<Work>)> {
        let mut found: Vec<(u64, Rc<Work>)> = self
            .newest
            .values()
            .filter_map(|(sequence, item)| match item {
                Item::Work(work) if *sequence > after => Some((*sequence, work.clone())),
                Item::Work(_) | Item::Fence(_) => None,
            })
            .collect();
        found.sort_by_key(|(sequence, _)| *sequence);
        found
    }
}

/// `FC_WORK_<p>`.
#[derive(Debug, Default)]
pub(super) struct WorkStream {
    /// How often it was made anew after it was lost.
    pub(super) making: u64,
    history: Vec<Moment>,
    pub(super) held: Held,
    /// How many items of work that applies something were stored: removals may be written again by who leads next.
    pub(super) count: u64,
}

impl WorkStream {
    pub(super) fn new(making: u64) -> Self {
        Self {
            making,
            ..Self::default()
        }
    }

    /// Stores a message if the stream's last has the sequence `expected`; whatever stands there where that is none.
    pub(super) fn append(&mut self, item: Item, expected: Option<u64>) -> Result<u64, No> {
        if expected.is_some_and(|expected| expected != self.held.last) {
            return Err(No::Conflict);
        }
        let sequence = self.held.last + 1;
        self.count += u64::from(matches!(&item, Item::Work(work) if work.digest.is_some()));
        let event = Moment::Put(sequence, item);
        self.held.take(&event);
        self.history.push(event);
        Ok(sequence)
    }

    /// Takes the messages of a subject away up to `sequence`.
    pub(super) fn forget(&mut self, subject: WorkSubject, sequence: u64) {
        let event = Moment::Gone(subject, sequence);
        self.held.take(&event);
        self.history.push(event);
    }

    /// What a replica holds that lacks the last `behind` events.
    pub(super) fn replica(&self, behind: usize) -> Held {
        let mut held = Held::default();
        let length = self.history.len().saturating_sub(behind);
        self.history[..length]
            .iter()
            .for_each(|event| held.take(event));
        held
    }

    /// Loses the last `count` events for good, as in a power cut.
    pub(super) fn fall_back(&mut self, count: usize) {
        self.held = self.replica(count);
        let length = self.history.len().saturating_sub(count);
        self.history.truncate(length);
    }
}

/// `FC_ACK_<p>`.
#[derive(Debug, Default)]
pub(super) struct AckStream(pub(super) Vec<Rc<Batch>>);

impl AckStream {
    pub(super) fn last(&self) -> u64 {
        u64::try_from(self.0.len()).expect("small")
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Rc<Batch>> {
        self.0.get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }
}

/// The lease of whoever leads: it ends by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    holder: Option<(usize, u64, i64)>,
    revision: u64,
}

/// How long a lease holds after it was renewed, milliseconds (as in the bus crate).
const LEASE_MS: i64 = 6_000;

impl Lease {
    fn current(&self, now: i64) -> Option<(usize, u64)> {
        self.holder
            .filter(|(_, _, until)| now < *until)
            .map(|(holder, revision, _)| (holder, revision))
    }

    fn put(&mut self, holder: usize, now: i64) -> Option<u64> {
        self.revision += 1;
        self.holder = Some((holder, self.revision, now + LEASE_MS));
        Some(self.revision)
    }

    /// Takes the lease: its revision; none where somebody else has it.
    pub(super) fn take(&mut self, holder: usize, now: i64) -> Option<u64> {
        match self.current(now) {
            Some((other, _)) if other != holder => None,
            Some(_) | None => self.put(holder, now),
        }
    }

    /// Keeps the lease that was given as `revision`; none where it is lost.
    pub(super) fn renew(&mut self, holder: usize, revision: u64, now: i64) -> Option<u64> {
        match self.current(now) {
            Some(current) if current == (holder, revision) => self.put(holder, now),
            Some(_) | None => None,
        }
    }

    /// Time passes from `now` on for `ms`, and whoever holds it keeps it, as one does who looks after it all the while.
    pub(super) fn keep(&mut self, now: i64, ms: i64) {
        if let Some((_, _, until)) = &mut self.holder
            && now < *until
        {
            *until += ms;
        }
    }

    /// Ends it before its time.
    pub(super) fn end(&mut self) {
        self.holder = None;
    }
}
