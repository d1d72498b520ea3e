//! `fleetcast restore`: a backup into an empty bus, under a new epoch; and what clusters hold newer than it.

mod settle;

use std::path::Path;
use std::time::{Duration, Instant};

use fleetcast_bus::backup::{self, Contents};
use fleetcast_bus::restore::Restored;
use serde_json::json;
use uuid::Uuid;

use crate::args::{BusArgs, Lines, RestoreArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::{self, Progress};

pub(crate) async fn run(bus: &BusArgs, args: &RestoreArgs) -> Result<(), Failure> {
    let how = settle::How::of(args);
    if let Some(directory) = &args.directory {
        restore(bus, directory, args).await?;
    }
    match how {
        Some(how) => settle::settle(&service::bus(bus).await?, how, args).await,
        None => Ok(()),
    }
}

async fn restore(bus: &BusArgs, directory: &Path, args: &RestoreArgs) -> Result<(), Failure> {
    let begin = Instant::now();
    let contents = check(directory).await?;
    let checking = begin.elapsed();
    if args.check {
        return told_whole(&contents, checking, directory, args);
    }
    let bus = service::bus(bus).await?;
    let mut progress = Progress::new("restoring", contents.records);
    let hub = Uuid::now_v7().simple().to_string();
    let of = contents.records;
    let replicas = usize::from(args.replicas);
    let restoring = bus.restore(&contents, replicas, hub, |done| progress.of(done, of));
    let restored = tokio::select! {
        restored = restoring => restored,
        // Nothing half restored stays usable: the mark does, and the next restore begins anew.
        () = service::asked_to_stop() => {
            return Err(Failure::Refused(
                "stopped half-way: nothing begins on this bus before `fleetcast restore` has run to its end".to_owned(),
            ));
        }
    };
    progress.end();
    tell(&contents, &restored?, checking, begin.elapsed(), args)
}

async fn check(directory: &Path) -> Result<Contents, Failure> {
    let directory = directory.to_owned();
    let contents = tokio::task::spawn_blocking(move || {
        let mut progress = Progress::new("checking segments", 0);
        let contents = backup::verify(&directory, |done, of| progress.of(done, of));
        progress.end();
        contents
    });
    Ok(contents.await.map_err(anyhow::Error::from)??)
}

fn told_whole(
    contents: &Contents,
    took: Duration,
    directory: &Path,
    args: &RestoreArgs,
) -> Result<(), Failure> {
    let head = &contents.head;
    if args.output == Lines::Json {
        return output::print_json(&json!({
            "whole": true, "records": contents.records, "segments": head.segments, "log": head.log, "acks": head.acks, "epoch": head.epoch,
            "taken_at": head.taken_at, "took_ms": millis(took),
        }));
    }
    output::print(&format!(
        "{}: {} records in {} segments, up to log {}, of {} (epoch {})\nnext: fleetcast restore {} --nats URL, into a NATS server with a new store\n",
        Paint::stdout().good("the backup is whole"),
        contents.records,
        head.segments,
        head.log,
        head.taken_at,
        head.epoch,
        directory.display()
    ))
}

fn tell(
    contents: &Contents,
    restored: &Restored,
    checking: Duration,
    whole: Duration,
    args: &RestoreArgs,
) -> Result<(), Failure> {
    let Restored {
        epoch,
        sequence,
        events,
        acks,
        bodies,
        reading,
        storing,
    } = restored;
    let bound_by = match checking + *reading > *storing {
        true => "disk",
        false => "bus",
    };
    if args.output == Lines::Json {
        return output::print_json(&json!({
            "epoch": epoch, "log": sequence, "events": events, "acks": acks, "bodies": bodies, "backup_epoch": contents.head.epoch,
            "taken_at": contents.head.taken_at, "took_ms": millis(whole), "checking_ms": millis(checking), "reading_ms": millis(*reading),
            "storing_ms": millis(*storing), "bound_by": bound_by,
        }));
    }
    let paint = Paint::stdout();
    let messages = events + acks + bodies;
    let mut text = format!(
        "{}: {events} events, {acks} messages of acknowledgements, {bodies} bodies, as of {}\n",
        paint.good("restored"),
        contents.head.taken_at
    );
    text += &format!(
        "epoch {} begins at log {sequence}, after {}\n",
        epoch, contents.head.epoch
    );
    text += &format!(
        "took {}: checking {} ms, reading {} ms, storing {} ms (bound by the {bound_by})\n",
        progress::took(messages, whole),
        millis(checking),
        millis(*reading),
        millis(*storing)
    );
    text += "next: start `fleetcast ingest` and `fleetcast aggregator`, which rebuild work and view; then `fleetcast replay --verify`,\n      and `fleetcast restore --ahead` for what clusters hold newer than this backup\n";
    output::print(&text)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
