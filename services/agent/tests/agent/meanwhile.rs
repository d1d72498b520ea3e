//! What others do between our look and our write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fleetcast_agent::cluster::{Cluster, Reporting};
use fleetcast_core::ack::Outcome;
use fleetcast_core::model::federated::OnDelete;
use futures::future::{BoxFuture, FutureExt, join_all};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::{World, apply_work, config_map, default, remove_work};

type Request = http::Request<Body>;

/// A client of the world's cluster that lets `before` happen before each request.
fn watched(
    world: &World,
    before: impl Fn(&Request) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) -> kube::Client {
    let (client, before) = (world.simulated.client(), Arc::new(before));
    let service = service_fn(move |request: Request| {
        let (client, before) = (client.clone(), Arc::clone(&before));
        async move {
            before(&request).await;
            client.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

/// The world with an agent whose first write comes after somebody else's patch of the same ConfigMap.
async fn world_with_a_faster_one(patch: Value) -> (World, Value) {
    let mut world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 1, default())).await;
    let (done, outsider) = (
        AtomicBool::new(false),
        Arc::new(World::seeing(&world.simulated)),
    );
    let client = watched(&world, {
        let manifest = manifest.clone();
        move |request| {
            let is_first_write =
                request.method() != http::Method::GET && !done.swap(true, Ordering::SeqCst);
            let (outsider, manifest, patch) =
                (Arc::clone(&outsider), manifest.clone(), patch.clone());
            async move {
                if is_first_write {
                    outsider.edit(&manifest, patch).await;
                }
            }
            .boxed()
        }
    });
    world.cluster = Cluster::new(client, Reporting::default());
    (world, manifest)
}

/// What changed in between is looked at again and then applied over.
#[tokio::test]
async fn a_change_in_between_is_looked_at_again() {
    let (world, manifest) = world_with_a_faster_one(json!({"data": {"b": "theirs"}})).await;
    let mut newer = manifest.clone();
    newer["data"]["a"] = json!("2");
    let outcome = world.attempt(&apply_work(&newer, 2, default())).await;
    assert_eq!(outcome, (Outcome::Applied, String::new()));
    assert_eq!(
        world.live(&manifest).await["data"],
        json!({"a": "2", "b": "theirs"})
    );
    assert_eq!(
        world.simulated.requests().apply,
        3,
        "one of them was too late"
    );
}

/// A newer decision that somebody else carried out in between is not overwritten.
#[tokio::test]
async fn a_newer_decision_in_between_is_not_overwritten() {
    let patch = json!({"metadata": {"annotations": {"fleetcast.dev/decision": "9", "fleetcast.dev/digest": "x"}}, "data": {"a": "9"}});
    let (world, manifest) = world_with_a_faster_one(patch).await;
    let mut newer = manifest.clone();
    newer["data"]["a"] = json!("2");
    let (outcome, message) = world.attempt(&apply_work(&newer, 2, default())).await;
    assert_eq!(outcome, Outcome::Ahead);
    assert!(message.contains("ahead"), "{message}");
    assert_eq!(world.live(&manifest).await["data"]["a"], "9");
}

/// What changed hands between the look and the deletion is left alone.
#[tokio::test]
async fn what_changes_hands_in_between_is_not_deleted() {
    let patch = json!({"metadata": {"labels": {"fleetcast.dev/managed": null}}});
    let (world, manifest) = world_with_a_faster_one(patch).await;
    let (outcome, message) = world
        .attempt(&remove_work(&manifest, 2, OnDelete::Delete))
        .await;
    assert_eq!(
        (outcome, message.as_str()),
        (Outcome::Orphaned, "changed hands: left alone")
    );
    assert_eq!(world.live(&manifest).await["data"]["a"], "1");
}

/// Many objects of one kind cost one discovery, also when they come at the same time; a kind that is not served is asked for again.
#[tokio::test]
async fn discovery_is_asked_once() {
    let mut world = World::new().await;
    let discoveries = Arc::new(AtomicU64::new(0));
    let client = watched(&world, {
        let discoveries = Arc::clone(&discoveries);
        move |request| {
            if ["/api/v1", "/apis/apps/v1"].contains(&request.uri().path()) {
                discoveries.fetch_add(1, Ordering::SeqCst);
            }
            async {}.boxed()
        }
    });
    world.cluster = Cluster::new(client, Reporting::default());
    let works: Vec<_> = (0..50)
        .map(|index| {
            let mut manifest = config_map(json!({"a": "1"}));
            manifest["metadata"]["name"] = json!(format!("a{index}"));
            apply_work(&manifest, 1, default())
        })
        .collect();
    let reports = join_all(works.iter().map(|work| world.attempt(work))).await;
    assert!(
        reports
            .iter()
            .all(|(outcome, _)| *outcome == Outcome::Applied)
    );
    assert_eq!(discoveries.load(Ordering::SeqCst), 1);
    let unknown = json!({"apiVersion": "v1", "kind": "Shirt", "metadata": {"name": "s", "namespace": "shop"}});
    for expected in [2, 3] {
        let (outcome, _) = world.attempt(&apply_work(&unknown, 1, default())).await;
        assert_eq!(outcome, Outcome::Retrying);
        assert_eq!(discoveries.load(Ordering::SeqCst), expected);
    }
}
