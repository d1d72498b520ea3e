//! What clusters hold newer than the log (`fc.query.ahead.<object>`): the list that `restore --take-members` and `--reapply` settle.

use std::collections::BTreeMap;

use fleetcast_core::decision::Standing;
use fleetcast_core::fold::{Condition, Row, View};
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ClusterName, ObjectKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AsOf;
use super::build::as_of;

/// Objects that are ahead in some cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// The newest epoch of the log, `<number>.<hub id>`.
    pub epoch: String,
    /// By key.
    pub objects: Vec<AheadObject>,
    /// How many copies of which cluster are not answered for yet in this epoch: whether they are ahead is not known.
    pub open: BTreeMap<ClusterName, u64>,
}

/// One object that is ahead in some cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AheadObject {
    /// The object.
    pub object: ObjectKey,
    /// The form that people read.
    pub name: String,
    /// The newest revision that the log knows.
    pub revision: u64,
    /// Whether that withdraws it.
    pub withdrawn: bool,
    /// Whether the withdrawal leaves the members their copies.
    pub orphan: bool,
    /// What declared it last, as it was handed in.
    pub document: Option<Value>,
    /// The clusters where it is ahead, by name.
    pub clusters: Vec<AheadCopy>,
}

/// One copy that is ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AheadCopy {
    /// The cluster.
    pub cluster: ClusterName,
    /// What it holds, and which work was not carried out.
    pub message: String,
    /// The manifest that it holds, without our marks; none before its agent has told it, or where it is too large to be told.
    pub held: Option<Value>,
}

/// The objects that are ahead, all or the one asked for, in all clusters or the one asked for.
pub(crate) fn ahead(
    view: &View,
    named: Option<&ObjectKey>,
    cluster: Option<&ClusterName>,
) -> Ahead {
    let mut answer = Ahead {
        as_of: as_of(view),
        epoch: view.epoch().map(ToString::to_string).unwrap_or_default(),
        objects: Vec::new(),
        open: BTreeMap::new(),
    };
    let objects = view
        .objects()
        .filter(|(key, _)| named.is_none_or(|named| named == *key));
    for (key, object) in objects {
        let mut copies = Vec::new();
        for row in view.rows(key) {
            if cluster.is_some_and(|cluster| *cluster != row.cluster) {
                continue;
            }
            let newest = view.answer(key, &row.cluster);
            // What was answered before the hub was restored says nothing about what was lost with it.
            let is_told = newest.is_some_and(|newest| view.epoch() == Some(&newest.epoch));
            match row.condition {
                Condition::Ahead => copies.push(copy(view, key, row)),
                Condition::Applied | Condition::Retrying | Condition::Refused if !is_told => {
                    *answer.open.entry(row.cluster).or_default() += 1;
                }
                Condition::Pending | Condition::Deciding | Condition::Removing => {
                    *answer.open.entry(row.cluster).or_default() += 1;
                }
                Condition::Applied
                | Condition::Retrying
                | Condition::Refused
                | Condition::Held
                | Condition::Excluded => {}
            }
        }
        if copies.is_empty() {
            continue;
        }
        let change = &object.change;
        let mut removals = object
            .standings
            .iter()
            .filter_map(|(_, standing)| match standing {
                Standing::Removing { mode, .. } => Some(*mode),
                Standing::Assigned { .. } | Standing::Excluded { .. } => None,
            });
        answer.objects.push(AheadObject {
            object: key.clone(),
            name: key.for_people(),
            revision: change.revision,
            withdrawn: change.withdrawn,
            orphan: change.withdrawn && removals.any(|mode| mode == OnDelete::Orphan),
            document: change
                .document
                .as_ref()
                .and_then(|document| document.value().ok()),
            clusters: copies,
        });
    }
    answer
}

fn copy(view: &View, key: &ObjectKey, row: Row) -> AheadCopy {
    let held = view
        .answer(key, &row.cluster)
        .and_then(|answer| answer.held.as_ref())
        .and_then(|held| held.value().ok());
    AheadCopy {
        cluster: row.cluster,
        message: row.message,
        held,
    }
}
