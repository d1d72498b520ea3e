//! A rolling restart while changes go in: two of everything, one after the other asked to stop and started anew. Nothing is lost, nothing comes twice, and who leads
//! says that it is not ready before it gives its lease back, at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::streams::PLACER;
use fleetcast_bus::{Bus, Connect};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Binary, Http, Up, apply_as, config_map, eventually, nats_server,
};
use futures::StreamExt;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};

const CLUSTERS: [&str; 2] = ["c1", "c2"];
/// Over how many objects the changes go round.
const OBJECTS: usize = 4;
/// How long a process may take to end or to become ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process of the fleet.
struct Process {
    name: &'static str,
    args: Vec<String>,
    health: SocketAddr,
    up: Option<Up>,
}

impl Process {
    fn new(name: &'static str, url: &str, args: &[&str]) -> Self {
        // Free now, and asked for by nobody else soon.
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let health = free.local_addr().expect("an address");
        let told = ["--nats", url, "--health"];
        let mut args: Vec<String> = args
            .iter()
            .chain(&told)
            .map(|&arg| arg.to_owned())
            .collect();
        args.push(health.to_string());
        Self {
            name,
            args,
            health,
            up: None,
        }
    }

    fn start(&mut self, binary: &Binary) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.up = Some(binary.start(self.name, &args));
    }

    /// Whether it says that it is ready; not where it does not answer.
    async fn is_ready(&self) -> bool {
        let asked = Http {
            address: self.health,
            token: None,
        };
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        asked.try_send(request).await.starts_with(b"HTTP/1.1 200")
    }

    async fn becomes_ready(&self, binary: &Binary) {
        eventually(&format!("{} is ready", self.name), async || {
            self.is_ready().await
        })
        .await;
        let health = self.health.to_string();
        let asked = binary.done(&["ready", "--health", &health]);
        assert!(asked.out.starts_with("ready: "), "{asked:?}");
    }

    /// Asks it to stop, and waits until it has; meanwhile whoever gave its lease back must not say that it is ready.
    async fn stop(&mut self, bus: &Bus) {
        let mut up = self.up.take().expect("it runs");
        let held = bus.lease_holder(PLACER).await.ok().flatten();
        let leads = held.as_deref() == Some(self.name);
        up.terminate();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = up.status() {
                break status;
            }
            if leads
                && let Ok(holder) = bus.lease_holder(PLACER).await
                && holder.as_deref() != Some(self.name)
            {
                assert!(!self.is_ready().await, "{} leads no more", self.name);
            }
            assert!(begin.elapsed() < PATIENCE, "{} does not end", self.name);
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(status, 0, "{} ends well", self.name);
        if leads {
            // Given back, not left to run out: that takes seconds, and this is the moment at which the process has ended.
            let holder = bus.lease_holder(PLACER).await.expect("the bus answers");
            assert_ne!(holder.as_deref(), Some(self.name));
        }
    }
}

/// Hands changes in, one after the other, until it is told to stop: how many each object got. A thread of its own, since the test waits for processes.
#[tokio::main(flavor = "current_thread")]
async fn hand_in(publisher: &Connect, stop: &AtomicBool) -> Vec<u64> {
    let bus = Bus::connect_patiently(publisher).await.expect("it is fit");
    let mut revisions = vec![0; OBJECTS];
    for round in 1.. {
        for (object, revision) in revisions.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return revisions;
            }
            let begin = Instant::now();
            let document = config_map(&format!("busy-{object}"), &CLUSTERS, &format!("{round}"));
            match apply_as(&bus, &document, &format!("{object}-{round}")).await {
                Answer::Accepted(accepted) => {
                    assert_eq!(accepted.revision, round, "one revision a change");
                    *revision = round;
                }
                Answer::Refused { refusal } => panic!("busy-{object} {round}: {refusal:?}"),
            }
            let took = begin.elapsed();
            if took > Duration::from_secs(1) {
                println!("busy-{object} {round} took {took:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    revisions
}

/// What a cluster's API server tells of the objects, in order: the round that each had after each write.
async fn written(cluster: &Cluster, stop: Arc<AtomicBool>) -> BTreeMap<String, Vec<u64>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), "default", &resource);
    let params = WatchParams::default().timeout(290);
    let events = api.watch(&params, "0").await.expect("it is watched");
    let mut events = std::pin::pin!(events);
    let mut rounds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let next = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
        let Ok(event) = next else { continue };
        match event.expect("it goes on").expect("it is told") {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let name = object.metadata.name.unwrap_or_default();
                let text = object.data["data"]["text"].as_str().unwrap_or_default();
                if let (true, Ok(round)) = (name.starts_with("busy-"), text.parse()) {
                    rounds.entry(name).or_default().push(round);
                }
            }
            WatchEvent::Deleted(object) => panic!("nobody deletes {:?}", object.metadata.name),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
        }
    }
    rounds
}

