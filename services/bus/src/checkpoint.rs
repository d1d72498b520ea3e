//! Fold positions on disk: never the truth, only a quicker start. One that is missing, torn or of another version is folded anew.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use fleetcast_core::digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first line of a checkpoint; raised when what is kept changes its form.
const MAGIC: &str = "fleetcast checkpoint 1";

/// How much is encoded before it is compressed, bytes.
const CHUNK: usize = 256 * 1024;
/// How many chunks may wait to be compressed.
const CHUNKS: usize = 16;

/// Where one service keeps its checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
}

impl Checkpoint {
    /// The checkpoint `name` in `directory`.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self {
            path: directory.join(format!("{name}.checkpoint")),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; none where there is none that can be used, which is logged.
    pub fn load<T: DeserializeOwned>(&self) -> Option<T> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %self.path.display(), %error, "the checkpoint cannot be read: folding anew");
                }
                return None;
            }
        };
        let read = parse(&bytes);
        if read.is_none() {
            tracing::warn!(path = %self.path.display(), "the checkpoint is damaged or of another version: folding anew");
        }
        read
    }

    /// Writes it, so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn save<T: Serialize>(&self, value: &T) -> io::Result<()> {
        self.begin(value)?.finish()
    }

    /// As [`Checkpoint::save`], but returns as soon as `value` is not needed any more: a thread compresses while it is encoded, and stores it then. However
    /// large it is, little of it is in memory at once beside what it is compressed to.
    ///
    /// # Errors
    /// Where no thread can be had, or the thread failed already.
    pub fn begin<T: Serialize>(&self, value: &T) -> io::Result<Saving> {
        let (sender, chunks) = mpsc::sync_channel(CHUNKS);
        let checkpoint = self.clone();
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn(move || checkpoint.store(&chunks))?;
        let mut writer = Chunks {
            sender,
            chunk: Vec::with_capacity(CHUNK),
        };
        let encoded = rmp_serde::encode::write_named(&mut writer, value)
            .map_err(io::Error::other)
            .and_then(|()| writer.end());
        drop(writer);
        match encoded {
            Ok(()) => Ok(Saving { thread }),
            // What the thread says is the cause, if it says something.
            Err(error) => Err(joined(thread).err().unwrap_or(error)),
        }
    }

    fn store(&self, chunks: &mpsc::Receiver<Option<Vec<u8>>>) -> io::Result<()> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1)?;
        loop {
            match chunks.recv() {
                Ok(Some(chunk)) => encoder.write_all(&chunk)?,
                Ok(None) => break,
                // It could not be encoded to its end.
                Err(mpsc::RecvError) => return Ok(()),
            }
        }
        let body = encoder.finish()?;
        let header = format!("{MAGIC}\n{}\n", digest::of_bytes(&body));
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let next = self.path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(header.as_bytes())?;
        file.write_all(&body)?;
        file.sync_all()?;
        std::fs::rename(next, &self.path)
    }
}

/// A checkpoint that is being compressed and stored.
#[derive(Debug)]
pub struct Saving {
    thread: JoinHandle<io::Result<()>>,
}

impl Saving {
    /// Whether [`Saving::finish`] would not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it is stored.
    ///
    /// # Errors
    /// Where it could not be.
    pub fn finish(self) -> io::Result<()> {
        joined(self.thread)
    }
}

fn joined(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that stores it panicked")))
}

/// Hands what is written to it on in chunks; none stands for the end.
struct Chunks {
    sender: mpsc::SyncSender<Option<Vec<u8>>>,
    chunk: Vec<u8>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.send(Some(chunk)).map_err(gone)
    }

    fn end(&mut self) -> io::Result<()> {
        self.send()?;
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.send(None).map_err(gone)
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the bytes of a checkpoint's file; none where they are damaged or of another version.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?.strip_prefix(b"\n")?;
    let (digest, body) = rest.split_at_checked(65)?;
    if digest::of_bytes(body).as_bytes() != &digest[..64] {
        return None;
    }
    let body = zstd::stream::decode_all(body).ok()?;
    rmp_serde::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_many_chunks_is_read_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let checkpoint = Checkpoint::new(directory.path(), "view");
        let value: Vec<u64> = (0..1_000_000).collect();
        let saving = checkpoint.begin(&value).expect("encoded");
        saving.finish().expect("stored");
        assert_eq!(checkpoint.load::<Vec<u64>>(), Some(value));
    }

    #[test]
    fn one_that_cannot_be_encoded_or_stored_says_why_and_leaves_the_old_one() {
        struct Bad;
        impl Serialize for Bad {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("it is bad"))
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        let checkpoint = Checkpoint::new(directory.path(), "view");
        checkpoint.save(&7_u64).expect("saved");
        let error = checkpoint.save(&Bad).expect_err("bad");
        assert!(error.to_string().contains("it is bad"), "{error}");
        assert_eq!(checkpoint.load::<u64>(), Some(7));
        let nowhere = Checkpoint::new(&directory.path().join("view.checkpoint"), "view");
        nowhere.save(&7_u64).expect_err("a file is no directory");
    }

    #[test]
    fn a_damaged_checkpoint_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let checkpoint = Checkpoint::new(directory.path(), "view");
        assert_eq!(checkpoint.load::<Vec<u64>>(), None);
        checkpoint.save(&vec![1_u64, 2, 3]).expect("saved");
        assert_eq!(checkpoint.load::<Vec<u64>>(), Some(vec![1, 2, 3]));
        let path = directory.path().join("view.checkpoint");
        let good = std::fs::read(&path).expect("read");
        for (index, length) in [
            (3, good.len()),
            (good.len() - 1, good.len()),
            (0, 10),
            (0, 0),
        ] {
            let mut bad = good[..length].to_vec();
            if let Some(byte) = bad.get_mut(index) {
                *byte ^= 1;
            }
            std::fs::write(&path, bad).expect("written");
            assert_eq!(checkpoint.load::<Vec<u64>>(), None);
        }
    }
}
