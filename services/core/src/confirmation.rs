//! What somebody says about removals that wait: a document among the policies, under the id that they wait with.
//!
//! ```yaml
//! apiVersion: fleetcast.dev/v1alpha1
//! kind: Confirmation
//! metadata: {name: 3f9c21aa}
//! spec: {ruling: remove, upTo: 4711}      # or: keep; the log sequence up to which its author has seen what waits
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Refusal;
use crate::field::Field;
use crate::model::{API_VERSION, ObjectKey};

const KIND: &str = "Confirmation";
const GROUP: &str = "fleetcast.dev";

/// What somebody says about removals that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// Which.
    pub id: String,
    /// The log sequence up to which its author has seen what waits: what was held later goes on waiting.
    pub upto: u64,
    /// What is to become of them.
    pub ruling: Ruling,
}

/// What is to become of copies whose removal waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// They go.
    Remove,
    /// They stay, without our marks.
    Keep,
}

impl Confirmation {
    /// Whether `document` is one, as far as it says.
    pub fn is_one(document: &Value) -> bool {
        document["apiVersion"] == API_VERSION && document["kind"] == KIND
    }

    /// Whether `key` is a confirmation's.
    pub fn is_key(key: &ObjectKey) -> bool {
        (key.kind(), key.group()) == (KIND, GROUP)
    }

    /// The key that it stands under in the log.
    ///
    /// # Errors
    /// A refusal where `id` is no name.
    pub fn key(id: &str) -> Result<ObjectKey, Refusal> {
        ObjectKey::new(KIND, GROUP, None, id)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// A refusal that names the field.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let spec = root.get("spec");
        let ruling = spec.get("ruling");
        let upto = spec.get("upTo");
        let sequence = upto.optional_integer()?;
        let sequence = sequence.and_then(|sequence| u64::try_from(sequence).ok());
        Ok(Self {
            id: root.get("metadata").get("name").string()?.to_owned(),
            upto: sequence.ok_or_else(|| upto.refuse("must be a sequence of the log"))?,
            ruling: match ruling.string()? {
                "remove" => Ruling::Remove,
                "keep" => Ruling::Keep,
                other => return Err(ruling.refuse(format!("{other:?} is none of remove, keep"))),
            },
        })
    }

    /// The document that says so.
    pub fn document(&self) -> Value {
        let Self { id, upto, ruling } = self;
        json!({
            "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": id}, "spec": {"ruling": ruling, "upTo": upto},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_read_as_it_is_written() {
        for ruling in [Ruling::Remove, Ruling::Keep] {
            let confirmation = Confirmation {
                id: "3f9c21aa".to_owned(),
                upto: 4_711,
                ruling,
            };
            let document = confirmation.document();
            assert!(Confirmation::is_one(&document));
            assert_eq!(Confirmation::read(&document), Ok(confirmation));
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_field() {
        for (spec, field) in [
            (json!({"ruling": "remove"}), "spec.upTo"),
            (json!({"ruling": "remove", "upTo": -1}), "spec.upTo"),
            (json!({"ruling": "delete", "upTo": 1}), "spec.ruling"),
            (json!({"upTo": 1}), "spec.ruling"),
        ] {
            let document = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": spec});
            assert_eq!(
                Confirmation::read(&document).expect_err("refused").field,
                field,
                "{document}"
            );
        }
    }
}
