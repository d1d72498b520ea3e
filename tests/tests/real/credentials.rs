//! Credentials that change on disk while an agent's client is in use.

use std::path::Path;
use std::time::Duration;

use fleetcast_kubernetes::credentials::{self, Source};
use fleetcast_tests::harness::control_plane::rights;
use fleetcast_tests::harness::{control_plane, eventually, namespace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use super::fleet::of_namespace;

/// How long it may take until a new token is used: a token file is read anew after a minute, and the server remembers a good token for 10 s.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_token_that_changes_in_the_kubeconfig_is_picked_up() {
    let test = "a_token_that_changes_in_the_kubeconfig_is_picked_up";
    rotate(test, |folder, token| {
        let user = format!("token: {token}");
        (user, folder.join("kubeconfig"))
    })
    .await;
}

#[tokio::test]
async fn a_token_file_that_changes_is_picked_up() {
    let test = "a_token_file_that_changes_is_picked_up";
    rotate(test, |folder, token| {
        let path = folder.join("token");
        std::fs::write(&path, token).expect("written");
        (
            format!("tokenFile: {}", path.display()),
            folder.join("kubeconfig"),
        )
    })
    .await;
}

/// Writes a token by `write` (the user in the kubeconfig, and where the kubeconfig is), takes it out of use, writes another, and waits until that is used.
async fn rotate(test: &str, write: impl Fn(&Path, &str) -> (String, std::path::PathBuf)) {
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let admin = plane.client().await;
    let namespace = namespace(&admin, "rotation").await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    rights::service_account(plane, &namespace, &namespace, &rules).await;
    let secrets = of_namespace(&admin, &namespace, "v1", "Secret");
    let folder = tempfile::tempdir().expect("a folder");
    let use_token_bound_to = async |name: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        let params = PatchParams::apply("test");
        let made = secrets.patch(name, &params, &Patch::Apply(&secret)).await;
        made.expect("made");
        let token = rights::token(&admin, &namespace, &namespace, Some(name)).await;
        let (user, path) = write(folder.path(), &token);
        let text = plane.kubeconfig_of(&user);
        if std::fs::read_to_string(&path).ok() != Some(text.clone()) {
            std::fs::write(&path, text).expect("written");
        }
        path
    };
    let source = Source {
        kubeconfig: Some(use_token_bound_to("first").await),
        context: None,
    };
    let client = credentials::client(source).await.expect("a client");
    let maps = of_namespace(&client, &namespace, "v1", "ConfigMap");
    let code = async || match maps.list(&ListParams::default()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(code().await, 200);
    secrets
        .delete("first", &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the old token is refused", async || code().await == 401).await;
    use_token_bound_to("second").await;
    tokio::time::timeout(PATIENCE, async {
        while code().await != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .expect("the new token is used");
}
