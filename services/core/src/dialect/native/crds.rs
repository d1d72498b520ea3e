//! The CustomResourceDefinitions of the native kinds: what [`read`](super::read) and [`Cluster::read`](crate::model::Cluster::read) take,
//! as a Kubernetes API server checks it.
//!
//! The parser is stricter where a schema cannot say it (a cluster that is named and left out, a template of the wrong scope): it decides,
//! the schema only tells a person earlier. A test walks both and finds each field that one of them lacks.

mod federated;
mod member;
mod schema;

use serde_json::{Value, json};

use schema::{object, with_rules};

/// The group of the native kinds.
pub const GROUP: &str = "fleetcast.dev";
/// The newest version of the native kinds.
pub const VERSION: &str = "v1alpha1";

/// The definitions, by file name without extension: `federatedobjects.fleetcast.dev`, ….
pub fn definitions() -> Vec<(String, Value)> {
    [
        Kind {
            kind: "FederatedObject",
            plural: "federatedobjects",
            short: "fo",
            scope: "Namespaced",
            about: "An object that should be in several clusters: a template of any namespaced kind, where it goes, and what differs where.",
            spec: federated::spec(),
            status: federated::status(),
            columns: federated::columns(),
            rules: federated::RULES,
        },
        Kind {
            kind: "ClusterFederatedObject",
            plural: "clusterfederatedobjects",
            short: "cfo",
            scope: "Cluster",
            about: "A cluster-scoped object that should be in several clusters: the way to Namespaces, ClusterRoles, CRDs and the like.",
            spec: federated::spec(),
            status: federated::status(),
            columns: federated::columns(),
            rules: federated::RULES,
        },
        Kind {
            kind: "MemberCluster",
            plural: "memberclusters",
            short: "fmc",
            scope: "Cluster",
            about: "A cluster of the fleet: what placement looks at.",
            spec: member::spec(),
            status: member::status(),
            columns: member::columns(),
            rules: &[],
        },
    ]
    .into_iter()
    .map(|kind| (format!("{}.{GROUP}", kind.plural), kind.definition()))
    .collect()
}

struct Kind {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    scope: &'static str,
    about: &'static str,
    spec: Value,
    status: Value,
    columns: Value,
    /// What must hold of the whole object, in CEL.
    rules: &'static [(&'static str, &'static str)],
}

impl Kind {
    fn definition(self) -> Value {
        let Self {
            kind,
            plural,
            short,
            scope,
            about,
            spec,
            status,
            columns,
            rules,
        } = self;
        // A federated object says nothing without a template; a cluster without a spec is one with a name.
        let required: &[&str] = if kind == "MemberCluster" {
            &[]
        } else {
            &["spec"]
        };
        let schema = object(
            about,
            required,
            [
                ("apiVersion", json!({"type": "string"})),
                ("kind", json!({"type": "string"})),
                ("metadata", json!({"type": "object"})),
                ("spec", spec),
                ("status", status),
            ],
        );
        let schema = match rules {
            [] => schema,
            rules => with_rules(schema, rules),
        };
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{GROUP}"),
                "labels": {"app.kubernetes.io/part-of": "fleetcast"},
            },
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": kind.to_ascii_lowercase(),
                    "shortNames": [short],
                    "categories": ["fleetcast"],
                },
                "scope": scope,
                "versions": [{
                    "name": VERSION,
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        })
    }
}

#[cfg(test)]
mod tests;
