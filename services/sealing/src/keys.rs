//! A set of private keys: the newest seals, all open.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleetcast_core::Refusal;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::sealed::{self, Sealed};
use nkeys::XKey;
use ring::hmac;
use serde_json::Value;

use crate::fields::{self, Rule, is_policy};

/// What is sealed is padded to a multiple of so many bytes, so that its length tells little.
const PADDING_BYTES: usize = 32;
/// The length of a nonce of XSalsa20, bytes.
const NONCE_BYTES: usize = 24;

/// Why a value cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is sealed to a key that is not in the set.
    #[error("it is sealed to the key {0}, which is not held here")]
    KeyNotHeld(String),
    /// It was changed, or was never sealed by whom it names.
    #[error("a sealed value is damaged, or was not sealed by the key that it names")]
    Damaged,
    /// It belongs to another object.
    #[error("a sealed value belongs to {0}")]
    Elsewhere(String),
    /// The recipient's key is none.
    #[error("{0:?} is no public xkey (X…)")]
    NoKey(String),
}

struct Key {
    pair: XKey,
    public: String,
    /// What nonces are made with.
    nonces: hmac::Key,
}

impl Key {
    fn new(pair: XKey) -> Self {
        let seed = pair.seed().expect("it was made from a seed");
        let of_seed = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
        let nonces = hmac::sign(&of_seed, b"fleetcast nonces of sealed values");
        Self {
            public: pair.public_key(),
            pair,
            nonces: hmac::Key::new(hmac::HMAC_SHA256, nonces.as_ref()),
        }
    }
}

/// A set of private keys, the newest first.
#[derive(Default)]
pub struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.public))
            .finish()
    }
}

impl Keys {
    /// A set of one new key.
    pub fn generate() -> Self {
        Self(vec![Key::new(XKey::new())])
    }

    /// The set of one key that `seed` stands for: 32 bytes that nobody else knows.
    pub fn from_raw(seed: [u8; 32]) -> Self {
        Self(vec![Key::new(XKey::new_from_raw(seed))])
    }

