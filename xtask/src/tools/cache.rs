//! A folder of tools (`target/tools/<name>-<version>/`): filled once, whole or not at all, also when two runs want it at the same time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Answers a tool's folder in the folder `tools`, after `fill` has filled it if it was not there.
///
/// `fill` works in a folder beside it that is renamed when it is done, so what is there is whole. A lock on a file makes a second
/// run wait instead of doing the work again; the system frees it when a run dies.
///
/// # Errors
/// What `fill` answers, and what the file system does.
pub(crate) fn filled_once(
    tools: &Path,
    folder: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let whole = tools.join(folder);
    if whole.is_dir() {
        return Ok(whole);
    }
    fs::create_dir_all(tools).with_context(|| format!("cannot create {}", tools.display()))?;

    let lock = File::create(tools.join(format!("{folder}.lock")))
        .with_context(|| format!("cannot create a lock in {}", tools.display()))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        eprintln!("tools: another run is bringing {folder}; waiting for it");
    }
    // Where the file system has no locks, the rename below still keeps halves away.
    let _held = lock.lock();
    if whole.is_dir() {
        return Ok(whole);
    }

    let partial = tools.join(format!("{folder}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| {
            format!(
                "cannot remove what is left of an earlier run in {}",
                partial.display()
            )
        })?;
    }
    fs::create_dir(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    fill(&partial)?;
    fs::rename(&partial, &whole)
        .with_context(|| format!("cannot rename {} to {}", partial.display(), whole.display()))?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use crate::workspace::Workspace;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{env, process, thread};

    use anyhow::bail;

    use super::*;

    /// A workspace of its own in the system's folder for such things, removed at the end.
    struct Scratch(Workspace);

    impl Scratch {
        fn new(name: &str) -> Self {
            let root = env::temp_dir().join(format!("xtask-{name}-{}", process::id()));
            Self(Workspace {
                target: root.join("target"),
                root,
            })
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    /// Shows that of eight runs at the same time one does the work and all get the whole folder.
    #[test]
    fn eight_at_once_fill_it_once() {
        let scratch = Scratch::new("once");
        let fills = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = filled_once(&scratch.0.tools(), "tool-1", |partial| {
                        fills.fetch_add(1, Ordering::SeqCst);
                        fs::write(partial.join("half"), "")?;
                        thread::yield_now();
                        Ok(fs::write(partial.join("other-half"), "")?)
                    })
                    .expect("the file system of the tests works");
                    assert!(folder.join("half").exists() && folder.join("other-half").exists());
                });
            }
        });
        assert_eq!(fills.load(Ordering::SeqCst), 1);
    }

    /// Shows that a failed run leaves nothing that the next one would take for whole.
    #[test]
    fn a_failed_fill_is_done_anew() {
        let scratch = Scratch::new("anew");
        let failed = filled_once(&scratch.0.tools(), "tool-1", |partial| {
            fs::write(partial.join("half"), "")?;
            bail!("the network went away")
        });
        assert!(failed.is_err());

        let folder = filled_once(&scratch.0.tools(), "tool-1", |partial| {
            Ok(fs::write(partial.join("whole"), "")?)
        })
        .expect("the second run works");
        assert!(folder.join("whole").exists() && !folder.join("half").exists());
    }
}
