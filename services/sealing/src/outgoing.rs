//! What who has no key of the hub's does with values: seal them for the hub, or hold them to be what the log has.

use std::collections::BTreeMap;

use fleetcast_core::Refusal;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::sealed;
use serde_json::Value;

use crate::fields::{self, Rule};
use crate::keys::{Error, Keys};
use crate::sealer::not_shown;

/// Seals what is handed in to a key of the hub's, by a key that nobody keeps: only the hub opens it, and seals it anew with its own.
#[derive(Debug)]
pub struct Outgoing {
    keys: Keys,
    recipient: String,
    rules: Vec<Rule>,
}

impl Outgoing {
    /// Seals the data of Secrets, and what `rules` name, to `recipient`, a public key of the hub's.
    ///
    /// # Errors
    /// Where `recipient` is no public key.
    pub fn new(recipient: &str, rules: &[Rule]) -> Result<Self, Error> {
        if !Keys::is_public(recipient) {
            return Err(Error::NoKey(recipient.to_owned()));
        }
        Ok(Self {
            keys: Keys::generate(),
            recipient: recipient.to_owned(),
            rules: with_secrets(rules),
        })
    }

    /// Seals what is to be sealed in `document`, which is about `target`. What is sealed already stays as it is: the hub looks whose it is.
    ///
    /// # Errors
    /// Where a digest stands in place of a value.
    pub fn seal(&self, document: &mut Value, target: &ObjectKey) -> Result<(), Refusal> {
        fields::visit(&self.rules, document, target, &mut |value, _| {
            if let Value::String(text) = value {
                not_shown(text)?;
                if text.starts_with(sealed::MARK) {
                    return Ok(());
                }
            }
            let text = self.keys.seal(&self.recipient, target, value);
            *value = Value::from(text.map_err(|error| Refusal::new("", error.to_string()))?);
            Ok(())
        })
        .map(drop)
    }
}

/// The data of Secrets, and what `more` names beside.
fn with_secrets(more: &[Rule]) -> Vec<Rule> {
    let mut all = Rule::of_secrets();
    let beside = more
        .iter()
        .filter(|rule| !Rule::of_secrets().contains(rule));
    all.extend(beside.cloned());
    all
}

/// Values that could not be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Borrowed {
    /// The fields that they stand in.
    pub fields: Vec<String>,
    /// The sealed texts that stand for them.
    pub texts: Vec<String>,
}

