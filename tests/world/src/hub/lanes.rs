//! The lease and the work streams, as `services/ingest/src/lanes.rs` and `run.rs` treat them.

use fleetcast_core::placer::{Fence, Found, Lane, Placer};

use super::Hub;
use crate::bus::{Bus, Held, Item, WorkStream};

impl Hub {
    /// Keeps the lease or tries for it; leads with it, follows without. A replica that answers for the fences lacks `behind` messages.
    pub(crate) fn keep_lease(&mut self, bus: &mut Bus, behind: usize, now: i64) -> bool {
        if self.behind.is_some() {
            return false;
        }
        match self.lease {
            Some(revision) => {
                self.lease = bus.lease.renew(self.id, revision, now);
                let confirmed = |(partition, stream): (&u16, &WorkStream)| {
                    self.state
                        .confirmed
                        .get(partition)
                        .is_some_and(|confirmed| stream.held.last < *confirmed)
                };
                // What was stored is gone: its successor in office, which it may be itself, writes it anew.
                if self.lease.is_none() || bus.works.iter().any(confirmed) {
                    self.stop_leading();
                }
            }
            None => self.lease = bus.lease.take(self.id, now),
        }
        if self.lease.is_none() {
            follow(bus, &mut self.state.placer, behind);
        } else if self.term.is_none() {
            match take_over(bus, &mut self.state.placer, behind) {
                Some(term) => {
                    self.term = Some(term);
                    self.reads_first = bus.log.last();
                    let fences = bus.works.iter();
                    self.fences = fences
                        .map(|(partition, stream)| {
                            (*partition, (stream.making, stream.held.fence_sequence()))
                        })
                        .collect();
                    if let Some(notes) = &mut self.notes {
                        let lanes = bus.works.keys().filter_map(|p| self.state.placer.lane(*p));
                        let lanes: Vec<String> = lanes
                            .map(|lane| {
                                format!("{} rebuilding {}", lane.incarnation, lane.rebuilding)
                            })
                            .collect();
                        notes.push(format!("leads in term {term}: {}", lanes.join(", ")));
                    }
                    for partition in bus.works.keys() {
                        let reached = self.state.placer.lane(*partition);
                        let reached = reached.map_or(0, |lane| lane.sequence);
                        self.state.confirmed.insert(*partition, reached);
                    }
                }
                None => self.state.placer.lose(),
            }
        }
        self.carry_out(bus, now);
        true
    }
}

/// What stands at the head of a work stream: its newest fence with its sequence as a replica tells it, its end as its leader tells it.
struct Head {
    fence: Option<Fence>,
    at: u64,
    last: u64,
}

fn head(stream: &WorkStream, behind: usize) -> Head {
    let last = stream.held.last;
    let told = |held: &Held| Head {
        fence: held.fence().cloned(),
        at: held.fence_sequence(),
        last,
    };
    match behind {
        0 => told(&stream.held),
        _ => told(&stream.replica(behind)),
    }
}

fn take_over(bus: &mut Bus, placer: &mut Placer, behind: usize) -> Option<u64> {
    let epoch = placer.epoch().cloned()?;
    let heads: Vec<(u16, Head)> = bus
        .works
        .iter()
        .map(|(partition, stream)| (*partition, head(stream, behind)))
        .collect();
    let met = heads
        .iter()
        .filter_map(|(_, head)| head.fence.as_ref().map(|fence| fence.term));
    let term = met.max().unwrap_or(0).max(placer.term()) + 1;
    for (partition, Head { fence, at, last }) in heads {
        let known = placer.lane(partition).cloned();
        let goes_on = match (&known, &fence) {
            (Some(known), Some(fence)) => known.goes_on(&epoch, fence, last),
            (None, _) | (_, None) => false,
        };
        let incarnation = match (&known, goes_on) {
            (Some(known), true) => known.incarnation.clone(),
            (Some(_) | None, _) => {
                bus.incarnations += 1;
                format!("i{}", bus.incarnations)
            }
        };
        let fence = Fence {
            epoch: epoch.clone(),
            term,
            incarnation: incarnation.clone(),
            complete: goes_on,
        };
        let stream = bus.works.get_mut(&partition)?;
        if stream.held.fence_sequence() != at {
            return None;
        }
        let sequence = stream.append(Item::Fence(fence), Some(last)).ok()?;
        if let (Some(known), true) = (known, goes_on) {
            placer.take_over(partition, term, known);
            catch_up(stream, placer, partition, sequence);
        } else {
            placer.take_over(partition, term, Lane::new(incarnation, sequence));
        }
    }
    Some(term)
}

fn follow(bus: &Bus, placer: &mut Placer, behind: usize) {
    for (partition, stream) in &bus.works {
        let Head { fence, at: _, last } = head(stream, behind);
        let Some(fence) =
            fence.filter(|fence| fence.complete && Some(&fence.epoch) == placer.epoch())
        else {
            continue;
        };
        let known = placer
            .lane(*partition)
            .is_some_and(|lane| lane.incarnation == fence.incarnation && lane.sequence <= last);
        if !known {
            placer.follow(*partition, Lane::new(fence.incarnation, 0));
        }
        catch_up(stream, placer, *partition, last);
    }
}

/// Reads what was written behind what is known, up to `last`.
fn catch_up(stream: &WorkStream, placer: &mut Placer, partition: u16, last: u64) {
    let Some(lane) = placer.lane(partition).cloned() else {
        return;
    };
    if lane.sequence >= last {
        return;
    }
    for (sequence, work) in stream.held.work(lane.sequence) {
        if work.stamp.incarnation == lane.incarnation {
            let found = Found {
                decision: work.decision,
                sequence,
                key: 0,
            };
            placer.found(&work.object, &work.cluster, found, work.stamp.n);
        }
    }
    placer.reached(partition, last);
}
