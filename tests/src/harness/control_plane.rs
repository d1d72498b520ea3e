//! Real Kubernetes API servers, each a process of its own with its own store, on free ports, with RBAC on, removed on drop.
//!
//! | what a test asks for | what it gets |
//! |---|---|
//! | [`control_plane`] | the one that the tests of a binary share; a test works in a namespace of its own ([`namespace`]) |
//! | [`control_planes`] | so many of its own, which it may kill and start again |
//! | [`rights::service_account`] | a kubeconfig with a service account's token and the rights that the test names |
//! | [`pods::run_pods`] | somebody who does what a kubelet would: Pods become ready, those of Jobs succeed |
//!
//! The binary is built from `tests/control-plane` by `cargo xtask`, which names it in `FLEETCAST_CONTROL_PLANE`; without it a folder
//! `KUBEBUILDER_ASSETS` will do. There is no kubelet, no scheduler and no network: a Deployment gets its ReplicaSet and Pods, and the Pods stay pending
//! unless a test runs them. A whole simulation of nodes (KWOK) would only add that last step, and a build of its own.

mod assets;
pub mod pods;
pub mod rights;
mod slots;
mod store;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::skip;
use assets::Source;

/// How long a control plane may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// One cluster without nodes. Killed and removed when it is dropped.
pub struct ControlPlane {
    source: Source,
    /// What is to run; a process that ended stays until it is started again.
    running: Mutex<Vec<Child>>,
    folder: TempDir,
    port: u16,
    _slot: slots::Slot,
}

/// So many control planes of the test's own; none (said so) where nothing is there to run them. Others wait meanwhile: ask for all at once.
pub async fn control_planes(test: &str, count: u32) -> Option<Vec<ControlPlane>> {
    let source = source(test)?;
    let mut planes = Vec::new();
    for slot in slots::take(count).await {
        planes.push(ControlPlane::new(source.clone(), slot));
    }
    // All are under way before the first is waited for.
    for plane in &mut planes {
        plane.ready_on_some_port().await;
    }
    Some(planes)
}

/// A hub without controllers, and so many members with them; none (said so) where nothing is there to run them.
pub async fn hub_and_members(
    test: &str,
    members: u32,
) -> Option<(ControlPlane, Vec<ControlPlane>)> {
    let source = source(test)?;
    // All at once: two tests that each held some would wait for each other.
    let mut slots = slots::take(1 + members).await.into_iter();
    let mut hub = ControlPlane::new(source.clone().bare(), slots.next()?);
    let mut planes: Vec<ControlPlane> = slots
        .map(|slot| ControlPlane::new(source.clone(), slot))
        .collect();
    for plane in std::iter::once(&mut hub).chain(&mut planes) {
        plane.ready_on_some_port().await;
    }
    Some((hub, planes))
}

/// A control plane of the test's own where nobody but its users writes: no controllers, as in a hub of Karmada's. None (said so) where nothing is there to run one.
pub async fn bare_control_plane(test: &str) -> Option<ControlPlane> {
    let source = source(test)?.bare();
    let slot = slots::take(1).await.into_iter().next()?;
    let mut plane = ControlPlane::new(source, slot);
    plane.ready_on_some_port().await;
    Some(plane)
}

/// The control plane that the tests of one binary share; none (said so) where nothing is there to run one. It ends with the binary.
pub async fn control_plane(test: &str) -> Option<&'static ControlPlane> {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    let source = source(test)?;
    let shared = SHARED
        .get_or_init(async || {
            let slot = slots::shared().await;
            let mut plane = ControlPlane::new(source, slot);
            plane.ready_on_some_port().await;
            plane
        })
        .await;
    Some(shared)
}

/// Makes a namespace of a name that nobody else has, and answers the name.
pub async fn namespace(client: &Client, prefix: &str) -> String {
    let namespace = serde_json::from_value::<Namespace>(
        json!({"metadata": {"generateName": format!("{prefix}-")}}),
    )
    .expect("a namespace");
    let made = Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .expect("the namespace is made");
    made.metadata.name.expect("it has a name")
}

