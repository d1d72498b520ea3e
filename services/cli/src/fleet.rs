//! A whole fleet on this machine: the NATS server as a child, the services and the clusters' agents as tasks.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use fleetcast_aggregator::Statuses;
use fleetcast_bus::relay::Relay;
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::streams::Layout;
use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_core::dialect::native::crds;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::placer::Limit;
use fleetcast_endpoint::Health;
use fleetcast_kubernetes::credentials;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_sealing::{Keys, Sealer, Sealing};
use fleetcast_simulator as simulator;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::Running;
use crate::local_auth::Local;
use crate::sealing;
use crate::statuses::write_statuses;
use crate::submit;
use crate::workspace::{HUB, Hub, Member, Workspace};

/// One machine needs one partition.
const LAYOUT: Layout = Layout {
    partitions: 1,
    replicas: 1,
};
/// The service that leads under this name leads again at once when the fleet is started again.
const IDENTITY: &str = "up";
/// How long changes of a simulated cluster gather before they are written to disk.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// How long the services may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running fleet.
pub(crate) struct Fleet {
    /// How its bus is reached.
    pub(crate) connect: Connect,
    /// Its clusters, in the order of the workspace.
    pub(crate) members: Vec<RunningMember>,
    simulated_hub: Option<simulator::HttpServer>,
    /// Where its credentials are, where it asks for any.
    pub(crate) auth: Option<PathBuf>,
    local: Option<Local>,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: watch::Sender<bool>,
    state: PathBuf,
    running: PathBuf,
    // Dropped last: the services say goodbye to it. None where the bus is somebody else's.
    _server: Option<Server>,
    _lock: File,
}

/// A cluster of a running fleet.
pub(crate) struct RunningMember {
    /// Its name.
    pub(crate) name: ClusterName,
    /// A kubeconfig that leads to it.
    pub(crate) kubeconfig: PathBuf,
    /// Its line to the bus.
    pub(crate) line: Relay,
    simulated: Option<(simulator::Cluster, simulator::HttpServer)>,
}

impl Fleet {
    /// Starts the fleet of `workspace`, with everything that it keeps under `.run/<name>`.
    pub(crate) async fn start(
        workspace: &Workspace,
        name: &str,
        auth: bool,
    ) -> anyhow::Result<Self> {
        Self::begin(workspace, name, auth, None).await
    }

    /// Starts only the clusters of `workspace` and their agents: the bus and its services run already, and are reached by `connect`.
    pub(crate) async fn attach(
        workspace: &Workspace,
        name: &str,
        connect: Connect,
    ) -> anyhow::Result<Self> {
        Self::begin(workspace, name, false, Some(connect)).await
    }

    async fn begin(
        workspace: &Workspace,
        name: &str,
        auth: bool,
        attached: Option<Connect>,
    ) -> anyhow::Result<Self> {
        let state = workspace.directory.join(".run").join(name);
        std::fs::create_dir_all(&state)?;
        let lock = File::create(workspace.directory.join(".run/lock"))?;
        if lock.try_lock().is_err() {
            bail!(
                "the fleet of {} is running already",
                workspace.directory.display()
            );
        }
        let serves = attached.is_none();
        let mut local = None;
        let (server, connect) = match attached {
            Some(connect) => (None, connect),
            None => {
                local = Local::of_fleet(&state, auth)?;
                let configuration = local.as_ref().map(Local::configuration).transpose()?;
                let at = state.canonicalize()?;
                let tls = local.as_ref().map(|_| Local::tls(&at)).transpose()?;
                let (serves_tls, tls) = tls.unzip();
                let options = server::Options {
                    binary: brought_server(),
                    directory: state.join("nats"),
                    port: workspace.nats.port,
                    tls: serves_tls,
                    configuration: configuration.unwrap_or_default(),
                };
                let server = tokio::task::spawn_blocking(move || Server::start(&options)).await??;
                let connect = Connect {
                    tls: tls.unwrap_or_default(),
                    ..Connect::new(server.url(), "up")
                };
                (Some(server), connect)
            }
        };
        let (stop, stopped) = watch::channel(false);
        let mut fleet = Self {
            running: Running::path(&workspace.directory),
            connect,
            members: Vec::new(),
            simulated_hub: None,
            auth: local.as_ref().map(|local| local.folder().to_owned()),
            local,
            tasks: JoinSet::new(),
            stop,
            state,
            _server: server,
            _lock: lock,
        };
        let hub = match workspace.hub.as_ref().filter(|_| serves) {
            Some(hub) => Some(fleet.hub(hub, &workspace.directory, &stopped).await?),
            None => None,
        };
        if serves {
            let bus = fleet.connect_as(Role::Aggregator, "aggregator")?;
            let writer = hub.clone().map(|client| fleetcast_hub::status::Options {
                bus: Connect {
                    name: "status".to_owned(),
                    ..bus
                },
                client,
                identity: IDENTITY.to_owned(),
            });
            let statuses = writer.map(write_statuses);
            fleet.start_services(statuses, workspace.ingest.bulk_removals, &stopped)?;
        }
        for member in &workspace.clusters {
            fleet
                .start_member(member, &workspace.directory, &stopped)
                .await
                .with_context(|| format!("cluster {}", member.name))?;
        }
        fleet.register(&workspace.clusters).await?;
        if let Some(client) = hub {
            fleet.watch_hub(client, &stopped)?;
        }
        let creds = match fleet.connect_as(Role::Operator, "up")?.credentials {
            Credentials::File(path) => Some(path.canonicalize()?),
            Credentials::None | Credentials::Password(..) => None,
        };
        // Others may issue and revoke from now on.
        fleet.local = None;
        let nats = fleet.connect.url.clone();
        let tls_ca = fleet.connect.tls.ca.clone();
        let auth = fleet.auth.as_ref().map(|folder| folder.canonicalize());
        let auth = auth.transpose()?;
        let running = serde_json::to_vec(&Running {
            nats,
            creds,
            tls_ca,
            auth,
        })?;
        std::fs::write(&fleet.running, running)?;
        Ok(fleet)
    }

