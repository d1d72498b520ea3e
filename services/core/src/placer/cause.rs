//! Why decisions are asked for: what removals have in common.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::model::ClusterName;

/// Why objects are looked at: what removals have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cause {
    /// What removals that wait together have in common: a publisher, a policy, a cluster.
    pub(super) key: String,
    /// For a person.
    pub(super) by: String,
    /// Whether somebody confirmed it: what follows from that is not held again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) confirmed: bool,
    /// Withdrawals that belong together, and that some of may be still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) together: Option<String>,
}

impl Cause {
    fn new(key: String, by: String) -> Self {
        Self {
            key,
            by,
            confirmed: false,
            together: None,
        }
    }

    /// A change of an object, handed in by `source`.
    pub(super) fn publisher(source: &str) -> Self {
        Self::new(format!("publisher {source}"), source.to_owned())
    }

    /// A change of a policy.
    pub(super) fn policy(change: &Change) -> Self {
        let policy = change.object.for_people();
        let (revision, source) = (change.revision, &change.origin.source);
        Self::new(
            format!("policy {policy}"),
            format!("{policy} revision {revision}, handed in by {source}"),
        )
    }

    /// News about a cluster.
    pub(super) fn cluster(cluster: &ClusterName) -> Self {
        Self::new(
            format!("cluster {cluster}"),
            format!("what is registered of cluster {cluster}"),
        )
    }

    pub(super) fn confirmation(change: &Change) -> Self {
        Self {
            confirmed: true,
            ..Self::policy(change)
        }
    }
}
