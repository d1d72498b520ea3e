//! Where a hub is, who it is, and what is asked of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_core::model::ObjectKey;
use fleetcast_kubernetes::credentials::{self, Source};
use fleetcast_kubernetes::kinds::{Kind, Kinds};
use fleetcast_kubernetes::path_step;
use kube::api::{GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::{Value, json};

/// Our field manager on a hub.
pub const MANAGER: &str = "fleetcast-hub";
/// The word for the hub in whose cluster the process runs.
const IN_CLUSTER: &str = "in-cluster";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a hub is: `KUBECONFIG`, `KUBECONFIG:CONTEXT`, or `in-cluster` for the service account of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The kubeconfig; none for the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; none for its current one.
    pub context: Option<String>,
}

impl Address {
    /// A client that follows the credentials where they change on disk.
    ///
    /// # Errors
    /// Where there are no credentials that can be used now.
    pub async fn client(&self) -> Result<Client, credentials::Error> {
        credentials::client(Source {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        })
        .await
    }
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == IN_CLUSTER {
            return Ok(Self {
                kubeconfig: None,
                context: None,
            });
        }
        // A path may have a colon of its own, and contexts have some (`arn:aws:eks:…`): what is a file decides.
        let is_file = |path: &str| Path::new(path).is_file();
        let split = |at: usize| (&text[..at], Some(&text[at + 1..]));
        let mut splits = text.match_indices(':').map(|(at, _)| split(at));
        let (path, context) = match splits.clone().find(|(path, _)| is_file(path)) {
            Some(found) if !is_file(text) => found,
            None if !is_file(text) => splits.next().unwrap_or((text, None)),
            _ => (text, None),
        };
        if path.is_empty() || context == Some("") {
            return Err(format!(
                "{text:?} names no hub: KUBECONFIG, KUBECONFIG:CONTEXT, or {IN_CLUSTER}"
            ));
        }
        Ok(Self {
            kubeconfig: Some(path.into()),
            context: context.map(str::to_owned),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kubeconfig, &self.context) {
            (None, _) => f.write_str(IN_CLUSTER),
            (Some(path), None) => write!(f, "{}", path.display()),
            (Some(path), Some(context)) => write!(f, "{}:{context}", path.display()),
        }
    }
}

/// What is asked of a hub's API server. Clones share what is known about kinds.
#[derive(Clone)]
pub struct Api {
    /// The client.
    pub client: Client,
    /// What the hub serves.
    pub kinds: Arc<Kinds>,
}

impl Api {
    /// The hub that `client` speaks to.
    pub fn new(client: Client) -> Self {
        Self {
            kinds: Arc::new(Kinds::new(client.clone())),
            client,
        }
    }

    /// The hub's id: the uid of its namespace `kube-system`, which is never made anew.
    ///
    /// # Errors
    /// Where the hub does not answer, or does not let us look.
    pub async fn id(&self) -> Result<String, Error> {
        let namespace = "Namespace/kube-system".parse().expect("a key");
        let live = self.get("v1", &namespace).await?;
        let uid = live
            .as_ref()
            .and_then(|live| live["metadata"]["uid"].as_str());
        uid.map(str::to_owned)
            .ok_or_else(|| Error::Service("the hub has no namespace kube-system".into()))
    }

    /// The kind of an object; none where the hub does not serve it.
    ///
    /// # Errors
    /// Where the hub does not answer.
    pub async fn kind(&self, api_version: &str, object: &ObjectKey) -> Result<Option<Kind>, Error> {
        self.kinds
            .find_in_any_version(api_version, object.kind())
            .await
    }

    /// The object; none where it is not there, or its kind is not served.
    ///
    /// # Errors
    /// Where the hub does not answer.
    pub async fn get(&self, api_version: &str, object: &ObjectKey) -> Result<Option<Value>, Error> {
        let Some(kind) = self.kind(api_version, object).await? else {
            return Ok(None);
        };
        let requests = kind.requests(object.namespace());
        let request = requests.get(&path_step(object.name()), &GetParams::default());
        absent_as_none(self.send(request).await)
    }

    /// The object of that name in whichever namespace it is, where there is one; none where the hub does not serve its kind.
    ///
    /// # Errors
    /// Where the hub does not answer.
    pub async fn find_in_any_namespace(
        &self,
        api_version: &str,
        object: &ObjectKey,
    ) -> Result<Option<ObjectKey>, Error> {
        let Some(kind) = self.kind(api_version, object).await? else {
            return Ok(None);
        };
        let params = ListParams::default().fields(&format!("metadata.name={}", object.name()));
        let listed = absent_as_none(self.send(kind.requests(None).list(&params)).await)?;
        let namespace = listed.and_then(|listed| {
            let metadata = &listed["items"].as_array()?.first()?["metadata"];
            metadata["namespace"].as_str().map(str::to_owned)
        });
        let found = namespace.and_then(|namespace| {
            let (kind, group) = (object.kind(), object.group());
            ObjectKey::new(kind, group, Some(&namespace), object.name()).ok()
        });
        Ok(found)
    }

