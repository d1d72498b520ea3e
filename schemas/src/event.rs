//! Events to and from messages: attributes in headers, the rest in the body.

use std::collections::BTreeMap;

use fleetcast_core::ack::{Batch, BatchBody, Seen};
use fleetcast_core::capacity::Capacity;
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::decision::{self, Decision, Place};
use fleetcast_core::dialect::policies;
use fleetcast_core::digest;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::log::{ClusterEvent, ClusterNews, Entry, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Fence;
use fleetcast_core::reconcile::Strays;
use fleetcast_core::time::Time;
use fleetcast_core::work::{self, Stamp, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::envelope::{
    CAUSATION, CORRELATION, DECISION, DECISION_EPOCH, DIGEST, DecodeError, EPOCH, Headers, ID,
    INCARNATION, KEY, MSG_ID, Message, N, OURS, REVISION, SOURCE, SPECVERSION, SUBJECT, TERM, TIME,
    TYPE, format_time, malformed,
};
use crate::subject::{self, Lane, Parsed};

/// A sign of life from a cluster's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The agent's version.
    pub version: String,
    /// The count of work that it has read up to.
    pub n: u64,
    /// How much of it is not done.
    pub open: u64,
    /// Whose history it follows; none before the first work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// How often the cluster's lease was taken, by this agent now and by others before: whose word counts where two agents speak for a cluster.
    #[serde(default)]
    pub transitions: u64,
    /// Why it cannot do its work; none where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How much room the cluster has, as it was measured last; none where nobody measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What is ours in the cluster and in nobody's work; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strays: Option<Strays>,
}

/// An agent is to go through all its work again; the message's id says which call it is, so that a repeat is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {}

/// A message that nobody could read, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Where it stood.
    pub subject: String,
    /// Its sequence there; 0 where it came live.
    pub sequence: u64,
    /// Why it could not be read.
    pub reason: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its payload, cut to 64 KiB, as bytes.
    pub payload: Vec<u8>,
}

/// The head of a base: the folded truth at a retention cut, whose parts stand right before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Base {
    /// The version of the form of its sections; raised when one changes so that an older build cannot read it.
    pub format: u32,
    /// The log sequence up to which it is folded: the cut.
    pub log: u64,
    /// A digest of the event there, so that a backup which ends at the cut is known to go on behind it.
    pub log_digest: String,
    /// The newest time in the log up to there.
    pub time: Time,
    /// The sequence up to which acknowledgements are folded, by partition.
    pub acks: BTreeMap<u16, u64>,
    /// When these were read: what was answered until then is known, but not when.
    pub answered_by: Time,
    /// Whose history the log told last, and over how many partitions acknowledgements are spread.
    pub beginning: Beginning,
    /// What it holds, in the order of the parts.
    pub sections: Vec<Section>,
}

/// One section of a base: MessagePack, compressed with zstd, cut into parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// `view`, `ingest`, `hub`, `audit` or `removals`.
    pub name: String,
    /// How many parts it has.
    pub parts: u64,
    /// How many bytes it has before compression.
    pub bytes: u64,
    /// The digest of its last part, which covers the digest of the part before, and so on.
    pub digest: String,
}

fn headers(event: &str, id: impl AsRef<str>, source: &str, subject: &str, time: Time) -> Headers {
    Headers::default()
        .with(SPECVERSION, "1.0")
        .with(TYPE, format!("dev.fleetcast.{event}.v1"))
        .with(ID, id)
        .with(SOURCE, source)
        .with(SUBJECT, subject)
        .with(TIME, format_time(time))
}

/// Says that `headers` are those of version 1 of `event`, the only one so far.
fn expect(headers: &Headers, event: &str) -> Result<(), DecodeError> {
    let (found, version) = headers.event()?;
    if found != event {
        return Err(DecodeError::UnknownType(headers.required(TYPE)?.to_owned()));
    }
    if version != 1 {
        return Err(DecodeError::NewerVersion {
            event: found.to_owned(),
            version,
            newest: 1,
        });
    }
    Ok(())
}

