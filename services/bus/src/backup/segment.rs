//! One segment of a backup: a header that names the segment before it, and records.

use std::collections::BTreeMap;
use std::io::Read;

use fleetcast_core::digest;
use fleetcast_core::time::Time;
use fleetcast_schemas::{Headers, Message};
use serde::{Deserialize, Serialize};

use super::{Error, FORMAT};
use crate::range::{Dated, without_stored};
use crate::read::Stored;

/// How many bytes of records one segment holds before the next begins, before compression.
const FULL: usize = 16 * 1024 * 1024;
/// The largest segment that is read, before compression: a record is a message, a body, or smaller.
const LIMIT: u64 = 256 * 1024 * 1024;
/// zstd's own default.
const LEVEL: i32 = 3;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A message of a partition's acknowledgements.
    Ack(u16),
    /// An event of the log.
    Log,
    /// A large body, by its digest in `subject`.
    Body,
    /// A message of the base at which the log begins.
    Base,
}

/// One message, or one body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is of.
    pub kind: Kind,
    /// Its sequence; 0 for a body.
    pub sequence: u64,
    /// When it was stored first.
    pub time: Time,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its payload.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
}

impl Record {
    /// A message as a record.
    pub(crate) fn of(kind: Kind, dated: Dated) -> Self {
        let Dated {
            stored:
                Stored {
                    sequence,
                    stored_at: _,
                    message,
                },
            time,
        } = dated;
        let Message {
            subject,
            headers,
            payload,
        } = without_stored(message);
        let headers = headers.iter().filter(|(name, _)| !is_order(name));
        Self {
            kind,
            sequence,
            time,
            subject,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            payload,
        }
    }

    /// The message.
    pub(crate) fn message(self) -> Message {
        let headers = self.headers.iter();
        Message {
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect::<Headers>(),
            subject: self.subject,
            payload: self.payload,
        }
    }

    /// A digest of what it says and where it stands, whenever it was stored.
    pub(crate) fn digest(&self) -> String {
        let Self {
            kind: _,
            sequence,
            time: _,
            subject,
            headers,
            payload,
        } = self;
        let text = serde_json::to_vec(&(sequence, subject, headers, digest::of_bytes(payload)))
            .expect("a record has only string keys");
        digest::of_bytes(&text)
    }
}

/// Whether a header told the server how to store the message: that is done, and would be done again with a restored one.
fn is_order(name: &str) -> bool {
    ["Nats-Expected-", "Nats-Batch-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    segment: u64,
    /// The digest of the segment before; empty for the first.
    previous: String,
    /// How many bytes the records take before compression.
    length: u64,
    records: u64,
}

/// A segment that is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    bytes: Vec<u8>,
    records: u64,
}

impl Filling {
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    pub(super) fn push(&mut self, record: &Record) {
        let record = rmp_serde::to_vec_named(record).expect("a record always serializes");
        let length = u32::try_from(record.len()).expect("a record is smaller than 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&record);
        self.records += 1;
    }

    /// The whole file, behind the segment with the digest `previous`.
    pub(super) fn file(&mut self, number: u64, previous: &str) -> std::io::Result<Vec<u8>> {
        let header = Header {
            segment: number,
            previous: previous.to_owned(),
            length: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
            records: self.records,
        };
        let header = serde_json::to_string(&header).expect("a header has only string keys");
        let mut file = format!("fleetcast backup {FORMAT}\n{header}\n").into_bytes();
        file.extend(zstd::bulk::compress(&self.bytes, LEVEL)?);
        *self = Self::default();
        Ok(file)
    }
}

/// A segment that was read and is what its digest says.
pub(super) struct Segment {
    /// The digest of the segment before.
    pub(super) previous: String,
    name: String,
    length: u64,
    body: Vec<u8>,
}

impl Segment {
    /// Reads the segment `number` from its file.
    pub(super) fn open(name: &str, number: u64, file: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &str| Error::damaged(name, reason);
        let mut lines = file.splitn(3, |byte| *byte == b'\n');
        let (magic, header, body) = (lines.next(), lines.next(), lines.next());
        if magic != Some(format!("fleetcast backup {FORMAT}").as_bytes()) {
            return Err(damaged("is no segment of this version"));
        }
        let header: Header = header
            .and_then(|header| serde_json::from_slice(header).ok())
            .ok_or_else(|| damaged("has no header"))?;
        if header.segment != number {
            let reason = format!("is segment {}", header.segment);
            return Err(damaged(&reason));
        }
        if header.length > LIMIT {
            return Err(damaged("is larger than any segment that was written"));
        }
        Ok(Self {
            previous: header.previous,
            name: name.to_owned(),
            length: header.length,
            body: body.unwrap_or_default().to_vec(),
        })
    }

    /// Its records, in order.
    pub(super) fn records(self) -> Result<Vec<Record>, Error> {
        let damaged = |reason: String| Error::damaged(&self.name, reason);
        let mut bytes = Vec::new();
        zstd::stream::Decoder::new(self.body.as_slice())
            .and_then(|decoder| decoder.take(self.length + 1).read_to_end(&mut bytes))
            .map_err(|error| damaged(format!("cannot be decompressed: {error}")))?;
        if u64::try_from(bytes.len()).ok() != Some(self.length) {
            return Err(damaged("is not as long as it says".to_owned()));
        }
        let mut records = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (record, behind) = behind
                .split_at_checked(length)
                .ok_or_else(|| damaged("ends within a record".to_owned()))?;
            let record = rmp_serde::from_slice(record)
                .map_err(|error| damaged(format!("a record cannot be read: {error}")))?;
            records.push(record);
            rest = behind;
        }
        match rest {
            [] => Ok(records),
            _ => Err(damaged("ends within a record".to_owned())),
        }
    }
}
