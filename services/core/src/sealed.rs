//! Sealed values: texts in documents and manifests that stand for a value which only the holder of a key can read.
//!
//! `fcs1.<recipient>.<sender>.<ciphertext>`: the public xkeys of whom it is sealed to and by whom (`_` where that is the recipient itself), and URL-safe base64. The core
//! never opens one: it places, patches and digests documents with sealed values as they are, so whoever has no key decides and rebuilds the same.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::digest;
use crate::document::Document;

/// What every sealed value begins with. No override may build a text that does: whoever could would have another object's value opened for him.
pub const MARK: &str = "fcs1.";
/// What stands for a sealed value where people read: it is followed by a digest.
pub const SHOWN: &str = "sealed:";
/// The length of a public xkey as text.
const KEY_LENGTH: usize = 56;

/// The parts of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The public key that it is sealed to.
    pub recipient: &'a str,
    /// The public key that it is sealed by.
    pub sender: &'a str,
    /// The ciphertext, in URL-safe base64.
    pub ciphertext: &'a str,
}

impl<'a> Sealed<'a> {
    /// Reads a text; none where it is no sealed value.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(MARK)?.split('.');
        let (recipient, sender, ciphertext) = (parts.next()?, parts.next()?, parts.next()?);
        let sender = match sender {
            "_" => recipient,
            sender => sender,
        };
        let is_whole = parts.next().is_none()
            && is_key(recipient)
            && is_key(sender)
            && !ciphertext.is_empty()
            && ciphertext
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_whole.then_some(Self {
            recipient,
            sender,
            ciphertext,
        })
    }

    /// Writes what [`Sealed::parse`] reads.
    pub fn text(&self) -> String {
        let Self {
            recipient,
            sender,
            ciphertext,
        } = self;
        let sender = match sender == recipient {
            true => "_",
            false => sender,
        };
        format!("{MARK}{recipient}.{sender}.{ciphertext}")
    }
}

/// Whether `text` may be a public xkey: `X` and 55 letters of base 32.
pub fn is_key(text: &str) -> bool {
    text.len() == KEY_LENGTH
        && text.starts_with('X')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'))
}

/// Whether a value anywhere in `value` is sealed, or looks so.
pub fn is_in(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(MARK),
        Value::Array(items) => items.iter().any(is_in),
        Value::Object(entries) => entries.values().any(is_in),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a value in `document` may be sealed; false only where none is.
pub fn may_be_in(document: &Document) -> bool {
    let mark = MARK.as_bytes();
    document
        .as_bytes()
        .windows(mark.len())
        .any(|window| window == mark)
}

/// How many values in `value` are sealed, or look so.
pub fn count(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text.starts_with(MARK)),
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The keys to which values in `value` are sealed.
pub fn recipients(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each(value, &mut |sealed| {
        found.insert(sealed.recipient.to_owned());
    });
    found
}

/// The keys by which values in `value` are sealed.
pub fn senders(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each(value, &mut |sealed| {
        found.insert(sealed.sender.to_owned());
    });
    found
}

fn each(value: &Value, take: &mut impl FnMut(Sealed<'_>)) {
    match value {
        Value::String(text) => {
            if let Some(sealed) = Sealed::parse(text) {
                take(sealed);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each(item, take)),
        Value::Object(entries) => entries.values().for_each(|item| each(item, take)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text that an override built of parts.
///
/// # Errors
/// Where it begins as a sealed value does: see [`MARK`].
pub fn unlike(text: String) -> Result<Value, String> {
    match text.starts_with(MARK) {
        true => Err(format!(
            "the result begins with {MARK}, as sealed values do"
        )),
        false => Ok(Value::from(text)),
    }
}

/// What a person may see of `value`: digests in place of sealed values. Equal values of one object, sealed to one key, have equal digests; without the
/// key no value can be tried against one.
#[must_use]
pub fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with(MARK) => Value::from(shown_text(text)),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(entries) => {
            let entries = entries.iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), shown(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// What a person may see of `text`, a document in some notation: digests in place of sealed values.
pub fn shown_in(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let mut seen = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|letter| !is_part(letter)).unwrap_or(from.len());
        let (word, behind) = from.split_at(end);
        seen.push_str(before);
        match Sealed::parse(word) {
            Some(_) => seen.push_str(&shown_text(word)),
            None => seen.push_str(word),
        }
        rest = behind;
    }
    seen.push_str(rest);
    Cow::Owned(seen)
}

/// A sealed text as it is shown: `sealed:` and the first 16 hex digits of its SHA-256.
fn shown_text(text: &str) -> String {
    let digest = digest::of_bytes(text.as_bytes());
    format!("{SHOWN}{}", &digest[..16])
}

/// Whether `text` is how a sealed value is shown: whoever hands that in has taken it from an answer, and means the value.
pub fn is_shown(text: &str) -> bool {
    text.strip_prefix(SHOWN)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "XBUJMZHVOPQ2SK5VD3TY4VNBPVU2YFGRLK6EFPEPSMVDUYEBSROWZCEA";
    const OTHER: &str = "XAUJMZHVOPQ2SK5VD3TY4VNBPVU2YFGRLK6EFPEPSMVDUYEBSROWZCEA";

    #[test]
    fn a_sealed_value_reads_back_as_written() {
        for sender in [KEY, OTHER] {
            let sealed = Sealed {
                recipient: KEY,
                sender,
                ciphertext: "aA-_9",
            };
            assert_eq!(Sealed::parse(&sealed.text()), Some(sealed));
        }
        for text in [
            "",
            "fcs1.",
            "fcs1.a.b.c",
            &format!("fcs1.{KEY}._"),
            &format!("fcs1.{KEY}._."),
            &format!("fcs1.{KEY}._.a+b"),
            &format!("fcs1.{KEY}._.a.b"),
            &format!("fcs2.{KEY}._.a"),
            &format!("fcs1.{}._.a", &KEY[1..]),
        ] {
            assert_eq!(Sealed::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_holds_digests_and_no_ciphertext() {
        let text = |ciphertext| {
            Sealed {
                recipient: KEY,
                sender: KEY,
                ciphertext,
            }
            .text()
        };
        let document =
            json!({"data": {"a": text("xx"), "b": text("xx"), "c": text("yy")}, "plain": ["d", 1]});
        assert!(is_in(&document));
        assert_eq!(recipients(&document), [KEY.to_owned()].into());
        let seen = shown(&document);
        assert!(!is_in(&seen));
        assert!(!seen.to_string().contains("xx"));
        assert_eq!(seen["data"]["a"], seen["data"]["b"]);
        assert_ne!(seen["data"]["a"], seen["data"]["c"]);
        assert_eq!(seen["plain"], document["plain"]);
        assert!(is_shown(seen["data"]["a"].as_str().expect("a text")));
        let in_text = shown_in(&document.to_string()).into_owned();
        assert_eq!(in_text, seen.to_string());
        assert_eq!(shown_in("fcs1.x and no more"), "fcs1.x and no more");
    }
}
