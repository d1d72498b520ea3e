//! Deleting: finalizers, preconditions, dependents, namespaces.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use super::{SHOP, cluster, config_map, config_maps, refused};

/// Without finalizers an object goes at once, with a status that says so.
#[tokio::test]
async fn at_once() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let status = maps
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    assert_eq!(
        refused(maps.delete("a", &DeleteParams::default()).await).code,
        404
    );
}

/// A finalizer holds an object back until it is taken off, and no other is added meanwhile.
#[tokio::test]
async fn finalizers() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let mut map = config_map("a", json!({}));
    map.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &map).await.unwrap();
    let waiting = maps
        .delete("a", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some());

    let before = cluster.change_count();
    assert!(
        maps.delete("a", &DeleteParams::default())
            .await
            .unwrap()
            .is_left()
    );
    assert_eq!(cluster.change_count(), before);
    let finalizers = |list: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let params = PatchParams::default();
    assert_eq!(
        refused(
            maps.patch(
                "a",
                &params,
                &finalizers(&["example.com/hold", "example.com/other"])
            )
            .await
        )
        .code,
        422
    );
    maps.patch("a", &params, &finalizers(&[])).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

/// Preconditions on uid and version are kept.
#[tokio::test]
async fn preconditions() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let with = |uid: Option<String>, version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: version,
        }),
        ..DeleteParams::default()
    };
    for params in [
        with(Some("other".into()), None),
        with(None, Some("1".into())),
    ] {
        let status = refused(maps.delete("a", &params).await);
        assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    }
    maps.delete(
        "a",
        &with(made.metadata.uid, made.metadata.resource_version),
    )
    .await
    .unwrap();
}

/// Dependents go with their last owner, or stay as orphans.
#[tokio::test]
async fn dependents() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let owned_by = |name: &str, owners: &[&k8s_openapi::api::core::v1::ConfigMap]| {
        let references: Vec<_> = owners
            .iter()
            .map(|owner| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": references}}))
            .unwrap()
    };
    let params = PostParams::default();
    let one = maps
        .create(&params, &config_map("one", json!({})))
        .await
        .unwrap();
    let two = maps
        .create(&params, &config_map("two", json!({})))
        .await
        .unwrap();
    let child = maps
        .create(&params, &owned_by("child", &[&one]))
        .await
        .unwrap();
    maps.create(&params, &owned_by("grandchild", &[&child]))
        .await
        .unwrap();
    maps.create(&params, &owned_by("shared", &[&one, &two]))
        .await
        .unwrap();

    maps.delete("one", &DeleteParams::default()).await.unwrap();
    let names = || async {
        maps.list(&ListParams::default())
            .await
            .unwrap()
            .into_iter()
            .map(|map| map.metadata.name.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["shared", "two"]);
    maps.delete("two", &DeleteParams::orphan()).await.unwrap();
    assert_eq!(names().await, ["shared"]);
    let orphan = maps
        .get("shared")
        .await
        .unwrap()
        .metadata
        .owner_references
        .unwrap_or_default();
    assert!(orphan.iter().all(|reference| reference.name != "two"));
}

/// A collection goes by selector.
#[tokio::test]
async fn collections() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name, json!({})))
            .await
            .unwrap();
    }
    maps.delete_collection(
        &DeleteParams::default(),
        &ListParams::default().fields("metadata.name!=b"),
    )
    .await
    .unwrap();
    let left: Vec<_> = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|map| map.metadata.name.unwrap())
        .collect();
    assert_eq!(left, ["b"]);
}

/// A namespace takes its content along, waits for finalizers inside, and takes nothing new meanwhile.
#[tokio::test]
async fn namespaces() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    maps.create(&PostParams::default(), &config_map("plain", json!({})))
        .await
        .unwrap();
    let mut held = config_map("held", json!({}));
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &held).await.unwrap();

    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let deleted = namespaces
        .delete(SHOP, &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        deleted.status.unwrap().phase.as_deref(),
        Some("Terminating")
    );
    let left: Vec<_> = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|map| map.metadata.name.unwrap())
        .collect();
    assert_eq!(left, ["held"]);
    let status = refused(
        maps.create(&PostParams::default(), &config_map("late", json!({})))
            .await,
    );
    assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    assert!(
        status.message.contains("because it is being terminated"),
        "{}",
        status.message
    );

    maps.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    assert!(namespaces.get_opt(SHOP).await.unwrap().is_none());
    assert_eq!(cluster.object_count(), 4);
    assert_eq!(
        refused(namespaces.delete("default", &DeleteParams::default()).await).code,
        403
    );
}
