//! Requests and their answers: submissions, sync, queries.

use fleetcast_core::Refusal;
use fleetcast_core::change::Together;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::intake::Receipt;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placement::Exclusion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to `fc.in.apply.<object>` and `fc.in.delete.<object>`, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Answer {
    /// It is in the log.
    Accepted(Accepted),
    /// It is not, and why.
    Refused {
        /// Which field of which document, and why.
        refusal: DocumentRefusal,
    },
}

/// The answer to `fc.in.sealing`, in JSON: what is to be sealed before it is handed in, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SealingAnswer {
    /// The hub's public key (xkey) that seals from now on; none where it has none.
    pub key: Option<String>,
    /// What is sealed beside the data of Secrets: `KIND[.GROUP]:/POINTER`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Whether the hub stores values in plain text; where it does not and has no key, it refuses what is to be sealed.
    #[serde(default)]
    pub plain: bool,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The object.
    pub object: ObjectKey,
    /// Its revision; 0 for a cluster, which has none.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Clusters that were asked for and will not get it as things are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Clusters that were asked for and will not get the object as things are, all for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// The clusters, the first [`Self::NAMED`] of them in the order of their names.
    pub clusters: Vec<ClusterName>,
    /// How many there are.
    pub count: usize,
    /// The rule.
    pub reason: Exclusion,
    /// The field, where one is refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The rule applied, for a person.
    pub message: String,
}

impl Warning {
    /// How many clusters are named: an answer fits into a message however large the fleet is.
    pub const NAMED: usize = 10;

    /// One more cluster, named after those that are there.
    pub fn join(&mut self, cluster: ClusterName) {
        self.count += 1;
        if self.clusters.len() < Self::NAMED {
            self.clusters.push(cluster);
        }
    }

    /// `eu-1, eu-2 and 3 more`.
    pub fn whom(&self) -> String {
        let names: Vec<&str> = self.clusters.iter().map(ClusterName::as_str).collect();
        match self.count.saturating_sub(names.len()) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// A refusal with the document that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentRefusal {
    /// The document's place in what was handed in, counted from 0.
    pub document: usize,
    /// The field.
    pub field: String,
    /// The reason.
    pub message: String,
}

impl Answer {
    /// Refuses the only document of a request.
    pub fn refused(refusal: Refusal) -> Self {
        let Refusal { field, message } = refusal;
        Self::Refused {
            refusal: DocumentRefusal {
                document: 0,
                field,
                message,
            },
        }
    }

    /// Accepts with a receipt.
    pub fn accepted(receipt: Receipt, warnings: Vec<Warning>) -> Self {
        let Receipt {
            object,
            revision,
            sequence,
        } = receipt;
        Self::Accepted(Accepted {
            object,
            revision,
            sequence,
            warnings,
        })
    }
}

/// The body of `fc.in.delete.<object>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawal {
    /// Whether the members' copies stay.
    #[serde(default)]
    pub orphan: bool,
    /// What else is withdrawn with it: where all of it is too much to go without a word, the first already waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
}

/// What an agent asks on `fc.sync.<p>.<cluster>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncAsk {
    /// The newest work per object since what it has.
    Since {
        /// Whose history it follows.
        epoch: Option<Epoch>,
        /// The making of the stream that it has read.
        incarnation: String,
        /// The count up to which it has read.
        n: u64,
        /// The stream sequence that stands for `n`.
        sequence: u64,
    },
    /// A large body that its work names.
    Body {
        /// The body's digest.
        digest: String,
    },
    /// Its credentials, renewed.
    Renew {
        /// The JWT of the user, as it is.
        jwt: String,
    },
}

/// The answer to [`SyncAsk::Renew`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Renewal {
    /// Why it is not renewed; empty where it is.
    #[serde(default)]
    pub refused: String,
    /// The new JWT, of the same user.
    #[serde(default)]
    pub jwt: String,
    /// The id of the new work key; empty where there is none.
    #[serde(default)]
    pub key: String,
    /// The new work key, wrapped with the one that the agent has.
    #[serde(default)]
    pub wrapped: String,
}

/// The header that says which part of an answer in several messages this one is.
pub const PART: &str = "fleetcast-part";
/// The header that carries a work item's stream sequence in a sync answer.
pub const SEQUENCE: &str = "fleetcast-sequence";

/// The last message of a sync answer: what came before it, and what that amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncEnd {
    /// Why there is no answer; empty where there is one.
    #[serde(default)]
    pub refused: String,
    /// Whose history the stream belongs to.
    pub epoch: Option<Epoch>,
    /// Which making of the stream it is.
    pub incarnation: String,
    /// Whether the answer is everything.
    pub whole: bool,
    /// The count up to which it is complete.
    pub upto: u64,
    /// The stream sequence that stands for `upto`.
    pub sequence: u64,
    /// How many items came before.
    pub count: u64,
    /// A digest over their sequences and payloads, in order.
    pub digest: String,
    /// Whether the agent is to renew its credentials now: its work key is of an earlier master.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renew: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_have_the_form_of_the_contract() {
        let object: ObjectKey = "Secret/shop/db".parse().expect("valid");
        let receipt = Receipt {
            object,
            revision: 2,
            sequence: 7,
        };
        assert_eq!(
            serde_json::to_value(Answer::accepted(receipt, Vec::new())).expect("serializes"),
            json!({"object": "Secret/shop/db", "revision": 2, "sequence": 7})
        );
        assert_eq!(
            serde_json::to_value(Answer::refused(Refusal::new("spec", "is required")))
                .expect("serializes"),
            json!({"refusal": {"document": 0, "field": "spec", "message": "is required"}})
        );
    }
}
