//! The work streams: taking one over behind a fence, and following one that somebody else leads.

use std::collections::BTreeMap;

use fleetcast_bus::append::Expected;
use fleetcast_bus::{Bus, Error, read, streams};
use fleetcast_core::placer::{Fence, Found, Lane, Placer};
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};
use uuid::Uuid;

/// What stands at the head of a partition's work stream.
struct Head {
    fence: Option<Fence>,
    /// The sequence of the newest fence, 0 where there is none.
    at: u64,
    last: u64,
}

async fn head(bus: &Bus, partition: u16) -> Result<Head, Error> {
    let stream = streams::work(partition);
    // In this order: a fence that comes in between stands behind `last`, and who expects `last` is refused.
    let last = bus.last_sequence(&stream).await?;
    let newest = bus.newest_of(&stream, &subject::fence(partition)).await?;
    Ok(Head {
        at: newest.as_ref().map_or(0, |stored| stored.sequence),
        fence: newest.and_then(|stored| {
            event::read_fence(&stored.message.headers, &stored.message.payload).ok()
        }),
        last,
    })
}

/// What it is to lead: the term, and the sequence of the fence in each partition.
pub(crate) struct Leading {
    pub(crate) term: u64,
    pub(crate) fences: BTreeMap<u16, u64>,
}

/// Begins to lead all partitions: a fence in each, behind which nobody who led before can write.
///
/// A stream goes on in its incarnation only if what is known of it is proven to be in it: same incarnation, not shorter, complete.
pub(crate) async fn take_over(
    bus: &Bus,
    placer: &mut Placer,
    partitions: u16,
) -> Result<Leading, Error> {
    let epoch = placer
        .epoch()
        .cloned()
        .ok_or_else(|| Error::Unfit("the log has no epoch".to_owned()))?;
    let mut heads = Vec::new();
    for partition in 0..partitions {
        heads.push((partition, head(bus, partition).await?));
    }
    let met = heads
        .iter()
        .filter_map(|(_, head)| head.fence.as_ref().map(|fence| fence.term));
    let term = met.max().unwrap_or(0).max(placer.term()) + 1;
    let mut fences = BTreeMap::new();
    for (partition, Head { fence, at, last }) in heads {
        let known = placer.lane(partition).cloned();
        let goes_on = match (&known, &fence) {
            (Some(known), Some(fence)) => known.goes_on(&epoch, fence, last),
            (None, _) | (_, None) => false,
        };
        let incarnation = match (&known, goes_on) {
            (Some(known), true) => known.incarnation.clone(),
            (Some(_) | None, _) => Uuid::now_v7().to_string(),
        };
        let fence = Fence {
            epoch: epoch.clone(),
            term,
            incarnation: incarnation.clone(),
            complete: goes_on,
        };
        let message = event::fence(&fence, partition, fleetcast_bus::now());
        let expected = Expected::Behind {
            last,
            fence: subject::fence(partition),
            at,
        };
        let sequence = bus.append(message, expected).await?;
        fences.insert(partition, sequence);
        tracing::info!(
            partition,
            term,
            incarnation,
            rewrite = !goes_on,
            "leading the work of a partition"
        );
        if let (Some(known), true) = (known, goes_on) {
            placer.take_over(partition, term, known);
            catch_up(bus, placer, partition, sequence).await?;
        } else {
            placer.take_over(partition, term, Lane::new(incarnation, sequence));
        }
    }
    Ok(Leading { term, fences })
}

/// Follows what another leader writes, so that this process could go on from there: a stream met for the first time while somebody leads it
/// is taken as it stands.
pub(crate) async fn follow(bus: &Bus, placer: &mut Placer, partitions: u16) -> Result<(), Error> {
    for partition in 0..partitions {
        let Head { fence, last, .. } = head(bus, partition).await?;
        let Some(fence) =
            fence.filter(|fence| fence.complete && Some(&fence.epoch) == placer.epoch())
        else {
            continue;
        };
        let known = placer
            .lane(partition)
            .is_some_and(|lane| lane.incarnation == fence.incarnation && lane.sequence <= last);
        if !known {
            placer.follow(partition, Lane::new(fence.incarnation, 0));
        }
        catch_up(bus, placer, partition, last).await?;
    }
    Ok(())
}

/// Reads what was written behind what is known, up to `last`.
async fn catch_up(bus: &Bus, placer: &mut Placer, partition: u16, last: u64) -> Result<(), Error> {
    let Some(lane) = placer.lane(partition).cloned() else {
        return Ok(());
    };
    if lane.sequence >= last {
        return Ok(());
    }
    let stream = streams::work(partition);
    let mut reader = bus
        .read(&stream, &[], read::From::Sequence(lane.sequence + 1), true)
        .await?;
    loop {
        let stored = match tokio::time::timeout(bus.timeout(), reader.next()).await {
            Ok(stored) => stored?,
            // The last message may have been taken away since: nothing stands behind what was read.
            Err(_) => break,
        };
        if let Some(Parsed::Work(of, _)) = subject::parse(&stored.message.subject)
            && let Ok((object, place, stamp)) = event::work_stamp(&stored.message.headers)
            && stamp.incarnation == lane.incarnation
        {
            let found = Found {
                decision: place.number,
                sequence: stored.sequence,
                key: Found::key_of(event::recipient(&stored.message.headers)),
            };
            placer.found(&object, &of.cluster, found, stamp.n);
        }
        if stored.sequence >= last {
            break;
        }
    }
    placer.reached(partition, last);
    Ok(())
}
