//! Fleets as KubeFed and Karmada leave them: objects on a hub, and copies on members, written as those controllers write them.

use fleetcast_tests::harness::keys;
use kube::Client;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use super::foreign::{serve_karmada, serve_kubefed};
use super::scene::{apply, live, of};

/// A member of the fleet that is taken over.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) client: Client,
    /// Its address.
    pub(super) server: String,
    /// Its authority, PEM in base64; empty for none.
    pub(super) authority: String,
    /// A token with all rights.
    pub(super) token: String,
}

/// A fleet whose controllers are off.
pub(super) struct Fleet {
    pub(super) hub: Client,
    pub(super) members: Vec<Member>,
    /// What was declared on the hub.
    pub(super) declared: Vec<Value>,
    /// The copies, by the place of their member.
    pub(super) copies: Vec<(usize, Value)>,
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Writes a copy as a controller does: created, then replaced by another whole object, under its own name.
async fn leave(member: &Client, manager: &str, copy: &Value) {
    let params = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    let api = of(member, copy);
    let object: DynamicObject = serde_json::from_value(copy.clone()).expect("an object");
    api.create(&params, &object).await.expect("created");
    // The member's own controllers may write in between.
    for _ in 0..20 {
        let mut whole = live(member, copy).await.expect("it is there");
        merge(&mut whole, copy);
        let object: DynamicObject = serde_json::from_value(whole).expect("an object");
        let name = copy["metadata"]["name"].as_str().expect("a name");
        match api.replace(name, &params, &object).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{error}: {copy}"),
        }
    }
    panic!("never replaced: {copy}");
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) if into.len() == from.len() => {
            into.iter_mut()
                .zip(from)
                .for_each(|(into, from)| merge(into, from));
        }
        (into, from) => *into = from.clone(),
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn deployment(image: &str, replicas: i64) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": "1000m", "memory": "64Mi"}}, "envFrom": [{"configMapRef": {"name": "conf"}}]}]},
        }},
    })
}

fn parts(image: &str, replicas: i64) -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        (
            "v1",
            "ConfigMap",
            "conf",
            json!({"data": {"a": "1", "b": "2"}}),
        ),
        (
            "v1",
            "Secret",
            "key",
            json!({"type": "Opaque", "data": {"k": "dg=="}}),
        ),
        (
            "v1",
            "ServiceAccount",
            "robot",
            json!({"automountServiceAccountToken": false}),
        ),
        (
            "v1",
            "Service",
            "web",
            json!({"spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}),
        ),
        ("apps/v1", "Deployment", "web", deployment(image, replicas)),
    ]
}

fn object(api_version: &str, kind: &str, name: &str, mut body: Value) -> Value {
    body["apiVersion"] = json!(api_version);
    body["kind"] = json!(kind);
    body["metadata"]["name"] = json!(name);
    body["metadata"]["namespace"] = json!("shop");
    body
}

/// What tells a cluster's sealing key.
fn sealed(member: &str) -> Value {
    json!({"fleetcast.dev/sealing-key": keys(member).newest()})
}

/// A fleet of KubeFed's: federated objects in all members, the second with another image, and a FederatedTypeConfig for each kind.
pub(super) async fn kubefed(hub: Client, members: Vec<Member>) -> Fleet {
    serve_kubefed(&hub).await;
    let system = "kube-federation-system";
    let mut declared = vec![namespace(system), namespace("shop")];
    for member in &members {
        let ca = (!member.authority.is_empty()).then_some(&member.authority);
        declared.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("{}-token", member.name), "namespace": system},
            "data": {"token": base64(&member.token)}}));
        declared.push(json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": {"name": member.name, "namespace": system, "labels": {"tier": "prod"}, "annotations": sealed(&member.name)},
            "spec": {"apiEndpoint": member.server, "caBundle": ca, "secretRef": {"name": format!("{}-token", member.name)}}}));
    }
    let all = json!({"clusterSelector": {"matchLabels": {"tier": "prod"}}});
    let federated = |kind: &str, name: &str, spec: Value| {
        json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": format!("Federated{kind}"),
            "metadata": {"name": name, "namespace": "shop", "finalizers": ["kubefed.io/sync-controller"]}, "spec": spec})
    };
    for (api_version, kind, plural) in [
        ("v1", "Namespace", "namespaces"),
        ("v1", "ConfigMap", "configmaps"),
        ("v1", "Secret", "secrets"),
        ("v1", "ServiceAccount", "serviceaccounts"),
        ("v1", "Service", "services"),
        ("apps/v1", "Deployment", "deployments"),
    ] {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let name = [plural, group].join(".");
        let scope = if kind == "Namespace" {
            "Cluster"
        } else {
            "Namespaced"
        };
        declared.push(json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "FederatedTypeConfig",
            "metadata": {"name": name.trim_end_matches('.'), "namespace": system},
            "spec": {"propagation": "Enabled",
                "targetType": {"group": group, "version": version, "kind": kind, "pluralName": plural, "scope": scope},
                "federatedType": {"group": "types.kubefed.io", "version": "v1beta1", "kind": format!("Federated{kind}"),
                    "pluralName": format!("federated{plural}"), "scope": "Namespaced"}}}));
    }
    declared.push(federated("Namespace", "shop", json!({"placement": all})));
    let image = json!([{"clusterName": members[1].name, "clusterOverrides": [
        {"path": "/spec/template/spec/containers/0/image", "value": "web:2"}, {"path": "/spec/replicas", "value": 5}]}]);
    for (_, kind, name, template) in parts("web:1", 3) {
        let mut spec = json!({"template": template, "placement": all});
        if kind == "Deployment" {
            spec["overrides"] = image.clone();
        }
        declared.push(federated(kind, name, spec));
    }
    let mut copies = Vec::new();
    for (index, _) in members.iter().enumerate() {
        let mut shop = namespace("shop");
        shop["metadata"]["labels"] = json!({"kubefed.io/managed": "true"});
        copies.push((index, shop));
        let (image, replicas) = if index == 1 {
            ("web:2", 5)
        } else {
            ("web:1", 3)
        };
        for (api_version, kind, name, mut body) in parts(image, replicas) {
            body["metadata"]["labels"]["kubefed.io/managed"] = json!("true");
            copies.push((index, object(api_version, kind, name, body)));
        }
    }
    stand(hub, members, declared, copies, "controller-manager").await
}

