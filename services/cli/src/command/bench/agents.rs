//! Many agents on one bus: time to connect, memory, and the latency of a change to one of them, to all, and to the rest when a tenth is stopped.

use std::time::Instant;

use fleetcast_core::model::ClusterName;
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{documents, settle};
use crate::args::bench::AgentsArgs;
use crate::progress::Progress;
use crate::submit;

pub(super) async fn run(args: &AgentsArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    eprintln!("connecting {} agents", args.clusters);
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
    // The first tenth is stopped later; the others are measured before and after that.
    let stopped = rig.clusters.len() / 10;
    let rest = rig.clusters[stopped..].to_vec();
    let one = vec![rest[rest.len() / 2].clone()];
    let all = rig.clusters.clone();
    let mut changes = Changes {
        rig: &mut rig,
        acks: &mut acks,
        count: args.changes,
    };
    figures["to_one"] = changes.to("to-one", &one).await?;
    figures["to_all"] = changes.to("to-all", &all).await?;
    if stopped > 0 {
        let before = changes.to("to-rest", &rest).await?;
        changes.rig.stop_agents(stopped)?;
        let after = changes.to("to-rest-without", &rest).await?;
        let ratio = after["p50"].as_f64().unwrap_or(0.0) / before["p50"].as_f64().unwrap_or(1.0);
        figures["a_tenth_stopped"] = json!({
            "stopped": stopped, "to_rest_before": before, "to_rest": after, "slower_by": round(ratio),
        });
    }
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// Changes of one object, one after the other.
struct Changes<'a> {
    rig: &'a mut Rig,
    acks: &'a mut Acks,
    count: u32,
}

impl Changes<'_> {
    /// How long until all of `clusters` acknowledged a change of the object `name`, which every cluster gets unless only one is meant.
    async fn to(&mut self, name: &str, clusters: &[ClusterName]) -> anyhow::Result<Value> {
        let placement = match clusters {
            [one] => json!({"clusters": [one.as_str()]}),
            _ => json!({"clusterSelector": {}}),
        };
        let mut latencies = Vec::new();
        let mut progress = Progress::new(name, u64::from(self.count));
        for revision in 1..=u64::from(self.count) {
            let (key, document) = documents::config_map(name, &placement, revision);
            let mut tracker = Tracker::default();
            tracker.expect(0, key.clone(), revision, clusters.to_vec());
            let begin = Instant::now();
            submit::apply(&self.rig.bus, &key, &document).await?;
            let last = settle::acknowledged(self.rig, self.acks, &mut tracker).await?;
            latencies.push(ms(last.duration_since(begin)));
            progress.at(revision);
        }
        progress.end();
        Ok(percentiles(latencies))
    }
}
