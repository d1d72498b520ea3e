//! Watches.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

use super::{cluster, config_map, config_maps};

fn describe(event: WatchEvent<ConfigMap>) -> String {
    match event {
        WatchEvent::Added(map) => format!("+{}", map.metadata.name.unwrap()),
        WatchEvent::Modified(map) => format!("~{}", map.metadata.name.unwrap()),
        WatchEvent::Deleted(map) => format!("-{}", map.metadata.name.unwrap()),
        WatchEvent::Bookmark(bookmark) => {
            format!(
                "@{}{}",
                bookmark.metadata.resource_version,
                if bookmark.metadata.annotations.is_empty() {
                    ""
                } else {
                    " initial"
                }
            )
        }
        WatchEvent::Error(status) => format!("!{}", status.code),
    }
}

async fn collect(
    api: &Api<ConfigMap>,
    params: &WatchParams,
    version: &str,
    count: usize,
) -> Vec<String> {
    let events = api.watch(params, version).await.unwrap();
    events
        .take(count)
        .map_ok(describe)
        .try_collect()
        .await
        .unwrap()
}

async fn label(api: &Api<ConfigMap>, name: &str, value: &str) {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": value}}}));
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// A watch from a version tells everything after it, live and from the past; selectors apply to it.
#[tokio::test]
async fn from_a_version() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let version = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();

    let params = WatchParams::default();
    let live = tokio::spawn({
        let maps = maps.clone();
        let version = version.clone();
        async move { collect(&maps, &WatchParams::default(), &version, 5).await }
    });
    while cluster.watch_count() == 0 {
        tokio::task::yield_now().await;
    }
    maps.create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    label(&maps, "b", "web").await;
    label(&maps, "a", "web").await;
    label(&maps, "a", "api").await;
    maps.delete("b", &DeleteParams::default()).await.unwrap();

    let expected = ["+b", "~b", "~a", "~a", "-b"];
    assert_eq!(live.await.unwrap(), expected);
    assert_eq!(collect(&maps, &params, &version, 5).await, expected);
    assert_eq!(
        collect(&maps, &params.clone().labels("app=web"), &version, 4).await,
        ["+b", "+a", "-a", "-b"]
    );
    assert_eq!(
        collect(
            &maps,
            &params.clone().fields("metadata.name=a"),
            &version,
            2
        )
        .await,
        ["~a", "~a"]
    );
}

/// Without a version a watch starts with what is there; with `sendInitialEvents` a bookmark ends that part.
#[tokio::test]
async fn from_the_start() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    for name in ["a", "b"] {
        maps.create(&PostParams::default(), &config_map(name, json!({})))
            .await
            .unwrap();
    }
    assert_eq!(
        collect(&maps, &WatchParams::default(), "0", 2).await,
        ["+a", "+b"]
    );
    let streaming = WatchParams::default().initial_events();
    let expected = [
        "+a".to_owned(),
        "+b".to_owned(),
        format!("@{} initial", cluster.change_count()),
    ];
    assert_eq!(collect(&maps, &streaming, "", 3).await, expected);
}

/// When its time is up a watch ends with a bookmark of the newest version, also where nothing happened to its objects.
#[tokio::test]
async fn timeout_and_bookmark() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let version = cluster.change_count().to_string();
    super::create_namespace(&cluster, "elsewhere").await;
    let params = WatchParams::default().timeout(1);
    assert_eq!(
        collect(&maps, &params, &version, usize::MAX).await,
        [format!("@{}", cluster.change_count())]
    );
    let quiet = WatchParams::default().timeout(1).disable_bookmarks();
    assert_eq!(
        collect(&maps, &quiet, &version, usize::MAX).await,
        Vec::<String>::new()
    );
}

/// A version from before the window is gone.
#[tokio::test]
async fn too_old() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let version = cluster.change_count().to_string();
    maps.create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    for round in 0..1_100 {
        label(&maps, "a", &format!("v{round}")).await;
    }
    assert_eq!(
        collect(&maps, &WatchParams::default(), &version, 5).await,
        ["!410"]
    );
    let recent = (cluster.change_count() - 3).to_string();
    assert_eq!(
        collect(&maps, &WatchParams::default(), &recent, 3).await,
        ["~a", "~a", "~a"]
    );
}

/// A watch that nobody reads any more is forgotten.
#[tokio::test]
async fn dropped_watches() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let events = maps
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    assert_eq!(cluster.watch_count(), 1);
    drop(events);
    assert_eq!(cluster.watch_count(), 0);
}
