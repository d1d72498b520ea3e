//! What the machine of an agent is told, and what it asks for.

use super::{Memory, SyncAnswer, SyncRequest};
use crate::ack::{BatchBody, Observed, Outcome, Seen};
use crate::document::Document;
use crate::model::ObjectKey;
use crate::work::Work;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The bus can be reached (again), and live work is subscribed to.
    Connected,
    /// The bus cannot be reached.
    Disconnected,
    /// Work came live, from the given stream sequence.
    Live(u64, Box<Work>),
    /// A sync request was answered.
    Synced(SyncAnswer),
    /// A sync request failed: no answer, a refusal, or an answer with something missing.
    SyncFailed,
    /// An attempt at an object's work ended.
    Done {
        /// The object.
        object: ObjectKey,
        /// The decision that was carried out.
        decision: u64,
        /// How it ended.
        outcome: Outcome,
        /// The reason; empty where all is well.
        message: String,
        /// The copy as it was seen last; none where it was not.
        sight: Option<Sight>,
        /// What the cluster holds where that is ahead, as far as it is told.
        held: Option<Document>,
        /// How long the pause before the next attempt is, where there is one.
        pause: Pause,
    },
    /// A watch shows a copy, or that it is gone.
    Observed {
        /// The object.
        object: ObjectKey,
        /// What is seen.
        sight: Sight,
    },
    /// A watch shows a copy that is ours and in nobody's work.
    Stray(ObjectKey),
    /// The watch of one kind goes on in another way.
    Watch(WatchedKind, WatchNews),
    /// Work that a local copy holds: what the cluster was last told to hold, taken up again before anybody on the bus can say so.
    Recalled(Vec<Work>),
    /// The aggregator confirmed acknowledgements.
    Seen(Seen),
    /// All work is to be gone through again, whatever was done.
    Replay,
    /// Time passed.
    Tick,
}

/// How long the pause before the next attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// As long as we find right.
    #[default]
    Ours,
    /// At least so many milliseconds: the cluster asked for it.
    AtLeast(i64),
    /// At most so many milliseconds: what it waits for may come at any time.
    AtMost(i64),
}

/// A cluster's copy as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its resource version as a number, so that an older sight never counts; 0 where it is none.
    pub version: u64,
    /// What stands there; none where nothing of ours does.
    pub copy: Option<Copied>,
}

/// A copy that carries our marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest in its marks; none where somebody took it away.
    pub digest: Option<String>,
    /// How it does, what somebody else changed in it, its status.
    pub observed: Observed,
    /// Fields that the server did not record as ours although we had just stated them: they are never drift.
    pub unstated: Vec<String>,
}

/// A kind that is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedKind {
    /// Its group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl WatchedKind {
    /// The kind of `object`.
    pub fn of(object: &ObjectKey) -> Self {
        Self {
            group: object.group().to_owned(),
            kind: object.kind().to_owned(),
        }
    }
}

/// What happened to the watch of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchNews {
    /// All copies are being shown anew.
    Begins,
    /// All copies that are there were shown.
    Complete,
    /// It does not work, for this reason; it is tried again.
    Fails(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask for what is missing.
    Sync(SyncRequest),
    /// Carry out work in the cluster.
    Do(Box<Work>),
    /// Look again at work that was carried out, and put right what is not as it should be.
    Check(Box<Work>),
    /// Watch the kind that this work is about.
    Watch(Box<Work>),
    /// Watch it no longer.
    Unwatch(WatchedKind),
    /// Publish acknowledgements.
    Publish(BatchBody),
    /// Keep this in the cluster, behind all that is to be kept locally.
    Remember(Memory),
    /// Keep this work locally in place of older work for its object.
    Keep(Box<Work>),
    /// Keep nothing locally for this object any more.
    Drop(ObjectKey),
    /// Say that the agent lives.
    Heartbeat,
    /// Tell the operator: work of somebody who must not write any more was refused.
    Fenced(String),
}
