//! Many agents on one bus: time to connect, memory, and the latency of a change to one of them and to all.

use std::time::Instant;

use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{documents, settle};
use crate::args::bench::AgentsArgs;
use crate::submit;

pub(super) async fn run(args: &AgentsArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let begin = Instant::now();
    let mut rig = Rig::start(&args.common, directory, args.clusters as usize, 1).await?;
    let up = begin.elapsed();
    let idle = rig.usage();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let mut figures = json!({
        "bench": "agents", "members": "simulated", "clusters": args.clusters,
        "registered_and_connected_s": round(up.as_secs_f64()),
        "peak_rss_mib_when_connected": idle["peak_rss_mib"],
        "machine": machine(),
    });
    let one = vec![rig.clusters[rig.clusters.len() / 2].clone()];
    let all = rig.clusters.clone();
    for (name, clusters) in [("to_one", one), ("to_all", all)] {
        let placement = if clusters.len() == 1 {
            json!({"clusters": [clusters[0].as_str()]})
        } else {
            json!({"clusterSelector": {}})
        };
        let mut latencies = Vec::new();
        for revision in 1..=u64::from(args.changes) {
            let object = name.replace('_', "-");
            let (key, document) = documents::config_map(&object, &placement, revision);
            let mut tracker = Tracker::default();
            tracker.expect(0, key.clone(), revision, clusters.clone());
            let begin = Instant::now();
            submit::apply(&rig.bus, &key, &document).await?;
            let last = settle::acknowledged(&mut rig, &mut acks, &mut tracker).await?;
            latencies.push(ms(last.duration_since(begin)));
        }
        figures[name] = percentiles(latencies);
    }
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}
