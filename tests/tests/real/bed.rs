//! The test bed itself: it leaves nothing behind, has RBAC on, and its Pods do what a kubelet would make them do.

use fleetcast_tests::harness::control_plane::{pods, rights};
use fleetcast_tests::harness::{
    client_of, control_plane, control_planes, eventually, namespace, skip,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn a_dropped_control_plane_leaves_no_process_and_no_folder() {
    let test = "a_dropped_control_plane_leaves_no_process_and_no_folder";
    let Some(mut planes) = control_planes(test, 1).await else {
        return;
    };
    let plane = planes.pop().expect("one was asked for");
    let folder = plane.kubeconfig().parent().expect("a folder").to_owned();
    let address = plane.server().replace("https://", "");
    if let Some(bytes) = plane.resident_bytes() {
        assert!(bytes > 0 && bytes < 1 << 30, "{bytes} bytes resident");
    }
    assert!(folder.exists() && std::net::TcpStream::connect(&address).is_ok());
    drop(plane);
    assert!(!folder.exists(), "{}", folder.display());
    assert!(
        std::net::TcpStream::connect(&address).is_err(),
        "somebody answers"
    );
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_no_more() {
    let test = "a_service_account_may_do_what_its_role_says_and_no_more";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let namespace = namespace(&plane.client().await, "rights").await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    let kubeconfig = rights::service_account(plane, &namespace, &namespace, &rules).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).expect("written");
    let maps: Api<ConfigMap> = Api::namespaced(client_of(&path).await, &namespace);
    maps.list(&ListParams::default())
        .await
        .expect("it may list");
    let refused = maps
        .delete("kube-root-ca.crt", &DeleteParams::default())
        .await;
    let words = format!(
        "User \"system:serviceaccount:{namespace}:{namespace}\" cannot delete resource \"configmaps\""
    );
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains(&words)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn pods_become_ready_jobs_complete_and_owners_take_them_along() {
    let test = "pods_become_ready_jobs_complete_and_owners_take_them_along";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    if !plane.has_controllers() {
        skip(test, "KUBEBUILDER_ASSETS have no controllers");
        return;
    }
    let client = plane.client().await;
    let namespace = namespace(&client, "pods").await;
    let _running = pods::run_pods(client.clone());
    let containers = json!([{"name": "c", "image": "a"}]);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}});
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    jobs.patch("j", &PatchParams::apply("test"), &Patch::Apply(job))
        .await
        .expect("made");
    eventually("the Job completes", async || {
        let job = jobs.get("j").await.expect("there");
        job.status.and_then(|status| status.succeeded) == Some(1)
    })
    .await;
    jobs.delete("j", &DeleteParams::background())
        .await
        .expect("deleted");
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    eventually("its Pods go with it", async || {
        let left = pods.list(&ListParams::default()).await.expect("listed");
        left.items.is_empty()
    })
    .await;
}
