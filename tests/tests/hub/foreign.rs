//! KubeFed's and Karmada's objects on a hub, from their own samples where those are at hand.

use std::path::Path;

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{corpus, eventually, held, keys};
use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::scene::{Scene, api, apply, changes, definition, delete, live, serve, withdraws};

/// Serves the kinds of KubeFed that its samples use, as KubeFed's own definitions do.
pub(crate) async fn serve_kubefed(hub: &Client) {
    for kind in [
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Deployment",
        "Ingress",
        "Job",
        "Namespace",
        "Secret",
        "Service",
        "ServiceAccount",
    ] {
        let namespaced = !kind.starts_with("ClusterRole");
        let federated = format!("Federated{kind}");
        let plural = match kind {
            "Ingress" => "federatedingresses".to_owned(),
            kind => format!("federated{}s", kind.to_ascii_lowercase()),
        };
        serve(
            hub,
            &definition("types.kubefed.io/v1beta1", &federated, &plural, namespaced),
        )
        .await;
    }
    let preference = (
        "scheduling.kubefed.io/v1alpha1",
        "ReplicaSchedulingPreference",
    );
    serve(
        hub,
        &definition(
            preference.0,
            preference.1,
            "replicaschedulingpreferences",
            true,
        ),
    )
    .await;
    serve(
        hub,
        &definition(
            "core.kubefed.io/v1beta1",
            "KubeFedCluster",
            "kubefedclusters",
            true,
        ),
    )
    .await;
    let config = ("core.kubefed.io/v1beta1", "FederatedTypeConfig");
    serve(
        hub,
        &definition(config.0, config.1, "federatedtypeconfigs", true),
    )
    .await;
}

/// Serves Karmada's policies, as Karmada's own definitions do.
pub(crate) async fn serve_karmada(hub: &Client) {
    for (kind, plural) in [
        ("PropagationPolicy", "propagationpolicies"),
        ("ClusterPropagationPolicy", "clusterpropagationpolicies"),
        ("OverridePolicy", "overridepolicies"),
        ("ClusterOverridePolicy", "clusteroverridepolicies"),
    ] {
        let namespaced = !kind.starts_with("Cluster");
        serve(
            hub,
            &definition("policy.karmada.io/v1alpha1", kind, plural, namespaced),
        )
        .await;
    }
    let cluster = definition("cluster.karmada.io/v1alpha1", "Cluster", "clusters", false);
    serve(hub, &cluster).await;
}

