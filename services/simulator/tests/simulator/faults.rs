//! What can be made to go wrong.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{ListParams, PostParams, WatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::{cluster, config_map, config_maps, refused};

/// A refusal answers everything with its code until it is taken back.
#[tokio::test]
async fn refusal() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    for (code, reason) in [
        (403, "Forbidden"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ] {
        cluster.faults().refuse(code, "no");
        let status = refused(maps.list(&ListParams::default()).await);
        assert_eq!(
            (status.code, &*status.reason, &*status.message),
            (code, reason, "no")
        );
    }
    cluster.faults().clear_refusal();
    maps.list(&ListParams::default()).await.unwrap();
}

/// A cluster that is cut off breaks every connection, ends watches, and keeps what it holds.
#[tokio::test]
async fn cut_off() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let mut events = maps
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    assert!(events.try_next().await.unwrap().is_some());

    cluster.faults().cut_off(true);
    assert!(matches!(
        events.try_next().await,
        Err(kube::Error::ReadEvents(_))
    ));
    assert!(matches!(maps.get("a").await, Err(kube::Error::Service(_))));

    cluster.faults().cut_off(false);
    maps.get("a").await.unwrap();
}

/// Every answer takes its time.
#[tokio::test]
async fn latency() {
    let cluster = cluster().await;
    let latency = Duration::from_millis(60);
    cluster.faults().set_latency(latency);
    let start = Instant::now();
    config_maps(&cluster)
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(start.elapsed() >= latency);
    cluster.faults().set_latency(Duration::ZERO);
    let start = Instant::now();
    config_maps(&cluster)
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(start.elapsed() < latency);
}
