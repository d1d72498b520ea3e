//! One federated object declared or withdrawn, as handed in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;
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
        /// What else is withdrawn with it, as who handed it in announced; none where he announced nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        together: Option<Together>,
    },
}

/// Withdrawals that belong together, announced with each of them: where all of them are too many to go without a word, the first of them waits already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Together {
    /// What they have in common, the same for all of them and for no others of this publisher; at most 128 bytes.
    pub id: String,
    /// How many objects are withdrawn.
    pub objects: u64,
    /// How many of them are in the namespace of this one, or in none as this one.
    pub in_namespace: u64,
}

impl Together {
    /// The longest id, bytes: it is kept with each of its changes.
    const ID_LIMIT: usize = 128;

    /// Looks whether it can be so.
    ///
    /// # Errors
    /// A refusal that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        let Self {
            id,
            objects,
            in_namespace,
        } = self;
        if id.is_empty() || id.len() > Self::ID_LIMIT {
            let limit = Self::ID_LIMIT;
            return Err(Refusal::new(
                "together.id",
                format!("has 1 to {limit} bytes"),
            ));
        }
        if *in_namespace > *objects {
            let message = "is more than the objects in all namespaces together";
            return Err(Refusal::new("together.in_namespace", message));
        }
        Ok(())
    }
}

impl Content {
    /// The object should be nowhere; nothing is announced beside it.
    pub fn withdrawn(orphan: bool) -> Self {
        Self::Withdrawn {
            orphan,
            together: None,
        }
    }

    /// A digest of what it says: equal content, equal digest.
    pub fn digest(&self) -> String {
        match self {
            Self::Declared {
                dialect: _,
                document,
            } => crate::digest::of_bytes(document.as_bytes()),
            Self::Withdrawn {
                orphan,
                together: _,
            } => crate::digest::of_bytes(if *orphan {
                b"withdrawn orphan"
            } else {
                b"withdrawn"
            }),
        }
    }
}
