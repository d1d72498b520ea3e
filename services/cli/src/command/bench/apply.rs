//! Deployments to three clusters, created and updated, beside direct server-side applies of the same Deployments to clusters of the same kind.

use std::time::{Duration, Instant};

use anyhow::Context;
use fleetcast_simulator::Cluster;
use futures::StreamExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::rig::{Directory, Rig, machine, round};
use super::tracker::Acks;
use super::{documents, settle};
use crate::args::bench::ApplyArgs;
use crate::fleet;

/// Applies under way to one cluster, ours and direct.
const AT_ONCE: usize = 16;

pub(super) async fn run(args: &ApplyArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let count = args.objects as usize;
    let (mut rig, clients, members) = if args.kubeconfig.is_empty() {
        let rig = Rig::start(&args.common, directory, 3, 1).await?;
        let clients = (0..3)
            .map(|index| Cluster::new(format!("direct-{index}")).client())
            .collect::<Vec<_>>();
        (rig, clients, "simulated")
    } else {
        let mut clients = Vec::new();
        for path in &args.kubeconfig {
            clients.push(fleet::client_of(path, None).await?);
        }
        let rig = Rig::start_on(&args.common, directory, &args.kubeconfig).await?;
        (rig, clients, "real")
    };
    let mut phases = serde_json::Map::new();
    for (name, revision) in [("create", 1), ("update", 2)] {
        let direct = direct(&clients, count, revision).await?;
        let ours = ours(&mut rig, count, revision).await?;
        phases.insert(
            name.to_owned(),
            json!({
                "direct_s": round(direct.as_secs_f64()),
                "ours_s": round(ours.as_secs_f64()),
                "ratio": round(ours.as_secs_f64() / direct.as_secs_f64()),
            }),
        );
    }
    remove(&clients, count).await;
    let mut figures = json!({
        "bench": "apply", "members": members, "objects": count, "clusters": clients.len(),
        "machine": machine(),
    });
    super::figures::merge(&mut figures, Value::Object(phases));
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

fn deployments(client: &kube::Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    Api::namespaced_with(client.clone(), "default", &resource)
}

async fn direct(clients: &[kube::Client], count: usize, revision: u64) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let each = clients.iter().map(|client| async move {
        let api = deployments(client);
        let applies = (0..count).map(|index| {
            let api = &api;
            async move {
                let name = format!("direct-{index}");
                let object = documents::plain_deployment(&name, revision);
                let params = PatchParams::apply("bench").force();
                api.patch(&name, &params, &Patch::Apply(&object)).await
            }
        });
        let mut applies = futures::stream::iter(applies).buffer_unordered(AT_ONCE);
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

/// Takes away what the run left in clusters that outlive it.
async fn remove(clients: &[kube::Client], count: usize) {
    for client in clients {
        let api = deployments(client);
        let names =
            (0..count).flat_map(|index| ["direct", "ours"].map(|by| format!("{by}-{index}")));
        let deletes = names.map(|name| {
            let api = &api;
            async move { api.delete(&name, &kube::api::DeleteParams::default()).await }
        });
        futures::stream::iter(deletes)
            .buffer_unordered(AT_ONCE)
            // What is gone already need not be removed.
            .for_each(|_| async {})
            .await;
    }
}
