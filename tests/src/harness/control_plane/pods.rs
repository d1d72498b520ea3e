//! What a kubelet would do, as far as anybody can see it from the API: Pods become ready, and those of Jobs succeed.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How often it looks for new Pods.
const PAUSE: Duration = Duration::from_millis(100);

/// Stops when it is dropped.
pub struct PodsRun(JoinHandle<()>);

impl Drop for PodsRun {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets every pending Pod of the cluster run, until the answer is dropped. A Pod with the annotation `test/never-ready` stays as it is.
pub fn run_pods(client: Client) -> PodsRun {
    PodsRun(tokio::spawn(async move {
        let all: Api<Pod> = Api::all(client.clone());
        let pending = ListParams::default().fields("status.phase=Pending");
        loop {
            // A server that is down for a while is asked again.
            for pod in all
                .list(&pending)
                .await
                .map(|list| list.items)
                .unwrap_or_default()
            {
                run(&client, &pod).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }))
}

async fn run(client: &Client, pod: &Pod) {
    let metadata = &pod.metadata;
    let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
        return;
    };
    let annotations = metadata.annotations.as_ref();
    if annotations.is_some_and(|all| all.contains_key("test/never-ready")) {
        return;
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Strategic(json!({"status": status(pod)}));
    // It may be gone by now.
    let _ = api
        .patch_status(name, &PatchParams::default(), &patch)
        .await;
}

fn status(pod: &Pod) -> Value {
    let owners = pod.metadata.owner_references.iter().flatten();
    let succeeds = owners.into_iter().any(|owner| owner.kind == "Job");
    let condition = |name: &str, holds: bool| json!({"type": name, "status": if holds { "True" } else { "False" }});
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let containers: Vec<Value> = containers
        .map(|container| {
            let state = if succeeds {
                json!({"terminated": {"exitCode": 0, "reason": "Completed"}})
            } else {
                json!({"running": {}})
            };
            json!({
                "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "",
                "ready": !succeeds, "started": !succeeds, "restartCount": 0, "state": state,
            })
        })
        .collect();
    json!({
        "phase": if succeeds { "Succeeded" } else { "Running" },
        "conditions": [
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("ContainersReady", !succeeds),
            condition("Ready", !succeeds),
        ],
        "containerStatuses": containers,
    })
}
