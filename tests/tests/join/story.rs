//! Two commands from nothing to a joined cluster, and one to let it go.

use std::process::{Command, Stdio};

use fleetcast_bus::{Bus, Connect, Credentials, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::subject::Lane;
use fleetcast_tests::harness::{Binary, Output, control_planes, eventually, nats_server};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::pod::{self, Pod};
use super::rights;

const WEB: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: default}\ndata: {text: x}\n";

/// Runs `fleetcast` as it is typed.
fn typed(fleetcast: &Binary, line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    tokio::task::block_in_place(|| fleetcast.done(&words))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_from_nothing_to_a_joined_cluster() {
    let test = "two_commands_from_nothing_to_a_joined_cluster";
    let (Some(server), Some(planes)) = (nats_server(test), control_planes(test, 1).await) else {
        return;
    };
    let (plane, folder) = (&planes[0], tempfile::tempdir().expect("a folder"));
    let admin = plane.client().await;
    let fleetcast = Binary::new(folder.path(), server);

    // The first command: the hub. It says what to type next.
    let _up = tokio::task::block_in_place(|| fleetcast.up_with(&["--auth", "--no-clusters"]));
    let said = std::fs::read_to_string(folder.path().join("up.log")).expect("a log");
    assert!(
        said.contains("fleetcast cluster join NAME | kubectl apply -f -"),
        "{said}"
    );

    // The second: the cluster, into which the manifest goes by a pipe. Nothing but the manifest stands on standard output.
    let joined = typed(&fleetcast, "fleetcast cluster join eu-1 --labels tier=prod");
    kubectl_apply(&admin, plane.kubeconfig().as_ref(), &joined.out).await;
    assert!(
        joined
            .err
            .contains("next: kubectl apply -f - in eu-1 takes this"),
        "{}",
        joined.err
    );

    // It is joined: a kubelet starts the agent, and it is heard.
    let agent = Pod::start(&fleetcast, plane, "first").await;
    let ready = || {
        typed(&fleetcast, "fleetcast cluster list -o json").json()["clusters"][0]["readiness"]
            == "ready"
    };
    eventually("eu-1 is ready", async || ready()).await;
    eventually("the kubelet finds it ready", async || {
        agent.probe("livenessProbe") && agent.probe("readinessProbe")
    })
    .await;

    // What is handed in lands there, and the hub knows it.
    std::fs::write(folder.path().join("web.yaml"), WEB).expect("written");
    typed(
        &fleetcast,
        "fleetcast apply -f web.yaml --clusters eu-1 --wait",
    );
    let web = copy(&admin).await.expect("it landed");
    assert_eq!(web.labels()["fleetcast.dev/managed"], "true");
    let list = typed(&fleetcast, "fleetcast cluster list -o json").json();
    assert_eq!(list["clusters"][0]["labels"]["tier"], "prod");
    assert_eq!(list["clusters"][0]["applied"], 1);

    // It may do what it needs, and nothing else.
    let client = agent.client().await;
    let (allowed, denied) = rights::ask_everything(&admin, &client, rights::USUAL).await;
    println!("{allowed} requests are allowed, {denied} are denied");
    assert!(allowed > 100 && denied > 1_000, "{allowed} {denied}");
    rights::try_to_break_out(&client).await;
    let log = agent.log(&fleetcast);
    assert!(!log.contains("forbidden"), "{log}");

    // One command lets it go; before that it says what it would do.
    let preview = typed(&fleetcast, "fleetcast cluster remove eu-1 --dry-run");
    assert!(
        preview.out.contains("copies that stay in it: 1"),
        "{preview:?}"
    );
    assert!(ready(), "a dry run changes nothing");
    let credentials = folder.path().join("stolen.creds");
    std::fs::write(&credentials, pod::credentials(&admin).await).expect("written");
    let bus = operator(folder.path()).await;
    assert!(has_work(&bus).await);
    let removed = typed(&fleetcast, "fleetcast cluster remove eu-1");
    assert!(
        removed
            .out
            .contains("the copies in it stay (1), and its work is withdrawn"),
        "{removed:?}"
    );
    assert!(
        removed.out.contains("1 of its agent's credentials revoked"),
        "{removed:?}"
    );
    eventually("its work is withdrawn", async || !has_work(&bus).await).await;
    eventually("the agent is out", async || !agent.probe("readinessProbe")).await;
    assert!(
        agent.probe("livenessProbe"),
        "to start it again would not help"
    );
    assert!(
        !gets_in(folder.path(), &credentials).await,
        "whoever has its credentials is out"
    );
    let stays = copy(&admin).await.expect("the copy stays");
    assert_eq!(
        stays.metadata.resource_version,
        web.metadata.resource_version
    );

    // It may come back: the same command, and the copy is ours again, the same object.
    drop(agent);
    let joined = typed(&fleetcast, "fleetcast cluster join eu-1 --labels tier=prod");
    kubectl_apply(&admin, plane.kubeconfig().as_ref(), &joined.out).await;
    let _agent = Pod::start(&fleetcast, plane, "second").await;
    eventually("eu-1 is ready again", async || ready()).await;
    typed(
        &fleetcast,
        "fleetcast apply -f web.yaml --clusters eu-1 --wait",
    );
    let again = copy(&admin).await.expect("it is there");
    assert_eq!(again.metadata.uid, web.metadata.uid);
    eventually("its work is there again", async || has_work(&bus).await).await;
}

/// `kubectl apply -f -`, or what it does where there is none.
async fn kubectl_apply(admin: &Client, kubeconfig: &std::path::Path, manifest: &str) {
    let kubectl = Command::new("kubectl")
        .args(["apply", "--validate=strict", "-f", "-", "--kubeconfig"])
        .arg(kubeconfig)
        .env("HOME", kubeconfig.parent().expect("a folder"))
        .stdin(Stdio::piped())
        .spawn();
    if let Ok(mut kubectl) = kubectl {
        let mut pipe = kubectl.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut pipe, manifest.as_bytes()).expect("it reads");
        drop(pipe);
        let ended = tokio::task::block_in_place(|| kubectl.wait()).expect("it ends");
        assert!(ended.success(), "kubectl takes it:\n{manifest}");
        return;
    }
    for (_, object) in fleetcast_ingest::documents::read(manifest) {
        let object: DynamicObject =
            serde_json::from_value(object.expect("YAML")).expect("an object");
        let types = object.types.clone().expect("a kind");
        let (group, version) = fleetcast_kubernetes::split(&types.api_version);
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &kind),
            None => Api::all_with(admin.clone(), &kind),
        };
        let params = PatchParams::apply("kubectl").validation_strict();
        let applied = api
            .patch(&object.name_any(), &params, &Patch::Apply(&object))
            .await;
        applied.expect("the administrator may");
    }
}

