//! `fleetcast retain`: old history is cut away, and what was known at the cut is kept in a base that everything begins at from then on.
//!
//! 1. **plan**: fold up to the cut, and on to where the view is; refuse what is still needed; say what goes.
//! 2. **write** the parts of the base, read them back, fold on from them to the same place, and compare every byte of what is known there.
//! 3. **store** its head: from now on it counts, and the log before it is needed by nobody.
//! 4. **cut** the log up to it, then older bases.
//!
//! What is killed leaves the old state (1, 2) or the new one (3, 4); the next run takes away what was left over.

mod plan;

use std::time::{Duration, Instant};

use fleetcast_bus::base::{Content, Cut, Found};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::digest;
use fleetcast_hub::state::HUB;
use serde::Serialize;
use serde_json::json;

use crate::args::{BusArgs, Lines, RetainArgs};
use crate::command::replay::fold::{AUDIT, Folding};
use crate::command::{confirm, service, watch};
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::Progress;
use plan::Plan;

pub(crate) async fn run(bus: &BusArgs, args: &RetainArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    bus.refuse_no_hub().await?;
    if let Some(age) = args.acks {
        keep_acks_for(&bus, age, args).await?;
        if args.older_than.is_none() && args.max_size.is_none() && args.to.is_none() {
            return Ok(());
        }
    }
    let (plan, prepared) = plan::make(&bus, args).await?;
    plan.tell(args.output)?;
    if !plan.needed.is_empty() {
        return Err(Failure::Said);
    }
    let Some(prepared) = prepared.filter(|_| !args.dry_run) else {
        return Ok(());
    };
    if !args.yes && !confirm::agreed("cut it away for good?")? {
        return Err(Failure::Refused(
            "nothing is cut; to do it without being asked, say --yes".to_owned(),
        ));
    }
    let begin = Instant::now();
    let base = carry_out(&bus, prepared).await?;
    tell(&bus, &plan, &base, begin.elapsed(), args.output).await
}

async fn keep_acks_for(bus: &Bus, age: Duration, args: &RetainArgs) -> Result<(), Failure> {
    const SHORTEST: Duration = Duration::from_secs(60 * 60);
    if age < SHORTEST {
        return Err(Failure::Usage(
            "--acks: at least 1h; agents that are away for longer answer again when they are back"
                .to_owned(),
        ));
    }
    let partitions = watch::partitions(bus).await?;
    if !args.dry_run {
        for partition in 0..partitions {
            bus.keep_acks_for(partition, age).await?;
        }
    }
    let word = if args.dry_run { "would be" } else { "are" };
    match args.output {
        Lines::Json => output::print_json_line(
            &json!({"acks_kept_s": age.as_secs(), "partitions": partitions}),
        ),
        Lines::Table => output::print(&format!(
            "acknowledgements {word} kept for {} hours; run `fleetcast retain` more often than that, so that a base knows what they said\n",
            age.as_secs() / 3_600
        )),
    }
}

/// What is ready to be written.
struct Prepared {
    cut: Cut,
    contents: Vec<Content>,
    /// Where everything that is known was compared.
    log: u64,
    /// A digest over everything that is known there, folded from the log.
    known: String,
}

/// A digest over everything that was folded; at the same place it is the same, wherever folding began.
fn known(folding: &mut Folding) -> Result<String, Failure> {
    folding.settle();
    let all = [
        Content::of(fleetcast_aggregator::VIEW, &folding.view)?.digest(),
        Content::of(fleetcast_ingest::INGEST, &folding.ingest)?.digest(),
        Content::of(HUB, &folding.hub)?.digest(),
        Content::of(AUDIT, &folding.audit)?.digest(),
    ];
    Ok(digest::of_bytes(all.join("\n").as_bytes()))
}

async fn carry_out(bus: &Bus, prepared: Prepared) -> Result<Found, Failure> {
    let Prepared {
        cut,
        contents,
        log,
        known: expected,
    } = prepared;
    let acks = cut.acks.clone();
    let base = bus.write_base(cut, &contents).await?;
    let mut again = Folding::of_base(bus, &base).await?;
    let mut progress = Progress::new("checking the base", log.saturating_sub(base.head.log));
    again.read_log(bus, log, |_| progress.step()).await?;
    again.read_acks(bus, &acks, || ()).await?;
    progress.end();
    if known(&mut again)? != expected {
        return Err(Failure::Refused(format!(
            "folded from the base, log {log} comes to something else than folded from the log: the base does not count, and nothing is cut; \
             this is a fault of this version"
        )));
    }
    bus.finish_base(&base).await?;
    bus.cut(&base).await?;
    Ok(base)
}

/// The outcome, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Done {
    cut: u64,
    events: u64,
    log_bytes_before: u64,
    log_bytes: u64,
    base_bytes: u64,
    took_ms: u64,
}

async fn tell(
    bus: &Bus,
    plan: &Plan,
    base: &Found,
    took: Duration,
    format: Lines,
) -> Result<(), Failure> {
    let done = Done {
        cut: base.head.log,
        events: plan.events,
        log_bytes_before: plan.log_bytes,
        log_bytes: bus.size_of(streams::LOG).await?,
        base_bytes: bus.size_of(streams::BASE).await?,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    if format == Lines::Json {
        return output::print_json_line(&done);
    }
    let paint = Paint::stdout();
    let mut text = format!(
        "{}: {} events up to log {}, the log has {} MiB instead of {}, the base {}\n",
        paint.good("cut"),
        done.events,
        done.cut,
        plan::mib(done.log_bytes),
        plan::mib(done.log_bytes_before),
        plan::mib(done.base_bytes)
    );
    text += "next: fleetcast replay --verify; a backup into an empty folder holds the base, too\n";
    output::print(&text)
}
