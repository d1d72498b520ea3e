//! What a cluster answered about one decision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::Place;
use crate::document::Document;
use crate::drift::Drift;
use crate::epoch::Epoch;
use crate::health::Health;
use crate::health::status::Selected;
use crate::model::{ClusterName, ObjectKey};
use crate::time::Time;

/// What a cluster answered about one decision for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// What it is about.
    pub object: ObjectKey,
    /// Whose placer wrote the work that it answers.
    pub epoch: Epoch,
    /// The decision.
    pub decision: u64,
    /// The epoch in which the decision was made, where that is not the writer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_epoch: Option<Epoch>,
    /// The revision which the decision carried out.
    pub revision: u64,
    /// 1, 2, 3 … per agent start: with the batch's lease transitions, the order among answers about one decision.
    pub count: u64,
    /// How it ended, or how it stands.
    pub outcome: Outcome,
    /// The reason, for a person; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The digest of the manifest that the cluster holds; none where it holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The id of the work that it answers.
    pub work_id: String,
    /// When, by the agent's clock.
    pub time: Time,
    /// What is seen of the copy; empty where nothing was looked at.
    #[serde(default, skip_serializing_if = "Observed::is_empty")]
    pub observed: Observed,
    /// The manifest that the cluster holds where that is ahead, without our marks; none where it is not, or too large to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Document>,
}

/// How large a manifest may be that is told where it is ahead, bytes: with all that travels beside it, it fits into one message.
pub const HELD_LIMIT: usize = 512 * 1024;

/// What is seen of a cluster's copy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// How it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What somebody else changed in it since the decision was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Selected fields of its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Selected>,
}

impl Observed {
    /// Whether nothing was looked at.
    pub fn is_empty(&self) -> bool {
        let Self {
            health,
            drift,
            status,
        } = self;
        health.is_none() && drift.is_none() && status.is_none()
    }
}

impl Ack {
    /// The place of the decision that it answers.
    pub fn place(&self) -> Place {
        Place {
            epoch: self.decision_epoch.as_ref().unwrap_or(&self.epoch).clone(),
            number: self.decision,
        }
    }
}

/// How an item of work ended, or how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The cluster holds the manifest.
    Applied,
    /// The copy is gone.
    Removed,
    /// The copy stays without our marks.
    Orphaned,
    /// The cluster's answer is no; it is asked again, ever more rarely.
    Refused,
    /// It could not be done yet and is tried again.
    Retrying,
    /// The copy carries a newer decision, which is in no log any more, or another hub's: it is left alone.
    Ahead,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Applied,
        Self::Removed,
        Self::Orphaned,
        Self::Refused,
        Self::Retrying,
        Self::Ahead,
    ];

    /// Whether nothing more is to come for this decision.
    pub fn is_final(self) -> bool {
        match self {
            Self::Applied | Self::Removed | Self::Orphaned => true,
            Self::Refused | Self::Retrying | Self::Ahead => false,
        }
    }

    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Removed => "removed",
            Self::Orphaned => "orphaned",
            Self::Refused => "refused",
            Self::Retrying => "retrying",
            Self::Ahead => "ahead",
        }
    }
}

/// Several acknowledgements of one cluster in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose they are.
    pub cluster: ClusterName,
    /// What they say.
    pub body: BatchBody,
}

/// The body of a batch's event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchBody {
    /// How often the cluster's lease changed hands: a later agent's answers win.
    pub transitions: u64,
    /// The highest count that was confirmed to this agent.
    pub confirmed: u64,
    /// The highest count sent before this batch: what lies between was superseded, or a batch is missing.
    pub after: u64,
    /// The acknowledgements, by count.
    pub acks: Vec<Ack>,
}

/// Up to which of its acknowledgements an agent is confirmed; the body of `fc.seen`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
pub struct Seen {
    /// The agent's lease transitions.
    pub transitions: u64,
    /// The highest count up to which nothing is missing.
    pub count: u64,
}
