//! The cluster itself, where it can be reached from here: its agent's objects are applied, and taken away.

use std::time::Duration;

use fleetcast_agent::cluster::NAMESPACE;
use fleetcast_kubernetes::{brief, credentials, send, split};
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams};
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
        namespace: _,
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

/// The namespace of its agent: the one that was named, else the one where it has its rights by the cluster's own word, else the usual one.
pub(super) async fn namespace(
    client: Option<&Client>,
    args: &MemberArgs,
) -> Result<String, Failure> {
    let known = match client {
        Some(client) => home(client).await?,
        None => None,
    };
    match (&args.namespace, known) {
        (Some(named), Some(known)) if *named != known => {
            eprintln!(
                "the agent in namespace {known} loses its rights to what is placed, which one in {named} gets; next, where one runs there: kubectl -n {known} delete deployment {NAME}"
            );
            Ok(named.clone())
        }
        (Some(named), _) => Ok(named.clone()),
        (None, Some(known)) => Ok(known),
        (None, None) => Ok(NAMESPACE.to_owned()),
    }
}

/// The namespace of the service account that may change what is placed: one at a time, since the binding has one name.
async fn home(client: &Client) -> Result<Option<String>, Failure> {
    let binding = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
    });
    let (requests, name) = requests(&binding);
    let request = requests.get(&name, &GetParams::default());
    match send(client, request, PATIENCE).await {
        Ok(found) => {
            let found: Value = found;
            Ok(found["subjects"][0]["namespace"]
                .as_str()
                .map(str::to_owned))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Failure::Refused(format!(
            "{}: {}",
            called(&binding),
            brief(&error)
        ))),
    }
}

/// Applies objects in their order, and says which.
pub(super) async fn apply(client: &Client, objects: &[Value]) -> Result<Vec<String>, Failure> {
    let mut applied = Vec::new();
    for object in objects {
        let (requests, name) = requests(object);
        let params = PatchParams::apply(MANAGER).force();
        let request = requests.patch(&name, &params, &Patch::Apply(object));
        let what = called(object);
        match send(client, request, PATIENCE).await {
            Ok(_) => applied.push(what),
            Err(error) => {
                let next = next(object, &error);
                let why = brief(&error);
                return Err(Failure::Refused(format!("{what}: {why}{next}")));
            }
        }
    }
    Ok(applied)
}

/// Takes an agent's objects away, the Deployment first and not the namespace, which others may use; what is not there is gone already.
pub(super) async fn delete(
    client: &Client,
    namespace: &str,
    objects: &[Value],
) -> Result<Vec<String>, Failure> {
    let mut deleted = Vec::new();
    let own = [
        serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": namespace}}),
        serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME, "namespace": namespace}}),
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

/// What to do about an error, where that is known: the labels by which a Deployment finds its pods never change.
fn next(object: &Value, error: &kube::Error) -> String {
    let is_immutable = matches!(error, kube::Error::Api(status)
        if status.code == 422 && status.message.contains("spec.selector"));
    match is_immutable {
        true => format!(
            "\nanother Deployment of that name stands there, with other labels; next: kubectl -n {} delete deployment {NAME}",
            object["metadata"]["namespace"].as_str().unwrap_or_default()
        ),
        false => String::new(),
    }
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
