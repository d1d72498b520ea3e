//! A bus and services that a test starts, stops and kills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleetcast_aggregator::answer::{Digest, ObjectSummary, Objects, Request};
use fleetcast_aggregator::{Statuses, client};
use fleetcast_auth::authority::{Authority, Issue};
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::server::{Options, Server};
use fleetcast_bus::streams::Layout;
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_core::dialect::{self, Input};
use fleetcast_core::fold::Condition;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Limit;
use fleetcast_endpoint::{Door, Health};
use fleetcast_schemas::envelope::{DATACONTENTTYPE, ID, SOURCE};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_schemas::{Headers, Message, codec, subject};
use fleetcast_sealing::{Keys, Sealer, Sealing};
use fleetcast_simulator::Cluster;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::binary::Binary;
use super::identities::Identities;
use super::three::Three;

/// How long anything may take on a busy machine before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(90);

/// A NATS server with an operator of its own, and a folder for all that the services keep: each service and each agent connects with its role's credentials,
/// what is handed in goes in as a publisher, and the test looks around as the operator.
pub struct Bed {
    /// The server; a test may kill it.
    pub server: Option<Server>,
    /// The folder.
    pub directory: tempfile::TempDir,
    /// How the test connects; services and agents do so with credentials of their own.
    pub connect: Connect,
    /// How many servers hold each stream.
    pub replicas: usize,
    /// How often agents measure how much room their clusters have; none for never.
    pub measure_every: Option<Duration>,
    binary: PathBuf,
    tls: Option<ServerTls>,
    configuration: String,
    identities: Option<Arc<Identities>>,
    // The bus that it speaks to, and the connection.
    publisher: tokio::sync::Mutex<Option<(String, Bus)>>,
    submissions: std::sync::atomic::AtomicU64,
    _three: Option<Three>,
}

