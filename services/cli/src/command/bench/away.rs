//! A cluster that is away while changes go in, cut off from the bus, or its API server cut off from its agent; how long until it has all of them after
//! its return.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use fleetcast_bus::relay::Relay;
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::figures::{merge, ms};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{deployed, documents, settle};
use crate::args::bench::AwayArgs;
use crate::progress::Progress;
use crate::submit;

pub(super) async fn run(args: &AwayArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let path = directory.path.clone();
    let mut rig = Rig::start_with_clusters(&args.common, directory, &args.clusters).await?;
    let clients = rig.clients().await?;
    let to_bus = Relay::to(&rig.connect.url).await?;
    let (to_api_server, kubeconfig) = behind_relay(&rig.kubeconfigs[0], &path).await?;
    rig.start_agent(0, &kubeconfig, &to_bus.url())?;
    let url = rig.connect.url.clone();
    for index in 1..rig.clusters.len() {
        let kubeconfig = rig.kubeconfigs[index].clone();
        rig.start_agent(index, &kubeconfig, &url)?;
    }
    rig.wait_for_heartbeats(rig.clusters.len()).await?;

    let everywhere = json!({"clusterSelector": {}});
    let all = |revision| -> Vec<_> {
        let names = (0..args.changes).map(|index| format!("away-{index}"));
        names
            .map(|name| documents::deployment(&name, &everywhere, revision))
            .collect()
    };
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    settle::everywhere(&mut rig, &mut acks, all(1), 1).await?;
    let mut figures = json!({
        "bench": "away", "members": args.clusters.label(),
        "clusters": rig.clusters.len(), "changes": args.changes, "away_s": args.seconds,
        "machine": machine(),
    });
    let lines = [("from_the_bus", &to_bus), ("api_server", &to_api_server)];
    for (revision, (what, line)) in (2..).zip(lines) {
        line.cut();
        let away = Duration::from_secs(u64::from(args.seconds));
        hand_in_over(&rig, all(revision), away).await?;
        // What the others have is not waited for: they are not away.
        let mut tracker = Tracker::default();
        for (index, (key, _)) in all(revision).into_iter().enumerate() {
            tracker.expect(index, key, revision, vec![rig.clusters[0].clone()]);
        }
        let back = Instant::now();
        line.mend();
        let last = settle::acknowledged(&mut rig, &mut acks, &mut tracker).await?;
        figures[format!("away_{what}")] =
            json!({"all_there_after_ms": round(ms(last.duration_since(back)))});
    }
    merge(&mut figures, rig.usage());
    let written = (0..args.changes).map(|index| format!("away-{index}"));
    deployed::remove(&clients, written).await;
    Ok(figures)
}

/// Hands documents in, evenly over `time`.
async fn hand_in_over(
    rig: &Rig,
    documents: Vec<documents::Document>,
    time: Duration,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut progress = Progress::new("changing", documents.len() as u64);
    let count = u32::try_from(documents.len())?;
    for (index, (key, document)) in (1_u32..).zip(documents) {
        submit::apply(&rig.bus, &key, &document).await?;
        progress.at(u64::from(index));
        let due = begin + time * index / count;
        tokio::time::sleep_until(due.into()).await;
    }
    progress.end();
    Ok(())
}

/// A line to the API server of a kubeconfig that can be cut, and a kubeconfig that goes by it.
async fn behind_relay(kubeconfig: &Path, folder: &Path) -> anyhow::Result<(Relay, PathBuf)> {
    let mut config = Kubeconfig::read_from(kubeconfig)?;
    let cluster = config.clusters.iter_mut().next();
    let cluster = cluster.and_then(|named| named.cluster.as_mut());
    let cluster = cluster.context("the kubeconfig names no cluster")?;
    let server = cluster.server.as_mut();
    let server = server.context("the kubeconfig names no server")?;
    let address: http::Uri = server.parse()?;
    let host = address.host().context("the server has no host")?.to_owned();
    let scheme = address.scheme_str().unwrap_or("https").to_owned();
    let default = if scheme == "http" { 80 } else { 443 };
    let port = address.port_u16().unwrap_or(default);
    let relay = Relay::to(&format!("{host}:{port}")).await?;
    *server = relay.url().replacen("nats", &scheme, 1);
    if scheme == "https" && cluster.tls_server_name.is_none() {
        cluster.tls_server_name = Some(host);
    }
    let path = folder.join("behind-relay.kubeconfig");
    std::fs::write(&path, serde_json::to_vec(&config)?)?;
    Ok((relay, path))
}
