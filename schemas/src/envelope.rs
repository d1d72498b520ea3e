//! Messages as they travel: CloudEvents 1.0 in binary mode, attributes as headers, the body apart.

mod name;

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, SecondsFormat, Utc};
use fleetcast_core::time::Time;

use self::name::Name;

/// CloudEvents `id`.
pub const ID: &str = "ce-id";
/// CloudEvents `type`: `dev.fleetcast.<event>.v<N>`.
pub const TYPE: &str = "ce-type";
/// CloudEvents `source`.
pub const SOURCE: &str = "ce-source";
/// CloudEvents `subject`: the object as text, or the cluster.
pub const SUBJECT: &str = "ce-subject";
/// CloudEvents `time`, RFC 3339.
pub const TIME: &str = "ce-time";
/// CloudEvents `specversion`.
pub const SPECVERSION: &str = "ce-specversion";
/// CloudEvents `datacontenttype`.
pub const DATACONTENTTYPE: &str = "ce-datacontenttype";
/// The id of the change at the beginning of the chain.
pub const CORRELATION: &str = "ce-correlationid";
/// The id of the event that caused this one.
pub const CAUSATION: &str = "ce-causationid";
/// Where the body is, if not here: `fc_bodies/<digest>` (the CloudEvents extension `dataref`).
pub const DATAREF: &str = "ce-dataref";
/// The revision.
pub const REVISION: &str = "fleetcast-revision";
/// The decision.
pub const DECISION: &str = "fleetcast-decision";
/// The epoch, `<number>.<hub id>`.
pub const EPOCH: &str = "fleetcast-epoch";
/// The epoch in which the decision was made that work carries out, where that is not the writer's.
pub const DECISION_EPOCH: &str = "fleetcast-decision-epoch";
/// The placer's term.
pub const TERM: &str = "fleetcast-term";
/// The count of work in its cluster.
pub const N: &str = "fleetcast-n";
/// The making of the work stream.
pub const INCARNATION: &str = "fleetcast-incarnation";
/// The digest of the rendered manifest, or of the content.
pub const DIGEST: &str = "fleetcast-digest";
/// Where values in the body are sealed: `<key id> <recipient>`, the public keys that sealed them and that they are sealed to.
pub const KEY: &str = "fleetcast-key";
/// `zstd` where the body is compressed.
pub const ENCODING: &str = "fleetcast-encoding";
/// On work: which key authenticates it, and the keyed digest, `<key id>.<base64url>`.
pub const MAC: &str = "fleetcast-mac";
/// On heartbeats and sync requests: the id of the key that the agent holds its work against.
pub const WORK_KEY: &str = "fleetcast-work-key";
/// On a submission: it is a change although the newest revision says the same.
pub const ANEW: &str = "fleetcast-anew";
/// JetStream's message id.
pub const MSG_ID: &str = "Nats-Msg-Id";

/// Our own `ce-source`.
pub const OURS: &str = "fleetcast";

/// Headers by name; a name stands once, in the order of the names' bytes.
///
/// All values stand in one text, so that a message read from a stream costs two allocations for its headers, however many it has.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    /// Where each header's value stands in `text`; what was replaced or removed stays there as well.
    all: Vec<(Name, Range<usize>)>,
}

impl Headers {
    /// Room for so many, with so many bytes of values.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            all: Vec::with_capacity(count),
        }
    }

    /// Sets a header. Bytes that cannot stand in a header line are replaced by spaces, so that no value can begin another header.
    pub fn set(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        let begin = self.text.len();
        match is_hostile(value) {
            false => self.text.push_str(value),
            true => self.text.push_str(&value.replace(['\r', '\n', '\0'], " ")),
        }
        let (name, place) = (Name::from(name), begin..self.text.len());
        match self.all.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(there) => self.all[there].1 = place,
            Err(before) => self.all.insert(before, (name, place)),
        }
    }

    /// Where a header stands.
    fn place(&self, name: &str) -> Option<usize> {
        let name = Name::from(name);
        self.all
            .binary_search_by(|(known, _)| known.cmp(&name))
            .ok()
    }

    /// With a header set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.set(name, value);
        self
    }

    /// A header's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let there = self.place(name)?;
        Some(&self.text[self.all[there].1.clone()])
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let there = self.place(name)?;
        let (_, place) = self.all.remove(there);
        Some(self.text[place].to_owned())
    }

    /// All headers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.all.iter();
        headers.map(|(name, place)| (name.as_str(), &self.text[place.clone()]))
    }

    /// A header that must be there.
    ///
    /// # Errors
    /// Where it is not.
    pub fn required(&self, name: &'static str) -> Result<&str, DecodeError> {
        self.get(name).ok_or(DecodeError::Missing(name))
    }

    /// A header that must be there, parsed.
    ///
    /// # Errors
    /// Where it is not there or does not parse.
    pub fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, DecodeError> {
        let value = self.required(name)?;
        value.parse().map_err(|_| malformed(name, value))
    }

    /// The time of the event.
    ///
    /// # Errors
    /// Where it is missing or not RFC 3339.
    pub fn time(&self) -> Result<Time, DecodeError> {
        let value = self.required(TIME)?;
        parse_time(value).ok_or_else(|| malformed(TIME, value))
    }

    /// The event's name and schema version.
    ///
    /// # Errors
    /// Where the type is missing or none of ours.
    pub fn event(&self) -> Result<(&str, u32), DecodeError> {
        let value = self.required(TYPE)?;
        value
            .strip_prefix("dev.fleetcast.")
            .and_then(|rest| rest.rsplit_once(".v"))
            .and_then(|(event, version)| Some((event, version.parse().ok()?)))
            .ok_or_else(|| DecodeError::UnknownType(value.to_owned()))
    }
}

