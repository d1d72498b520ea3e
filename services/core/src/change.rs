//! One federated object declared or withdrawn, as handed in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::model::{Dialect, ObjectKey};
use crate::time::Time;

/// A change with its place in the object's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is about.
    pub object: ObjectKey,
    /// 1, 2, 3 … per object, also across withdrawal and re-creation.
    pub revision: u64,
    /// Who handed it in, and under which id.
    pub origin: Origin,
    /// When it was taken in.
    pub time: Time,
    /// What it says.
    pub content: Content,
}

/// Identifies a change for its publisher: a repeat of the same pair gets the first answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// CloudEvents `source`: the publisher.
    pub source: String,
    /// CloudEvents `id`: unique for that publisher.
    pub id: String,
}

/// What a change says; the body of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The object should be as the document says.
    Declared {
        /// The dialect that the document is written in.
        dialect: Dialect,
        /// The federated object, as handed in.
        document: Document,
    },
    /// The object should be nowhere.
    Withdrawn {
        /// Whether the members' copies stay, whatever `apply.onDelete` says.
        orphan: bool,
    },
}

impl Content {
    /// A digest of what it says: equal content, equal digest.
    pub fn digest(&self) -> String {
        match self {
            Self::Declared {
                dialect: _,
                document,
            } => crate::digest::of_bytes(document.as_bytes()),
            Self::Withdrawn { orphan } => crate::digest::of_bytes(if *orphan {
                b"withdrawn orphan"
            } else {
                b"withdrawn"
            }),
        }
    }
}