/// A service that runs as a task.
pub struct Service {
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Asks it to end, and waits until it has.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends in time")
            .expect("it does not panic")
            .expect("it ends well");
    }

    /// Ends it in the middle of what it does, as `kill -9` would.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Bed {
    /// A server with an operator of its own.
    pub fn new(binary: PathBuf) -> Self {
        Self::secured(binary, None, Tls::default())
    }

    /// The same over TLS: what the server has, and what everybody connects with.
    pub fn with_tls(binary: PathBuf, server: ServerTls, client: Tls) -> Self {
        Self::secured(binary, Some(server), client)
    }

    /// A server that asks nobody who he is, for the tests that are about that.
    pub fn open(binary: PathBuf) -> Self {
        let mut bed = Self::begin(binary, None, Tls::default());
        bed.start_server();
        bed
    }

    /// Another server that trusts the same operator, with streams of its own.
    pub fn beside(&self) -> Self {
        let mut bed = Self::begin(self.binary.clone(), None, Tls::default());
        bed.configuration = self.configuration(&bed.server_directory());
        bed.identities = self.identities.clone();
        bed.connect.credentials = bed.credentials(Role::Operator, "test");
        bed.start_server();
        bed
    }

    /// Three servers that hold each stream together, in the place of one.
    pub fn on_three(binary: PathBuf) -> Self {
        let three = Three::start(binary.clone());
        Self {
            connect: three.connect.clone(),
            replicas: 3,
            identities: Some(three.identities.clone()),
            _three: Some(three),
            ..Self::begin(binary, None, Tls::default())
        }
    }

    fn secured(binary: PathBuf, server: Option<ServerTls>, client: Tls) -> Self {
        let mut bed = Self::begin(binary, server, client);
        let identities = Identities::make(&bed.directory.path().join("auth"));
        let hub = keys("hub").text();
        identities
            .authority()
            .keep_sealing_keys(&hub)
            .expect("kept");
        bed.configuration = identities.configuration(&bed.server_directory());
        bed.identities = Some(Arc::new(identities));
        bed.connect.credentials = bed.credentials(Role::Operator, "test");
        bed.start_server();
        bed
    }

    fn begin(binary: PathBuf, server: Option<ServerTls>, client: Tls) -> Self {
        Self {
            server: None,
            directory: tempfile::tempdir().expect("a folder"),
            connect: Connect {
                tls: client,
                ..Connect::new("", "test")
            },
            replicas: 1,
            measure_every: None,
            binary,
            tls: server,
            configuration: String::new(),
            identities: None,
            publisher: tokio::sync::Mutex::default(),
            submissions: 0.into(),
            _three: None,
        }
    }

    fn identities(&self) -> &Arc<Identities> {
        let identities = self.identities.as_ref();
        identities.expect("the bed has an operator")
    }

    /// The operator; whoever else needs his folder waits meanwhile.
    pub fn authority(&self) -> Authority {
        self.identities().authority()
    }

    /// Credentials of a role, issued at the first call; none where there is no operator.
    pub fn credentials(&self, role: Role, name: &str) -> Credentials {
        match &self.identities {
            Some(identities) => Credentials::File(identities.path(role, name)),
            None => self.connect.credentials.clone(),
        }
    }

    /// Issues what a test asks for.
    pub fn issue(&self, issue: &Issue) -> CredentialsFile {
        self.identities().issue(issue)
    }

    /// The binary in `directory`, where each command has the credentials of the role that its user needs ([`Binary`]).
    pub fn binary(&self, directory: &Path) -> Binary {
        let binary = Binary::new(directory, self.binary.clone());
        binary.with_identities(self.identities.clone())
    }

    fn server_directory(&self) -> PathBuf {
        self.directory.path().join("nats")
    }

    /// What a server beside the bed's own, or in its place, needs in its configuration to trust the same operator; it keeps accounts in `directory`.
    pub fn configuration(&self, directory: &Path) -> String {
        self.identities().configuration(directory)
    }

    /// Starts the server (again, on the same store and port).
    pub fn start_server(&mut self) {
        let server = Server::start(&Options {
            binary: Some(self.binary.clone()),
            directory: self.server_directory(),
            port: 0,
            tls: self.tls.clone(),
            configuration: self.configuration.clone(),
        })
        .expect("the server starts");
        self.connect.url = server.url();
        self.server = Some(server);
    }

    /// Kills the server at once.
    pub fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// A connection of the test's own.
    pub async fn bus(&self) -> Bus {
        Bus::connect_patiently(&self.connect)
            .await
            .expect("the bus is fit")
    }

    /// A connection of its own for a role.
    pub async fn bus_as(&self, role: Role) -> Bus {
        let connect = self.connect_as(role, role.word());
        Bus::connect_patiently(&connect).await.expect("it is fit")
    }

    /// A connection without anything of ours, as the operator.
    pub async fn raw(&self) -> async_nats::Client {
        let options = match &self.connect.credentials {
            Credentials::File(path) => {
                let options = async_nats::ConnectOptions::with_credentials_file(path);
                options.await.expect("credentials")
            }
            Credentials::None | Credentials::Password(..) => async_nats::ConnectOptions::new(),
        };
        let servers: Vec<&str> = self.connect.url.split(',').collect();
        options.connect(servers).await.expect("connected")
    }

    /// How a role connects under a name, an agent under its cluster's.
    pub fn connect_as(&self, role: Role, name: &str) -> Connect {
        Connect {
            name: name.to_owned(),
            credentials: self.credentials(role, name),
            ..self.connect.clone()
        }
    }

    /// How a service connects, under a name that the server shows.
    fn service(&self, role: Role, shown: String) -> Connect {
        Connect {
            name: shown,
            ..self.connect_as(role, "test")
        }
    }

    /// The connection that hands in: a publisher's; where nobody is asked who he is, `bus`.
    async fn publisher(&self, bus: &Bus) -> Bus {
        if self.identities.is_none() {
            return bus.clone();
        }
        let mut kept = self.publisher.lock().await;
        match &*kept {
            Some((url, publisher)) if *url == self.connect.url => publisher.clone(),
            _ => {
                let publisher = self.bus_as(Role::Publisher).await;
                *kept = Some((self.connect.url.clone(), publisher.clone()));
                publisher
            }
        }
    }

    /// Starts an ingest process with a state folder of its own.
    pub fn ingest(&self, identity: &str) -> Service {
        self.ingest_listening(identity, None)
    }

    /// Starts an ingest process that also listens for HTTP.
    pub fn ingest_listening(&self, identity: &str, http: Option<Arc<Door>>) -> Service {
        self.ingest_with(
            identity,
            http,
            Limit::default(),
            &Health::default(),
            sealing(),
        )
    }

    /// Starts an ingest process that listens for HTTP and tells of itself.
    pub fn ingest_listening_telling(
        &self,
        identity: &str,
        http: Arc<Door>,
        health: &Health,
    ) -> Service {
        self.ingest_with(identity, Some(http), Limit::default(), health, sealing())
    }

    /// Starts an ingest process that tells of itself.
    pub fn ingest_telling(&self, identity: &str, health: &Health) -> Service {
        self.ingest_with(identity, None, Limit::default(), health, sealing())
    }

    /// Starts an ingest process by which more removals than `bulk_removals` wait for a confirmation.
    pub fn ingest_limited(&self, identity: &str, bulk_removals: Limit) -> Service {
        self.ingest_with(identity, None, bulk_removals, &Health::default(), sealing())
    }

    /// Starts an ingest process with other sealing keys than [`keys`] of `hub`.
    pub fn ingest_sealing(&self, identity: &str, sealing: Sealing) -> Service {
        self.ingest_with(
            identity,
            None,
            Limit::default(),
            &Health::default(),
            sealing,
        )
    }

    fn ingest_with(
        &self,
        identity: &str,
        http: Option<Arc<Door>>,
        bulk_removals: Limit,
        health: &Health,
        sealing: Sealing,
    ) -> Service {
        let options = fleetcast_ingest::Options {
            bus: self.service(Role::Ingest, format!("ingest {identity}")),
            directory: self.directory.path().join(identity),
            identity: identity.to_owned(),
            layout: Layout {
                partitions: 1,
                replicas: self.replicas,
            },
            offline_after: fleetcast_ingest::OFFLINE_AFTER,
            bulk_removals,
            sealing,
            http,
            health: health.clone(),
        };
        spawn(|stop| async move { Ok(fleetcast_ingest::run(options, stop).await?) })
    }

    /// Starts a process that watches the hub that a client speaks to.
    pub fn hub(&self, identity: &str, client: kube::Client) -> Service {
        self.hub_sealing(identity, client, sealing())
    }

    /// The same with other sealing keys than [`keys`] of `hub`.
    pub fn hub_sealing(&self, identity: &str, client: kube::Client, sealing: Sealing) -> Service {
        let options = fleetcast_hub::Options {
            bus: self.service(Role::Ingest, format!("hub {identity}")),
            client,
            directory: self.directory.path().join(identity),
            identity: identity.to_owned(),
            sealing,
        };
        spawn(|stop| async move { Ok(fleetcast_hub::run(options, stop).await?) })
    }

    /// Starts an aggregator that writes status back to the objects of the hub behind `hub`.
    pub fn aggregator_for(&self, hub: kube::Client) -> Service {
        self.aggregator_named("aggregator", hub)
    }

    /// The same with a folder and an identity of its own.
    pub fn aggregator_named(&self, name: &str, hub: kube::Client) -> Service {
        let (told, receiver) = mpsc::channel(16);
        let (wants, wanted) = watch::channel(false);
        let writer = fleetcast_hub::status::Options {
            bus: self.service(Role::Aggregator, format!("status {name}")),
            client: hub,
            identity: name.to_owned(),
        };
        tokio::spawn(fleetcast_hub::status::run(writer, receiver, wants));
        let statuses = Some(Statuses { told, wanted });
        self.aggregator_with(name, statuses, None, &Health::default())
    }

    /// Starts an aggregator.
    pub fn aggregator(&self) -> Service {
        self.aggregator_telling("aggregator", None, &Health::default())
    }

    /// Starts an aggregator with a folder of its own, which may listen for HTTP and tells of itself.
    pub fn aggregator_telling(
        &self,
        name: &str,
        http: Option<Arc<Door>>,
        health: &Health,
    ) -> Service {
        self.aggregator_with(name, None, http, health)
    }

    fn aggregator_with(
        &self,
        name: &str,
        statuses: Option<Statuses>,
        http: Option<Arc<Door>>,
        health: &Health,
    ) -> Service {
        let options = fleetcast_aggregator::Options {
            bus: self.service(Role::Aggregator, "aggregator".to_owned()),
            directory: self.directory.path().join(name),
            statuses,
            http,
            health: health.clone(),
        };
        spawn(|stop| async move { Ok(fleetcast_aggregator::run(options, stop).await?) })
    }

    /// Starts the agent of a simulated cluster.
    pub fn agent(&self, cluster: &Cluster) -> Service {
        self.agent_of(cluster.name(), cluster.client())
    }

    /// Starts the agent of whatever cluster a client speaks to.
    pub fn agent_of(&self, cluster: &str, client: kube::Client) -> Service {
        let connect = self.connect_as(Role::Agent, cluster);
        self.agent_with(cluster, client, connect, "test", &Health::default())
    }

    /// Starts the agent of a simulated cluster that connects in another way.
    pub fn agent_through(&self, cluster: &Cluster, connect: Connect) -> Service {
        let (name, client) = (cluster.name(), cluster.client());
        self.agent_with(name, client, connect, "test", &Health::default())
    }

    /// Starts an agent of a simulated cluster that tells of itself, under an identity of its own.
    pub fn agent_telling(&self, cluster: &Cluster, identity: &str, health: &Health) -> Service {
        let connect = self.connect_as(Role::Agent, cluster.name());
        self.agent_with(cluster.name(), cluster.client(), connect, identity, health)
    }

    fn agent_with(
        &self,
        cluster: &str,
        client: kube::Client,
        connect: Connect,
        identity: &str,
        health: &Health,
    ) -> Service {
        let options = fleetcast_agent::Options {
            cluster: name(cluster),
            partitions: 1,
            bus: Connect {
                name: format!("agent {cluster}"),
                ..connect
            },
            client,
            reporting: fleetcast_agent::cluster::Reporting::default(),
            state: None,
            measure_every: self.measure_every,
            sealing_keys: Arc::new(keys(cluster)),
            identity: identity.to_owned(),
            health: health.clone(),
            namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
            creds_secret: None,
        };
        spawn(|stop| async move { Ok(fleetcast_agent::run(options, stop).await?) })
    }

    /// Hands a document in under a new id, as a publisher.
    pub async fn apply(&self, bus: &Bus, document: &Value) -> Answer {
        let count = self
            .submissions
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        apply_as(&self.publisher(bus).await, document, &format!("{count}")).await
    }

    /// Hands a document in and expects it to be accepted: its revision.
    pub async fn accept(&self, bus: &Bus, document: &Value) -> u64 {
        match self.apply(bus, document).await {
            Answer::Accepted(accepted) => accepted.revision,
            Answer::Refused { refusal } => {
                panic!("refused: {}: {}", refusal.field, refusal.message)
            }
        }
    }

    /// Registers clusters by name, each with its name as the label `name`.
    pub async fn register(&self, bus: &Bus, clusters: &[&str]) {
        for cluster in clusters {
            let document = json!({
                "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
                "metadata": {"name": cluster, "labels": {"name": cluster}},
                "spec": {"sealingKey": keys(cluster).newest()},
            });
            self.accept(bus, &document).await;
        }
    }

    /// Withdraws an object, as a publisher.
    pub async fn withdraw(&self, bus: &Bus, object: &str) -> Answer {
        let key: ObjectKey = object.parse().expect("an object");
        let count = self
            .submissions
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (publisher, subject) = (self.publisher(bus).await, subject::delete(&key));
        request(&publisher, subject, &json!({}), &format!("{count}")).await
    }

    /// What the view says about an object; none where it is not known.
    pub async fn summary(&self, bus: &Bus, object: &str) -> Option<ObjectSummary> {
        let key: ObjectKey = object.parse().expect("an object");
        let answer: Objects = client::query(bus, "objects", Some(&key), &Request::default())
            .await
            .ok()?;
        answer.objects.into_iter().next()
    }

    /// How an object stands, by cluster, once the view knows of `revision` and nothing is under way any more.
    pub async fn settled(
        &self,
        bus: &Bus,
        object: &str,
        revision: u64,
    ) -> BTreeMap<String, Condition> {
        let mut conditions = BTreeMap::new();
        eventually(
            &format!("{object} settles in revision {revision}"),
            async || {
                let Some(summary) = self.summary(bus, object).await else {
                    return false;
                };
                conditions = summary
                    .rows
                    .iter()
                    .map(|row| (row.cluster.to_string(), row.condition))
                    .collect();
                let is_open = |condition: &Condition| {
                    matches!(
                        condition,
                        Condition::Deciding
                            | Condition::Pending
                            | Condition::Retrying
                            | Condition::Removing
                    )
                };
                summary.revision == revision
                    && summary.decision.is_some()
                    && !conditions.values().any(is_open)
            },
        )
        .await;
        conditions
    }
}

