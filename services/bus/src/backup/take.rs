//! Taking a backup: what is new since the last run, while everything goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use fleetcast_core::digest;
use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::format_time;

use super::segment::{Filling, Kind, Record};
use super::{Error, FORMAT, Head, head, segment_name, segment_path, write_head, write_whole};
use crate::bodies::dataref;
use crate::range::Part;
use crate::{Bus, Error as BusError, streams};

/// A folder that backups go to, held by one process at a time.
pub struct Backup {
    directory: PathBuf,
    head: Option<Head>,
    _lock: File,
}

/// What one run wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Up to where the backup reaches now.
    pub head: Head,
    /// Events of the log, messages of acknowledgements and bodies written.
    pub records: u64,
    /// Segments written.
    pub segments: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Backup {
    /// Opens `directory`, made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be written, another process writes to it, or what it holds is damaged at its end.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let folder = Error::folder(directory);
        std::fs::create_dir_all(directory).map_err(&folder)?;
        let lock = File::create(directory.join("lock")).map_err(&folder)?;
        if lock.try_lock().is_err() {
            return Err(Error::Foreign(format!(
                "another process writes a backup to {}",
                directory.display()
            )));
        }
        let head = head(directory)?;
        if let Some(head) = head.as_ref().filter(|head| head.segments > 0) {
            let name = segment_name(head.segments);
            let file = std::fs::read(segment_path(directory, head.segments))
                .map_err(|error| Error::damaged(&name, error.to_string()))?;
            if digest::of_bytes(&file) != head.last {
                return Err(Error::damaged(name, "is not what its checksum says"));
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            head,
            _lock: lock,
        })
    }

    /// Writes what is new, and says after each message how many were copied, of how many.
    ///
    /// # Errors
    /// Where the bus does not answer or tells another history than the folder holds; what was held before still counts then.
    pub async fn run(
        &mut self,
        bus: &Bus,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Taken, Error> {
        let beginning = bus.beginning().await?.ok_or_else(|| {
            let nothing = "the log has no beginning yet: there is nothing to back up";
            BusError::Refused(nothing.to_owned())
        })?;
        let held = self.head.clone();
        if let Some(held) = &held {
            same_log(bus, held, &self.directory).await?;
        }
        let mut writing = Writing::after(&self.directory, held.as_ref());
        // The base before the acknowledgements that it is folded to, and the log that goes on behind it.
        let base = match &held {
            None => bus.base().await?,
            Some(_) => None,
        };
        // Acknowledgements first: what they answer stands in the log that is read after them.
        let mut parts = Vec::new();
        let mut acks = BTreeMap::new();
        for partition in 0..beginning.partitions {
            let stream = streams::acks(partition);
            let after = held.as_ref().and_then(|held| held.acks.get(&partition));
            let after = after.copied().unwrap_or(0);
            let last = bus.last_sequence(&stream).await?;
            // What aged out before it was read counts as read.
            acks.insert(partition, last.max(after));
            parts.push((Kind::Ack(partition), stream, after, last));
        }
        let bounds = bus.bounds(streams::LOG).await?;
        let after = held.as_ref().map_or(bounds.first - 1, |held| held.log);
        if bounds.first > after + 1 {
            return Err(Error::Foreign(format!(
                "the log begins at {}, and this backup reaches to {after}: what lies between was cut away; take a new one into an empty folder",
                bounds.first
            )));
        }
        if let Some(base) = &base {
            if bounds.first > base.head.log + 1 {
                return Err(cut_meanwhile());
            }
            let (first, last) = (base.first - 1, base.at);
            parts.insert(0, (Kind::Base, streams::BASE.to_owned(), first, last));
        }
        parts.push((Kind::Log, streams::LOG.to_owned(), after, bounds.last));
        let of = parts
            .iter()
            .map(|(_, _, after, last)| last.saturating_sub(*after));
        let (mut done, of, mut log) = (0, of.sum(), after);
        for (kind, stream, after, last) in parts {
            let part = Part {
                from: after + 1,
                upto: Some(last),
                bodies_stay: true,
                ..Part::default()
            };
            let mut messages = bus.range(&stream, part).await?;
            while let Some(dated) = messages.next().await? {
                if kind == Kind::Log {
                    if dated.stored.sequence != log + 1 {
                        return Err(cut_meanwhile());
                    }
                    log = dated.stored.sequence;
                    writing.body_of(bus, dataref(&dated.stored.message)).await?;
                }
                writing.push(Record::of(kind, dated)).await?;
                done += 1;
                progress(done, of);
            }
        }
        writing.flush().await?;
        let head = Head {
            format: FORMAT,
            segments: writing.number,
            last: writing.previous,
            epoch: beginning.epoch.to_string(),
            partitions: beginning.partitions,
            base: match &held {
                Some(held) => held.base,
                None => base.map(|base| base.head.log),
            },
            first: held.as_ref().map_or(bounds.first, |held| held.first),
            log,
            log_digest: writing.log_digest,
            acks,
            taken_at: format_time(crate::now()),
        };
        if writing.records > 0 || self.head.is_none() {
            write_head(&self.directory, &head)?;
            self.head = Some(head.clone());
        }
        Ok(Taken {
            head,
            records: writing.records,
            segments: writing.segments,
            bytes: writing.bytes,
        })
    }
}

