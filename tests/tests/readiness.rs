//! How clusters stand: ready, degraded, offline, since when; only transitions are in the log, and nothing is ever removed because of them.

use std::time::Duration;

use fleetcast_aggregator::answer::{ClusterSummary, Clusters, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::health::State;
use fleetcast_core::log::{ClusterNews, Event};
use fleetcast_core::model::ClusterName;
use fleetcast_core::readiness::Readiness;
use fleetcast_schemas::event;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};

/// What the view says about a cluster.
async fn standing(bus: &Bus, cluster: &str) -> Option<ClusterSummary> {
    let request = Request {
        cluster: Some(ClusterName::parse(cluster).expect("valid")),
        ..Request::default()
    };
    let answer: Clusters = client::query(bus, "clusters", None, &request).await.ok()?;
    answer.clusters.into_iter().next()
}

/// Waits until a cluster stands so.
async fn becomes(bus: &Bus, cluster: &str, readiness: Readiness) -> ClusterSummary {
    let mut found = None;
    eventually(&format!("{cluster} is {}", readiness.word()), async || {
        found = standing(bus, cluster).await;
        found
            .as_ref()
            .is_some_and(|found| found.readiness == readiness)
    })
    .await;
    found.expect("just found")
}

/// What the log says about clusters, in a word each, up to its end.
async fn told(bus: &Bus) -> Vec<&'static str> {
    let last = bus.last_sequence(streams::LOG).await.expect("answers");
    let mut log = bus.follow(streams::LOG, &[], 0);
    let mut told = Vec::new();
    loop {
        let stored = log.recv().await.expect("the log goes on");
        if let Ok(entry) = event::log_entry(&stored.message, stored.sequence)
            && let Event::Cluster(event) = entry.event
        {
            told.push(match event.news {
                ClusterNews::Registered(_) => "registered",
                ClusterNews::Removed {} => "removed",
                ClusterNews::Online { trouble: None } => "ready",
                ClusterNews::Online { trouble: Some(_) } => "degraded",
                ClusterNews::Offline {} => "offline",
            });
        }
        if stored.sequence >= last {
            return told;
        }
    }
}

/// Shows each state with what the view makes of it, that each is told once, and that the copies stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_ready_degraded_or_offline_and_nothing_is_removed() {
    let Some(server) = nats_server("a_cluster_is_ready_degraded_or_offline_and_nothing_is_removed")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    bed.register(&bus, &["eu"]).await;
    let fresh = becomes(&bus, "eu", Readiness::Unknown).await;
    assert_eq!(fresh.online, None, "never heard");
    let cluster = Cluster::new("eu");
    let agent = bed.agent(&cluster);
    let ready = becomes(&bus, "eu", Readiness::Ready).await;
    bed.accept(&bus, &config_map("web", &["eu"], "x")).await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;

    cluster.faults().cut_off(true);
    let degraded = becomes(&bus, "eu", Readiness::Degraded).await;
    assert!(
        degraded.trouble.is_some() && degraded.since > ready.since,
        "{degraded:?}"
    );
    assert_eq!(degraded.online, Some(true), "its agent is heard");
    let summary = bed
        .summary(&bus, "ConfigMap/default/web")
        .await
        .expect("known");
    let health = summary.rows[0]
        .observed
        .health
        .as_ref()
        .expect("it was seen");
    assert_eq!(health.state, State::Unknown, "{health:?}");
    cluster.faults().cut_off(false);
    let again = becomes(&bus, "eu", Readiness::Ready).await;
    assert!(
        again.trouble.is_none() && again.since > degraded.since,
        "{again:?}"
    );

    agent.kill().await;
    let offline = becomes(&bus, "eu", Readiness::Offline).await;
    assert!(offline.since > again.since, "{offline:?}");
    let copy = held(&cluster, "v1", "ConfigMap", Some("default"), "web").await;
    assert!(copy.is_some(), "it stays");
    let summary = bed
        .summary(&bus, "ConfigMap/default/web")
        .await
        .expect("known");
    assert_eq!(
        (summary.revision, summary.counts.clusters),
        (1, 1),
        "{summary:?}"
    );
    let _agent = bed.agent(&cluster);
    becomes(&bus, "eu", Readiness::Ready).await;
    assert_eq!(
        told(&bus).await,
        [
            "registered",
            "ready",
            "degraded",
            "ready",
            "offline",
            "ready"
        ]
    );
}

/// Shows that a bus that was away longer than a cluster may be silent, and an ingest process that starts anew, take nobody for silent; and that a cluster which is
/// silent all the same is found.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_silence_is_unknown_for_one_interval() {
    let Some(server) = nats_server("after_a_restart_silence_is_unknown_for_one_interval") else {
        return;
    };
    let mut bed = Bed::new(server);
    let bus = bed.bus().await;
    let (ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    bed.register(&bus, &["eu", "us"]).await;
    let (eu, us) = (Cluster::new("eu"), Cluster::new("us"));
    let (_agent, silent) = (bed.agent(&eu), bed.agent(&us));
    for name in ["eu", "us"] {
        becomes(&bus, name, Readiness::Ready).await;
    }
    bed.kill_server();
    // Longer than a cluster may be silent: that is what is shown.
    tokio::time::sleep(fleetcast_ingest::OFFLINE_AFTER + Duration::from_secs(1)).await;
    bed.start_server();
    bed.accept(&bus, &config_map("web", &["eu", "us"], "x"))
        .await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    assert!(
        !told(&bus).await.contains(&"offline"),
        "{:?}",
        told(&bus).await
    );

    ingest.kill().await;
    silent.kill().await;
    let _ingest = bed.ingest("a");
    bed.accept(&bus, &config_map("web", &["eu"], "y")).await;
    assert!(
        !told(&bus).await.contains(&"offline"),
        "{:?}",
        told(&bus).await
    );
    becomes(&bus, "us", Readiness::Offline).await;
    becomes(&bus, "eu", Readiness::Ready).await;
    let offline = told(&bus)
        .await
        .iter()
        .filter(|told| **told == "offline")
        .count();
    assert_eq!(offline, 1, "{:?}", told(&bus).await);
}
