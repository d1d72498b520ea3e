//! Bearer tokens: a file names who may do what, by the hash of a token, and is read again when it changes.
//!
//! ```text
//! # name  role       hash of the token
//! ci      publisher  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! A name may stand on several lines, so that a token can be changed without a gap. The hash is a plain SHA-256, so a token must be long and
//! random (32 bytes of `openssl rand`), not a password.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fleetcast_core::digest;
use subtle::ConstantTimeEq;

/// How often the file is looked at, at most: a token that is taken out is refused after that long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest file that is read, bytes.
const FILE_LIMIT: u64 = 1024 * 1024;
/// The longest token that is looked at, bytes.
const TOKEN_LIMIT: usize = 4_096;

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Hand in and withdraw, and read.
    Publisher,
    /// Read.
    Reader,
}

/// Whose token a request bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that the file gives.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The tokens of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens(Vec<(Caller, String)>);

impl Tokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Which line is wrong, and how.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                tokens.push(read_line(line).map_err(|why| format!("line {}: {why}", index + 1))?);
            }
        }
        Ok(Self(tokens))
    }

    /// Whose token it is. Every entry is compared, each in constant time, so that the time taken says nothing.
    pub fn whose(&self, token: &str) -> Option<&Caller> {
        if token.is_empty() || token.len() > TOKEN_LIMIT {
            return None;
        }
        let hash = digest::of_bytes(token.as_bytes());
        let mut found = None;
        for (caller, known) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(caller);
            }
        }
        found
    }
}

fn read_line(line: &str) -> Result<(Caller, String), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, role, hash] = words[..] else {
        return Err("is not `NAME ROLE sha256:HASH`".to_owned());
    };
    let is_name = name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        return Err(format!(
            "{name:?} is no name: letters, digits, '-', '_' and '.', at most 63"
        ));
    }
    let role = match role {
        "publisher" => Role::Publisher,
        "reader" => Role::Reader,
        other => return Err(format!("{other:?} is no role: publisher or reader")),
    };
    let hash = hash
        .strip_prefix("sha256:")
        .filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or("the hash is not `sha256:` and 64 hexadecimal digits")?;
    let caller = Caller {
        name: name.to_owned(),
        role,
    };
    Ok((caller, hash.to_ascii_lowercase()))
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
        let tokens = load(path)?;
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
        known.tokens.whose(token).cloned()
    }

    fn look_again(&self, known: &mut Known) {
        known.looked = Instant::now();
        let stamp = stamp(&self.path);
        if stamp == known.stamp {
            return;
        }
        known.stamp = stamp;
        match load(&self.path) {
            Ok(tokens) => {
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

fn load(path: &Path) -> Result<Tokens, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > FILE_LIMIT {
        return Err(format!("it is longer than {FILE_LIMIT} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Tokens::read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, role: &str, token: &str) -> String {
        format!(
            "{name} {role} sha256:{}\n",
            digest::of_bytes(token.as_bytes())
        )
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_a_name_may_have_two() {
        let text = format!(
            "# who may do what\n\n{}{}{}",
            line("ci", "publisher", "old"),
            line("ci", "publisher", "new"),
            line("eye", "reader", "look")
                .to_uppercase()
                .replace("READER", "reader")
                .replace("SHA256", "sha256"),
        );
        let tokens = Tokens::read(&text).expect("valid");
        for (token, name) in [
            ("old", Some("ci")),
            ("new", Some("ci")),
            ("look", Some("EYE")),
            ("", None),
            ("ol", None),
            ("olde", None),
        ] {
            assert_eq!(
                tokens.whose(token).map(|caller| caller.name.as_str()),
                name,
                "{token}"
            );
        }
        assert_eq!(
            tokens.whose("look").map(|caller| caller.role),
            Some(Role::Reader)
        );
        assert_eq!(tokens.whose(&"x".repeat(TOKEN_LIMIT + 1)), None);
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, part) in [
            ("\nci publisher", "line 2: is not"),
            ("ci admin sha256:00", "\"admin\" is no role"),
            ("c/i reader sha256:00", "is no name"),
            ("ci reader sha256:00", "64 hexadecimal digits"),
            ("ci reader md5:00", "64 hexadecimal digits"),
        ] {
            let why = Tokens::read(text).expect_err("refused");
            assert!(why.contains(part), "{why}");
        }
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
}
