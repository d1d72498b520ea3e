//! A real API server as the hub: random changes while its etcd is compacted and it is killed and started again, and with the least rights that work.

use fleetcast_tests::harness::control_plane::rights;
use fleetcast_tests::harness::{client_of, control_plane, control_planes, eventually};
use kube::Client;
use kube::api::ListParams;
use serde_json::json;

use super::chaos::random_changes;
use super::scene::{Scene, api, apply, delete, live, map};

/// Waits until a hub serves the native kinds again.
async fn serves(hub: &Client) {
    let objects = api(
        hub,
        "fleetcast.dev/v1alpha1",
        "FederatedObject",
        Some("default"),
    );
    eventually("the hub serves again", async || {
        let mut times = 0;
        while times < 3 && objects.list(&ListParams::default()).await.is_ok() {
            times += 1;
        }
        times == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_on_a_real_hub_lose_nothing_and_invent_nothing() {
    let test = "random_changes_on_a_real_hub_lose_nothing_and_invent_nothing";
    let Some(planes) = control_planes(test, 1).await else {
        return;
    };
    let [plane] = &planes[..] else {
        panic!("one was asked for");
    };
    let hub = plane.client().await;
    random_changes(test, hub.clone(), 2_000, async |_| {
        // What etcd compacted nobody can look up any more.
        let objects = api(
            &hub,
            "fleetcast.dev/v1alpha1",
            "FederatedObject",
            Some("default"),
        );
        let all = objects.list(&ListParams::default()).await.expect("listed");
        let version = all.metadata.resource_version.as_deref().unwrap_or_default();
        let compacted = plane.compact(version.parse().expect("a number")).await;
        eprintln!("etcd is compacted up to {version}: {compacted}");
        if plane.has_controllers() {
            assert!(compacted, "the store of our own control plane can be asked");
        }
        // A server that starts again remembers what is, not how it came: every version from before has expired.
        plane.kill();
        plane.start().await;
        serves(&hub).await;
    })
    .await;
}

/// The rights of `compose/hub-rbac.yaml`.
fn least_rights() -> serde_json::Value {
    let text = include_str!("../../../compose/hub-rbac.yaml");
    let documents = fleetcast_ingest::documents::read(text);
    let documents = documents
        .into_iter()
        .map(|(_, document)| document.expect("a document"));
    let mut roles = documents.filter(|document| document["kind"] == "ClusterRole");
    roles.next().expect("a ClusterRole")["rules"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_hub_is_watched_with_the_least_rights() {
    let test = "a_real_hub_is_watched_with_the_least_rights";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let admin = plane.client().await;
    let kubeconfig =
        rights::service_account(plane, "default", "fleetcast-hub", &least_rights()).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), kubeconfig).expect("written");
    let Some(mut scene) = Scene::unwatched(test, admin.clone()).await else {
        return;
    };
    scene.watcher = Some(scene.bed.hub("one", client_of(file.path()).await));
    apply(&admin, &map("a", "1")).await;
    scene.logged("ConfigMap/default/a", |_| true).await;
    let mut bad = map("b", "1");
    bad["spec"]["placement"]["exclude"] = json!(["c1"]);
    bad["spec"]["placement"]["clusters"] = json!(["c1"]);
    apply(&admin, &bad).await;
    eventually("the refusal stands on the object", async || {
        let live = live(&admin, &bad).await.expect("there");
        live["status"]["conditions"][0]["status"] == "False"
    })
    .await;
    let events = api(&admin, "v1", "Event", Some("default"));
    eventually("and an Event beside it", async || {
        let events = events.list(&ListParams::default()).await.expect("listed");
        let mut about = events
            .items
            .iter()
            .filter(|event| event.data["involvedObject"]["name"] == "b");
        about.any(|event| event.data["reason"] == "Refused")
    })
    .await;
    delete(&admin, &map("a", "")).await;
    eventually("it is let go", async || {
        live(&admin, &map("a", "")).await.is_none()
    })
    .await;
    delete(&admin, &bad).await;
    eventually("what was never taken in goes at once", async || {
        live(&admin, &bad).await.is_none()
    })
    .await;
    scene.end().await;
}
