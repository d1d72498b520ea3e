//! Decisions that look at other objects: a namespace that contains, a workload that takes others along, replicas that stay where they are.

use serde_json::Value;

use super::*;

const NAMESPACE: &str = "Namespace/shop";
const SECRET: &str = "Secret/shop/tls";
const DEPLOYMENT: &str = "Deployment.apps/shop/web";

fn document(value: Value) -> Content {
    let dialect = match value["apiVersion"] == "types.kubefed.io/v1beta1" {
        true => crate::model::Dialect::Kubefed,
        false => crate::model::Dialect::Native,
    };
    Content::Declared {
        dialect,
        document: crate::document::Document::from_value(&value),
    }
}

fn kubefed(kind: &str, name: &str, clusters: &[&str]) -> Content {
    let clusters: Vec<Value> = clusters.iter().map(|name| json!({"name": name})).collect();
    document(json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": kind, "metadata": {"namespace": "shop", "name": name},
        "spec": {"placement": {"clusters": clusters}},
    }))
}

fn native(name: &str, spec: Value) -> Content {
    document(json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"namespace": "shop", "name": name}, "spec": spec,
    }))
}

fn deployment(clusters: Value, more: Value) -> Content {
    let mut spec = json!({
        "template": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 4, "template": {"spec": {"volumes": [{"secret": {"secretName": "tls"}}]}}}},
        "placement": clusters,
    });
    for (key, value) in more.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    native("web", spec)
}

fn secret() -> Content {
    native(
        "tls",
        json!({"template": {"apiVersion": "v1", "kind": "Secret"}}),
    )
}

/// Where an object stands, `cluster` or `cluster=replicas` each.
fn standing(scene: &Scene, object: &str) -> Vec<String> {
    let object = &scene.placer.objects[&key(object)];
    let assigned = object
        .standings
        .iter()
        .filter_map(|(cluster, standing)| match standing {
            Standing::Assigned {
                replicas: Some(replicas),
                ..
            } => Some(format!("{cluster}={replicas}")),
            Standing::Assigned { .. } => Some(cluster.to_string()),
            Standing::Removing { .. } | Standing::Excluded { .. } => None,
        });
    assigned.collect()
}

#[test]
fn an_object_of_kubefeds_follows_its_namespace() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.change(
        SECRET,
        1,
        kubefed("FederatedSecret", "tls", &["eu-1", "us-1"]),
    );
    scene.poll();
    assert!(
        standing(&scene, SECRET).is_empty(),
        "its namespace is not federated"
    );
    scene.change(
        NAMESPACE,
        1,
        kubefed("FederatedNamespace", "shop", &["eu-1"]),
    );
    scene.poll();
    assert_eq!(standing(&scene, SECRET), ["eu-1"]);
    scene.change(
        NAMESPACE,
        2,
        kubefed("FederatedNamespace", "shop", &["us-1"]),
    );
    scene.poll();
    assert_eq!(standing(&scene, SECRET), ["us-1"]);
    scene.change(NAMESPACE, 3, Content::withdrawn(false));
    scene.poll();
    assert!(standing(&scene, SECRET).is_empty());
    assert!(scene.placer.is_idle());
}

/// Shows that a decision which was under way when the namespace changed is made again.
#[test]
fn a_decision_made_before_the_namespace_changed_is_looked_at_again() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.change(
        NAMESPACE,
        1,
        kubefed("FederatedNamespace", "shop", &["eu-1"]),
    );
    scene.poll();
    scene.change(
        SECRET,
        1,
        kubefed("FederatedSecret", "tls", &["eu-1", "us-1"]),
    );
    let Some(effect) = scene.next() else {
        panic!("a decision");
    };
    scene.change(
        NAMESPACE,
        2,
        kubefed("FederatedNamespace", "shop", &["us-1"]),
    );
    scene.carry_out(effect);
    scene.poll();
    assert_eq!(standing(&scene, SECRET), ["us-1"]);
}

#[test]
fn what_a_workload_names_comes_and_goes_with_it() {
    let along = json!({"dependencies": true});
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.change(SECRET, 1, secret());
    scene.change(
        DEPLOYMENT,
        1,
        deployment(json!({"clusters": ["eu-1"]}), along.clone()),
    );
    scene.poll();
    assert_eq!(standing(&scene, SECRET), ["eu-1"]);
    scene.change(
        DEPLOYMENT,
        2,
        deployment(json!({"clusters": ["us-1"]}), along),
    );
    scene.poll();
    assert_eq!(standing(&scene, SECRET), ["us-1"]);
    scene.change(
        DEPLOYMENT,
        3,
        deployment(json!({"clusters": ["us-1"]}), json!({})),
    );
    scene.poll();
    assert!(
        standing(&scene, SECRET).is_empty(),
        "nobody takes it along any more"
    );
}

/// Shows that a cluster which joins takes no replicas away from those that hold them where division is by room, and that a restart
/// renders what was decided.
#[test]
fn replicas_stay_where_they_are_when_a_cluster_joins() {
    let by_room = json!({"replicas": {"divide": "available"}});
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.change(
        DEPLOYMENT,
        1,
        deployment(json!({"clusterSelector": {}}), by_room),
    );
    scene.poll();
    assert_eq!(standing(&scene, DEPLOYMENT), ["eu-1=2", "us-1=2"]);
    scene.register("ap-1");
    scene.poll();
    assert_eq!(standing(&scene, DEPLOYMENT), ["eu-1=2", "us-1=2"]);
    scene.placer.lose();
    for object in scene.placer.objects.values_mut() {
        object.rendered.clear();
    }
    scene.lead("another making", 2);
    scene.told();
    assert!(scene.placer.is_idle(), "{:?}", scene.told);
}
