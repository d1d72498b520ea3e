//! Services as processes of their own, at TRACE, with a Kubernetes hub and HTTP: what they log, what they count, and what `hub diff` prints of a log that was cut
//! hold no value of a Secret.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleetcast_bus::credentials::write_secret;
use fleetcast_bus::{Bus, Credentials, streams};
use fleetcast_core::dialect::native::crds;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Binary, Http, Output, Up, client_of, eventually, keys, listens_at, nats_server, token_file,
};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::scene::{MARK, change, holding, holds, is_in, secret};

const TOKEN: &str = "the token of somebody who hands in";
/// What each says when it answers `/metrics`.
const TELLS: &str = "telling how it does";

fn api(hub: &Client, document: &Value) -> Api<DynamicObject> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&document["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let kind = GroupVersionKind::gvk(group, version, &text(&document["kind"]));
    let resource = ApiResource::from_gvk(&kind);
    match document["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(hub.clone(), namespace, &resource),
        None => Api::all_with(hub.clone(), &resource),
    }
}

async fn apply(hub: &Client, document: &Value) {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let params = PatchParams::apply("kubectl").force();
    let (api, patch) = (api(hub, document), Patch::Apply(document));
    api.patch(name, &params, &patch).await.expect("applied");
}

/// Processes in one folder.
struct Processes {
    bed: Bed,
    binary: Binary,
    folder: PathBuf,
}

impl Processes {
    /// With its role's credentials.
    fn with(&self, role: Role, name: &str, args: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = args.iter().map(ToString::to_string).collect();
        all.extend(["--nats".to_owned(), self.bed.connect.url.clone()]);
        if let Credentials::File(path) = self.bed.credentials(role, name) {
            all.extend(["--creds".to_owned(), path.display().to_string()]);
        }
        all
    }

