//! Where a scenario takes place: a namespace of its own in a simulated or a real cluster, and short words for requests.

use std::borrow::Borrow;

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{ControlPlane, control_plane, eventually, namespace, skip};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use serde_json::{Value, json};

/// A namespace in a cluster.
pub(crate) struct Place {
    /// A stock client with all rights.
    pub(crate) client: Client,
    /// The namespace, which nobody else uses.
    pub(crate) namespace: String,
    /// Whether a real API server answers.
    pub(crate) is_real: bool,
    has_controllers: bool,
    test: &'static str,
}

/// What a server answers: an object, or its refusal.
pub(crate) type Answer = Result<Value, Box<Status>>;

impl Place {
    /// In a new simulated cluster.
    pub(crate) async fn simulated() -> Self {
        let client = Cluster::new("simulated").client();
        Self {
            namespace: namespace(&client, "conformance").await,
            client,
            is_real: false,
            has_controllers: true,
            test: "simulator",
        }
    }

    /// In the real cluster that the tests of this binary share; none (said so) where there is none.
    pub(crate) async fn real(test: &'static str) -> Option<Self> {
        Some(Self::in_cluster(test, control_plane(test).await?).await)
    }

    /// In a real cluster.
    pub(crate) async fn in_cluster(test: &'static str, plane: &ControlPlane) -> Self {
        let client = plane.client().await;
        Self {
            namespace: namespace(&client, "conformance").await,
            client,
            is_real: true,
            has_controllers: plane.has_controllers(),
            test,
        }
    }

    /// A namespace that is not there, in the same cluster.
    pub(crate) fn nowhere(&self) -> Self {
        Self {
            client: self.client.clone(),
            namespace: "nowhere".to_owned(),
            ..*self
        }
    }

    /// Whether nobody collects garbage and removes namespaces (said so): the simulator does it itself, a real API server alone does not.
    pub(crate) fn lacks_controllers(&self) -> bool {
        if !self.has_controllers {
            skip(self.test, "KUBEBUILDER_ASSETS have no controllers");
        }
        !self.has_controllers
    }

    /// Objects of a kind in the namespace: `("apps/v1", "Deployment")`.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &resource(api_version, kind),
        )
    }

    /// Objects of a kind without namespace.
    pub(crate) fn all(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(api_version, kind))
    }

    /// ConfigMaps in the namespace.
    pub(crate) fn maps(&self) -> Api<DynamicObject> {
        self.of("v1", "ConfigMap")
    }

    /// A name for something without namespace, which nobody else uses: an API group, say.
    pub(crate) fn group(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// Creates an object of the namespace, as `creator`.
    pub(crate) async fn create(&self, object: impl Borrow<Value>) -> Answer {
        let object = object.borrow();
        let api = self.of(text(object, "apiVersion"), text(object, "kind"));
        create_in(&api, object).await
    }

    /// Applies an object of the namespace as `manager`.
    pub(crate) async fn apply(&self, manager: &str, object: impl Borrow<Value>) -> Answer {
        self.apply_with(&PatchParams::apply(manager), object).await
    }

    /// Applies an object of the namespace and takes what others own.
    pub(crate) async fn force(&self, manager: &str, object: impl Borrow<Value>) -> Answer {
        let params = PatchParams::apply(manager).force();
        self.apply_with(&params, object).await
    }

    /// Applies an object of the namespace with parameters of the test's own.
    pub(crate) async fn apply_with(
        &self,
        params: &PatchParams,
        object: impl Borrow<Value>,
    ) -> Answer {
        let object = object.borrow();
        let api = self.of(text(object, "apiVersion"), text(object, "kind"));
        let name = object["metadata"]["name"].as_str().expect("a name");
        answer(api.patch(name, params, &Patch::Apply(object)).await)
    }

    /// Sends a request with a body and headers of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = request.body(body.to_string().into_bytes());
        answer(self.client.request::<Value>(body.expect("a request")).await)
    }
}

/// Creates an object, as `creator`.
pub(crate) async fn create_in(api: &Api<DynamicObject>, object: &Value) -> Answer {
    let params = PostParams {
        field_manager: Some("creator".to_owned()),
        ..PostParams::default()
    };
    answer(api.create(&params, &dynamic(object)).await)
}

/// Merges into an object, as `manager` (an edit, as `kubectl edit` and `kubectl scale` make it).
pub(crate) async fn edit(
    api: &Api<DynamicObject>,
    manager: &str,
    name: &str,
    patch: &Value,
) -> Answer {
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    answer(api.patch(name, &params, &Patch::Merge(patch)).await)
}

/// Reads an object.
pub(crate) async fn get(api: &Api<DynamicObject>, name: &str) -> Answer {
    answer(api.get(name).await)
}

/// Deletes an object in the usual way; what is answered while it waits, or none when it is gone.
pub(crate) async fn delete(api: &Api<DynamicObject>, name: &str) -> Option<Value> {
    let deleted = api.delete(name, &DeleteParams::default()).await;
    deleted
        .expect("it may be deleted")
        .left()
        .map(|object| serde_json::to_value(object).expect("an object serializes"))
}

/// Waits until an object is gone.
pub(crate) async fn gone(api: &Api<DynamicObject>, name: &str) {
    eventually(&format!("{name} goes"), async || {
        api.get_opt(name).await.expect("an answer").is_none()
    })
    .await;
}

/// The names of what an API holds, in order, without what the system puts into every namespace.
pub(crate) async fn names(api: &Api<DynamicObject>) -> Vec<String> {
    let list = api.list(&kube::api::ListParams::default()).await;
    let list = list.expect("an answer");
    list.items
        .into_iter()
        .filter_map(|object| object.metadata.name)
        .filter(|name| name != "kube-root-ca.crt")
        .collect()
}

/// What a request was answered with.
pub(crate) fn answer<T: serde::Serialize>(result: Result<T, kube::Error>) -> Answer {
    match result {
        Ok(object) => Ok(serde_json::to_value(object).expect("an object serializes")),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{other} is not an answer of the API"),
    }
}

/// The resource of a kind with a regular plural.
pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// An object for an untyped API.
pub(crate) fn dynamic(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).expect("an object")
}

/// The version of an object.
#[track_caller]
pub(crate) fn version(object: &Value) -> String {
    text(&object["metadata"], "resourceVersion").to_owned()
}

/// The fields that a manager has by an operation (`Apply`, `Update`) at the main endpoint (`""`) or a subresource; none where it has no entry.
pub(crate) fn owned<'object>(
    object: &'object Value,
    manager: &str,
    operation: &str,
    subresource: &str,
) -> Option<&'object Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let entry = entries.iter().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == operation
            && entry["subresource"].as_str().unwrap_or_default() == subresource
    });
    Some(&entry?["fieldsV1"])
}

/// A ConfigMap.
pub(crate) fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A Deployment with one container `web`, which no server adds a Pod to unless replicas are asked for.
pub(crate) fn deployment(name: &str, replicas: Option<i32>, image: &str) -> Value {
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

#[track_caller]
fn text<'object>(object: &'object Value, field: &str) -> &'object str {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {object}"))
}
