//! Acknowledgements that are not confirmed yet: the newest per object, sent in order, repeated until they are.

use std::collections::BTreeMap;

use crate::ack::{Ack, BatchBody, HELD_LIMIT, Seen};
use crate::model::ObjectKey;
use crate::time::Time;

/// How many acknowledgements go into one message.
const BATCH: usize = 256;
/// How long acknowledgements gather while more work is running.
const GATHER_MS: i64 = 50;
/// How long acknowledgements gather while those sent before are not confirmed: where the bus or the aggregator has more to do than it can, each agent sends
/// few messages instead of many small ones.
const UNCONFIRMED_MS: i64 = 1_000;
/// The first pause before what is unconfirmed is sent again; doubled each time up to [`RESEND_MAX_MS`].
const RESEND_MS: i64 = 2_000;
/// The longest pause before what is unconfirmed is sent again.
const RESEND_MAX_MS: i64 = 60_000;

/// Acknowledgements that are not confirmed yet.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    transitions: u64,
    /// The count given last.
    count: u64,
    confirmed: u64,
    sent: u64,
    acks: BTreeMap<u64, Ack>,
    by_object: BTreeMap<ObjectKey, u64>,
    sent_at: Time,
    resend_at: Time,
    pause_ms: i64,
}

impl Outbox {
    pub(super) fn new(transitions: u64) -> Self {
        Self {
            transitions,
            count: 0,
            confirmed: 0,
            sent: 0,
            acks: BTreeMap::new(),
            by_object: BTreeMap::new(),
            sent_at: Time::default(),
            resend_at: Time::default(),
            pause_ms: RESEND_MS,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty()
    }

    /// Whether the next message has room for more than what waits for it.
    pub(super) fn has_room(&self) -> bool {
        self.acks.range(self.sent + 1..).nth(BATCH - 1).is_none()
    }

    /// Gives `ack` the next count; it takes the place of an older one about the same object.
    pub(super) fn push(&mut self, ack: Ack) {
        self.count += 1;
        if let Some(older) = self.by_object.insert(ack.object.clone(), self.count) {
            self.acks.remove(&older);
        }
        self.acks.insert(
            self.count,
            Ack {
                count: self.count,
                ..ack
            },
        );
    }

    /// What is to be sent now: at once when nothing else runs and all before it is confirmed, gathered otherwise.
    pub(super) fn next_batch(&mut self, busy: bool, now: Time) -> Option<BatchBody> {
        if !self.acks.is_empty() && self.sent >= self.count && now >= self.resend_at {
            self.sent = self.confirmed;
            self.pause_ms = (self.pause_ms * 2).min(RESEND_MAX_MS);
        }
        let unsent = self.acks.range(self.sent + 1..);
        let enough = unsent.clone().nth(BATCH - 1).is_some();
        let gathers_for = match (self.sent > self.confirmed, busy) {
            (true, _) => UNCONFIRMED_MS,
            (false, true) => GATHER_MS,
            (false, false) => 0,
        };
        if !enough && now.ms_since(self.sent_at) < gathers_for {
            return None;
        }
        // Manifests that are told are large: at most as much of them goes into one message as one may have.
        let mut held = 0;
        let fits = |(_, ack): &(&u64, &Ack)| {
            held += ack.held.as_ref().map_or(0, |held| held.as_bytes().len());
            held <= HELD_LIMIT
        };
        let acks: Vec<Ack> = unsent
            .take(BATCH)
            .take_while(fits)
            .map(|(_, ack)| ack.clone())
            .collect();
        let last = acks.last()?.count;
        let after = std::mem::replace(&mut self.sent, last);
        self.sent_at = now;
        if after <= self.confirmed {
            // The oldest unconfirmed one counts: later ones do not put its repetition off.
            self.resend_at = now.plus_ms(self.pause_ms);
        }
        Some(BatchBody {
            transitions: self.transitions,
            confirmed: self.confirmed,
            after,
            acks,
        })
    }

    /// Takes a confirmation: the objects whose newest answer is confirmed.
    pub(super) fn seen(&mut self, seen: Seen, now: Time) -> Vec<ObjectKey> {
        if seen.transitions != self.transitions || seen.count <= self.confirmed {
            return Vec::new();
        }
        self.confirmed = seen.count.min(self.count);
        self.pause_ms = RESEND_MS;
        self.resend_at = now.plus_ms(RESEND_MS);
        let rest = self.acks.split_off(&(self.confirmed + 1));
        let confirmed = std::mem::replace(&mut self.acks, rest);
        confirmed
            .into_values()
            .map(|ack| {
                self.by_object.remove(&ack.object);
                ack.object
            })
            .collect()
    }

    /// The connection is new: what is unconfirmed is sent at once.
    pub(super) fn resend(&mut self, now: Time) {
        self.sent = self.confirmed;
        self.pause_ms = RESEND_MS;
        self.resend_at = now;
    }
}
