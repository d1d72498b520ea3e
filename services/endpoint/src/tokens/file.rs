//! The file of tokens: looked at again when it changes, and changed by `fleetcast auth token`.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleetcast_core::time::Time;

use super::{Caller, Token, Tokens, read_line};

/// How often the file is looked at, at most: a token that is taken out is refused after that long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest file that is read, bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The time now, by which tokens end.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

/// The text of a file, and its tokens; nothing where there is none yet.
///
/// # Errors
/// Why it cannot be read.
pub fn read(path: &Path) -> Result<Tokens, String> {
    match load(path) {
        Ok((_, tokens)) => Ok(tokens),
        Err(_) if is_missing(path) => Ok(Tokens::default()),
        Err(why) => Err(why),
    }
}

/// Adds a token to the file, which is made where there is none.
///
/// # Errors
/// Why it cannot be read or written; nothing changed then.
pub fn add(path: &Path, token: &Token) -> Result<(), String> {
    let mut text = match load(path) {
        Ok((text, _)) => text,
        Err(_) if is_missing(path) => {
            "# name role sha256:HASH [kinds=…] [namespaces=…] [until=TIME]: fleetcast auth token\n"
                .to_owned()
        }
        Err(why) => return Err(why),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{token}\n"));
    Tokens::read(&text)?;
    replace(path, &text)
}

/// Takes every token of a name out: how many.
///
/// # Errors
/// Why the file cannot be read or written; nothing changed then.
pub fn remove(path: &Path, name: &str) -> Result<usize, String> {
    let (text, _) = load(path)?;
    let is_his = |line: &str| matches!(read_line(line), Ok(Some(token)) if token.name == name);
    let gone = text.lines().filter(|line| is_his(line)).count();
    if gone > 0 {
        let kept = text.lines().filter(|line| !is_his(line));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        replace(path, &kept)?;
    }
    Ok(gone)
}

fn is_missing(path: &Path) -> bool {
    matches!(std::fs::metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Writes the file anew in one step: with the mode that it had, else for its owner only.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = PathBuf::from(next);
    let mode = std::fs::metadata(path).map_or(0o600, |known| known.permissions().mode() & 0o777);
    let write = || {
        // What a process that was killed left is not taken over: its mode may be another.
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&next)?;
        // The mode of a new file is cut by the umask.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A file of tokens that is looked at again when it changes. While it cannot be read, what was read last counts.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    tokens: Tokens,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// By what a file is seen to have changed.
type Stamp = (SystemTime, u64);

impl TokenFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Why it cannot be used; also where nobody would be let in.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let stamp = stamp(path);
        let (_, tokens) = load(path)?;
        if tokens == Tokens::default() {
            return Err("it names no token".to_owned());
        }
        let known = Known {
            tokens,
            stamp,
            looked: Instant::now(),
        };
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(known),
        })
    }

    /// Whose token it is, by the file as it is now.
    pub(crate) fn whose(&self, token: &str) -> Option<Caller> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK_AGAIN {
            self.look_again(&mut known);
        }
        known.tokens.whose(token, now()).cloned()
    }

    fn look_again(&self, known: &mut Known) {
        known.looked = Instant::now();
        let stamp = stamp(&self.path);
        if stamp == known.stamp {
            return;
        }
        known.stamp = stamp;
        match load(&self.path) {
            Ok((_, tokens)) => {
                tracing::info!(path = %self.path.display(), "the tokens changed");
                known.tokens = tokens;
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), error, "the tokens cannot be read: those read before still count");
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(path: &Path) -> Result<(String, Tokens), String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > FILE_LIMIT {
        return Err(format!("it is longer than {FILE_LIMIT} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let tokens = Tokens::read(&text)?;
    Ok((text, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_core::digest;
    use fleetcast_schemas::role::Role;

    fn line(name: &str, role: &str, token: &str) -> String {
        format!(
            "{name} {role} sha256:{}\n",
            digest::of_bytes(token.as_bytes())
        )
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_one_that_breaks_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        std::fs::write(&path, "# nobody yet\n").expect("written");
        assert!(TokenFile::open(&path).is_err_and(|why| why.contains("no token")));
        std::fs::write(&path, line("ci", "publisher", "one")).expect("written");
        let file = TokenFile::open(&path).expect("valid");
        let later = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let mut known = file.known.lock().expect("nobody panicked");
            file.look_again(&mut known);
        };
        assert!(file.whose("one").is_some());
        later("nonsense");
        assert!(file.whose("one").is_some(), "as it was");
        later(&(line("ci", "publisher", "two") + "# another\n"));
        assert_eq!(
            (file.whose("one"), file.whose("two").is_some()),
            (None, true)
        );
        later("");
        assert_eq!(file.whose("two"), None, "all are taken out");
    }

    /// Shows that tokens come and go by name, that a person's own lines stay, and that what is not understood is left alone.
    #[test]
    fn a_file_is_changed_line_by_line_and_readable_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        assert_eq!(read(&path).expect("none yet").iter().count(), 0);
        let token = |name: &str, kinds: &[&str]| Token {
            name: name.to_owned(),
            role: Role::Publisher,
            hash: digest::of_bytes(name.as_bytes()),
            kinds: kinds.iter().map(|&kind| kind.to_owned()).collect(),
            namespaces: vec!["shop".to_owned()],
            until: Some(Time(1_793_541_780_000)),
        };
        let (ci, kim) = (
            token("ci", &["ConfigMap", "Deployment.apps"]),
            token("kim", &[]),
        );
        add(&path, &ci).expect("added");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, text + "# a remark, and no line end").expect("written");
        add(&path, &kim).expect("added");
        let tokens = read(&path).expect("valid");
        assert_eq!(tokens.iter().collect::<Vec<_>>(), [&ci, &kim]);
        assert!(add(&path, &token("x", &["nokind"])).is_err());
        assert_eq!(remove(&path, "ci"), Ok(1));
        assert_eq!(remove(&path, "ci"), Ok(0));
        let text = std::fs::read_to_string(&path).expect("there");
        assert!(text.contains("# a remark"), "{text}");
        assert_eq!(
            read(&path).expect("valid").iter().collect::<Vec<_>>(),
            [&kim]
        );
        std::fs::write(&path, "nonsense").expect("written");
        assert!(add(&path, &ci).is_err() && remove(&path, "ci").is_err());
    }
}