/// Says that the log goes on behind what is held.
async fn same_log(bus: &Bus, held: &Head, directory: &Path) -> Result<(), Error> {
    let there = match bus.log_digest(held.log).await? {
        // The log may have been cut just there: then its base says what it was.
        None => bus
            .base()
            .await?
            .filter(|base| base.head.log == held.log)
            .map(|base| base.head.log_digest),
        there => there,
    };
    if there.as_ref() == Some(&held.log_digest) {
        return Ok(());
    }
    let why = match there {
        None => format!(
            "the log has no event {} (any more), the last that it holds",
            held.log
        ),
        Some(_) => format!("event {} is not the one that it holds", held.log),
    };
    Err(Error::Foreign(format!(
        "{} holds a backup of another log (epoch {}): {why}; take this one into another folder",
        directory.display(),
        held.epoch
    )))
}

fn cut_meanwhile() -> Error {
    let message = "the log was cut while it was read: run the backup again";
    BusError::Refused(message.to_owned()).into()
}

/// Segments under way.
struct Writing {
    directory: PathBuf,
    filling: Filling,
    /// The last segment that was written, and its digest.
    number: u64,
    previous: String,
    log_digest: String,
    /// The bodies that were written in this run.
    bodies: BTreeSet<String>,
    records: u64,
    segments: u64,
    bytes: u64,
}

impl Writing {
    fn after(directory: &Path, held: Option<&Head>) -> Self {
        Self {
            directory: directory.to_owned(),
            filling: Filling::default(),
            number: held.map_or(0, |held| held.segments),
            previous: held.map(|held| held.last.clone()).unwrap_or_default(),
            log_digest: held.map(|held| held.log_digest.clone()).unwrap_or_default(),
            bodies: BTreeSet::new(),
            records: 0,
            segments: 0,
            bytes: 0,
        }
    }

    /// Writes the body that an event names before the event.
    async fn body_of(&mut self, bus: &Bus, digest: Option<&str>) -> Result<(), Error> {
        let Some(digest) = digest.filter(|digest| !self.bodies.contains(*digest)) else {
            return Ok(());
        };
        let payload = bus.body(digest).await?;
        self.bodies.insert(digest.to_owned());
        let record = Record {
            kind: Kind::Body,
            sequence: 0,
            time: Time::default(),
            subject: digest.to_owned(),
            headers: BTreeMap::new(),
            payload,
        };
        self.push(record).await
    }

    async fn push(&mut self, record: Record) -> Result<(), Error> {
        if record.kind == Kind::Log {
            self.log_digest = record.digest();
        }
        self.filling.push(&record);
        self.records += 1;
        match self.filling.is_full() {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let (mut filling, number) = (std::mem::take(&mut self.filling), self.number + 1);
        let (previous, path) = (self.previous.clone(), segment_path(&self.directory, number));
        // Compressing and syncing take their time: not on a thread that others wait for.
        let written = tokio::task::spawn_blocking(move || {
            let file = filling
                .file(number, &previous)
                .map_err(Error::folder(&path))?;
            write_whole(&path, &file)?;
            Ok::<_, Error>((digest::of_bytes(&file), file.len()))
        });
        let (digest, length) = written
            .await
            .map_err(|error| BusError::Unavailable(error.to_string()))??;
        self.number = number;
        self.previous = digest;
        self.segments += 1;
        self.bytes += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(())
    }
}
