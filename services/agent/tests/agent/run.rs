//! The whole agent over a real NATS server, with a hub that this file plays; skipped where `FLEETCAST_NATS_SERVER` names none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetcast_agent::cluster::Reporting;
use fleetcast_agent::{Options, run};
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::{Bus, Connect, Credentials, Delivery, now};
use fleetcast_core::ack::{Ack, Outcome, Seen};
use fleetcast_core::digest;
use fleetcast_core::health::State;
use fleetcast_core::model::ClusterName;
use fleetcast_core::work::Work;
use fleetcast_schemas::envelope::DATAREF;
use fleetcast_schemas::request::{PART, SEQUENCE, SyncAsk, SyncEnd};
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Headers, Message, codec, event};
use serde_json::json;
use tokio::sync::watch;

use super::{World, apply_work, config_map, default};

/// What an agent may do, and nothing else; the hub may do everything.
const AUTHORIZATION: &str = r#"authorization { users: [
  {user: hub, password: hub},
  {user: agent, password: agent, permissions: {
    publish: ["fc.ack.p00.eu", "fc.heartbeat.p00.eu", "fc.sync.p00.eu"]
    subscribe: ["fc.live.p00.eu.>", "fc.seen.p00.eu", "_IN.eu.>"]
  }}
]}"#;

/// What the hub holds and has heard.
#[derive(Default)]
struct Heard {
    /// All work ever written, `n` and sequence being its place from 1 on.
    work: Vec<Work>,
    asks: Vec<SyncAsk>,
    acks: Vec<Ack>,
    heartbeats: usize,
    /// Items over this size travel by digest, bytes.
    inline_limit: usize,
    bodies: Vec<Vec<u8>>,
}

impl Heard {
    /// Work as it is stored.
    fn item(&mut self, work: &Work) -> Message {
        let mut item = event::work(work, 0);
        if item.payload.len() > self.inline_limit {
            let body = std::mem::take(&mut item.payload);
            let digest = digest::of_bytes(&body);
            item.headers.set(DATAREF, format!("fc_bodies/{digest}"));
            self.bodies.push(body);
        }
        item
    }
}

/// Ingest and aggregator in one.
struct Hub {
    bus: Bus,
    lane: Lane,
    heard: Arc<Mutex<Heard>>,
}

impl Hub {
    async fn start(url: &str) -> Self {
        let hub = Self {
            bus: Bus::connect(&connect(url, "hub")).await.unwrap(),
            lane: Lane::new(ClusterName::parse("eu").unwrap(), 1),
            heard: Arc::new(Mutex::new(Heard {
                inline_limit: usize::MAX,
                ..Heard::default()
            })),
        };
        for subject in [hub.lane.sync(), hub.lane.ack(), hub.lane.heartbeat()] {
            let mut subscription = hub.bus.subscribe(&subject).await.unwrap();
            let hub = Self {
                bus: hub.bus.clone(),
                lane: hub.lane.clone(),
                heard: Arc::clone(&hub.heard),
            };
            tokio::spawn(async move {
                while let Some(delivery) = subscription.next().await {
                    hub.hear(delivery).await;
                }
            });
        }
        hub.bus.flush().await.unwrap();
        hub
    }

    async fn hear(&self, Delivery { message, reply }: Delivery) {
        if message.subject == self.lane.heartbeat() {
            event::read_heartbeat(&message.headers, &message.payload).unwrap();
            self.heard.lock().unwrap().heartbeats += 1;
        } else if message.subject == self.lane.ack() {
            let (_, batch) = event::read_acks(&message).unwrap();
            let seen = Seen {
                transitions: batch.body.transitions,
                count: batch.body.acks.last().unwrap().count,
            };
            self.heard.lock().unwrap().acks.extend(batch.body.acks);
            self.bus
                .publish(event::seen(seen, &self.lane, now()))
                .await
                .unwrap();
        } else {
            let reply = reply.unwrap();
            assert!(self.lane.owns_inbox(&reply), "{reply}");
            for answer in self.answer(codec::decode(&message.payload, &headers()).unwrap()) {
                self.bus.answer(&reply, answer).await.unwrap();
            }
        }
    }

    /// The answer as the sync contract has it.
    fn answer(&self, ask: SyncAsk) -> Vec<Message> {
        let mut heard = self.heard.lock().unwrap();
        heard.asks.push(ask.clone());
        let (incarnation, after) = match ask {
            SyncAsk::Body { digest } => {
                let body = heard
                    .bodies
                    .iter()
                    .find(|body| digest::of_bytes(body) == digest);
                return vec![message(Headers::default(), body.unwrap().clone())];
            }
            SyncAsk::Since { incarnation, n, .. } => (incarnation, n),
        };
        let whole = incarnation != "i";
        let mut transcript = Vec::new();
        let mut answers = Vec::new();
        let lacking: Vec<Work> = heard
            .work
            .iter()
            .filter(|work| whole || work.stamp.n > after)
            .cloned()
            .collect();
        for work in &lacking {
            let mut item = heard.item(work);
            transcript.extend_from_slice(format!("{}\n", work.stamp.n).as_bytes());
            transcript.extend_from_slice(&item.payload);
            transcript.push(b'\n');
            item.headers.set(SEQUENCE, work.stamp.n.to_string());
            answers.push(item);
        }
        let upto = u64::try_from(heard.work.len()).unwrap();
        let mut headers = Headers::default().with(PART, "end");
        let end = SyncEnd {
            refused: String::new(),
            epoch: heard.work.first().map(|work| work.stamp.epoch.clone()),
            incarnation: "i".to_owned(),
            whole,
            upto,
            sequence: upto,
            count: u64::try_from(answers.len()).unwrap(),
            digest: digest::short(&transcript),
        };
        let payload = codec::encode(&end, &mut headers);
        answers.push(message(headers, payload));
        answers
    }

