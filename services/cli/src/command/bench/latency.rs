//! One change at a time: how long until it is accepted, and until all clusters have acknowledged it; beside the same changes applied directly to the same clusters.

use std::time::Instant;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{deployed, documents, settle};
use crate::args::bench::LatencyArgs;
use crate::progress::Progress;
use crate::submit;

pub(super) async fn run(args: &LatencyArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start_agents(&args.common, directory, &args.clusters).await?;
    let clients = rig.clients().await?;
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
    let hops = super::hops::measure(&rig.bus, rig.partitions, None).await?;
    let direct = direct(&clients, args.changes).await?;
    let written = ["latency", "direct"].map(str::to_owned);
    deployed::remove(&clients, written.into_iter()).await;
    let (latency, direct) = (percentiles(acknowledged), percentiles(direct));
    let times = |percentile: &str| {
        let [ours, direct] = [&latency, &direct].map(|of| of[percentile].as_f64().unwrap_or(0.0));
        round(ours / direct)
    };
    let mut figures = json!({
        "bench": "latency",
        "members": args.clusters.label(),
        "clusters": rig.clusters.len(), "changes": args.changes,
        "accepted_ms": percentiles(accepted),
        "latency_ms": latency,
        "hops_ms": hops,
        "direct_apply_ms": direct,
        "times_direct": {"at_p50": times("p50"), "at_p99": times("p99")},
        "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// The same changes applied directly, one at a time, each to all clusters at once: until the last has answered.
async fn direct(clients: &[kube::Client], changes: u32) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    for revision in 1..=u64::from(changes) {
        let object = documents::plain_deployment("direct", revision);
        let params = PatchParams::apply("bench").force();
        let begin = Instant::now();
        let applies = clients.iter().map(|client| {
            let (api, object, params) = (deployed::api(client), &object, &params);
            async move { api.patch("direct", params, &Patch::Apply(object)).await }
        });
        futures::future::try_join_all(applies).await?;
        took.push(ms(begin.elapsed()));
    }
    Ok(took)
}
