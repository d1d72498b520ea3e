//! A whole agent against a real API server: with the least rights, with credentials that change on disk, with pods that become ready.

use std::time::Duration;

use fleetcast_agent::credentials::{self, Source};
use fleetcast_core::fold::Condition;
use fleetcast_core::health::State;
use fleetcast_tests::harness::control_plane::pods;
use fleetcast_tests::harness::control_plane::rights::{self, service_account, token};
use fleetcast_tests::harness::{
    Bed, ControlPlane, config_map, control_plane, control_planes, eventually, nats_server,
};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

fn api(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// A client with the rights of `compose/agent-rbac.yaml` and no others.
async fn agents_client(plane: &ControlPlane, folder: &std::path::Path) -> Client {
    let path = folder.join("agent.kubeconfig");
    std::fs::write(&path, rights::agent(plane).await).expect("written");
    let source = Source {
        kubeconfig: Some(path),
        context: None,
    };
    credentials::client(source).await.expect("a client")
}

fn federated(template: &Value, name: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, "placement": {"clusters": ["real"]}},
    })
}

/// With exactly the documented rights an agent applies, heals, tells health and removes; a kind that it has no right for is reported, and nothing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_the_least_rights_does_its_work_and_reports_what_it_may_not() {
    let test = "an_agent_with_the_least_rights_does_its_work_and_reports_what_it_may_not";
    let Some(server) = nats_server(test) else {
        return;
    };
    let Some(planes) = control_planes(test, 1).await else {
        return;
    };
    let [plane] = &planes[..] else {
        panic!("one was asked for");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let client = agents_client(plane, folder.path()).await;
    let admin = plane.client().await;
    let bed = Bed::new(server);
    let (ingest, aggregator) = (bed.ingest("one"), bed.aggregator());
    let agent = bed.agent_of("real", client, bed.connect.clone());
    let bus = bed.bus().await;
    bed.register(&bus, &["real"]).await;

    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": []}});
    bed.accept(&bus, &federated(&limits, "denied")).await;
    bed.accept(&bus, &config_map("plain", &["real"], "1")).await;
    let plain = bed.settled(&bus, "ConfigMap/default/plain", 1).await;
    assert_eq!(plain["real"], Condition::Applied);
    eventually("the missing right is reported", async || {
        let summary = bed.summary(&bus, "LimitRange/default/denied").await;
        let row = summary.and_then(|summary| summary.rows.into_iter().next());
        row.is_some_and(|row| {
            row.condition == Condition::Retrying && row.message.contains("forbidden")
        })
    })
    .await;

    // A Deployment becomes healthy when somebody runs its pods.
    let labels = json!({"app": "web"});
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}});
    bed.accept(&bus, &federated(&web, "web")).await;
    let health = async |state: State| {
        eventually(&format!("the Deployment is {state:?}"), async || {
            let summary = bed.summary(&bus, "Deployment.apps/default/web").await;
            let row = summary.and_then(|summary| summary.rows.into_iter().next());
            let health = row.and_then(|row| row.observed.health);
            health.is_some_and(|health| health.state == state)
        })
        .await;
    };
    health(State::Progressing).await;
    if plane.has_controllers() {
        let _running = pods::run_pods(admin.clone());
        health(State::Healthy).await;
    }

    // A hand edit is healed and told.
    let maps = api(&admin, "v1", "ConfigMap", Some("default"));
    let params = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let edit = Patch::Merge(json!({"data": {"text": "edited"}}));
    maps.patch("plain", &params, &edit).await.expect("edited");
    eventually("the edit is put right and told", async || {
        let summary = bed
            .summary(&bus, "ConfigMap/default/plain")
            .await
            .expect("known");
        let drift = summary.rows[0].observed.drift.clone();
        drift.is_some_and(|drift| {
            drift.healed
                && drift.fields[0].path == ".data.text"
                && drift.fields[0].manager.as_deref() == Some("kubectl-edit")
        })
    })
    .await;
    let live = maps.get("plain").await.expect("there");
    assert_eq!(live.data["data"]["text"], "1");

    bed.withdraw(&bus, "ConfigMap/default/plain").await;
    eventually("the withdrawn copy is gone", async || {
        maps.get_opt("plain").await.expect("an answer").is_none()
    })
    .await;
    for service in [agent, aggregator, ingest] {
        service.kill().await;
    }
}

/// A token that is replaced in the kubeconfig is used without a restart; the old one is not good any more.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_change_on_disk_are_picked_up() {
    let test = "credentials_that_change_on_disk_are_picked_up";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let admin = plane.client().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    service_account(plane, "default", "rotating", &rules).await;
    let secrets = api(&admin, "v1", "Secret", Some("default"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    let write = async |bound_to: &'static str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": bound_to}});
        let secret = serde_json::from_value(secret).expect("an object");
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .expect("created");
        let token = token(&admin, "default", "rotating", Some(bound_to)).await;
        let text = plane.kubeconfig_of(&format!("token: {token}"));
        std::fs::write(&path, text).expect("written");
    };
    write("first-token").await;
    let source = Source {
        kubeconfig: Some(path.clone()),
        context: None,
    };
    let client = credentials::client(source).await.expect("a client");
    let maps = api(&client, "v1", "ConfigMap", Some("default"));
    let code = async || match maps.list(&Default::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code().await, 200);
    secrets
        .delete("first-token", &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the old token is refused", async || code().await == 401).await;
    write("second-token").await;
    tokio::time::timeout(Duration::from_secs(30), async {
        while code().await != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .expect("the new token is used");
}
