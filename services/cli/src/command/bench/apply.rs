//! Deployments to three clusters, created and updated, beside direct server-side applies of the same Deployments to the same clusters, watched
//! meanwhile as an agent watches its copies.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::rig::{Directory, Rig, machine, round};
use super::tracker::Acks;
use super::{deployed, documents, settle};
use crate::args::bench::ApplyArgs;

pub(super) async fn run(args: &ApplyArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let count = args.objects as usize;
    let mut rig = Rig::start_agents(&args.common, directory, &args.clusters).await?;
    let clients = rig.clients().await?;
    let mut phases = serde_json::Map::new();
    for (name, revision) in [("create", 1), ("update", 2)] {
        let watching = deployed::watch_all(&clients);
        let direct = direct(&clients, count, revision).await?;
        drop(watching);
        let (hub, agents) = (rig.hub_cpu(), rig.agents_cpu());
        let ours = ours(&mut rig, count, revision).await?;
        // What one object in all clusters costs, at microseconds: two digits behind the point would hide it.
        let each = |cpu_s: f64| (cpu_s / count as f64 * 1e6).round() / 1e6;
        phases.insert(
            name.to_owned(),
            json!({
                "direct_s": round(direct.as_secs_f64()),
                "ours_s": round(ours.as_secs_f64()),
                "ratio": round(ours.as_secs_f64() / direct.as_secs_f64()),
                "hub_cpu_s_per_object": each(rig.hub_cpu() - hub),
                "agents_cpu_s_per_object": each(rig.agents_cpu() - agents),
            }),
        );
    }
    let written = ["direct", "ours"].map(|by| (0..count).map(move |index| format!("{by}-{index}")));
    deployed::remove(&clients, written.into_iter().flatten()).await;
    let mut figures = json!({
        "bench": "apply", "members": args.clusters.label(), "objects": count, "clusters": clients.len(),
        "machine": machine(),
    });
    super::figures::merge(&mut figures, Value::Object(phases));
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

async fn direct(clients: &[kube::Client], count: usize, revision: u64) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let each = clients.iter().map(|client| async move {
        let api = deployed::api(client);
        let applies = (0..count).map(|index| {
            let api = &api;
            async move {
                let name = format!("direct-{index}");
                let object = documents::plain_deployment(&name, revision);
                let params = PatchParams::apply("bench").force();
                api.patch(&name, &params, &Patch::Apply(&object)).await
            }
        });
        let mut applies = futures::stream::iter(applies).buffer_unordered(deployed::AT_ONCE);
        while let Some(applied) = applies.next().await {
            applied.context("a direct apply")?;
        }
        anyhow::Ok(())
    });
    for outcome in futures::future::join_all(each).await {
        outcome?;
    }
    Ok(begin.elapsed())
}

async fn ours(rig: &mut Rig, count: usize, revision: u64) -> anyhow::Result<Duration> {
    let everywhere = json!({"clusterSelector": {}});
    let handed_in: Vec<_> = (0..count)
        .map(|index| documents::deployment(&format!("ours-{index}"), &everywhere, revision))
        .collect();
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let begin = Instant::now();
    let last = settle::everywhere(rig, &mut acks, handed_in, revision).await?;
    Ok(last.duration_since(begin))
}
