//! What stands on a hub about clusters and about what is wrong in them, in the words of each project; and that of several processes one writes.

use std::path::Path;
use std::process::Command;

use fleetcast_core::hub::sighting::REGISTERED;
use fleetcast_core::log::{ClusterNews, Event};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{bare_control_plane, eventually, held};
use kube::Client;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::foreign::{serve_karmada, serve_kubefed};
use super::scene::{Scene, api, apply, definition, live, map, merge, serve};

fn conditions(live: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = live["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .map(|one| {
            format!(
                "{}={}/{}",
                text(&one["type"]),
                text(&one["status"]),
                text(&one["reason"])
            )
        })
        .collect()
}

/// Waits until an object of the hub has just these conditions.
async fn stands(hub: &Client, object: &Value, wanted: &[&str]) -> Value {
    let mut now = Value::Null;
    eventually(&format!("{} is {wanted:?}", object["kind"]), async || {
        now = live(hub, object).await.expect("there");
        conditions(&now) == wanted
    })
    .await;
    now
}

/// A node of the member, ready, with so many cores.
async fn node(member: &Client, name: &str, cores: u32) {
    apply(
        member,
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}),
    )
    .await;
    let status = json!({"status": {
        "allocatable": {"cpu": cores.to_string(), "memory": "8Gi", "pods": "110"},
        "capacity": {"cpu": cores.to_string(), "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    let nodes = api(member, "v1", "Node", None);
    let patched = nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await;
    patched.expect("patched");
}

/// Every registration of a cluster in the log.
async fn registrations(scene: &Scene) -> Vec<fleetcast_core::model::Cluster> {
    let last = scene.bus.last_sequence("FC_LOG").await.expect("the log");
    let mut log = scene.bus.follow("FC_LOG", &[], 0);
    let mut found = Vec::new();
    loop {
        let stored = log.recv().await.expect("the log goes on");
        let entry = fleetcast_schemas::event::log_entry(&stored.message, stored.sequence);
        if let Ok(Event::Cluster(event)) = entry.map(|entry| entry.event)
            && let ClusterNews::Registered(cluster) = event.news
        {
            found.push(*cluster);
        }
        if stored.sequence >= last {
            return found;
        }
    }
}

/// Four cores are free in one, sixteen in the other: ten replicas of one core each are divided so, and the decision says by which numbers.
async fn replicas_go_where_there_is_room(scene: &Scene) {
    let mut count = 0;
    eventually("replicas are divided by what is free", async || {
        // Whoever decides may not have heard yet what was told to the hub already.
        count += 1;
        let name = format!("room-{count}");
        let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a", "resources": {"requests": {"cpu": "1"}}}]}});
        let object = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "template": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod}},
                "placement": {"clusters": ["c1", "c2"]}, "replicas": {"divide": "available", "total": 10},
            },
        });
        apply(&scene.hub, &object).await;
        let key = format!("Deployment.apps/default/{name}");
        scene.bed.settled(&scene.bus, &key, 1).await;
        let key = key.parse().expect("a key");
        let subject = fleetcast_schemas::subject::decision(&key);
        let newest = scene.bus.newest_of("FC_LOG", &subject).await.expect("it answers");
        let stored = newest.expect("a decision");
        let entry = fleetcast_schemas::event::log_entry(&stored.message, stored.sequence).expect("readable");
        let Event::Decision(decision) = entry.event else {
            panic!("a decision");
        };
        let observed = json!(decision.body.inputs.available);
        let mut replicas = Vec::new();
        for member in &scene.members {
            let copy = held(member, "apps/v1", "Deployment", Some("default"), &name).await;
            replicas.push(copy.map_or(Value::Null, |copy| copy["spec"]["replicas"].clone()));
        }
        observed == json!({"c1": 4, "c2": 16}) && replicas == [json!(2), json!(8)]
    })
    .await;
}

