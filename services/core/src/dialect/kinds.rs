//! The kinds that every cluster serves: where no discovery is at hand, this table gives group, version and scope.

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

/// The known kind `kind` in `group`; in any group where none is given.
pub fn find(kind: &str, group: Option<&str>) -> Option<&'static KnownKind> {
    KINDS.iter().find(|known| {
        known.kind == kind && group.is_none_or(|group| super::group_of(known.api_version) == group)
    })
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
