//! kill -9 of ingest, of the aggregator, of an agent and of the NATS server at full size, and how long until a new change flows again; what that asks of the members.

use std::collections::BTreeMap;
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
    // One more, whose agent is a process of its own.
    rig.add_agent("member", "agent").await?;
    let everywhere = json!({"clusterSelector": {}});
    let handed_in: Vec<_> = (0..args.objects)
        .map(|index| documents::deployment(&format!("held-{index}"), &everywhere, 1))
        .collect();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    settle::everywhere(&mut rig, &mut acks, handed_in, 1).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;

    let mut figures = json!({
        "bench": "restart", "members": "simulated",
        "clusters": rig.clusters.len(), "objects": args.objects,
        "machine": machine(),
    });
    for (revision, name) in (1..).zip(["ingest", "aggregator", "agent", "nats"]) {
        if name == "nats" && args.common.nats.is_some() {
            continue;
        }
        let before = requests(&mut rig).await?;
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
        let after = requests(&mut rig).await?;
        let more = |(verb, count): (&String, &u64)| (verb.clone(), count - before[verb]);
        let asked: BTreeMap<String, u64> = after.iter().map(more).collect();
        figures[name] = json!({
            "new_change_everywhere_ms": round(ms(flows.duration_since(begin))),
            "view_up_to_date_ms": round(ms(viewed)),
            "requests_to_members": asked,
        });
    }
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// What all members were asked so far, by verb.
async fn requests(rig: &mut Rig) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut sums = BTreeMap::new();
    for name in ["members", "member"] {
        let asked = rig.requests(name).await?;
        for (verb, count) in asked.as_object().into_iter().flatten() {
            *sums.entry(verb.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    Ok(sums)
}
