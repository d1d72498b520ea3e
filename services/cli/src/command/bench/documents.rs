//! The documents of the workloads.

use fleetcast_core::model::{ClusterName, ObjectKey};
use serde_json::{Value, json};

/// A document and the object that it is about.
pub(super) type Document = (ObjectKey, Value);

fn key(kind: &str, group: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
    ObjectKey::new(kind, group, namespace, name).expect("the names of the workloads are valid")
}

/// The registration of a cluster in `group`.
pub(super) fn cluster(name: &ClusterName, group: &str) -> Document {
    let document = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
        "metadata": {"name": name.as_str(), "labels": {"group": group, "cluster": name.as_str()}},
    });
    (ObjectKey::of_cluster(name), document)
}

/// One placement of KubeFleet's workload: a Namespace, a ConfigMap of 1 KB and a Deployment, to the clusters of `group`; `round` is what an update changes.
pub(super) fn placement(index: usize, group: &str, round: u64) -> [Document; 3] {
    let name = format!("place-{index:05}");
    let spec = |template: Value| json!({"template": template, "placement": {"clusterSelector": {"matchLabels": {"group": group}}}});
    let namespace = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "ClusterFederatedObject", "metadata": {"name": name},
        "spec": spec(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"round": round.to_string()}}})),
    });
    let wrapped = |name: &str, template: Value, namespace: &str| {
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": namespace},
            "spec": spec(template),
        })
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"round": round.to_string(), "text": text(index, 1_000)}});
    [
        (key("Namespace", "", None, &name), namespace),
        (
            key("ConfigMap", "", Some(&name), "settings"),
            wrapped("settings", map, &name),
        ),
        (
            key("Deployment", "apps", Some(&name), "web"),
            wrapped("web", deployment_template(round), &name),
        ),
    ]
}

fn deployment_template(round: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": format!("registry.example/web:{round}"), "ports": [{"containerPort": 8080}]}]},
            },
        },
    })
}

/// A Deployment `default/<name>`, to all clusters in `placement`.
pub(super) fn deployment(name: &str, placement: &Value, round: u64) -> Document {
    let document = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": deployment_template(round), "placement": placement},
    });
    (key("Deployment", "apps", Some("default"), name), document)
}

/// The plain Deployment that lands for [`deployment`], for direct applies.
pub(super) fn plain_deployment(name: &str, round: u64) -> Value {
    let mut object = deployment_template(round);
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!("default");
    object
}

/// A ConfigMap `default/<name>`.
pub(super) fn config_map(name: &str, placement: &Value, round: u64) -> Document {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"round": round.to_string(), "text": text(0, 1_000)}});
    let document = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": map, "placement": placement},
    });
    (key("ConfigMap", "", Some("default"), name), document)
}

/// Text that does not compress to nothing: a linear congruential sequence (Knuth's MMIX constants) in hex.
fn text(seed: usize, length: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(length);
    text
}
