//! Removing: only what is ours, only after a look, and nothing that changed hands.

use fleetcast_core::ack::Outcome;
use fleetcast_core::model::federated::OnDelete;
use serde_json::{Value, json};

use super::apply::shirts;
use super::{World, apply_work, config_map, default, remove_work};

const REMOVED: (Outcome, String) = (Outcome::Removed, String::new());

/// What is ours is deleted; what is gone already is removed too, without a write.
#[tokio::test]
async fn what_is_ours_is_deleted() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 1, default())).await;
    let removal = remove_work(&manifest, 2, OnDelete::Delete);
    assert_eq!(world.attempt(&removal).await, REMOVED);
    assert_eq!(world.live(&manifest).await, Value::Null);
    let writes = world.simulated.requests().writes();
    assert_eq!(world.attempt(&removal).await, REMOVED);
    assert_eq!(world.simulated.requests().writes(), writes);
}

/// What is to be kept loses our marks and nothing else.
#[tokio::test]
async fn what_is_orphaned_keeps_all_but_our_marks() {
    let world = World::new().await;
    let mut manifest = config_map(json!({"a": "1"}));
    manifest["metadata"]["labels"] = json!({"app": "web"});
    world.attempt(&apply_work(&manifest, 1, default())).await;
    let (outcome, message) = world
        .attempt(&remove_work(&manifest, 2, OnDelete::Orphan))
        .await;
    assert_eq!((outcome, message.as_str()), (Outcome::Orphaned, ""));
    let live = world.live(&manifest).await;
    assert_eq!(live["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(
        live["metadata"]["annotations"]
            .as_object()
            .map_or(0, |all| all.len()),
        0
    );
    assert_eq!(live["data"], json!({"a": "1"}));
}

/// What somebody took over is left alone, whether it is to be deleted or kept.
#[tokio::test]
async fn what_changed_hands_is_left_alone() {
    for mode in [OnDelete::Delete, OnDelete::Orphan] {
        let world = World::new().await;
        let manifest = config_map(json!({"a": "1"}));
        world.attempt(&apply_work(&manifest, 1, default())).await;
        world
            .edit(
                &manifest,
                json!({"metadata": {"labels": {"fleetcast.dev/managed": null}}}),
            )
            .await;
        let before = world.live(&manifest).await;
        let (outcome, message) = world.attempt(&remove_work(&manifest, 2, mode)).await;
        assert_eq!(
            (outcome, message.as_str()),
            (Outcome::Orphaned, "changed hands: left alone")
        );
        assert_eq!(world.live(&manifest).await, before);
    }
}

/// A finalizer is waited for by name; an application in the meantime waits as well.
#[tokio::test]
async fn a_finalizer_is_waited_for() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 1, default())).await;
    world
        .edit(
            &manifest,
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        )
        .await;
    let removal = remove_work(&manifest, 2, OnDelete::Delete);
    let waits = (
        Outcome::Retrying,
        "is being deleted: waits for finalizer example.com/hold".to_owned(),
    );
    assert_eq!(world.attempt(&removal).await, waits);
    assert_eq!(world.attempt(&removal).await, waits);
    assert_eq!(
        world.attempt(&apply_work(&manifest, 3, default())).await,
        waits
    );
    world
        .edit(&manifest, json!({"metadata": {"finalizers": null}}))
        .await;
    assert_eq!(world.attempt(&removal).await, REMOVED);
}

/// An older removal deletes nothing that a newer decision applied.
#[tokio::test]
async fn an_older_removal_is_refused() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 3, default())).await;
    let (outcome, message) = world
        .attempt(&remove_work(&manifest, 2, OnDelete::Delete))
        .await;
    assert_eq!(outcome, Outcome::Ahead);
    assert!(message.contains("ahead"), "{message}");
    assert_eq!(world.live(&manifest).await["data"]["a"], "1");
}

/// Where no version of the kind is served no object of it is there; where another version is, that one is asked.
#[tokio::test]
async fn a_kind_that_is_gone_takes_its_objects_along() {
    let world = World::new().await;
    let shirt = |version: &str| json!({"apiVersion": format!("example.com/{version}"), "kind": "Shirt", "metadata": {"name": "s", "namespace": "shop"}});
    let removal = remove_work(&shirt("v1beta1"), 2, OnDelete::Delete);
    assert_eq!(world.attempt(&removal).await, REMOVED);
    world.create(shirts()).await;
    world.attempt(&apply_work(&shirt("v1"), 1, default())).await;
    assert_eq!(world.attempt(&removal).await, REMOVED);
    assert_eq!(world.live(&shirt("v1")).await, Value::Null);
}

/// A cluster that knows nothing of anything (`404` from something in front of it) has not removed anything.
#[tokio::test]
async fn a_cluster_that_knows_nothing_has_removed_nothing() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 1, default())).await;
    let shirt = json!({"apiVersion": "example.com/v1", "kind": "Shirt", "metadata": {"name": "s", "namespace": "shop"}});
    world.simulated.faults().refuse(404, "404 page not found");
    for seen in [&world, &World::seeing(&world.simulated)] {
        for manifest in [&manifest, &shirt] {
            let removal = remove_work(manifest, 2, OnDelete::Delete);
            assert_eq!(seen.attempt(&removal).await.0, Outcome::Retrying);
        }
    }
}

/// A name that would end a path (`?`) reaches no collection.
#[tokio::test]
async fn a_hostile_name_deletes_nothing_else() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&manifest, 1, default())).await;
    for name in ["?", "a?", "a#", "?labelSelector=x", "a b", "é"] {
        let mut hostile = manifest.clone();
        hostile["metadata"]["name"] = json!(name);
        assert_eq!(
            world
                .attempt(&remove_work(&hostile, 2, OnDelete::Delete))
                .await,
            REMOVED,
            "{name:?}"
        );
    }
    assert_eq!(world.live(&manifest).await["data"]["a"], "1");
}
