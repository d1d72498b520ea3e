//! What a cut would take away, and who still needs that.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fleetcast_aggregator::answer::past::RowDifference;
use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::{VIEW, client};
use fleetcast_bus::backup;
use fleetcast_bus::base::{Content, Cut};
use fleetcast_bus::range::{Bounds, Dated, Part};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::ack::Outcome;
use fleetcast_core::model::ObjectKey;
use fleetcast_hub::state::HUB;
use fleetcast_ingest::{Answered, INGEST, REMOVALS};
use fleetcast_schemas::envelope::format_time;
use fleetcast_schemas::{event, subject};
use serde::Serialize;

use super::{Prepared, known};
use crate::args::{Lines, RetainArgs};
use crate::command::replay::fold::{AUDIT, Folding};
use crate::command::replay::verify;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::Progress;

/// How many objects a person is shown.
const SHOWN: usize = 20;

/// What a cut comes to.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    /// The log sequence up to which everything would go.
    pub(super) cut: u64,
    /// The time of the newest event among that; none where nothing goes.
    time: Option<String>,
    /// How many events would go, of how many.
    pub(super) events: u64,
    of: u64,
    /// How large the log is, and about how large what goes.
    pub(super) log_bytes: u64,
    bytes: u64,
    /// How large the base would be, compressed.
    base_bytes: u64,
    /// Revisions that could no longer be told: all before the newest at the cut.
    revisions: u64,
    objects: Vec<Unreachable>,
    /// Why it would be refused; nothing where it would not.
    pub(super) needed: Vec<String>,
}

/// An object whose earlier revisions could no longer be told.
#[derive(Debug, Serialize)]
struct Unreachable {
    object: ObjectKey,
    /// The first and the last of them.
    from: u64,
    to: u64,
}

/// Plans the cut that was asked for, and folds what its base would hold; none where there is nothing to cut.
pub(super) async fn make(
    bus: &Bus,
    args: &RetainArgs,
) -> Result<(Plan, Option<Prepared>), Failure> {
    let beginning = bus.beginning().await?.ok_or_else(|| {
        Failure::Refused("the log has no beginning yet: there is nothing to cut".to_owned())
    })?;
    let bounds = bus.bounds(streams::LOG).await?;
    let log_bytes = bus.size_of(streams::LOG).await?;
    let cut = place(bus, args, bounds, log_bytes).await?;
    let of = bounds.last + 1 - bounds.first;
    let events = (cut + 1).saturating_sub(bounds.first);
    let mut plan = Plan {
        cut,
        time: None,
        events,
        of,
        log_bytes,
        bytes: share(log_bytes, events, of),
        base_bytes: 0,
        revisions: 0,
        objects: Vec::new(),
        needed: Vec::new(),
    };
    if events == 0 {
        return Ok((plan, None));
    }
    let answer = client::query(bus, "objects", None, &Request::default()).await;
    let answered_by = fleetcast_bus::now();
    let answer: Option<Objects> = match answer {
        Ok(answer) => Some(answer),
        Err(error @ client::Error::Malformed(_)) => return Err(error.into()),
        Err(_) => None,
    };
    let (log, acks) = reached(bus, answer.as_ref(), beginning.partitions).await?;
    plan.needed
        .extend(needed(bus, args, cut, &acks, answer.as_ref()).await?);
    if log < cut {
        return Ok((plan, None));
    }
    let mut folding = Folding::begin(bus).await?;
    let carried: BTreeMap<ObjectKey, u64> = revisions(&folding);
    let mut progress = Progress::new("folding", log.saturating_sub(folding.log));
    folding.read_log(bus, cut, |_| progress.step()).await?;
    folding.read_acks(bus, &acks, || ()).await?;
    plan.note_revisions(&folding, &carried);
    plan.time = Some(format_time(folding.ingest.time()));
    let contents = contents(&mut folding)?;
    plan.base_bytes = contents.iter().map(Content::size).sum();
    let cut = Cut {
        log: cut,
        time: folding.ingest.time(),
        acks: acks.clone(),
        answered_by,
        beginning,
    };
    folding.read_log(bus, log, |_| progress.step()).await?;
    progress.end();
    if let Some(finding) = folding.findings.first() {
        plan.needed.push(format!(
            "the log does not fit together at {}: {}; `fleetcast replay --verify` names all that does not",
            finding.sequence, finding.message
        ));
    }
    if let Some(answer) = &answer {
        let (live, folded) = (verify::rows(answer), folding.view.canonical_rows());
        if let Some(difference) = RowDifference::first(&live, &folded) {
            plan.needed.push(format!(
                "the view that answers knows something else than the streams: {difference}; where acknowledgements have aged out that no base knows, \
                 docs/operating.md says how they are given again"
            ));
        }
    }
    let known = known(&mut folding)?;
    let prepared = Prepared {
        cut,
        contents,
        log,
        known,
    };
    Ok((plan, Some(prepared)))
}