/// Hands a document in under the id `id`, on the subject that its identity asks for.
pub async fn apply_as(bus: &Bus, document: &Value, id: &str) -> Answer {
    let key = match dialect::read(document).expect("a document of some dialect") {
        Input::Object(object) => object.target,
        Input::Cluster(cluster) => ObjectKey::new(
            "MemberCluster",
            "fleetcast.dev",
            None,
            cluster.name.as_str(),
        )
        .expect("valid"),
    };
    request(bus, subject::apply(&key), document, id).await
}

/// Sends a submission until somebody answers.
pub async fn request(bus: &Bus, subject: String, body: &Value, id: &str) -> Answer {
    let message = Message {
        subject,
        headers: Headers::default()
            .with(SOURCE, "test")
            .with(ID, id)
            .with(DATACONTENTTYPE, codec::JSON),
        payload: body.to_string().into_bytes(),
    };
    let mut answer = None;
    eventually("somebody answers a submission", async || {
        if let Ok(message) = bus
            .request(message.clone(), codec::BODY_LIMIT, Duration::from_secs(3))
            .await
        {
            answer = serde_json::from_slice(&message.payload).ok();
        }
        answer.is_some()
    })
    .await;
    answer.expect("just answered")
}

/// Waits until `happened`, and fails with what was waited for when it does not.
pub async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let begin = tokio::time::Instant::now();
    while !happened().await {
        assert!(
            begin.elapsed() < PATIENCE,
            "still waiting after {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The view's digest over its canonical rows, and how many those are, once the view answers.
pub async fn digest(bus: &Bus) -> (String, u64) {
    let mut answer = None;
    eventually("the view answers", async || {
        answer = client::query::<Digest>(bus, "digest", None, &Request::default())
            .await
            .ok();
        answer.is_some()
    })
    .await;
    let answer = answer.expect("just answered");
    (answer.digest, answer.rows)
}

/// The sealing keys of a test's hub or of a cluster's agent: the same each time.
pub fn keys(of: &str) -> Keys {
    let mut seed = [0; 32];
    let digest = fleetcast_core::digest::of_bytes(of.as_bytes());
    seed.copy_from_slice(&digest.as_bytes()[..32]);
    Keys::from_raw(seed)
}

/// What a test's hub does with the values of Secrets.
pub fn sealing() -> Sealing {
    Sealing::With(Arc::new(Sealer::new(keys("hub"), Vec::new())))
}

/// What a cluster holds: the object, or none.
pub async fn held(
    cluster: &Cluster,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Option<Value> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client(), namespace, &resource),
        None => Api::all_with(cluster.client(), &resource),
    };
    let found = api
        .get_opt(name)
        .await
        .expect("the simulated cluster answers")?;
    Some(serde_json::to_value(found).expect("an object serializes"))
}

/// A federated ConfigMap `shop/<name>` on clusters with `text` in it, in namespace `default` where no other is needed.
pub fn config_map(name: &str, clusters: &[&str], text: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text}},
            "placement": {"clusters": clusters},
        },
    })
}

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("a cluster's name")
}

fn spawn<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    run: impl FnOnce(watch::Receiver<bool>) -> F,
) -> Service {
    let (stop, stopped) = watch::channel(false);
    Service {
        stop,
        task: tokio::spawn(run(stopped)),
    }
}
