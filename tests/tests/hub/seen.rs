//! How each project's users see it, on real API servers: their samples applied to the hub with kubectl, objects on members, status on the hub.

use std::path::Path;
use std::process::{Command, Output};

use fleetcast_core::dialect::native::crds;
use fleetcast_tests::harness::control_plane::pods;
use fleetcast_tests::harness::{
    Bed, ControlPlane, Service, control_plane, corpus, eventually, hub_and_members, nats_server,
    skip,
};
use kube::Client;
use serde_json::{Value, json};

use super::foreign::{serve_karmada, serve_kubefed};
use super::scene::{api, serve};

/// Whether kubectl is here; says so where it is not.
fn has_kubectl(test: &str) -> bool {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        skip(test, "there is no kubectl on the PATH");
    }
    found
}

fn kubectl(plane: &ControlPlane, args: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("kubectl");
    command
        .arg("--kubeconfig")
        .arg(plane.kubeconfig())
        .args(args);
    command.env("HOME", home.path());
    command.output().expect("kubectl runs")
}

/// Applies what a file holds, as a person does.
fn applies(plane: &ControlPlane, file: &Path) {
    let file = file.to_str().expect("text");
    let output = kubectl(plane, &["apply", "-f", file]);
    assert!(output.status.success(), "{file}: {output:?}");
}

fn gets(plane: &ControlPlane, args: &[&str]) -> Value {
    let output = kubectl(plane, &[&["get", "-o", "json"], args].concat());
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout).expect("JSON"),
        false => Value::Null,
    }
}

/// The hub first, then the members.
struct Place {
    planes: Vec<ControlPlane>,
    clients: Vec<Client>,
    services: Vec<Service>,
    _pods: Vec<pods::PodsRun>,
    _bed: Bed,
}