fn object(headers: &Headers) -> Result<ObjectKey, DecodeError> {
    let value = headers.required(SUBJECT)?;
    value.parse().map_err(|_| malformed(SUBJECT, value))
}

/// The object of an event, which its subject names as well.
fn object_of(message: &Message, of_subject: ObjectKey) -> Result<ObjectKey, DecodeError> {
    let value = message.headers.required(SUBJECT)?;
    // To write the text takes less than to read it.
    if value == of_subject.to_string() || object(&message.headers)? == of_subject {
        return Ok(of_subject);
    }
    Err(DecodeError::Subject(message.subject.clone()))
}

fn epoch(headers: &Headers) -> Result<Epoch, DecodeError> {
    read_epoch(EPOCH, headers.required(EPOCH)?)
}

fn read_epoch(header: &'static str, value: &str) -> Result<Epoch, DecodeError> {
    Epoch::try_from(value.to_owned()).map_err(|_| malformed(header, value))
}

/// A change as a message, of a policy as its own kind of event. Its message id is object, revision and content digest.
pub fn change(change: &Change) -> Message {
    let Change {
        object,
        revision,
        origin,
        time,
        content,
    } = change;
    let text = object.to_string();
    let digest = content.digest();
    let event = match policies::is_policy(object) {
        true => "policy",
        false => "change",
    };
    let mut headers = headers(event, origin.id.clone(), &origin.source, &text, *time)
        .with(REVISION, revision.to_string())
        .with(DIGEST, digest.clone())
        .with(
            MSG_ID,
            format!("{event} {} {revision} {digest}", object.digest()),
        );
    Message {
        subject: subject::change_of(object),
        payload: codec::encode(content, &mut headers),
        headers,
    }
}

/// A decision as a message. Its message id is object, decision and body digest.
pub fn decision(decision: &Decision) -> Message {
    let Decision {
        object,
        number,
        revision,
        epoch,
        term,
        time,
        causation,
        correlation,
        body,
    } = decision;
    let mut headers = headers(
        "decision",
        decision::id(object, epoch, *number),
        OURS,
        &object.to_string(),
        *time,
    )
    .with(REVISION, revision.to_string())
    .with(DECISION, number.to_string())
    .with(EPOCH, epoch.to_string())
    .with(TERM, term.to_string())
    .with(CAUSATION, causation)
    .with(CORRELATION, correlation);
    let payload = codec::encode(body, &mut headers);
    headers.set(
        MSG_ID,
        format!(
            "decision {} {number} {}",
            object.digest(),
            digest::short(&payload)
        ),
    );
    Message {
        subject: subject::decision(object),
        headers,
        payload,
    }
}

/// News about a cluster as a message.
pub fn cluster(event: &ClusterEvent) -> Message {
    let ClusterEvent {
        cluster,
        time,
        news,
    } = event;
    let mut headers = headers("cluster", "", OURS, cluster.as_str(), *time);
    let payload = codec::encode(news, &mut headers);
    let id = digest::short(
        format!(
            "cluster {cluster} {} {}",
            time.0,
            digest::of_bytes(&payload)
        )
        .as_bytes(),
    );
    headers.set(MSG_ID, id.clone());
    headers.set(ID, id);
    Message {
        subject: subject::cluster(cluster),
        headers,
        payload,
    }
}

/// The beginning of a hub's history as a message.
pub fn epoch_begins(beginning: &Beginning, time: Time) -> Message {
    let id = digest::short(format!("epoch {}", beginning.epoch).as_bytes());
    let mut headers = headers("epoch", id.clone(), OURS, "epoch", time)
        .with(EPOCH, beginning.epoch.to_string())
        .with(MSG_ID, id);
    Message {
        subject: subject::EPOCH.to_owned(),
        payload: codec::encode(beginning, &mut headers),
        headers,
    }
}

