//! The kinds behind federated kinds: group, version and scope, from a table of what every cluster serves and from what was learnt.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::model::Cluster;

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// A kind of the Kubernetes API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKind {
    /// The kind: `Deployment`.
    pub kind: &'static str,
    /// The preferred apiVersion: `apps/v1`.
    pub api_version: &'static str,
    /// Its scope.
    pub scope: Scope,
}

/// What a `Federated<Kind>` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The kind.
    pub kind: String,
    /// Its apiVersion; none where nobody knows.
    pub api_version: Option<String>,
    /// Its scope; none where nobody knows.
    pub scope: Option<Scope>,
}

/// What was learnt about kinds beyond the table: from KubeFed's FederatedTypeConfigs, and from what clusters serve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// By federated kind.
    configured: BTreeMap<String, Behind>,
    /// apiVersions by kind.
    served: BTreeMap<String, BTreeSet<String>>,
}

impl Catalog {
    /// Learns which kinds `cluster` serves.
    pub fn learn(&mut self, cluster: &Cluster) {
        for (api_version, kind) in cluster
            .apis
            .iter()
            .flatten()
            .filter_map(|api| api.rsplit_once('/'))
        {
            if find(kind, None).is_none() {
                let versions = self.served.entry(kind.to_owned()).or_default();
                versions.insert(api_version.to_owned());
            }
        }
    }

    /// Learns from a `core.kubefed.io/v1beta1 FederatedTypeConfig`.
    ///
    /// # Errors
    /// A config that does not name its two kinds.
    pub fn configure(&mut self, document: &Value) -> Result<(), Refusal> {
        let spec = Field::root(document).get("spec");
        let (target, federated) = (spec.get("targetType"), spec.get("federatedType"));
        let version = target.get("version").string()?;
        let api_version = match target.get("group").optional_string()? {
            None | Some("") => version.to_owned(),
            Some(group) => format!("{group}/{version}"),
        };
        let scope = match target.get("scope").optional_string()? {
            Some("Namespaced") => Some(Scope::Namespaced),
            Some("Cluster") => Some(Scope::Cluster),
            _ => None,
        };
        let behind = Behind {
            kind: target.get("kind").string()?.to_owned(),
            api_version: Some(api_version),
            scope,
        };
        self.configured
            .insert(federated.get("kind").string()?.to_owned(), behind);
        Ok(())
    }

    /// What the federated kind `federated` stands for: as configured, else the name without the prefix, in the group of the table or in
    /// the only group that serves it (the greatest version name of that); none where the prefix is missing.
    pub fn behind(&self, federated: &str) -> Option<Behind> {
        if let Some(configured) = self.configured.get(federated) {
            return Some(configured.clone());
        }
        let kind = federated
            .strip_prefix("Federated")
            .filter(|kind| !kind.is_empty())?;
        let known = find(kind, None);
        let served = self.served.get(kind).filter(|versions| {
            let groups: BTreeSet<&str> = versions
                .iter()
                .map(|version| super::group_of(version))
                .collect();
            groups.len() == 1
        });
        Some(Behind {
            kind: kind.to_owned(),
            api_version: known
                .map(|known| known.api_version)
                .or_else(|| Some(served?.last()?.as_str()))
                .map(str::to_owned),
            scope: known.map(|known| known.scope),
        })
    }
}

/// The known kind `kind` in `group`; in any group where none is given.
pub fn find(kind: &str, group: Option<&str>) -> Option<&'static KnownKind> {
    KINDS.iter().find(|known| {
        known.kind == kind && group.is_none_or(|group| super::group_of(known.api_version) == group)
    })
}

/// Whether `kind` is a built-in workload with `spec.replicas`, which Kubernetes takes as 1 where nothing is said.
pub fn has_replicas(kind: &str) -> bool {
    [
        "Deployment",
        "StatefulSet",
        "ReplicaSet",
        "ReplicationController",
    ]
    .contains(&kind)
}

const fn namespaced(kind: &'static str, api_version: &'static str) -> KnownKind {
    KnownKind {
        kind,
        api_version,
        scope: Scope::Namespaced,
    }
}

const fn cluster(kind: &'static str, api_version: &'static str) -> KnownKind {
    KnownKind {
        kind,
        api_version,
        scope: Scope::Cluster,
    }
}

/// As served by Kubernetes 1.36 (its API reference), without kinds that nobody declares (Event, Endpoints, reviews).
const KINDS: &[KnownKind] = &[
    namespaced("ConfigMap", "v1"),
    namespaced("LimitRange", "v1"),
    namespaced("PersistentVolumeClaim", "v1"),
    namespaced("Pod", "v1"),
    namespaced("PodTemplate", "v1"),
    namespaced("ReplicationController", "v1"),
    namespaced("ResourceQuota", "v1"),
    namespaced("Secret", "v1"),
    namespaced("Service", "v1"),
    namespaced("ServiceAccount", "v1"),
    cluster("Namespace", "v1"),
    cluster("Node", "v1"),
    cluster("PersistentVolume", "v1"),
    namespaced("ControllerRevision", "apps/v1"),
    namespaced("DaemonSet", "apps/v1"),
    namespaced("Deployment", "apps/v1"),
    namespaced("ReplicaSet", "apps/v1"),
    namespaced("StatefulSet", "apps/v1"),
    namespaced("CronJob", "batch/v1"),
    namespaced("Job", "batch/v1"),
    namespaced("HorizontalPodAutoscaler", "autoscaling/v2"),
    namespaced("Ingress", "networking.k8s.io/v1"),
    namespaced("NetworkPolicy", "networking.k8s.io/v1"),
    cluster("IngressClass", "networking.k8s.io/v1"),
    namespaced("PodDisruptionBudget", "policy/v1"),
    namespaced("Role", "rbac.authorization.k8s.io/v1"),
    namespaced("RoleBinding", "rbac.authorization.k8s.io/v1"),
    cluster("ClusterRole", "rbac.authorization.k8s.io/v1"),
    cluster("ClusterRoleBinding", "rbac.authorization.k8s.io/v1"),
    namespaced("Lease", "coordination.k8s.io/v1"),
    namespaced("EndpointSlice", "discovery.k8s.io/v1"),
    cluster("PriorityClass", "scheduling.k8s.io/v1"),
    cluster("RuntimeClass", "node.k8s.io/v1"),
    cluster("CSIDriver", "storage.k8s.io/v1"),
    cluster("StorageClass", "storage.k8s.io/v1"),
    cluster("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
    cluster("APIService", "apiregistration.k8s.io/v1"),
    cluster(
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
    ),
    cluster(
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
    ),
    cluster(
        "ValidatingAdmissionPolicy",
        "admissionregistration.k8s.io/v1",
    ),
    cluster(
        "ValidatingAdmissionPolicyBinding",
        "admissionregistration.k8s.io/v1",
    ),
];
