//! The base: the folded truth at a retention cut, in parts whose digests are chained, with a head behind them that makes it count.
//!
//! ```text
//! FC_BASE   fc.base.part   a part of a section: MessagePack, compressed with zstd, cut
//!           …
//!           fc.base.head   the cut, and the sections with the digest of the last part of each
//! ```
//!
//! Whoever folds the log from its beginning begins at the newest base instead. A base is written, read back and compared before its head is
//! stored, and the log is cut behind that: what is killed in between leaves a log that is whole, or a base that is. Sections are named by
//! whoever folds them; what is in them is not known here.

use fleetcast_core::digest;
use fleetcast_core::epoch::Beginning;
use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::DIGEST;
use fleetcast_schemas::event::{self, Base, Section};
use fleetcast_schemas::{codec, subject};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::append::Expected;
use crate::backup::{Kind, Record};
use crate::range::Part;
use crate::{Bus, Error, streams};

/// The version of the form of the sections that this build writes; it reads all up to that. 2: with a section `hub`, without which the watch of a hub would
/// not know what is cut away.
pub const FORMAT: u32 = 2;
/// How long one part is at most, bytes.
const PART: usize = 512 * 1024;
/// zstd's own default.
const LEVEL: i32 = 3;
/// The longest section that is read, bytes: far above what any fleet has, so that a damaged head cannot ask for all memory.
const LIMIT: u64 = 64 << 30;

/// A base whose head stands in the stream, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub head: Base,
    /// The sequence of its first part.
    pub first: u64,
    /// The sequence of its head, one behind its last part.
    pub at: u64,
}

impl Found {
    /// Whether it has a section of that name.
    pub fn has(&self, name: &str) -> bool {
        let mut sections = self.head.sections.iter();
        sections.any(|section| section.name == name)
    }
}

/// A section that is to be written.
pub struct Content {
    name: &'static str,
    length: u64,
    compressed: Vec<u8>,
}

impl Content {
    /// The section `name`.
    ///
    /// # Errors
    /// Where it cannot be serialized or compressed.
    pub fn of<T: Serialize>(name: &'static str, value: &T) -> Result<Self, Error> {
        let bytes = rmp_serde::to_vec_named(value).map_err(Error::refused)?;
        let compressed = zstd::bulk::compress(&bytes, LEVEL).map_err(Error::refused)?;
        Ok(Self {
            name,
            length: bytes.len() as u64,
            compressed,
        })
    }

    /// A digest over what it says.
    pub fn digest(&self) -> String {
        digest::of_bytes(&self.compressed)
    }

    /// How many bytes it takes in the stream.
    pub fn size(&self) -> u64 {
        self.compressed.len() as u64
    }
}

/// What a base says of itself, besides its sections.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The log sequence up to which it is folded.
    pub log: u64,
    /// The newest time in the log up to there.
    pub time: Time,
    /// The sequence up to which acknowledgements are folded, by partition.
    pub acks: std::collections::BTreeMap<u16, u64>,
    /// When these were read.
    pub answered_by: Time,
    /// Whose history the log tells, and over how many partitions.
    pub beginning: Beginning,
}

impl Bus {
    /// The newest base; none where there is none and none is needed.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the log begins behind what any base holds, or the newest base is of a later form; else where the bus does not answer.
    pub async fn base(&self) -> Result<Option<Found>, Error> {
        let found = match self.info_of(streams::BASE).await? {
            Some(info) if info.state.messages > 0 => {
                self.newest_of(streams::BASE, subject::BASE_HEAD).await?
            }
            Some(_) | None => None,
        };
        let first = match self.info_of(streams::LOG).await? {
            Some(info) => info.state.first_sequence.max(1),
            None => 1,
        };
        let Some(stored) = found else {
            if first > 1 {
                return Err(Error::Unfit(format!(
                    "the log begins at {first}, and {} holds no base that says what was before: restore from a backup",
                    streams::BASE
                )));
            }
            return Ok(None);
        };
        let message = stored.message;
        let head = event::read_base(&message.headers, &message.payload).map_err(|error| {
            damaged(&format!(
                "its head at {} cannot be read: {error}",
                stored.sequence
            ))
        })?;
        if head.format > FORMAT {
            return Err(Error::Unfit(format!(
                "the base in {} is of version {}; this build reads {FORMAT}: use a newer one",
                streams::BASE,
                head.format
            )));
        }
        if first > head.log + 1 {
            return Err(Error::Unfit(format!(
                "the log begins at {first}, and the base in {} reaches to {}: what lies between is missing; restore from a backup",
                streams::BASE,
                head.log
            )));
        }
        let parts = head
            .sections
            .iter()
            .map(|section| section.parts)
            .sum::<u64>();
        Ok(Some(Found {
            first: stored.sequence.saturating_sub(parts),
            at: stored.sequence,
            head,
        }))
    }

