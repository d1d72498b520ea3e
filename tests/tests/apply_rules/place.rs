//! Where a row takes place: a namespace of its own in a simulated or a real cluster, an agent's edge, and somebody else.

use fleetcast_agent::cluster::{Cluster, Report, Reporting, Task};
use fleetcast_core::ack::Outcome;
use fleetcast_core::digest;
use fleetcast_core::document::Document;
use fleetcast_core::drift::Drift;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ApplyPolicy, ClusterName};
use fleetcast_core::time::Time;
use fleetcast_core::work::{Body, Stamp, Work};
use fleetcast_tests::harness::{control_plane, namespace};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// A namespace in a cluster, with an agent's edge.
pub(crate) struct Place {
    client: Client,
    namespace: String,
    cluster: Cluster,
}

/// How an attempt ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    pub(crate) drift: Option<Drift>,
}

impl Place {
    /// In a new simulated cluster.
    pub(crate) async fn simulated() -> Self {
        Self::in_cluster(fleetcast_simulator::Cluster::new("simulated").client()).await
    }

    /// In the real cluster that the tests of this binary share; none (said so) where there is none.
    pub(crate) async fn real(test: &str) -> Option<Self> {
        Some(Self::in_cluster(control_plane(test).await?.client().await).await)
    }

    async fn in_cluster(client: Client) -> Self {
        Self {
            namespace: namespace(&client, "rules").await,
            cluster: Cluster::new(client.clone(), Reporting::default()),
            client,
        }
    }

    /// The ConfigMap that all rows but a few are about.
    pub(crate) fn map(&self, value: &str) -> Value {
        self.object("v1", "ConfigMap", json!({"data": {"a": value}}))
    }

    /// An object `a` with more than a name.
    pub(crate) fn object(&self, api_version: &str, kind: &str, more: Value) -> Value {
        let mut object = more;
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "a", "namespace": self.namespace});
        object
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let api_version = object["apiVersion"].as_str().expect("a version");
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = object["kind"].as_str().expect("a kind");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn work(&self, object: &Value, decision: u64, body: Body, digest: Option<String>) -> Work {
        let group = match object["apiVersion"]
            .as_str()
            .and_then(|text| text.split_once('/'))
        {
            Some((group, _)) => format!(".{group}"),
            None => String::new(),
        };
        let kind = object["kind"].as_str().expect("a kind");
        Work {
            cluster: ClusterName::parse("eu").expect("valid"),
            object: format!("{kind}{group}/{}/a", self.namespace)
                .parse()
                .expect("valid"),
            revision: decision,
            decision,
            decision_epoch: "1.hub".to_owned().try_into().expect("valid"),
            digest,
            stamp: Stamp {
                epoch: "1.hub".to_owned().try_into().expect("valid"),
                term: 1,
                incarnation: "i".to_owned(),
                n: decision,
            },
            time: Time(0),
            causation: "c".to_owned(),
            correlation: "c".to_owned(),
            body,
        }
    }

    async fn attempt(&self, work: Work, again: bool) -> Ended {
        let task = Task { work, again };
        let mut report = self.cluster.attempt(&task).await;
        for _ in 0..20 {
            // A controller was faster: an agent tries again.
            if !report.message.contains("has been modified") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            report = self.cluster.attempt(&task).await;
        }
        let Report {
            outcome,
            message,
            sight,
            ..
        } = report;
        let copy = sight.and_then(|sight| sight.copy);
        Ended {
            outcome,
            message,
            drift: copy.and_then(|copy| copy.observed.drift),
        }
    }

    /// The agent carries out a decision.
    pub(crate) async fn apply(&self, object: &Value, decision: u64, policy: &ApplyPolicy) -> Ended {
        self.attempt(self.application(object, decision, policy), false)
            .await
    }

    /// The agent looks again at a decision that was carried out.
    pub(crate) async fn look(&self, object: &Value, decision: u64, policy: &ApplyPolicy) -> Ended {
        self.attempt(self.application(object, decision, policy), true)
            .await
    }

    fn application(&self, object: &Value, decision: u64, policy: &ApplyPolicy) -> Work {
        let body = Body::Apply {
            manifest: Document::from_value(object),
            policy: policy.clone(),
        };
        self.work(object, decision, body, Some(digest::of_value(object)))
    }

    /// The agent carries out a removal.
    pub(crate) async fn remove(&self, object: &Value, decision: u64, mode: OnDelete) -> Ended {
        let api_version = object["apiVersion"].as_str().expect("a version").to_owned();
        let body = Body::Remove { mode, api_version };
        self.attempt(self.work(object, decision, body, None), false)
            .await
    }

    /// Somebody else creates an object.
    pub(crate) async fn create(&self, object: &Value) {
        let params = PostParams {
            field_manager: Some("kubectl".to_owned()),
            ..PostParams::default()
        };
        let parsed = serde_json::from_value(object.clone()).expect("an object");
        let created = self.api(object).create(&params, &parsed).await;
        created.expect("created");
    }

    /// Somebody else changes an object.
    pub(crate) async fn edit(&self, object: &Value, patch: Value) {
        let params = PatchParams {
            field_manager: Some("kubectl".to_owned()),
            ..PatchParams::default()
        };
        let edited = self
            .api(object)
            .patch("a", &params, &Patch::Merge(patch))
            .await;
        edited.expect("edited");
    }

    /// Somebody else deletes an object.
    pub(crate) async fn delete(&self, object: &Value) {
        let deleted = self.api(object).delete("a", &DeleteParams::default()).await;
        deleted.expect("deleted");
    }

    /// The object as it stands; null where it is not there.
    pub(crate) async fn live(&self, object: &Value) -> Value {
        let live = self.api(object).get_opt("a").await.expect("an answer");
        serde_json::to_value(live).expect("an object")
    }
}