    /// How a part of the fleet connects, in a role.
    fn connect_as(&mut self, role: Role, name: &str) -> anyhow::Result<Connect> {
        let credentials = match &mut self.local {
            Some(local) => Credentials::File(local.credentials(role, name)?),
            None => self.connect.credentials.clone(),
        };
        Ok(Connect {
            name: name.to_owned(),
            credentials,
            ..self.connect.clone()
        })
    }

    fn start_services(
        &mut self,
        statuses: Option<Statuses>,
        bulk_removals: Limit,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let ingest = fleetcast_ingest::Options {
            bus: self.connect_as(Role::Ingest, "ingest")?,
            directory: self.state.join("state"),
            identity: IDENTITY.to_owned(),
            layout: LAYOUT,
            offline_after: fleetcast_ingest::OFFLINE_AFTER,
            bulk_removals,
            sealing: self.sealing()?,
            http: None,
            health: Health::default(),
        };
        let aggregator = fleetcast_aggregator::Options {
            bus: self.connect_as(Role::Aggregator, "aggregator")?,
            directory: self.state.join("state"),
            statuses,
            http: None,
            health: Health::default(),
        };
        let (stop_ingest, stop_aggregator) = (stopped.clone(), stopped.clone());
        self.tasks.spawn(async move {
            fleetcast_ingest::run(ingest, stop_ingest)
                .await
                .context("ingest")
        });
        self.tasks.spawn(async move {
            fleetcast_aggregator::run(aggregator, stop_aggregator)
                .await
                .context("aggregator")
        });
        Ok(())
    }

    async fn start_member(
        &mut self,
        member: &Member,
        directory: &Path,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let line = Relay::to(&self.connect.url).await?;
        let (client, kubeconfig, simulated) = match &member.kubeconfig {
            Some(path) => {
                let path = directory.join(path);
                (
                    client_of(&path, member.context.as_deref()).await?,
                    path,
                    None,
                )
            }
            None => {
                let (cluster, http, kubeconfig) =
                    self.simulate(&member.name, directory, stopped)?;
                (cluster.client(), kubeconfig, Some((cluster, http)))
            }
        };
        let agent = fleetcast_agent::Options {
            cluster: member.name.clone(),
            partitions: LAYOUT.partitions,
            bus: Connect {
                url: line.url(),
                name: format!("agent {}", member.name),
                ..self.connect_as(Role::Agent, member.name.as_str())?
            },
            client,
            reporting: fleetcast_agent::cluster::Reporting::default(),
            state: None,
            measure_every: Some(fleetcast_agent::measure::EVERY),
            sealing_keys: Arc::new(self.keys_of(&member.name)?),
            identity: IDENTITY.to_owned(),
            health: Health::default(),
            namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
            creds_secret: None,
        };
        let stopped = stopped.clone();
        self.tasks.spawn(async move {
            let name = agent.cluster.clone();
            fleetcast_agent::run(agent, stopped)
                .await
                .with_context(|| format!("the agent of {name}"))
        });
        self.members.push(RunningMember {
            name: member.name.clone(),
            kubeconfig,
            line,
            simulated,
        });
        Ok(())
    }