    /// Writes work; tells it live unless it is to be lost.
    async fn write(&self, mut work: Work, lost: bool) {
        let (n, mut live) = {
            let mut heard = self.heard.lock().unwrap();
            work.stamp.n = u64::try_from(heard.work.len()).unwrap() + 1;
            heard.work.push(work.clone());
            (work.stamp.n, heard.item(&work))
        };
        if !lost {
            live.subject = live.subject.replace("fc.work.", "fc.live.");
            live.headers.set("Nats-Sequence", n.to_string());
            self.bus.publish(live).await.unwrap();
        }
    }

    fn heard<T>(&self, read: impl Fn(&Heard) -> T) -> T {
        read(&self.heard.lock().unwrap())
    }

    /// Waits until `holds`.
    async fn until(&self, what: &str, holds: impl Fn(&Heard) -> bool) {
        for _ in 0..500 {
            if self.heard(&holds) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "not within 10 s: {what}; acknowledged: {:?}",
            self.heard(|heard| heard.acks.clone())
        );
    }
}

fn headers() -> Headers {
    let mut headers = Headers::default();
    codec::encode(&(), &mut headers);
    headers
}

fn message(headers: Headers, payload: Vec<u8>) -> Message {
    Message {
        subject: String::new(),
        headers,
        payload,
    }
}

fn connect(url: &str, who: &str) -> Connect {
    Connect {
        credentials: Credentials::Password(who.to_owned(), who.to_owned()),
        ..Connect::new(url, who)
    }
}

/// Starts the agent of the world's cluster; it ends when the sender is told to.
fn start(
    world: &World,
    url: &str,
) -> (
    watch::Sender<bool>,
    tokio::task::JoinHandle<Result<(), fleetcast_agent::Error>>,
) {
    let (stop, stopped) = watch::channel(false);
    let options = Options {
        cluster: ClusterName::parse("eu").unwrap(),
        partitions: 1,
        bus: connect(url, "agent"),
        client: world.simulated.client(),
        reporting: Reporting::default(),
        identity: "test".to_owned(),
    };
    (stop, tokio::spawn(run(options, stopped)))
}

/// Work for one of several ConfigMaps, of a decision, with data of about `size` bytes.
fn work(name: &str, decision: u64, size: usize) -> Work {
    let noise: String = (0..size / 16)
        .map(|index| digest::short(&index.to_le_bytes())[..16].to_owned())
        .collect();
    let mut manifest = config_map(json!({"value": decision.to_string(), "noise": noise}));
    manifest["metadata"]["name"] = json!(name);
    apply_work(&manifest, decision, default())
}