/// Whether all objects are applied everywhere in their newest revision.
async fn is_done(bus: &Bus, revisions: &[u64]) -> bool {
    let found = client::query::<Objects>(bus, "objects", None, &Request::default()).await;
    let Ok(found) = found else {
        return false;
    };
    revisions.iter().enumerate().all(|(object, revision)| {
        let name = format!("configmap/default/busy-{object}");
        found.objects.iter().any(|summary| {
            summary.name == name
                && summary.revision == *revision
                && summary.rows.len() == CLUSTERS.len()
                && summary
                    .rows
                    .iter()
                    .all(|row| row.applied_revision == *revision)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_hands_leases_over_at_once() {
    let test = "a_rolling_restart_under_load_loses_nothing_and_hands_leases_over_at_once";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let url = bed.connect.url.clone();
    let binary = bed.binary(bed.directory.path());
    let clusters = CLUSTERS.map(Cluster::new);
    let mut served = Vec::new();
    for cluster in &clusters {
        let http = cluster
            .serve_http(([127, 0, 0, 1], 0).into())
            .expect("it listens");
        let path = bed
            .directory
            .path()
            .join(format!("{}.kubeconfig", cluster.name()));
        std::fs::write(path, http.kubeconfig()).expect("written");
        served.push(http);
    }
    let agent = |name, cluster: &'static str| {
        let kubeconfig = format!("{cluster}.kubeconfig");
        let args = [
            "agent",
            "--cluster",
            cluster,
            "--identity",
            name,
            "--kubeconfig",
            &kubeconfig,
        ];
        Process::new(name, &url, &args)
    };
    let service = |name, what| {
        let args = [what, "--state", name, "--identity", name];
        Process::new(name, &url, &args)
    };
    let mut fleet = [
        service("ingest-1", "ingest"),
        service("ingest-2", "ingest"),
        service("aggregator-1", "aggregator"),
        service("aggregator-2", "aggregator"),
        agent("c1-a", "c1"),
        agent("c1-b", "c1"),
        agent("c2-a", "c2"),
    ];
    for process in &mut fleet {
        process.start(&binary);
    }
    for process in &fleet {
        process.becomes_ready(&binary).await;
    }
    bed.register(&bus, &CLUSTERS).await;

    let stop = Arc::new(AtomicBool::new(false));
    let watching = Arc::new(AtomicBool::new(false));
    let watches = clusters.map(|cluster| {
        let stop = Arc::clone(&watching);
        tokio::spawn(async move { written(&cluster, stop).await })
    });
    let publisher = {
        let publisher = bed.connect_as(Role::Publisher, "publisher");
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || hand_in(&publisher, &stop))
    };
    eventually("changes flow", async || is_there(&bus).await).await;

    for victim in &mut fleet {
        let begin = Instant::now();
        victim.stop(&bus).await;
        let ended = begin.elapsed();
        victim.start(&binary);
        victim.becomes_ready(&binary).await;
        println!(
            "{}: ended after {ended:?}, ready again after {:?}",
            victim.name,
            begin.elapsed()
        );
    }

    stop.store(true, Ordering::Relaxed);
    let revisions = publisher.join().expect("every change was accepted");
    assert!(
        revisions.iter().all(|revision| *revision > 1),
        "{revisions:?}"
    );
    eventually("the newest is everywhere", async || {
        is_done(&bus, &revisions).await
    })
    .await;
    watching.store(true, Ordering::Relaxed);
    for watch in watches {
        let rounds = watch.await.expect("it was watched");
        assert_eq!(rounds.len(), OBJECTS, "{rounds:?}");
        for (name, rounds) in rounds {
            assert!(
                rounds.is_sorted_by(|before, after| before < after),
                "{name}: nothing older, nothing twice: {rounds:?}"
            );
        }
    }
    let verified = binary.done(&["replay", "--verify", "--nats", &url]);
    println!("{revisions:?} rounds\n{}", verified.out);
}

/// Whether the first object is somewhere.
async fn is_there(bus: &Bus) -> bool {
    let found = client::query::<Objects>(bus, "objects", None, &Request::default()).await;
    found.is_ok_and(|found| {
        found
            .objects
            .iter()
            .any(|summary| summary.rows.iter().any(|row| row.applied_revision > 1))
    })
}
