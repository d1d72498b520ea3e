//! The built-in kinds, as a table.
//!
//! A new built-in kind is one more line here; if some of its lists have keys, also one in `apply/builtin.shapes`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::apply::builtin;
use crate::kind::{Generation, Kind, NameRule, Origin, Version, resource};

struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
    status: bool,
    generation: Generation,
    name_rule: NameRule,
    /// Listed by `kubectl get all`.
    in_all: bool,
}

const fn namespaced(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Row {
    Row {
        group,
        version,
        kind,
        plural,
        short_names: &[],
        namespaced: true,
        status: false,
        generation: Generation::None,
        name_rule: NameRule::DnsSubdomain,
        in_all: false,
    }
}

const fn cluster(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Row {
    Row {
        namespaced: false,
        ..namespaced(group, version, kind, plural)
    }
}

impl Row {
    const fn short(self, short_names: &'static [&'static str]) -> Self {
        Row {
            short_names,
            ..self
        }
    }

    const fn status(self) -> Self {
        Row {
            status: true,
            ..self
        }
    }

    const fn counted(self) -> Self {
        Row {
            generation: Generation::Counted,
            ..self
        }
    }

    const fn named(self, name_rule: NameRule) -> Self {
        Row { name_rule, ..self }
    }

    const fn in_all(self) -> Self {
        Row {
            in_all: true,
            ..self
        }
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

const ROWS: &[Row] = &[
    namespaced("", "v1", "ConfigMap", "configmaps").short(&["cm"]),
    namespaced("", "v1", "Endpoints", "endpoints").short(&["ep"]),
    namespaced("", "v1", "Event", "events").short(&["ev"]),
    namespaced("", "v1", "LimitRange", "limitranges").short(&["limits"]),
    cluster("", "v1", "Namespace", "namespaces")
        .short(&["ns"])
        .status()
        .named(NameRule::DnsLabel),
    cluster("", "v1", "Node", "nodes").short(&["no"]).status(),
    cluster("", "v1", "PersistentVolume", "persistentvolumes")
        .short(&["pv"])
        .status(),
    namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
        .short(&["pvc"])
        .status(),
    namespaced("", "v1", "Pod", "pods")
        .short(&["po"])
        .status()
        .counted()
        .in_all(),
    namespaced("", "v1", "PodTemplate", "podtemplates").counted(),
    namespaced("", "v1", "ReplicationController", "replicationcontrollers")
        .short(&["rc"])
        .status()
        .counted()
        .in_all(),
    namespaced("", "v1", "ResourceQuota", "resourcequotas")
        .short(&["quota"])
        .status(),
    namespaced("", "v1", "Secret", "secrets"),
    namespaced("", "v1", "Service", "services")
        .short(&["svc"])
        .status()
        .named(NameRule::DnsLabel)
        .in_all(),
    namespaced("", "v1", "ServiceAccount", "serviceaccounts").short(&["sa"]),
    namespaced("apps", "v1", "ControllerRevision", "controllerrevisions"),
    namespaced("apps", "v1", "DaemonSet", "daemonsets")
        .short(&["ds"])
        .status()
        .counted()
        .in_all(),
    namespaced("apps", "v1", "Deployment", "deployments")
        .short(&["deploy"])
        .status()
        .counted()
        .in_all(),
    namespaced("apps", "v1", "ReplicaSet", "replicasets")
        .short(&["rs"])
        .status()
        .counted()
        .in_all(),
    namespaced("apps", "v1", "StatefulSet", "statefulsets")
        .short(&["sts"])
        .status()
        .counted()
        .in_all(),
    namespaced("batch", "v1", "CronJob", "cronjobs")
        .short(&["cj"])
        .status()
        .counted()
        .in_all(),
    namespaced("batch", "v1", "Job", "jobs")
        .status()
        .counted()
        .in_all(),
    namespaced(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    )
    .short(&["hpa"])
    .status()
    .in_all(),
    namespaced("networking.k8s.io", "v1", "Ingress", "ingresses")
        .short(&["ing"])
        .status()
        .counted(),
    cluster("networking.k8s.io", "v1", "IngressClass", "ingressclasses").counted(),
    namespaced(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    )
    .short(&["netpol"])
    .counted(),
    namespaced(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    )
    .short(&["pdb"])
    .status()
    .counted(),
    cluster(RBAC, "v1", "ClusterRole", "clusterroles").named(NameRule::PathSegment),
    cluster(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings").named(NameRule::PathSegment),
    namespaced(RBAC, "v1", "Role", "roles").named(NameRule::PathSegment),
    namespaced(RBAC, "v1", "RoleBinding", "rolebindings").named(NameRule::PathSegment),
    namespaced("coordination.k8s.io", "v1", "Lease", "leases"),
    cluster(STORAGE, "v1", "CSIDriver", "csidrivers"),
    cluster(STORAGE, "v1", "CSINode", "csinodes"),
    namespaced(STORAGE, "v1", "CSIStorageCapacity", "csistoragecapacities"),
    cluster(STORAGE, "v1", "StorageClass", "storageclasses").short(&["sc"]),
    cluster(STORAGE, "v1", "VolumeAttachment", "volumeattachments").status(),
    cluster(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
    )
    .short(&["pc"])
    .counted(),
    cluster(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    )
    .short(&["crd", "crds"])
    .status()
    .counted(),
    cluster(
        ADMISSION,
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    )
    .counted(),
    cluster(
        ADMISSION,
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
    )
    .status()
    .counted(),
    cluster(
        ADMISSION,
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
    )
    .counted(),
    cluster(
        ADMISSION,
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    )
    .counted(),
    cluster("apiregistration.k8s.io", "v1", "APIService", "apiservices").status(),
    namespaced("events.k8s.io", "v1", "Event", "events").short(&["ev"]),
    namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices").counted(),
    cluster("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses"),
];

/// The resource whose objects make custom kinds.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// The resource whose objects hold the namespaced ones.
pub(crate) const NAMESPACES: &str = "namespaces";

static KINDS: LazyLock<Vec<Arc<Kind>>> =
    LazyLock::new(|| ROWS.iter().map(|row| Arc::new(kind(row))).collect());

static BY_RESOURCE: LazyLock<BTreeMap<Arc<str>, Arc<Kind>>> = LazyLock::new(|| {
    KINDS
        .iter()
        .map(|kind| (Arc::clone(&kind.resource), Arc::clone(kind)))
        .collect()
});

/// Every built-in kind, in the order of the groups that clients are told.
pub(crate) fn all() -> &'static [Arc<Kind>] {
    &KINDS
}

/// A built-in kind by its resource (`deployments.apps`).
pub(crate) fn by_resource(resource: &str) -> Option<&'static Arc<Kind>> {
    BY_RESOURCE.get(resource)
}

/// Whether a built-in kind lives in this group.
pub(crate) fn is_builtin_group(group: &str) -> bool {
    ROWS.iter().any(|row| row.group == group)
}

fn kind(row: &Row) -> Kind {
    Kind {
        group: row.group.to_owned(),
        kind: row.kind.to_owned(),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: row
            .short_names
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        categories: if row.in_all {
            vec!["all".to_owned()]
        } else {
            Vec::new()
        },
        namespaced: row.namespaced,
        origin: Origin::BuiltIn,
        generation: row.generation,
        name_rule: row.name_rule,
        versions: vec![Version::new(
            row.group,
            row.version,
            row.kind,
            builtin(row.kind),
            row.status,
            Vec::new(),
        )],
        resource: resource(row.plural, row.group).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line is reachable under its own resource.
    #[test]
    fn resources_are_unique() {
        assert_eq!(BY_RESOURCE.len(), ROWS.len());
        for resource in [
            DEFINITIONS,
            NAMESPACES,
            "deployments.apps",
            "clusterroles.rbac.authorization.k8s.io",
        ] {
            assert!(by_resource(resource).is_some(), "{resource} is not served");
        }
    }
}