/// The cut that was asked for.
async fn place(
    bus: &Bus,
    args: &RetainArgs,
    bounds: Bounds,
    log_bytes: u64,
) -> Result<u64, Failure> {
    let Bounds { first, last } = bounds;
    if let Some(to) = args.to {
        return match to > last {
            true => Err(Failure::Refused(format!(
                "the log ends at {last}, and {to} is asked for"
            ))),
            false => Ok(to.max(first - 1)),
        };
    }
    if let Some(age) = args.older_than {
        let ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = fleetcast_bus::now().plus_ms(ms.saturating_neg());
        let is_before = |dated: &Dated| {
            let time = dated.stored.message.headers.time();
            time.is_ok_and(|time| time < before)
        };
        return Ok(bus.seek(streams::LOG, is_before).await?);
    }
    let most = args.max_size.unwrap_or(u64::MAX);
    if log_bytes <= most {
        return Ok(first - 1);
    }
    sizes(bus, bounds, log_bytes, most).await
}

/// The place behind which the log has at most `most` bytes: its events are weighed by what they carry, and the sum is what the server says.
async fn sizes(bus: &Bus, bounds: Bounds, log_bytes: u64, most: u64) -> Result<u64, Failure> {
    let part = Part {
        from: bounds.first,
        upto: Some(bounds.last),
        bodies_stay: true,
        ..Part::default()
    };
    let mut progress = Progress::new("weighing", bounds.last + 1 - bounds.first);
    let mut events = bus.range(streams::LOG, part).await?;
    let (mut sizes, mut sum) = (Vec::new(), 0_u64);
    while let Some(dated) = events.next().await? {
        progress.step();
        let message = &dated.stored.message;
        let headers = message.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len() + 4);
        let size = message.subject.len() + headers.sum::<usize>() + message.payload.len() + 44;
        sum += size as u64;
        sizes.push((dated.stored.sequence, size as u64));
    }
    progress.end();
    let mut left = 0;
    for (sequence, size) in sizes.into_iter().rev() {
        left += size;
        if share(log_bytes, left, sum) > most {
            return Ok(sequence);
        }
    }
    Ok(bounds.first - 1)
}

/// `part` of `of`, as a share of `whole`.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Up to where everything is folded and compared: where the view is, else where the streams end.
async fn reached(
    bus: &Bus,
    answer: Option<&Objects>,
    partitions: u16,
) -> Result<(u64, BTreeMap<u16, u64>), Failure> {
    if let Some(answer) = answer {
        let mut acks = verify::acks(answer);
        for partition in 0..partitions {
            acks.entry(partition).or_default();
        }
        return Ok((answer.as_of.log, acks));
    }
    let mut acks = BTreeMap::new();
    for partition in 0..partitions {
        let last = bus.last_sequence(&streams::acks(partition)).await?;
        acks.insert(partition, last);
    }
    Ok((bus.last_sequence(streams::LOG).await?, acks))
}

/// Who still needs what would go.
async fn needed(
    bus: &Bus,
    args: &RetainArgs,
    cut: u64,
    acks: &BTreeMap<u16, u64>,
    answer: Option<&Objects>,
) -> Result<Vec<String>, Failure> {
    let mut needed = Vec::new();
    if let Some(answer) = answer
        && answer.as_of.log < cut
    {
        needed.push(format!(
            "the aggregator has folded up to {}, and the cut is at {cut}: try again when it is further",
            answer.as_of.log
        ));
    }
    let known = bus
        .base()
        .await?
        .map(|base| base.head.acks)
        .unwrap_or_default();
    for partition in acks.keys() {
        let stream = streams::acks(*partition);
        let known = known.get(partition).copied().unwrap_or(0);
        let first = bus.bounds(&stream).await?.first;
        if first > known + 1 && answer.is_none() {
            needed.push(format!(
                "{stream} begins at {first}, and no base knows what was before: start the aggregator, so that what it knows can be compared"
            ));
        }
        let work = streams::work(*partition);
        let fence = bus.newest_of(&work, &subject::fence(*partition)).await?;
        let fence = fence.and_then(|stored| {
            event::read_fence(&stored.message.headers, &stored.message.payload).ok()
        });
        let is_incomplete = fence.is_some_and(|fence| !fence.complete);
        // Where nobody leads nobody reads: whoever leads next begins at the base.
        if is_incomplete
            && bus.lease_holder(streams::PLACER).await?.is_some()
            && is_being_written(bus, *partition).await?
        {
            needed.push(format!(
                "{work} is being written anew: try again when that is done"
            ));
        }
    }
    for directory in &args.backup {
        needed.extend(lacks(directory, cut)?);
    }
    if args.backup.is_empty() && !args.without_backup {
        needed.push(
            "no backup is named that holds what is cut: --backup DIR, or --without-backup to do without one"
                .to_owned(),
        );
    }
    Ok(needed)
}