async fn clusters_and_failures_are_told(test: &str, hub: Client, kubeconfig: Option<&Path>) {
    let Some(scene) = Scene::telling(test, hub.clone()).await else {
        return;
    };
    serve_kubefed(&hub).await;
    serve_karmada(&hub).await;
    serve(
        &hub,
        &definition("cluster.karmada.io/v1alpha1", "Cluster", "clusters", false),
    )
    .await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation"}});
    apply(&hub, &namespace).await;
    // One cluster in three dialects.
    let ours = json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": "c1"}, "spec": {}});
    let kubefeds = json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": "c1", "namespace": "federation"}, "spec": {"apiEndpoint": "https://c1"}});
    let karmadas = json!({"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "c2"}, "spec": {"syncMode": "Pull"}});
    for cluster in [&ours, &kubefeds, &karmadas] {
        apply(&hub, cluster).await;
    }
    for (member, cores) in scene.members.iter().zip([4, 16]) {
        node(&member.client(), "one", cores).await;
    }
    stands(&hub, &ours, &["Ready=True/Ready"]).await;
    stands(&hub, &kubefeds, &["Ready=True/ClusterReady"]).await;
    stands(&hub, &karmadas, &["Ready=True/ClusterReady"]).await;
    eventually("what they have room for is told", async || {
        let (ours, karmadas) = (live(&hub, &ours).await, live(&hub, &karmadas).await);
        let (ours, karmadas) = (ours.expect("there"), karmadas.expect("there"));
        ours["status"]["capacity"]["available"]["cpu"] == "4"
            && karmadas["status"]["resourceSummary"]["allocatable"]["cpu"] == "16"
            && karmadas["status"]["nodeSummary"] == json!({"totalNum": 1, "readyNum": 1})
            && karmadas["status"]["kubernetesVersion"].is_string()
    })
    .await;
    if let Some(kubeconfig) = kubeconfig {
        let mut kubectl = Command::new("kubectl");
        kubectl
            .env("KUBECONFIG", kubeconfig)
            .args(["get", "memberclusters", "-o", "wide"]);
        match kubectl.output() {
            Ok(said) => {
                let said = String::from_utf8_lossy(&said.stdout).into_owned();
                eprintln!("{said}");
                assert!(
                    said.contains("FREE CPU") && said.contains("8192Mi"),
                    "{said}"
                );
            }
            Err(error) => {
                eprintln!("there is no kubectl ({error}): what it shows is not looked at")
            }
        }
    }
    replicas_go_where_there_is_room(&scene).await;
    // Status is written by what the view knows of a cluster, whoever registered it: the hub's own may come in later.
    for cluster in [&ours, &kubefeds, &karmadas] {
        let what = format!("{} is handed in", cluster["kind"]);
        eventually(&what, async || {
            let now = live(&hub, cluster).await.expect("there");
            now["metadata"]["annotations"][REGISTERED].is_string()
        })
        .await;
    }
    let registered = registrations(&scene).await;
    assert_eq!(
        registered.len(),
        5,
        "the test's two, and the hub's three: {registered:#?}"
    );

    // A cluster that its agent does not reach, as each project says that.
    scene.members[0].faults().cut_off(true);
    stands(&hub, &ours, &["Ready=False/Degraded"]).await;
    stands(
        &hub,
        &kubefeds,
        &[
            "Ready=False/ClusterNotReady",
            "Offline=False/ClusterReachable",
        ],
    )
    .await;
    scene.members[0].faults().cut_off(false);
    stands(&hub, &kubefeds, &["Ready=True/ClusterReady"]).await;
    assert_eq!(
        registrations(&scene).await,
        registered,
        "what is written there is no change"
    );

    // What is wrong in a cluster is an Event beside the object, counted where it comes back.
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken", "namespace": "default"}, "data": {"text": "theirs"}});
    apply(&scene.members[0].client(), &foreign).await;
    apply(&hub, &map("taken", "ours")).await;
    let events = api(&hub, "v1", "Event", Some("default"));
    let about = async || {
        let listed = events.list(&ListParams::default()).await.expect("listed");
        let about = listed
            .items
            .into_iter()
            .filter(|event| event.data["involvedObject"]["name"] == "taken");
        about.map(|event| event.data).collect::<Vec<Value>>()
    };
    eventually("an Event says what is wrong", async || {
        about().await.iter().any(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            event["reason"] == "Refused"
                && event["type"] == "Warning"
                && message.starts_with("c1: ")
        })
    })
    .await;
    merge(
        &hub,
        &map("taken", ""),
        &json!({"spec": {"apply": {"adopt": "always", "conflict": "force"}}}),
    )
    .await;
    eventually("it is mended", async || {
        let now = live(&hub, &map("taken", "")).await.expect("there");
        now["status"]["applied"] == 2
    })
    .await;
    let before = about().await;
    assert_eq!(before.len(), 1, "{before:?}");
    let copy = held(
        &scene.members[0],
        "v1",
        "ConfigMap",
        Some("default"),
        "taken",
    )
    .await;
    assert_eq!(copy.expect("there")["data"]["text"], "ours");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_and_failures_are_told_on_a_simulated_hub() {
    let test = "clusters_and_failures_are_told_on_a_simulated_hub";
    clusters_and_failures_are_told(test, Cluster::new("hub").client(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_and_failures_are_told_on_a_real_hub() {
    let test = "clusters_and_failures_are_told_on_a_real_hub";
    let Some(plane) = bare_control_plane(test).await else {
        return;
    };
    clusters_and_failures_are_told(test, plane.client().await, Some(&plane.kubeconfig())).await;
}

/// Of two aggregators one writes; where it is gone the other one writes all that it did not.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_aggregators_one_writes_status() {
    let test = "of_two_aggregators_one_writes_status";
    let simulated = Cluster::new("hub");
    let hub = simulated.client();
    let Some(scene) = Scene::unwatched(test, hub.clone()).await else {
        return;
    };
    let watcher = scene.bed.hub("one", hub.clone());
    let first = scene.bed.aggregator_named("first", hub.clone());
    let healthy = |name: &'static str| {
        let hub = hub.clone();
        async move {
            let what = format!("{name} is well on the hub");
            eventually(&what, async || {
                let now = live(&hub, &map(name, "")).await.expect("there");
                now["status"]["healthy"] == 2
            })
            .await;
        }
    };
    apply(&hub, &map("a", "1")).await;
    healthy("a").await;
    let key = format!(
        "hub-status.{}",
        fleetcast_hub::Api::new(hub.clone())
            .id()
            .await
            .expect("it answers")
    );
    let second = scene.bed.aggregator_named("second", hub.clone());
    apply(&hub, &map("b", "1")).await;
    healthy("b").await;
    let holder = scene.bus.lease_holder(&key).await.expect("the bus answers");
    assert_eq!(holder.as_deref(), Some("first"));
    first.kill().await;
    apply(&hub, &map("c", "1")).await;
    healthy("c").await;
    let holder = scene.bus.lease_holder(&key).await.expect("the bus answers");
    assert_eq!(holder.as_deref(), Some("second"));
    for service in [watcher, second] {
        service.kill().await;
    }
    scene.end().await;
}