/// Puts into `document` the sealed values of `logged`, an older document about the same `target`, wherever both have one in the same field: without a key nobody can say
/// whether they differ. A value that `logged` does not have is sealed with a key that nobody keeps. `more` is what is sealed beside the data of Secrets.
///
/// # Errors
/// Where a digest stands in place of a value.
pub fn borrow(
    more: &[Rule],
    document: &mut Value,
    logged: Option<&Value>,
    target: &ObjectKey,
) -> Result<Borrowed, Refusal> {
    let rules = with_secrets(more);
    let mut held = BTreeMap::new();
    if let Some(logged) = logged {
        fields::visit(&rules, &mut logged.clone(), target, &mut |value, field| {
            if sealed::is_in(value) {
                held.insert(field.to_owned(), value.clone());
            }
            Ok(())
        })?;
    }
    let mut borrowed = Borrowed::default();
    let keys = Keys::generate();
    fields::visit(&rules, document, target, &mut |value, field| {
        if let Value::String(text) = value {
            not_shown(text)?;
            if text.starts_with(sealed::MARK) {
                return Ok(());
            }
        }
        if let Some(text) = held.get(field) {
            *value = text.clone();
            borrowed.fields.push(field.to_owned());
            borrowed.texts.extend(text.as_str().map(str::to_owned));
            return Ok(());
        }
        let own = keys.newest().unwrap_or_default();
        let text = keys.seal(own, target, value);
        *value = Value::from(text.map_err(|error| Refusal::new("", error.to_string()))?);
        Ok(())
    })?;
    Ok(borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealer::{Sealer, Sealing};
    use serde_json::json;
    use std::sync::Arc;

    fn secret(data: Value) -> Value {
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"template": {"apiVersion": "v1", "kind": "Secret", "data": data}, "placement": {"clusters": ["eu"]}},
        })
    }

    fn target() -> ObjectKey {
        "Secret/shop/db".parse().expect("an object")
    }

    fn hub() -> Sealing {
        Sealing::With(Arc::new(Sealer::new(Keys::from_raw([1; 32]), Vec::new())))
    }

    fn at_the_hub(mut document: Value) -> Value {
        hub().seal(&mut document, &target()).expect("sealed");
        document
    }

    #[test]
    fn what_a_publisher_seals_is_to_the_hub_what_it_would_be_in_plain_text() {
        let plain = secret(json!({"a": "aHVudGVyMg==", "b": "Yg=="}));
        let key = hub().keys().and_then(Keys::newest).expect("one").to_owned();
        let mut ciphertexts = Vec::new();
        for _ in 0..2 {
            let mut sent = plain.clone();
            let outgoing = Outgoing::new(&key, &[]).expect("a key");
            outgoing.seal(&mut sent, &target()).expect("sealed");
            assert!(!sent.to_string().contains("aHVudGVyMg"), "{sent}");
            assert_eq!(at_the_hub(sent.clone()), at_the_hub(plain.clone()));
            ciphertexts.push(sent);
        }
        assert_ne!(ciphertexts[0], ciphertexts[1], "each time another key");
        assert!(Outgoing::new("XNONE", &[]).is_err());
    }

    #[test]
    fn what_is_sealed_already_is_left_and_a_digest_is_refused() {
        let key = hub().keys().and_then(Keys::newest).expect("one").to_owned();
        let outgoing = Outgoing::new(&key, &[]).expect("a key");
        let logged = at_the_hub(secret(json!({"a": "YQ=="})));
        let mut again = logged.clone();
        outgoing.seal(&mut again, &target()).expect("left");
        assert_eq!(again, logged);
        let mut shown = sealed::shown(&logged);
        let refusal = outgoing.seal(&mut shown, &target()).expect_err("a digest");
        assert_eq!(refusal.field, "spec.template.data.a");
    }

    #[test]
    fn without_a_key_values_are_held_to_be_those_of_the_log() {
        let logged = at_the_hub(secret(json!({"a": "YQ==", "gone": "Yg=="})));
        let mut document = secret(json!({"a": "another", "new": "Yw=="}));
        let borrowed = borrow(&[], &mut document, Some(&logged), &target()).expect("done");
        assert_eq!(borrowed.fields, ["spec.template.data.a"]);
        let (new, old) = (
            &document["spec"]["template"]["data"],
            &logged["spec"]["template"]["data"],
        );
        assert_eq!(new["a"], old["a"]);
        assert!(sealed::is_in(&new["new"]));
        assert_eq!(borrowed.texts, [old["a"].as_str().expect("a text")]);
        let nothing = borrow(&[], &mut secret(json!({"a": "YQ=="})), None, &target());
        assert_eq!(nothing, Ok(Borrowed::default()));
    }

    #[test]
    fn after_a_rotation_it_is_known_how_the_older_keys_sealed() {
        let old = hub();
        let rotated = old.keys().expect("keys").text();
        let rotated = Keys::parse(&rotated).expect("keys").rotated();
        let new = Sealing::With(Arc::new(Sealer::new(rotated, Vec::new())));
        let plain = secret(json!({"a": "YQ=="}));
        let mut now = plain.clone();
        new.seal(&mut now, &target()).expect("sealed");
        let before = new.before(&plain, &target());
        assert_eq!(before, [at_the_hub(plain.clone())]);
        assert_eq!(
            new.before(&now, &target()),
            before,
            "also from the sealed form"
        );
        assert_eq!(old.before(&plain, &target()), Vec::<Value>::new());
    }
}
