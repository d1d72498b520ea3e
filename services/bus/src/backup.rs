//! The truth as portable files: acknowledgements and log with the bodies that it names, in compressed segments whose checksums are chained.
//!
//! ```text
//! DIR/backup.json      how many segments count, the digest of the last, up to where they reach; replaced at the end of a run
//! DIR/000001.fcb       "fleetcast backup 1", a line of JSON with the digest of the segment before, then zstd: records
//! ```
//!
//! Where the log was cut the first run copies the base before all else. A run copies the acknowledgements first, then the log to where it ends after that, with each body before the event that names it. What a
//! run that was cut left behind does not count and is written over. Reading goes from the last segment to the first, so that the one that
//! does not fit is named.

mod segment;
mod take;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fleetcast_core::digest;
use serde::{Deserialize, Serialize};

use crate::Error as BusError;

pub use segment::{Kind, Record};
pub use take::{Backup, Taken};
pub use verify::{Contents, verify};

/// The version of the form; raised when it changes.
const FORMAT: u32 = 1;
/// The file that says what counts.
const HEAD: &str = "backup.json";

/// The records of the first segment's file, whose digest is not looked at.
///
/// # Errors
/// Where it is damaged.
pub fn records(file: &[u8]) -> Result<Vec<Record>, Error> {
    segment::Segment::open("a segment", 1, file)?.records()
}

/// Why a backup cannot be taken or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing, cut, or not what it was.
    #[error("{file}: {reason}")]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds the backup of another log.
    #[error("{0}")]
    Foreign(String),
    /// The folder cannot be read or written.
    #[error("{path}: {error}")]
    Folder {
        /// Where.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Error {
    pub(crate) fn folder(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Folder {
            path: path.clone(),
            error,
        }
    }

    pub(crate) fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            reason: reason.into(),
        }
    }
}

/// What counts of a backup, and up to where it reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of the form.
    pub format: u32,
    /// How many segments count.
    pub segments: u64,
    /// The digest of the last of them; empty for none.
    pub last: String,
    /// Whose history the log told last: `<number>.<hub id>`.
    pub epoch: String,
    /// Over how many partitions acknowledgements are spread.
    pub partitions: u16,
    /// The log sequence of the base that is held, where the log had been cut before the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The first sequence of the log that is held.
    pub first: u64,
    /// The last sequence of the log that is held.
    pub log: u64,
    /// The digest of the event there.
    pub log_digest: String,
    /// The last sequence of acknowledgements that is held, by partition.
    pub acks: BTreeMap<u16, u64>,
    /// When the run ended (RFC 3339).
    pub taken_at: String,
}

/// The head with its own checksum.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    backup: Head,
    checksum: String,
}

fn checksum(head: &Head) -> String {
    digest::of_value(&serde_json::to_value(head).expect("a head has only string keys"))
}

/// What counts in `directory`; none where nothing does yet.
///
/// # Errors
/// Where it was changed, or is of another version.
pub fn head(directory: &Path) -> Result<Option<Head>, Error> {
    let path = directory.join(HEAD);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::folder(&path)(error)),
    };
    let sealed: Sealed = serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged(HEAD, format!("cannot be read: {error}")))?;
    if checksum(&sealed.backup) != sealed.checksum {
        return Err(Error::damaged(HEAD, "is not what its checksum says"));
    }
    if sealed.backup.format != FORMAT {
        let reason = format!(
            "is of version {}; this build reads {FORMAT}",
            sealed.backup.format
        );
        return Err(Error::damaged(HEAD, reason));
    }
    Ok(Some(sealed.backup))
}

fn write_head(directory: &Path, head: &Head) -> Result<(), Error> {
    let sealed = Sealed {
        checksum: checksum(head),
        backup: head.clone(),
    };
    let mut bytes = serde_json::to_vec_pretty(&sealed).expect("a head has only string keys");
    bytes.push(b'\n');
    write_whole(&directory.join(HEAD), &bytes)
}

/// Writes a file so that a crash leaves the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let next = path.with_extension("next");
    let write = || {
        let mut file = std::fs::File::create(&next)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&next, path)?;
        match path.parent() {
            Some(directory) => std::fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(Error::folder(path))
}

fn segment_name(number: u64) -> String {
    format!("{number:06}.fcb")
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(segment_name(number))
}
