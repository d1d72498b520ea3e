//! The rendered manifest, or its removal, for one object in one cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::Place;
use crate::document::Document;
use crate::epoch::Epoch;
use crate::model::federated::OnDelete;
use crate::model::{ApplyPolicy, ClusterName, ObjectKey};
use crate::time::Time;

/// One item of work with its place in the order of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Whose work it is.
    pub cluster: ClusterName,
    /// What it is about.
    pub object: ObjectKey,
    /// The change that it carries out.
    pub revision: u64,
    /// The decision that it carries out.
    pub decision: u64,
    /// The epoch in which that decision was made: with its number, the order of work. Who writes it later, in another epoch, stands in the stamp.
    pub decision_epoch: Epoch,
    /// The digest of the rendered manifest; none for a removal.
    pub digest: Option<String>,
    /// Who wrote it, and its place.
    pub stamp: Stamp,
    /// When it was written.
    pub time: Time,
    /// The id of the decision that it carries out.
    pub causation: String,
    /// The id of the change at the beginning of the chain.
    pub correlation: String,
    /// What is to be done.
    pub body: Body,
}

impl Work {
    /// The place of the decision that it carries out.
    pub fn place(&self) -> Place {
        Place {
            epoch: self.decision_epoch.clone(),
            number: self.decision,
        }
    }
}

/// Who wrote an item of work, and its place in the order of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Whose placer wrote it: what agents are fenced by.
    pub epoch: Epoch,
    /// The term of the placer that wrote it.
    pub term: u64,
    /// Which making of the stream it stands in.
    pub incarnation: String,
    /// 1, 2, 3 … per cluster within an incarnation.
    pub n: u64,
}

/// What is to be done; the body of a work event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The cluster should hold the manifest.
    Apply {
        /// The rendered manifest, without our marks.
        manifest: Document,
        /// How it is applied.
        policy: ApplyPolicy,
    },
    /// The cluster should hold the object no longer.
    Remove {
        /// Whether the copy goes or stays.
        mode: OnDelete,
        /// The object's apiVersion, so that the agent finds it.
        api_version: String,
    },
}

/// The id of the work that `decision`, made in `epoch`, gives `cluster` for `object`: the same for whoever computes it.
pub fn id(object: &ObjectKey, cluster: &ClusterName, epoch: &Epoch, decision: u64) -> String {
    crate::digest::short(format!("work {object} {cluster} {epoch} {decision}").as_bytes())
}
