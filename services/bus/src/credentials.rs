//! The credentials file: an ordinary NATS `.creds` file (user JWT and seed), followed by keys of our own, which NATS clients skip.
//!
//! ```text
//! -----BEGIN NATS USER JWT-----
//! eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ…
//! ------END NATS USER JWT------
//!
//! -----BEGIN USER NKEY SEED-----
//! SUA…
//! ------END USER NKEY SEED------
//!
//! -----BEGIN FLEETCAST WORK KEY-----        an agent's: authenticates its work; <key id>.<base64url of 32 bytes>
//! m4f2-81c0.Zm9v…
//! ------END FLEETCAST WORK KEY------
//!
//! -----BEGIN FLEETCAST MASTER KEY-----      an ingest's: every cluster's work key is derived from it; the same form
//! m4f2.YmFy…
//! ------END FLEETCAST MASTER KEY------
//!
//! -----BEGIN FLEETCAST SIGNING KEY-----     an ingest's: signs the credentials of agents when they are renewed; an account seed
//! SAA…
//! ------END FLEETCAST SIGNING KEY------
//!
//! -----BEGIN FLEETCAST EARLIER SIGNER-----  an ingest's: who signed agents' credentials before; an account's public key
//! AAC…
//! ------END FLEETCAST EARLIER SIGNER------
//!
//! -----BEGIN FLEETCAST KEY TIMES-----       an ingest's: a key's id, from when on it is handed out and when it counts no more, Unix seconds, - where nothing is said
//! m4f2 1800000000 -
//! ------END FLEETCAST KEY TIMES------
//!
//! -----BEGIN FLEETCAST SEALING KEY-----     opens what is sealed to us: an xkey seed (X25519)
//! SXA…
//! ------END FLEETCAST SEALING KEY------
//!
//! -----BEGIN FLEETCAST HUB KEY-----         a publisher's or an operator's: the hub's public xkey, which values are sealed to and no other
//! XA…
//! ------END FLEETCAST HUB KEY------
//! ```
//!
//! Each of our blocks but the signing key may stand several times, the newest first: older ones go on opening and verifying what was made for them. Blocks that a
//! build does not know it skips. The file is written atomically with mode 0600, and refused where others than owner and group may read it.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::work_key::WorkKey;

const JWT: &str = "NATS USER JWT";
const SEED: &str = "USER NKEY SEED";
const WORK: &str = "FLEETCAST WORK KEY";
const MASTER: &str = "FLEETCAST MASTER KEY";
const SIGNING: &str = "FLEETCAST SIGNING KEY";
const SIGNER: &str = "FLEETCAST EARLIER SIGNER";
const TIMES: &str = "FLEETCAST KEY TIMES";
const SEALING: &str = "FLEETCAST SEALING KEY";
const HUB: &str = "FLEETCAST HUB KEY";
/// The longest file that is read, bytes: a JWT is about 1 KB, a key 100 bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// Why a file of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// Others may read it.
    #[error(
        "permissions {:04o} for {} are too open: it holds private keys, so others must not read it; next: chmod {:o} {}",
        .mode, .path.display(), .wanted, .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have at most.
        wanted: u32,
    },
    /// What stands in it is not what should.
    #[error("{}: {}", .0.display(), .1)]
    Content(PathBuf, String),
}

/// Who may read a file of keys beside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Nobody.
    Owner,
    /// The owner's group, too: so a Kubernetes volume with an `fsGroup` has it.
    Group,
}

/// What a credentials file holds. Nothing of it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialsFile {
    /// The user's JWT.
    pub jwt: String,
    /// The user's seed, `SU…`.
    pub seed: String,
    /// The keys that authenticate our work (an agent's), the newest first.
    pub work_keys: Vec<WorkKey>,
    /// The keys that work keys are derived from (an ingest's), the newest first.
    pub master_keys: Vec<WorkKey>,
    /// The seed of the key that signs agents' credentials (an ingest's), `SA…`.
    pub signing_key: Option<String>,
    /// The public keys of those that signed agents' credentials before (an ingest's), `A…`, the newest first.
    pub earlier_signers: Vec<String>,
    /// From when and until when keys count (an ingest's).
    pub key_times: Vec<KeyTimes>,
    /// The seeds of the keys that open what is sealed to us, `SX…`, the newest first.
    pub sealing_keys: Vec<String>,
    /// The hub's public sealing keys, `X…`, the newest first; none where whatever the bus says is believed.
    pub hub_keys: Vec<String>,
}