/// The copy in the cluster.
async fn copy(admin: &Client) -> Option<ConfigMap> {
    let api: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
    api.get_opt("web").await.expect("it is answered")
}

fn fleet(folder: &std::path::Path) -> Value {
    let text = std::fs::read(folder.join(".run/fleet.json")).expect("a fleet");
    serde_json::from_slice(&text).expect("JSON")
}

/// The bus as the operator of the fleet has it.
async fn operator(folder: &std::path::Path) -> Bus {
    let fleet = fleet(folder);
    let connect = Connect {
        credentials: Credentials::File(fleet["creds"].as_str().expect("credentials").into()),
        tls: fleetcast_bus::tls::Tls {
            ca: fleet["tls_ca"].as_str().map(Into::into),
            ..fleetcast_bus::tls::Tls::default()
        },
        ..Connect::new(fleet["nats"].as_str().expect("a URL"), "test")
    };
    Bus::connect_patiently(&connect).await.expect("connected")
}

/// Whether work of eu-1 stands in the work stream.
async fn has_work(bus: &Bus) -> bool {
    let lane = Lane::new(ClusterName::parse("eu-1").expect("valid"), 1);
    let object = "ConfigMap/default/web".parse().expect("valid");
    let found = bus.newest_of(&streams::work(0), &lane.work(&object)).await;
    found.expect("it is answered").is_some()
}

/// Whether the NATS server lets somebody in with these credentials.
async fn gets_in(folder: &std::path::Path, credentials: &std::path::Path) -> bool {
    let fleet = fleet(folder);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(credentials, mode).expect("set");
    let connect = Connect {
        credentials: Credentials::File(credentials.to_owned()),
        tls: fleetcast_bus::tls::Tls {
            ca: fleet["tls_ca"].as_str().map(Into::into),
            ..fleetcast_bus::tls::Tls::default()
        },
        ..Connect::new(fleet["nats"].as_str().expect("a URL"), "thief")
    };
    Bus::connect(&connect).await.is_ok()
}
