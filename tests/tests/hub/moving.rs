//! What KubeFed and Karmada left on members is rehearsed, and taken over from their hub: not one object is made anew, and only marks change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::control_plane::rights;
use fleetcast_tests::harness::{
    Bed, Binary, ControlPlane, Output, Service, control_planes, eventually, nats_server,
};
use futures::StreamExt;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::left::{self, Fleet, Member};
use super::scene::{api, apply, delete, live, merge, of};

/// How a copy stands: uid, generation, and everything but marks and what the server keeps up.
type States = BTreeMap<String, Value>;

async fn states(fleet: &Fleet, with_version: bool) -> States {
    let mut states = States::new();
    for (member, copy) in &fleet.copies {
        let Member { name, client, .. } = &fleet.members[*member];
        let live = live(client, copy).await.expect("it is there");
        let kind = &copy["kind"];
        let key = format!("{name} {kind} {}", copy["metadata"]["name"]);
        let is_deployment = kind == "Deployment";
        states.insert(key, state(live, with_version && !is_deployment));
        if is_deployment {
            let sets = api(client, "apps/v1", "ReplicaSet", Some("shop"));
            let sets = sets.list(&ListParams::default()).await.expect("listed");
            let uids: Vec<_> = sets.into_iter().map(|set| set.metadata.uid).collect();
            states.insert(format!("{name} what it made"), json!(uids));
        }
    }
    states
}

/// A Deployment's own controller writes its status at any time, so its version is not looked at; and its generation counts annotations, too.
fn state(mut live: Value, with_version: bool) -> Value {
    let is_deployment = live["kind"] == "Deployment";
    live.as_object_mut().expect("an object").remove("status");
    let metadata = live["metadata"].as_object_mut().expect("metadata");
    metadata.remove("managedFields");
    if is_deployment {
        metadata.remove("generation");
    }
    if !with_version {
        metadata.remove("resourceVersion");
    }
    for field in ["labels", "annotations"] {
        let Some(texts) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
            continue;
        };
        let marks = [
            "fleetcast.dev/",
            "kubefed.io/managed",
            "work.karmada.io/",
            "karmada.io/managed",
            "resourcetemplate.",
            "resourcebinding.",
        ];
        texts.retain(|key, _| {
            !marks.iter().any(|mark| key.starts_with(mark))
                && key != "deployment.kubernetes.io/revision"
        });
        if texts.is_empty() {
            metadata.remove(field);
        }
    }
    live
}

/// What happens to an object from now on, in words.
async fn watched(member: &Member, object: &Value) -> Arc<Mutex<Vec<&'static str>>> {
    let now = live(&member.client, object).await.expect("it is there");
    let version = now["metadata"]["resourceVersion"]
        .as_str()
        .expect("text")
        .to_owned();
    let api = of(&member.client, object);
    let name = object["metadata"]["name"].clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let events = api.watch(&WatchParams::default(), &version).await;
    let mut events = events.expect("watched").boxed();
    tokio::spawn(async move {
        let is_it = |live: &DynamicObject| live.metadata.name.as_deref() == name.as_str();
        while let Some(Ok(event)) = events.next().await {
            let word = match &event {
                WatchEvent::Added(live) if is_it(live) => "added",
                WatchEvent::Modified(live) if is_it(live) => "modified",
                WatchEvent::Deleted(live) if is_it(live) => "deleted",
                _ => continue,
            };
            told.lock().expect("nobody panicked").push(word);
        }
    });
    seen
}

