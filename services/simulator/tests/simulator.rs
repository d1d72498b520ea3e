//! Drives simulated clusters with a stock client.
#![allow(clippy::unwrap_used, missing_docs)]

use fleetcast_simulator::Cluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

mod simulator {
    use super::*;

    mod apply;
    mod definitions;
    mod delete;
    mod faults;
    mod http;
    mod objects;
    mod persistence;
    mod reading;
    mod scale;
    mod watch;
}

/// The namespace that the tests work in.
const SHOP: &str = "shop";

/// A cluster with the namespace `shop`.
async fn cluster() -> Cluster {
    let cluster = Cluster::new("eu-1");
    create_namespace(&cluster, SHOP).await;
    cluster
}

async fn create_namespace(cluster: &Cluster, name: &str) {
    let namespaces: Api<DynamicObject> =
        Api::all_with(cluster.client(), &resource("", "v1", "Namespace"));
    let namespace = serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
    )
    .unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn config_maps(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client(), SHOP)
}

fn deployments(cluster: &Cluster) -> Api<Deployment> {
    Api::namespaced(cluster.client(), SHOP)
}

fn config_map(name: &str, data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

fn deployment(name: &str, replicas: Option<i32>, image: &str) -> Value {
    let labels = json!({"app": name});
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]}}},
    });
    if let Some(replicas) = replicas {
        deployment["spec"]["replicas"] = json!(replicas);
    }
    deployment
}

/// The `Status` of a request that was refused.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> kube::core::Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("{other} is not an answer of the API"),
    }
}

/// Sends a request with a body and headers of its own, and reads the answer as JSON.
async fn send(
    client: &kube::Client,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Value, kube::Error> {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client
        .request(request.body(body.as_bytes().to_vec()).unwrap())
        .await
}
