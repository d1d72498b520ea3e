//! How many control planes run at once: each takes about 300 MiB, and its start all cores.
//!
//! Within a test binary at most [`AT_ONCE`], one of them for the shared one. Between test binaries (several checkouts on one machine) at most
//! [`BINARIES`] have any: each holds the lock of a file in the system's folder for such things, which the system frees when it ends.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// How many a binary runs at once besides the shared one. No test may ask for more.
const AT_ONCE: u32 = 4;
/// How many binaries run any.
const BINARIES: u32 = 2;

/// The right to run one; given back when it is dropped.
pub(super) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Waits for `count` slots; all at once, so that two tests never wait for each other.
pub(super) async fn take(count: u32) -> Vec<Slot> {
    static OWN: OnceCell<Arc<Semaphore>> = OnceCell::const_new();
    assert!(
        (1..=AT_ONCE).contains(&count),
        "a test may have 1 to {AT_ONCE} control planes, not {count}"
    );
    binary().await;
    let own = OWN
        .get_or_init(async || Arc::new(Semaphore::new(AT_ONCE as usize)))
        .await;
    let mut all = own
        .clone()
        .acquire_many_owned(count)
        .await
        .expect("nobody closes it");
    let split = (1..count).map(|_| all.split(1)).collect::<Vec<_>>();
    split
        .into_iter()
        .chain([Some(all)])
        .map(|permit| Slot { _permit: permit })
        .collect()
}

/// The slot of the shared one.
pub(super) async fn shared() -> Slot {
    binary().await;
    Slot { _permit: None }
}

/// Waits until this binary may run any; it may then until it ends.
async fn binary() {
    static HELD: OnceCell<File> = OnceCell::const_new();
    HELD.get_or_init(async || {
        let mut said = false;
        loop {
            for number in 0..BINARIES {
                if let Some(held) = try_lock(number) {
                    return held;
                }
            }
            if !said {
                said = true;
                eprintln!("waiting: {BINARIES} other test binaries run control planes");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

fn try_lock(number: u32) -> Option<File> {
    let path = std::env::temp_dir().join(format!("fleetcast-control-planes-{number}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .expect("the system's folder for such things");
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        // A file system without locks limits nobody.
        Err(TryLockError::Error(_)) => Some(file),
    }
}
