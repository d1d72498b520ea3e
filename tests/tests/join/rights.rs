//! Everything that an agent may do in its cluster, asked of the API server for every resource that it serves; and requests that must be refused.

use std::collections::BTreeSet;

use futures::StreamExt;
use http::Request;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

const NAMESPACE: &str = "fleetcast-system";
const OWN: &str = "fleetcast-agent";
const VERBS: [&str; 12] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "bind",
    "escalate",
    "impersonate",
    "approve",
];
const PLACED: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// The kinds that are placed where nobody names others.
pub(crate) const USUAL: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "namespaces",
            "configmaps",
            "secrets",
            "services",
            "serviceaccounts",
            "persistentvolumeclaims",
        ],
    ),
    ("apps", &["deployments", "statefulsets", "daemonsets"]),
    ("batch", &["jobs", "cronjobs"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
];

/// Something that may be done or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    group: String,
    resource: String,
    subresource: String,
    verb: &'static str,
    namespace: Option<&'static str>,
    name: &'static str,
}

impl Ask {
    /// Whether an agent may do it that places `placed`.
    fn is_allowed(&self, placed: &[(&str, &[&str])]) -> bool {
        let Self {
            group,
            resource,
            subresource,
            verb,
            namespace,
            name,
        } = self;
        let (group, resource) = (group.as_str(), resource.as_str());
        // What everybody may: ask who he is and what he may do.
        if matches!(
            resource,
            "selfsubjectaccessreviews" | "selfsubjectrulesreviews" | "selfsubjectreviews"
        ) {
            return *verb == "create";
        }
        if !subresource.is_empty() {
            return false;
        }
        let is_placed = placed
            .iter()
            .any(|(of, resources)| *of == group && resources.contains(&resource));
        if is_placed && PLACED.contains(verb) {
            return true;
        }
        if group.is_empty() && ["nodes", "pods"].contains(&resource) && *verb == "list" {
            return true;
        }
        let own = [
            ("", "configmaps"),
            ("", "secrets"),
            ("coordination.k8s.io", "leases"),
        ];
        if *namespace != Some(NAMESPACE) || !own.contains(&(group, resource)) {
            return false;
        }
        match *verb {
            "create" => resource != "secrets",
            "get" | "update" => *name == OWN,
            _ => false,
        }
    }

    async fn answer(&self, client: &Client) -> bool {
        let review = json!({"metadata": {}, "spec": {"resourceAttributes": {
            "group": self.group, "resource": self.resource, "subresource": self.subresource, "verb": self.verb,
            "namespace": self.namespace.unwrap_or_default(), "name": self.name,
        }}});
        let review: SelfSubjectAccessReview = serde_json::from_value(review).expect("a review");
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.expect("it is answered");
        answer.status.expect("a status").allowed
    }
}

/// Asks about every verb on every resource that the server serves, with and without a name, in its own namespace and in another: (allowed, denied).
pub(crate) async fn ask_everything(
    admin: &Client,
    agent: &Client,
    placed: &[(&str, &[&str])],
) -> (usize, usize) {
    let mut asks = BTreeSet::new();
    for (group, resource, namespaced) in served(admin).await {
        let (resource, subresource) = resource
            .split_once('/')
            .map_or((resource.as_str(), ""), |(one, other)| (one, other));
        let namespaces: &[Option<&'static str>] = match namespaced {
            true => &[Some(NAMESPACE), Some("default")],
            false => &[None],
        };
        for namespace in namespaces {
            for verb in VERBS {
                for name in ["", OWN] {
                    asks.insert(Ask {
                        group: group.clone(),
                        resource: resource.to_owned(),
                        subresource: subresource.to_owned(),
                        verb,
                        namespace: *namespace,
                        name,
                    });
                }
            }
        }
    }
    let answers: Vec<(Ask, bool)> = futures::stream::iter(asks)
        .map(|ask| async move {
            let allowed = ask.answer(agent).await;
            (ask, allowed)
        })
        .buffer_unordered(32)
        .collect()
        .await;
    let wrong: Vec<&(Ask, bool)> = answers
        .iter()
        .filter(|(ask, allowed)| *allowed != ask.is_allowed(placed))
        .collect();
    assert!(wrong.is_empty(), "answered otherwise: {wrong:#?}");
    let allowed = answers.iter().filter(|(_, allowed)| *allowed).count();
    (allowed, answers.len() - allowed)
}

/// Every resource that a server serves: group, name with its subresource, whether it is in namespaces.
async fn served(client: &Client) -> BTreeSet<(String, String, bool)> {
    let mut lists = vec![("".to_owned(), client.list_core_api_resources("v1").await)];
    for group in client.list_api_groups().await.expect("groups").groups {
        for version in &group.versions {
            let list = client
                .list_api_group_resources(&version.group_version)
                .await;
            lists.push((group.name.clone(), list));
        }
    }
    let mut served = BTreeSet::new();
    for (group, list) in lists {
        for resource in list.expect("resources").resources {
            served.insert((group.clone(), resource.name, resource.namespaced));
        }
    }
    assert!(served.len() > 60, "{served:?}");
    served
}

/// Requests that somebody would make who has stolen the token.
pub(crate) async fn try_to_break_out(client: &Client) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let system = format!("/api/v1/namespaces/{NAMESPACE}");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": OWN, "namespace": NAMESPACE}],
    });
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    let requests: [(&str, String, Option<&Value>); 12] = [
        (
            "POST",
            "/api/v1/namespaces/default/pods".to_owned(),
            Some(&pod),
        ),
        (
            "GET",
            "/api/v1/namespaces/default/pods/x/log".to_owned(),
            None,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/pods/x/exec?command=sh".to_owned(),
            None,
        ),
        ("DELETE", "/api/v1/nodes/x".to_owned(), None),
        (
            "POST",
            format!("{system}/serviceaccounts/{OWN}/token"),
            Some(&token),
        ),
        (
            "POST",
            "/api/v1/namespaces/kube-system/serviceaccounts/default/token".to_owned(),
            Some(&token),
        ),
        (
            "POST",
            format!("{rbac}/clusterrolebindings"),
            Some(&binding),
        ),
        ("GET", format!("{rbac}/clusterroles/{OWN}"), None),
        ("GET", format!("{rbac}/namespaces/{NAMESPACE}/roles"), None),
        (
            "PUT",
            "/api/v1/namespaces/default/secrets/x".to_owned(),
            Some(&secret),
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/secrets".to_owned(),
            None,
        ),
        ("GET", "/metrics".to_owned(), None),
    ];
    for (method, path, body) in requests {
        let body = body.map(|body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(&path)
            .header("content-type", "application/json")
            .body(body.unwrap_or_default())
            .expect("a request");
        let answer = client.request_text(request).await;
        match answer {
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, 403, "{method} {path}: {status:?}")
            }
            other => panic!("{method} {path}: {other:?}"),
        }
    }
}