/// The documents of a folder, by file name.
fn documents(folder: &Path) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    let read = |file| {
        let text = std::fs::read_to_string(file).expect("text");
        fleetcast_ingest::documents::read(&text)
    };
    files
        .into_iter()
        .flat_map(read)
        .map(|(_, document)| document.expect("a document"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubefeds_samples_on_a_hub_land_as_kubefed_places_them() {
    let test = "kubefeds_samples_on_a_hub_land_as_kubefed_places_them";
    let Some(corpus) = corpus(test) else {
        return;
    };
    let hub = Cluster::new("hub").client();
    let Some(scene) = Scene::unwatched(test, hub.clone()).await else {
        return;
    };
    // The samples name cluster1 and cluster2: clusters of the hub, registered by what stands there.
    let members = ["cluster1", "cluster2"].map(Cluster::new);
    let agents = members.each_ref().map(|member| scene.bed.agent(member));
    let watcher = scene.bed.hub("one", hub.clone());
    serve_kubefed(&hub).await;
    for member in &members {
        let cluster = json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": {"name": member.name(), "namespace": "kube-federation-system", "annotations": {"fleetcast.dev/sealing-key": keys(member.name()).newest()}},
            "spec": {"apiEndpoint": "https://member"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-federation-system"}});
        apply(&hub, &namespace).await;
        apply(&hub, &cluster).await;
    }
    // A namespace comes before what is in it.
    let mut samples = documents(&corpus.join("kubefed"));
    samples.sort_by_key(|document| document["kind"] != "Namespace");
    let mut handed_in = 0;
    for document in samples {
        let is_kubefeds = document["apiVersion"]
            .as_str()
            .is_some_and(|version| version.contains("kubefed.io"));
        // A plain object on a hub is none of KubeFed's, but for the namespace that all of them are in.
        if is_kubefeds || document["kind"] == "Namespace" {
            apply(&hub, &document).await;
            handed_in += usize::from(is_kubefeds);
        }
    }
    eventually("all of them are in the log", async || {
        changes(&scene.bus).await.len() == handed_in
    })
    .await;
    eventually(
        "the Deployment is divided as its preference says",
        async || {
            let mut replicas = Vec::new();
            for member in &members {
                let deployment = held(
                    member,
                    "apps/v1",
                    "Deployment",
                    Some("test-namespace"),
                    "test-deployment",
                )
                .await;
                replicas
                    .push(deployment.map_or(json!(null), |one| one["spec"]["replicas"].clone()));
            }
            replicas == [json!(4), json!(6)]
        },
    )
    .await;
    for member in &members {
        for (api_version, kind, name) in [
            ("v1", "ConfigMap", "test-configmap"),
            ("v1", "Secret", "test-secret"),
            ("v1", "Service", "test-service"),
        ] {
            eventually(
                &format!("{kind} {name} is in {}", member.name()),
                async || {
                    held(member, api_version, kind, Some("test-namespace"), name)
                        .await
                        .is_some()
                },
            )
            .await;
        }
    }
    for service in [watcher].into_iter().chain(agents) {
        service.kill().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn karmadas_samples_on_a_hub_land_as_karmada_places_them_and_nothing_else_does() {
    let test = "karmadas_samples_on_a_hub_land_as_karmada_places_them_and_nothing_else_does";
    let Some(corpus) = corpus(test) else {
        return;
    };
    let hub = Cluster::new("hub").client();
    let Some(scene) = Scene::unwatched(test, hub.clone()).await else {
        return;
    };
    let members = ["member1", "member2"].map(Cluster::new);
    let agents = members.each_ref().map(|member| scene.bed.agent(member));
    scene
        .bed
        .register(&scene.bus, &["member1", "member2"])
        .await;
    let watcher = scene.bed.hub("one", hub.clone());
    serve_karmada(&hub).await;
    let samples = documents(&corpus.join("karmada"));
    let (definitions, others): (Vec<_>, Vec<_>) = samples
        .into_iter()
        .partition(|one| one["kind"] == "CustomResourceDefinition");
    for definition in &definitions {
        serve(&hub, definition).await;
    }
    // Nobody selects this one, nor what the hub runs itself.
    let unselected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "other", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}});
    apply(&hub, &unselected).await;
    let mut nginx = Value::Null;
    for mut document in others {
        if document["metadata"]["namespace"].is_null()
            && !document["kind"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("Cluster"))
        {
            document["metadata"]["namespace"] = json!("default");
        }
        if document["kind"] == "Deployment" {
            nginx = document.clone();
        }
        apply(&hub, &document).await;
    }
    let replicas = async || {
        let mut replicas = Vec::new();
        for member in &members {
            let deployment = held(member, "apps/v1", "Deployment", Some("default"), "nginx").await;
            replicas.push(deployment.map_or(json!(null), |one| one["spec"]["replicas"].clone()));
        }
        replicas
    };
    eventually("nginx is divided 1 : 1", async || {
        replicas().await == [json!(1), json!(1)]
    })
    .await;
    let all = changes(&scene.bus).await;
    assert!(
        !all.keys().any(|object| object.ends_with("/other")),
        "{:?}",
        all.keys()
    );
    assert!(live(&hub, &unselected).await.expect("there")["metadata"]["finalizers"].is_null());
    assert_eq!(all["Deployment.apps/default/nginx"].len(), 1);
    // What a controller of the hub writes is no change; what a person writes is one.
    super::scene::merge(
        &hub,
        &nginx,
        &json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}}),
    )
    .await;
    super::scene::merge(&hub, &nginx, &json!({"spec": {"replicas": 4}})).await;
    eventually("nginx is divided 2 : 2", async || {
        replicas().await == [json!(2), json!(2)]
    })
    .await;
    assert_eq!(
        changes(&scene.bus).await["Deployment.apps/default/nginx"].len(),
        2
    );
    delete(&hub, &nginx).await;
    eventually("it is withdrawn and goes", async || {
        live(&hub, &nginx).await.is_none() && replicas().await == [json!(null), json!(null)]
    })
    .await;
    let all = changes(&scene.bus).await;
    assert!(
        all["Deployment.apps/default/nginx"]
            .last()
            .is_some_and(withdraws)
    );
    let policies = api(
        &hub,
        "policy.karmada.io/v1alpha1",
        "PropagationPolicy",
        None,
    );
    for policy in policies.list(&ListParams::default()).await.expect("listed") {
        let finalizers = policy.metadata.finalizers.unwrap_or_default();
        assert_eq!(finalizers, ["fleetcast.dev/withdrawal"]);
    }
    for service in [watcher].into_iter().chain(agents) {
        service.kill().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workload_names_follows_it_and_a_disabled_kind_rests() {
    let test = "what_a_workload_names_follows_it_and_a_disabled_kind_rests";
    let hub = Cluster::new("hub").client();
    serve_karmada(&hub).await;
    serve_kubefed(&hub).await;
    let Some(mut scene) = Scene::unwatched(test, hub.clone()).await else {
        return;
    };
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"a": "1"}});
    let config = |propagation: &str| {
        json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "FederatedTypeConfig",
        "metadata": {"name": "secrets", "namespace": "default"},
        "spec": {"propagation": propagation, "targetType": {"version": "v1", "kind": "Secret", "pluralName": "secrets", "scope": "Namespaced"},
            "federatedType": {"group": "types.kubefed.io", "version": "v1beta1", "kind": "FederatedSecret", "pluralName": "federatedsecrets", "scope": "Namespaced"}}})
    };
    let namespace = json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace",
        "metadata": {"name": "default", "namespace": "default"}, "spec": {"placement": {"clusterSelector": {}}}});
    let secret = json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedSecret", "metadata": {"name": "key", "namespace": "default"},
        "spec": {"template": {"data": {"k": "dg=="}}, "placement": {"clusterSelector": {}}}});
    let policy = json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"propagateDeps": true, "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
            "placement": {"clusterAffinity": {"clusterNames": ["c1"]}}}});
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "a", "image": "a", "envFrom": [{"configMapRef": {"name": "named"}}]}]}}}});
    for document in [
        config("Disabled"),
        map("named"),
        map("other"),
        policy,
        web,
        namespace,
        secret,
    ] {
        apply(&hub, &document).await;
    }
    scene.watcher = Some(scene.bed.hub("one", hub.clone()));
    let [c1, c2] = &scene.members[..] else {
        panic!("two were made");
    };
    let holds = async |member: &Cluster, kind: &str, name: &str| {
        held(member, "v1", kind, Some("default"), name)
            .await
            .is_some()
    };
    eventually("what the Deployment names follows it", async || {
        holds(c1, "ConfigMap", "named").await
    })
    .await;
    assert!(
        !holds(c2, "ConfigMap", "named").await,
        "and goes nowhere else"
    );
    let all = changes(&scene.bus).await;
    for object in [
        "ConfigMap/default/other",
        "Secret/default/key",
        "Namespace/default",
    ] {
        assert!(!all.contains_key(object), "{object}: {:?}", all.keys());
    }
    // A touch of an object that counts no generation is no change.
    super::scene::merge(&hub, &map("named"), &json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}})).await;
    // KubeFed and its configs go: every kind is propagated.
    delete(&hub, &config("Enabled")).await;
    eventually("the Secret lands", async || {
        holds(c2, "Secret", "key").await
    })
    .await;
    assert_eq!(scene.revisions("ConfigMap/default/named").await, 1);
    scene.end().await;
}