/// Reads an event of the log that stands at `sequence`.
///
/// # Errors
/// Where the message is none of the log's events or malformed.
pub fn log_entry(message: &Message, sequence: u64) -> Result<Entry, DecodeError> {
    let Message {
        subject,
        headers,
        payload,
    } = message;
    let parsed = subject::parse(subject).ok_or_else(|| DecodeError::Subject(subject.clone()))?;
    let wrong_subject = || DecodeError::Subject(subject.clone());
    let event = match parsed {
        Parsed::Change(of_subject) => Event::Change(read_change("change", message, of_subject)?),
        Parsed::Policy(of_subject) => Event::Policy(read_change("policy", message, of_subject)?),
        Parsed::Decision(of_subject) => {
            expect(headers, "decision")?;
            Event::Decision(Decision {
                object: object_of(message, of_subject)?,
                number: headers.parsed(DECISION)?,
                revision: headers.parsed(REVISION)?,
                epoch: epoch(headers)?,
                term: headers.parsed(TERM)?,
                time: headers.time()?,
                causation: headers.required(CAUSATION)?.to_owned(),
                correlation: headers.required(CORRELATION)?.to_owned(),
                body: codec::decode::<decision::Body>(payload, headers)?,
            })
        }
        Parsed::Cluster(cluster) => {
            expect(headers, "cluster")?;
            Event::Cluster(ClusterEvent {
                cluster,
                time: headers.time()?,
                news: codec::decode::<ClusterNews>(payload, headers)?,
            })
        }
        Parsed::Epoch => {
            expect(headers, "epoch")?;
            Event::Epoch(codec::decode::<Beginning>(payload, headers)?)
        }
        Parsed::Work(..)
        | Parsed::Fence(_)
        | Parsed::Ack(_)
        | Parsed::Heartbeat(_)
        | Parsed::Sync(_)
        | Parsed::Seen(_)
        | Parsed::Replay(_)
        | Parsed::Apply(_)
        | Parsed::Delete(_)
        | Parsed::Query(..) => return Err(wrong_subject()),
    };
    Ok(Entry {
        sequence,
        id: headers.required(ID)?.to_owned(),
        event,
    })
}

/// Reads a change of the `event` whose subject names `of_subject`.
fn read_change(
    event: &str,
    message: &Message,
    of_subject: ObjectKey,
) -> Result<Change, DecodeError> {
    let headers = &message.headers;
    expect(headers, event)?;
    Ok(Change {
        object: object_of(message, of_subject)?,
        revision: headers.parsed(REVISION)?,
        origin: Origin {
            source: headers.required(SOURCE)?.to_owned(),
            id: headers.required(ID)?.to_owned(),
        },
        time: headers.time()?,
        content: codec::decode::<Content>(&message.payload, headers)?,
    })
}

/// An item of work as a message.
pub fn work(work: &Work, partition: u16) -> Message {
    let Work {
        cluster,
        object,
        revision,
        decision,
        decision_epoch,
        digest,
        stamp:
            Stamp {
                epoch,
                term,
                incarnation,
                n,
            },
        time,
        causation,
        correlation,
        body,
    } = work;
    let id = work::id(object, cluster, decision_epoch, *decision);
    let mut headers = headers("work", id, OURS, &object.to_string(), *time)
        .with(REVISION, revision.to_string())
        .with(DECISION, decision.to_string())
        .with(EPOCH, epoch.to_string())
        .with(TERM, term.to_string())
        .with(INCARNATION, incarnation)
        .with(N, n.to_string())
        .with(CAUSATION, causation)
        .with(CORRELATION, correlation);
    if decision_epoch != epoch {
        headers.set(DECISION_EPOCH, decision_epoch.to_string());
    }
    if let Some(digest) = digest {
        headers.set(DIGEST, digest);
    }
    let lane = Lane {
        partition,
        cluster: cluster.clone(),
    };
    Message {
        subject: lane.work(object),
        payload: codec::encode(body, &mut headers),
        headers,
    }
}

/// The attributes of an item of work, without its body: what it is about, which decision it carries out, who wrote it.
///
/// # Errors
/// Where the headers are not those of work.
pub fn work_stamp(headers: &Headers) -> Result<(ObjectKey, Place, Stamp), DecodeError> {
    expect(headers, "work")?;
    let stamp = Stamp {
        epoch: epoch(headers)?,
        term: headers.parsed(TERM)?,
        incarnation: headers.required(INCARNATION)?.to_owned(),
        n: headers.parsed(N)?,
    };
    let place = Place {
        epoch: match headers.get(DECISION_EPOCH) {
            Some(value) => read_epoch(DECISION_EPOCH, value)?,
            None => stamp.epoch.clone(),
        },
        number: headers.parsed(DECISION)?,
    };
    Ok((object(headers)?, place, stamp))
}

