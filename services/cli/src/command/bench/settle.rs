//! Waiting until what was handed in is everywhere, and in the view.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::{Digest, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::{Bus, streams};
use fleetcast_schemas::subject;

use super::documents::Document;
use super::load;
use super::rig::Rig;
use super::tracker::{Acks, Tracker};

/// How many submissions are under way.
const AT_ONCE: usize = 256;

/// Hands documents in that are for every cluster: when the last of all clusters acknowledged the last of them in `revision`.
pub(super) async fn everywhere(
    rig: &mut Rig,
    acks: &mut Acks,
    documents: Vec<Document>,
    revision: u64,
) -> anyhow::Result<Instant> {
    let mut tracker = Tracker::default();
    for (index, (key, _)) in documents.iter().enumerate() {
        tracker.expect(index, key.clone(), revision, rig.clusters.clone());
    }
    let bus = rig.bus.clone();
    let submitting =
        tokio::spawn(async move { load::hand_in(&bus, documents, AT_ONCE, |_, _| {}).await });
    let last = acknowledged(rig, acks, &mut tracker).await?;
    submitting.await??;
    Ok(last)
}

/// Waits until everything is acknowledged: when the last was.
pub(super) async fn acknowledged(
    rig: &mut Rig,
    acks: &mut Acks,
    tracker: &mut Tracker,
) -> anyhow::Result<Instant> {
    let begin = Instant::now();
    let mut last = begin;
    while !tracker.is_done() {
        tokio::select! {
            Some(stored) = acks.next() => {
                if let Some((_, at)) = tracker.take(&stored).last() {
                    last = *at;
                }
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => rig.check(begin, Duration::from_secs(300), "acknowledgements")?,
        }
    }
    Ok(last)
}

/// Waits until the view is folded to the ends of the streams as they are now: how long that took.
pub(super) async fn view_reaches(bus: &Bus, partitions: u16) -> anyhow::Result<Duration> {
    let log = bus.last_sequence(streams::LOG).await?;
    let mut acks = BTreeMap::new();
    for partition in 0..partitions {
        let last = bus.last_sequence(&streams::acks(partition)).await?;
        acks.insert(subject::partition_token(partition), last);
    }
    let begin = Instant::now();
    loop {
        let answer: Result<Digest, _> =
            client::query(bus, "digest", None, &Request::default()).await;
        if let Ok(Digest { as_of, .. }) = answer
            && as_of.log >= log
            && acks
                .iter()
                .all(|(partition, last)| as_of.acks.get(partition).copied().unwrap_or(0) >= *last)
        {
            return Ok(begin.elapsed());
        }
        anyhow::ensure!(
            begin.elapsed() < Duration::from_secs(600),
            "the view does not come up to date"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
