//! The keyed digest of work: what an agent carries out comes from an ingest process that holds the master key, whoever runs the bus.
//!
//! A cluster's key is HMAC-SHA256(master, `fleetcast work key` 0 `<cluster>` 0 `<key id>`). A key's id is `<master id>-<its own>`, so that whoever holds
//! the master key finds it by the id alone. The digest is HMAC-SHA256 over the headers `ce-*` and `fleetcast-*` that a writer of work sets, in the order of
//! their names, and the body as it travels; it stands in the header `fleetcast-mac` as `<key id>.<base64url>`. What it must not cover, because it changes on the
//! way: the subject, the server's own headers, and the two that an answer to a sync request adds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fleetcast_schemas::Headers;
use fleetcast_schemas::envelope::MAC;
use fleetcast_schemas::request::{PART, SEQUENCE};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// The longest id of a key.
const ID_LIMIT: usize = 40;
/// How many random characters an id has.
const ID_LENGTH: usize = 8;

/// A key for keyed digests, with its id; it is not printed.
#[derive(Clone)]
pub struct WorkKey {
    id: String,
    bytes: [u8; 32],
    key: hmac::Key,
}

impl PartialEq for WorkKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.bytes) == (&other.id, &other.bytes)
    }
}

impl Eq for WorkKey {}

impl std::fmt::Debug for WorkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why work is not carried out: nothing proves that ingest wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is no digest.
    #[error("work without a keyed digest")]
    Missing,
    /// It was made with a key that is not ours: an older one, before ingest has heard of ours, or somebody else's.
    #[error("work whose keyed digest was made with the key {0}, which we do not have")]
    UnknownKey(String),
    /// It is not the digest of this work.
    #[error("work whose keyed digest is wrong: it was changed, or is another cluster's")]
    Wrong,
}

impl WorkKey {
    fn new(id: String, bytes: [u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Self { id, bytes, key }
    }

    /// A random key under an id.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn generate(id: &str) -> Self {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system has randomness");
        Self::new(id.to_owned(), bytes)
    }

    /// A random id.
    ///
    /// # Panics
    /// Where the system has no randomness.
    pub fn random_id() -> String {
        let mut bytes = [0; ID_LENGTH];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system has randomness");
        let letters = b"abcdefghijkmnpqrstuvwxyz23456789";
        bytes
            .iter()
            .map(|byte| char::from(letters[usize::from(byte % 32)]))
            .collect()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads `<key id>.<base64url of 32 bytes>`.
    ///
    /// # Errors
    /// What is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let wrong = "is no <key id>.<base64url of 32 bytes>";
        let (id, bytes) = text
            .split_once('.')
            .filter(|(id, _)| is_id(id))
            .ok_or(wrong)?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes).map_err(|_| wrong)?;
        Ok(Self::new(
            id.to_owned(),
            bytes.try_into().map_err(|_| wrong)?,
        ))
    }

    /// As [`WorkKey::parse`] reads it: keep it secret.
    pub fn text(&self) -> String {
        format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(self.bytes))
    }

    /// A new id for a key that is derived from this one.
    pub fn new_derived_id(&self) -> String {
        format!("{}-{}", self.id, Self::random_id())
    }

    /// The id of the key for work of a cluster whose own key is not known; no agent has it.
    pub fn stored_id(&self) -> String {
        format!("{}-stored", self.id)
    }

    /// Another key, so that only who has this one can read it.
    pub fn wrap(&self, other: &Self) -> String {
        URL_SAFE_NO_PAD.encode(self.mask(&other.id, other.bytes))
    }

    /// The key `id` that was wrapped with this one; none where it is malformed. That it is genuine must be known from elsewhere.
    pub fn unwrap(&self, id: &str, wrapped: &str) -> Option<Self> {
        let wrapped: [u8; 32] = URL_SAFE_NO_PAD.decode(wrapped).ok()?.try_into().ok()?;
        is_id(id).then(|| Self::new(id.to_owned(), self.mask(id, wrapped)))
    }

    /// A one-time pad from this key and an id that is never used again.
    fn mask(&self, id: &str, bytes: [u8; 32]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"fleetcast renewal\0");
        context.update(id.as_bytes());
        let pad = context.sign();
        let mut masked = bytes;
        for (byte, pad) in masked.iter_mut().zip(pad.as_ref()) {
            *byte ^= pad;
        }
        masked
    }

    /// The key `id` of a cluster, from its master key; none where the id names another master.
    pub fn derive(&self, cluster: &str, id: &str) -> Option<Self> {
        if !is_id(id) || !self.made(id) {
            return None;
        }
        let mut context = hmac::Context::with_key(&self.key);
        for part in ["fleetcast work key", cluster, id] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        let tag = context.sign();
        let bytes = tag.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Some(Self::new(id.to_owned(), bytes))
    }

    /// Whether the key `id` is derived from this master key.
    pub fn made(&self, id: &str) -> bool {
        id.split_once('-').map(|(master, _)| master) == Some(&*self.id)
    }

    /// Writes the keyed digest into the headers of work.
    pub fn sign(&self, headers: &mut Headers, payload: &[u8]) {
        let tag = hmac::sign(&self.key, &covered(headers, payload));
        headers.set(MAC, format!("{}.{}", self.id, URL_SAFE_NO_PAD.encode(tag)));
    }
}

