//! A fleet: what each step does to it, and how it heals.

mod rest;

use std::rc::Rc;

use fleetcast_core::confirmation::Ruling;
use fleetcast_core::digest::fnv1a64;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::log::{ClusterEvent, ClusterNews, Event};
use fleetcast_core::placer::Limit;
use fleetcast_core::reconcile::Fact;
use fleetcast_core::time::Time;
use fleetcast_core::work::Work;

use super::aggregator::Aggregator;
use super::bus::{AckStream, Bus, WorkStream};
use super::chance::{Chance, Salt};
use super::holds;
use super::hub::{Fate, HandedIn, Hub};
use super::limit::limit;
use super::member::Member;
use super::plant::Plant;
use super::publisher::{self, CLUSTERS, OBJECTS, Publishers};
use super::step::{Act, Step};
use super::{Counts, Options};

/// When a fleet begins, milliseconds: an hour, so that clocks may be behind.
const BEGIN: i64 = 3_600_000;

/// A fleet.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) now: i64,
    pub(super) bus: Bus,
    pub(super) hubs: Vec<Hub>,
    pub(super) members: Vec<Member>,
    pub(super) aggregators: Vec<Aggregator>,
    pub(super) publishers: Publishers,
    /// One message in so many is lost; none where none is.
    loss: Option<usize>,
    /// Whether replicas that are behind may answer.
    stale: bool,
    /// Whether there are faults any more.
    healed: bool,
    pub(super) failures: Vec<String>,
    pub(super) story: Option<Vec<String>>,
    pub(super) hash: u64,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let mut chance = Chance::new(options.seed ^ 0x00f1_ee7c_a57a);
        let partitions = 1 + u16::from(chance.below(3) == 0);
        let loss = [None, Some(6), Some(12), Some(24)][chance.below(4) as usize];
        let stale = chance.below(2) == 0;
        let mut skew = || i64::from(chance.below(3)) * i64::from(chance.below(20_000)) - 10_000;
        let mut bus = Bus::default();
        for partition in 0..partitions {
            bus.works.insert(partition, WorkStream::default());
            bus.acks.insert(partition, AckStream::default());
        }
        let mut world = Self {
            options,
            now: BEGIN,
            bus,
            hubs: (0..2).map(|id| Hub::new(id, skew(), options)).collect(),
            members: (0..CLUSTERS.len())
                .map(|number| {
                    let name = publisher::cluster_name(number);
                    Member::new(name, partitions, skew(), options.plant)
                })
                .collect(),
            aggregators: vec![Aggregator::default(), Aggregator::default()],
            publishers: Publishers::default(),
            loss,
            stale,
            healed: false,
            failures: Vec::new(),
            story: options.told.then(Vec::new),
            hash: options.seed,
        };
        world.begin_epoch(1, partitions);
        for number in 0..CLUSTERS.len() {
            let cluster = publisher::cluster_name(number);
            let event = ClusterEvent {
                time: Time(BEGIN),
                news: ClusterNews::Registered(Box::new(publisher::registered(&cluster))),
                cluster,
            };
            let id = format!("joins {}", event.cluster);
            world.append(Event::Cluster(event), id);
        }
        for member in &mut world.members {
            member.tell(Fact::Connected, BEGIN);
        }
        world
    }

    fn append(&mut self, event: Event, id: String) {
        let Bus { log, acks, .. } = &mut self.bus;
        let stored = log.append(event, id, None, acks);
        debug_assert!(stored.is_ok(), "nothing is expected");
    }

    fn begin_epoch(&mut self, number: u64, partitions: u16) {
        let epoch = Epoch {
            number,
            hub: format!("hub-{number}"),
        };
        self.bus.epoch = Some(epoch.clone());
        let id = format!("epoch {epoch}");
        self.append(Event::Epoch(Beginning { epoch, partitions }), id);
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// Takes a step; whether it did anything.
    pub(super) fn take(&mut self, step: Step) -> bool {
        let mut draw = Salt::new(step.salt);
        let before = self.counts();
        let did = self.act(step, &mut draw);
        if did {
            let counts = self.counts();
            let line = format!("{:?} {} {counts:?} {}", step.act, step.salt, self.now);
            self.hash = fnv1a64(&[&self.hash.to_le_bytes(), line.as_bytes()].concat());
            self.tell(|| {
                let more = |what: &str, before: u64, after: u64| match after.saturating_sub(before)
                {
                    0 => String::new(),
                    count => format!(", +{count} {what}"),
                };
                format!(
                    "{:?} ({}){}{}{}{}",
                    step.act,
                    step.salt,
                    more("changes", before.changes, counts.changes),
                    more("decisions", before.decisions, counts.decisions),
                    more("writes", before.writes, counts.writes),
                    more("batches", before.batches, counts.batches),
                )
            });
        }
        did
    }

    fn act(&mut self, step: Step, draw: &mut Salt) -> bool {
        let now = self.now;
        match step.act {
            Act::HandIn => match self.publishers.hand_in(step.salt) {
                Some(submission) => {
                    self.tell(|| format!("  {}: {:?}", submission.object, submission.content));
                    self.at_doors(&HandedIn::Change(submission), draw)
                }
                None => false,
            },
            Act::Repeat if self.confirm_one(step.salt, draw) => true,
            Act::Repeat => match self.publishers.any(draw) {
                Some(submission) => self.at_doors(&HandedIn::Change(submission), draw),
                None => false,
            },
            Act::News => {
                let (cluster, news) = publisher::cluster_news(draw);
                self.tell(|| format!("  {cluster}: {news:?}"));
                self.at_doors(&HandedIn::Cluster(cluster, news), draw)
            }
            Act::Door
            | Act::Lease
            | Act::ReadLog
            | Act::ReadAcks
            | Act::Store
            | Act::StoreWork
            | Act::Learn
            | Act::SaveHub => {
                let index = draw.below(self.hubs.len());
                !self.hubs[index].paused && self.act_of_hub(step.act, index, draw)
            }
            Act::Live
            | Act::Attempt
            | Act::Done
            | Act::Shown
            | Act::Sync
            | Act::Seen
            | Act::StoreAcks
            | Act::Remember => {
                let index = draw.below(self.members.len());
                !self.members[index].paused && self.act_of_member(step.act, index, draw)
            }
            Act::Fold | Act::SaveView => {
                let index = draw.below(self.aggregators.len());
                if self.aggregators[index].paused {
                    return false;
                }
                match step.act {
                    Act::Fold => {
                        let count = draw.few();
                        self.fold(index, count, draw)
                    }
                    _ => {
                        self.aggregators[index].save();
                        true
                    }
                }
            }
            Act::Time => {
                let ms = [20, 200, 1_000, 3_000, 7_000, 40_000, 400_000, 200_000_000];
                self.pass(ms[draw.below(ms.len())]);
                true
            }
            Act::Flow => self.flow(draw.clone()),
            Act::Restore => self.restore(draw),
            Act::CrashHub => {
                let index = draw.below(self.hubs.len());
                self.tell(|| format!("  hub {index}"));
                self.hubs[index].restart(&self.bus);
                true
            }
            Act::CrashAgent => {
                let index = draw.below(self.members.len());
                self.members[index].crash(draw, now);
                let goes_on = self.members[index].agent.memory();
                self.tell(|| format!("  {} goes on from {goes_on:?}", CLUSTERS[index]));
                true
            }
            Act::CrashView => {
                let index = draw.below(self.aggregators.len());
                self.aggregators[index].restart(&self.bus);
                true
            }
            Act::Pause => {
                match draw.below(8) {
                    index @ 0..=1 => self.hubs[index].paused ^= true,
                    index @ 2..=6 => self.members[index - 2].paused ^= true,
                    _ => self.aggregators[0].paused ^= true,
                }
                true
            }
            Act::Connect => {
                let member = &mut self.members[draw.below(CLUSTERS.len())];
                member.connect(!member.connected, now);
                true
            }
            Act::Cut => {
                let member = &mut self.members[draw.below(CLUSTERS.len())];
                member.server.cut ^= true;
                true
            }
            Act::Refuse => {
                let server = &mut self.members[draw.below(CLUSTERS.len())].server;
                let object = publisher::object(draw.below(OBJECTS));
                if !server.refuses.remove(&object) {
                    server.refuses.insert(object);
                }
                true
            }
            Act::Foreign => {
                let server = &mut self.members[draw.below(CLUSTERS.len())].server;
                let object = publisher::object(draw.below(OBJECTS));
                match draw.below(3) {
                    0 => server.create_foreign(&object) || server.remove_foreign(&object),
                    1 => server.change_copy(&object),
                    _ => {
                        let did = server.delete_copy(&object);
                        self.forget_lost_copies();
                        did
                    }
                }
            }
            Act::Linger => {
                let server = &mut self.members[draw.below(CLUSTERS.len())].server;
                server
                    .lingering
                    .insert(publisher::object(draw.below(OBJECTS)));
                server.finish_deletions();
                true
            }
            Act::EndLease => {
                self.bus.lease.end();
                true
            }
            Act::FallBack => {
                let partition = self.any_partition(draw);
                // Within one making of the stream nobody notices for sure: not survived (docs/testing.md).
                if !self.options.beyond {
                    return false;
                }
                let count = 1 + draw.few();
                let stream = self.bus.works.entry(partition).or_default();
                stream.fall_back(count);
                true
            }
            Act::LoseWork => {
                let partition = self.any_partition(draw);
                let stream = self.bus.works.entry(partition).or_default();
                // Who writes in the stream as it was does not meet the sequences of this one (docs/testing.md).
                let making = stream.making + u64::from(!self.options.beyond);
                *stream = WorkStream::new(making);
                true
            }
        }
    }

    /// Somebody rules about something that waits, if anything does.
    fn confirm_one(&mut self, salt: u32, draw: &mut Salt) -> bool {
        if limit(self.options.seed) == Limit::OFF {
            return false;
        }
        let waiting: Vec<String> = holds::waiting(&self.bus.log).into_iter().collect();
        if waiting.is_empty() || draw.one_in(2) {
            return false;
        }
        let id = &waiting[draw.below(waiting.len())];
        let ruling = match draw.one_in(3) {
            true => Ruling::Keep,
            false => Ruling::Remove,
        };
        // Who looked a while ago has not seen the newest.
        let seen = u64::try_from(draw.few()).expect("few") * 2;
        let upto = self.bus.log.last().saturating_sub(seen);
        self.tell(|| format!("  {id} up to {upto}: {ruling:?}"));
        let submission = holds::confirmation(id, upto, ruling, salt);
        self.at_doors(&HandedIn::Change(submission), draw)
    }

    fn any_partition(&self, draw: &mut Salt) -> u16 {
        u16::try_from(draw.below(self.bus.works.len())).expect("few")
    }

    fn is_lost(&self, draw: &mut Salt) -> bool {
        !self.healed && self.loss.is_some_and(|loss| draw.one_in(loss))
    }

    fn fate(&self, draw: &mut Salt) -> Fate {
        match (self.is_lost(draw), draw.one_in(2)) {
            (false, _) => Fate::Stored,
            (true, false) => Fate::LostBefore,
            (true, true) => Fate::LostAfter,
        }
    }

    /// How many messages the replica lacks that answers.
    fn behind(&self, draw: &mut Salt) -> usize {
        if !self.healed && self.stale && draw.one_in(4) {
            1 + draw.below(8)
        } else {
            0
        }
    }

    fn at_doors(&mut self, handed_in: &HandedIn, draw: &mut Salt) -> bool {
        for index in 0..self.hubs.len() {
            if !self.is_lost(draw) {
                self.hubs[index].door.push_back(handed_in.clone());
            }
        }
        true
    }

    fn act_of_hub(&mut self, act: Act, index: usize, draw: &mut Salt) -> bool {
        let now = self.now;
        let mut did = false;
        match act {
            Act::Lease => {
                let behind = self.behind(draw);
                did = self.hubs[index].keep_lease(&mut self.bus, behind, now);
            }
            Act::ReadLog => did = self.hubs[index].read_log(&self.bus, draw.few(), now),
            Act::ReadAcks => did = self.hubs[index].read_acks(&self.bus, draw.few(), now),
            Act::SaveHub => did = self.hubs[index].save(),
            _ => {
                for _ in 0..draw.few() {
                    let fate = self.fate(draw);
                    let behind = self.behind(draw);
                    let hub = &mut self.hubs[index];
                    let again = match act {
                        Act::Door => hub.next_at_door(&self.bus, fate != Fate::Stored, now),
                        Act::Store => {
                            let behind = u64::try_from(behind).expect("small");
                            hub.next_sent(&mut self.bus, draw.below(1 << 16), fate, behind)
                        }
                        Act::Learn => hub.next_outcome(&self.bus, now),
                        _ => match hub.next_write(&mut self.bus, fate) {
                            Some(republished) => {
                                self.republish(republished);
                                true
                            }
                            None => false,
                        },
                    };
                    did |= again;
                    if !again {
                        break;
                    }
                }
            }
        }
        if let (Some(story), Some(notes)) = (&mut self.story, &mut self.hubs[index].notes) {
            story.extend(notes.drain(..).map(|note| format!("  hub {index} {note}")));
        }
        for (submission, answer) in std::mem::take(&mut self.hubs[index].answers) {
            if !self.is_lost(draw) {
                self.publishers.answered(&submission, answer);
            }
        }
        did
    }

    fn republish(&mut self, work: Option<(u64, Rc<Work>)>) {
        if let Some((sequence, work)) = work {
            for member in &mut self.members {
                if member.name == work.cluster {
                    member.republish(sequence, &work);
                }
            }
        }
    }

    fn act_of_member(&mut self, act: Act, index: usize, draw: &mut Salt) -> bool {
        let now = self.now;
        let mut did = false;
        let written = self.members[index].server.writes.len();
        for _ in 0..draw.few() {
            let lost = self.is_lost(draw);
            let again = self.is_lost(draw);
            // Work that a replica has not got yet is not survived (docs/testing.md).
            let behind = self.behind(draw) * usize::from(self.options.beyond);
            let member = &mut self.members[index];
            let one = match act {
                Act::Live => member.next_live(lost, again && !lost, now),
                Act::Attempt => member.next_attempt(draw.below(1 << 16), lost),
                Act::Done => member.next_done(now),
                Act::Shown => member.next_shown(lost && again, now),
                Act::Sync => {
                    let stream = &self.bus.works[&member.partition];
                    member.next_sync(stream, behind, lost, now)
                }
                Act::Seen => member.next_seen(lost, now),
                Act::Remember => member.next_save(),
                _ => match member.next_batch() {
                    Some(batch) => {
                        // Nobody tells the agent that it was stored: these are lost more often.
                        let lost = lost || again || self.is_lost(draw);
                        let member = &mut self.members[index];
                        if lost && self.options.plant == Some(Plant::SeenPastALostBatch) {
                            member.confirm(&batch);
                        }
                        if let Some(story) = &mut self.story {
                            let fate = if lost { ", which is lost" } else { "" };
                            let lines = batch.body.acks.iter().map(|ack| {
                                format!(
                                    "  {} answers {} decision {}: {:?} {}{fate}",
                                    member.name, ack.object, ack.decision, ack.outcome, ack.message
                                )
                            });
                            story.extend(lines);
                        }
                        if !lost && let Some(stream) = self.bus.acks.get_mut(&member.partition) {
                            stream.0.push(Rc::new(batch));
                        }
                        true
                    }
                    None => false,
                },
            };
            did |= one;
            if !one {
                break;
            }
        }
        if self.story.is_some() {
            let member = &self.members[index];
            let lines: Vec<String> = member.server.writes[written..]
                .iter()
                .map(|write| format!("  {} {write}", member.name))
                .collect();
            for line in lines {
                self.tell(|| line);
            }
        }
        did
    }

    fn fold(&mut self, index: usize, count: usize, draw: &mut Salt) -> bool {
        let Some(told) = self.aggregators[index].fold(&self.bus, count) else {
            return false;
        };
        for (cluster, seen) in told {
            let lost = self.is_lost(draw);
            for member in &mut self.members {
                if member.name == cluster && member.connected && !lost {
                    member.seen.push_back(seen);
                }
            }
        }
        true
    }

    /// Time passes for everybody who is up.
    pub(super) fn pass(&mut self, ms: i64) {
        self.now += ms;
        for member in self.members.iter_mut().filter(|member| !member.paused) {
            member.tell(Fact::Tick, self.now);
        }
    }

    /// Copies of a history that is lost and that somebody deleted: nothing in their clusters tells of them.
    fn forget_lost_copies(&mut self) {
        for member in self.members.iter_mut().filter(|_| self.options.restore) {
            let server = &mut member.server;
            let gone = server.deleted.iter();
            let gone = gone.filter(|(object, place)| !self.bus.log.holds(object, place));
            server.lost_removals.extend(gone.cloned());
        }
    }

    /// The hub is lost, and comes back from an older backup in a new epoch on an empty bus.
    fn restore(&mut self, draw: &mut Salt) -> bool {
        let first = u64::try_from(CLUSTERS.len()).expect("few") + 1;
        let lost = u64::try_from(draw.below(40)).expect("small");
        let length = self.bus.log.last().saturating_sub(lost).max(first);
        self.tell(|| format!("  the log falls back to {length}"));
        self.bus.carried_out.clear();
        let removals = self.bus.log.removals();
        let acks = self.bus.log.cut(length);
        let kept = self.bus.log.removals();
        for (cluster, object, place) in removals.difference(&kept) {
            for member in &mut self.members {
                if member.name == *cluster {
                    let lost = (object.clone(), place.clone());
                    member.server.lost_removals.insert(lost);
                }
            }
        }
        self.forget_lost_copies();
        self.publishers.lose_behind(length);
        for (partition, stream) in &mut self.bus.acks {
            let kept = acks.get(partition).copied().unwrap_or(0);
            stream.0.truncate(usize::try_from(kept).expect("small"));
        }
        for stream in self.bus.works.values_mut() {
            *stream = WorkStream::default();
        }
        let number = self.bus.epoch.as_ref().map_or(0, |epoch| epoch.number) + 1;
        let partitions = u16::try_from(self.bus.works.len()).expect("few");
        self.begin_epoch(number, partitions);
        for hub in &mut self.hubs {
            hub.restart(&self.bus);
            hub.lose_wire();
        }
        for aggregator in &mut self.aggregators {
            aggregator.restart(&self.bus);
        }
        true
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            changes: self.bus.log.changes,
            decisions: self.bus.log.decisions,
            ..Counts::default()
        };
        for member in &self.members {
            counts.writes += u64::try_from(member.server.writes.len()).expect("small");
        }
        counts.batches = self.bus.acks.values().map(AckStream::last).sum();
        counts
    }
}