/// Whether work of a partition is still coming in behind a fence that does not say *complete*.
async fn is_being_written(bus: &Bus, partition: u16) -> Result<bool, Failure> {
    const PATIENCE: Duration = Duration::from_secs(10);
    const LOOK: Duration = Duration::from_millis(250);
    let begin = std::time::Instant::now();
    while begin.elapsed() < PATIENCE {
        let newest = bus
            .newest_of(&streams::work(partition), &subject::fence(partition))
            .await?;
        let is_complete = newest.is_none_or(|stored| {
            event::read_fence(&stored.message.headers, &stored.message.payload)
                .is_ok_and(|fence| fence.complete)
        });
        if is_complete {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(true)
}

/// What a backup lacks of what would go; none where it holds all.
fn lacks(directory: &Path, cut: u64) -> Result<Option<String>, Failure> {
    let shown = directory.display();
    Ok(match backup::head(directory)? {
        None => Some(format!("{shown} holds no backup")),
        Some(head) if head.log < cut => Some(format!(
            "the backup in {shown} reaches to {}, and the cut is at {cut}: run `fleetcast backup {shown}` first",
            head.log
        )),
        Some(_) => None,
    })
}

fn revisions(folding: &Folding) -> BTreeMap<ObjectKey, u64> {
    let revisions = folding.audit.revisions();
    revisions
        .map(|(object, revision)| (object.clone(), revision))
        .collect()
}

/// The sections of a base at the place up to which was folded.
fn contents(folding: &mut Folding) -> Result<Vec<Content>, Failure> {
    let answers = folding.view.answers();
    let gone = answers
        .filter(|(_, _, answer)| matches!(answer.outcome, Outcome::Removed | Outcome::Orphaned));
    let removals: Vec<Answered> = gone
        .map(|(object, cluster, answer)| Answered {
            object: object.clone(),
            cluster: cluster.clone(),
            place: answer.place.clone(),
        })
        .collect();
    // Those of the base before are among them.
    folding.ingest = std::mem::take(&mut folding.ingest).answered(Vec::new());
    let contents = vec![
        Content::of(VIEW, &folding.view)?,
        Content::of(INGEST, &folding.ingest)?,
        Content::of(HUB, &folding.hub)?,
        Content::of(AUDIT, &folding.audit)?,
        Content::of(REMOVALS, &removals)?,
    ];
    Ok(contents)
}

impl Plan {
    fn note_revisions(&mut self, folding: &Folding, carried: &BTreeMap<ObjectKey, u64>) {
        for (object, newest) in folding.audit.revisions() {
            let from = carried.get(object).copied().unwrap_or(1).max(1);
            if newest > from {
                self.revisions += newest - from;
                self.objects.push(Unreachable {
                    object: object.clone(),
                    from,
                    to: newest - 1,
                });
            }
        }
    }

    pub(super) fn tell(&self, format: Lines) -> Result<(), Failure> {
        if format == Lines::Json {
            return output::print_json_line(self);
        }
        let paint = Paint::stdout();
        if self.events == 0 {
            return output::print(
                "nothing to cut: the log holds nothing that old, or is that small\n",
            );
        }
        let mut text = format!(
            "{} of {} events go, up to log {} ({}): about {} of {} MiB; the base that stands for them has {} MiB\n",
            self.events,
            self.of,
            self.cut,
            self.time.as_deref().unwrap_or("-"),
            mib(self.bytes),
            mib(self.log_bytes),
            mib(self.base_bytes)
        );
        text += &match self.revisions {
            0 => "no revision is lost: each object's newest at the cut is kept\n".to_owned(),
            count => format!(
                "{count} revisions of {} objects can no longer be told; each object's newest at the cut is kept\n",
                self.objects.len()
            ),
        };
        for Unreachable { object, from, to } in self.objects.iter().take(SHOWN) {
            let range = match from == to {
                true => format!("revision {from}"),
                false => format!("revisions {from} to {to}"),
            };
            text += &format!("  {} {range}\n", object.for_people());
        }
        if self.objects.len() > SHOWN {
            text += &format!(
                "  … and {} more (-o json has all)\n",
                self.objects.len() - SHOWN
            );
        }
        for needed in &self.needed {
            text += &format!("{} {needed}\n", paint.bad("refused:"));
        }
        output::print(&text)
    }
}

/// Bytes in MiB, with one digit behind the point.
pub(super) fn mib(bytes: u64) -> String {
    let tenths = share(10, bytes, 1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}
