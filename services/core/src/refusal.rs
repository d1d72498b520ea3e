//! A decision's no: which field, and why.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says no to a document, naming the field. It is an answer, not an error: repeating the same input gets the same refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The field as a path from the document's root: `spec.overrides[0].patches[1].path`; empty for the document as a whole.
    pub field: String,
    /// What is wrong with it and what would be right, for a person.
    pub message: String,
}

impl Refusal {
    /// Refuses `field` because of `message`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl std::error::Error for Refusal {}
