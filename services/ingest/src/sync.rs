//! Answers agents that lack something: the newest work per object since what they have, and large bodies that their work names.
//!
//! Any ingest process may answer, from the work stream alone. The answer is one message per item, as stored, and one that ends it.

use std::sync::Arc;

use fleetcast_bus::work_key::WorkKey;
use fleetcast_bus::{Bus, Delivery, Error, bodies, read, streams};
use fleetcast_core::reconcile::SyncRequest;
use fleetcast_core::sync::{self, Reading};
use fleetcast_core::{Refusal, digest};
use fleetcast_schemas::envelope::Headers;
use fleetcast_schemas::request::{PART, SEQUENCE, SyncAsk, SyncEnd};
use fleetcast_schemas::subject::{self, Lane, Parsed};
use fleetcast_schemas::{Message, codec, event};
use tokio::sync::Semaphore;

use crate::keys::Keys;
use crate::metrics::Metrics;

/// How many agents are answered at the same time.
const AT_ONCE: usize = 32;

/// Answers sync requests until the connection is closed.
pub(crate) async fn serve(bus: Bus, keys: Keys, metrics: Metrics) -> Result<(), Error> {
    let mut asked = bus.subscribe_queue(subject::SYNC, "ingest").await?;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(delivery) = asked.next().await {
        let (bus, keys, room) = (bus.clone(), keys.clone(), Arc::clone(&room));
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let Ok(_room) = room.acquire().await else {
                return;
            };
            answer(&bus, &keys, &metrics, delivery).await;
        });
    }
    Ok(())
}

