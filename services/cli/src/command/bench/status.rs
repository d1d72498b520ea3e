//! Acknowledgements folded a second, and listing rows.

use std::time::Instant;

use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::Acks;
use super::{documents, settle};
use crate::args::bench::StatusArgs;

pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start(&args.common, directory, args.clusters as usize, 1).await?;
    let everywhere = json!({"clusterSelector": {}});
    let handed_in: Vec<_> = (0..args.objects)
        .map(|index| documents::config_map(&format!("status-{index}"), &everywhere, 1))
        .collect();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let acknowledged = handed_in.len() * rig.clusters.len();
    settle::everywhere(&mut rig, &mut acks, handed_in, 1).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;

    let mut lists = Vec::new();
    let mut rows = 0;
    for _ in 0..10 {
        let begin = Instant::now();
        let answer: Objects = client::query(&rig.bus, "objects", None, &Request::default()).await?;
        lists.push(ms(begin.elapsed()));
        rows = answer.objects.iter().map(|object| object.rows.len()).sum();
    }
    // Everything is folded anew: its checkpoint is taken away while it does not run.
    rig.kill("aggregator")?;
    rig.forget_state("aggregator")?;
    let begin = Instant::now();
    rig.start_again("aggregator")?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;
    let folded = begin.elapsed();
    let mut figures = json!({
        "bench": "status", "members": "simulated",
        "rows": rows,
        "list_ms": percentiles(lists),
        "fold_from_nothing_s": round(folded.as_secs_f64()),
        "acknowledgements": acknowledged,
        "folded_per_s": round(acknowledged as f64 / folded.as_secs_f64()),
        "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}
