//! How a cluster stands, as far as its agent tells: ready, degraded, offline, or unknown. It decides nothing about placement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Its agent is heard and can do its work.
    Ready,
    /// Its agent is heard and cannot do its work: the API server does not answer it.
    Degraded,
    /// Its agent is not heard any more.
    Offline,
    /// Its agent was never heard.
    Unknown,
}

impl Readiness {
    /// All ways in which a cluster may stand.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Degraded, Self::Offline, Self::Unknown];

    /// Of a cluster whose agent is heard or not (none: never was), and has trouble or not.
    pub fn of(online: Option<bool>, has_trouble: bool) -> Self {
        match (online, has_trouble) {
            (Some(true), false) => Self::Ready,
            (Some(true), true) => Self::Degraded,
            (Some(false), _) => Self::Offline,
            (None, _) => Self::Unknown,
        }
    }

    /// `ready`, as it stands in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}
