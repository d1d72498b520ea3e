//! The status of KubeFed's kinds, in KubeFed's words (`pkg/controller/sync/status/status.go` of kubernetes-retired/kubefed): one condition `Propagation`, and each cluster with
//! what keeps it from being right.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::document::Document;
use crate::fold::{Condition, Row};
use crate::model::ClusterName;
use crate::readiness::Readiness;

/// The group of KubeFed's federated kinds.
pub(crate) const GROUP: &str = "types.kubefed.io";
/// How many clusters are named at most: one object must fit into the hub's store however large the fleet is.
const NAMED: usize = 1_000;

/// How many bytes the members' statuses have in all at most, for the same reason.
const REMOTE_BYTES: usize = 512 * 1024;

/// The status after `revision`, of which the newest decision carries out `decided`.
///
/// | the copy | `clusters[].status` |
/// |---|---|
/// | is right | absent |
/// | is not answered, and its cluster is not ready | `ClusterNotReady` |
/// | is not answered yet | `CreationTimedOut`, `UpdateTimedOut` |
/// | is refused, or tried again | `CreationFailed`, `UpdateFailed` |
/// | is ahead of the log | `UpdateFailed` |
/// | cannot be rendered for it | `ApplyOverridesFailed` |
/// | is to go | `WaitingForRemoval`, or `ClusterNotReady` |
///
/// `clusters[].remoteStatus` is the copy's whole status, where the object's apply policy has it collected.
pub fn status(
    revision: u64,
    decided: u64,
    rows: &[Row],
    readiness: &dyn Fn(&ClusterName) -> Readiness,
) -> Value {
    let mut named: Vec<(&ClusterName, Option<&str>)> = rows
        .iter()
        .filter_map(|row| word(row, readiness(&row.cluster)).map(|word| (&row.cluster, word)))
        .collect();
    let all_right = named.iter().all(|(_, word)| word.is_none());
    if named.len() > NAMED {
        named.sort_by_key(|(cluster, word)| (word.is_none(), *cluster));
        named.truncate(NAMED);
    }
    // Where the whole status of the copies is collected.
    let collected = rows.iter().filter_map(|row| {
        let selected = row.observed.status.as_ref();
        let selected = selected.filter(|selected| selected.whole)?;
        Some((&row.cluster, &selected.fields))
    });
    let collected: BTreeMap<&ClusterName, &Document> = collected.collect();
    let mut bytes = 0;
    let clusters: Vec<Value> = named
        .into_iter()
        .map(|(cluster, word)| {
            let mut one = json!({"name": cluster});
            if let Some(word) = word {
                one["status"] = json!(word);
            }
            if let Some(remote) = collected.get(cluster) {
                bytes += remote.as_bytes().len();
                if bytes <= REMOTE_BYTES
                    && let Ok(remote) = remote.value()
                {
                    one["remoteStatus"] = remote;
                }
            }
            one
        })
        .collect();
    let outside = rows
        .iter()
        .any(|row| row.condition == Condition::Excluded && row.message.starts_with("Namespace"));
    let mut condition = match (outside, all_right && decided >= revision) {
        (true, _) => json!({"status": "False", "reason": "NamespaceNotFederated"}),
        (false, true) => json!({"status": "True"}),
        (false, false) => json!({"status": "False", "reason": "CheckClusters"}),
    };
    condition["type"] = json!("Propagation");
    let mut status = json!({"conditions": [condition]});
    if !clusters.is_empty() {
        status["clusters"] = json!(clusters);
    }
    status
}

/// KubeFed's word for how a copy stands; the outer none where the cluster is not meant to have one.
fn word(row: &Row, readiness: Readiness) -> Option<Option<&'static str>> {
    let is_new = row.applied_revision == 0;
    let is_reached = matches!(readiness, Readiness::Ready);
    Some(match row.condition {
        Condition::Applied => None,
        Condition::Deciding => return None,
        Condition::Pending | Condition::Removing if !is_reached => Some("ClusterNotReady"),
        Condition::Pending if is_new => Some("CreationTimedOut"),
        Condition::Pending => Some("UpdateTimedOut"),
        Condition::Retrying | Condition::Refused if is_new => Some("CreationFailed"),
        Condition::Retrying | Condition::Refused | Condition::Ahead => Some("UpdateFailed"),
        Condition::Removing | Condition::Held => Some("WaitingForRemoval"),
        Condition::Excluded if row.message.starts_with("Refused") => Some("ApplyOverridesFailed"),
        Condition::Excluded => return None,
    })
}
