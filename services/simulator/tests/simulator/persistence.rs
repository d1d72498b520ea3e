//! A cluster's content leaves and comes back.

use fleetcast_simulator::Cluster;
use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::json;

use super::{cluster, config_map, config_maps, deployment, deployments};

/// Objects, versions, uids and kinds survive, and a watch goes on where it was.
#[tokio::test]
async fn export_and_import() {
    let cluster = cluster().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let definitions: Api<kube::api::DynamicObject> = Api::all_with(
        cluster.client(),
        &super::resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    );
    definitions
        .create(
            &PostParams::default(),
            &serde_json::from_value(definition).unwrap(),
        )
        .await
        .unwrap();
    deployments(&cluster)
        .patch(
            "web",
            &PatchParams::apply("fleetcast"),
            &Patch::Apply(deployment("web", Some(2), "a")),
        )
        .await
        .unwrap();
    let map = config_maps(&cluster)
        .create(&PostParams::default(), &config_map("a", json!({"k": "v"})))
        .await
        .unwrap();

    let saved = serde_json::to_vec(&cluster.export()).unwrap();
    let restored = Cluster::import("eu-1", serde_json::from_slice(&saved).unwrap()).unwrap();
    assert_eq!(restored.change_count(), cluster.change_count());
    assert_eq!(restored.export(), cluster.export());
    assert_eq!(config_maps(&restored).get("a").await.unwrap(), map);
    let widgets: Api<kube::api::DynamicObject> = Api::namespaced_with(
        restored.client(),
        super::SHOP,
        &super::resource("example.com", "v1", "Widget"),
    );
    assert!(
        widgets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );

    // The same apply is still the same, and the watch goes on.
    let before = restored.change_count();
    deployments(&restored)
        .patch(
            "web",
            &PatchParams::apply("fleetcast"),
            &Patch::Apply(deployment("web", Some(2), "a")),
        )
        .await
        .unwrap();
    assert_eq!(restored.change_count(), before);
    let mut events = config_maps(&restored)
        .watch(&WatchParams::default(), &before.to_string())
        .await
        .unwrap()
        .boxed();
    config_maps(&restored)
        .create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    assert!(
        matches!(events.try_next().await.unwrap(), Some(kube::api::WatchEvent::Added(map)) if map.metadata.name.as_deref() == Some("b"))
    );
}

/// The owner learns of changes, and only of changes.
#[tokio::test]
async fn changes() {
    let cluster = cluster().await;
    let mut changes = cluster.changes();
    assert!(!changes.has_changed().unwrap());
    config_maps(&cluster)
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(!changes.has_changed().unwrap());
    config_maps(&cluster)
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), cluster.change_count());
}

/// A document that is no export is refused by what it lacks.
#[tokio::test]
async fn malformed_documents() {
    for (document, message) in [
        (json!(7), "content"),
        (json!({}), "resourceVersion"),
        (json!({"resourceVersion": 1}), "objects"),
        (
            json!({"resourceVersion": 1, "objects": {"pods": [{}]}}),
            "resourceVersion of an object",
        ),
        (
            json!({"resourceVersion": 1, "objects": {"gadgets.example.com": [{"metadata": {"name": "g", "resourceVersion": "1"}}]}}),
            "gadgets.example.com",
        ),
    ] {
        let error = Cluster::import("x", document.clone())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{document}: {error}");
    }
}
