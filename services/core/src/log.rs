//! What stands in the log: the truth about what was wanted and decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::decision::Decision;
use crate::epoch::Beginning;
use crate::model::{Cluster, ClusterName};
use crate::time::Time;

/// One event of the log with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its sequence in the log.
    pub sequence: u64,
    /// Its CloudEvents id, which later events name as their cause.
    pub id: String,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one by one, and most of them are decisions"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An object was declared or withdrawn.
    Change(Change),
    /// A policy was declared or withdrawn: what places or changes other objects.
    Policy(Change),
    /// A placement was decided.
    Decision(Decision),
    /// Something became known about a cluster.
    Cluster(ClusterEvent),
    /// A hub's history began: first start, restore, promotion.
    Epoch(Beginning),
}

/// Something that became known about a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvent {
    /// Which cluster.
    pub cluster: ClusterName,
    /// When.
    pub time: Time,
    /// What.
    pub news: ClusterNews,
}

/// What became known about a cluster; the body of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterNews {
    /// It was registered, or what is registered of it changed.
    Registered(Box<Cluster>),
    /// It left the fleet; copies in it stay.
    Removed {},
    /// Its agent is heard.
    Online {
        /// Why the agent cannot make the cluster true all the same: the cluster is degraded. None where it can.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// Its agent is no longer heard; nothing is removed because of that.
    Offline {},
}

impl ClusterNews {
    /// Its agent is heard and can do its work.
    pub const READY: Self = Self::Online { trouble: None };
}
