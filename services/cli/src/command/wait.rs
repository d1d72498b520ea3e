//! Waiting until every cluster has answered about some objects.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use fleetcast_aggregator::answer::{ObjectSummary, Objects, Request, Row};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::ObjectKey;
use tokio::time::Instant;

use crate::args::Lines;
use crate::command::get;
use crate::failure::Failure;
use crate::output;

/// Up to so many objects are asked about one by one.
const FEW: usize = 32;
/// How often the view is asked.
const EVERY: Duration = Duration::from_millis(100);

/// Waits until the view knows the log up to `sequence` and every cluster has answered about `keys`.
pub(crate) async fn until_settled(
    bus: &Bus,
    keys: &[ObjectKey],
    sequence: u64,
    timeout: Duration,
    output: Lines,
) -> Result<(), Failure> {
    until(bus, keys, sequence, timeout, output, None).await
}

/// As [`until_settled`], after what waited as `confirmed` was let go.
pub(crate) async fn until_gone(
    bus: &Bus,
    keys: &[ObjectKey],
    sequence: u64,
    timeout: Duration,
    output: Lines,
    confirmed: &str,
) -> Result<(), Failure> {
    until(bus, keys, sequence, timeout, output, Some(confirmed)).await
}

async fn until(
    bus: &Bus,
    keys: &[ObjectKey],
    sequence: u64,
    timeout: Duration,
    output: Lines,
    confirmed: Option<&str>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let request = Request {
        min_log: Some(sequence),
        ..Request::default()
    };
    let terminal = std::io::stderr().is_terminal();
    loop {
        let all = summaries(bus, keys, &request).await?;
        let open: Vec<&ObjectSummary> = all
            .iter()
            .filter(|summary| keys.contains(&summary.object) && !is_settled(summary))
            .collect();
        if terminal {
            eprint!(
                "\r{} of {} objects settled, {}s ",
                keys.len() - open.len(),
                keys.len(),
                begin.elapsed().as_secs()
            );
            let _ = std::io::stderr().flush();
        }
        // What was just confirmed is not decided about yet.
        if let Some(id) = held(&open).filter(|id| confirmed != Some(id)) {
            if terminal {
                eprint!("\r\u{1b}[K");
            }
            return Err(Failure::Refused(format!(
                "nothing goes on by itself: a bulk removal waits; next: fleetcast confirm {id}"
            )));
        }
        if open.is_empty() || begin.elapsed() >= timeout {
            if terminal {
                eprint!("\r\u{1b}[K");
            }
            if open.is_empty() {
                if output == Lines::Table {
                    output::print(&format!(
                        "all clusters answered after {:.1} s\n",
                        begin.elapsed().as_secs_f64()
                    ))?;
                }
                return Ok(());
            }
            if output == Lines::Table {
                output::print(&get::table(
                    &open.into_iter().cloned().collect::<Vec<_>>(),
                    false,
                ))?;
            }
            return Err(Failure::Refused(format!(
                "not every cluster answered within {timeout:?}; `fleetcast explain OBJECT` tells why"
            )));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What somebody has to confirm before anything of `open` goes on.
fn held(open: &[&ObjectSummary]) -> Option<String> {
    let rows = || open.iter().flat_map(|summary| &summary.rows);
    let waits = |row: &Row| row.condition == Condition::Held;
    let all = rows().all(|row| row.condition.is_settled() || waits(row));
    let held = rows().find_map(|row| row.held.as_ref().filter(|_| all && waits(row)));
    held.map(|wait| wait.id.clone())
}

/// The objects in the view: each for itself where they are few, since who may ask about these may not about all.
async fn summaries(
    bus: &Bus,
    keys: &[ObjectKey],
    request: &Request,
) -> Result<Vec<ObjectSummary>, Failure> {
    if keys.len() > FEW {
        let all: Objects = client::query(bus, "objects", None, request).await?;
        return Ok(all.objects);
    }
    let asked = keys
        .iter()
        .map(|key| client::query::<Objects>(bus, "objects", Some(key), request));
    let answers = futures::future::try_join_all(asked).await?;
    Ok(answers
        .into_iter()
        .flat_map(|answer| answer.objects)
        .collect())
}

/// Whether the newest revision is decided, and every cluster has what it should.
pub(crate) fn is_settled(summary: &ObjectSummary) -> bool {
    summary.decision.is_some() && summary.rows.iter().all(|row| row.condition.is_settled())
}
