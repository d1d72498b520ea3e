//! A server with an operator of its own, a connection as that, and an aggregator with the credentials of its role.

use std::time::Duration;

use fleetcast_aggregator::answer::Objects;
use fleetcast_aggregator::client::{self, Request, query};
use fleetcast_aggregator::{Options, run};
use fleetcast_auth::authority::{Authority, Issue};
use fleetcast_bus::append::Expected;
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::streams::Layout;
use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_core::ack::{Ack, Batch, BatchBody, Observed, Outcome};
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::decision::{Assigned, Body, Decision};
use fleetcast_core::document::Document;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::log::{ClusterEvent, ClusterNews};
use fleetcast_core::model::{Cluster, ClusterName, Dialect, ObjectKey};
use fleetcast_core::time::Time;
use fleetcast_schemas::role::Role;
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Message, event};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server with an operator of its own, a connection as that, and an aggregator with the credentials of its role.
pub(crate) struct World {
    _server: Server,
    aggregators: Connect,
    pub(crate) bus: Bus,
    pub(crate) directory: TempDir,
    aggregator: Option<Running>,
}

/// A running aggregator, and how to stop it.
type Running = (
    watch::Sender<bool>,
    JoinHandle<Result<(), fleetcast_aggregator::Error>>,
);

impl World {
    /// None where this machine has no server; the test says so.
    pub(crate) async fn begin() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let now = fleetcast_bus::now().0.div_euclid(1_000);
        let folder = directory.path().join("auth");
        let mut authority = Authority::init(&folder, "test", 1, now).expect("an operator");
        let accounts = directory.path().join("nats/jwt");
        let started = Server::start(&server::Options {
            binary: None,
            directory: directory.path().join("nats"),
            port: 0,
            tls: None,
            configuration: authority.configuration(&accounts, now).expect("keys"),
        });
        let server = match started {
            Ok(server) => server,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let mut connect = |role: Role| {
            let issue = Issue {
                role,
                name: "test".to_owned(),
                ttl_s: None,
                kinds: Vec::new(),
                namespaces: Vec::new(),
            };
            let path = authority.credentials_path(role, "test");
            let issued = authority.issue(&issue, now).expect("issued");
            issued.write(&path).expect("written");
            Connect {
                credentials: Credentials::File(path),
                ..Connect::new(server.url(), role.word())
            }
        };
        let bus = Bus::connect(&connect(Role::Operator))
            .await
            .expect("connected");
        let mut world = Self {
            aggregators: connect(Role::Aggregator),
            _server: server,
            bus,
            directory,
            aggregator: None,
        };
        world.start().await;
        Some(world)
    }

    pub(crate) async fn start(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let options = Options {
            statuses: None,
            http: None,
            health: fleetcast_endpoint::Health::default(),
            bus: self.aggregators.clone(),
            directory: self.directory.path().join("state"),
        };
        self.aggregator = Some((stop, tokio::spawn(run(options, stopped))));
        let now = Request {
            wait_ms: Some(0),
            ..Request::default()
        };
        while let Err(client::Error::NotAnswered(_)) =
            query::<Objects>(&self.bus, "objects", None, &now).await
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(&mut self) {
        let (stop, ended) = self.aggregator.take().expect("it runs");
        stop.send_replace(true);
        ended.await.expect("no panic").expect("no error");
    }

    pub(crate) async fn begin_log(&self, number: u64) {
        let layout = Layout {
            partitions: 1,
            replicas: 1,
        };
        self.bus.prepare(layout).await.expect("streams");
        let beginning = Beginning {
            epoch: epoch(number),
            partitions: 1,
        };
        self.append(event::epoch_begins(&beginning, Time(1))).await;
        let news = ClusterNews::Registered(Box::new(Cluster::named(eu())));
        self.append(event::cluster(&ClusterEvent {
            cluster: eu(),
            time: Time(2),
            news,
        }))
        .await;
    }

    pub(crate) async fn append(&self, message: Message) -> u64 {
        self.bus
            .append(message, Expected::Anything)
            .await
            .expect("stored")
    }

    /// Declares `object` and decides that eu-1 should hold it: the decision's sequence.
    pub(crate) async fn place(&self, object: &str, number: u64) -> u64 {
        let document = Document::from_value(&serde_json::json!({"spec": {"number": number}}));
        let content = Content::Declared {
            dialect: Dialect::Native,
            document,
        };
        self.append(event::change(&Change {
            object: key(object),
            revision: number,
            origin: Origin {
                source: "test".to_owned(),
                id: format!("{object} {number}"),
            },
            time: Time(3),
            content,
        }))
        .await;
        let assigned = vec![Assigned {
            digest: number.to_string(),
            replicas: None,
            reasons: vec!["named".to_owned()],
            clusters: vec![eu()],
        }];
        self.append(event::decision(&Decision {
            object: key(object),
            number,
            revision: number,
            epoch: epoch(1),
            term: 1,
            time: Time(4),
            causation: "cause".to_owned(),
            correlation: "change".to_owned(),
            body: Body {
                assigned,
                ..Body::default()
            },
        }))
        .await
    }

    pub(crate) async fn acknowledge(&self, object: &str, decision: u64, count: u64) {
        let ack = Ack {
            object: key(object),
            epoch: epoch(1),
            decision,
            decision_epoch: None,
            revision: decision,
            count,
            outcome: Outcome::Applied,
            message: String::new(),
            digest: None,
            attempts: 1,
            work_id: "work".to_owned(),
            time: Time(5),
            observed: Observed::default(),
            held: None,
        };
        let body = BatchBody {
            transitions: 1,
            confirmed: 0,
            after: count - 1,
            acks: vec![ack],
        };
        let batch = Batch {
            cluster: eu(),
            body,
        };
        self.publish(event::acks(&batch, &Lane::new(eu(), 1), Time(5)))
            .await;
    }

    pub(crate) async fn publish(&self, message: Message) {
        self.bus.publish(message).await.expect("published");
        self.bus.flush().await.expect("flushed");
    }

    pub(crate) async fn objects(&self, min_log: u64) -> Objects {
        let request = Request {
            min_log: Some(min_log),
            ..Request::default()
        };
        query(&self.bus, "objects", None, &request)
            .await
            .expect("answered")
    }

    /// Asks until all rows are applied.
    pub(crate) async fn all_applied(&self, rows: u64) -> Objects {
        for _ in 0..200 {
            let all = self.objects(0).await;
            if all
                .objects
                .iter()
                .map(|object| object.counts.applied)
                .sum::<u64>()
                == rows
            {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not {rows} rows are applied: {:?}", self.objects(0).await);
    }
}

pub(crate) fn eu() -> ClusterName {
    ClusterName::parse("eu-1").expect("valid")
}

pub(crate) fn key(object: &str) -> ObjectKey {
    object.parse().expect("valid")
}

pub(crate) fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        hub: "hub".to_owned(),
    }
}