async fn run(binary: &Binary, args: &[&str]) -> Output {
    let binary = binary.clone();
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let run = move || binary.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

fn rows(report: &Value) -> Vec<(String, &Value)> {
    let objects = report["objects"].as_array().expect("objects").iter();
    let rows = objects.flat_map(|object| {
        let name = format!("{}/{}", object["object"]["kind"], object["object"]["name"]);
        let rows = object["clusters"].as_array().expect("rows").iter();
        rows.map(move |row| (name.replace('"', ""), row))
    });
    rows.collect()
}

fn services(bed: &Bed, fleet: &Fleet, which: &str) -> Vec<Service> {
    let mut services = vec![bed.ingest(which), bed.aggregator_for(fleet.hub.clone())];
    for member in &fleet.members {
        services.push(bed.agent_of(&member.name, member.client.clone()));
    }
    services.push(bed.hub(which, fleet.hub.clone()));
    services
}

/// Rehearses, takes over, starts again, changes and deletes.
async fn moves_over(test: &str, dialect: &str, fleet: &Fleet, hub: &Path, with_controllers: bool) {
    let Some(server) = nats_server(test) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let binary = Binary::new(folder.path(), server.clone());
    let hub = hub.to_str().expect("text");
    let import = ["import", dialect, "--hub", hub, "-o", "json"];
    let count = |report: &Value, outcome: &str| {
        rows(report)
            .iter()
            .filter(|(_, row)| row["outcome"] == outcome)
            .count()
    };

    if with_controllers {
        for member in &fleet.members {
            let sets = api(&member.client, "apps/v1", "ReplicaSet", Some("shop"));
            eventually("the Deployment's controller has seen it", async || {
                let sets = sets.list(&ListParams::default()).await.expect("listed");
                sets.items.len() == 1
            })
            .await;
        }
    }
    let before = states(fleet, true).await;
    let mut declared = Vec::new();
    for document in &fleet.declared {
        declared.push(live(&fleet.hub, document).await.expect("there")["metadata"].clone());
    }
    let rehearsed = run(&binary, &import).await;
    let report = rehearsed.json();
    assert_eq!(rehearsed.status, 0, "{report:#}");
    let all = rows(&report).len();
    assert_eq!(count(&report, "same"), all, "{report:#}");
    for (name, row) in rows(&report) {
        assert_eq!(
            (&row["writes"], &row["taken_over"]),
            (&json!(2), &json!(true)),
            "{name}: {row}"
        );
    }
    assert_eq!(
        states(fleet, true).await,
        before,
        "a rehearsal writes nothing to a member"
    );
    for (document, metadata) in fleet.declared.iter().zip(&declared) {
        let now = live(&fleet.hub, document).await.expect("there")["metadata"].clone();
        // The hub's own controllers may write, a namespace's or a Deployment's status.
        if !["Namespace", "Deployment"].contains(&document["kind"].as_str().expect("text")) {
            assert_eq!(&now, metadata, "nor to the hub");
        }
    }

    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let before = states(fleet, false).await;
    let map = fleet
        .copies
        .iter()
        .find(|(_, copy)| copy["kind"] == "ConfigMap");
    let (member, map) = map.expect("there is one");
    let seen = watched(&fleet.members[*member], map).await;
    let running = services(&bed, fleet, "one");
    let taken: Vec<&(usize, Value)> = fleet
        .copies
        .iter()
        // Namespaces of Karmada's are in no policy.
        .filter(|(_, copy)| dialect == "kubefed" || copy["kind"] != "Namespace")
        .collect();
    for (member, copy) in &taken {
        let Member { name, client, .. } = &fleet.members[*member];
        let what = format!(
            "{} {} in {name} is ours",
            copy["kind"], copy["metadata"]["name"]
        );
        eventually(&what, async || {
            let live = live(client, copy).await.expect("it is never away");
            live["metadata"]["labels"]["fleetcast.dev/managed"] == "true"
        })
        .await;
        let live = live(client, copy).await.expect("there");
        for mark in ["kubefed.io/managed", "karmada.io/managed"] {
            assert!(live["metadata"]["labels"].get(mark).is_none(), "{live:#}");
        }
        let managers = live["metadata"]["managedFields"].to_string();
        for manager in ["\"karmada-controller-manager\"", "\"controller-manager\""] {
            assert!(!managers.contains(manager), "{managers}");
        }
    }
    assert_eq!(taken.len(), all);
    assert_eq!(
        states(fleet, false).await,
        before,
        "same uid, same generation (of a Deployment: same ReplicaSet), same content"
    );
    let seen = seen.lock().expect("nobody panicked").clone();
    assert_eq!(seen, ["modified", "modified"], "released, then marked");

    // Everything starts again: nothing is written.
    for object in [
        "ConfigMap/shop/conf",
        "Secret/shop/key",
        "Deployment.apps/shop/web",
    ] {
        let conditions = bed.settled(&bus, object, 1).await;
        assert_eq!(conditions.len(), fleet.members.len(), "{conditions:?}");
    }
    let held = run(&binary, &import).await;
    assert_eq!(count(&held.json(), "held"), all, "{:#}", held.json());
    let before = states(fleet, true).await;
    for service in running {
        service.stop().await;
    }
    let running = services(&bed, fleet, "one");
    let declares = |kind: &str| {
        let is_it = |one: &&Value| {
            one["kind"]
                .as_str()
                .is_some_and(|found| found.ends_with(kind) && found != "FederatedTypeConfig")
        };
        fleet
            .declared
            .iter()
            .rfind(is_it)
            .expect("declared")
            .clone()
    };
    let account = declares("ServiceAccount");
    let field = match dialect {
        "kubefed" => json!({"spec": {"template": {"automountServiceAccountToken": true}}}),
        _ => json!({"automountServiceAccountToken": true}),
    };
    merge(&fleet.hub, &account, &field).await;
    bed.settled(&bus, "ServiceAccount/shop/robot", 2).await;
    let mut after = states(fleet, true).await;
    let mut before = before;
    for states in [&mut before, &mut after] {
        states.retain(|key, _| !key.contains("ServiceAccount"));
    }
    assert_eq!(after, before, "nothing but the change is written");

    // A field that is no longer stated goes, though the controller before us had set it.
    let mut changed = declares("ConfigMap");
    let data = json!({"a": "3"});
    match dialect {
        "kubefed" => changed["spec"]["template"]["data"] = data.clone(),
        _ => changed["data"] = data.clone(),
    }
    apply(&fleet.hub, &changed).await;
    for member in &fleet.members {
        eventually("the key is gone and the other changed", async || {
            live(&member.client, map).await.expect("there")["data"] == data
        })
        .await;
    }

    // What is deleted on the hub goes everywhere, and no finalizer of a controller that is off holds it.
    let secret = declares("Secret");
    let secret = match dialect {
        "kubefed" => secret,
        _ => {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "shop"}})
        }
    };
    delete(&fleet.hub, &secret).await;
    let copy = fleet
        .copies
        .iter()
        .find(|(_, copy)| copy["kind"] == "Secret");
    let (_, copy) = copy.expect("there is one");
    eventually("it is gone from the hub and the members", async || {
        let mut left = live(&fleet.hub, &secret).await.is_some();
        for member in &fleet.members {
            left |= live(&member.client, copy).await.is_some();
        }
        !left
    })
    .await;
    for service in running {
        service.kill().await;
    }
}