fn source(test: &str) -> Option<Source> {
    match Source::of_environment() {
        Ok(source) => Some(source),
        Err(reason) => {
            skip(test, reason);
            None
        }
    }
}

impl ControlPlane {
    fn new(source: Source, slot: slots::Slot) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("control-plane-")
            .tempdir()
            .expect("a folder");
        let plane = Self {
            source,
            running: Mutex::default(),
            folder,
            port: free_port(),
            _slot: slot,
        };
        plane.begin();
        plane
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Its address: `https://127.0.0.1:6443`.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate that it shows, with the authority that signed it: PEM.
    pub fn certificate(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("apiserver.crt")).expect("the API server made it")
    }

    /// Whether the controllers run: garbage is collected, namespaces go, Deployments get Pods. Not with `KUBEBUILDER_ASSETS`.
    pub fn has_controllers(&self) -> bool {
        self.source.has_controllers()
    }

    /// A client with all rights. It belongs to the runtime of the test that calls.
    pub async fn client(&self) -> Client {
        client_of(&self.kubeconfig()).await
    }

    /// Kills it in the middle of what it does, as a power cut of its machine would; what it stored stays.
    pub fn kill(&self) {
        let mut running = self.running.lock().expect("no test panicked here");
        for child in running.iter_mut() {
            assets::kill(&self.source, child);
        }
        running.clear();
    }

    /// Starts it again after [`kill`](Self::kill): the same cluster at the same address, with the same credentials.
    pub async fn start(&self) {
        self.begin();
        self.ready().await;
    }

    /// The resident memory of its processes in bytes; none where the system does not say (it is read from `/proc`).
    pub fn resident_bytes(&self) -> Option<u64> {
        let running = self.running.lock().expect("no test panicked here");
        running
            .iter()
            .map(|child| {
                let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix("VmRSS:"))?;
                let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
                Some(kib * 1024)
            })
            .sum()
    }

    /// The processes that it consists of.
    fn processes(&self) -> Vec<u32> {
        let running = self.running.lock().expect("no test panicked here");
        running.iter().map(Child::id).collect()
    }

    fn begin(&self) {
        let _ = fs::remove_file(self.kubeconfig());
        let started = self.source.start(self.folder.path(), self.port);
        *self.running.lock().expect("no test panicked here") = started;
    }

    /// As [`ready`](Self::ready), for a new cluster: somebody else may have taken its port before it could, so another one is tried.
    async fn ready_on_some_port(&mut self) {
        for _ in 0..3 {
            if self.is_ready().await.is_ok() {
                return;
            }
            self.kill();
            // Whatever ended took its folder along.
            let _ = fs::remove_dir_all(self.folder.path());
            fs::create_dir_all(self.folder.path()).expect("a folder");
            self.port = free_port();
            self.begin();
        }
        self.ready().await;
    }

    async fn ready(&self) {
        if let Err(why) = self.is_ready().await {
            panic!(
                "a control plane does not become ready ({why}):\n{}",
                self.log()
            );
        }
    }

    /// Waits until the kubeconfig is there: it is written when everything is ready. Or says why not.
    async fn is_ready(&self) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            if self.source.is_ready(self.folder.path(), self.port).await {
                return Ok(());
            }
            let ended = self
                .running
                .lock()
                .expect("no test panicked here")
                .iter_mut()
                .find_map(|child| child.try_wait().expect("it can be asked"));
            if let Some(ended) = ended {
                return Err(ended.to_string());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end of what its processes said.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client for the cluster behind a kubeconfig, read as `fleetcast` reads one.
pub async fn client_of(kubeconfig: &Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .expect("it names a cluster and a user");
    Client::try_from(config).expect("the credentials can be used")
}

/// Starts a program that ends when we do: it holds the other end of our pipe.
fn spawn(folder: &Path, command: &mut Command) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(folder.join("log"))
        .expect("a log");
    command
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

/// A port that was free a moment ago: it must be the same after a restart, so it cannot be left to the process.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