    /// Merges `patch` into the object: with `metadata.resourceVersion` only where it is still in that state. None where it is not there.
    ///
    /// # Errors
    /// Where the hub does not answer, or says no; 409 where the object is in another state.
    pub async fn merge(
        &self,
        api_version: &str,
        object: &ObjectKey,
        patch: &Value,
    ) -> Result<Option<Value>, Error> {
        let Some(kind) = self.kind(api_version, object).await? else {
            return Ok(None);
        };
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let requests = kind.requests(object.namespace());
        let request = requests.patch(&path_step(object.name()), &params, &Patch::Merge(patch));
        absent_as_none(self.send(request).await)
    }

    /// Applies `status` to the object's status as the field manager `manager`: fields of others stay. None where it is not there.
    ///
    /// # Errors
    /// Where the hub does not answer, or says no.
    pub async fn apply_status(
        &self,
        api_version: &str,
        object: &ObjectKey,
        manager: &str,
        uid: &str,
        status: &Value,
    ) -> Result<Option<Value>, Error> {
        let Some(kind) = self.kind(api_version, object).await? else {
            return Ok(None);
        };
        let body = json!({
            "apiVersion": kind.api_version, "kind": kind.kind,
            // Where another object stands there by now, its status is none of ours.
            "metadata": {"name": object.name(), "namespace": object.namespace(), "uid": uid},
            "status": status,
        });
        let params = PatchParams::apply(manager).force();
        let requests = kind.requests(object.namespace());
        let name = path_step(object.name());
        let request = requests.patch_subresource("status", &name, &params, &Patch::Apply(&body));
        absent_as_none(self.send(request).await)
    }

    /// Creates the Event `name` about an object of the hub; one of that name that is there already is enough.
    ///
    /// # Errors
    /// Where the hub does not answer, or says no.
    pub async fn event(&self, namespace: &str, name: &str, event: &Value) -> Result<(), Error> {
        let place = ObjectKey::new("Event", "", Some(namespace), name);
        let place = place.map_err(|refusal| Error::Service(refusal.to_string().into()))?;
        let Some(kind) = self.kind("v1", &place).await? else {
            return Ok(());
        };
        let mut body = event.clone();
        body["apiVersion"] = json!("v1");
        body["kind"] = json!("Event");
        body["metadata"] = json!({"name": name, "namespace": namespace});
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = kind
            .requests(Some(namespace))
            .create(&params, body.to_string().into_bytes());
        match self.send(request).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the definition of a kind is being deleted; kinds that have none are not.
    ///
    /// # Errors
    /// Where the hub does not answer.
    pub async fn is_leaving(&self, kind: &Kind) -> Result<bool, Error> {
        let (group, _) = fleetcast_kubernetes::split(&kind.api_version);
        let name = format!("{}.{group}", kind.plural);
        let definition = ObjectKey::new(
            "CustomResourceDefinition",
            "apiextensions.k8s.io",
            None,
            &name,
        );
        let Ok(definition) = definition else {
            return Ok(false);
        };
        let live = self.get("apiextensions.k8s.io/v1", &definition).await?;
        Ok(live.is_some_and(|live| live["metadata"]["deletionTimestamp"].is_string()))
    }

    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, Error> {
        fleetcast_kubernetes::send(&self.client, request, PATIENCE).await
    }
}

fn absent_as_none(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Ok(live) => Ok(Some(live)),
        Err(Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_named_by_its_kubeconfig_and_context() {
        for (text, kubeconfig, context) in [
            ("in-cluster", None, None),
            ("hub.yaml", Some("hub.yaml"), None),
            ("/a/hub.yaml:prod", Some("/a/hub.yaml"), Some("prod")),
            (
                "hub.yaml:arn:aws:eks:eu:1:cluster/hub",
                Some("hub.yaml"),
                Some("arn:aws:eks:eu:1:cluster/hub"),
            ),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.kubeconfig.as_deref(), kubeconfig.map(Path::new));
            assert_eq!(address.context.as_deref(), context);
            assert_eq!(address.to_string(), text);
        }
        for text in ["", ":prod", "hub.yaml:"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
