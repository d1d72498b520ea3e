//! The status of the object that registered a cluster: whether it is ready, since when, and what it has room for; each in the words of its kind.
//!
//! | object | words |
//! |---|---|
//! | MemberCluster | ours |
//! | KubeFedCluster | KubeFed's (`pkg/controller/kubefedcluster/clusterclient.go`): one that nobody hears has the condition Offline and no other |
//! | Karmada's Cluster | Karmada's (`pkg/controllers/status/cluster_status_controller.go`): Ready, the version, sums over nodes |

use serde_json::{Value, json};

use crate::capacity::{Amounts, Capacity};
use crate::fold::ClusterView;
use crate::readiness::Readiness;

use super::condition;

/// `conditions`: `Ready` with the time since when; the reason is the word for how it stands. `capacity`, where it was measured.
pub fn status(known: &ClusterView, capacity: Option<&Capacity>) -> Value {
    let (status, reason, message) = match known.readiness() {
        Readiness::Ready => ("True", "Ready", "Its agent is heard and can do its work."),
        Readiness::Degraded => {
            let trouble = known.trouble.as_deref();
            ("False", "Degraded", trouble.unwrap_or_default())
        }
        Readiness::Offline => (
            "False",
            "Offline",
            "Its agent is not heard any more; what it holds stays.",
        ),
        Readiness::Unknown => ("Unknown", "NeverHeard", "No agent was heard yet."),
    };
    let ready = condition("Ready", status, reason, message.to_owned());
    let mut status = json!({"conditions": [since(known, ready)]});
    if let Some(capacity) = capacity {
        status["capacity"] = json!({
            "nodes": capacity.nodes,
            "readyNodes": capacity.ready_nodes,
            "pods": capacity.allocatable.pods,
            "allocatable": amounts(capacity.allocatable),
            "allocated": amounts(capacity.allocated),
            "available": amounts(capacity.available()),
        });
    }
    status
}

fn amounts(of: Amounts) -> Value {
    json!({"cpu": of.cpu(), "memory": of.memory(), "pods": of.pods})
}

fn since(known: &ClusterView, mut condition: Value) -> Value {
    condition["lastTransitionTime"] = json!(known.since.rfc3339());
    condition
}

/// As KubeFed writes it; none for a cluster that was never heard, as before its first probe.
pub fn kubefed(known: &ClusterView, capacity: Option<&Capacity>) -> Option<Value> {
    let conditions = match known.readiness() {
        Readiness::Ready => vec![(
            "Ready",
            "True",
            "ClusterReady",
            "/healthz responded with ok",
        )],
        Readiness::Degraded => vec![
            (
                "Ready",
                "False",
                "ClusterNotReady",
                "/healthz responded without ok",
            ),
            (
                "Offline",
                "False",
                "ClusterReachable",
                "cluster is reachable",
            ),
        ],
        Readiness::Offline => vec![(
            "Offline",
            "True",
            "ClusterNotReachable",
            "cluster is not reachable",
        )],
        Readiness::Unknown => return None,
    };
    let conditions = conditions
        .into_iter()
        .map(|(kind, status, reason, message)| {
            let mut one = since(known, condition(kind, status, reason, message.to_owned()));
            // Nobody probes: it was asked when it changed.
            one["lastProbeTime"] = one["lastTransitionTime"].clone();
            one
        });
    let mut status = json!({"conditions": conditions.collect::<Vec<_>>()});
    tell_version(&mut status, capacity);
    Some(status)
}

/// As Karmada writes it; none for a cluster that was never heard.
pub fn karmada(known: &ClusterView, capacity: Option<&Capacity>) -> Option<Value> {
    let (status, reason, message) = match known.readiness() {
        Readiness::Ready => (
            "True",
            "ClusterReady",
            "cluster is healthy and ready to accept workloads",
        ),
        Readiness::Degraded => (
            "False",
            "ClusterNotReady",
            "cluster is reachable but health endpoint responded without ok",
        ),
        Readiness::Offline => ("False", "ClusterNotReachable", "cluster is not reachable"),
        Readiness::Unknown => return None,
    };
    let ready = condition("Ready", status, reason, message.to_owned());
    let mut status = json!({"conditions": [since(known, ready)]});
    tell_version(&mut status, capacity);
    if let Some(capacity) = capacity {
        status["nodeSummary"] =
            json!({"totalNum": capacity.nodes, "readyNum": capacity.ready_nodes});
        // Quantities, also where they count.
        let amounts = |of: Amounts| json!({"cpu": of.cpu(), "memory": of.memory(), "pods": of.pods.to_string()});
        status["resourceSummary"] = json!({
            "allocatable": amounts(capacity.allocatable),
            "allocated": amounts(capacity.allocated),
        });
    }
    Some(status)
}

fn tell_version(status: &mut Value, capacity: Option<&Capacity>) {
    let version = capacity.map(|capacity| capacity.kubernetes.as_str());
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        status["kubernetesVersion"] = json!(version);
    }
}
