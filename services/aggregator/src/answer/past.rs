//! Questions about the past, and their answers: a moment, the history of an object, two revisions compared, documents as they were.

use std::collections::BTreeMap;

use fleetcast_core::ack::Outcome;
use fleetcast_core::decision::Inputs;
use fleetcast_core::diff::Difference;
use fleetcast_core::fold::CanonicalRow;
use fleetcast_core::model::{ClusterName, Dialect, ObjectKey};
use fleetcast_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AsOf, Rule, moment};

/// A moment of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum At {
    /// Just before the event behind this log sequence was logged: what was wanted and decided up to it, and what was answered until then.
    Sequence(u64),
    /// The end of this millisecond: of the log what carries no later time, of the acknowledgements what was stored by then.
    Time(#[serde(with = "moment")] Time),
    /// Exactly these places in the streams, as an earlier answer's `as_of` has them.
    Places(Places),
}

/// Places in the streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The log sequence.
    pub log: u64,
    /// The acknowledgement sequence, by partition (`p00`).
    pub acks: BTreeMap<String, u64>,
}

/// The history of one object (`fc.query.history.<object>`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Up to where the streams were read.
    pub as_of: AsOf,
    /// The object.
    pub object: ObjectKey,
    /// The form that people read.
    pub name: String,
    /// The log sequence up to which history was cut away; none where the log was never cut, or the object came later. Of what stood there the newest
    /// revision is known, with its newest decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// The oldest first.
    pub revisions: Vec<Revision>,
}

/// One revision of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// When it was taken in.
    #[serde(with = "moment")]
    pub time: Time,
    /// Its event's id, which its publisher gave it.
    pub id: String,
    /// Who handed it in.
    pub source: String,
    /// Its dialect; none for a withdrawal.
    pub dialect: Option<Dialect>,
    /// Whether it withdraws the object.
    pub withdrawn: bool,
    /// Whether the withdrawal leaves the members their copies.
    pub orphan: bool,
    /// The fields that differ from the declaration before; `diff` tells their values.
    pub changed: Vec<String>,
    /// The decisions that carry it out, the oldest first.
    pub decisions: Vec<DecisionEntry>,
    /// The clusters that have not done yet what these decisions ask.
    pub waiting: Vec<ClusterName>,
    /// When the last cluster had done it; none while one has not, or none was asked.
    #[serde(with = "moment::optional")]
    pub done_at: Option<Time>,
    /// How long that took from the change on, milliseconds.
    pub done_after_ms: Option<i64>,
}

/// One decision of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionEntry {
    /// Its number.
    pub number: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// When it was made.
    #[serde(with = "moment")]
    pub time: Time,
    /// Its event's id.
    pub id: String,
    /// What asked for it: `change`, `cluster`, `related` or `other`.
    pub cause: String,
    /// The place in the log of what asked for it; none where that is not known.
    pub cause_sequence: Option<u64>,
    /// What it looked at.
    pub inputs: Inputs,
    /// The clusters that it gave work, by name.
    pub clusters: Vec<Task>,
    /// The clusters that it left out, with the reason, where that was new.
    pub excluded: BTreeMap<ClusterName, Rule>,
}

/// What one cluster was to do, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The cluster.
    pub cluster: ClusterName,
    /// The digest of the manifest that it should hold; none where the object is to go.
    pub digest: Option<String>,
    /// Its last answer about this decision; none before the first.
    pub outcome: Option<Outcome>,
    /// The reason; empty where all is well.
    pub message: String,
    /// When that was stored.
    #[serde(with = "moment::optional")]
    pub answered_at: Option<Time>,
    /// The decision that took this one's place before the cluster had done it.
    pub superseded: Option<u64>,
}

