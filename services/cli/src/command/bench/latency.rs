//! One change at a time: how long until it is accepted, and until all clusters have acknowledged it; beside the same changes applied directly.

use std::time::Instant;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine};
use super::tracker::{Acks, Tracker};
use super::{documents, limits, settle};
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
    let direct = direct(args.changes).await?;
    let mut figures = json!({
        "bench": "latency",
        "members": "simulated",
        "clusters": args.clusters, "changes": args.changes,
        "accepted_ms": percentiles(accepted),
        "latency_ms": percentiles(acknowledged),
        "direct_apply_ms": percentiles(direct),
        "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// The same changes applied directly to one simulated cluster, one at a time.
async fn direct(changes: u32) -> anyhow::Result<Vec<f64>> {
    let api = limits::deployments();
    let mut took = Vec::new();
    for revision in 1..=u64::from(changes) {
        let object = documents::plain_deployment("latency", revision);
        let begin = Instant::now();
        let params = PatchParams::apply("bench").force();
        api.patch("latency", &params, &Patch::Apply(&object))
            .await?;
        took.push(ms(begin.elapsed()));
    }
    Ok(took)
}
