//! `fleetcast history`: every revision of an object, what was decided because of it, and how long its clusters took.

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::past::{DecisionEntry, History, Revision, Task};
use fleetcast_aggregator::client;
use fleetcast_core::ack::Outcome;
use fleetcast_schemas::envelope::format_time;

use crate::args::{BusArgs, Document, HistoryArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::select;

/// How many names or fields of one kind a person is shown.
const SHOWN: usize = 8;

pub(crate) async fn run(bus: &BusArgs, args: &HistoryArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let object = select::one(&bus, &args.object, &Request::default()).await?;
    let request = Request::default();
    let history: History = client::query(&bus, "history", Some(&object), &request).await?;
    match args.output {
        Document::Json => output::print_json(&history),
        Document::Yaml => output::print_yaml(&history),
        Document::Table => output::print(&describe(&history)),
    }
}

fn describe(history: &History) -> String {
    let paint = Paint::stdout();
    let mut text = format!("{}\n", paint.bold(&history.name));
    if let Some(cut) = history.cut {
        let line = format!("history before log {cut} was cut; what was known there:");
        text += &format!("{}\n", paint.dim(&line));
    }
    for revision in &history.revisions {
        text += &describe_revision(revision, paint);
    }
    let name = &history.name;
    let next = match history.revisions.as_slice() {
        [.., before, last] => format!(
            "next: fleetcast diff {name} --from {} --to {}, fleetcast rollback {name} --to {}",
            before.revision, last.revision, before.revision
        ),
        _ => format!("next: fleetcast explain {name}"),
    };
    text + &paint.dim(&next) + "\n"
}

fn describe_revision(revision: &Revision, paint: Paint) -> String {
    let what = match (revision.withdrawn, revision.orphan) {
        (false, _) => "declared",
        (true, false) => "withdrawn",
        (true, true) => "withdrawn, copies stay,",
    };
    let mut text = format!(
        "{} {} {what} by {}  {}\n",
        paint.bold(&format!("revision {}", revision.revision)),
        format_time(revision.time),
        revision.source,
        paint.dim(&format!("log {} id {}", revision.sequence, revision.id)),
    );
    if !revision.changed.is_empty() {
        text += &format!("  changed   {}\n", few(&revision.changed));
    }
    for decision in &revision.decisions {
        text += &describe_decision(decision, paint);
    }
    text += &match (revision.done_after_ms, revision.waiting.as_slice()) {
        (Some(ms), _) => format!(
            "  {}\n",
            paint.good(&format!("done      after {}", took(ms)))
        ),
        (None, []) if revision.decisions.is_empty() => {
            format!(
                "  {}\n",
                paint.waiting("not decided, or a newer revision came first")
            )
        }
        (None, []) => String::new(),
        (None, waiting) => format!(
            "  {}\n",
            paint.waiting(&format!("open      {}", few(waiting)))
        ),
    };
    text
}

fn describe_decision(decision: &DecisionEntry, paint: Paint) -> String {
    let cause = match (decision.cause.as_str(), decision.cause_sequence) {
        ("cluster", Some(sequence)) => format!(", because of a cluster (log {sequence})"),
        ("related", Some(sequence)) => format!(", because of another object (log {sequence})"),
        ("other", _) => ", because of something else that it looks at".to_owned(),
        _ => String::new(),
    };
    let gets = |task: &&Task| task.digest.is_some();
    let names = |tasks: Vec<&Task>| -> Vec<String> {
        tasks
            .into_iter()
            .map(|task| describe_task(task, paint))
            .collect()
    };
    let assigned = names(decision.clusters.iter().filter(gets).collect());
    let removed = names(
        decision
            .clusters
            .iter()
            .filter(|task| !gets(task))
            .collect(),
    );
    let mut text = format!(
        "  decision  {}{cause}  {}\n",
        decision.number,
        paint.dim(&format!("log {}", decision.sequence))
    );
    if !assigned.is_empty() {
        text += &format!("    to      {}\n", few(&assigned));
    }
    if !removed.is_empty() {
        text += &format!("    gone    {}\n", few(&removed));
    }
    let excluded: Vec<String> = decision
        .excluded
        .iter()
        .map(|(cluster, rule)| format!("{cluster} ({:?})", rule.reason))
        .collect();
    if !excluded.is_empty() {
        text += &format!("    not to  {}\n", few(&excluded));
    }
    text
}

fn describe_task(task: &Task, paint: Paint) -> String {
    let name = task.cluster.as_str();
    match (task.superseded, task.outcome) {
        (Some(by), _) => paint.dim(&format!("{name} (decision {by} came first)")),
        (None, Some(Outcome::Applied | Outcome::Removed | Outcome::Orphaned)) => name.to_owned(),
        (None, Some(outcome @ (Outcome::Refused | Outcome::Retrying | Outcome::Ahead))) => {
            paint.bad(&format!("{name} ({}: {})", outcome.word(), task.message))
        }
        (None, None) => paint.waiting(&format!("{name} (no answer)")),
    }
}

fn few<T: std::fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = match items.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more (-o json has all)"),
    };
    shown.join(", ") + &more
}

fn took(ms: i64) -> String {
    match ms {
        ..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}
