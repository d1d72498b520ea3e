//! Service accounts of a real cluster: a token, a kubeconfig, and exactly the rights that a test names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ControlPlane;

/// Makes the service account `namespace/name` with a ClusterRole of these rules (RBAC's own form), and answers a kubeconfig with its token.
pub async fn service_account(
    plane: &ControlPlane,
    namespace: &str,
    name: &str,
    rules: &Value,
) -> String {
    let client = plane.client().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
    apply(
        Api::<ServiceAccount>::namespaced(client.clone(), namespace),
        name,
        &account,
    )
    .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    });
    apply(Api::<ClusterRole>::all(client.clone()), name, &role).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    });
    apply(
        Api::<ClusterRoleBinding>::all(client.clone()),
        name,
        &binding,
    )
    .await;
    let token = token(&client, namespace, name, None).await;
    plane.kubeconfig_of(&format!("token: {token}"))
}

/// Gives an agent the rights of `compose/agent-rbac.yaml`, those and no others, and answers a kubeconfig with its service account's token.
pub async fn agent(plane: &ControlPlane) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../compose/agent-rbac.yaml");
    let text = std::fs::read_to_string(path).expect("the agent's rights");
    let client = plane.client().await;
    for (_, document) in fleetcast_ingest::documents::read(&text) {
        let document = document.expect("a document");
        let object: DynamicObject = serde_json::from_value(document.clone()).expect("an object");
        let types = object.types.expect("a kind");
        let (group, version) = types
            .api_version
            .rsplit_once('/')
            .unwrap_or(("", &types.api_version));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        let name = object.metadata.name.expect("a name");
        apply(api, &name, &document).await;
    }
    let token = token(&client, "fleetcast-system", "fleetcast-agent", None).await;
    plane.kubeconfig_of(&format!("token: {token}"))
}

/// A token of a service account, good for an hour, or as long as the Secret `bound_to` is there.
pub async fn token(client: &Client, namespace: &str, name: &str, bound_to: Option<&str>) -> String {
    let mut request = json!({"spec": {"audiences": [], "expirationSeconds": 3600}});
    if let Some(secret) = bound_to {
        request["spec"]["boundObjectRef"] =
            json!({"apiVersion": "v1", "kind": "Secret", "name": secret});
    }
    let request: TokenRequest = serde_json::from_value(request).expect("a token request");
    let answer = Api::<ServiceAccount>::namespaced(client.clone(), namespace)
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .expect("a token is given");
    let status = answer.status.expect("a request has an answer");
    status.token.expect("it has a token")
}

impl ControlPlane {
    /// A kubeconfig for this cluster whose user has `credentials`, one line of YAML: `token: …` or `tokenFile: …`.
    pub fn kubeconfig_of(&self, credentials: &str) -> String {
        kubeconfig(
            &self.server(),
            &STANDARD.encode(self.certificate()),
            credentials,
        )
    }
}

/// A kubeconfig with one cluster, whose authority is in Base64, and one user.
pub(super) fn kubeconfig(server: &str, authority: &str, credentials: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: it
contexts:
- name: it
  context: {{cluster: it, user: it}}
clusters:
- name: it
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: it
  user:
    {credentials}
"
    )
}

async fn apply<K>(api: Api<K>, name: &str, object: &Value)
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    api.patch(
        name,
        &PatchParams::apply("test").force(),
        &Patch::Apply(object),
    )
    .await
    .expect("the administrator may");
}