/// A hub and three members, simulated.
struct Simulated {
    hub: Cluster,
    hub_file: tempfile::NamedTempFile,
    members: Vec<Member>,
    _servers: Vec<fleetcast_simulator::HttpServer>,
}

impl Simulated {
    fn new() -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        let hub = Cluster::new("hub");
        let server = hub.serve_http(address).expect("it listens");
        let hub_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(hub_file.path(), server.kubeconfig()).expect("written");
        let mut servers = vec![server];
        let members = ["c1", "c2", "c3"].map(|name| {
            let cluster = Cluster::new(name);
            let server = cluster.serve_http(address).expect("it listens");
            let member = Member {
                name: name.to_owned(),
                client: cluster.client(),
                server: server.url(),
                authority: String::new(),
                token: "any".to_owned(),
            };
            servers.push(server);
            member
        });
        Self {
            hub,
            hub_file,
            members: members.into(),
            _servers: servers,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubefeds_simulated_fleet_moves_over_without_one_object_made_anew() {
    let test = "kubefeds_simulated_fleet_moves_over_without_one_object_made_anew";
    let place = Simulated::new();
    let fleet = left::kubefed(place.hub.client(), place.members).await;
    moves_over(test, "kubefed", &fleet, place.hub_file.path(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn karmadas_simulated_fleet_moves_over_without_one_object_made_anew() {
    let test = "karmadas_simulated_fleet_moves_over_without_one_object_made_anew";
    let place = Simulated::new();
    let fleet = left::karmada(place.hub.client(), place.members).await;
    moves_over(test, "karmada", &fleet, place.hub_file.path(), false).await;
}

async fn member(plane: &ControlPlane, index: usize) -> Member {
    use base64::Engine as _;
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    rights::service_account(plane, "default", "joined", &everything).await;
    let client = plane.client().await;
    Member {
        name: format!("c{}", index + 1),
        token: rights::token(&client, "default", "joined", None).await,
        client,
        server: plane.server(),
        authority: base64::engine::general_purpose::STANDARD.encode(plane.certificate()),
    }
}

/// A hub and three members, real; none (said so) where there is no API server to run.
async fn real(test: &str) -> Option<(Vec<ControlPlane>, kube::Client, Vec<Member>)> {
    nats_server(test)?;
    let planes = control_planes(test, 4).await?;
    let hub = planes[0].client().await;
    let mut members = Vec::new();
    for (index, plane) in planes[1..].iter().enumerate() {
        members.push(member(plane, index).await);
    }
    Some((planes, hub, members))
}

#[tokio::test(flavor = "multi_thread")]
async fn kubefeds_real_fleet_moves_over_without_one_object_made_anew() {
    let test = "kubefeds_real_fleet_moves_over_without_one_object_made_anew";
    let Some((planes, hub, members)) = real(test).await else {
        return;
    };
    let fleet = left::kubefed(hub, members).await;
    moves_over(
        test,
        "kubefed",
        &fleet,
        &planes[0].kubeconfig(),
        planes[0].has_controllers(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn karmadas_real_fleet_moves_over_without_one_object_made_anew() {
    let test = "karmadas_real_fleet_moves_over_without_one_object_made_anew";
    let Some((planes, hub, members)) = real(test).await else {
        return;
    };
    let fleet = left::karmada(hub, members).await;
    moves_over(
        test,
        "karmada",
        &fleet,
        &planes[0].kubeconfig(),
        planes[0].has_controllers(),
    )
    .await;
}
