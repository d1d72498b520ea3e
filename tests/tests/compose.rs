//! `compose/compose.yaml` on a Docker engine: the demonstration's story, then the loss of each part in turn while changes go in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::{ObjectSummary, Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::relay::Relay;
use fleetcast_bus::streams::{LOG, PLACER};
use fleetcast_bus::tls::Tls;
use fleetcast_bus::{Bus, Connect};
use fleetcast_schemas::request::Answer;
use fleetcast_tests::harness::{Compose, apply_as, docker, eventually, nats_server};
use serde_json::{Value, json};

const NATS: [&str; 3] = ["nats-1", "nats-2", "nats-3"];
const CLUSTERS: [&str; 3] = ["eu-1", "eu-2", "us-1"];
/// Over how many objects the changes go round.
const OBJECTS: u64 = 5;
/// How long containers may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A ConfigMap on all clusters that says `text`.
fn settings(object: u64, text: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": format!("busy-{object}"), "namespace": "shop"},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text}},
            "placement": {"clusters": CLUSTERS},
        }
    })
}

/// Hands a change in, and answers its revision.
async fn accepted(bus: &Bus, object: u64, text: &str) -> u64 {
    match apply_as(bus, &settings(object, text), text).await {
        Answer::Accepted(accepted) => accepted.revision,
        Answer::Refused { refusal } => panic!("{text}: {refusal:?}"),
    }
}

async fn objects(bus: &Bus) -> Vec<ObjectSummary> {
    let objects = client::query::<Objects>(bus, "objects", None, &Request::default()).await;
    objects.map_or_else(|_| Vec::new(), |found| found.objects)
}

/// Whether an object is applied everywhere in `revision` or a newer one.
fn is_everywhere(objects: &[ObjectSummary], name: &str, revision: u64) -> bool {
    let found = objects.iter().find(|found| found.name == name);
    found.is_some_and(|found| {
        found.rows.len() == CLUSTERS.len()
            && found
                .rows
                .iter()
                .all(|row| row.applied_revision >= revision)
    })
}

