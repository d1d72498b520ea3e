//! Applying: marks, no write where nothing differs, adoption, conflicts, what has to wait.

use fleetcast_core::ack::Outcome;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::model::federated::{Adopt, Conflict, Mode, OnImmutable};
use serde_json::json;

use super::{World, apply_work, config_map, default};

const APPLIED: (Outcome, String) = (Outcome::Applied, String::new());

/// What is applied carries our marks; the same again, and the same under a newer decision, writes nothing.
#[tokio::test]
async fn what_is_equal_is_not_written() {
    let world = World::new().await;
    let manifest = config_map(json!({"a": "1"}));
    assert_eq!(
        world.attempt(&apply_work(&manifest, 1, default())).await,
        APPLIED
    );
    let live = world.live(&manifest).await;
    assert_eq!(live["data"], json!({"a": "1"}));
    assert_eq!(live["metadata"]["labels"]["fleetcast.dev/managed"], "true");
    let marks = &live["metadata"]["annotations"];
    for (mark, value) in [
        ("object", "ConfigMap/shop/a"),
        ("revision", "1"),
        ("decision", "1"),
        ("epoch", "1.hub"),
    ] {
        assert_eq!(marks[format!("fleetcast.dev/{mark}")], value);
    }
    let writes = world.simulated.requests().writes();
    for decision in [1, 2] {
        assert_eq!(
            world
                .attempt(&apply_work(&manifest, decision, default()))
                .await,
            APPLIED
        );
    }
    assert_eq!(world.live(&manifest).await, live);
    assert_eq!(world.simulated.requests().writes(), writes);
}

/// A field that the manifest no longer has goes, one that somebody else added stays, and an older decision writes nothing.
#[tokio::test]
async fn a_newer_decision_changes_and_an_older_one_does_not() {
    let world = World::new().await;
    let (first, second) = (
        config_map(json!({"a": "1", "b": "1"})),
        config_map(json!({"a": "2"})),
    );
    world.attempt(&apply_work(&first, 1, default())).await;
    world
        .edit(&first, json!({"data": {"theirs": "kept"}}))
        .await;
    assert_eq!(
        world.attempt(&apply_work(&second, 2, default())).await,
        APPLIED
    );
    assert_eq!(
        world.live(&first).await["data"],
        json!({"a": "2", "theirs": "kept"})
    );
    let (outcome, message) = world.attempt(&apply_work(&first, 1, default())).await;
    assert_eq!(outcome, Outcome::Ahead);
    assert!(
        message.contains("the cluster holds decision 2 of epoch 1.hub (ahead)"),
        "{message}"
    );
    assert_eq!(world.live(&first).await["data"]["a"], "2");
}

/// What exists and is not ours is taken over as the policy says.
#[tokio::test]
async fn adoption_follows_the_policy() {
    for (adopt, live, expected) in [
        (Adopt::Never, "1", Some("adopt: never")),
        (Adopt::IfSame, "1", None),
        (Adopt::IfSame, "2", Some("differs at /data/a")),
        (Adopt::Always, "1", None),
    ] {
        let world = World::new().await;
        let manifest = config_map(json!({"a": "1"}));
        world
            .create(config_map(json!({"a": live, "b": "theirs"})))
            .await;
        let before = world.live(&manifest).await;
        let policy = ApplyPolicy { adopt, ..default() };
        let (outcome, message) = world.attempt(&apply_work(&manifest, 1, policy)).await;
        match expected {
            None => {
                assert_eq!((outcome, message.as_str()), (Outcome::Applied, ""));
                let after = world.live(&manifest).await;
                assert_eq!(after["data"], json!({"a": "1", "b": "theirs"}));
                assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
            }
            Some(expected) => {
                assert_eq!(outcome, Outcome::Refused);
                assert!(message.contains(expected), "{message}");
                assert_eq!(world.live(&manifest).await, before);
            }
        }
    }
}

/// A field that another manager set is refused with manager and field, or taken by force; one that was ours is taken back, whoever carried out the decision before.
#[tokio::test]
async fn a_conflict_names_manager_and_field_or_is_forced() {
    let world = World::new().await;
    let first = config_map(json!({"a": "1"}));
    world.attempt(&apply_work(&first, 1, default())).await;
    world
        .edit(&first, json!({"data": {"a": "taken", "b": "theirs"}}))
        .await;
    let both = config_map(json!({"a": "2", "b": "2"}));
    let (outcome, message) = world.attempt(&apply_work(&both, 2, default())).await;
    assert_eq!(outcome, Outcome::Refused);
    assert!(
        message.contains("\"kubectl\"") && message.contains(".data.b"),
        "{message}"
    );
    let data = async || world.live(&first).await["data"].clone();
    assert_eq!(data().await, json!({"a": "taken", "b": "theirs"}));
    let ours = config_map(json!({"a": "3"}));
    let restarted = World::seeing(&world.simulated);
    assert_eq!(
        restarted.attempt(&apply_work(&ours, 3, default())).await,
        APPLIED
    );
    assert_eq!(data().await, json!({"a": "3", "b": "theirs"}));
    let force = ApplyPolicy {
        conflict: Conflict::Force,
        ..default()
    };
    assert_eq!(world.attempt(&apply_work(&both, 4, force)).await, APPLIED);
    assert_eq!(data().await, json!({"a": "2", "b": "2"}));
}

