//! An agent against simulated clusters.
#![allow(clippy::unwrap_used, missing_docs)]

mod apply;
mod hub;
mod lease;
mod meanwhile;
mod memory;
mod remove;
mod run;

use fleetcast_agent::cluster::own::Home;
use fleetcast_agent::cluster::{Cluster, NAMESPACE, Report, Reporting, Task};
use fleetcast_core::ack::Outcome;
use fleetcast_core::digest;
use fleetcast_core::document::Document;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ApplyPolicy, ClusterName};
use fleetcast_core::time::Time;
use fleetcast_core::work::{Body, Stamp, Work};
use fleetcast_simulator::Cluster as Simulated;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// How long anything may take on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);

/// A simulated cluster, its agent's edge, and the objects in it as an outsider sees them.
struct World {
    simulated: Simulated,
    cluster: Cluster,
}

impl World {
    /// A cluster with the namespace `shop`.
    async fn new() -> Self {
        let world = Self::bare();
        world
            .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
            .await;
        world
    }

    fn bare() -> Self {
        Self::seeing(&Simulated::new("eu"))
    }

    /// Another look at a cluster that is there.
    fn seeing(simulated: &Simulated) -> Self {
        Self {
            cluster: Cluster::new(simulated.client(), Reporting::default()),
            simulated: simulated.clone(),
        }
    }

    /// Where its agent keeps what is its own.
    fn home(&self) -> Home {
        Home::new(self.simulated.client(), NAMESPACE)
    }

    fn api(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.simulated.client(), namespace, &resource),
            None => Api::all_with(self.simulated.client(), &resource),
        }
    }

    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        self.api(
            text("/apiVersion").unwrap(),
            text("/kind").unwrap(),
            text("/metadata/namespace"),
        )
    }

    async fn create(&self, object: Value) {
        let parsed = serde_json::from_value(object.clone()).unwrap();
        self.api_of(&object)
            .create(&PostParams::default(), &parsed)
            .await
            .unwrap();
    }

    /// Changes an object as somebody else.
    async fn edit(&self, object: &Value, patch: Value) {
        let params = PatchParams {
            field_manager: Some("kubectl".to_owned()),
            ..PatchParams::default()
        };
        self.api_of(object)
            .patch(
                object["metadata"]["name"].as_str().unwrap(),
                &params,
                &Patch::Merge(patch),
            )
            .await
            .unwrap();
    }

    /// The object as it stands now; null where it is not there.
    async fn live(&self, object: &Value) -> Value {
        let live = self
            .api_of(object)
            .get_opt(object["metadata"]["name"].as_str().unwrap())
            .await
            .unwrap();
        serde_json::to_value(live).unwrap()
    }

    async fn attempt(&self, work: &Work) -> (Outcome, String) {
        let Report {
            outcome, message, ..
        } = self.cluster.attempt(&Task::new(work.clone())).await;
        (outcome, message)
    }
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": data})
}

/// Work for the ConfigMap `shop/a` or whatever `manifest` is, of a decision.
fn apply_work(manifest: &Value, decision: u64, policy: ApplyPolicy) -> Work {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let (group, _) = text("/apiVersion")
        .unwrap()
        .rsplit_once('/')
        .unwrap_or_default();
    let group = if group.is_empty() {
        String::new()
    } else {
        format!(".{group}")
    };
    let namespace = text("/metadata/namespace").map_or_else(String::new, |text| format!("{text}/"));
    let object = format!(
        "{}{group}/{namespace}{}",
        text("/kind").unwrap(),
        text("/metadata/name").unwrap()
    );
    Work {
        cluster: ClusterName::parse("eu").unwrap(),
        object: object.parse().unwrap(),
        revision: decision,
        decision,
        decision_epoch: Epoch::try_from("1.hub".to_owned()).unwrap(),
        digest: Some(digest::of_value(manifest)),
        stamp: Stamp {
            epoch: Epoch::try_from("1.hub".to_owned()).unwrap(),
            term: 1,
            incarnation: "i".to_owned(),
            n: decision,
        },
        time: Time(0),
        causation: "c".to_owned(),
        correlation: "c".to_owned(),
        body: Body::Apply {
            manifest: Document::from_value(manifest),
            policy,
        },
    }
}

/// The removal of what `manifest` is.
fn remove_work(manifest: &Value, decision: u64, mode: OnDelete) -> Work {
    Work {
        digest: None,
        body: Body::Remove {
            mode,
            api_version: manifest["apiVersion"].as_str().unwrap().to_owned(),
        },
        ..apply_work(manifest, decision, ApplyPolicy::default())
    }
}

/// Waits until `happened`.
async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !happened().await {
        assert!(begin.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn default() -> ApplyPolicy {
    ApplyPolicy::default()
}