/// Holds work against the keys that we have; without any, nothing is asked.
///
/// # Errors
/// Why it is not to be carried out.
pub fn verify(keys: &[WorkKey], headers: &Headers, payload: &[u8]) -> Result<(), Forged> {
    if keys.is_empty() {
        return Ok(());
    }
    let mac = headers.get(MAC).ok_or(Forged::Missing)?;
    let (id, tag) = mac.split_once('.').ok_or(Forged::Wrong)?;
    let Some(key) = keys.iter().find(|key| key.id == id) else {
        let shown: String = id.chars().take(ID_LIMIT).collect();
        return Err(Forged::UnknownKey(shown));
    };
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Forged::Wrong)?;
    hmac::verify(&key.key, &covered(headers, payload), &tag).map_err(|_| Forged::Wrong)
}

/// Everything that a writer of work says, each part behind its length.
fn covered(headers: &Headers, payload: &[u8]) -> Vec<u8> {
    let mut covered = Vec::with_capacity(payload.len() + 1_024);
    let mut part = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        covered.extend_from_slice(&length.to_be_bytes());
        covered.extend_from_slice(bytes);
    };
    let ours = |name: &str| {
        (name.starts_with("ce-") || name.starts_with("fleetcast-"))
            && ![MAC, PART, SEQUENCE].contains(&name)
    };
    for (name, value) in headers.iter().filter(|(name, _)| ours(name)) {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    // No name is empty: here the headers end.
    part(b"");
    part(payload);
    covered
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ID_LIMIT
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        [
            ("ce-id", "1"),
            ("fleetcast-n", "7"),
            ("Nats-Msg-Id", "x"),
            ("fleetcast-sequence", "4"),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn only_what_the_holder_of_the_key_wrote_is_right() {
        let master = WorkKey::generate("m1");
        let key = master.derive("eu", "m1-a").expect("ours");
        let mut signed = headers();
        key.sign(&mut signed, b"body");
        let keys = [master.derive("eu", "m1-b").expect("ours"), key];
        assert_eq!(verify(&keys, &signed, b"body"), Ok(()));
        assert_eq!(verify(&[], &headers(), b"body"), Ok(()), "without keys");
        let on_the_way = signed
            .clone()
            .with("Nats-Msg-Id", "y")
            .with("fleetcast-sequence", "9")
            .with("Nats-Sequence", "9");
        assert_eq!(verify(&keys, &on_the_way, b"body"), Ok(()));
        let other = master.derive("us", "m1-a").expect("ours");
        let unknown = Forged::UnknownKey("m1-a".to_owned());
        for (what, headers, body, expected) in [
            ("the body", signed.clone(), &b"Body"[..], Forged::Wrong),
            (
                "a header",
                signed.clone().with("fleetcast-n", "8"),
                b"body",
                Forged::Wrong,
            ),
            (
                "one more",
                signed.clone().with("fleetcast-term", "8"),
                b"body",
                Forged::Wrong,
            ),
            (
                "no digest",
                signed.clone().with(MAC, "m1-a."),
                b"body",
                Forged::Wrong,
            ),
            (
                "no form",
                signed.clone().with(MAC, "m1-a"),
                b"body",
                Forged::Wrong,
            ),
            ("nothing", headers(), b"body", Forged::Missing),
        ] {
            assert_eq!(verify(&keys, &headers, body), Err(expected), "{what}");
        }
        assert_eq!(
            verify(&[other], &signed, b"body"),
            Err(Forged::Wrong),
            "another cluster's"
        );
        assert_eq!(verify(&keys[..1], &signed, b"body"), Err(unknown));
    }

    #[test]
    fn a_header_cannot_be_moved_into_another_or_into_the_body() {
        let key = WorkKey::generate("m1").derive("eu", "m1-a").expect("ours");
        let tag = |headers: &[(&str, &str)], body: &[u8]| {
            let mut headers: Headers = headers.iter().copied().collect();
            key.sign(&mut headers, body);
            headers.get(MAC).map(str::to_owned)
        };
        let split = tag(&[("ce-a", "b"), ("ce-c", "d")], b"");
        assert_ne!(split, tag(&[("ce-a", "bce-cd")], b""));
        assert_ne!(tag(&[("ce-a", "b")], b""), tag(&[], b"ce-ab"));
    }

    #[test]
    fn a_key_is_found_by_its_id_and_only_by_its_master() {
        let (one, two) = (WorkKey::generate("m1"), WorkKey::generate("m2"));
        let id = one.new_derived_id();
        assert!(one.derive("eu", &id).is_some_and(|key| key.id() == id));
        assert_eq!(one.derive("eu", &id), one.derive("eu", &id));
        assert_ne!(one.derive("eu", &id), one.derive("us", &id));
        for foreign in ["", "m1", "m2-a", "m1x-a", "m1-é", "m1-a b"] {
            assert_eq!(one.derive("eu", foreign), None, "{foreign}");
        }
        let (old, new) = (
            one.derive("eu", &id).expect("ours"),
            one.derive("eu", "m1-new").expect("ours"),
        );
        assert_eq!(old.unwrap("m1-new", &old.wrap(&new)), Some(new.clone()));
        assert_ne!(
            new.unwrap("m1-new", &old.wrap(&new)),
            Some(new.clone()),
            "another key does not open it"
        );
        assert_eq!(old.unwrap("m1-new", "AAAA"), None);
        assert_eq!(two.derive("eu", &id), None);
        assert_eq!(WorkKey::parse(&one.text()), Ok(one));
    }
}