    /// Starts a service that logs everything, and tells how it does where it says.
    async fn start(&self, role: Role, name: &str, args: &[&str]) -> (Up, SocketAddr) {
        let args = [args, &["--log", "trace", "--health", "127.0.0.1:0"]].concat();
        let args = self.with(role, name, &args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let up = self.binary.start(name, &args);
        let health = listens_at(&self.log(name), TELLS).await;
        (up, health)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Runs a command as the operator.
    async fn run(&self, args: &[&str]) -> Output {
        let (binary, args) = (self.binary.clone(), self.with(Role::Operator, "me", args));
        let run = move || binary.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.expect("it ends");
        for said in [&output.out, &output.err] {
            assert!(!is_in(said.as_bytes(), MARK), "{said}");
        }
        output
    }

    async fn hub_diff(&self, more: &[&str]) -> Output {
        let diff = ["hub", "diff", "--hub", "hub.kubeconfig", "-o", "json"];
        self.run(&[&diff, more].concat()).await
    }

    /// Cuts everything away that stands in the log.
    async fn cut(&self, bus: &Bus) {
        eventually("the log is cut", async || {
            let to = bus.last_sequence(streams::LOG).await.expect("a log");
            let to = to.to_string();
            let cut = ["retain", "--to", &to, "--without-backup", "--yes"];
            self.run(&cut).await.status == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_log_and_count_no_value_and_hub_diff_prints_none() {
    let test = "processes_log_and_count_no_value_and_hub_diff_prints_none";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server.clone());
    let bus = bed.bus().await;
    let folder = bed.directory.path().join("run");
    std::fs::create_dir(&folder).expect("a folder");
    let own_file = |name: &str, key: &str| {
        write_secret(&folder.join(name), keys(key).text().as_bytes()).expect("written");
    };
    own_file("hub.keys", "hub");
    own_file("eu.key", "eu");
    token_file(&folder, &[("ci", "publisher", TOKEN)]);
    let (hub, eu) = (Cluster::new("hub"), Cluster::new("eu"));
    let served = [&hub, &eu].map(|cluster| {
        let http = cluster.serve_http(([127, 0, 0, 1], 0).into());
        let http = http.expect("it listens");
        let file = folder.join(format!("{}.kubeconfig", cluster.name()));
        std::fs::write(file, http.kubeconfig()).expect("written");
        http
    });
    let on_hub = client_of(&folder.join("hub.kubeconfig")).await;
    for (_, definition) in crds::definitions() {
        apply(&on_hub, &definition).await;
    }
    let federated = api(&on_hub, &secret("db", &["eu"], "one"));
    eventually("the kinds are served", async || {
        federated.list(&ListParams::default()).await.is_ok()
    })
    .await;

    let fleet = Processes {
        binary: Binary::new(&folder, server),
        bed,
        folder,
    };
    let ingest = [
        "ingest",
        "--identity",
        "one",
        "--state",
        "ingest",
        "--hub",
        "hub.kubeconfig",
        "--sealing-keys",
        "hub.keys",
        "--http",
        "127.0.0.1:0",
        "--http-tokens",
        "tokens",
    ];
    let aggregator = ["aggregator", "--state", "view", "--hub", "hub.kubeconfig"];
    let agent = [
        "agent",
        "--cluster",
        "eu",
        "--kubeconfig",
        "eu.kubeconfig",
        "--state",
        "local",
        "--sealing-key",
        "eu.key",
    ];
    let services = [
        fleet.start(Role::Ingest, "ingest", &ingest).await,
        fleet
            .start(Role::Aggregator, "aggregator", &aggregator)
            .await,
        fleet.start(Role::Agent, "eu", &agent).await,
    ];
    fleet.bed.register(&bus, &["eu"]).await;
    let http = Http {
        address: listens_at(&fleet.log("ingest"), "listening for HTTP").await,
        token: Some(TOKEN.to_owned()),
    };

    // From the hub, over HTTP; changed, refused, drifted.
    apply(&on_hub, &secret("db", &["eu"], "one")).await;
    holds(&eu, "db", &format!("{MARK} one")).await;
    apply(&on_hub, &secret("db", &["eu"], "two")).await;
    holds(&eu, "db", &format!("{MARK} two")).await;
    eventually("somebody leads", async || {
        http.post(&secret("posted", &["eu"], "one")).await.0 == 200
    })
    .await;
    holds(&eu, "posted", &format!("{MARK} one")).await;
    let mut wrong = secret("wrong", &["eu"], "refused");
    let no_pointer =
        json!({"op": "replace", "path": "stringData", "value": format!("{MARK} refused")});
    wrong["spec"]["overrides"] = json!([{"clusters": ["eu"], "patches": [no_pointer]}]);
    let (status, answer) = http.post(&wrong).await;
    assert_eq!(status, 422, "{answer}");
    assert!(!is_in(answer.to_string().as_bytes(), MARK), "{answer}");
    apply(&on_hub, &wrong).await;
    eventually("the hub is told that it is refused", async || {
        let told = api(&on_hub, &wrong).get("wrong").await;
        told.is_ok_and(|told| told.data["status"].to_string().contains("Refused"))
    })
    .await;
    change(&eu, "db", &format!("{MARK} drifted")).await;
    holds(&eu, "db", &format!("{MARK} two")).await;

    // A hub held against the log, also where the log was cut: with keys and without.
    let uncompared = json!(["Secret/default/db"]);
    let differs = |output: &Output| -> Vec<Value> {
        let all = output.json()["differences"].as_array().cloned();
        let all = all.expect("a list").into_iter();
        all.filter(|one| one["object"] == "Secret/default/db")
            .map(|one| one["standing"].clone())
            .collect()
    };
    let keys = ["--sealing-keys", "hub.keys"];
    let without = fleet.hub_diff(&[]).await;
    assert_eq!(differs(&without), Vec::<Value>::new(), "{without:?}");
    assert_eq!(without.json()["uncompared"], uncompared, "{without:?}");
    let with = fleet.hub_diff(&keys).await;
    assert_eq!(differs(&with), Vec::<Value>::new(), "{with:?}");
    fleet.cut(&bus).await;
    let with = fleet.hub_diff(&keys).await;
    assert_eq!(differs(&with), Vec::<Value>::new(), "{with:?}");
    // A base has digests, and no document that could be compared but for its values.
    let without = fleet.hub_diff(&[]).await;
    assert_eq!(without.status, 1, "{without:?}");
    assert_eq!(differs(&without), [json!("changed")], "{without:?}");

    for (_, health) in &services {
        let process = Http {
            address: *health,
            token: None,
        };
        let metrics = process.text("/metrics").await;
        assert!(metrics.contains("fleetcast_ready"), "{metrics}");
        assert!(!is_in(metrics.as_bytes(), MARK), "{metrics}");
    }
    drop(services);
    drop(served);
    for name in ["ingest", "aggregator", "eu"] {
        logged_nothing(&fleet.log(name));
    }
    for name in ["ingest", "eu"] {
        let said = std::fs::read_to_string(fleet.log(name)).expect("a log");
        assert!(said.contains("default/db"), "{name} tells of the Secret");
    }
    assert_eq!(holding(&fleet.folder, MARK), Vec::<PathBuf>::new());
}

/// That a log is one at TRACE, and holds no value.
fn logged_nothing(log: &Path) {
    let said = std::fs::read_to_string(log).expect("a log");
    assert!(said.contains("TRACE"), "{} is at TRACE", log.display());
    for line in said.lines() {
        assert!(!is_in(line.as_bytes(), MARK), "{}: {line}", log.display());
    }
    // It is a search that finds what is there.
    let planted = format!("{said}\n{}", STANDARD.encode(MARK));
    assert!(is_in(planted.as_bytes(), MARK));
}
