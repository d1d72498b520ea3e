//! One change at a time: how long until it is accepted, and until all clusters have acknowledged it.

use std::time::Instant;

use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine};
use super::tracker::{Acks, Tracker};
use super::{documents, settle};
use crate::args::bench::LatencyArgs;
use crate::progress::Progress;
use crate::submit;

pub(super) async fn run(args: &LatencyArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start(&args.common, directory, args.clusters as usize, 1).await?;
    let mut accepted = Vec::new();
    let mut acknowledged = Vec::new();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let everywhere = json!({"clusterSelector": {}});
    let mut progress = Progress::new("changing", u64::from(args.changes));
    for revision in 1..=u64::from(args.changes) {
        let (key, document) = documents::deployment("latency", &everywhere, revision);
        let mut tracker = Tracker::default();
        tracker.expect(0, key.clone(), revision, rig.clusters.clone());
        let begin = Instant::now();
        submit::apply(&rig.bus, &key, &document).await?;
        accepted.push(ms(begin.elapsed()));
        let at = settle::acknowledged(&mut rig, &mut acks, &mut tracker).await?;
        acknowledged.push(ms(at.duration_since(begin)));
        progress.at(revision);
    }
    progress.end();
    let mut figures = json!({
        "bench": "latency",
        "members": "simulated",
        "clusters": args.clusters, "changes": args.changes,
        "accepted_ms": percentiles(accepted),
        "latency_ms": percentiles(acknowledged),
        "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}
