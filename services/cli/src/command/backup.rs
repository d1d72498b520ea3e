//! `fleetcast backup`: the truth as portable files, once or for as long as it is asked.

use std::time::{Duration, Instant};

use fleetcast_bus::Bus;
use fleetcast_bus::backup::{Backup, Taken};
use serde_json::json;

use crate::args::{BackupArgs, BusArgs, Lines};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::{self, Progress};

pub(crate) async fn run(bus: &BusArgs, args: &BackupArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let mut backup = Backup::open(&args.directory)?;
    let taken = once(&bus, &mut backup, args, true).await?;
    if !args.follow {
        if args.output == Lines::Table {
            let directory = args.directory.display();
            output::print(&format!("next: fleetcast restore {directory} --check\n"))?;
        }
        return Ok(());
    }
    drop(taken);
    let mut tick = tokio::time::interval(args.every.max(Duration::from_millis(100)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    let mut stopped = std::pin::pin!(service::asked_to_stop());
    loop {
        tokio::select! {
            () = &mut stopped => {
                // What came since the last run.
                return once(&bus, &mut backup, args, false).await.map(drop);
            }
            _ = tick.tick() => match once(&bus, &mut backup, args, false).await {
                Ok(_) => {}
                // What the bus did not answer is new in the next run, too.
                Err(Failure::Unreachable(error)) => eprintln!("warning: {error}; trying again"),
                Err(failure) => return Err(failure),
            },
        }
    }
}

/// One run; what wrote nothing is told only where `always`.
async fn once(
    bus: &Bus,
    backup: &mut Backup,
    args: &BackupArgs,
    always: bool,
) -> Result<Taken, Failure> {
    let begin = Instant::now();
    let mut progress = Progress::new("copying", 0);
    let outcome = backup.run(bus, |done, of| progress.of(done, of)).await;
    progress.end();
    let taken = outcome?;
    if taken.records > 0 || always {
        tell(&taken, begin.elapsed(), args)?;
    }
    Ok(taken)
}

fn tell(taken: &Taken, took: Duration, args: &BackupArgs) -> Result<(), Failure> {
    let Taken {
        head,
        records,
        segments,
        bytes,
    } = taken;
    if args.output == Lines::Json {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let document = json!({
            "log": head.log, "acks": head.acks, "epoch": head.epoch, "records": records, "segments": segments, "bytes": bytes,
            "took_ms": took_ms, "taken_at": head.taken_at,
        });
        return output::print_json_line(&document);
    }
    let paint = Paint::stdout();
    let rate = paint.dim(&format!("in {}", progress::took(*records, took)));
    output::print(&match records {
        0 => format!("nothing is new: the backup reaches to log {}\n", head.log),
        _ => format!(
            "backed up to log {}: {records} records, {} KiB in {segments} segments {rate}\n",
            head.log,
            bytes.div_ceil(1024)
        ),
    })
}
