//! How long each step took, from the times at which the streams stored its messages: measured after a run, so that measuring costs the run nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fleetcast_bus::read::{From, Stored};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::log::Event;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};
use serde_json::{Value, json};

use super::figures::{ms, percentiles};

/// One in so many clusters is looked at: a sample of the items of work.
const SAMPLE: usize = 10;

/// The hops of all objects in `revision`, or in all their revisions. Work is looked at as far as it is still there: the newest of each object and cluster.
pub(super) async fn measure(
    bus: &Bus,
    partitions: u16,
    revision: Option<u64>,
) -> anyhow::Result<Value> {
    let is_meant = |of: u64| revision.is_none_or(|revision| revision == of);
    let mut changes: HashMap<(ObjectKey, u64), Duration> = HashMap::new();
    let mut decisions: HashMap<(ObjectKey, u64), (u64, Duration)> = HashMap::new();
    read(bus, streams::LOG, |stored| {
        let Ok(entry) = event::log_entry(&stored.message, stored.sequence) else {
            return;
        };
        match entry.event {
            Event::Change(change) if is_meant(change.revision) => {
                changes.insert((change.object, change.revision), stored.stored_at);
            }
            Event::Decision(decision) if is_meant(decision.revision) => {
                let of = (decision.object, decision.number);
                decisions.insert(of, (decision.revision, stored.stored_at));
            }
            _ => {}
        }
    })
    .await?;
    let mut work: HashMap<(ObjectKey, ClusterName), (u64, Duration)> = HashMap::new();
    let mut answered: HashSet<(ObjectKey, u64, ClusterName)> = HashSet::new();
    let (mut to_work, mut to_applied, mut to_acknowledged) = (Vec::new(), Vec::new(), Vec::new());
    let mut decided_to_applied = Vec::new();
    for partition in 0..partitions {
        read(bus, &streams::work(partition), |stored| {
            let Some(Parsed::Work(lane, _)) = subject::parse(&stored.message.subject) else {
                return;
            };
            if !is_in_sample(&lane.cluster) {
                return;
            }
            let Ok((object, place, _)) = event::work_stamp(&stored.message.headers) else {
                return;
            };
            let of = (object, place.number);
            if let Some((_, decided)) = decisions.get(&of) {
                to_work.push(between(*decided, stored.stored_at));
                work.insert((of.0, lane.cluster), (of.1, stored.stored_at));
            }
        })
        .await?;
        read(bus, &streams::acks(partition), |stored| {
            let Ok((_, batch)) = event::read_acks(&stored.message) else {
                return;
            };
            if !is_in_sample(&batch.cluster) {
                return;
            }
            for ack in batch.body.acks {
                let of = (ack.object, ack.decision);
                // What is told later of the same work is about its health.
                let Some((_, decided)) = decisions.get(&of) else {
                    continue;
                };
                let (object, number) = of;
                if !answered.insert((object.clone(), number, batch.cluster.clone())) {
                    continue;
                }
                let applied = Duration::from_millis(u64::try_from(ack.time.0).unwrap_or(0));
                decided_to_applied.push(between(*decided, applied));
                to_acknowledged.push(between(applied, stored.stored_at));
                if let Some((of, written)) = work.get(&(object, batch.cluster.clone()))
                    && *of == number
                {
                    to_applied.push(between(*written, applied));
                }
            }
        })
        .await?;
    }
    let to_decision = decisions
        .into_iter()
        .filter_map(|((object, _), (revision, decided))| {
            Some(between(*changes.get(&(object, revision))?, decided))
        })
        .collect();
    Ok(json!({
        "change_to_decision": percentiles(to_decision),
        "decision_to_work": percentiles(to_work),
        "work_to_applied": percentiles(to_applied),
        "decision_to_applied": percentiles(decided_to_applied),
        "applied_to_acknowledged": percentiles(to_acknowledged),
    }))
}

fn is_in_sample(cluster: &ClusterName) -> bool {
    let digits = cluster.as_str().rsplit('-').next().unwrap_or("");
    digits
        .parse::<usize>()
        .is_ok_and(|index| index / SAMPLE * SAMPLE == index || index < SAMPLE)
}

/// Milliseconds; clocks of agents have a millisecond, so what is less is 0.
fn between(from: Duration, to: Duration) -> f64 {
    ms(to.saturating_sub(from))
}

/// Reads a stream as it stands now.
async fn read(bus: &Bus, stream: &str, mut each: impl FnMut(&Stored)) -> anyhow::Result<()> {
    let last = bus.last_sequence(stream).await?;
    if last == 0 {
        return Ok(());
    }
    let mut reader = bus.read(stream, &[], From::Sequence(1), false).await?;
    loop {
        let stored = tokio::time::timeout(bus.timeout(), reader.next()).await;
        let Ok(stored) = stored else {
            // The last message may be gone: nothing stands behind what was read.
            return Ok(());
        };
        let stored = stored?;
        each(&stored);
        if stored.sequence >= last {
            return Ok(());
        }
    }
}