/// The public key to which values in a message are sealed; none where none are.
pub fn recipient(headers: &Headers) -> Option<&str> {
    let (_, recipient) = headers.get(KEY)?.split_once(' ')?;
    Some(recipient)
}

/// Reads an item of `cluster`'s work; the subject does not matter, since it may come to an inbox.
///
/// # Errors
/// Where the message is no work or malformed.
pub fn read_work(
    cluster: &ClusterName,
    headers: &Headers,
    payload: &[u8],
) -> Result<Work, DecodeError> {
    let (object, place, stamp) = work_stamp(headers)?;
    Ok(Work {
        cluster: cluster.clone(),
        object,
        revision: headers.parsed(REVISION)?,
        decision: place.number,
        decision_epoch: place.epoch,
        digest: headers.get(DIGEST).map(str::to_owned),
        stamp,
        time: headers.time()?,
        causation: headers.required(CAUSATION)?.to_owned(),
        correlation: headers.required(CORRELATION)?.to_owned(),
        body: codec::decode::<work::Body>(payload, headers)?,
    })
}

/// A fence as a message.
pub fn fence(fence: &Fence, partition: u16, time: Time) -> Message {
    let id = digest::short(
        format!(
            "fence {partition} {} {} {}",
            fence.epoch, fence.term, fence.incarnation
        )
        .as_bytes(),
    );
    let mut headers = headers(
        "fence",
        id,
        OURS,
        &subject::partition_token(partition),
        time,
    );
    Message {
        subject: subject::fence(partition),
        payload: codec::encode(fence, &mut headers),
        headers,
    }
}

/// Reads a fence.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_fence(headers: &Headers, payload: &[u8]) -> Result<Fence, DecodeError> {
    expect(headers, "fence")?;
    codec::decode(payload, headers)
}

/// A batch of acknowledgements as a message. It has no message id: agents share a stream, and one could shadow another's.
pub fn acks(batch: &Batch, lane: &Lane, time: Time) -> Message {
    let last = batch
        .body
        .acks
        .last()
        .map_or(batch.body.after, |ack| ack.count);
    let id = digest::short(
        format!("ack {} {} {last}", batch.cluster, batch.body.transitions).as_bytes(),
    );
    let mut headers = headers(
        "ack",
        id,
        &format!("{OURS}/agent/{}", batch.cluster),
        batch.cluster.as_str(),
        time,
    );
    Message {
        subject: lane.ack(),
        payload: codec::encode(&batch.body, &mut headers),
        headers,
    }
}

/// Reads a batch of acknowledgements: whose it is, the subject says, since only that is checked by the server.
///
/// # Errors
/// Where the message is none or malformed, or its acknowledgements are not in order.
pub fn read_acks(message: &Message) -> Result<(u16, Batch), DecodeError> {
    let Some(Parsed::Ack(lane)) = subject::parse(&message.subject) else {
        return Err(DecodeError::Subject(message.subject.clone()));
    };
    expect(&message.headers, "ack")?;
    let body: BatchBody = codec::decode(&message.payload, &message.headers)?;
    let in_order = body
        .acks
        .windows(2)
        .all(|pair| pair[0].count < pair[1].count);
    if !in_order
        || body
            .acks
            .first()
            .is_some_and(|first| first.count <= body.after)
    {
        return Err(DecodeError::Body(
            "acknowledgements are not in the order of their counts".to_owned(),
        ));
    }
    Ok((
        lane.partition,
        Batch {
            cluster: lane.cluster,
            body,
        },
    ))
}

/// One part of a section of a base as a message: a piece of a file, and no event. `before` is the digest of the part before it in its section, empty for
/// the first. Returns its own digest, too.
pub fn base_part(before: &str, payload: Vec<u8>) -> (String, Message) {
    let digest = base_part_digest(before, &payload);
    let message = Message {
        subject: subject::BASE_PART.to_owned(),
        headers: Headers::default().with(DIGEST, digest.clone()),
        payload,
    };
    (digest, message)
}

