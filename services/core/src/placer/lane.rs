//! One partition's work stream as its only writer knows it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::epoch::Epoch;
use crate::model::ClusterName;

/// A partition's work stream: what the next write expects, and the count of each cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Which making of the stream it is.
    pub incarnation: String,
    /// The sequence of its last message.
    pub sequence: u64,
    /// The highest `n` written, by cluster.
    pub counts: BTreeMap<ClusterName, u64>,
    /// The last sequence that was read instead of written: what stood up to there may be gone, and its `n` with it.
    #[serde(default)]
    pub floor: u64,
    /// Whether its work is still being written anew.
    pub rebuilding: bool,
}

/// The first message of a term in a partition's work stream: nobody who led before can write behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// Whose history it belongs to.
    pub epoch: Epoch,
    /// The term that begins.
    pub term: u64,
    /// The making of the stream.
    pub incarnation: String,
    /// Whether all work stands before it; else it is still being written anew and no sync is answered.
    pub complete: bool,
}

/// The newest work about an object in the stream of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The decision that it carries out.
    pub decision: u64,
    /// Its sequence.
    pub sequence: u64,
    /// FNV-1a-64 of the key to which its values are sealed; 0 where none are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub key: u64,
}

// By reference, as serde calls it.
fn is_zero(key: &u64) -> bool {
    *key == 0
}

impl Found {
    /// What stands for the key that values are sealed to.
    pub fn key_of(key: Option<&str>) -> u64 {
        key.map_or(0, |key| digest::fnv1a64(key.as_bytes()))
    }
}

impl Lane {
    /// A stream whose last message has `sequence`.
    pub fn new(incarnation: String, sequence: u64) -> Self {
        Self {
            incarnation,
            sequence,
            counts: BTreeMap::new(),
            floor: 0,
            rebuilding: false,
        }
    }

    /// Whether a stream that ends at `last` behind `fence` is proven to hold what is known of it: same history, same incarnation, complete,
    /// not shorter. Else it is written anew under a new incarnation.
    pub fn goes_on(&self, epoch: &Epoch, fence: &Fence, last: u64) -> bool {
        fence.complete
            && fence.epoch == *epoch
            && fence.incarnation == self.incarnation
            && last >= self.sequence
    }

    /// Counts one more message: the sequence that it expects before it.
    pub(super) fn advance(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    /// Counts one more message, for `cluster`: its `n`, and the sequence that it expects before it.
    pub(super) fn next(&mut self, cluster: &ClusterName) -> (u64, u64) {
        let expected = self.advance();
        let count = self.counts.entry(cluster.clone()).or_default();
        // No `n` is greater than its sequence, so none behind the floor was used before; the agent takes the jump for a gap and asks.
        *count = (*count).max(self.floor) + 1;
        (*count, expected)
    }
}