/// From when on a key is handed out, and when it counts no more, Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTimes {
    /// The id of a master key, or the public key of a signing key.
    pub id: String,
    /// What is made with it before that is not understood everywhere yet; none where it is.
    pub from: Option<i64>,
    /// Nothing that was made with it counts from then on; none where there is no such moment.
    pub until: Option<i64>,
}

impl KeyTimes {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let id = words.next().filter(|id| is_word(id))?.to_owned();
        let mut time = || match words.next()? {
            "-" => Some(None),
            word => word.parse().ok().map(Some),
        };
        let (from, until) = (time()?, time()?);
        words.next().is_none().then_some(Self { id, from, until })
    }

    fn text(&self) -> String {
        let Self { id, from, until } = self;
        let time = |time: &Option<i64>| time.map_or_else(|| "-".to_owned(), |at| at.to_string());
        format!("{id} {} {}", time(from), time(until))
    }
}

/// What a user's JWT says, without asking who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The token of the user's name.
    pub name: String,
    /// When it was issued, Unix seconds.
    pub issued_at: i64,
    /// When it ends, Unix seconds; 0 for never.
    pub ends_at: i64,
}

impl std::fmt::Debug for CredentialsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsFile").finish_non_exhaustive()
    }
}

impl CredentialsFile {
    /// The credentials of a user alone.
    pub fn new(jwt: impl Into<String>, seed: impl Into<String>) -> Self {
        Self {
            jwt: jwt.into(),
            seed: seed.into(),
            work_keys: Vec::new(),
            master_keys: Vec::new(),
            signing_key: None,
            earlier_signers: Vec::new(),
            key_times: Vec::new(),
            sealing_keys: Vec::new(),
            hub_keys: Vec::new(),
        }
    }

    /// Whether a key is handed out at `now` (Unix seconds), by its id.
    pub fn is_begun(&self, id: &str, now: i64) -> bool {
        let mut times = self.key_times.iter().filter(|times| times.id == id);
        times.all(|times| times.from.is_none_or(|from| from <= now))
    }

    /// Whether what a key made counts at `now` (Unix seconds), by its id.
    pub fn counts(&self, id: &str, now: i64) -> bool {
        let mut times = self.key_times.iter().filter(|times| times.id == id);
        times.all(|times| times.until.is_none_or(|until| now < until))
    }

