//! Maestro's rounds: 20, 50 and 100 objects in 30 s to one agent, and 1,000 a second.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::documents;
use super::figures::{ms, percentiles};
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use crate::args::bench::BurstArgs;
use crate::submit;

pub(super) async fn run(args: &BurstArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start(&args.common, directory, 1, 1).await?;
    let slow = Duration::from_secs(args.seconds.into());
    let fast = Duration::from_secs(args.fast_seconds.into());
    let mut rounds = Vec::new();
    for (name, count, lasts) in [
        ("20", 20, slow),
        ("50", 50, slow),
        ("100", 100, slow),
        ("1000/s", 1_000 * args.fast_seconds as usize, fast),
    ] {
        eprintln!("{count} objects in {} s", lasts.as_secs());
        rounds.push(one_round(&mut rig, rounds.len(), name, count, lasts).await?);
    }
    let mut figures = json!({
        "bench": "burst", "members": "simulated", "rounds": rounds, "machine": machine(),
    });
    super::figures::merge(&mut figures, rig.usage());
    Ok(figures)
}

async fn one_round(
    rig: &mut Rig,
    number: usize,
    name: &str,
    count: usize,
    lasts: Duration,
) -> anyhow::Result<Value> {
    let everywhere = json!({"clusterSelector": {}});
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let mut tracker = Tracker::default();
    let handed_in: Vec<_> = (0..count)
        .map(|index| documents::config_map(&format!("round-{number}-{index}"), &everywhere, 1))
        .collect();
    for (index, (key, _)) in handed_in.iter().enumerate() {
        tracker.expect(index, key.clone(), 1, rig.clusters.clone());
    }
    let begin = Instant::now();
    let pause = lasts / u32::try_from(count)?;
    let (sent, mut came) = tokio::sync::mpsc::unbounded_channel();
    let bus = rig.bus.clone();
    let submitting = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for (index, (key, document)) in handed_in.into_iter().enumerate() {
            tokio::time::sleep_until(
                (begin + pause * u32::try_from(index).unwrap_or(u32::MAX)).into(),
            )
            .await;
            let (bus, sent) = (bus.clone(), sent.clone());
            tasks.spawn(async move {
                // Nobody listens any more only where the round has failed.
                let _ = sent.send((index, Instant::now()));
                submit::apply(&bus, &key, &document).await
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome??;
        }
        anyhow::Ok(())
    });
    let mut finished = vec![None; count];
    while !tracker.is_done() {
        tokio::select! {
            Some(stored) = acks.next() => {
                for (index, at) in tracker.take(&stored) {
                    finished[index] = Some(at);
                }
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => rig.check(begin, lasts + Duration::from_secs(300), "acknowledgements")?,
        }
    }
    let elapsed = begin.elapsed();
    submitting.await??;
    let mut latencies = Vec::new();
    while let Some((index, at)) = came.recv().await {
        if let Some(finished) = finished[index] {
            latencies.push(ms(finished.saturating_duration_since(at)));
        }
    }
    Ok(json!({
        "round": name, "objects": count, "elapsed_s": round(elapsed.as_secs_f64()),
        "latency_ms": percentiles(latencies),
    }))
}
