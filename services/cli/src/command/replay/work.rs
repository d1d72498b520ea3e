//! Work against the log, and `replay --rebuild work`: every cluster's work written anew behind a fence of a new incarnation.
//!
//! First everything is rendered here and compared with what was decided: where it would come out differently nothing is written. Then a fence
//! in each partition ends the leader's term, and breaking its lease makes it notice; whoever leads next finds an incarnation that it does not
//! know and writes all work anew, while no sync is answered. At last what stands before the fence is taken away.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetcast_bus::append::Expected;
use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::decision::Standing;
use fleetcast_core::digest;
use fleetcast_core::fold::View;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::{Effect, Fence, Lane, Placer};
use fleetcast_schemas::envelope::{DIGEST, REVISION};
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::fold;
use crate::args::Document;
use crate::command::watch;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::{self, Progress};

/// How long the work may lag behind the log before that counts as a difference.
const LAG: Duration = Duration::from_secs(5);
/// How long it may take until somebody leads and has written the first item.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the work stream.
const LOOK: Duration = Duration::from_millis(200);

/// One item of work in the form that is compared: no sequences, epochs, times or ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct WorkRow {
    object: ObjectKey,
    cluster: ClusterName,
    decision: u64,
    revision: u64,
    /// The digest of the manifest; empty for a removal.
    digest: String,
}

/// An item that is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WorkDifference {
    object: ObjectKey,
    cluster: ClusterName,
    /// What stands in the work stream.
    found: Option<WorkRow>,
    /// What the log says.
    expected: WorkRow,
}

impl std::fmt::Display for WorkDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tell = |row: &WorkRow| match row.digest.as_str() {
            "" => format!("removal by decision {}", row.decision),
            digest => format!("decision {}, digest {digest}", row.decision),
        };
        let found = self.found.as_ref().map_or("nothing".to_owned(), tell);
        write!(
            f,
            "{} in {}: there is {found}; the log says {}",
            self.object.for_people(),
            self.cluster,
            tell(&self.expected)
        )
    }
}

/// The work streams beside the log.
pub(super) struct Compared {
    pub(super) digest: String,
    pub(super) log_digest: String,
    pub(super) rows: usize,
    pub(super) difference: Option<WorkDifference>,
}

type Place = (ObjectKey, ClusterName);