/// One hub whose objects nobody runs, as those of both projects are, and three members of these names.
async fn place(test: &str, names: [&str; 3]) -> Option<Place> {
    let bed = Bed::new(nats_server(test)?);
    let (hub, mut planes) = hub_and_members(test, 3).await?;
    planes.insert(0, hub);
    let mut clients = Vec::new();
    for plane in &planes {
        clients.push(plane.client().await);
    }
    let mut services = vec![
        bed.ingest("one"),
        bed.aggregator_for(clients[0].clone()),
        bed.hub("one", clients[0].clone()),
    ];
    let bus = bed.bus().await;
    for (name, client) in names.iter().zip(&clients[1..]) {
        services.push(bed.agent_of(name, client.clone()));
    }
    bed.register(&bus, &names).await;
    let pods = clients[1..].iter().cloned().map(pods::run_pods).collect();
    Some(Place {
        planes,
        clients,
        services,
        _pods: pods,
        _bed: bed,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn kubefeds_samples_applied_with_kubectl_are_seen_as_kubefeds_users_know_them() {
    let test = "kubefeds_samples_applied_with_kubectl_are_seen_as_kubefeds_users_know_them";
    let Some(corpus) = corpus(test).filter(|_| has_kubectl(test)) else {
        return;
    };
    let Some(place) = place(test, ["cluster1", "cluster2", "cluster3"]).await else {
        return;
    };
    let hub = &place.planes[0];
    serve_kubefed(&place.clients[0]).await;
    // A namespace comes before what is in it.
    applies(hub, &corpus.join("kubefed/namespace.yaml"));
    for name in [
        "federatednamespace",
        "federatedclusterrole",
        "federatedclusterrolebinding",
        "federatedconfigmap",
        "federateddeployment",
        "federateddeployment-rsp",
        "federatedingress",
        "federatedjob",
        "federatedsecret",
        "federatedservice",
        "federatedserviceaccount",
    ] {
        applies(hub, &corpus.join(format!("kubefed/{name}.yaml")));
    }
    let inside = "--namespace=test-namespace";
    eventually(
        "the Deployment is divided as its preference says",
        async || {
            let replicas = [1, 2].map(|member| {
                let live = gets(
                    &place.planes[member],
                    &[inside, "deployment", "test-deployment"],
                );
                live["spec"]["replicas"].clone()
            });
            replicas == [json!(4), json!(6)]
        },
    )
    .await;
    for (member, kind, name) in [
        (1, "configmap", "test-configmap"),
        (2, "configmap", "test-configmap"),
        (1, "secret", "test-secret"),
        (2, "service", "test-service"),
        (1, "serviceaccount", "test-serviceaccount"),
        (2, "clusterrole", "test-clusterrole"),
        (1, "job", "test-job"),
    ] {
        eventually(
            &format!("{kind} {name} is in member {member}"),
            async || gets(&place.planes[member], &[inside, kind, name]).is_object(),
        )
        .await;
    }
    let map = gets(&place.planes[2], &[inside, "configmap", "test-configmap"]);
    assert_eq!(
        map["data"],
        json!({"foo": "bar"}),
        "its override replaces all of it"
    );
    assert!(gets(&place.planes[3], &[inside, "configmap", "test-configmap"]).is_null());
    let mut status = Value::Null;
    eventually("the ConfigMap's status is KubeFed's", async || {
        status = gets(hub, &[inside, "federatedconfigmap", "test-configmap"])["status"].clone();
        status["conditions"][0]["status"] == "True"
    })
    .await;
    assert_eq!(status["conditions"][0]["type"], "Propagation", "{status:#}");
    assert_eq!(status["observedGeneration"], 1, "{status:#}");
    let names: Vec<&Value> = status["clusters"]
        .as_array()
        .expect("clusters")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["cluster1", "cluster2"]);
    // The sample Ingress is written for an API of Kubernetes 1.21: no server takes it any more, and its status says so.
    eventually(
        "what members refuse is CheckClusters and CreationFailed",
        async || {
            status = gets(hub, &[inside, "federatedingress", "test-ingress"])["status"].clone();
            status["conditions"][0]["reason"] == "CheckClusters"
                && status["clusters"][0]["status"] == "CreationFailed"
        },
    )
    .await;
    for service in place.services {
        service.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn karmadas_samples_applied_with_kubectl_are_seen_as_karmadas_users_know_them() {
    let test = "karmadas_samples_applied_with_kubectl_are_seen_as_karmadas_users_know_them";
    let Some(corpus) = corpus(test).filter(|_| has_kubectl(test)) else {
        return;
    };
    let Some(place) = place(test, ["member1", "member2", "member3"]).await else {
        return;
    };
    let hub = &place.planes[0];
    serve_karmada(&place.clients[0]).await;
    let folder = corpus.join("karmada");
    applies(hub, &folder.join("guestbook-guestbooks-crd.yaml"));
    let definition = ["crd", "guestbooks.webapp.my.domain"];
    eventually("the hub serves guestbooks", async || {
        let live = gets(hub, &definition);
        let conditions = live["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|one| one["type"] == "Established" && one["status"] == "True")
    })
    .await;
    for name in [
        "guestbook-guestbook",
        "guestbook-guestbooks-clusterpropagationpolicy",
        "guestbook-guestbooks-overridepolicy",
        "guestbook-guestbooks-propagationpolicy",
        "nginx-deployment",
        "nginx-overridepolicy",
        "nginx-propagationpolicy",
    ] {
        applies(hub, &folder.join(format!("{name}.yaml")));
    }
    let nginx = ["deployment", "nginx"];
    eventually("nginx is divided 1 : 1", async || {
        let replicas =
            [1, 2, 3].map(|member| gets(&place.planes[member], &nginx)["spec"]["replicas"].clone());
        replicas == [json!(1), json!(1), json!(null)]
    })
    .await;
    eventually(
        "the definition and the guestbook are where the policies say",
        async || {
            gets(&place.planes[1], &definition).is_object()
                && gets(
                    &place.planes[1],
                    &["guestbooks.webapp.my.domain", "guestbook-sample"],
                )
                .is_object()
        },
    )
    .await;
    eventually("the hub's Deployment shows the sum", async || {
        let status = gets(hub, &nginx)["status"].clone();
        status["readyReplicas"] == 2 && status["replicas"] == 2
    })
    .await;
    for service in place.services {
        service.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectls_dry_run_is_answered_by_the_definitions() {
    let test = "kubectls_dry_run_is_answered_by_the_definitions";
    if !has_kubectl(test) {
        return;
    }
    let Some(hub) = control_plane(test).await else {
        return;
    };
    let client = hub.client().await;
    for (_, definition) in crds::definitions() {
        serve(&client, &definition).await;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let tried = |object: &Value| {
        std::fs::write(file.path(), object.to_string()).expect("written");
        let file = file.path().to_str().expect("text");
        kubectl(hub, &["apply", "--dry-run=server", "-f", file])
    };
    let object = |template: Value, apply: Value| {
        json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "dry-run", "namespace": "default"},
            "spec": {"template": template, "placement": {"clusters": ["c1"]}, "apply": apply}})
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}});
    let taken = tried(&object(map.clone(), json!({})));
    assert!(taken.status.success(), "{taken:?}");
    let refused = tried(&object(map, json!({"drift": "sometimes"})));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(said.contains("spec.apply.drift"), "{said}");
    let objects = api(
        &client,
        "fleetcast.dev/v1alpha1",
        "FederatedObject",
        Some("default"),
    );
    let left = objects.get_opt("dry-run").await.expect("answered");
    assert!(left.is_none(), "a dry run leaves nothing");
}