    /// The hub; a simulated one serves the native kinds.
    async fn hub(
        &mut self,
        hub: &Hub,
        directory: &Path,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<kube::Client> {
        let Some(path) = &hub.kubeconfig else {
            let name = ClusterName::parse(HUB).map_err(|refusal| anyhow!("{refusal}"))?;
            let started = self.simulate(&name, directory, stopped);
            let (cluster, http, _) = started.context("the hub")?;
            self.simulated_hub = Some(http);
            let client = cluster.client();
            serve_native_kinds(&client).await.context("the hub")?;
            return Ok(client);
        };
        let client = client_of(&directory.join(path), hub.context.as_deref()).await;
        client.context("the hub")
    }

    /// Watches the hub.
    fn watch_hub(
        &mut self,
        client: kube::Client,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let options = fleetcast_hub::Options {
            bus: Connect {
                name: "hub".to_owned(),
                ..self.connect_as(Role::Ingest, "ingest")?
            },
            client,
            directory: self.state.join("state"),
            identity: IDENTITY.to_owned(),
            sealing: self.sealing()?,
        };
        let stopped = stopped.clone();
        self.tasks.spawn(async move {
            fleetcast_hub::run(options, stopped)
                .await
                .context("the hub's watch")
        });
        Ok(())
    }

    /// A cluster in this process, with what it held last time, and a kubeconfig for kubectl.
    fn simulate(
        &mut self,
        name: &ClusterName,
        directory: &Path,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<(simulator::Cluster, simulator::HttpServer, PathBuf)> {
        let content = self.state.join(format!("{name}.cluster.json"));
        let cluster = match std::fs::read(&content) {
            Ok(bytes) => {
                simulator::Cluster::import(name.as_str(), serde_json::from_slice(&bytes)?)?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                simulator::Cluster::new(name.as_str())
            }
            Err(error) => return Err(error.into()),
        };
        let http = cluster.serve_http(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let kubeconfig = directory.join(".run").join(format!("{name}.kubeconfig"));
        std::fs::write(&kubeconfig, http.kubeconfig())?;
        let (saved, mut stopped) = (cluster.clone(), stopped.clone());
        self.tasks.spawn(async move {
            let mut changes = saved.changes();
            let mut ended = false;
            while !ended {
                tokio::select! {
                    changed = changes.changed() => ended = changed.is_err(),
                    _ = stopped.wait_for(|stop| *stop) => ended = true,
                }
                tokio::time::sleep(SAVE_EVERY).await;
                changes.mark_unchanged();
                let bytes = serde_json::to_vec(&saved.export())?;
                let next = content.with_extension("next");
                tokio::fs::write(&next, bytes).await?;
                tokio::fs::rename(&next, &content).await?;
            }
            Ok(())
        });
        Ok((cluster, http, kubeconfig))
    }

    /// The hub's keys, made at its first start.
    fn sealing(&self) -> anyhow::Result<Sealing> {
        let keys = sealing::read_or_create(&self.state.join("sealing.keys"))?;
        Ok(Sealing::With(Arc::new(Sealer::new(keys, Vec::new()))))
    }

    /// The keys of a cluster's agent, made at its first start.
    fn keys_of(&self, cluster: &ClusterName) -> anyhow::Result<Keys> {
        sealing::read_or_create(&self.state.join(format!("{cluster}.sealing-key")))
    }

    /// Registers the clusters as the workspace describes them; what is registered so already makes no event.
    async fn register(&mut self, members: &[Member]) -> anyhow::Result<()> {
        let bus = Bus::connect_patiently(&self.connect_as(Role::Operator, "up")?).await?;
        for member in members {
            let sealing_key = self.keys_of(&member.name)?.newest().map(str::to_owned);
            let cluster = Cluster {
                sealing_key,
                ..member.cluster()
            };
            let (key, document) = (ObjectKey::of_cluster(&cluster.name), cluster.document());
            let registered = tokio::select! {
                registered = submit::apply(&bus, &key, &document) => registered?,
                ended = self.ended() => return ended,
            };
            if let Answer::Refused { refusal } = registered {
                bail!(
                    "cluster {} is refused: {}: {}",
                    member.name,
                    refusal.field,
                    refusal.message
                );
            }
        }
        Ok(())
    }

    /// Ends only when a service ends that should not.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) | None => bail!("a service ended"),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Stops everything in order: the services say goodbye, then the server ends.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut outcome = Ok(());
        loop {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(ended)) => {
                    if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|ended| ended) {
                        outcome = Err(error);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!("a service did not end in time");
                    break;
                }
            }
        }
        if let Some(http) = self.simulated_hub.take() {
            http.stop();
        }
        for member in self.members.drain(..) {
            if let Some((_, http)) = member.simulated {
                http.stop();
            }
        }
        let _ = std::fs::remove_file(&self.running);
        outcome
    }
}

/// The NATS server that `cargo xtask tools` brought for a binary that Cargo built, where nothing else is said.
pub(crate) fn brought_server() -> Option<PathBuf> {
    if std::env::var_os(server::BINARY).is_some() {
        return None;
    }
    let binary = std::env::current_exe().ok()?;
    let tools = binary.parent()?.parent()?.join("tools");
    let mut brought: Vec<PathBuf> = std::fs::read_dir(tools)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("nats-server")))
        .filter(|server| server.is_file())
        .collect();
    brought.sort();
    brought.pop()
}

/// Makes a cluster serve the native kinds.
async fn serve_native_kinds(client: &kube::Client) -> anyhow::Result<()> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let params = PatchParams::apply("fleetcast").force();
    for (name, definition) in crds::definitions() {
        let patch = Patch::Apply(definition);
        definitions.patch(&name, &params, &patch).await?;
    }
    Ok(())
}

/// A client for the cluster behind a kubeconfig.
pub(crate) async fn client_of(
    kubeconfig: &Path,
    context: Option<&str>,
) -> anyhow::Result<kube::Client> {
    let source = credentials::Source {
        kubeconfig: Some(kubeconfig.to_owned()),
        context: context.map(str::to_owned),
    };
    Ok(credentials::client(source).await?)
}
