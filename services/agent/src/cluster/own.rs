//! Objects that an agent keeps for itself in its cluster, in one namespace.

use std::time::Duration;

use kube::api::{GetParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource};
use kube::{Client, Error};
use serde_json::{Value, json};

use super::MANAGER;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an agent keeps what is its own: a cluster, and a namespace in it.
#[derive(Clone)]
pub struct Home {
    client: Client,
    namespace: String,
}

impl Home {
    /// The namespace in the cluster that `client` speaks to.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self {
            client,
            namespace: namespace.into(),
        }
    }
}

/// One object of the agent's own; every kind of them is served by every cluster.
#[derive(Clone)]
pub(crate) struct Own {
    home: Home,
    group: &'static str,
    kind: &'static str,
    name: String,
}

impl Own {
    /// The object `name` of a kind in version `v1` of its group.
    pub(crate) fn new(
        home: &Home,
        group: &'static str,
        kind: &'static str,
        name: impl Into<String>,
    ) -> Self {
        Self {
            home: home.clone(),
            group,
            kind,
            name: name.into(),
        }
    }

    /// The object; none where it is not there.
    pub(crate) async fn get(&self) -> Result<Option<Value>, Error> {
        let request = self.requests().get(&self.name, &GetParams::default());
        match self.send(request).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the object over the state `resource_version`, or creates it (and the namespace) where there is none; none where somebody was faster.
    pub(crate) async fn put(
        &self,
        resource_version: Option<&str>,
        content: &Value,
    ) -> Result<Option<Value>, Error> {
        let mut object = content.clone();
        object["metadata"]["name"] = json!(self.name);
        object["metadata"]["namespace"] = json!(self.home.namespace);
        object["kind"] = json!(self.kind);
        object["apiVersion"] = json!(self.resource().api_version);
        if let Some(resource_version) = resource_version {
            object["metadata"]["resourceVersion"] = json!(resource_version);
        }
        let body = object.to_string().into_bytes();
        let write = || match resource_version {
            Some(_) => self
                .requests()
                .replace(&self.name, &parameters(), body.clone()),
            None => self.requests().create(&parameters(), body.clone()),
        };
        let mut outcome = self.send(write()).await;
        if let (Err(Error::Api(status)), None) = (&outcome, resource_version)
            && status.code == 404
        {
            self.create_namespace().await?;
            outcome = self.send(write()).await;
        }
        match outcome {
            Ok(object) => Ok(Some(object)),
            // Another state (409), or gone (404).
            Err(Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create_namespace(&self) -> Result<(), Error> {
        let namespace = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let name = &self.home.namespace;
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let request = Request::new(DynamicObject::url_path(&namespace, None))
            .create(&parameters(), body.to_string().into_bytes());
        match self.send(request).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, Error> {
        fleetcast_kubernetes::send(&self.home.client, request, PATIENCE).await
    }

    fn resource(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(self.group, "v1", self.kind))
    }

    fn requests(&self) -> Request {
        let namespace = Some(self.home.namespace.as_str());
        Request::new(DynamicObject::url_path(&self.resource(), namespace))
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}
