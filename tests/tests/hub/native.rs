//! Objects of ours on a hub: applied, changed, refused, deleted, gone without a deletion.

use fleetcast_aggregator::answer::{Clusters, Request};
use fleetcast_aggregator::client;
use fleetcast_core::hub::sighting::{FINALIZER, LET_GO};
use fleetcast_core::hub::{Difference, Standing};
use fleetcast_core::readiness::Readiness;
use fleetcast_hub::{Api, survey};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{eventually, held, sealing};
use serde_json::{Value, json};

use super::scene::{
    Scene, apply, changes, definition, delete, document, live, map, merge, serve, withdraws,
};

/// What a member holds of a federated ConfigMap.
async fn text_on(member: &Cluster, name: &str) -> Option<Value> {
    let held = held(member, "v1", "ConfigMap", Some("default"), name).await?;
    Some(held["data"]["text"].clone())
}

async fn is_everywhere(scene: &Scene, name: &str, text: Option<&str>) {
    eventually(&format!("{name} is {text:?} on all members"), async || {
        for member in &scene.members {
            if text_on(member, name).await != text.map(|text| json!(text)) {
                return false;
            }
        }
        true
    })
    .await;
}

async fn differences(scene: &Scene) -> Vec<Difference> {
    let survey = survey::survey(&scene.bus, Api::new(scene.hub.clone()), Some(sealing())).await;
    survey.expect("the hub and the log answer").differences
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_on_the_hub_lands_and_what_is_deleted_there_goes() {
    let test = "what_is_applied_on_the_hub_lands_and_what_is_deleted_there_goes";
    let hub = Cluster::new("hub").client();
    let Some(scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    apply(&hub, &map("a", "1")).await;
    is_everywhere(&scene, "a", Some("1")).await;
    // What the hub keeps books about is no change; what somebody says is one.
    merge(&hub, &map("a", ""), &json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}})).await;
    apply(&hub, &map("a", "1")).await;
    apply(&hub, &map("b", "1")).await;
    is_everywhere(&scene, "b", Some("1")).await;
    assert_eq!(scene.revisions("ConfigMap/default/a").await, 1);
    apply(&hub, &map("a", "2")).await;
    is_everywhere(&scene, "a", Some("2")).await;
    assert_eq!(scene.revisions("ConfigMap/default/a").await, 2);

    delete(&hub, &map("a", "")).await;
    eventually("it is let go", async || {
        live(&hub, &map("a", "")).await.is_none()
    })
    .await;
    is_everywhere(&scene, "a", None).await;
    let all = changes(&scene.bus).await;
    let of_a = &all["ConfigMap/default/a"];
    assert_eq!(of_a.len(), 3);
    assert!(withdraws(&of_a[2]));
    assert!(
        of_a[2].origin.source.starts_with("kubernetes/"),
        "{:?}",
        of_a[2].origin
    );
    // It comes again, and goes on counting.
    apply(&hub, &map("a", "3")).await;
    is_everywhere(&scene, "a", Some("3")).await;
    assert_eq!(scene.revisions("ConfigMap/default/a").await, 4);
    assert_eq!(differences(&scene).await, []);
    scene.end().await;
}