/// Whether a value holds a byte that cannot stand in a header line. All bytes are looked at, which takes a fraction of what stopping at the first does.
fn is_hostile(value: &str) -> bool {
    let is = |byte: u8| (byte == b'\r') | (byte == b'\n') | (byte == 0);
    value.bytes().fold(false, |found, byte| found | is(byte))
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let mut all = Self::default();
        for (name, value) in headers {
            all.set(name, value);
        }
        all
    }
}

/// A message as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub subject: String,
    /// Attributes.
    pub headers: Headers,
    /// The body, encoded.
    pub payload: Vec<u8>,
}

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A header is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header's value does not parse.
    #[error("header {header} is malformed: {value:?}")]
    Malformed {
        /// Which.
        header: &'static str,
        /// What stood there, cut to 200 bytes.
        value: String,
    },
    /// The event is none that this version knows.
    #[error("type {0:?} is not known")]
    UnknownType(String),
    /// The event's schema version is newer than this version reads.
    #[error("type {event} has schema version {version}, this version reads up to {newest}")]
    NewerVersion {
        /// The event.
        event: String,
        /// Its schema version.
        version: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// The body is larger than an object may be.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// The body does not parse.
    #[error("the body is malformed: {0}")]
    Body(String),
    /// The subject is none of ours, or not that of the event.
    #[error("subject {0:?} is not that of this event")]
    Subject(String),
}

/// A header's value that does not parse.
pub(crate) fn malformed(header: &'static str, value: &str) -> DecodeError {
    DecodeError::Malformed {
        header,
        value: value.chars().take(200).collect(),
    }
}

/// `time` in RFC 3339 with milliseconds, UTC.
pub fn format_time(time: Time) -> String {
    DateTime::<Utc>::from_timestamp_millis(time.0)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads RFC 3339; cut to milliseconds.
pub fn parse_time(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| Time(time.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_begin_another_header() {
        let headers = Headers::default().with(ID, "a\r\nNats-Msg-Id: x");
        assert_eq!(headers.get(ID), Some("a  Nats-Msg-Id: x"));
    }

    #[test]
    fn names_stand_once_and_in_order() {
        let headers = [(TYPE, "a"), ("other", "b"), (ID, "c"), (TYPE, "d")];
        let mut headers: Headers = headers.into_iter().collect();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [(ID, "c"), (TYPE, "d"), ("other", "b")]);
        assert_eq!(headers.remove("other"), Some("b".to_owned()));
        assert_eq!(headers.get("other"), None);
        assert_eq!(headers.remove("other"), None);
        assert_eq!(headers, Headers::default().with(TYPE, "d").with(ID, "c"));
    }

    #[test]
    fn times_round_trip_and_hostile_ones_do_not_parse() {
        for time in [0, 1, -1, 1_764_000_000_123] {
            assert_eq!(parse_time(&format_time(Time(time))), Some(Time(time)));
        }
        for text in ["", "now", "2026-13-01T00:00:00Z", "1764000000"] {
            assert_eq!(parse_time(text), None);
        }
        format_time(Time(i64::MAX));
    }

    #[test]
    fn types_come_apart() {
        for (text, expected) in [
            ("dev.fleetcast.change.v1", Some(("change", 1))),
            ("dev.fleetcast.change.v12", Some(("change", 12))),
            ("dev.fleetcast.change", None),
            ("dev.fleetcast.change.vx", None),
            ("com.example.change.v1", None),
        ] {
            let headers = Headers::default().with(TYPE, text);
            assert_eq!(headers.event().ok(), expected, "{text}");
        }
    }
}
