//! Joined by a kubeconfig: only the kinds that were named, nothing of the kubeconfig anywhere in the hub, and credentials that are renewed in their Secret.

use std::path::Path;

use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_tests::harness::control_plane::rights::service_account;
use fleetcast_tests::harness::{Binary, control_planes, eventually, nats_server};
use serde_json::json;

use super::pod::{self, Pod};
use super::rights;

const BOTH: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: default}\ndata: {text: x}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: default}\n";
/// The kinds that are named.
const NAMED: &[(&str, &[&str])] = &[("", &["configmaps"]), ("apps", &["deployments"])];

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_joins_a_cluster_and_stays_here() {
    let test = "a_kubeconfig_joins_a_cluster_and_stays_here";
    let (Some(server), Some(planes)) = (nats_server(test), control_planes(test, 1).await) else {
        return;
    };
    let (plane, folder) = (&planes[0], tempfile::tempdir().expect("a folder"));
    let fleetcast = Binary::new(folder.path(), server);
    let typed = |words: &[&str]| tokio::task::block_in_place(|| fleetcast.done(words));
    let _up = tokio::task::block_in_place(|| fleetcast.up_with(&["--auth", "--no-clusters"]));
    // An administrator of the cluster, by a token.
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let kubeconfig = service_account(plane, "default", "joiner", &all).await;
    let token = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "))
        .expect("a token")
        .to_owned();
    std::fs::write(folder.path().join("eu-1.kubeconfig"), &kubeconfig).expect("written");
    let join = ["cluster", "join", "eu-1", "--kubeconfig", "eu-1.kubeconfig"];

    // A dry run changes nothing, there or here.
    let dry = typed(&[&join[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!(dry.json()["kind"], "List");
    assert!(!dry.out.contains("NATS USER JWT"), "{dry:?}");
    let list = typed(&["cluster", "list", "-o", "json"]).json();
    assert_eq!(list["clusters"], json!([]));

    let named = ["--kinds", "ConfigMap,deployments.apps", "--ttl", "40s"];
    let joined = typed(&[&join[..], &named, &["-o", "json"]].concat()).json();
    let applied = joined["applied"].as_array().expect("a list");
    assert!(
        applied.contains(&json!("deployment/fleetcast-agent")),
        "{joined}"
    );
    let admin = plane.client().await;
    let issued = pod::credentials(&admin).await;
    let agent = Pod::start(&fleetcast, plane, "agent").await;
    eventually("the agent is well", async || agent.probe("readinessProbe")).await;

    // Half of 40 seconds later it has renewed them, in the Secret and nowhere else; as it was mounted the file stays.
    let mounted = folder.path().join("agent/bus/creds");
    let renewed = async || {
        let now = pod::credentials(&admin).await;
        (now != issued).then_some(now)
    };
    eventually("the Secret holds renewed credentials", async || {
        renewed().await.is_some()
    })
    .await;
    let (before, after) = (read(&issued), read(&pod::credentials(&admin).await));
    assert!(ends(&after) > ends(&before));
    assert_eq!(before.seed, after.seed, "the same user");
    assert_ne!(before.work_keys, after.work_keys, "another work key");
    assert_eq!(std::fs::read_to_string(mounted).expect("there"), issued);

    // Only what was named lands; what else is asked for says why.
    std::fs::write(folder.path().join("both.yaml"), BOTH).expect("written");
    typed(&["apply", "-f", "both.yaml", "--clusters", "eu-1"]);
    let get = || typed(&["get", "-o", "json"]).out;
    eventually("the rights are told", async || {
        let got = get();
        got.contains("applied") && got.contains("is forbidden")
    })
    .await;
    rights::ask_everything(&admin, &agent.client().await, NAMED).await;

    // Whoever was mounted the first credentials goes on after they have ended, with what the Secret holds.
    drop(agent);
    let again = Pod::start(&fleetcast, plane, "again").await;
    eventually("the agent is well again", async || {
        again.probe("readinessProbe")
    })
    .await;

    // Nothing of the kubeconfig is in the hub: neither in its streams nor beside them.
    assert!(!holds(&folder.path().join(".run"), token.as_bytes()));
    assert!(holds(
        &folder.path().join("eu-1.kubeconfig"),
        token.as_bytes()
    ));

    let removed = typed(&[
        "cluster",
        "remove",
        "eu-1",
        "--kubeconfig",
        "eu-1.kubeconfig",
    ]);
    assert!(
        removed.out.contains("deployment/fleetcast-agent deleted"),
        "{removed:?}"
    );
    assert!(
        removed.out.contains("secret/fleetcast-agent deleted"),
        "{removed:?}"
    );
    let left = tokio::task::block_in_place(|| {
        fleetcast.run(&[
            "cluster",
            "remove",
            "eu-1",
            "--kubeconfig",
            "eu-1.kubeconfig",
        ])
    });
    assert_eq!(left.status, 1, "{left:?}");
    assert!(left.err.contains("is not registered"), "{left:?}");
}

fn read(text: &str) -> CredentialsFile {
    CredentialsFile::parse(text).expect("credentials")
}

fn ends(file: &CredentialsFile) -> i64 {
    file.claims().expect("claims").ends_at
}

/// Whether a file, or one in a folder, holds something.
pub(crate) fn holds(path: &Path, what: &[u8]) -> bool {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a folder");
        return entries.flatten().any(|entry| holds(&entry.path(), what));
    }
    let content = std::fs::read(path).unwrap_or_default();
    content.windows(what.len()).any(|part| part == what)
}