/// Waits on the patience of containers, not of one process.
async fn in_time(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !happened().await {
        assert!(begin.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Which NATS server leads the log.
async fn leader_of_the_log(connect: &Connect) -> Option<String> {
    let servers: Vec<&str> = connect.url.split(',').collect();
    let options = async_nats::ConnectOptions::new().tls_first();
    let options = options.add_root_certificates(connect.tls.ca.clone()?);
    let options = options.ignore_discovered_servers();
    let client = options.connect(servers).await.ok()?;
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream(LOG).await.ok()?;
    stream.cached_info().cluster.as_ref()?.leader.clone()
}

/// Waits until the engine says of everything that it asks whether it is well that it is: both ingest and both aggregators.
async fn is_healthy(compose: &Compose<'_>) {
    let mut standing = Vec::new();
    in_time("every container that is asked is healthy", async || {
        standing = compose.standing();
        let asked = standing.iter().filter_map(|(_, _, health)| health.as_ref());
        let well = asked.clone().filter(|&health| health == "healthy").count();
        well == 4 && asked.count() == well
    })
    .await;
    for service in ["ingest-1", "ingest-2", "aggregator-1", "aggregator-2"] {
        let its = |(name, ..): &&(String, String, Option<String>)| name.contains(service);
        assert!(standing.iter().any(|one| its(&one)), "{standing:?}");
    }
}

/// Hands changes in, one after the other, until it is told to stop: how many each object got. A thread of its own, since killing a container waits.
#[tokio::main(flavor = "current_thread")]
async fn hand_in(connect: &Connect, stop: &AtomicBool) -> BTreeMap<u64, u64> {
    let bus = Bus::connect_patiently(connect).await.expect("it is fit");
    let mut handed_in = BTreeMap::new();
    for round in 1.. {
        for object in 0..OBJECTS {
            if stop.load(Ordering::Relaxed) {
                return handed_in;
            }
            let revision = accepted(&bus, object, &format!("{object}-{round}")).await;
            assert_eq!(revision, round, "one revision a change, none lost or twice");
            handed_in.insert(object, revision);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    handed_in
}

async fn tells_the_story(compose: &Compose<'_>) {
    in_time("the demonstration ends", async || {
        compose.logs("clusters").contains("The fleet at the end")
    })
    .await;
    let told = compose.logs("clusters");
    for part in [
        "us-1 applied  deployment.apps/shop/web revision 1",
        "us-1 is cut off from the bus",
        "no answer yet to decision 3; last answer was to 2",
        "us-1 applied  deployment.apps/shop/web revision 3",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let listed = compose.fleetcast(&["get"]);
    assert!(
        listed.contains("deployment.apps/shop/web   3          3/3"),
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_server_an_ingest_and_an_aggregator_are_lost_while_changes_go_in() {
    let test = "compose: the loss of any part";
    let (Some(server), Some(engine)) = (nats_server(test), docker(test)) else {
        return;
    };
    let compose = engine.fleet(&server);
    compose.up();
    tells_the_story(&compose).await;
    is_healthy(&compose).await;

    // The certificate names the servers by name, which this machine does not know, and an address of this machine.
    let mut lines = Vec::new();
    for server in NATS {
        let server = format!("tls://{}:4222", compose.address(server));
        lines.push(Relay::to(&server).await.expect("a port"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.crt");
    compose.copy("ingest-1", "/tls/ca.crt", &ca);
    let url: Vec<String> = lines.iter().map(Relay::url).collect();
    let connect = Connect {
        tls: Tls {
            ca: Some(ca),
            ..Tls::default()
        },
        ..Connect::new(url.join(","), "test")
    };
    let bus = Bus::connect_patiently(&connect).await.expect("it is fit");
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (connect, stop) = (connect.clone(), Arc::clone(&stop));
        std::thread::spawn(move || hand_in(&connect, &stop))
    };
    in_time("changes flow", async || {
        is_everywhere(&objects(&bus).await, "configmap/shop/busy-0", 2)
    })
    .await;

    let mut nats = None;
    eventually("somebody leads the log", async || {
        nats = leader_of_the_log(&connect).await;
        nats.is_some()
    })
    .await;
    let mut ingest = None;
    eventually("somebody leads the work", async || {
        ingest = bus.lease_holder(PLACER).await.ok().flatten();
        ingest.is_some()
    })
    .await;
    let victims = [
        nats.expect("just found"),
        ingest.expect("just found"),
        "aggregator-1".to_owned(),
    ];
    for (nth, victim) in victims.iter().enumerate() {
        let begin = Instant::now();
        compose.kill(victim);
        let nth = OBJECTS + u64::try_from(nth).expect("small");
        let revision = accepted(&bus, nth, &format!("without {victim}")).await;
        let name = format!("configmap/shop/busy-{nth}");
        in_time(
            &format!("a new change is everywhere without {victim}"),
            async || is_everywhere(&objects(&bus).await, &name, revision),
        )
        .await;
        println!(
            "{victim} killed: a new change is everywhere after {:.1} s",
            begin.elapsed().as_secs_f64()
        );
        compose.start(victim);
    }

    stop.store(true, Ordering::Relaxed);
    let handed_in = publisher.join().expect("every change was accepted");
    assert_eq!(handed_in.len() as u64, OBJECTS);
    for (object, revision) in &handed_in {
        let name = format!("configmap/shop/busy-{object}");
        in_time(&format!("{name} is everywhere in {revision}"), async || {
            let objects = objects(&bus).await;
            let newest = objects.iter().find(|found| found.name == name);
            newest.is_some_and(|found| found.revision == *revision)
                && is_everywhere(&objects, &name, *revision)
        })
        .await;
    }
    // Also those that were killed and started again.
    is_healthy(&compose).await;
    let verified = compose.fleetcast(&["replay", "--verify"]);
    println!("{verified}");
}