/// The digest of a part behind the part with the digest `before`.
pub fn base_part_digest(before: &str, payload: &[u8]) -> String {
    digest::of_bytes(format!("{before}\n{}", digest::of_bytes(payload)).as_bytes())
}

/// The head of a base as a message.
pub fn base(base: &Base, time: Time) -> Message {
    let sections = base.sections.iter().map(|section| section.digest.as_str());
    let content = sections.collect::<Vec<_>>().join(" ");
    let id = digest::short(format!("base {} {content}", base.log).as_bytes());
    let mut headers = headers("base", id.clone(), OURS, "base", time).with(MSG_ID, id);
    Message {
        subject: subject::BASE_HEAD.to_owned(),
        payload: codec::encode(base, &mut headers),
        headers,
    }
}

/// Reads the head of a base.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_base(headers: &Headers, payload: &[u8]) -> Result<Base, DecodeError> {
    expect(headers, "base")?;
    codec::decode(payload, headers)
}

/// A heartbeat as a message.
pub fn heartbeat(heartbeat: &Heartbeat, lane: &Lane, time: Time) -> Message {
    let id = digest::short(format!("heartbeat {} {}", lane.cluster, time.0).as_bytes());
    let mut headers = headers(
        "heartbeat",
        id,
        &format!("{OURS}/agent/{}", lane.cluster),
        lane.cluster.as_str(),
        time,
    );
    Message {
        subject: lane.heartbeat(),
        payload: codec::encode(heartbeat, &mut headers),
        headers,
    }
}

/// Reads a heartbeat.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_heartbeat(headers: &Headers, payload: &[u8]) -> Result<Heartbeat, DecodeError> {
    expect(headers, "heartbeat")?;
    codec::decode(payload, headers)
}

/// A confirmation as a message.
pub fn seen(seen: Seen, lane: &Lane, time: Time) -> Message {
    let id = digest::short(
        format!("seen {} {} {}", lane.cluster, seen.transitions, seen.count).as_bytes(),
    );
    let mut headers = headers("seen", id, OURS, lane.cluster.as_str(), time);
    Message {
        subject: lane.seen(),
        payload: codec::encode(&seen, &mut headers),
        headers,
    }
}

/// Reads a confirmation.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_seen(headers: &Headers, payload: &[u8]) -> Result<Seen, DecodeError> {
    expect(headers, "seen")?;
    codec::decode(payload, headers)
}

/// A call to go through all work again as a message, under an id of its own.
pub fn replay(id: String, lane: &Lane, time: Time) -> Message {
    let mut headers = headers("replay", id, OURS, lane.cluster.as_str(), time);
    Message {
        subject: lane.replay(),
        payload: codec::encode(&Replay {}, &mut headers),
        headers,
    }
}

/// Reads a call to go through all work again: its id.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_replay(headers: &Headers, payload: &[u8]) -> Result<String, DecodeError> {
    expect(headers, "replay")?;
    let Replay {} = codec::decode(payload, headers)?;
    Ok(headers.required(ID)?.to_owned())
}

/// A dead letter as a message: `service` could not read what stood at `letter.subject`.
pub fn dead(letter: &DeadLetter, service: &str, time: Time) -> Message {
    let id =
        digest::short(format!("dead {service} {} {}", letter.subject, letter.sequence).as_bytes());
    let mut headers = headers(
        "dead",
        id.clone(),
        &format!("{OURS}/{service}"),
        &letter.subject,
        time,
    );
    if letter.sequence > 0 {
        headers.set(MSG_ID, id);
    }
    Message {
        subject: subject::dead(service, &letter.subject),
        payload: codec::encode(letter, &mut headers),
        headers,
    }
}

/// Reads a dead letter.
///
/// # Errors
/// Where the message is none or malformed.
pub fn read_dead(headers: &Headers, payload: &[u8]) -> Result<DeadLetter, DecodeError> {
    expect(headers, "dead")?;
    codec::decode(payload, headers)
}
