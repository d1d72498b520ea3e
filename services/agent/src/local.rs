//! A local copy of what the cluster should hold, so that an agent that starts while the bus is away goes on healing.
//!
//! `DIR/position` says up to where the copy is complete, `DIR/work/<digest of the object>` is one item of work as it travels, below the SHA-256 of the rest. Files
//! are replaced, never changed, and readable by their owner alone: they hold Secrets. The copy is disposable; what cannot be read is passed over.
//!
//! **A copy is used only if nobody acted since.** Its position must reach what the cluster's own memory counts as done, in the same epoch and incarnation; else another
//! agent was at work, and the copy may name what was withdrawn. Then it is emptied and filled anew.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use fleetcast_core::digest;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::reconcile::Memory;
use fleetcast_core::work::Work;
use fleetcast_schemas::{Headers, event};
use serde::{Deserialize, Serialize};

/// Why a copy cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read or written.
    #[error("cannot keep a local copy in {0}: {1}")]
    Folder(PathBuf, io::Error),
    /// Two agents were given one folder.
    #[error(
        "{0} holds the local copy of cluster {1}: give each cluster's agent a folder of its own"
    )]
    OtherCluster(PathBuf, ClusterName),
}

/// Up to where a copy is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    cluster: ClusterName,
    memory: Memory,
}

/// A local copy; what is handed to it is written in order, by a thread of its own.
pub(crate) struct Copy {
    orders: mpsc::Sender<Order>,
    writer: JoinHandle<()>,
}

enum Order {
    Keep(Box<Work>),
    Drop(ObjectKey),
    Position(Position),
}

impl Copy {
    /// Opens the copy of `cluster` in `folder`, with the work in it; none where it is not known to be all up to `memory`.
    ///
    /// # Errors
    /// Where the folder cannot be used, or holds another cluster's copy.
    pub(crate) fn open(
        folder: &Path,
        cluster: &ClusterName,
        memory: &Memory,
    ) -> Result<(Self, Option<Vec<Work>>), Error> {
        let failed = |error| Error::Folder(folder.to_owned(), error);
        let files = Files {
            folder: folder.to_owned(),
        };
        files.make().map_err(failed)?;
        let position = files.position().map_err(failed)?;
        let kept = match position {
            Some(position) if position.cluster != *cluster => {
                return Err(Error::OtherCluster(folder.to_owned(), position.cluster));
            }
            Some(position) if reaches(&position.memory, memory) => {
                Some(files.read(cluster).map_err(failed)?)
            }
            Some(_) | None => {
                files.empty().map_err(failed)?;
                None
            }
        };
        let (orders, queue) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut is_broken = false;
            for order in queue {
                if let Err(error) = files.carry_out(order)
                    && !std::mem::replace(&mut is_broken, true)
                {
                    // An agent goes on without: the copy then ends before what is not written.
                    tracing::error!(folder = %files.folder.display(), %error, "the local copy is not kept any more");
                    drop(fs::remove_file(files.path("position")));
                }
                if is_broken {
                    break;
                }
            }
        });
        Ok((Self { orders, writer }, kept))
    }

    /// Keeps `work` in place of what was kept for its object.
    pub(crate) fn keep(&self, work: Box<Work>) {
        self.order(Order::Keep(work));
    }

    /// Keeps nothing for `object` any more.
    pub(crate) fn drop(&self, object: ObjectKey) {
        self.order(Order::Drop(object));
    }

    /// What was handed in so far is all work of `cluster` up to `memory`.
    pub(crate) fn is_complete_up_to(&self, cluster: ClusterName, memory: Memory) {
        self.order(Order::Position(Position { cluster, memory }));
    }

    fn order(&self, order: Order) {
        // Where the writer gave up it said so.
        drop(self.orders.send(order));
    }

    /// Waits until all that was handed in is written.
    pub(crate) async fn close(self) {
        let Self { orders, writer } = self;
        std::mem::drop(orders);
        let ended = tokio::task::spawn_blocking(move || writer.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the writer of the local copy did not end well");
        }
    }
}

/// Whether a copy that is complete up to `copy` holds all that `memory` counts as done.
fn reaches(copy: &Memory, memory: &Memory) -> bool {
    copy.epoch == memory.epoch
        && copy.incarnation == memory.incarnation
        && copy.n >= memory.n
        && memory.n > 0
}

struct Files {
    folder: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn path_of(&self, object: &ObjectKey) -> PathBuf {
        self.path("work")
            .join(digest::short(object.to_string().as_bytes()))
    }

    fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.path("work"))?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))
    }

    fn position(&self) -> io::Result<Option<Position>> {
        match fs::read(self.path("position")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, cluster: &ClusterName) -> io::Result<Vec<Work>> {
        let mut kept = Vec::new();
        for file in fs::read_dir(self.path("work"))? {
            let path = file?.path();
            match decode(cluster, &fs::read(&path)?) {
                Some(work) if self.path_of(&work.object) == path => kept.push(work),
                Some(_) | None => {
                    tracing::warn!(file = %path.display(), "passed over in the local copy: it is not whole");
                    fs::remove_file(path)?;
                }
            }
        }
        kept.sort_by_key(|work| work.stamp.n);
        Ok(kept)
    }

    fn empty(&self) -> io::Result<()> {
        remove(&self.path("position"))?;
        for file in fs::read_dir(self.path("work"))? {
            fs::remove_file(file?.path())?;
        }
        Ok(())
    }

    fn carry_out(&self, order: Order) -> io::Result<()> {
        match order {
            Order::Keep(work) => self.replace(&self.path_of(&work.object), &encode(&work)),
            Order::Drop(object) => remove(&self.path_of(&object)),
            Order::Position(position) => {
                let bytes = serde_json::to_vec(&position).expect("it has only string keys");
                self.replace(&self.path("position"), &bytes)
            }
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = self.path("new");
        let mut file = File::create(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        fs::rename(new, path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A digest, the headers as JSON, and the body, in a line each.
fn encode(work: &Work) -> Vec<u8> {
    let message = event::work(work, 0);
    let headers: BTreeMap<&str, &str> = message.headers.iter().collect();
    let mut rest = serde_json::to_vec(&headers).expect("it has only string keys");
    rest.push(b'\n');
    rest.extend_from_slice(&message.payload);
    let mut bytes = format!("{}\n", digest::of_bytes(&rest)).into_bytes();
    bytes.append(&mut rest);
    bytes
}

fn decode(cluster: &ClusterName, bytes: &[u8]) -> Option<Work> {
    let line = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n');
    let (digest, rest) = bytes.split_at_checked(line(bytes)?)?;
    let rest = &rest[1..];
    if digest != digest::of_bytes(rest).as_bytes() {
        return None;
    }
    let (headers, payload) = rest.split_at_checked(line(rest)?)?;
    let mut read = Headers::default();
    for (name, value) in serde_json::from_slice::<BTreeMap<String, String>>(headers).ok()? {
        read.set(&name, value);
    }
    event::read_work(cluster, &read, &payload[1..]).ok()
}

#[cfg(test)]
mod tests;
