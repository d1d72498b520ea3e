//! Status back: what the view says stands on the objects of the hub, in the form that its users read, against the simulator and against a real API server.

use fleetcast_bus::Bus;
use fleetcast_core::dialect;
use fleetcast_core::dialect::native::crds;
use fleetcast_core::hub::sighting;
use fleetcast_hub::Api as Hub;
use fleetcast_schemas::envelope::{DATACONTENTTYPE, ID, SOURCE};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{Headers, Message, codec, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, control_plane, eventually, nats_server};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::time::Duration;

/// The hub, as its users and its watcher use it.
struct Desk {
    hub: Hub,
    id: String,
    bus: Bus,
}

impl Desk {
    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let text = |field: &str| object[field].as_str().expect("a text");
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", "v1"));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.hub.client.clone(), namespace, &resource),
            None => Api::all_with(self.hub.client.clone(), &resource),
        }
    }

    /// Creates an object on the hub, as soon as its kind is served.
    async fn create(&self, object: &Value) -> Value {
        let created: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let mut live = Value::Null;
        eventually("the hub takes the object", async || {
            match self
                .api(object)
                .create(&PostParams::default(), &created)
                .await
            {
                Ok(created) => live = serde_json::to_value(created).expect("JSON"),
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    live = self.live(object).await
                }
                Err(_) => return false,
            }
            true
        })
        .await;
        live
    }

    async fn live(&self, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let live = self.api(object).get(name).await.expect("it is there");
        let mut live = serde_json::to_value(live).expect("JSON");
        for field in ["apiVersion", "kind"] {
            live[field] = object[field].clone();
        }
        live
    }

    /// Changes a field of the object, and hands it in as it stands then: what the watcher of a hub does.
    async fn hand_in(&self, object: &Value, change: impl Fn(&mut Value)) {
        let mut live = self.live(object).await;
        change(&mut live);
        let name = object["metadata"]["name"].as_str().expect("a name");
        let changed: DynamicObject = serde_json::from_value(live).expect("an object");
        let api = self.api(object);
        let replaced = api.replace(name, &PostParams::default(), &changed).await;
        replaced.expect("nobody else writes the spec");
        let live = self.live(object).await;
        let document = sighting::document(&live);
        let key = match dialect::read(&document).expect("a document") {
            dialect::Input::Object(object) => object.target,
            dialect::Input::Cluster(_) => panic!("an object"),
        };
        let metadata = &live["metadata"];
        let text = |field: &str| metadata[field].as_str().expect("a text");
        let id = format!(
            "{}/{}/{}",
            text("uid"),
            text("resourceVersion"),
            metadata["generation"]
        );
        let message = Message {
            subject: subject::apply(&key),
            headers: Headers::default()
                .with(SOURCE, format!("kubernetes/{}", self.id))
                .with(ID, id)
                .with(DATACONTENTTYPE, codec::JSON),
            payload: document.to_string().into_bytes(),
        };
        let answer = self.bus.submit(message, Duration::from_secs(40)).await;
        let answer = answer.expect("somebody answers");
        assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
    }

    /// Waits until the object's status says what is wanted.
    async fn told(&self, object: &Value, what: &str, says: impl Fn(&Value) -> bool) -> Value {
        let begin = std::time::Instant::now();
        loop {
            let live = self.live(object).await;
            if says(&live["status"]) {
                return live;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{what}: {:#}",
                live["status"]
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `Placed=True/Placed`, … by type.
fn conditions(status: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut words: Vec<String> = conditions
        .map(|one| {
            format!(
                "{}={}/{}",
                text(&one["type"]),
                text(&one["status"]),
                text(&one["reason"])
            )
        })
        .collect();
    words.sort();
    words
}

fn has(status: &Value, condition: &str) -> bool {
    conditions(status).iter().any(|one| one == condition)
}

/// KubeFed's definition of a federated kind, as far as it counts here.
fn kubefeds() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "federatedconfigmaps.types.kubefed.io"},
        "spec": {
            "group": "types.kubefed.io", "scope": "Namespaced",
            "names": {"kind": "FederatedConfigMap", "listKind": "FederatedConfigMapList", "plural": "federatedconfigmaps", "singular": "federatedconfigmap"},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

async fn status_comes_back(test: &str, client: kube::Client, kubeconfig: &str) {
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let hub = Hub::new(client.clone());
    let id = hub.id().await.expect("a hub has an id");
    let desk = Desk {
        hub,
        id,
        bus: bus.clone(),
    };
    for (_, definition) in crds::definitions() {
        desk.create(&definition).await;
    }
    desk.create(&kubefeds()).await;
    let _ingest = bed.ingest("a");
    let first = bed.aggregator_for(client);
    bed.register(&bus, &["eu", "us"]).await;
    let (eu, us) = (Cluster::new("eu"), Cluster::new("us"));
    let _agents = [bed.agent(&eu), bed.agent(&us)];
    let member = |name: &str| json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": name}, "spec": {}});
    desk.create(&member("us")).await;

    // A federated object, beside a condition of somebody else.
    let web = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "x"}}, "placement": {"clusters": ["eu", "us"]}},
    });
    let live = desk.create(&web).await;
    let place = "FederatedObject.fleetcast.dev/default/web"
        .parse()
        .expect("a key");
    let accepted = json!({"conditions": [{"type": "Accepted", "status": "True", "reason": "TakenIn", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let uid = live["metadata"]["uid"].as_str().expect("a uid");
    let told = desk.hub.apply_status(
        "fleetcast.dev/v1alpha1",
        &place,
        "fleetcast-hub",
        uid,
        &accepted,
    );
    told.await.expect("the hub takes a status");
    desk.hand_in(&web, |live| {
        live["spec"]["template"]["data"]["text"] = json!("y")
    })
    .await;
    let well = desk
        .told(&web, "it is well everywhere", |status| {
            has(status, "Healthy=True/Healthy") && status["healthy"] == 2
        })
        .await;
    let status = &well["status"];
    assert_eq!(
        conditions(status),
        [
            "Accepted=True/TakenIn",
            "Applied=True/Applied",
            "Healthy=True/Healthy",
            "Placed=True/Placed"
        ]
    );
    assert_eq!(
        (&status["placed"], &status["applied"], &status["clusters"]),
        (&json!(2), &json!(2), &Value::Null)
    );
    assert_eq!(
        status["observedGeneration"], well["metadata"]["generation"],
        "{well:#}"
    );

    // What is not right is named, and the cluster says so itself.
    us.faults().cut_off(true);
    desk.hand_in(&web, |live| {
        live["spec"]["template"]["data"]["text"] = json!("z")
    })
    .await;
    let broken = desk
        .told(&web, "one cluster lacks it", |status| {
            status["applied"] == 1
                && status["observedGeneration"].as_u64() > well["metadata"]["generation"].as_u64()
        })
        .await;
    assert!(
        conditions(&broken["status"])
            .iter()
            .any(|one| one.starts_with("Applied=False/")),
        "{broken:#}"
    );
    assert_eq!(broken["status"]["clusters"][0]["name"], "us", "{broken:#}");
    let degraded = desk
        .told(&member("us"), "the cluster is degraded", |status| {
            has(status, "Ready=False/Degraded")
        })
        .await;
    us.faults().cut_off(false);
    desk.told(&web, "it is well again", |status| {
        status["healthy"] == 2 && has(status, "Applied=True/Applied")
    })
    .await;
    let ready = desk
        .told(&member("us"), "the cluster is ready", |status| {
            has(status, "Ready=True/Ready")
        })
        .await;
    let since = |live: &Value| {
        live["status"]["conditions"][0]["lastTransitionTime"]
            .as_str()
            .map(str::to_owned)
    };
    assert!(since(&ready) > since(&degraded), "{ready:#}");
    assert_eq!(
        ready["metadata"]["generation"], degraded["metadata"]["generation"],
        "a status is no change"
    );

    // KubeFed's kind in KubeFed's words.
    let fed = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedConfigMap", "metadata": {"name": "fed", "namespace": "default"},
        "spec": {"template": {"data": {"a": "b"}}, "placement": {"clusters": [{"name": "eu"}]}},
    });
    desk.create(&fed).await;
    desk.hand_in(&fed, |_| {}).await;
    let outside = desk
        .told(&fed, "it waits for its namespace", |status| {
            status["conditions"].is_array()
        })
        .await;
    assert_eq!(
        conditions(&outside["status"]),
        ["Propagation=False/NamespaceNotFederated"],
        "{outside:#}"
    );
    let namespace = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace", "metadata": {"name": "default", "namespace": "default"},
        "spec": {"placement": {"clusters": [{"name": "eu"}]}},
    });
    bed.accept(&bus, &namespace).await;
    let propagated = desk
        .told(&fed, "it is propagated", |status| {
            has(status, "Propagation=True/")
        })
        .await;
    assert_eq!(
        propagated["status"]["clusters"],
        json!([{"name": "eu"}]),
        "{propagated:#}"
    );
    assert_eq!(
        propagated["status"]["observedGeneration"],
        propagated["metadata"]["generation"]
    );

    // An aggregator that starts anew, as a process, writes only what is new.
    let before = desk.live(&web).await;
    first.stop().await;
    std::fs::write(bed.directory.path().join("hub.kubeconfig"), kubeconfig).expect("written");
    let start = || {
        let hub = ["--hub", "hub.kubeconfig"];
        let args = [&["aggregator", "--nats", &bed.connect.url], &hub[..]].concat();
        bed.binary(bed.directory.path()).start("aggregator", &args)
    };
    let aggregator = tokio::task::block_in_place(start);
    let next = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "zzz", "namespace": "default"},
        "spec": {"template": {"apiVersion": "v1", "kind": "ConfigMap"}, "placement": {"clusters": ["eu"]}},
    });
    desk.create(&next).await;
    desk.hand_in(&next, |_| {}).await;
    desk.told(&next, "a new object is told", |status| {
        status["healthy"] == 1
    })
    .await;
    let after = desk.live(&web).await;
    assert_eq!(
        before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"],
        "nothing was written to what did not change: {before:#} {after:#}"
    );
    tokio::task::spawn_blocking(move || drop(aggregator))
        .await
        .expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_comes_back_to_a_simulated_hub() {
    let hub = Cluster::new("hub");
    let http = hub
        .serve_http(([127, 0, 0, 1], 0).into())
        .expect("it listens");
    let test = "status_comes_back_to_a_simulated_hub";
    status_comes_back(test, hub.client(), &http.kubeconfig()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_comes_back_to_a_real_hub() {
    let test = "status_comes_back_to_a_real_hub";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let path = plane.kubeconfig();
    let kubeconfig = std::fs::read_to_string(path).expect("its kubeconfig");
    status_comes_back(test, plane.client().await, &kubeconfig).await;
}
