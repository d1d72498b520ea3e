//! KubeFleet's workload: placements of a Namespace, a ConfigMap of 1 KB and a Deployment to clusters picked by label, all acknowledged; then an update of every one.

use std::time::{Duration, Instant};

use fleetcast_bus::streams;
use fleetcast_core::model::ClusterName;
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{documents, limits, load};
use crate::args::bench::FanoutArgs;
use crate::progress::Progress;

/// How many submissions are under way.
const AT_ONCE: usize = 256;
/// Objects of one placement.
pub(super) const OBJECTS: usize = 3;

pub(super) async fn run(args: &FanoutArgs) -> anyhow::Result<Value> {
    let FanoutArgs {
        clusters,
        placements,
        per_placement,
        rate,
        common,
    } = args;
    let pace = rate.map(|rate| Duration::from_secs_f64(1.0 / (rate * OBJECTS as f64)));
    let (clusters, placements) = (*clusters as usize, *placements as usize);
    let per_placement = (*per_placement as usize).min(clusters);
    let groups = (clusters / per_placement).max(1);
    let directory = Directory::new(common)?;
    let limits = limits::measure(common, &directory).await?;
    let mut rig = Rig::start(common, directory, clusters, groups).await?;
    let mut phases = Vec::new();
    for revision in [1, 2] {
        let phase = phase(&mut rig, placements, groups, revision, pace).await?;
        phases.push(phase);
    }
    let usage = rig.usage();
    let stored = stored(&rig).await?;
    let (update, create) = (phases.pop(), phases.pop().unwrap_or_default());
    let share = limits::shares(&create, &limits);
    let mut figures = json!({
        "bench": "fanout",
        "members": "simulated",
        "clusters": clusters, "placements": placements, "per_placement": per_placement, "placements_per_s": rate,
        "update": update,
        "stored": stored,
        "limits": limits,
        "share_of_limit": share,
        "machine": machine(),
    });
    super::figures::merge(&mut figures, create);
    super::figures::merge(&mut figures, usage);
    Ok(figures)
}

/// What the streams hold, a message: the body, its headers, its subject.
async fn stored(rig: &Rig) -> anyhow::Result<Value> {
    let partitions = || 0..rig.partitions;
    let mut sizes = serde_json::Map::new();
    for (what, names) in [
        ("log", vec![streams::LOG.to_owned()]),
        ("work", partitions().map(streams::work).collect()),
        (
            "acknowledgements",
            partitions().map(streams::acks).collect(),
        ),
    ] {
        let (mut messages, mut bytes) = (0, 0);
        for name in names {
            let (more, of) = rig.bus.size(&name).await?;
            (messages, bytes) = (messages + more, bytes + of);
        }
        let each = bytes.checked_div(messages).unwrap_or(0);
        sizes.insert(
            what.to_owned(),
            json!({"messages": messages, "bytes_per_message": each}),
        );
    }
    Ok(Value::Object(sizes))
}

/// Hands every placement in as `revision`, all at once or each document `pace` after the one before it, and waits until all of it is acknowledged and in the view.
pub(super) async fn phase(
    rig: &mut Rig,
    placements: usize,
    groups: usize,
    revision: u64,
    pace: Option<Duration>,
) -> anyhow::Result<Value> {
    let members = |group: usize| -> Vec<ClusterName> {
        let of = |(index, cluster): (usize, &ClusterName)| {
            (index % groups == group).then(|| cluster.clone())
        };
        rig.clusters.iter().enumerate().filter_map(of).collect()
    };
    let by_group: Vec<Vec<ClusterName>> = (0..groups).map(members).collect();
    let mut tracker = Tracker::default();
    let mut handed_in = Vec::with_capacity(placements * OBJECTS);
    let mut expected = 0;
    for placement in 0..placements {
        let group = placement % groups;
        for document in documents::placement(placement, &format!("g{group}"), revision) {
            expected += by_group[group].len();
            tracker.expect(
                placement,
                document.0.clone(),
                revision,
                by_group[group].clone(),
            );
            handed_in.push(document);
        }
    }
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let what = if revision == 1 {
        "creating"
    } else {
        "updating"
    };
    let mut progress = Progress::new(what, expected as u64);
    let begin = Instant::now();
    let mut begun = vec![None::<Instant>; placements];
    let mut left = vec![OBJECTS; placements];
    let mut latencies = Vec::with_capacity(placements);
    let mut finished = vec![None::<Instant>; placements];
    let patience = Duration::from_secs(600 + expected as u64 / 100);
    let bus = rig.bus.clone();
    let submitting = load::hand_in_at(&bus, handed_in, AT_ONCE, pace, |index, at| {
        let first = &mut begun[index / OBJECTS];
        *first = Some(first.map_or(at, |first| first.min(at)));
    });
    let mut submitting = Box::pin(submitting);
    let mut submitted = false;
    while !(submitted && tracker.is_done()) {
        tokio::select! {
            outcome = &mut submitting, if !submitted => {
                outcome?;
                submitted = true;
            }
            Some(stored) = acks.next() => {
                for (placement, at) in tracker.take(&stored) {
                    left[placement] -= 1;
                    if left[placement] == 0 {
                        finished[placement] = Some(at);
                    }
                }
                progress.at(tracker.acknowledged);
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => rig.check(begin, patience, "acknowledgements")?,
        }
    }
    let elapsed = begin.elapsed();
    drop(submitting);
    progress.end();
    for (begun, finished) in begun.iter().zip(&finished) {
        if let (Some(begun), Some(finished)) = (begun, finished) {
            latencies.push(ms(finished.duration_since(*begun)));
        }
    }
    let view = super::settle::view_reaches(&rig.bus, rig.partitions).await?;
    let hops = super::hops::measure(&rig.bus, rig.partitions, Some(revision)).await?;
    Ok(json!({
        "elapsed_s": round(elapsed.as_secs_f64()),
        "acknowledged": tracker.acknowledged,
        "expected": expected,
        "rate_per_s": round(tracker.acknowledged as f64 / elapsed.as_secs_f64()),
        "latency_ms": percentiles(latencies),
        "hops_ms": hops,
        "view_after_last_acknowledgement_ms": round(ms(view)),
    }))
}
