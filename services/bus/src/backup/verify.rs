//! Reading a backup: every segment is what its successor says, and the records are all there, before anything is done with them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fleetcast_core::digest;

use super::segment::{Kind, Record, Segment};
use super::{Error, HEAD, Head, head, segment_name, segment_path};
use crate::bodies::dataref;

/// A backup that is whole.
#[derive(Debug, Clone)]
pub struct Contents {
    /// What it holds.
    pub head: Head,
    /// How many records it holds.
    pub records: u64,
    directory: PathBuf,
}

/// Reads all of the backup in `directory`, and says after each segment how many were read, of how many.
///
/// # Errors
/// Names the file that is missing, cut or changed.
pub fn verify(directory: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Contents, Error> {
    let head = head(directory)?.ok_or_else(|| {
        let reason = "is not there: this is no backup, or none was ever finished";
        Error::damaged(HEAD, reason)
    })?;
    // From the last to the first: only what a good file says of the one before it is believed.
    let mut expected = head.last.clone();
    for number in (1..=head.segments).rev() {
        expected = open(directory, number, &expected)?.previous;
    }
    if !expected.is_empty() {
        let reason = "names a segment before it, and there is none";
        return Err(Error::damaged(segment_name(1), reason));
    }
    let mut contents = Contents {
        records: 0,
        directory: directory.to_owned(),
        head,
    };
    let mut log = contents.head.first - 1;
    let mut bodies = BTreeSet::new();
    let mut has_base = false;
    let mut last = String::new();
    for number in 1..=contents.head.segments {
        let damaged = |reason: String| Error::damaged(segment_name(number), reason);
        for record in contents.segment(number)? {
            contents.records += 1;
            match record.kind {
                Kind::Ack(_) => {}
                Kind::Base => has_base = true,
                Kind::Body => {
                    if digest::of_bytes(&record.payload) != record.subject {
                        return Err(damaged(format!("body {} is not itself", record.subject)));
                    }
                    bodies.insert(record.subject);
                }
                Kind::Log => {
                    if record.sequence != log + 1 {
                        return Err(damaged(format!(
                            "event {} follows event {log}",
                            record.sequence
                        )));
                    }
                    log = record.sequence;
                    last = record.digest();
                    if let Some(digest) = dataref(&record.message())
                        && !bodies.contains(digest)
                    {
                        return Err(damaged(format!("event {log} names a body that is missing")));
                    }
                }
            }
        }
        progress(number, contents.head.segments);
    }
    if contents.head.first > 1 && !has_base {
        let reason = format!(
            "says that the log begins at {}, and no segment holds the base that says what was before",
            contents.head.first
        );
        return Err(Error::damaged(HEAD, reason));
    }
    if log != contents.head.log || (log > 0 && last != contents.head.log_digest) {
        let reason = format!(
            "says that the log ends at {}, and the segments end at {log}",
            contents.head.log
        );
        return Err(Error::damaged(HEAD, reason));
    }
    Ok(contents)
}

fn open(directory: &Path, number: u64, expected: &str) -> Result<Segment, Error> {
    let name = segment_name(number);
    let file = std::fs::read(segment_path(directory, number)).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "is missing".to_owned(),
            _ => error.to_string(),
        };
        Error::damaged(&name, reason)
    })?;
    if digest::of_bytes(&file) != expected {
        let reason = format!(
            "is not what it was: {} bytes, whose checksum is not that in the next one",
            file.len()
        );
        return Err(Error::damaged(name, reason));
    }
    Segment::open(&name, number, &file)
}

impl Contents {
    /// The records of one segment, counted from 1.
    ///
    /// # Errors
    /// Where the file is no longer what it was.
    pub fn segment(&self, number: u64) -> Result<Vec<Record>, Error> {
        let name = segment_name(number);
        let file = std::fs::read(segment_path(&self.directory, number))
            .map_err(|error| Error::damaged(&name, error.to_string()))?;
        Segment::open(&name, number, &file)?.records()
    }
}