/// An ignored field is set when the object is created and left to others afterwards, also before anybody else set it.
#[tokio::test]
async fn ignored_fields_are_left_alone() {
    let world = World::new().await;
    let manifest = |replicas: u32, image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
            },
        })
    };
    let policy = || ApplyPolicy {
        ignore: vec!["/spec/replicas".to_owned()],
        ..default()
    };
    let first = manifest(3, "a");
    assert_eq!(
        world.attempt(&apply_work(&first, 1, policy())).await,
        APPLIED
    );
    for (decision, image, edited) in [(2, "b", None), (3, "c", Some(7)), (4, "d", None)] {
        if let Some(replicas) = edited {
            world
                .edit(&first, json!({"spec": {"replicas": replicas}}))
                .await;
        }
        assert_eq!(
            world
                .attempt(&apply_work(&manifest(5, image), decision, policy()))
                .await,
            APPLIED
        );
        let live = world.live(&first).await;
        let replicas = if decision < 3 { 3 } else { 7 };
        assert_eq!(live["spec"]["replicas"], replicas, "decision {decision}");
        assert_eq!(
            live["spec"]["template"]["spec"]["containers"][0]["image"],
            image
        );
    }
}

/// What is only to be created is not changed later.
#[tokio::test]
async fn create_only_creates_only() {
    let world = World::new().await;
    let policy = || ApplyPolicy {
        mode: Mode::CreateOnly,
        ..default()
    };
    let first = config_map(json!({"a": "1"}));
    for (decision, manifest) in [(1, first.clone()), (2, config_map(json!({"a": "2"})))] {
        assert_eq!(
            world
                .attempt(&apply_work(&manifest, decision, policy()))
                .await,
            APPLIED
        );
    }
    assert_eq!(world.live(&first).await["data"]["a"], "1");
}

/// A namespace and a kind that are not there yet are waited for, and found when they come.
#[tokio::test]
async fn what_is_not_there_yet_is_waited_for() {
    let world = World::bare();
    let manifest = config_map(json!({}));
    let (outcome, message) = world.attempt(&apply_work(&manifest, 1, default())).await;
    assert_eq!(outcome, Outcome::Retrying);
    assert_eq!(message, "waits for namespace \"shop\": it is not there yet");
    world
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
        .await;
    assert_eq!(
        world.attempt(&apply_work(&manifest, 1, default())).await,
        APPLIED
    );

    let shirt = json!({"apiVersion": "example.com/v1", "kind": "Shirt", "metadata": {"name": "s", "namespace": "shop"}});
    let (outcome, message) = world.attempt(&apply_work(&shirt, 1, default())).await;
    assert_eq!(outcome, Outcome::Retrying);
    assert_eq!(
        message,
        "waits for kind Shirt of example.com/v1: the cluster does not serve it yet"
    );
    world.create(shirts()).await;
    assert_eq!(
        world.attempt(&apply_work(&shirt, 1, default())).await,
        APPLIED
    );
}

pub(crate) fn shirts() -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "shirts.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "shirts", "singular": "shirt", "kind": "Shirt", "listKind": "ShirtList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

/// Work in the wrong scope, of an invalid manifest, or that is no object is refused with the reason.
#[tokio::test]
async fn what_cannot_work_is_refused() {
    let world = World::new().await;
    for (manifest, expected) in [
        (
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "shop"}}),
            "is cluster-scoped",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
            "is namespaced",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "X Y", "namespace": "shop"}}),
            "invalid",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "?", "namespace": "shop"}}),
            "invalid",
        ),
    ] {
        let (outcome, message) = world.attempt(&apply_work(&manifest, 1, default())).await;
        assert_eq!(outcome, Outcome::Refused, "{manifest}: {message}");
        assert!(
            message.to_lowercase().contains(expected),
            "{manifest}: {message}"
        );
    }
}

/// A field that cannot be changed is refused, or the object is deleted and created anew.
#[tokio::test]
async fn an_immutable_field_is_refused_or_the_object_is_recreated() {
    let world = World::new().await;
    let manifest = |value: &str| {
        let mut manifest = config_map(json!({"a": value}));
        manifest["immutable"] = json!(true);
        manifest
    };
    world
        .attempt(&apply_work(&manifest("1"), 1, default()))
        .await;
    let (outcome, message) = world
        .attempt(&apply_work(&manifest("2"), 2, default()))
        .await;
    assert_eq!(outcome, Outcome::Refused);
    assert!(message.contains("immutable"), "{message}");
    let recreate = apply_work(
        &manifest("2"),
        2,
        ApplyPolicy {
            on_immutable: OnImmutable::Recreate,
            ..default()
        },
    );
    let (outcome, message) = world.attempt(&recreate).await;
    assert_eq!(outcome, Outcome::Retrying);
    assert!(message.starts_with("recreating"), "{message}");
    assert_eq!(world.attempt(&recreate).await, APPLIED);
    assert_eq!(world.live(&manifest("")).await["data"]["a"], "2");
}

/// A cluster that is unreachable or unwilling is tried again; one that says no is a refusal.
#[tokio::test]
async fn a_cluster_in_trouble_is_tried_again() {
    let world = World::new().await;
    let work = apply_work(&config_map(json!({})), 1, default());
    let faults = world.simulated.faults();
    faults.cut_off(true);
    assert_eq!(world.attempt(&work).await.0, Outcome::Retrying);
    faults.cut_off(false);
    for (code, expected) in [
        (500, Outcome::Retrying),
        (503, Outcome::Retrying),
        (429, Outcome::Retrying),
        (403, Outcome::Refused),
        (400, Outcome::Refused),
    ] {
        faults.refuse(code, "because");
        let (outcome, message) = world.attempt(&work).await;
        assert_eq!((outcome, message.as_str()), (expected, "because"), "{code}");
    }
    faults.clear_refusal();
    assert_eq!(world.attempt(&work).await, APPLIED);
}