    /// Reads private keys out of a text, one a line, the newest first. Other lines are passed over: credentials hold such a line among others.
    ///
    /// # Errors
    /// The number of a line, counted from 1, that begins as a private xkey and is none.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with("SX") {
                let pair = XKey::from_seed(line).map_err(|_| number + 1)?;
                keys.push(Key::new(pair));
            }
        }
        Ok(Self(keys))
    }

    /// With a new key: it seals from now on, and the others go on opening.
    #[must_use]
    pub fn rotated(mut self) -> Self {
        self.0.insert(0, Key::new(XKey::new()));
        self
    }

    /// The private keys, one a line, the newest first.
    pub fn text(&self) -> String {
        let seed = |key: &Key| key.pair.seed().expect("it was made from a seed") + "\n";
        self.0.iter().map(seed).collect()
    }

    /// The public key of what seals; none where the set is empty.
    pub fn newest(&self) -> Option<&str> {
        self.0.first().map(|key| key.public.as_str())
    }

    /// The public keys, the newest first.
    pub fn public_in_order(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.public.as_str())
    }

    /// The public keys of what opens.
    pub fn public(&self) -> BTreeSet<String> {
        self.0.iter().map(|key| key.public.clone()).collect()
    }

    /// Whether `text` is a public key, checksum included.
    pub fn is_public(text: &str) -> bool {
        sealed::is_key(text) && XKey::from_public_key(text).is_ok()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Seals `value`, which belongs to `owner`, to the public key `recipient`: the same value again is the same text.
    ///
    /// # Errors
    /// Where `recipient` is no public key.
    pub fn seal(&self, recipient: &str, owner: &ObjectKey, value: &Value) -> Result<String, Error> {
        self.seal_with(0, recipient, owner, value)
    }

    /// Seals with the key at `index`, the newest first, as it was done when that was the newest.
    pub(crate) fn seal_with(
        &self,
        index: usize,
        recipient: &str,
        owner: &ObjectKey,
        value: &Value,
    ) -> Result<String, Error> {
        let key = self
            .0
            .get(index)
            .ok_or_else(|| Error::KeyNotHeld("of its own".to_owned()))?;
        let to =
            XKey::from_public_key(recipient).map_err(|_| Error::NoKey(recipient.to_owned()))?;
        let mut plain = format!("{owner}\n{value}").into_bytes();
        // JSON does not mind spaces behind it.
        plain.resize(plain.len().next_multiple_of(PADDING_BYTES), b' ');
        let mut nonces = hmac::Context::with_key(&key.nonces);
        nonces.update(recipient.as_bytes());
        nonces.update(&plain);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&nonces.sign().as_ref()[..NONCE_BYTES]);
        let sealed = key.pair.seal_with_nonce(&plain, &to, nonce.into());
        let sealed = sealed.map_err(|_| Error::NoKey(recipient.to_owned()))?;
        Ok(Sealed {
            recipient,
            sender: &key.public,
            ciphertext: &URL_SAFE_NO_PAD.encode(sealed),
        }
        .text())
    }

    /// Opens a sealed value that belongs to `owner`, or to a policy that put it there.
    ///
    /// # Errors
    /// Where the key is not held, or it is damaged or another object's.
    pub fn open(&self, text: &str, owner: &ObjectKey) -> Result<Value, Error> {
        let sealed = Sealed::parse(text).ok_or(Error::Damaged)?;
        let key = self.0.iter().find(|key| key.public == sealed.recipient);
        let key = key.ok_or_else(|| Error::KeyNotHeld(sealed.recipient.to_owned()))?;
        let bytes = URL_SAFE_NO_PAD.decode(sealed.ciphertext);
        let bytes = bytes.map_err(|_| Error::Damaged)?;
        let sender = XKey::from_public_key(sealed.sender).map_err(|_| Error::Damaged)?;
        let plain = key.pair.open(&bytes, &sender).map_err(|_| Error::Damaged)?;
        let plain = String::from_utf8(plain).map_err(|_| Error::Damaged)?;
        let (named, value) = plain.split_once('\n').ok_or(Error::Damaged)?;
        let named_key: ObjectKey = named.parse().map_err(|_| Error::Damaged)?;
        if named_key != *owner && !is_policy(&named_key) {
            return Err(Error::Elsewhere(named.to_owned()));
        }
        serde_json::from_str(value).map_err(|_| Error::Damaged)
    }

    /// Opens every sealed value in `document`, which all belong to `owner`.
    ///
    /// # Errors
    /// That of the first that cannot be opened.
    pub fn open_all(&self, document: &mut Value, owner: &ObjectKey) -> Result<(), Error> {
        each(document, &mut |text| self.open(text, owner))
    }

    /// Opens every sealed value in `document`, and seals it to `recipient`.
    ///
    /// # Errors
    /// That of the first that cannot be opened or sealed; `document` is not to be used then.
    pub fn forward(
        &self,
        document: &mut Value,
        owner: &ObjectKey,
        recipient: &str,
    ) -> Result<(), Error> {
        each(document, &mut |text| {
            let value = self.open(text, owner)?;
            self.seal(recipient, owner, &value).map(Value::from)
        })
    }
}

impl Keys {
    /// Seals the data of a Secret to `recipient`.
    ///
    /// # Errors
    /// Where `recipient` is no public key, or the set is empty.
    pub fn seal_secret(
        &self,
        secret: &mut Value,
        owner: &ObjectKey,
        recipient: &str,
    ) -> Result<(), Refusal> {
        fields::visit(&Rule::of_secrets(), secret, owner, &mut |value, _| {
            let text = self.seal(recipient, owner, value);
            *value = Value::from(text.map_err(|error| Refusal::new("", error.to_string()))?);
            Ok(())
        })
        .map(drop)
    }
}

