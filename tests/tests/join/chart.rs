//! Whoever has the agent's chart in a cluster joins it over that: the same labels, the same namespace, and words about what is in the way.

use std::path::Path;
use std::process::Command;

use fleetcast_tests::harness::{Binary, control_planes, eventually, nats_server, skip};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use super::pod::{self, Pod};

/// Where the chart is installed.
const FLEET: &str = "fleet";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_chart_becomes_one_that_joined() {
    let test = "an_agent_of_the_chart_becomes_one_that_joined";
    let Some(helm) = std::env::var_os("FLEETCAST_HELM") else {
        skip(
            test,
            "there is no Helm: FLEETCAST_HELM is not set (`cargo xtask test` brings one where Go is)",
        );
        return;
    };
    let (Some(server), Some(planes)) = (nats_server(test), control_planes(test, 1).await) else {
        return;
    };
    let (plane, folder) = (&planes[0], tempfile::tempdir().expect("a folder"));
    let admin = plane.client().await;
    let fleetcast = Binary::new(folder.path(), server);
    let run = |words: &[&str]| tokio::task::block_in_place(|| fleetcast.run(words));
    let done = |words: &[&str]| tokio::task::block_in_place(|| fleetcast.done(words));
    let _up = tokio::task::block_in_place(|| fleetcast.up_with(&["--auth", "--no-clusters"]));
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/charts/fleetcast-agent");
    let helm = |verb: &str| {
        let mut command = Command::new(&helm);
        command
            .args([verb, "agent"])
            .arg(&chart)
            .args(["--namespace", FLEET])
            .args(["--set", "cluster=eu-1,nats.url=tls://nats.example:4222"])
            .env("HOME", folder.path())
            .env("KUBECONFIG", plane.kubeconfig());
        if verb == "install" {
            command.arg("--create-namespace");
        }
        let ended = tokio::task::block_in_place(|| command.output()).expect("helm starts");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "helm {verb}: {said}");
    };
    helm("install");

    // By its kubeconfig it is found where it is.
    let kubeconfig = plane.kubeconfig().display().to_string();
    let join = ["cluster", "join", "eu-1", "--kubeconfig", &kubeconfig];
    let joined = done(&join);
    assert!(
        joined.out.contains("deployment/fleetcast-agent applied"),
        "{joined:?}"
    );
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let usual = namespaces.get_opt(pod::NAMESPACE).await.expect("answered");
    assert!(
        usual.is_none(),
        "there is one agent, and it is where the chart put it"
    );
    let agent = Pod::start_in(&fleetcast, plane, FLEET, "agent").await;
    let ready =
        || done(&["cluster", "list", "-o", "json"]).json()["clusters"][0]["readiness"] == "ready";
    eventually("eu-1 is ready", async || ready()).await;
    let leases: Api<Lease> = Api::namespaced(admin.clone(), FLEET);
    leases
        .get("fleetcast-agent")
        .await
        .expect("its lease is there");
    let log = agent.log(&fleetcast);
    assert!(!log.contains("forbidden"), "{log}");
    // The chart goes on as well.
    helm("upgrade");

    // Elsewhere, where something of that name has other labels: it says so, and what to type.
    let old: Api<Deployment> = Api::namespaced(admin.clone(), "default");
    let labels = json!({"app": "something-else"});
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fleetcast-agent"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": "x"}]}},
        },
    });
    let other: Deployment = serde_json::from_value(other).expect("a Deployment");
    old.create(&PostParams::default(), &other)
        .await
        .expect("created");
    let elsewhere = [&join[..], &["--namespace", "default"]].concat();
    let refused = run(&elsewhere);
    assert_eq!(refused.status, 1, "{refused:?}");
    for part in [
        "kubectl -n fleet delete deployment fleetcast-agent",
        "kubectl -n default delete deployment fleetcast-agent",
        "the same command again",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    let gone = DeleteParams::background();
    old.delete("fleetcast-agent", &gone).await.expect("deleted");
    eventually("it is gone", async || {
        old.get_opt("fleetcast-agent")
            .await
            .expect("answered")
            .is_none()
    })
    .await;
    done(&elsewhere);
    let wrong = run(&[&join[..], &["--namespace", "No_Namespace"]].concat());
    assert_eq!(wrong.status, 2, "{wrong:?}");

    // It is let go where it is now.
    let removed = done(&["cluster", "remove", "eu-1", "--kubeconfig", &kubeconfig]);
    assert!(
        removed.out.contains("deployment/fleetcast-agent deleted"),
        "{removed:?}"
    );
    let left = old.get_opt("fleetcast-agent").await.expect("answered");
    assert!(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
}
