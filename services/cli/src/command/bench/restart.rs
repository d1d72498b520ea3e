//! kill -9 of ingest, of the aggregator, of an agent and of the NATS server at full size, and how long until a new change flows again; what that asks of the members.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::figures::ms;
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{deployed, documents, settle};
use crate::args::bench::{Clusters, RestartArgs};
use crate::submit;

pub(super) async fn run(args: &RestartArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let (mut rig, agent) = start(args, directory).await?;
    let clients = rig.clients().await?;
    let everywhere = json!({"clusterSelector": {}});
    let handed_in: Vec<_> = (0..args.objects)
        .map(|index| documents::deployment(&format!("held-{index}"), &everywhere, 1))
        .collect();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    settle::everywhere(&mut rig, &mut acks, handed_in, 1).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;

    let real = !args.kubeconfig.is_empty();
    let mut figures = json!({
        "bench": "restart", "members": if real { "real" } else { "simulated" },
        "clusters": rig.clusters.len(), "objects": args.objects,
        "machine": machine(),
    });
    for (revision, name) in (1..).zip(["ingest", "aggregator", &agent, "nats"]) {
        if name == "nats" && args.common.nats.is_some() {
            continue;
        }
        let before = asked_so_far(&mut rig, &clients).await?;
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
        let after = asked_so_far(&mut rig, &clients).await?;
        let kind = if name == agent { "agent" } else { name };
        figures[kind] = json!({
            "new_change_everywhere_ms": round(ms(flows.duration_since(begin))),
            "view_up_to_date_ms": round(ms(viewed)),
        });
        let asked = match (before, after) {
            (Asked::Requests(before), Asked::Requests(after)) => {
                let more = |(verb, count): (&String, &u64)| (verb.clone(), count - before[verb]);
                let more: BTreeMap<String, u64> = after.iter().map(more).collect();
                json!({"requests_to_members": more})
            }
            (Asked::Versions(before), Asked::Versions(after)) => {
                let kept = before.iter().filter(|(copy, _)| !copy.ends_with("/new"));
                let written = kept.filter(|(copy, version)| after.get(*copy) != Some(version));
                json!({"copies_rewritten": written.count()})
            }
            _ => unreachable!("the same clusters are asked the same way"),
        };
        super::figures::merge(&mut figures[kind], asked);
    }
    let held = (0..args.objects).map(|index| format!("held-{index}"));
    deployed::remove(&clients, held.chain(["new".to_owned()])).await;
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// The fleet, and the name of one agent's process: many simulated clusters in one process and one more whose agent is a process of its own, or an
/// agent process for each real cluster.
async fn start(args: &RestartArgs, directory: Directory) -> anyhow::Result<(Rig, String)> {
    if args.kubeconfig.is_empty() {
        let mut rig = Rig::start(&args.common, directory, args.clusters as usize, 1).await?;
        rig.add_agent("member", "agent").await?;
        return Ok((rig, "agent".to_owned()));
    }
    let clusters = Clusters {
        kubeconfig: args.kubeconfig.clone(),
        clusters: 0,
    };
    let rig = Rig::start_agents(&args.common, directory, &clusters).await?;
    let agent = format!("agent of {}", rig.clusters[0]);
    Ok((rig, agent))
}

/// What was asked of the members so far, as far as they tell.
enum Asked {
    /// How many requests all simulated clusters got, by verb.
    Requests(BTreeMap<String, u64>),
    /// The resource version of every Deployment of the real clusters, by `<cluster>/<name>`: a write changes it.
    Versions(BTreeMap<String, String>),
}

async fn asked_so_far(rig: &mut Rig, clients: &[kube::Client]) -> anyhow::Result<Asked> {
    if !clients.is_empty() {
        return Ok(Asked::Versions(deployed::versions(clients).await?));
    }
    let mut sums = BTreeMap::new();
    for name in ["members", "member"] {
        let asked = rig.requests(name).await?;
        for (verb, count) in asked.as_object().into_iter().flatten() {
            *sums.entry(verb.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    Ok(Asked::Requests(sums))
}