    /// What the user's JWT says; none where it cannot be read, or has no name that may stand in a subject.
    pub fn claims(&self) -> Option<Claims> {
        let claims = URL_SAFE_NO_PAD.decode(self.jwt.split('.').nth(1)?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        let name = claims["name"].as_str()?;
        let plain = |c: char| c.is_ascii_graphic() && !".*>".contains(c);
        (!name.is_empty() && name.chars().all(plain)).then(|| Claims {
            name: name.to_owned(),
            issued_at: claims["iat"].as_i64().unwrap_or(0),
            ends_at: claims["exp"].as_i64().unwrap_or(0),
        })
    }

    /// Reads the text of a file; blocks that we do not know are skipped.
    ///
    /// # Errors
    /// Which block is missing or malformed; never with what stands in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::new("", "");
        for (label, content) in blocks(text)? {
            let wrong = |why: &str| format!("the block {label} {why}");
            match label {
                JWT if found.jwt.is_empty() => content.clone_into(&mut found.jwt),
                SEED if found.seed.is_empty() => content.clone_into(&mut found.seed),
                JWT | SEED => return Err(wrong("stands there twice")),
                WORK => found
                    .work_keys
                    .push(WorkKey::parse(content).map_err(wrong)?),
                MASTER => found
                    .master_keys
                    .push(WorkKey::parse(content).map_err(wrong)?),
                SIGNING if is_seed("SA", content) && found.signing_key.is_none() => {
                    found.signing_key = Some(content.to_owned());
                }
                SIGNING => return Err(wrong("holds no account seed (SA…), or stands there twice")),
                SIGNER if is_word(content) => found.earlier_signers.push(content.to_owned()),
                SIGNER => return Err(wrong("holds no public key (A…)")),
                TIMES => {
                    let times = KeyTimes::parse(content);
                    let times = times.ok_or_else(|| wrong("is no <key id> <from> <until>"))?;
                    found.key_times.push(times);
                }
                HUB if is_word(content) => found.hub_keys.push(content.to_owned()),
                HUB => return Err(wrong("holds no public xkey (X…)")),
                SEALING if is_seed("SX", content) => found.sealing_keys.push(content.to_owned()),
                SEALING => return Err(wrong("holds no xkey seed (SX…)")),
                _ => {}
            }
        }
        if found.jwt.is_empty() {
            return Err(format!("there is no block {JWT}"));
        }
        if found.seed.is_empty() {
            return Err(format!("there is no block {SEED}"));
        }
        Ok(found)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let Self {
            jwt,
            seed,
            work_keys,
            master_keys,
            signing_key,
            earlier_signers,
            key_times,
            sealing_keys,
            hub_keys,
        } = self;
        // NATS clients read the first two blocks, in this order.
        let mut text = block(JWT, jwt) + "\n" + &block(SEED, seed);
        let keys = work_keys.iter().map(|key| (WORK, key.text()));
        let keys = keys.chain(master_keys.iter().map(|key| (MASTER, key.text())));
        let keys = keys.chain(signing_key.iter().map(|seed| (SIGNING, seed.clone())));
        let keys = keys.chain(earlier_signers.iter().map(|key| (SIGNER, key.clone())));
        let keys = keys.chain(key_times.iter().map(|times| (TIMES, times.text())));
        let keys = keys.chain(sealing_keys.iter().map(|seed| (SEALING, seed.clone())));
        let keys = keys.chain(hub_keys.iter().map(|key| (HUB, key.clone())));
        for (label, content) in keys {
            text += "\n";
            text += &block(label, &content);
        }
        text
    }

    /// Reads a file, unless others may read it, too.
    ///
    /// # Errors
    /// Where it cannot be read, is too open, or holds no credentials.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_secret(path, Readers::Group)?;
        Self::parse(&text).map_err(|why| Error::Content(path.to_owned(), why))
    }

    /// Writes a file in one step, for its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written; then the old one stands as it was.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        write_secret(path, self.text().as_bytes())
    }
}