/// Replaces each text that is, or looks, sealed.
fn each(
    document: &mut Value,
    replace: &mut impl FnMut(&str) -> Result<Value, Error>,
) -> Result<(), Error> {
    match document {
        Value::String(text) if text.starts_with(sealed::MARK) => *document = replace(text)?,
        Value::Array(items) => {
            for item in items {
                each(item, replace)?;
            }
        }
        Value::Object(entries) => {
            for entry in entries.values_mut() {
                each(entry, replace)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(text: &str) -> ObjectKey {
        text.parse().expect("an object")
    }

    fn keys(seed: u8) -> Keys {
        Keys::from_raw([seed; 32])
    }

    fn own(keys: &Keys) -> String {
        keys.newest().expect("one").to_owned()
    }

    #[test]
    fn what_is_sealed_is_opened_by_its_recipient_alone() {
        let (hub, agent, other) = (keys(1), keys(2), keys(3));
        let db = object("Secret/shop/db");
        for value in [json!("hunter2"), json!(""), json!(7), json!(true)] {
            let text = hub.seal(&own(&agent), &db, &value).expect("sealed");
            assert_eq!(agent.open(&text, &db), Ok(value));
            assert_eq!(
                other.open(&text, &db),
                Err(Error::KeyNotHeld(own(&agent))),
                "another agent"
            );
            assert!(!text.contains("hunter2"));
            // The one agent's text under the other's name is no message to it.
            let forged = text.replace(&own(&agent), &own(&other));
            assert_eq!(other.open(&forged, &db), Err(Error::Damaged));
        }
    }

    #[test]
    fn the_same_value_is_the_same_text_and_another_is_another() {
        let hub = keys(1);
        let seal = |owner: &str, value: &str| {
            hub.seal(&own(&hub), &object(owner), &json!(value))
                .expect("sealed")
        };
        let text = seal("Secret/shop/db", "a");
        assert_eq!(text, seal("Secret/shop/db", "a"));
        assert_ne!(text, seal("Secret/shop/db", "b"));
        assert_ne!(text, seal("Secret/shop/other", "a"));
        let other = keys(2);
        let theirs = other.seal(&own(&other), &object("Secret/shop/db"), &json!("a"));
        assert_ne!(Ok(text.clone()), theirs);
        // Short values are all as long.
        assert_eq!(text.len(), seal("Secret/shop/db", "bbbbbb").len());
    }

    #[test]
    fn another_objects_value_is_not_opened() {
        let hub = keys(1);
        let text = hub
            .seal(&own(&hub), &object("Secret/shop/db"), &json!("a"))
            .expect("sealed");
        assert_eq!(
            hub.open(&text, &object("Secret/evil/db")),
            Err(Error::Elsewhere("Secret/shop/db".to_owned()))
        );
        let policy = object("OverridePolicy.policy.karmada.io/shop/p");
        let text = hub.seal(&own(&hub), &policy, &json!("a")).expect("sealed");
        assert_eq!(
            hub.open(&text, &object("Secret/shop/db")),
            Ok(json!("a")),
            "what a policy brings"
        );
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let hub = keys(1);
        let db = object("Secret/shop/db");
        let text = hub.seal(&own(&hub), &db, &json!("a")).expect("sealed");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            // The last letter's low bits stand for nothing; a decoder that is strict refuses them, too.
            assert!(hub.open(&changed, &db).is_err(), "byte {at}");
        }
    }

    #[test]
    fn after_a_rotation_the_newest_seals_and_all_open() {
        let before = keys(1);
        let db = object("Secret/shop/db");
        let old = before
            .seal(&own(&before), &db, &json!("a"))
            .expect("sealed");
        let after = Keys::parse(&before.text()).expect("keys").rotated();
        let after = Keys::parse(&after.text()).expect("keys");
        assert_ne!(after.newest(), before.newest());
        assert_eq!(after.public().len(), 2);
        assert_eq!(after.open(&old, &db), Ok(json!("a")));
        let new = after.seal(&own(&after), &db, &json!("a")).expect("sealed");
        assert!(matches!(before.open(&new, &db), Err(Error::KeyNotHeld(_))));
    }

    #[test]
    fn keys_are_read_among_other_lines_and_never_printed() {
        let text = format!("# mine\r\n-----BEGIN X-----\n {}\n", keys(1).text());
        let read = Keys::parse(&text).expect("a key");
        assert_eq!(read.newest(), keys(1).newest());
        assert_eq!(Keys::parse("# a key\nSXnot\n").err(), Some(2));
        assert_eq!(Keys::parse("").map(|keys| keys.public().len()), Ok(0));
        assert!(!format!("{read:?}").contains("SX"));
    }
}
