//! Seals the values of a document where it comes in.

use std::sync::Arc;

use fleetcast_core::Refusal;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::sealed;
use serde_json::Value;

use crate::fields::{self, Rule};
use crate::keys::Keys;

/// What a service does with values that are to be sealed.
#[derive(Debug, Clone)]
pub enum Sealing {
    /// It seals them with these keys.
    With(Arc<Sealer>),
    /// It has no keys, and refuses documents that have such values.
    Refused,
    /// They are stored as they come: somebody asked for that.
    Plain,
}

/// Keys, and what is sealed with them.
#[derive(Debug)]
pub struct Sealer {
    keys: Keys,
    rules: Vec<Rule>,
}

impl Sealer {
    /// Seals the data of Secrets, and what `rules` name, with `keys`.
    pub fn new(keys: Keys, rules: Vec<Rule>) -> Self {
        let mut all = Rule::of_secrets();
        all.extend(rules);
        Self { keys, rules: all }
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What is sealed.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn seal(&self, index: usize, value: &mut Value, owner: &ObjectKey) -> Result<(), Refusal> {
        let no = |message: String| Refusal::new("", message);
        if let Value::String(text) = value {
            not_shown(text)?;
            if text.starts_with(sealed::MARK) {
                // Of an older revision, say: opened, so that it belongs here and is sealed by the newest key.
                let opened = self.keys.open(text, owner);
                *value = opened.map_err(|error| no(error.to_string()))?;
            }
        }
        let own = self.keys.public_in_order().nth(index).unwrap_or_default();
        let text = self.keys.seal_with(index, own, owner, value);
        *value = Value::from(text.map_err(|error| no(error.to_string()))?);
        Ok(())
    }
}

impl Sealing {
    /// The keys, where there are any.
    pub fn keys(&self) -> Option<&Keys> {
        match self {
            Self::With(sealer) => Some(&sealer.keys),
            Self::Refused | Self::Plain => None,
        }
    }

    /// Seals what is to be sealed in `document`, which is about `target`; whether anything is. This comes before anything else looks at the document: no refusal
    /// quotes a value then.
    ///
    /// # Errors
    /// Where there are no keys; where a sealed value stands in it that belongs elsewhere, or where none may stand.
    pub fn seal(&self, document: &mut Value, target: &ObjectKey) -> Result<bool, Refusal> {
        self.seal_with(0, document, target)
    }

    /// How `document` was sealed under each key before the newest, the newer ones first; none where nothing in it is sealed.
    pub fn before(&self, document: &Value, target: &ObjectKey) -> Vec<Value> {
        let count = self.keys().map_or(0, Keys::count);
        let sealed = (1..count).filter_map(|index| {
            let mut before = document.clone();
            let is_sealed = self.seal_with(index, &mut before, target) == Ok(true);
            is_sealed.then_some(before)
        });
        sealed.collect()
    }

    fn seal_with(
        &self,
        index: usize,
        document: &mut Value,
        target: &ObjectKey,
    ) -> Result<bool, Refusal> {
        let of_secrets;
        let (rules, sealer) = match self {
            Self::With(sealer) => (&sealer.rules, Some(sealer)),
            Self::Refused => {
                of_secrets = Rule::of_secrets();
                (&of_secrets, None)
            }
            Self::Plain => return no_others(document, "").map(|()| false),
        };
        let mut count = 0;
        fields::visit(rules, document, target, &mut |value, _| {
            count += 1;
            match sealer {
                Some(sealer) => sealer.seal(index, value, target),
                None => Err(Refusal::new("", NO_KEYS)),
            }
        })?;
        if sealed::count(document) != count {
            let mut rest = document.clone();
            fields::visit(rules, &mut rest, target, &mut |value, _| {
                *value = Value::Null;
                Ok(())
            })?;
            no_others(&rest, "")?;
        }
        Ok(count > 0)
    }
}

/// Refuses the digest of a sealed value where a value should stand.
pub(crate) fn not_shown(text: &str) -> Result<(), Refusal> {
    match sealed::is_shown(text) {
        true => Err(Refusal::new(
            "",
            "is the digest that stands for a sealed value where it is shown: hand in the value itself",
        )),
        false => Ok(()),
    }
}

/// What a publisher is told by a service without keys.
pub(crate) const NO_KEYS: &str = "is to be sealed, and this service has no keys: start ingest with --sealing-keys FILE (`fleetcast sealing new FILE` makes one), or with --plain-secrets to store Secrets in plain text";

/// Refuses a sealed value where none may stand: it would be carried somewhere from there.
fn no_others(value: &Value, field: &str) -> Result<(), Refusal> {
    let below = |key: &str| match field {
        "" => key.to_owned(),
        field => format!("{field}.{key}"),
    };
    match value {
        Value::String(text) if text.starts_with(sealed::MARK) => Err(Refusal::new(
            field,
            "is a sealed value, and none may stand here",
        )),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| no_others(item, &format!("{field}[{index}]")))
        }
        Value::Object(entries) => entries
            .iter()
            .try_for_each(|(key, entry)| no_others(entry, &below(key))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
