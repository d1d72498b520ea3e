//! The list of everything that travels, with its JSON Schemas and its frozen samples.
//!
//! `schemas/json/<event>.v<N>.json` is generated from the types here; `schemas/samples/<event>.v<N>/` is written once and never changed.

use fleetcast_core::ack::{BatchBody, Seen};
use fleetcast_core::change::Content;
use fleetcast_core::decision;
use fleetcast_core::epoch::Beginning;
use fleetcast_core::log::ClusterNews;
use fleetcast_core::work;
use schemars::{JsonSchema, Schema, schema_for};

use fleetcast_core::placer::Fence;

use crate::event::{Base, DeadLetter, Heartbeat, Replay};
use crate::request::{Answer, SyncAsk, SyncEnd, Withdrawal};

/// One version of one event or request.
pub struct Entry {
    /// `change`, `decision`, …
    pub name: &'static str,
    /// The schema version.
    pub version: u32,
    /// One sentence on what it says.
    pub summary: &'static str,
    /// Where it travels.
    pub subject: &'static str,
    /// The JSON Schema of its body.
    pub schema: fn() -> Schema,
    /// Whether it is an event, with headers and frozen samples; else a request's or an answer's body.
    pub is_event: bool,
}

fn schema<T: JsonSchema>() -> Schema {
    schema_for!(T)
}

/// Everything that travels.
pub const ENTRIES: &[Entry] = &[
    event(
        "change",
        "An object was declared or withdrawn.",
        "fc.log.change.<object>",
        schema::<Content>,
    ),
    event(
        "policy",
        "A policy was declared or withdrawn.",
        "fc.log.policy.<object>",
        schema::<Content>,
    ),
    event(
        "decision",
        "A placement was decided: the difference to the decision before.",
        "fc.log.decision.<object>",
        schema::<decision::Body>,
    ),
    event(
        "cluster",
        "Something became known about a cluster.",
        "fc.log.cluster.<cluster>",
        schema::<ClusterNews>,
    ),
    event(
        "epoch",
        "A hub's history began.",
        "fc.log.epoch",
        schema::<Beginning>,
    ),
    event(
        "work",
        "A cluster should hold a manifest, or hold it no longer.",
        "fc.work.<p>.<cluster>.<shard>.<digest>",
        schema::<work::Body>,
    ),
    event(
        "fence",
        "A placer's term began.",
        "fc.work.<p>._._._",
        schema::<Fence>,
    ),
    event(
        "ack",
        "A cluster answered about decisions.",
        "fc.ack.<p>.<cluster>",
        schema::<BatchBody>,
    ),
    event(
        "heartbeat",
        "A cluster's agent lives.",
        "fc.heartbeat.<p>.<cluster>",
        schema::<Heartbeat>,
    ),
    event(
        "seen",
        "Acknowledgements were folded.",
        "fc.seen.<p>.<cluster>",
        schema::<Seen>,
    ),
    event(
        "replay",
        "An agent is to go through all its work again.",
        "fc.live.<p>.<cluster>.replay",
        schema::<Replay>,
    ),
    event(
        "base",
        "The folded truth at a retention cut stands in the parts before this.",
        "fc.base.head",
        schema::<Base>,
    ),
    event(
        "dead",
        "A message could not be read.",
        "fc.dead.<service>.<…>",
        schema::<DeadLetter>,
    ),
    request(
        "answer",
        "The answer to a submission.",
        "reply of fc.in.>",
        schema::<Answer>,
    ),
    request(
        "withdrawal",
        "The body of a withdrawal.",
        "fc.in.delete.<object>",
        schema::<Withdrawal>,
    ),
    request(
        "sync-ask",
        "What an agent lacks.",
        "fc.sync.<p>.<cluster>",
        schema::<SyncAsk>,
    ),
    request(
        "sync-end",
        "The last message of a sync answer.",
        "_IN.<cluster>.…",
        schema::<SyncEnd>,
    ),
];

const fn event(
    name: &'static str,
    summary: &'static str,
    subject: &'static str,
    schema: fn() -> Schema,
) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        subject,
        schema,
        is_event: true,
    }
}

const fn request(
    name: &'static str,
    summary: &'static str,
    subject: &'static str,
    schema: fn() -> Schema,
) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        subject,
        schema,
        is_event: false,
    }
}

impl Entry {
    /// `change.v1`.
    pub fn title(&self) -> String {
        format!("{}.v{}", self.name, self.version)
    }
}
