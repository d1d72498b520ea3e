//! The status of many objects in all clusters at once, as when a registry or a network fails; how long until the view is right.

use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::figures::{merge, ms};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::Acks;
use super::{deployed, documents, settle};
use crate::args::bench::HealthArgs;

/// How often the view is asked.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn run(args: &HealthArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start_agents(&args.common, directory, &args.clusters).await?;
    let clients = rig.clients().await?;
    let everywhere = json!({"clusterSelector": {}});
    let names = (0..args.objects).map(|index| format!("health-{index}"));
    let documents = names.clone();
    let documents = documents.map(|name| documents::deployment(&name, &everywhere, 1));
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    settle::everywhere(&mut rig, &mut acks, documents.collect(), 1).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;

    let begin = Instant::now();
    let writes = clients
        .iter()
        .map(|client| become_available(client, names.clone()));
    futures::future::try_join_all(writes).await?;
    let written = begin.elapsed();
    let wanted = u64::from(args.objects) * rig.clusters.len() as u64;
    loop {
        let answer: Objects = client::query(&rig.bus, "objects", None, &Request::default()).await?;
        let healthy: u64 = answer
            .objects
            .iter()
            .map(|object| object.counts.healthy)
            .sum();
        if healthy == wanted {
            break;
        }
        rig.check(
            begin,
            Duration::from_secs(300),
            &format!("{healthy} of {wanted} healthy"),
        )?;
        tokio::time::sleep(LOOK).await;
    }
    let right = begin.elapsed();
    deployed::remove(&clients, names).await;
    let mut figures = json!({
        "bench": "health", "members": args.clusters.label(),
        "clusters": rig.clusters.len(), "statuses": wanted,
        "written_directly_s": round(written.as_secs_f64()),
        "view_right_after_the_last_ms": round(ms(right - written)),
        "view_right_after_the_first_s": round(right.as_secs_f64()),
        "machine": machine(),
    });
    merge(&mut figures, rig.usage());
    Ok(figures)
}

/// Writes into the status of each Deployment what a controller writes when all replicas run.
async fn become_available(
    client: &kube::Client,
    names: impl Iterator<Item = String>,
) -> anyhow::Result<()> {
    let api = deployed::api(client);
    let condition = |name: &str, reason: &str| {
        json!({
            "type": name, "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({"status": {
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [condition("Available", "MinimumReplicasAvailable"), condition("Progressing", "NewReplicaSetAvailable")],
    }});
    let writes = names.map(|name| {
        let (api, status) = (&api, &status);
        async move {
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await
        }
    });
    let mut writes = futures::stream::iter(writes).buffer_unordered(deployed::AT_ONCE);
    while let Some(written) = writes.next().await {
        written?;
    }
    Ok(())
}
