//! Fold positions on disk: never the truth, only a quicker start. One that is missing, torn or of another version is folded anew.

use std::io;
use std::path::{Path, PathBuf};

use fleetcast_core::digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first line of a checkpoint; raised when what is kept changes its form.
const MAGIC: &str = "fleetcast checkpoint 1";

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
        let body = rmp_serde::to_vec_named(value).map_err(io::Error::other)?;
        let body = zstd::bulk::compress(&body, 1)?;
        let header = format!("{MAGIC}\n{}\n", digest::of_bytes(&body));
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let next = self.path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        io::Write::write_all(&mut file, header.as_bytes())?;
        io::Write::write_all(&mut file, &body)?;
        file.sync_all()?;
        std::fs::rename(next, &self.path)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
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
