//! The status of FederatedObject and ClusterFederatedObject: counts, the conditions Placed, Applied and Healthy, and the first clusters that are not right. (`Accepted` is told by
//! whoever takes the object in.)

use serde_json::{Value, json};

use crate::fold::{Condition, Row};
use crate::health::State;

use super::{condition, some};

/// How many clusters are named that are not right: status is a summary, and stays small however large the fleet is.
pub const NAMED: usize = 20;

/// The status after `revision`, of which the newest decision carries out `decided`.
pub fn status(revision: u64, decided: u64, rows: &[Row]) -> Value {
    let placed = rows.iter().filter(|row| is_placed(row)).count();
    let applied = rows
        .iter()
        .filter(|row| row.condition == Condition::Applied)
        .count();
    let healthy = rows.iter().filter(|row| is_right(row)).count();
    let wrong: Vec<Value> = rows
        .iter()
        .filter(|row| !is_right(row))
        .take(NAMED)
        .map(line)
        .collect();
    let mut status = json!({
        "revision": revision,
        "placed": placed,
        "applied": applied,
        "healthy": healthy,
        "conditions": [
            placed_condition(decided >= revision, placed, rows),
            applied_condition(decided >= revision, placed, applied, rows),
            healthy_condition(placed, healthy, rows),
        ],
    });
    if !wrong.is_empty() {
        status["clusters"] = json!(wrong);
    }
    status
}

fn is_placed(row: &Row) -> bool {
    !matches!(
        row.condition,
        Condition::Removing | Condition::Held | Condition::Excluded
    )
}

fn health(row: &Row) -> Option<State> {
    row.observed.health.as_ref().map(|health| health.state)
}

/// Holds the newest revision, and is well.
fn is_right(row: &Row) -> bool {
    row.condition == Condition::Applied && health(row) == Some(State::Healthy)
}

/// One cluster that is not right.
fn line(row: &Row) -> Value {
    let is_health = row.condition == Condition::Applied;
    let (reason, message) = match row.observed.health.as_ref().filter(|_| is_health) {
        Some(health) => (capital(health.state.word()), health.reason.clone()),
        None => (capital(row.condition.word()), row.message.clone()),
    };
    json!({
        "name": row.cluster, "revision": row.applied_revision, "outcome": row.condition.word(), "reason": reason, "message": message,
    })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn placed_condition(is_decided: bool, placed: usize, rows: &[Row]) -> Value {
    let excluded = || {
        rows.iter()
            .filter(|row| row.condition == Condition::Excluded)
    };
    let without = match excluded().count() {
        0 => String::new(),
        count => format!(
            "; {count} asked for without it: {}",
            some(excluded().map(|row| &row.cluster))
        ),
    };
    match (is_decided, placed) {
        (false, _) => condition(
            "Placed",
            "Unknown",
            "Deciding",
            "The newest revision is not decided yet.".to_owned(),
        ),
        (true, 0) => condition(
            "Placed",
            "False",
            "NoCluster",
            format!("No cluster gets it{without}."),
        ),
        (true, placed) => condition(
            "Placed",
            "True",
            "Placed",
            format!("{placed} clusters get it{without}."),
        ),
    }
}

fn applied_condition(is_decided: bool, placed: usize, applied: usize, rows: &[Row]) -> Value {
    // What a person should look at first.
    let order = [
        (Condition::Refused, "Refused"),
        (Condition::Ahead, "Ahead"),
        (Condition::Retrying, "Retrying"),
        (Condition::Pending, "Pending"),
        (Condition::Removing, "Removing"),
        (Condition::Held, "Held"),
        (Condition::Deciding, "Deciding"),
    ];
    let open = order.into_iter().find_map(|(one, reason)| {
        let mut met = rows.iter().filter(|row| row.condition == one).peekable();
        met.peek()?;
        Some((reason, some(met.map(|row| &row.cluster))))
    });
    match open {
        _ if !is_decided => condition(
            "Applied",
            "Unknown",
            "Deciding",
            "The newest revision is not decided yet.".to_owned(),
        ),
        Some((reason, clusters)) => condition(
            "Applied",
            "False",
            reason,
            format!(
                "{applied} of {placed} clusters have the newest revision; {}: {clusters}.",
                reason.to_lowercase()
            ),
        ),
        None => condition(
            "Applied",
            "True",
            "Applied",
            format!("{applied} of {placed} clusters have the newest revision."),
        ),
    }
}

fn healthy_condition(placed: usize, healthy: usize, rows: &[Row]) -> Value {
    let order = [
        (State::Degraded, "False", "Degraded"),
        (State::Progressing, "False", "Progressing"),
        (State::Unknown, "Unknown", "Unknown"),
    ];
    let wrong = order.into_iter().find_map(|(one, status, reason)| {
        let mut met = rows
            .iter()
            .filter(|row| is_placed(row) && health(row) == Some(one))
            .peekable();
        met.peek()?;
        Some((status, reason, some(met.map(|row| &row.cluster))))
    });
    let count = format!("{healthy} of {placed} clusters have it, and it is healthy there");
    match wrong {
        Some((status, reason, clusters)) => condition(
            "Healthy",
            status,
            reason,
            format!("{count}; {}: {clusters}.", reason.to_lowercase()),
        ),
        None if healthy < placed => condition("Healthy", "Unknown", "NotSeen", format!("{count}.")),
        None => condition("Healthy", "True", "Healthy", format!("{count}.")),
    }
}
