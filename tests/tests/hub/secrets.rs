//! Secrets of a hub are sealed before they travel, and none counts as changed: after a start, after a rotation, to `hub diff` with keys and without.

use std::sync::Arc;

use fleetcast_core::hub::Standing;
use fleetcast_hub::{Api, survey};
use fleetcast_sealing::{Keys, Sealer, Sealing};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Spy, eventually, held, keys, sealing};
use serde_json::{Value, json};

use super::scene::{Scene, apply, document, map, merge};

const MARK: &str = "hunter2-on-the-hub";

fn secret(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "Secret", "stringData": {"text": format!("{MARK} {text}")}},
            "placement": {"clusters": ["c1", "c2"]},
        },
    })
}

async fn holds(member: &Cluster, name: &str, text: &str) {
    use base64::Engine;
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{MARK} {text}"));
    eventually(&format!("{} holds {text}", member.name()), async || {
        let copy = held(member, "v1", "Secret", Some("default"), name).await;
        copy.is_some_and(|copy| copy["data"]["text"] == expected.as_str())
    })
    .await;
}

/// What differs, and what was not compared.
async fn differences(scene: &Scene, sealing: Option<Sealing>) -> (Vec<Standing>, usize) {
    let survey = survey::survey(&scene.bus, Api::new(scene.hub.clone()), sealing).await;
    let survey = survey.expect("surveyed");
    let differences = survey.differences.into_iter().map(|one| one.standing);
    (differences.collect(), survey.uncompared.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hubs_secrets_travel_sealed_and_are_handed_in_once() {
    let test = "a_hubs_secrets_travel_sealed_and_are_handed_in_once";
    let hub = Cluster::new("hub");
    let Some(mut scene) = Scene::new(test, hub.client()).await else {
        return;
    };
    let spy = Spy::on(&scene.bus).await;
    let on_hub = |text| secret("db", text);
    apply(&scene.hub, &on_hub("one")).await;
    for member in &scene.members {
        holds(member, "db", "one").await;
    }
    let object = "Secret/default/db";
    assert_eq!(scene.revisions(object).await, 1);

    // A process that starts again, and one that has a newer key beside: what stands on the hub is no change.
    let old = || Keys::parse(&keys("hub").text()).expect("keys");
    let rotated = Sealing::With(Arc::new(Sealer::new(old().rotated(), Vec::new())));
    for (count, sealing) in [sealing(), rotated.clone()].into_iter().enumerate() {
        if let Some(watcher) = scene.watcher.take() {
            watcher.stop().await;
        }
        let client = scene.hub.clone();
        scene.watcher = Some(scene.bed.hub_sealing("one", client, sealing));
        // What comes after it on the hub is in the log: it was looked at.
        apply(&scene.hub, &map(&format!("after-{count}"), "x")).await;
        scene
            .logged(&format!("ConfigMap/default/after-{count}"), |_| true)
            .await;
        merge(
            &scene.hub,
            &on_hub("one"),
            &json!({"status": {"seen": count}}),
        )
        .await;
        assert_eq!(scene.revisions(object).await, 1);
    }
    for (keys, unknown) in [(Some(sealing()), 0), (Some(rotated), 0), (None, 1)] {
        assert_eq!(differences(&scene, keys).await, (Vec::new(), unknown));
    }

    // Another value is a change; without keys it is said that this was not looked at, and what else differs is found.
    if let Some(watcher) = scene.watcher.take() {
        watcher.stop().await;
    }
    apply(&scene.hub, &on_hub("two")).await;
    let with_keys = differences(&scene, Some(sealing())).await;
    assert_eq!(with_keys, (vec![Standing::Changed], 0));
    assert_eq!(differences(&scene, None).await, (Vec::new(), 1));
    let mut elsewhere = on_hub("two");
    elsewhere["spec"]["placement"]["clusters"] = json!(["c1"]);
    apply(&scene.hub, &elsewhere).await;
    assert_eq!(differences(&scene, None).await.0, [Standing::Changed]);
    scene.watcher = Some(scene.bed.hub("one", scene.hub.clone()));
    holds(&scene.members[0], "db", "two").await;
    let second = scene
        .logged(object, |change| {
            !document(change).to_string().contains("c2")
        })
        .await;
    assert!(second <= 3, "{second}");

    let travelled = spy.seen();
    let submitted = |subject: &str| subject.starts_with("fc.in.apply.Secret");
    assert!(travelled.iter().any(|(subject, _)| submitted(subject)));
    for (subject, body) in travelled {
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(!body.contains(MARK), "{subject}: {body}");
    }
    scene.end().await;
}

/// A hub without keys hands in no Secret at all, and says on the hub why.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_hubs_secret_does_not_travel() {
    let test = "without_keys_a_hubs_secret_does_not_travel";
    let hub = Cluster::new("hub");
    let Some(mut scene) = Scene::unwatched(test, hub.client()).await else {
        return;
    };
    let spy = Spy::on(&scene.bus).await;
    let (bed, client) = (&scene.bed, scene.hub.clone());
    scene.watcher = Some(bed.hub_sealing("one", client, Sealing::Refused));
    apply(&scene.hub, &secret("db", "one")).await;
    eventually("the object says why", async || {
        let live = super::scene::live(&scene.hub, &secret("db", "one")).await;
        live.is_some_and(|live| live["status"].to_string().contains("--sealing-keys"))
    })
    .await;
    assert_eq!(scene.revisions("Secret/default/db").await, 0);
    for (subject, body) in spy.seen() {
        assert!(!String::from_utf8_lossy(&body).contains(MARK), "{subject}");
    }
    scene.end().await;
}