/// Reads a file that holds private keys.
///
/// # Errors
/// Where it cannot be read, is too long, or more may read it than `readers`.
pub fn read_secret(path: &Path, readers: Readers) -> Result<String, Error> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error| Error::File(path.to_owned(), error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    let (open, wanted) = match readers {
        Readers::Owner => (0o077, 0o600),
        Readers::Group => (0o027, 0o640),
    };
    if mode & open != 0 {
        return Err(Error::TooOpen {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    if metadata.len() > FILE_LIMIT {
        let why = format!("is longer than {FILE_LIMIT} bytes");
        return Err(Error::Content(path.to_owned(), why));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Writes a file with mode 0600 beside itself and puts it in place in one step: readers see the old one or the new one.
///
/// # Errors
/// Where it cannot be written; then the old one stands as it was.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = PathBuf::from(next);
    let write = || {
        // One that a killed process left would keep its mode.
        if let Err(error) = std::fs::remove_file(&next)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().map_err(|error| Error::File(path.to_owned(), error))
}

fn block(label: &str, content: &str) -> String {
    format!("-----BEGIN {label}-----\n{content}\n------END {label}------\n")
}

/// The blocks of a file: label and content, which is one line.
fn blocks(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let content = lines.next().unwrap_or_default();
        let end = lines.next().unwrap_or_default().trim_matches('-');
        if content.is_empty() || end.strip_prefix("END ") != Some(label) {
            return Err(format!("the block {label} is not one line and its end"));
        }
        found.push((label, content));
    }
    Ok(found)
}

/// Whether it may be the id of a key, or a public one: letters, digits, and `-`.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_seed(prefix: &str, text: &str) -> bool {
    text.len() == 58
        && text.starts_with(prefix)
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn full() -> CredentialsFile {
        let master = WorkKey::generate("m1");
        CredentialsFile {
            work_keys: vec![
                master.derive("eu", "m1-b").expect("ours"),
                master.derive("eu", "m1-a").expect("ours"),
            ],
            master_keys: vec![WorkKey::generate("m2"), master],
            signing_key: Some("SA".to_owned() + &"C".repeat(56)),
            earlier_signers: vec!["A".to_owned() + &"C".repeat(55)],
            key_times: vec![
                KeyTimes {
                    id: "m2".to_owned(),
                    from: Some(100),
                    until: None,
                },
                KeyTimes {
                    id: "m1".to_owned(),
                    from: None,
                    until: Some(200),
                },
            ],
            sealing_keys: vec!["SX".to_owned() + &"A".repeat(56)],
            hub_keys: vec!["X".to_owned() + &"B".repeat(55)],
            ..CredentialsFile::new("e30.e30.sig-_", "SU".to_owned() + &"B".repeat(56))
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let full = full();
        assert_eq!(CredentialsFile::parse(&full.text()), Ok(full.clone()));
        let with_more = format!(
            "# a comment\n{}\n{}",
            full.text().replace('\n', "\r\n"),
            block("SOMETHING NEWER", "x")
        );
        assert_eq!(CredentialsFile::parse(&with_more), Ok(full));
    }

    #[test]
    fn a_key_counts_within_its_times() {
        let full = full();
        for (id, now, begun, counts) in [
            ("m2", 99, false, true),
            ("m2", 100, true, true),
            ("m1", 199, true, true),
            ("m1", 200, true, false),
            ("another", 200, true, true),
        ] {
            let found = (full.is_begun(id, now), full.counts(id, now));
            assert_eq!(found, (begun, counts), "{id} {now}");
        }
    }

    #[test]
    fn nats_clients_read_the_same_file() {
        let user = nkeys::KeyPair::new_user();
        let file = CredentialsFile {
            seed: user.seed().expect("a seed"),
            ..full()
        };
        assert!(async_nats::ConnectOptions::with_credentials(&file.text()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        let text = full().text();
        for (from, to, part) in [
            (JWT, "X", "no block NATS USER JWT"),
            (SEED, "X", "no block USER NKEY SEED"),
            ("m1-b.", "m1-b", "FLEETCAST WORK KEY is no <key id>"),
            ("m2.", "m 2.", "FLEETCAST MASTER KEY is no <key id>"),
            ("SAC", "SUC", "holds no account seed"),
            ("SXA", "SUA", "holds no xkey seed"),
            ("m2 100 -", "m2 100", "is no <key id> <from> <until>"),
            ("m2 100 -", "m2 soon -", "is no <key id> <from> <until>"),
            ("m2 100 -", "m2 1 2 3", "is no <key id> <from> <until>"),
            ("-----BEGIN USER", "e30\n-----BEGIN USER", ""),
            ("------END NATS", "\n------END NATS", "not one line"),
        ] {
            match CredentialsFile::parse(&text.replace(from, to)) {
                Err(why) => assert!(why.contains(part) && !why.contains("AAAA"), "{why}"),
                Ok(_) => assert!(part.is_empty(), "{from}"),
            }
        }
        let twice = text.clone() + &text;
        assert!(CredentialsFile::parse(&twice).is_err_and(|why| why.contains("twice")));
        assert!(!format!("{:?}", full()).contains("AAAA"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("eu.creds");
        full().write(&path).expect("written");
        full().write(&path).expect("and again");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        for (mode, whole, owner) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, false),
            (0o660, false, false),
            (0o644, false, false),
            (0o604, false, false),
        ] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
            let read = CredentialsFile::read(&path);
            assert_eq!(read.is_ok(), whole, "{mode:o}: {read:?}");
            let read = read_secret(&path, Readers::Owner);
            assert_eq!(read.is_ok(), owner, "{mode:o}");
        }
        let why = CredentialsFile::read(&path)
            .expect_err("too open")
            .to_string();
        assert!(
            why.contains("0604") && why.contains("next: chmod 640"),
            "{why}"
        );
    }
}
