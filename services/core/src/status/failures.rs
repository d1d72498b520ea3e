//! What is wrong with an object in its clusters, as it is told in Events of the hub.

use crate::fold::{Condition, Row};
use crate::health::State;
use crate::model::ClusterName;
use crate::time::Time;

/// Of how many clusters an object's Events tell at a time.
const NAMED: usize = 5;
/// How often something was tried before that is told: what comes right by itself is none's business.
const ATTEMPTS: u32 = 3;

/// What is wrong in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub cluster: ClusterName,
    /// In one word, as an Event's reason.
    pub reason: &'static str,
    /// What the cluster said.
    pub message: String,
    /// When it said so; none where no cluster did.
    pub at: Option<Time>,
}

/// What is wrong by `rows`: of the first clusters.
pub(super) fn of(rows: &[Row]) -> Vec<Failure> {
    let failures = rows.iter().filter_map(|row| {
        let (reason, message) = match row.condition {
            Condition::Refused => ("Refused", row.message.clone()),
            Condition::Ahead => ("Ahead", row.message.clone()),
            Condition::Retrying if row.attempts >= ATTEMPTS => ("Retrying", row.message.clone()),
            Condition::Excluded if row.message.starts_with("Refused") => {
                ("OverrideFailed", row.message.clone())
            }
            Condition::Applied => {
                let health = row.observed.health.as_ref();
                let health = health.filter(|health| health.state == State::Degraded)?;
                ("Degraded", health.reason.clone())
            }
            Condition::Deciding
            | Condition::Pending
            | Condition::Retrying
            | Condition::Removing
            | Condition::Held
            | Condition::Excluded => return None,
        };
        Some(Failure {
            cluster: row.cluster.clone(),
            reason,
            message,
            at: row.answered_at,
        })
    });
    failures.take(NAMED).collect()
}
