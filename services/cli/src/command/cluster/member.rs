//! The cluster itself, where it can be reached from here: its agent's objects are applied, and taken away.

use std::time::Duration;

use fleetcast_agent::cluster::NAMESPACE;
use fleetcast_kubernetes::{brief, credentials, send, split};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource};
use serde_json::Value;

use super::manifest::NAME;
use crate::args::MemberArgs;
use crate::failure::Failure;

/// Who applies.
const MANAGER: &str = "fleetcast-join";
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client for it; none where no kubeconfig was named.
pub(super) async fn client(args: &MemberArgs) -> Result<Option<Client>, Failure> {
    let MemberArgs {
        kubeconfig: Some(kubeconfig),
        context,
    } = args
    else {
        return Ok(None);
    };
    let source = credentials::Source {
        kubeconfig: Some(kubeconfig.clone()),
        context: context.clone(),
    };
    let client = credentials::client(source).await;
    Ok(Some(client.map_err(anyhow::Error::from)?))
}

/// Applies objects in their order, and says which.
pub(super) async fn apply(client: &Client, objects: &[Value]) -> Result<Vec<String>, Failure> {
    let mut applied = Vec::new();
    for object in objects {
        let (requests, name) = requests(object);
        let params = PatchParams::apply(MANAGER).force();
        let request = requests.patch(&name, &params, &Patch::Apply(object));
        let what = called(object);
        send(client, request, PATIENCE)
            .await
            .map_err(|error| Failure::Refused(format!("{what}: {}", brief(&error))))?;
        applied.push(what);
    }
    Ok(applied)
}

/// Takes an agent's objects away, the Deployment first and not the namespace, which others may use; what is not there is gone already.
pub(super) async fn delete(client: &Client, objects: &[Value]) -> Result<Vec<String>, Failure> {
    let mut deleted = Vec::new();
    let own = [
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
        serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
    ];
    let placed = objects
        .iter()
        .rev()
        .filter(|object| object["kind"] != "Namespace");
    for object in placed.chain(&own) {
        let (requests, name) = requests(object);
        let request = requests.delete(&name, &DeleteParams::background());
        match send(client, request, PATIENCE).await {
            Ok(_) => deleted.push(called(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                let what = called(object);
                return Err(Failure::Refused(format!("{what}: {}", brief(&error))));
            }
        }
    }
    Ok(deleted)
}

/// `deployment/fleetcast-agent`.
fn called(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&object["kind"]).to_lowercase();
    format!("{kind}/{}", text(&object["metadata"]["name"]))
}

fn requests(object: &Value) -> (Request, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = split(&api_version);
    let kind = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
    let resource = ApiResource::from_gvk(&kind);
    let namespace = object["metadata"]["namespace"].as_str();
    let requests = Request::new(DynamicObject::url_path(&resource, namespace));
    (requests, text(&object["metadata"]["name"]))
}
