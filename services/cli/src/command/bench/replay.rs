//! The log replayed: folded into the view against reading alone, started from a checkpoint, asked about the past, backed up, restored, and cut.
//!
//! No member and no ingest runs: the history is written as they would have written it, a third of the messages each: changes, decisions over ten
//! clusters, and messages of ten acknowledgements.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use fleetcast_aggregator::answer::past::At;
use fleetcast_aggregator::answer::{Digest, Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::backup::{self, Backup};
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::{Bus, Connect, streams};
use fleetcast_core::model::ObjectKey;
use serde_json::{Value, json};

use super::figures::{ms, percentiles};
use super::limits;
use super::past::History;
use super::rig::{Directory, Rig, disk_bytes, machine, round};
use crate::args::bench::ReplayArgs;
use crate::fleet;

/// How often reading alone and folding are measured, in turns; the fastest of each counts.
const ROUNDS: usize = 3;
/// New events that a start from a checkpoint meets.
const NEW: u64 = 1_000;
/// Moments of the past that are asked about.
const MOMENTS: u64 = 20;
const MIB: f64 = 1_048_576.0;

pub(super) async fn run(args: &ReplayArgs) -> anyhow::Result<Value> {
    anyhow::ensure!(
        args.common.nats.is_none(),
        "a history is written into a server of its own, whose files are measured: leave --nats away"
    );
    let directory = Directory::new(&args.common)?;
    let path = directory.path.clone();
    let limits = limits::measure(&args.common, &directory).await?;
    let mut rig = Rig::start_bus(&args.common, directory).await?;
    let mut history = History::new(args.clusters as usize, args.objects as usize);
    eprintln!("writing a history of {} messages", args.events);
    let begin = Instant::now();
    history.write(&rig.bus, u64::from(args.events)).await?;
    let (log, acks) = (history.logged, history.acked);
    let wrote = begin.elapsed();
    let sizes = json!({
        "log_mib": mib(&stream_path(&path, streams::LOG)),
        "acks_mib": mib(&stream_path(&path, &streams::acks(0))),
    });

    eprintln!("folding all of it");
    let begin = Instant::now();
    rig.start_aggregator()?;
    let digest = view(&rig.bus, log).await?;
    let from_nothing = begin.elapsed();
    // It prepares the past meanwhile, which is not what is measured.
    rig.idle("aggregator").await?;
    let (mut raw_s, mut fold_s) = (f64::MAX, f64::MAX);
    let (mut raw_cpu_s, mut fold_cpu_s) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        let (begin, cpu) = (Instant::now(), rig.all_cpu());
        let read = rig.bus.read_and_drop(streams::LOG).await?
            + rig.bus.read_and_drop(&streams::acks(0)).await?;
        anyhow::ensure!(read == log + acks, "read {read} of {}", log + acks);
        raw_s = raw_s.min(begin.elapsed().as_secs_f64());
        let between = rig.all_cpu();
        raw_cpu_s += between - cpu;
        let rebuilt = client::rebuild(&rig.bus, |_, _| ()).await?;
        anyhow::ensure!(
            rebuilt.digest == digest.digest,
            "the rebuilt view is another"
        );
        fold_s = fold_s.min(rebuilt.took_ms as f64 / 1_000.0);
        fold_cpu_s += rig.all_cpu() - between;
    }
    let messages = (log + acks) as f64;

    eprintln!("asking about the past");
    let begin = Instant::now();
    at(&rig.bus, &history.object(0), log / 2).await?;
    let first = begin.elapsed();
    let mut moments = Vec::new();
    for number in 0..MOMENTS {
        let sequence = history.first + (number * 7_919_777) % (log - history.first);
        let object = history.object(usize::try_from(number)?);
        let begin = Instant::now();
        at(&rig.bus, &object, sequence).await?;
        moments.push(ms(begin.elapsed()));
    }

    eprintln!("starting from a checkpoint");
    rig.stop("aggregator");
    let checkpoint = mib(&path.join("aggregator").join("view.checkpoint"));
    history.write(&rig.bus, NEW).await?;
    let begin = Instant::now();
    rig.start_aggregator()?;
    let digest = view(&rig.bus, history.logged).await?;
    let started = begin.elapsed();

    eprintln!("backing up and restoring");
    let copy = path.join("backup");
    let begin = Instant::now();
    let taken = Backup::open(&copy)?.run(&rig.bus, |_, _| ()).await?;
    let backed_up = begin.elapsed();
    let restored = restore(&path, &copy).await?;
    let disk = disk_mib_per_s(&path, taken.bytes)?;

    eprintln!("cutting the log");
    let cut = retain(&mut rig, history.logged).await?;

    let per_million = |value: &Value| {
        let value = value.as_f64().unwrap_or(0.0);
        round(value * 1_000_000.0 / history.changes as f64)
    };
    let mut figures = json!({
        "bench": "replay", "members": "none",
        "messages": log + acks, "log_events": log, "acks": history.acks, "ack_messages": acks, "object_clusters": digest.rows,
        "written_per_s": round(messages / wrote.as_secs_f64()),
        "fold": {
            "read_alone_per_s": round(messages / raw_s),
            "folded_per_s": round(messages / fold_s),
            "share": round(raw_s / fold_s),
            // Of the server and whoever reads, together: other programs on the machine change it less.
            "read_alone_cpu_us": round(raw_cpu_s * 1e6 / messages / ROUNDS as f64),
            "folded_cpu_us": round(fold_cpu_s * 1e6 / messages / ROUNDS as f64),
            "cpu_share": round(raw_cpu_s / fold_cpu_s),
            "acks_per_s": round(history.acks as f64 / fold_s),
            "from_nothing_s": round(from_nothing.as_secs_f64()),
        },
        "start": {"new_events": NEW, "took_ms": round(ms(started)), "checkpoint_mib": checkpoint},
        "get_at": {"first_ms": round(ms(first)), "then_ms": percentiles(moments)},
        "backup": {
            "took_s": round(backed_up.as_secs_f64()), "mib": round(taken.bytes as f64 / MIB), "segments": taken.segments,
            "per_s": round(taken.records as f64 / backed_up.as_secs_f64()),
        },
        "restore": restored,
        "retain": cut,
        "limits": limits,
        "disk_mib_per_s": round(disk),
        "sizes": sizes,
        "per_million_changes_mib": {
            "log": per_million(&sizes["log_mib"]),
            "acks": per_million(&sizes["acks_mib"]),
            "backup": per_million(&json!(taken.bytes as f64 / MIB)),
        },
        "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

/// Waits until the view is folded up to `log`, and everything that stood in the streams.
async fn view(bus: &Bus, log: u64) -> anyhow::Result<Digest> {
    let request = Request {
        min_log: Some(log),
        wait_ms: Some(60_000),
        ..Request::default()
    };
    let begin = Instant::now();
    loop {
        match client::query(bus, "digest", None, &request).await {
            Ok(digest) => return Ok(digest),
            Err(_) if begin.elapsed() < Duration::from_secs(600) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn at(bus: &Bus, object: &ObjectKey, sequence: u64) -> anyhow::Result<()> {
    let request = Request {
        at: Some(At::Sequence(sequence)),
        wait_ms: Some(60_000),
        ..Request::default()
    };
    let answer: Objects = client::query(bus, "objects", Some(object), &request).await?;
    anyhow::ensure!(
        !answer.objects.is_empty(),
        "{object} was there at {sequence}"
    );
    Ok(())
}

/// Restores the backup into a server that syncs every write, as a fleet's does.
async fn restore(path: &Path, copy: &Path) -> anyhow::Result<Value> {
    let server = Server::start(&server::Options {
        binary: fleet::brought_server(),
        directory: path.join("restored"),
        port: 0,
        tls: None,
        configuration: String::new(),
    })?;
    let bus = Bus::connect_patiently(&Connect::new(server.url(), "bench")).await?;
    let begin = Instant::now();
    let directory = copy.to_owned();
    let contents =
        tokio::task::spawn_blocking(move || backup::verify(&directory, |_, _| ())).await??;
    let checking = begin.elapsed();
    let restored = bus
        .restore(&contents, 1, "bench".to_owned(), |_| ())
        .await?;
    let took = begin.elapsed();
    let messages = (restored.events + restored.acks) as f64;
    let files = checking + restored.reading;
    Ok(json!({
        "took_s": round(took.as_secs_f64()),
        "per_s": round(messages / took.as_secs_f64()),
        "checking_s": round(checking.as_secs_f64()),
        "reading_s": round(restored.reading.as_secs_f64()),
        "storing_s": round(restored.storing.as_secs_f64()),
        "stored_per_s": round(messages / restored.storing.as_secs_f64()),
        "bound_by": if files > restored.storing { "disk" } else { "bus" },
    }))
}

/// The whole log cut away by `fleetcast retain`, and the aggregator started with nothing but the base.
async fn retain(rig: &mut Rig, to: u64) -> anyhow::Result<Value> {
    let begin = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "--nats",
        &rig.connect.url,
        "retain",
        "--to",
        &to.to_string(),
    ]);
    command.args(["--without-backup", "--yes", "-o", "json"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = || format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the log is not cut: {}", failed());
    let done = said.lines().last().unwrap_or_default();
    let done: Value = serde_json::from_str(done).with_context(failed)?;
    rig.stop("aggregator");
    rig.forget_state("aggregator")?;
    let begin = Instant::now();
    rig.start_aggregator()?;
    view(&rig.bus, to).await?;
    let mib_of = |name: &str| round(done[name].as_f64().unwrap_or(0.0) / MIB);
    Ok(json!({
        "took_s": round(took.as_secs_f64()),
        "base_mib": mib_of("base_bytes"),
        "log_mib_before": mib_of("log_bytes_before"),
        "log_mib": mib_of("log_bytes"),
        "start_from_base_s": round(begin.elapsed().as_secs_f64()),
    }))
}

/// How fast the disk takes as many bytes as the backup has, synced.
fn disk_mib_per_s(path: &Path, bytes: u64) -> anyhow::Result<f64> {
    let file = path.join("disk");
    let block = vec![7_u8; 1 << 20];
    let blocks = (bytes >> 20).max(16);
    let begin = Instant::now();
    let mut out = std::fs::File::create(&file)?;
    for _ in 0..blocks {
        std::io::Write::write_all(&mut out, &block)?;
    }
    out.sync_all()?;
    let rate = blocks as f64 / begin.elapsed().as_secs_f64();
    std::fs::remove_file(&file).context("the file that was just written")?;
    Ok(rate)
}

fn stream_path(path: &Path, stream: &str) -> PathBuf {
    path.join("nats/store/jetstream/$G/streams").join(stream)
}

fn mib(path: &Path) -> f64 {
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) | Err(_) => disk_bytes(path),
    };
    round(bytes as f64 / MIB)
}
