//! What each part can do alone, measured in the same run: JetStream publishing and reading, and server-side apply to a simulated cluster.

use std::time::Instant;

use fleetcast_bus::Bus;
use fleetcast_bus::append::{BATCH_MESSAGES, Expected};
use fleetcast_bus::read::From;
use fleetcast_bus::streams::{self, Layout};
use fleetcast_schemas::{Headers, Message};
use fleetcast_simulator::Cluster;
use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::rig::{self, Directory, round};
use super::{deployed, documents};
use crate::args::bench::Common;

/// Messages that are published and read.
const MESSAGES: usize = 50_000;
/// Messages that are published each for itself.
const SINGLE: usize = 1_000;
/// Batches of so many messages, one after the other.
const SIZES: [usize; 4] = [1, 10, 100, 500];
/// Objects that are applied.
const APPLIES: usize = 2_000;
/// Publishes that wait for their acknowledgement.
const IN_FLIGHT: usize = 128;

/// Measures on a server of its own that syncs every write, as the fleet's does; or on the bus that was named.
pub(super) async fn measure(common: &Common, directory: &Directory) -> anyhow::Result<Value> {
    eprintln!("measuring what the parts can do alone");
    let (server, _, bus) = rig::bus(common, &directory.path.join("limits")).await?;
    bus.prepare(Layout {
        partitions: 1,
        replicas: 1,
    })
    .await?;
    let single = rate(SINGLE, publish_singly(&bus)).await?;
    let mut by_size = serde_json::Map::new();
    for size in SIZES {
        let publishing = publish_in_batches(&bus, SINGLE.max(20 * size), size);
        let rate = rate(SINGLE.max(20 * size), publishing).await?;
        by_size.insert(size.to_string(), json!(round(rate)));
    }
    let batched = rate(MESSAGES, publish_in_batches(&bus, MESSAGES, BATCH_MESSAGES)).await?;
    let read = rate(MESSAGES, read_all(&bus)).await?;
    let applies = rate(APPLIES, apply_directly()).await?;
    if server.is_none() {
        rig::remove(&bus, 1).await?;
    }
    Ok(json!({
        "publish_per_s": round(single),
        "publish_in_batches_per_s": round(batched),
        "publish_in_batches_of_per_s": by_size,
        "read_per_s": round(read),
        "simulated_apply_per_s": round(applies),
    }))
}

/// The figures of a phase as shares of the limits: work written against publishing, work applied against applying.
pub(super) fn shares(phase: &Value, limits: &Value) -> Value {
    let share = |limit: &str| match (phase["rate_per_s"].as_f64(), limits[limit].as_f64()) {
        (Some(rate), Some(limit)) if limit > 0.0 => json!(round(rate / limit)),
        _ => Value::Null,
    };
    json!({
        "publish_in_batches": share("publish_in_batches_per_s"),
        "read": share("read_per_s"),
        "simulated_apply": share("simulated_apply_per_s"),
    })
}

async fn rate(count: usize, what: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let begin = Instant::now();
    what.await?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

fn message(index: usize) -> Message {
    Message {
        subject: format!("fc.work.p00.bench.0.{index}"),
        headers: Headers::default(),
        payload: vec![b'x'; 1_000],
    }
}

async fn publish_singly(bus: &Bus) -> anyhow::Result<()> {
    let appends = (0..SINGLE).map(|index| bus.append(message(index), Expected::Anything));
    let mut appends = futures::stream::iter(appends).buffer_unordered(IN_FLIGHT);
    while let Some(stored) = appends.next().await {
        stored?;
    }
    Ok(())
}

async fn publish_in_batches(bus: &Bus, messages: usize, size: usize) -> anyhow::Result<()> {
    let indices: Vec<usize> = (0..messages).collect();
    for chunk in indices.chunks(size) {
        let items = chunk
            .iter()
            .map(|index| (message(*index), Expected::Anything))
            .collect();
        bus.append_all(items).await?;
    }
    Ok(())
}

async fn read_all(bus: &Bus) -> anyhow::Result<()> {
    let stream = streams::work(0);
    let last = bus.last_sequence(&stream).await?;
    let mut reader = bus.read(&stream, &[], From::Sequence(1), false).await?;
    while reader.next().await?.sequence < last {}
    Ok(())
}

async fn apply_directly() -> anyhow::Result<()> {
    let api = deployed::api(&Cluster::new("limits").client());
    let applies = (0..APPLIES).map(|index| {
        let api = api.clone();
        async move {
            let name = format!("d{index}");
            let object = documents::plain_deployment(&name, 1);
            let params = PatchParams::apply("bench").force();
            api.patch(&name, &params, &Patch::Apply(&object)).await
        }
    });
    let mut applies = futures::stream::iter(applies).buffer_unordered(deployed::AT_ONCE);
    while let Some(applied) = applies.next().await {
        applied?;
    }
    Ok(())
}