/// A hub waits for nobody whose agent was never heard.
async fn all_are_heard(scene: &Scene) {
    eventually("all agents are heard", async || {
        let asked = client::query(&scene.bus, "clusters", None, &Request::default()).await;
        let Ok(Clusters { clusters, .. }) = asked else {
            return false;
        };
        let ready = clusters
            .iter()
            .filter(|cluster| cluster.readiness == Readiness::Ready);
        ready.count() == scene.members.len()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_held_until_its_clusters_have_answered_or_somebody_lets_it_go() {
    let test = "an_object_is_held_until_its_clusters_have_answered_or_somebody_lets_it_go";
    let hub = Cluster::new("hub").client();
    let Some(scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    for name in ["a", "b"] {
        apply(&hub, &map(name, "1")).await;
        is_everywhere(&scene, name, Some("1")).await;
    }
    all_are_heard(&scene).await;
    // A member in which the copies are kept for a while.
    let member = scene.members[1].client();
    let copy = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}});
    let kept = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    for name in ["a", "b"] {
        merge(&member, &copy(name), &kept(json!(["example.com/kept"]))).await;
    }
    for name in ["a", "b"] {
        delete(&hub, &map(name, "")).await;
        scene
            .logged(&format!("ConfigMap/default/{name}"), withdraws)
            .await;
    }
    merge(
        &hub,
        &map("b", ""),
        &json!({"metadata": {"annotations": {LET_GO: "true"}}}),
    )
    .await;
    eventually("the one is let go", async || {
        live(&hub, &map("b", "")).await.is_none()
    })
    .await;
    let other = live(&hub, &map("a", "")).await.expect("the other is held");
    assert_eq!(other["metadata"]["finalizers"], json!([FINALIZER]));
    for name in ["a", "b"] {
        merge(&member, &copy(name), &kept(Value::Null)).await;
    }
    eventually("then that one, too", async || {
        live(&hub, &map("a", "")).await.is_none()
    })
    .await;
    is_everywhere(&scene, "a", None).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_without_a_deletion_stays_on_members_until_somebody_settles_it() {
    let test = "what_vanishes_without_a_deletion_stays_on_members_until_somebody_settles_it";
    let hub = Cluster::new("hub").client();
    let Some(mut scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    for name in ["forced", "meanwhile", "stays"] {
        apply(&hub, &map(name, "1")).await;
        is_everywhere(&scene, name, Some("1")).await;
    }
    // Somebody takes the finalizer off while nobody looks.
    scene.watcher.take().expect("it runs").stop().await;
    for name in ["forced", "meanwhile"] {
        merge(
            &hub,
            &map(name, ""),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
        delete(&hub, &map(name, "")).await;
        assert_eq!(live(&hub, &map(name, "")).await, None);
    }
    scene.watcher = Some(scene.bed.hub("two", hub.clone()));
    apply(&hub, &map("stays", "2")).await;
    is_everywhere(&scene, "stays", Some("2")).await;
    for name in ["forced", "meanwhile"] {
        is_everywhere(&scene, name, Some("1")).await;
        assert_eq!(
            scene.revisions(&format!("ConfigMap/default/{name}")).await,
            1
        );
    }
    let found = differences(&scene).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|one| one.standing == Standing::Vanished),
        "{found:?}"
    );
    // The one is withdrawn, as `hub diff --withdraw` does; the other comes back.
    scene
        .bed
        .withdraw(&scene.bus, "ConfigMap/default/forced")
        .await;
    is_everywhere(&scene, "forced", None).await;
    apply(&hub, &map("meanwhile", "1")).await;
    eventually("nothing differs any more", async || {
        differences(&scene).await.is_empty()
    })
    .await;
    assert_eq!(
        scene.revisions("ConfigMap/default/meanwhile").await,
        1,
        "it says the same as before"
    );
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_go_with_their_definition_stay_on_members() {
    let test = "objects_that_go_with_their_definition_stay_on_members";
    let hub = Cluster::new("hub").client();
    let kind = definition(
        "types.kubefed.io/v1beta1",
        "FederatedConfigMap",
        "federatedconfigmaps",
        true,
    );
    let Some(scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    // Served after the watcher began.
    serve(&hub, &kind).await;
    let federated = json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedConfigMap", "metadata": {"name": "m", "namespace": "default"},
        "spec": {"template": {"data": {"text": "1"}}, "placement": {"clusters": [{"name": "c1"}, {"name": "c2"}]}}});
    // KubeFed goes no further than its FederatedNamespace.
    serve(
        &hub,
        &definition(
            "types.kubefed.io/v1beta1",
            "FederatedNamespace",
            "federatednamespaces",
            true,
        ),
    )
    .await;
    let namespace = json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace", "metadata": {"name": "default", "namespace": "default"},
        "spec": {"placement": {"clusters": [{"name": "c1"}, {"name": "c2"}]}}});
    apply(&hub, &namespace).await;
    apply(&hub, &federated).await;
    is_everywhere(&scene, "m", Some("1")).await;
    delete(&hub, &kind).await;
    eventually("the definition is gone with its objects", async || {
        live(&hub, &kind).await.is_none()
    })
    .await;
    eventually("it is known to have vanished", async || {
        differences(&scene)
            .await
            .iter()
            .any(|one| one.standing == Standing::Vanished)
    })
    .await;
    assert_eq!(
        scene.revisions("ConfigMap/default/m").await,
        1,
        "nothing was withdrawn"
    );
    is_everywhere(&scene, "m", Some("1")).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stands_on_the_object_with_its_field_until_it_is_mended() {
    let test = "a_refusal_stands_on_the_object_with_its_field_until_it_is_mended";
    let hub = Cluster::new("hub").client();
    let Some(scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    let mut bad = map("a", "1");
    bad["spec"]["placement"]["exclude"] = json!(["c1"]);
    bad["spec"]["placement"]["clusters"] = json!(["c1"]);
    let accepted = async |object: &Value| {
        let live = live(&hub, object).await.expect("there");
        let conditions = live["status"]["conditions"].as_array().cloned();
        conditions
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "Accepted")
    };
    apply(&hub, &bad).await;
    let mut condition = Value::Null;
    eventually("the refusal stands on the object", async || {
        condition = accepted(&bad).await.unwrap_or_default();
        condition["status"] == "False"
    })
    .await;
    let message = condition["message"].as_str().expect("a message");
    assert!(message.contains("spec.placement.exclude"), "{message}");
    let stands = live(&hub, &bad).await.expect("there");
    assert_eq!(
        stands["metadata"]["finalizers"],
        Value::Null,
        "what was never taken in is not held"
    );
    apply(&hub, &map("a", "1")).await;
    is_everywhere(&scene, "a", Some("1")).await;
    eventually("and goes when it is mended", async || {
        accepted(&bad)
            .await
            .is_some_and(|one| one["status"] == "True")
    })
    .await;
    assert_eq!(
        scene.revisions("ConfigMap/default/a").await,
        1,
        "a status is no change"
    );
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_stays_and_is_shown_and_a_hub_that_went_back_is_settled() {
    let test = "what_somebody_else_changed_stays_and_is_shown_and_a_hub_that_went_back_is_settled";
    let cluster = Cluster::new("hub");
    let hub = cluster.client();
    let Some(mut scene) = Scene::new(test, hub.clone()).await else {
        return;
    };
    apply(&hub, &map("a", "1")).await;
    is_everywhere(&scene, "a", Some("1")).await;
    let backup = cluster.export();
    apply(&hub, &map("a", "2")).await;
    is_everywhere(&scene, "a", Some("2")).await;
    scene.bed.accept(&scene.bus, &map("a", "rolled back")).await;
    is_everywhere(&scene, "a", Some("rolled back")).await;
    let found = differences(&scene).await;
    assert!(
        matches!(&found[..], [one] if matches!(&one.standing, Standing::Elsewhere(source) if source == "test")),
        "{found:?}"
    );

    // The hub is restored from a backup.
    scene.watcher.take().expect("it runs").stop().await;
    let restored = Cluster::import("hub", backup).expect("an export");
    scene.hub = restored.client();
    scene.watcher = Some(scene.bed.hub("two", scene.hub.clone()));
    let found = differences(&scene).await;
    assert!(
        matches!(&found[..], [one] if one.standing == Standing::Older),
        "{found:?}"
    );
    apply(&scene.hub, &map("b", "1")).await;
    is_everywhere(&scene, "b", Some("1")).await;

    is_everywhere(&scene, "a", Some("rolled back")).await;
    let survey = survey::survey(&scene.bus, Api::new(scene.hub.clone()), Some(sealing())).await;
    let survey = survey.expect("answered");
    let taken = survey
        .take(&scene.bus, &survey.differences[0].place, "once", |_, _| {
            Ok(())
        })
        .await;
    taken.expect("answered").expect("it is there");
    is_everywhere(&scene, "a", Some("1")).await;
    // From here on the hub is followed again, though its versions are lower than they were.
    apply(&scene.hub, &map("a", "after")).await;
    is_everywhere(&scene, "a", Some("after")).await;
    let last = changes(&scene.bus).await["ConfigMap/default/a"]
        .last()
        .map(document);
    assert_eq!(
        last.expect("one")["spec"]["template"]["data"]["text"],
        "after"
    );
    scene.end().await;
}
