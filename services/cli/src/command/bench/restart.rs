//! kill -9 of ingest, of the aggregator and of the NATS server at full size, and how long until a new change flows again; what that asks of the members.

use std::time::Instant;

use serde_json::{Value, json};

use super::figures::ms;
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{documents, settle};
use crate::args::bench::RestartArgs;
use crate::submit;

pub(super) async fn run(args: &RestartArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start(&args.common, directory, args.clusters as usize, 1).await?;
    let everywhere = json!({"clusterSelector": {}});
    let handed_in: Vec<_> = (0..args.objects)
        .map(|index| documents::deployment(&format!("held-{index}"), &everywhere, 1))
        .collect();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    settle::everywhere(&mut rig, &mut acks, handed_in, 1).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;

    let mut figures = json!({
        "bench": "restart", "members": "simulated",
        "clusters": args.clusters, "objects": args.objects,
        "machine": machine(),
    });
    for (revision, name) in (1..).zip(["ingest", "aggregator", "nats"]) {
        let before = rig.requests().await?;
        let begin = Instant::now();
        rig.kill(name)?;
        rig.start_again(name)?;
        let (key, document) = documents::deployment("new", &everywhere, revision);
        let mut tracker = Tracker::default();
        tracker.expect(0, key.clone(), revision, rig.clusters.clone());
        submit::apply(&rig.bus, &key, &document).await?;
        let flows = settle::acknowledged(&mut rig, &mut acks, &mut tracker).await?;
        settle::view_reaches(&rig.bus, rig.partitions).await?;
        let viewed = begin.elapsed();
        let after = rig.requests().await?;
        let mut asked = serde_json::Map::new();
        for (verb, count) in after.as_object().into_iter().flatten() {
            let more = count.as_u64().unwrap_or(0) - before[verb].as_u64().unwrap_or(0);
            asked.insert(verb.clone(), json!(more));
        }
        figures[name] = json!({
            "new_change_everywhere_ms": round(ms(flows.duration_since(begin))),
            "view_up_to_date_ms": round(ms(viewed)),
            "requests_to_members": asked,
        });
    }
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}
