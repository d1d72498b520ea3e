//! A fleet whose members are real clusters: each service a process, each agent with a service account's token.

use fleetcast_tests::harness::control_plane::rights;
use fleetcast_tests::harness::{
    Bed, Binary, ControlPlane, Output, Up, control_planes, nats_server,
};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The services, and the clusters `c1`, `c2`, … that they serve.
pub(crate) struct Fleet {
    /// Clients with all rights, in the order of the clusters.
    pub(crate) clients: Vec<kube::Client>,
    /// The agents, in the same order.
    pub(crate) agents: Vec<Option<Up>>,
    _services: Vec<Up>,
    binary: Binary,
    /// The bus.
    pub(crate) bed: Bed,
    /// The clusters.
    pub(crate) planes: Vec<ControlPlane>,
    folder: TempDir,
}

impl Fleet {
    /// Starts everything; none (said so) where there is no NATS server or no API server.
    pub(crate) async fn start(test: &str, clusters: u32) -> Option<Self> {
        let server = nats_server(test)?;
        let planes = control_planes(test, clusters).await?;
        let bed = Bed::new(server);
        let folder = tempfile::tempdir().expect("a folder");
        let mut clients = Vec::new();
        for (index, plane) in planes.iter().enumerate() {
            let kubeconfig = rights::agent(plane).await;
            let path = folder.path().join(format!("c{}.kubeconfig", index + 1));
            std::fs::write(path, kubeconfig).expect("written");
            clients.push(plane.client().await);
        }
        let mut fleet = Self {
            binary: bed.binary(folder.path()),
            _services: Vec::new(),
            agents: Vec::new(),
            clients,
            planes,
            bed,
            folder,
        };
        fleet._services = vec![fleet.service(&["ingest"]), fleet.service(&["aggregator"])];
        for index in 0..fleet.planes.len() {
            let agent = fleet.agent(index, "first");
            fleet.agents.push(Some(agent));
        }
        for index in 1..=fleet.planes.len() {
            fleet.done(&["cluster", "register", &format!("c{index}")]);
        }
        Some(fleet)
    }

    /// Starts an agent of the cluster with this index, with a local copy of its own.
    pub(crate) fn agent(&self, index: usize, identity: &str) -> Up {
        let name = format!("c{}", index + 1);
        let (kubeconfig, state) = (format!("{name}.kubeconfig"), format!("{name}-{identity}"));
        let (state, credentials) = (["--state", &state], ["--kubeconfig", &kubeconfig]);
        let who = ["agent", "--cluster", &name, "--identity", identity];
        self.service(&[&who[..], &credentials, &state].concat())
    }

    /// The kubeconfig of the agent of the cluster with this index.
    pub(crate) fn kubeconfig(&self, index: usize) -> std::path::PathBuf {
        self.folder
            .path()
            .join(format!("c{}.kubeconfig", index + 1))
    }

    /// Writes a file into the folder that commands work in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// Hands plain objects in for all clusters and waits until all have answered.
    pub(crate) async fn apply(&self, name: &str, text: &str) {
        self.write(name, text);
        self.begin_apply(name).await.expect("it does not panic");
    }

    /// Begins to hand in what a file holds; ends when all clusters have answered.
    pub(crate) fn begin_apply(&self, name: &str) -> JoinHandle<()> {
        let names: Vec<String> = (1..=self.planes.len())
            .map(|index| format!("c{index}"))
            .collect();
        let (binary, url) = (self.binary.clone(), self.bed.connect.url.clone());
        let (name, clusters) = (name.to_owned(), names.join(","));
        tokio::task::spawn_blocking(move || {
            binary.done(&[
                "apply",
                "-f",
                &name,
                "--clusters",
                &clusters,
                "--wait",
                "--timeout",
                "80s",
                "--nats",
                &url,
            ]);
        })
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let args = [args, &["--nats", &self.bed.connect.url]].concat();
        tokio::task::block_in_place(|| self.binary.run(&args))
    }

    /// Runs a command that should end well.
    pub(crate) fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.status, 0, "{args:?}: {output:?}");
        output
    }

    /// Starts a service of its own process.
    pub(crate) fn service(&self, args: &[&str]) -> Up {
        let name = args[..args.len().min(5)].join("-").replace('/', "-");
        let args = [args, &["--nats", &self.bed.connect.url]].concat();
        self.binary.start(&name, &args)
    }
}

/// Objects of a kind in the namespace `default`.
pub(crate) fn of(client: &kube::Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    of_namespace(client, "default", api_version, kind)
}

/// Objects of a kind in a namespace.
pub(crate) fn of_namespace(
    client: &kube::Client,
    namespace: &str,
    api_version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &kind)
}