/// Compares the work streams with what `view` says; work that is newer than the view is none of its concern.
pub(super) async fn compare(bus: &Bus, view: &View) -> Result<Compared, Failure> {
    let expected = expected(view);
    let partitions = view.partitions().unwrap_or(1);
    let deadline = Instant::now() + LAG;
    loop {
        let found = found(bus, partitions).await?;
        let mut compared: Vec<WorkRow> = Vec::with_capacity(expected.len());
        let mut difference = None;
        for (place, expected) in &expected {
            let found = found.get(place);
            let is_newer = found.is_some_and(|found| found.decision > expected.decision);
            match found {
                Some(found) if found == expected || is_newer => compared.push(expected.clone()),
                other => {
                    compared.extend(other.cloned());
                    difference = difference.or_else(|| {
                        Some(WorkDifference {
                            object: place.0.clone(),
                            cluster: place.1.clone(),
                            found: other.cloned(),
                            expected: expected.clone(),
                        })
                    });
                }
            }
        }
        if difference.is_none() || Instant::now() > deadline {
            let rows: Vec<&WorkRow> = expected.values().collect();
            return Ok(Compared {
                digest: digest_of(&compared.iter().collect::<Vec<_>>()),
                log_digest: digest_of(&rows),
                rows: rows.len(),
                difference,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn digest_of(rows: &[&WorkRow]) -> String {
    digest::of_bytes(&serde_json::to_vec(rows).expect("rows have only string keys"))
}

/// The work that the log asks for; removals that were answered are not among it.
fn expected(view: &View) -> BTreeMap<Place, WorkRow> {
    let mut expected = BTreeMap::new();
    for (object, known) in view.objects() {
        for (cluster, standing) in known.standings.iter() {
            let (Some((decision, revision)), digest) = (standing.due(), digest_due(standing))
            else {
                continue;
            };
            let is_answered = view.answer(object, cluster).is_some_and(|answer| {
                Some(&answer.place) == known.standings.place(cluster).as_ref()
                    && answer.outcome.is_final()
            });
            if digest.is_none() && is_answered {
                continue;
            }
            let row = WorkRow {
                object: object.clone(),
                cluster: cluster.clone(),
                decision,
                revision,
                digest: digest.unwrap_or_default(),
            };
            expected.insert((object.clone(), cluster.clone()), row);
        }
    }
    expected
}

fn digest_due(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Assigned { digest, .. } => Some(digest.clone()),
        Standing::Removing { .. } | Standing::Excluded { .. } => None,
    }
}

/// The newest work about each object in each cluster.
async fn found(bus: &Bus, partitions: u16) -> Result<BTreeMap<Place, WorkRow>, Failure> {
    let mut found = BTreeMap::new();
    for partition in 0..partitions {
        let part = Part {
            headers_only: true,
            from: 1,
            ..Part::default()
        };
        let mut items = bus.range(&streams::work(partition), part).await?;
        while let Some(dated) = items.next().await? {
            let message = dated.stored.message;
            let Some(Parsed::Work(of, _)) = subject::parse(&message.subject) else {
                continue;
            };
            if let Ok((object, place, _)) = event::work_stamp(&message.headers)
                && let Ok(revision) = message.headers.parsed(REVISION)
            {
                let row = WorkRow {
                    object: object.clone(),
                    cluster: of.cluster.clone(),
                    decision: place.number,
                    revision,
                    digest: message.headers.get(DIGEST).unwrap_or_default().to_owned(),
                };
                found.insert((object, of.cluster), row);
            }
        }
    }
    Ok(found)
}

/// The outcome, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Rebuilt {
    /// The digest over the canonical rows of the work, before and after.
    before: String,
    digest: String,
    /// Items written.
    items: usize,
    took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<WorkDifference>,
}

pub(super) async fn rebuild(bus: &Bus, format: Document) -> Result<(), Failure> {
    let partitions = watch::partitions(bus).await?;
    let log = bus.last_sequence(streams::LOG).await?;
    let mut acks = BTreeMap::new();
    for partition in 0..partitions {
        acks.insert(
            partition,
            bus.last_sequence(&streams::acks(partition)).await?,
        );
    }
    let mut folded = fold::fold(bus, log, &acks).await?;
    let items = render(&mut folded.placer, partitions)?;
    let before = compare(bus, &folded.view).await?;
    let begin = Instant::now();
    let mut fences = BTreeMap::new();
    for partition in 0..partitions {
        fences.insert(partition, fence(bus, &folded.placer, partition).await?);
    }
    bus.break_lease(streams::PLACER).await?;
    follow(bus, &fences, items).await?;
    for (partition, (sequence, _)) in &fences {
        bus.forget(&streams::work(*partition), ">", *sequence)
            .await?;
    }
    let took = begin.elapsed();
    let after = compare(bus, &folded.view).await?;
    let rebuilt = Rebuilt {
        before: before.digest,
        digest: after.digest,
        items,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        first_difference: after.difference,
    };
    match format {
        Document::Json => output::print_json(&rebuilt)?,
        Document::Yaml => output::print_yaml(&rebuilt)?,
        Document::Table => output::print(&describe(&rebuilt, took))?,
    }
    match rebuilt.first_difference {
        None => Ok(()),
        Some(_) => Err(Failure::Said),
    }
}

fn describe(rebuilt: &Rebuilt, took: Duration) -> String {
    let paint = Paint::stdout();
    let verdict = match rebuilt.before == rebuilt.digest {
        true => paint.good("equal to what was there"),
        false => paint.waiting("not what was there"),
    };
    let mut text = format!(
        "work rebuilt, {verdict}: {} items, digest {}\n",
        rebuilt.items, rebuilt.digest
    );
    if rebuilt.before != rebuilt.digest {
        text += &format!("  digest before {}\n", rebuilt.before);
    }
    if let Some(difference) = &rebuilt.first_difference {
        text += &format!("  {} {difference}\n", paint.bad("not as the log says:"));
    }
    let items = u64::try_from(rebuilt.items).unwrap_or(u64::MAX);
    text += &format!(
        "{}\n",
        paint.dim(&format!("in {}", progress::took(items, took)))
    );
    text + "next: fleetcast replay --verify\n"
}

/// Renders all work in memory: how many items there are.
///
/// # Errors
/// Names the first object that this version renders differently from what was decided.
fn render(placer: &mut Placer, partitions: u16) -> Result<usize, Failure> {
    let term = placer.term() + 1;
    for partition in 0..partitions {
        let lane = Lane::new("rehearsal".to_owned(), 0);
        placer.take_over(partition, term, lane);
    }
    let mut items = 0;
    while let Some(effect) = placer.poll(fleetcast_bus::now()) {
        match effect {
            Effect::Write { .. } => items += 1,
            Effect::Stuck { object, message } => {
                return Err(Failure::Refused(format!(
                    "{}: {message}\nnothing is written: this version would rebuild it differently; take the version that decided it, or hand the \
                     object in anew",
                    object.for_people()
                )));
            }
            // What is not decided yet is decided, and written, by whoever leads.
            Effect::Append { .. } | Effect::Forget { .. } | Effect::Complete { .. } => {}
        }
    }
    Ok(items)
}

/// Writes a fence of a new incarnation behind what stands in the stream: its sequence and term.
async fn fence(bus: &Bus, placer: &Placer, partition: u16) -> Result<(u64, u64), Failure> {
    let stream = streams::work(partition);
    let epoch = placer
        .epoch()
        .cloned()
        .ok_or_else(|| Failure::Refused("the log has no epoch".to_owned()))?;
    loop {
        let newest = bus.newest_of(&stream, &subject::fence(partition)).await?;
        let met = newest.and_then(|stored| {
            event::read_fence(&stored.message.headers, &stored.message.payload).ok()
        });
        let term = met.map_or(0, |fence| fence.term).max(placer.term()) + 1;
        let last = bus.last_sequence(&stream).await?;
        let fence = Fence {
            epoch: epoch.clone(),
            term,
            incarnation: Uuid::now_v7().to_string(),
            complete: false,
        };
        let message = event::fence(&fence, partition, fleetcast_bus::now());
        match bus.append(message, Expected::OfStream(last)).await {
            Ok(sequence) => return Ok((sequence, term)),
            // The leader was faster; what it wrote is read again.
            Err(fleetcast_bus::Error::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until whoever leads now says that all work is written behind the fences.
async fn follow(
    bus: &Bus,
    fences: &BTreeMap<u16, (u64, u64)>,
    items: usize,
) -> Result<(), Failure> {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    let mut progress = Progress::new("writing", items);
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let (mut written, mut open) = (0, 0);
        for (partition, (sequence, term)) in fences {
            let stream = streams::work(*partition);
            written += bus.last_sequence(&stream).await?.saturating_sub(*sequence);
            let newest = bus
                .newest(&stream, &[subject::fence(*partition)], None, None)
                .await?;
            let is_done = newest.messages.last().is_some_and(|stored| {
                event::read_fence(&stored.message.headers, &stored.message.payload)
                    .is_ok_and(|fence| fence.complete && fence.term > *term)
            });
            open += usize::from(!is_done);
        }
        progress.of(written.min(items), items);
        if open == 0 {
            progress.end();
            return Ok(());
        }
        if written > last {
            (last, moved) = (written, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            progress.end();
            return Err(Failure::Refused(format!(
                "the work of {open} partitions is not written anew after {PATIENCE:?}: is `fleetcast ingest` running? It writes all of it when it \
                 leads; until then agents keep what they have"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
