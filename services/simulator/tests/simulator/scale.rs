//! Thousands of clusters in one process.

use std::time::Instant;

use fleetcast_simulator::Cluster;
use kube::api::{Patch, PatchParams};

use super::{cluster, deployment, deployments};

/// How much memory this process has in use, in KiB; `None` where the system does not say.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()
}

/// A thousand empty clusters cost a few KiB each.
#[tokio::test]
async fn empty_clusters_are_small() {
    drop(Cluster::new("warm-up"));
    let before = resident_kib();
    let clusters: Vec<_> = (0..1_000)
        .map(|index| Cluster::new(format!("c{index}")))
        .collect();
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        return;
    };
    let each = after.saturating_sub(before) / 1_000;
    println!("{each} KiB per empty cluster");
    // Other tests of this process run beside it.
    assert!(each < 64, "{each} KiB per empty cluster");
    drop(clusters);
}

/// Applies go through a client in well under a millisecond each.
#[tokio::test]
async fn applies_are_fast() {
    const APPLIES: u32 = 500;
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    let start = Instant::now();
    for replicas in 0..APPLIES {
        let config = deployment("web", Some(replicas.try_into().unwrap()), "a");
        apps.patch(
            "web",
            &PatchParams::apply("fleetcast"),
            &Patch::Apply(&config),
        )
        .await
        .unwrap();
    }
    let each = start.elapsed() / APPLIES;
    println!("{each:?} per apply through a client");
    // Far above what it takes, for a debug build on a busy machine.
    assert!(each.as_millis() < 20, "{each:?} per apply");
}

/// The size that the process is made for: 10,000 clusters with 10 Deployments each stay under 2 GiB.
#[tokio::test]
#[ignore = "takes a while in a debug build; run with --release -- --ignored"]
async fn ten_thousand_clusters() {
    const CLUSTERS: u64 = 10_000;
    const OBJECTS: u64 = 10;
    let before = resident_kib();
    let start = Instant::now();
    let mut clusters = Vec::new();
    for index in 0..CLUSTERS {
        let cluster = Cluster::new(format!("c{index}"));
        let apps: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
            kube::Api::namespaced(cluster.client(), "default");
        for object in 0..OBJECTS {
            let name = format!("web-{object}");
            apps.patch(
                &name,
                &PatchParams::apply("fleetcast"),
                &Patch::Apply(deployment(&name, Some(2), "nginx")),
            )
            .await
            .unwrap();
        }
        clusters.push((cluster, apps));
    }
    let took = start.elapsed();
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        return;
    };
    println!(
        "{} MiB and {took:?} for {CLUSTERS} clusters of {OBJECTS} objects with a client each",
        (after - before) / 1024
    );
    assert!(after - before < 2 * 1024 * 1024);
}