/// From an empty cluster to the whole set, live work, a gap, large bodies, a bus that restarts, and an agent that restarts and writes nothing; with an agent's permissions only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_true() {
    if std::env::var_os(server::BINARY).is_none() {
        eprintln!("skipped: {} names no server", server::BINARY);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = server::Options {
        binary: None,
        directory: directory.path().to_owned(),
        port: 0,
        configuration: AUTHORIZATION.to_owned(),
    };
    let server = Server::start(&options).unwrap();
    let hub = Hub::start(&server.url()).await;
    let world = World::new().await;
    hub.heard.lock().unwrap().inline_limit = 4_000;
    for (name, size) in [("first", 0), ("large", 900_000)] {
        hub.write(work(name, 1, size), true).await;
    }
    let (stop, running) = start(&world, &server.url());
    let applied = |count: usize| {
        move |heard: &Heard| {
            heard
                .acks
                .iter()
                .filter(|ack| ack.outcome == Outcome::Applied)
                .count()
                >= count
        }
    };
    hub.until("the whole set", applied(2)).await;

    hub.write(work("live", 1, 0), false).await;
    hub.until("live work", applied(3)).await;
    assert_eq!(
        hub.heard(|heard| heard
            .asks
            .iter()
            .filter(|ask| matches!(ask, SyncAsk::Since { .. }))
            .count()),
        1,
        "live work needs no sync"
    );

    hub.write(work("first", 2, 0), true).await;
    hub.write(work("live", 2, 0), false).await;
    hub.until("the gap to be closed", applied(5)).await;
    for name in ["first", "live"] {
        let mut manifest = config_map(json!({}));
        manifest["metadata"]["name"] = json!(name);
        assert_eq!(world.live(&manifest).await["data"]["value"], "2", "{name}");
    }
    hub.until("a heartbeat", |heard| heard.heartbeats > 0).await;

    hub.write(work("large", 2, 900_000), false).await;
    hub.until("live work with a large body", applied(6)).await;

    drop(server);
    hub.write(work("first", 3, 0), true).await;
    let server = Server::start(&options).unwrap();
    hub.until("what was missed while the bus was away", applied(7))
        .await;

    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let requests = world.simulated.requests();
    let (asks, acks) = hub.heard(|heard| (heard.asks.len(), heard.acks.len()));
    let (stop, running) = start(&world, &server.url());
    hub.until("the restarted agent's request", |heard| {
        heard.asks.len() > asks
    })
    .await;
    let resumed = hub.heard(|heard| heard.asks.get(asks).cloned());
    assert!(
        matches!(
            resumed,
            Some(SyncAsk::Since {
                n: 7,
                sequence: 7,
                ..
            })
        ),
        "{resumed:?}"
    );
    hub.until("what it sees, once for each object", |heard| {
        heard.acks.len() >= acks + 3
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.simulated.requests().apply, requests.apply);
    assert_eq!(hub.heard(|heard| heard.acks.len()), acks + 3);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let log = std::fs::read_to_string(directory.path().join("nats.log")).unwrap();
    assert!(!log.contains("Violation"), "{log}");
}

/// What somebody else changes is put right and told with field and manager, also while the bus is away; what is deleted comes again, and health travels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_put_right_and_told() {
    if std::env::var_os(server::BINARY).is_none() {
        eprintln!("skipped: {} names no server", server::BINARY);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = server::Options {
        binary: None,
        directory: directory.path().to_owned(),
        port: 0,
        configuration: AUTHORIZATION.to_owned(),
    };
    let server = Server::start(&options).unwrap();
    let hub = Hub::start(&server.url()).await;
    let world = World::new().await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk", "namespace": "shop"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let config = config_map(json!({"a": "1", "b": "1"}));
    hub.write(apply_work(&config, 1, default()), true).await;
    hub.write(apply_work(&claim, 1, default()), true).await;
    let (stop, running) = start(&world, &server.url());
    let last = |heard: &Heard, name: &str| {
        let mut about = heard.acks.iter().filter(|ack| ack.object.name() == name);
        about.next_back().cloned()
    };
    let health = |heard: &Heard, expected: State| {
        last(heard, "disk")
            .and_then(|ack| ack.observed.health)
            .is_some_and(|health| health.state == expected)
    };
    hub.until("progressing", |heard| health(heard, State::Progressing))
        .await;
    world
        .api_of(&claim)
        .patch_status(
            "disk",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(
                json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}),
            ),
        )
        .await
        .unwrap();
    hub.until("healthy", |heard| health(heard, State::Healthy))
        .await;
    let status = hub.heard(|heard| last(heard, "disk").unwrap().observed.status);
    assert_eq!(
        status.unwrap().fields.value().unwrap(),
        json!({"phase": "Bound", "capacity": {"storage": "1Gi"}})
    );

    world
        .edit(&config, json!({"data": {"a": "edited", "theirs": "x"}}))
        .await;
    let healed = |fields: &'static [&'static str], heals: u64| {
        move |heard: &Heard| {
            let drift = last(heard, "a").and_then(|ack| ack.observed.drift);
            drift.is_some_and(|drift| {
                let named: Vec<&str> = drift
                    .fields
                    .iter()
                    .map(|field| field.path.as_str())
                    .collect();
                drift.healed && drift.heals == heals && named == fields
            })
        }
    };
    hub.until("put right", healed(&[".data.a"], 1)).await;
    let field =
        hub.heard(|heard| last(heard, "a").unwrap().observed.drift.unwrap().fields[0].clone());
    assert_eq!(field.manager.as_deref(), Some("kubectl"));
    assert!(field.time.is_some());
    assert_eq!(
        world.live(&config).await["data"],
        json!({"a": "1", "b": "1", "theirs": "x"})
    );

    drop(server);
    world.edit(&config, json!({"data": {"b": null}})).await;
    for _ in 0..250 {
        if world.live(&config).await["data"]["b"] == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        world.live(&config).await["data"]["b"],
        "1",
        "without the bus"
    );
    let server = Server::start(&options).unwrap();
    hub.until("told when the bus is back", healed(&[".data.b"], 2))
        .await;

    let uid = world.live(&config).await["metadata"]["uid"].clone();
    world
        .api_of(&config)
        .delete("a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    hub.until("made again", |heard| {
        let drift = last(heard, "a").and_then(|ack| ack.observed.drift);
        drift.is_some_and(|drift| drift.healed && drift.deleted)
    })
    .await;
    let live = world.live(&config).await;
    assert_eq!(live["data"], json!({"a": "1", "b": "1"}));
    assert_ne!(live["metadata"]["uid"], uid);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    drop(server);
}