/// Two revisions of one object compared (`fc.query.diff.<object>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Up to where the streams were read.
    pub as_of: AsOf,
    /// The object.
    pub object: ObjectKey,
    /// The form that people read.
    pub name: String,
    /// The cluster whose manifests are compared; none where the documents are.
    pub cluster: Option<ClusterName>,
    /// The earlier side.
    pub from: Side,
    /// The later side.
    pub to: Side,
    /// Field by field; values of Secrets are hidden.
    pub differences: Vec<Difference>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The revision.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// When it was taken in.
    #[serde(with = "moment")]
    pub time: Time,
    /// Whether there is anything: a withdrawal declares nothing, and a cluster may not get the object.
    pub exists: bool,
    /// Why there is nothing; empty where there is.
    pub why: String,
    /// The last decision that carries the revision out, where manifests are compared.
    pub decision: Option<u64>,
    /// The digest of the cluster's manifest, where manifests are compared.
    pub digest: Option<String>,
}

/// Documents as they stood at a moment (`fc.query.documents.<object>`): the whole fleet's, a namespace's, or one object's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Documents {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// By key, then the policies by key; also withdrawn ones.
    pub objects: Vec<DocumentRow>,
}

/// One object's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentRow {
    /// The object.
    pub object: ObjectKey,
    /// The form that people read.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// Whether it is withdrawn.
    pub withdrawn: bool,
    /// What declares it, as it was handed in; none where it is withdrawn.
    pub document: Option<Value>,
    /// The clusters that should hold it.
    pub clusters: Vec<ClusterName>,
}

/// What is said while the view is rebuilt (`fc.query.rebuild`), a document a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rebuilding {
    /// How far it is.
    Progress {
        /// Messages that were read.
        read: u64,
        /// Messages that are to be read.
        of: u64,
    },
    /// It is done, and the rebuilt view answers from now on.
    Done(Box<Rebuilt>),
    /// It was not done.
    Refused {
        /// Why not.
        message: String,
    },
}

/// A rebuilt view beside the one whose place it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Up to where both were folded.
    pub as_of: AsOf,
    /// The digest over the canonical rows of the rebuilt view.
    pub digest: String,
    /// The digest of the one before.
    pub before: String,
    /// How many rows it has.
    pub rows: u64,
    /// The first row that was not the same, as it was and as it is; none where all were.
    pub first_difference: Option<RowDifference>,
    /// How many messages were read.
    pub read: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// A canonical row that differs; none where there is no such row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// As it was before.
    pub before: Option<CanonicalRow>,
    /// As the streams say.
    pub rebuilt: Option<CanonicalRow>,
}

impl RowDifference {
    /// The first row by object and cluster that is not in both; both lists are in order.
    pub fn first(before: &[CanonicalRow], rebuilt: &[CanonicalRow]) -> Option<Self> {
        let at = before
            .iter()
            .zip(rebuilt)
            .position(|(before, rebuilt)| before != rebuilt)
            .unwrap_or(before.len().min(rebuilt.len()));
        let place = |row: &CanonicalRow| (row.object.clone(), row.cluster.clone());
        let (before, rebuilt) = (before.get(at), rebuilt.get(at));
        let (before, rebuilt) = match (before, rebuilt) {
            (None, None) => return None,
            (Some(before), Some(rebuilt)) if place(before) < place(rebuilt) => (Some(before), None),
            (Some(before), Some(rebuilt)) if place(before) > place(rebuilt) => {
                (None, Some(rebuilt))
            }
            both => both,
        };
        Some(Self {
            before: before.cloned(),
            rebuilt: rebuilt.cloned(),
        })
    }
}

impl std::fmt::Display for RowDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = self.before.as_ref().or(self.rebuilt.as_ref());
        if let Some(row) = place {
            write!(f, "{} in {}: ", row.object.for_people(), row.cluster)?;
        }
        let tell = |row: &Option<CanonicalRow>| match row {
            None => "no row".to_owned(),
            Some(row) => format!(
                "revision {}, decision {}, {}, digest {}",
                row.revision, row.decision, row.outcome, row.digest
            ),
        };
        write!(
            f,
            "was {}; the streams say {}",
            tell(&self.before),
            tell(&self.rebuilt)
        )
    }
}
