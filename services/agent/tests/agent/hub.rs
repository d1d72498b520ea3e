//! A hub that tests play, on a real NATS server with an agent's permissions.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fleetcast_agent::cluster::Reporting;
use fleetcast_agent::{Options, run};
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::{Bus, Connect, Credentials, Delivery, now};
use fleetcast_core::ack::{Ack, Seen};
use fleetcast_core::digest;
use fleetcast_core::model::ClusterName;
use fleetcast_core::work::Work;
use fleetcast_schemas::envelope::DATAREF;
use fleetcast_schemas::request::{PART, SEQUENCE, SyncAsk, SyncEnd};
use fleetcast_schemas::role::Role;
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Headers, Message, codec, event};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{World, eventually};

/// What an agent may do by its role, and nothing else; the hub may do everything.
fn authorization() -> String {
    let grant = Role::Agent.grant();
    let own = |subject: &str| subject.replace("{p}", "p00").replace("{name}", "eu");
    let publish: Vec<String> = grant.publish.iter().map(|subject| own(subject)).collect();
    let mut subscribe: Vec<String> = grant.subscribe.iter().map(|subject| own(subject)).collect();
    subscribe.push(own(grant.inbox) + ".>");
    format!(
        "authorization {{ users: [\n\
         {{user: hub, password: hub}},\n\
         {{user: agent, password: agent, permissions: {{publish: {publish:?}, subscribe: {subscribe:?}}}}}\n\
         ]}}"
    )
}

/// What the hub holds and has heard.
#[derive(Default)]
pub(super) struct Heard {
    /// All work ever written, `n` and sequence being its place from 1 on.
    pub(super) work: Vec<Work>,
    pub(super) asks: Vec<SyncAsk>,
    pub(super) acks: Vec<Ack>,
    pub(super) heartbeats: usize,
    /// Items over this size travel by digest, bytes.
    pub(super) inline_limit: usize,
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
pub(super) struct Hub {
    pub(super) url: String,
    bus: Bus,
    lane: Lane,
    pub(super) heard: Arc<Mutex<Heard>>,
}

impl Hub {
    pub(super) async fn start(url: &str) -> Self {
        let hub = Self {
            url: url.to_owned(),
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
                url: hub.url.clone(),
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

    async fn hear(&self, Delivery { message, reply, .. }: Delivery) {
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
            SyncAsk::Renew { .. } => panic!("these agents have no credentials"),
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
            renew: false,
        };
        let payload = codec::encode(&end, &mut headers);
        answers.push(message(headers, payload));
        answers
    }

    /// Writes work; tells it live unless it is to be lost.
    pub(super) async fn write(&self, mut work: Work, lost: bool) {
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

    pub(super) fn heard<T>(&self, read: impl Fn(&Heard) -> T) -> T {
        read(&self.heard.lock().unwrap())
    }

    /// Waits until `holds`.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Heard) -> bool) {
        eventually(what, async || self.heard(&holds)).await;
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

/// A server on which an agent may do what it must and nothing else, the hub on it, and a cluster.
pub(super) struct Setting {
    pub(super) options: server::Options,
    server: Option<Server>,
    /// The port of the server while that is stopped.
    held: Option<tokio::net::TcpSocket>,
    pub(super) hub: Hub,
    pub(super) world: World,
    pub(super) directory: TempDir,
}

/// An agent that runs.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), fleetcast_agent::Error>>,
}

impl Running {
    pub(super) async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

impl Setting {
    /// None (said so) where there is no server.
    pub(super) async fn new() -> Option<Self> {
        if std::env::var_os(server::BINARY).is_none() {
            eprintln!("skipped: {} names no server", server::BINARY);
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let options = server::Options {
            binary: None,
            directory: directory.path().join("nats"),
            port: 0,
            tls: None,
            configuration: authorization(),
        };
        let server = Server::start(&options).unwrap();
        Some(Self {
            hub: Hub::start(&server.url()).await,
            server: Some(server),
            held: None,
            options,
            world: World::new().await,
            directory,
        })
    }

    /// Stops the server and keeps its port: another test's server would take it, and be taken for this one by who connects again.
    pub(super) fn stop_server(&mut self) {
        self.server = None;
        let port = self.hub.url.rsplit(':').next().unwrap().parse().unwrap();
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind(([127, 0, 0, 1], port).into()).unwrap();
        self.held = Some(held);
    }

    /// Starts the server again, on the same port.
    pub(super) fn start_server(&mut self) {
        self.held = None;
        self.server = Some(Server::start(&self.options).unwrap());
        assert_eq!(self.server.as_ref().unwrap().url(), self.hub.url);
    }

    /// Starts the agent of the world's cluster.
    pub(super) fn agent(&self, state: Option<PathBuf>) -> Running {
        let (stop, stopped) = watch::channel(false);
        let options = Options {
            cluster: ClusterName::parse("eu").unwrap(),
            partitions: 1,
            bus: connect(&self.hub.url, "agent"),
            client: self.world.simulated.client(),
            reporting: Reporting::default(),
            state,
            measure_every: None,
            sealing_keys: Default::default(),
            identity: "test".to_owned(),
            health: fleetcast_endpoint::Health::default(),
            namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
            creds_secret: None,
        };
        let task = tokio::spawn(run(options, stopped));
        Running { stop, task }
    }
}
