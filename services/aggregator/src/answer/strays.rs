//! What is ours in clusters and in nobody's work.

use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::time::Time;
use serde::{Deserialize, Serialize};

use super::{AsOf, moment};

/// The strays of all clusters, or of the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// The clusters that have any, by name.
    pub clusters: Vec<ClusterStrays>,
}

/// The strays of one cluster, as its agent told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStrays {
    /// The cluster.
    pub cluster: ClusterName,
    /// How many there are.
    pub count: u64,
    /// Whether there may be more.
    pub more: bool,
    /// The first of them.
    pub objects: Vec<ObjectKey>,
    /// When that was told.
    #[serde(with = "moment")]
    pub told: Time,
}