    /// One section of a base.
    ///
    /// # Errors
    /// [`Error::Unfit`] where a part is missing or not what it was; else where the bus does not answer.
    pub async fn base_section<T: DeserializeOwned + Send + 'static>(
        &self,
        base: &Found,
        name: &str,
    ) -> Result<T, Error> {
        let mut from = base.first;
        let mut sections = base.head.sections.iter();
        let section = loop {
            match sections.next() {
                Some(section) if section.name == name => break section,
                Some(section) => from += section.parts,
                None => return Err(damaged(&format!("it has no section {name:?}"))),
            }
        };
        let bytes = self.read_section(section, from).await?;
        // Decoding takes its time: not on a thread that others wait for.
        let decoded = tokio::task::spawn_blocking(move || rmp_serde::from_slice(&bytes));
        decoded
            .await
            .map_err(Error::unavailable)?
            .map_err(|error| damaged(&format!("section {name:?} cannot be read: {error}")))
    }

    async fn read_section(&self, section: &Section, from: u64) -> Result<Vec<u8>, Error> {
        let Section {
            name,
            parts,
            bytes,
            digest,
        } = section;
        let wrong = |reason: &str| damaged(&format!("section {name:?} {reason}"));
        let part = Part {
            from,
            upto: Some(from + parts - 1),
            ..Part::default()
        };
        let mut range = self.range(streams::BASE, part).await?;
        let (mut compressed, mut chain, mut sequence) = (Vec::new(), String::new(), from);
        while let Some(dated) = range.next().await? {
            let stored = dated.stored;
            if stored.sequence != sequence || stored.message.subject != subject::BASE_PART {
                return Err(wrong(&format!("lacks its part at {sequence}")));
            }
            chain = event::base_part_digest(&chain, &stored.message.payload);
            if stored.message.headers.get(DIGEST) != Some(chain.as_str()) {
                return Err(wrong(&format!(
                    "is not what it was: the part at {sequence}"
                )));
            }
            compressed.extend_from_slice(&stored.message.payload);
            sequence += 1;
        }
        if sequence != from + parts {
            return Err(wrong(&format!("lacks its part at {sequence}")));
        }
        if chain != *digest {
            return Err(wrong("is not the one that its head names"));
        }
        let length = *bytes;
        let decompressed = tokio::task::spawn_blocking(move || decompress(&compressed, length));
        let decompressed = decompressed.await.map_err(Error::unavailable)?;
        decompressed.map_err(|reason| wrong(&reason))
    }

    /// Whose history the log told last: its newest epoch, or that of the base where it was cut behind that. None where there is no log yet.
    ///
    /// # Errors
    /// Where the bus does not answer; as [`Bus::base`].
    pub async fn beginning(&self) -> Result<Option<Beginning>, Error> {
        match self.newest_of(streams::LOG, subject::EPOCH).await? {
            Some(stored) => {
                let message = stored.message;
                Ok(Some(codec::decode(&message.payload, &message.headers)?))
            }
            None => Ok(self.base().await?.map(|base| base.head.beginning)),
        }
    }

    /// Writes the parts of a base behind what stands in the stream. It counts when its head is stored ([`Bus::finish_base`]).
    ///
    /// # Errors
    /// [`Error::Refused`] where somebody else writes one; [`Error::Full`]; where the bus does not answer.
    pub async fn write_base(&self, cut: Cut, contents: &[Content]) -> Result<Found, Error> {
        let mut last = self.last_sequence(streams::BASE).await?;
        let first = last + 1;
        let mut sections = Vec::new();
        for content in contents {
            let mut chain = String::new();
            let parts = content.compressed.chunks(PART.min(self.payload_limit()));
            let mut count = 0;
            for part in parts {
                let (digest, message) = event::base_part(&chain, part.to_vec());
                last = self.append_to_base(message, last).await?;
                (chain, count) = (digest, count + 1);
            }
            sections.push(Section {
                name: content.name.to_owned(),
                parts: count,
                bytes: content.length,
                digest: chain,
            });
        }
        let log_digest = self.log_digest(cut.log).await?.ok_or_else(|| {
            Error::Refused(format!("the log holds no event {} any more", cut.log))
        })?;
        let Cut {
            log,
            time,
            acks,
            answered_by,
            beginning,
        } = cut;
        let head = Base {
            format: FORMAT,
            log,
            log_digest,
            time,
            acks,
            answered_by,
            beginning,
            sections,
        };
        Ok(Found {
            head,
            first,
            at: last + 1,
        })
    }

    /// Stores the head of a base whose parts are written: from now on it counts.
    ///
    /// # Errors
    /// As [`Bus::write_base`].
    pub async fn finish_base(&self, base: &Found) -> Result<(), Error> {
        let message = event::base(&base.head, crate::now());
        self.append_to_base(message, base.at - 1).await.map(drop)
    }

    async fn append_to_base(
        &self,
        message: fleetcast_schemas::Message,
        last: u64,
    ) -> Result<u64, Error> {
        match self.append(message, Expected::OfStream(last)).await {
            Err(Error::Conflict(_)) => Err(Error::Refused(format!(
                "somebody else writes to {}: let one run end before the next",
                streams::BASE
            ))),
            outcome => outcome,
        }
    }

    /// Takes everything away that a finished base stands for: the log up to its cut, then older bases.
    ///
    /// # Errors
    /// Where the base does not count, or the server does not answer.
    pub async fn cut(&self, base: &Found) -> Result<(), Error> {
        self.cut_log(base).await?;
        self.forget_older_bases(base).await
    }

    /// The first half of [`Bus::cut`].
    ///
    /// # Errors
    /// As [`Bus::cut`].
    pub async fn cut_log(&self, base: &Found) -> Result<(), Error> {
        if self.base().await?.as_ref() != Some(base) {
            return Err(Error::Refused(format!(
                "the base at {} is not the newest in {}: the log is not cut",
                base.at,
                streams::BASE
            )));
        }
        self.purge(streams::LOG, base.head.log + 1).await
    }

    /// The second half of [`Bus::cut`]: older bases, and what runs left that were killed.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn forget_older_bases(&self, base: &Found) -> Result<(), Error> {
        self.purge(streams::BASE, base.first).await
    }

    /// Takes away what stands before `first` in a stream.
    async fn purge(&self, stream: &str, first: u64) -> Result<(), Error> {
        let handle = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        let purged = handle.purge().sequence(first).await;
        purged
            .map(drop)
            .map_err(|error| Error::Refused(format!("{stream} cannot be cut: {error}")))
    }

    /// The digest of the event at `sequence`, as a backup has it; none where it is gone.
    pub(crate) async fn log_digest(&self, sequence: u64) -> Result<Option<String>, Error> {
        let part = Part {
            from: sequence,
            upto: Some(sequence),
            bodies_stay: true,
            ..Part::default()
        };
        let there = self.range(streams::LOG, part).await?.next().await?;
        let there = there.filter(|dated| dated.stored.sequence == sequence);
        Ok(there.map(|dated| Record::of(Kind::Log, dated).digest()))
    }

    /// How many bytes a stream takes.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn size_of(&self, stream: &str) -> Result<u64, Error> {
        Ok(self
            .info_of(stream)
            .await?
            .map_or(0, |info| info.state.bytes))
    }

    /// Says that a hub may run on this bus.
    ///
    /// # Errors
    /// [`Error::Refused`] where it is a mirror, or is being restored or promoted.
    pub async fn refuse_no_hub(&self) -> Result<(), Error> {
        if self.is_restoring().await? {
            return Err(Error::Refused("the log is being restored".to_owned()));
        }
        match self.is_no_hub().await? {
            Some(why) => Err(Error::Refused(why)),
            None => Ok(()),
        }
    }

    /// Lets acknowledgements be kept for so long before they age out.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub async fn keep_acks_for(
        &self,
        partition: u16,
        age: std::time::Duration,
    ) -> Result<(), Error> {
        let name = streams::acks(partition);
        let info = self.info_of(&name).await?;
        let config = info
            .map(|info| info.config)
            .ok_or_else(|| Error::Refused(format!("there is no stream {name}")))?;
        let config = async_nats::jetstream::stream::Config {
            max_age: age,
            ..config
        };
        self.jetstream
            .update_stream(config)
            .await
            .map(drop)
            .map_err(|error| Error::Refused(format!("stream {name}: {error}")))
    }
}

/// What the parts of a section hold together, which is `length` bytes.
fn decompress(compressed: &[u8], length: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut whole = Vec::new();
    zstd::stream::Decoder::new(compressed)
        .and_then(|decoder| decoder.take(length.min(LIMIT) + 1).read_to_end(&mut whole))
        .map_err(|error| format!("cannot be decompressed: {error}"))?;
    match whole.len() as u64 == length {
        true => Ok(whole),
        false => Err(format!(
            "is not as long as its head says: {} bytes",
            compressed.len()
        )),
    }
}

/// Reads a section from the bytes of its parts, which hold `length` bytes: what [`Bus::base_section`] does once their digests are right.
///
/// # Errors
/// What is wrong with it.
pub fn section<T: DeserializeOwned>(compressed: &[u8], length: u64) -> Result<T, String> {
    rmp_serde::from_slice(&decompress(compressed, length)?).map_err(|error| error.to_string())
}

fn damaged(reason: &str) -> Error {
    Error::Unfit(format!(
        "the base in {} is damaged: {reason}; restore from a backup, or, while the log still begins at 1, take the stream away",
        streams::BASE
    ))
}