async fn answer(bus: &Bus, keys: &Keys, metrics: &Metrics, delivery: Delivery) {
    let Delivery { message, reply, .. } = delivery;
    let (Some(Parsed::Sync(lane)), Some(reply)) = (subject::parse(&message.subject), reply) else {
        tracing::warn!(
            subject = message.subject,
            "a sync request without a cluster or without a reply subject is ignored"
        );
        return;
    };
    if !lane.owns_inbox(&reply) {
        tracing::warn!(cluster = %lane.cluster, reply, "a sync request whose reply subject is not the cluster's own is ignored");
        return;
    }
    let key = keys.learn(&lane.cluster, &message.headers);
    let outcome = match codec::decode::<SyncAsk>(&message.payload, &message.headers) {
        Ok(SyncAsk::Body { digest }) => {
            metrics.syncs.count("body");
            send_body(bus, &lane, &digest, &reply).await
        }
        Ok(SyncAsk::Since {
            epoch,
            incarnation,
            n,
            sequence,
        }) => {
            metrics.syncs.count("since");
            let ask = SyncRequest {
                epoch,
                incarnation,
                n,
                sequence,
            };
            send_since(bus, keys, key.as_ref(), &lane, &ask, &reply).await
        }
        Ok(SyncAsk::Renew { jwt }) => {
            metrics.syncs.count("renew");
            let renewal = keys.renew(&lane, &jwt, key.as_ref());
            bus.answer(&reply, renewal).await
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        metrics.syncs.count("refused");
        tracing::warn!(cluster = %lane.cluster, %error, "a sync request is refused");
        let refused = SyncEnd {
            refused: error.to_string(),
            epoch: None,
            incarnation: String::new(),
            whole: false,
            upto: 0,
            sequence: 0,
            count: 0,
            digest: String::new(),
            renew: false,
        };
        if let Err(error) = send_end(bus, &reply, &refused).await {
            tracing::debug!(%error, "the refusal could not be sent either");
        }
    }
}

async fn send_since(
    bus: &Bus,
    keys: &Keys,
    key: Option<&WorkKey>,
    lane: &Lane,
    ask: &SyncRequest,
    reply: &str,
) -> Result<(), Error> {
    let stream = streams::work(lane.partition);
    let fence = match bus
        .newest_of(&stream, &subject::fence(lane.partition))
        .await?
    {
        Some(stored) => Some(event::read_fence(
            &stored.message.headers,
            &stored.message.payload,
        )?),
        None => None,
    };
    let later = |refusal: Refusal| Error::Unavailable(refusal.message);
    let reading = sync::reading(fence.as_ref(), ask).map_err(later)?;
    let Some(fence) = fence else {
        return Ok(());
    };
    let since = match reading {
        Reading::Whole => None,
        Reading::Behind(sequence) => Some(sequence + 1),
    };
    let newest = newest(bus, lane, &stream, since).await?;
    let mut counts = Vec::new();
    let mut summed = Vec::new();
    for mut stored in newest.messages {
        let Ok((_, _, stamp)) = event::work_stamp(&stored.message.headers) else {
            tracing::warn!(
                stream,
                sequence = stored.sequence,
                "a message in the work stream is no work"
            );
            continue;
        };
        if stamp.incarnation != fence.incarnation {
            continue;
        }
        let signed = keys.sign_again(bus, lane, key, &mut stored.message);
        signed.await?;
        counts.push(stamp.n);
        summed.extend_from_slice(format!("{}\n", stored.sequence).as_bytes());
        summed.extend_from_slice(&stored.message.payload);
        summed.push(b'\n');
        bus.publish(Message {
            subject: reply.to_owned(),
            headers: stored
                .message
                .headers
                .with(SEQUENCE, stored.sequence.to_string()),
            payload: stored.message.payload,
        })
        .await?;
    }
    let count = u64::try_from(counts.len()).unwrap_or(u64::MAX);
    let sync::End {
        whole,
        upto,
        sequence,
    } = sync::end(reading, ask, newest.upto, counts.into_iter()).map_err(later)?;
    tracing::debug!(cluster = %lane.cluster, since = ask.n, upto, count, whole, "answered a sync request");
    let end = SyncEnd {
        refused: String::new(),
        epoch: Some(fence.epoch),
        incarnation: fence.incarnation,
        whole,
        upto,
        sequence,
        count,
        digest: digest::short(&summed),
        renew: key.is_some_and(|key| keys.is_of_an_earlier_master(key)),
    };
    send_end(bus, reply, &end).await
}

/// The newest work of the cluster: all shards at once where they are few, else shard by shard up to one sequence.
async fn newest(
    bus: &Bus,
    lane: &Lane,
    stream: &str,
    since: Option<u64>,
) -> Result<read::Newest, Error> {
    let upto = bus.last_sequence(stream).await?;
    match bus.newest(stream, &[lane.works()], since, Some(upto)).await {
        Err(Error::Refused(_)) => {}
        outcome => return outcome,
    }
    let mut all = read::Newest {
        messages: Vec::new(),
        upto,
    };
    for shard in subject::shards() {
        all.messages.extend(
            bus.newest_of_all(stream, &lane.work_shard(shard), since, Some(upto))
                .await?
                .messages,
        );
    }
    all.messages.sort_by_key(|stored| stored.sequence);
    Ok(all)
}

/// Sends a large body, only if the cluster's work names it.
async fn send_body(bus: &Bus, lane: &Lane, digest: &str, reply: &str) -> Result<(), Error> {
    let work = newest(bus, lane, &streams::work(lane.partition), None).await?;
    if !work
        .messages
        .iter()
        .any(|stored| bodies::dataref(&stored.message) == Some(digest))
    {
        return Err(Error::Refused(format!(
            "no work of {} names the body {digest}",
            lane.cluster
        )));
    }
    let body = Message {
        subject: reply.to_owned(),
        headers: Headers::default(),
        payload: bus.body(digest).await?,
    };
    bus.answer(reply, body).await
}

async fn send_end(bus: &Bus, reply: &str, end: &SyncEnd) -> Result<(), Error> {
    let mut headers = Headers::default().with(PART, "end");
    let payload = codec::encode(end, &mut headers);
    bus.publish(Message {
        subject: reply.to_owned(),
        headers,
        payload,
    })
    .await
}
