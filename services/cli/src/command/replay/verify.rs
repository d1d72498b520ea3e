//! `replay --verify`: the log against itself, the view and the work against the log. Nothing is touched.

use std::collections::BTreeMap;

use fleetcast_aggregator::answer::past::RowDifference;
use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::audit::Finding;
use fleetcast_core::digest;
use fleetcast_core::fold::CanonicalRow;
use serde::Serialize;

use super::fold;
use super::work::{self, WorkDifference};
use crate::args::Document;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress;

/// How many findings a person is shown.
const SHOWN: usize = 20;

/// The outcome, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Verified {
    /// Whether all fits.
    equal: bool,
    /// The log sequence up to which everything was read.
    log: u64,
    /// The acknowledgement sequence, by partition.
    acks: BTreeMap<String, u64>,
    /// Messages read.
    read: u64,
    /// Milliseconds.
    took_ms: u64,
    /// What does not fit in the log, by sequence.
    log_findings: Vec<Finding>,
    view: Side<RowDifference>,
    work: Side<WorkDifference>,
}

/// What is there beside what the log says.
#[derive(Debug, Serialize)]
struct Side<T> {
    /// The digest over the canonical rows of what is there.
    digest: String,
    /// The same of what the log says.
    log_digest: String,
    /// How many rows the log says.
    rows: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<T>,
}

pub(super) async fn run(bus: &Bus, format: Document) -> Result<(), Failure> {
    let answer: Objects = client::query(bus, "objects", None, &Request::default()).await?;
    let acks = acks(&answer);
    let folded = fold::fold(bus, answer.as_of.log, &acks).await?;
    let expected = folded.view.canonical_rows();
    let found = rows(&answer);
    let work = work::compare(bus, &folded.view).await?;
    let verified = Verified {
        equal: folded.findings.is_empty() && found == expected && work.difference.is_none(),
        log: answer.as_of.log,
        acks: answer.as_of.acks,
        read: folded.read,
        took_ms: u64::try_from(folded.took.as_millis()).unwrap_or(u64::MAX),
        log_findings: folded.findings,
        view: Side {
            digest: digest_of(&found),
            log_digest: digest_of(&expected),
            rows: expected.len(),
            first_difference: RowDifference::first(&found, &expected),
        },
        work: Side {
            digest: work.digest,
            log_digest: work.log_digest,
            rows: work.rows,
            first_difference: work.difference,
        },
    };
    match format {
        Document::Json => output::print_json(&verified)?,
        Document::Yaml => output::print_yaml(&verified)?,
        Document::Table => output::print(&describe(&verified, folded.took))?,
    }
    if verified.equal {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

/// Up to where acknowledgements were folded in an answer, by partition.
pub(crate) fn acks(answer: &Objects) -> BTreeMap<u16, u64> {
    let acks = answer.as_of.acks.iter();
    acks.filter_map(|(token, place)| Some((token.strip_prefix('p')?.parse().ok()?, *place)))
        .collect()
}

/// The canonical rows of an answer, in the order that the view has them.
pub(crate) fn rows(answer: &Objects) -> Vec<CanonicalRow> {
    let rows = answer.objects.iter().flat_map(|object| {
        object.rows.iter().map(|row| CanonicalRow {
            object: object.object.clone(),
            cluster: row.cluster.clone(),
            decision: row.decision,
            revision: row.revision,
            outcome: row.condition.word().to_owned(),
            digest: row.digest.clone().unwrap_or_default(),
        })
    });
    rows.collect()
}

/// As the view's own digest is taken.
fn digest_of(rows: &[CanonicalRow]) -> String {
    digest::of_bytes(&serde_json::to_vec(rows).expect("rows have only string keys"))
}

fn describe(verified: &Verified, took: std::time::Duration) -> String {
    let paint = Paint::stdout();
    let word = |equal: bool| match equal {
        true => paint.good("equal"),
        false => paint.bad("DIFFERS"),
    };
    let Verified {
        equal,
        log,
        read,
        log_findings,
        view,
        work,
        ..
    } = verified;
    let mut text = match log_findings.len() {
        0 => format!(
            "log   {}  {log} events, none missing or changed\n",
            paint.good("whole")
        ),
        count => format!(
            "log   {}  {count} findings in {log} events\n",
            paint.bad("BROKEN")
        ),
    };
    for Finding {
        sequence,
        object,
        message,
    } in log_findings.iter().take(SHOWN)
    {
        let object = object
            .as_ref()
            .map(|object| format!("{}: ", object.for_people()));
        text += &format!(
            "  log {sequence}: {}{message}\n",
            object.unwrap_or_default()
        );
    }
    if log_findings.len() > SHOWN {
        text += &format!(
            "  … and {} more (-o json has all)\n",
            log_findings.len() - SHOWN
        );
    }
    text += &format!(
        "view  {}  {} rows, digest {}\n",
        word(view.first_difference.is_none()),
        view.rows,
        view.digest
    );
    if let Some(difference) = &view.first_difference {
        text += &format!("  first difference: {difference}\n");
    }
    text += &format!(
        "work  {}  {} items, digest {}\n",
        word(work.first_difference.is_none()),
        work.rows,
        work.digest
    );
    if let Some(difference) = &work.first_difference {
        text += &format!("  first difference: {difference}\n");
    }
    let rate = format!("{read} messages in {}", progress::took(*read, took));
    text += &format!("{}\n", paint.dim(&rate));
    if !equal {
        let mut next = Vec::new();
        if view.first_difference.is_some() {
            next.push("fleetcast replay --rebuild view");
        }
        if work.first_difference.is_some() {
            next.push("fleetcast replay --rebuild work");
        }
        if !log_findings.is_empty() {
            next.push("look at the events with `fleetcast events --from SEQ`; `fleetcast restore` brings a whole log back into an empty bus");
        }
        text += &format!("next: {}\n", next.join("; "));
    }
    text
}
