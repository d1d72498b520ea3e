//! One kind that a server serves.

use std::sync::Arc;

use crate::apply::{AlwaysThere, Rules, Shape};

/// A kind with everything that its requests need to know.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) origin: Origin,
    /// How `metadata.generation` is kept.
    pub(crate) generation: Generation,
    pub(crate) name_rule: NameRule,
    /// The preferred one first. Objects look the same in each but for their `apiVersion`.
    pub(crate) versions: Vec<Version>,
    /// `deployments.apps`, `pods`: the name in messages, and the key of the kind's objects.
    pub(crate) resource: Arc<str>,
}

/// One served version of a kind.
#[derive(Debug)]
pub(crate) struct Version {
    /// `v1`.
    pub(crate) name: String,
    /// `apps/v1`.
    pub(crate) api_version: String,
    /// How its objects begin: `{"apiVersion":"apps/v1","kind":"Deployment",`.
    pub(crate) head: String,
    pub(crate) shape: Arc<Shape>,
    /// Whether it has a `/status`.
    pub(crate) status: bool,
    /// What `kubectl get` prints, from the definition of a custom kind.
    pub(crate) columns: Vec<Column>,
}

/// A column of a custom kind (`additionalPrinterColumns`).
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `string`, `integer`, `date` and so on.
    pub(crate) form: String,
    pub(crate) priority: i64,
    /// A simple path such as `.spec.replicas`.
    pub(crate) path: String,
}

/// Where a kind comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    BuiltIn,
    /// A CustomResourceDefinition in the same cluster.
    Custom,
}

/// Whether `metadata.generation` counts the changes of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    None,
    /// Counts every change outside metadata and status.
    Counted,
}

/// What a name may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    DnsSubdomain,
    DnsLabel,
    /// Anything that fits into a URL's path (the RBAC kinds).
    PathSegment,
}

impl Kind {
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// How objects merge in a version.
    pub(crate) fn rules<'a>(&self, version: &'a Version) -> Rules<'a> {
        let always_there = match self.origin {
            Origin::BuiltIn => AlwaysThere::Structs,
            Origin::Custom => AlwaysThere::Metadata,
        };
        Rules {
            shape: &version.shape,
            always_there,
        }
    }

    pub(crate) fn is(&self, resource: &str) -> bool {
        &*self.resource == resource
    }
}

impl Version {
    pub(crate) fn new(
        group: &str,
        name: &str,
        kind: &str,
        shape: Arc<Shape>,
        status: bool,
        columns: Vec<Column>,
    ) -> Self {
        let api_version = if group.is_empty() {
            name.to_owned()
        } else {
            format!("{group}/{name}")
        };
        let head = format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\",");
        Version {
            name: name.to_owned(),
            api_version,
            head,
            shape,
            status,
            columns,
        }
    }
}

/// The kind and version that a request is about.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    version: usize,
}

impl Target {
    /// `version` counts the kind's versions.
    pub(crate) fn new(kind: Arc<Kind>, version: usize) -> Self {
        Target { kind, version }
    }

    pub(crate) fn version(&self) -> &Version {
        &self.kind.versions[self.version]
    }
}

/// `deployments.apps`, or `pods` in the core group.
pub(crate) fn resource(plural: &str, group: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