/// A fleet of Karmada's: plain objects under two policies, weights 1 : 2 : 3 for the replicas, and another image in the second member.
pub(super) async fn karmada(hub: Client, members: Vec<Member>) -> Fleet {
    serve_karmada(&hub).await;
    let policy = json!({"propagationpolicy.karmada.io/permanent-id": "7d0c"});
    let claim = json!({"propagationpolicy.karmada.io/name": "all", "propagationpolicy.karmada.io/namespace": "shop"});
    let mut declared = vec![namespace("shop"), namespace("karmada-cluster")];
    for member in &members {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": member.name, "namespace": "karmada-cluster"},
            "data": {"token": base64(&member.token)}});
        if !member.authority.is_empty() {
            secret["data"]["caBundle"] = json!(member.authority);
        }
        declared.push(secret);
        declared.push(json!({"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": member.name, "finalizers": ["karmada.io/cluster-controller"], "annotations": sealed(&member.name)},
            "spec": {"apiEndpoint": member.server, "syncMode": "Push", "secretRef": {"namespace": "karmada-cluster", "name": member.name}}}));
    }
    let weights: Vec<Value> = members
        .iter()
        .zip(1..)
        .map(|(member, weight)| json!({"targetCluster": {"clusterNames": [member.name]}, "weight": weight}))
        .collect();
    let selectors: Vec<Value> = parts("", 0)
        .iter()
        .map(|(api_version, kind, name, _)| json!({"apiVersion": api_version, "kind": kind, "name": name}))
        .collect();
    declared.push(json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": "all", "namespace": "shop", "finalizers": ["karmada.io/propagation-policy-controller"]},
        "spec": {"resourceSelectors": selectors, "placement": {"replicaScheduling": {
            "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted", "weightPreference": {"staticWeightList": weights}}}}}));
    declared.push(json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy",
        "metadata": {"name": "image", "namespace": "shop"},
        "spec": {"resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}], "overrideRules": [{
            "targetCluster": {"clusterNames": [members[1].name]},
            "overriders": {"imageOverrider": [{"component": "Tag", "operator": "replace", "value": "2"}]}}]}}));
    let mut copies = Vec::new();
    for (api_version, kind, name, mut body) in parts("web:1", 6) {
        merge(&mut body["metadata"]["labels"], &policy);
        merge(&mut body["metadata"]["annotations"], &claim);
        declared.push(object(api_version, kind, name, body));
    }
    for (index, _) in members.iter().enumerate() {
        copies.push((index, namespace("shop")));
        let image = if index == 1 { "web:2" } else { "web:1" };
        for (api_version, kind, name, mut body) in parts(image, [1, 2, 3][index]) {
            let metadata = &mut body["metadata"];
            merge(&mut metadata["labels"], &policy);
            merge(&mut metadata["annotations"], &claim);
            let work = json!({"karmada.io/managed": "true", "work.karmada.io/permanent-id": "9a"});
            merge(&mut metadata["labels"], &work);
            let told = json!({
                "work.karmada.io/name": "web-1", "work.karmada.io/namespace": "karmada-es-m", "resourcetemplate.karmada.io/uid": "u",
                "resourcetemplate.karmada.io/managed-labels": "app", "resourcetemplate.karmada.io/managed-annotations": "",
                "resourcebinding.karmada.io/name": "web-deployment", "resourcebinding.karmada.io/namespace": "shop",
            });
            merge(&mut metadata["annotations"], &told);
            copies.push((index, object(api_version, kind, name, body)));
        }
    }
    stand(hub, members, declared, copies, "karmada-controller-manager").await
}

async fn stand(
    hub: Client,
    members: Vec<Member>,
    declared: Vec<Value>,
    copies: Vec<(usize, Value)>,
    manager: &str,
) -> Fleet {
    for document in &declared {
        apply(&hub, document).await;
    }
    for (member, copy) in &copies {
        leave(&members[*member].client, manager, copy).await;
    }
    Fleet {
        hub,
        members,
        declared,
        copies,
    }
}
