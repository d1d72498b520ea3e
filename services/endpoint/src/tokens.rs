//! Bearer tokens: a file names who may do what, by the hash of a token, and is read again when it changes.
//!
//! ```text
//! # name  role       hash of the token                                                        limits
//! ci      publisher  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  kinds=ConfigMap,Deployment.apps namespaces=shop until=2027-01-01T00:00:00Z
//! ```
//!
//! A name may stand on several lines, so that a token can be changed without a gap. The hash is a plain SHA-256, so a token must be long and
//! random ([`mint`]), not a password. What a role may do is what it may publish on the bus ([`fleetcast_schemas::role`]).

mod file;

use std::fmt::{self, Display};

use fleetcast_core::digest;
use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::{format_time, parse_time};
use fleetcast_schemas::role::Role;
use fleetcast_schemas::role::limits::Limits;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

pub(crate) use file::TokenFile;
pub use file::{add, read, remove};

/// The longest token that is looked at, bytes.
const TOKEN_LIMIT: usize = 4_096;
/// How a token that we make begins, so that scanners for secrets find it.
const PREFIX: &str = "fleetcast_";
/// How much chance is in a token, bytes.
const CHANCE: usize = 32;

/// Whose token a request bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that the file gives.
    pub name: String,
    /// The role.
    pub role: Role,
    /// What a publisher is limited to.
    pub limits: Limits,
}

impl Caller {
    /// Whether it may publish `subject` on the bus, and so have that done for it.
    pub fn may(&self, subject: &str) -> bool {
        self.role.grant().may_publish(&self.limits, subject)
    }
}

/// One line of a file of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// The role: publisher, reader or operator.
    pub role: Role,
    /// SHA-256 of the token, hexadecimal.
    pub hash: String,
    /// The kinds that a publisher is limited to, `Kind` or `Kind.group`; none for all.
    pub kinds: Vec<String>,
    /// The namespaces, `_` for objects that are in none; none for all.
    pub namespaces: Vec<String>,
    /// When it ends; none for never.
    pub until: Option<Time>,
}

impl Token {
    /// Whether its time is not over.
    pub fn counts(&self, now: Time) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn caller(&self) -> Result<Caller, String> {
        Ok(Caller {
            name: self.name.clone(),
            role: self.role,
            limits: Limits::read(self.role, &self.kinds, &self.namespaces)?,
        })
    }
}

impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            role,
            hash,
            kinds,
            namespaces,
            until,
        } = self;
        write!(f, "{name} {} sha256:{hash}", role.word())?;
        if !kinds.is_empty() {
            write!(f, " kinds={}", kinds.join(","))?;
        }
        if !namespaces.is_empty() {
            write!(f, " namespaces={}", namespaces.join(","))?;
        }
        if let Some(until) = until {
            write!(f, " until={}", format_time(*until))?;
        }
        Ok(())
    }
}

/// A new token, and its hash.
///
/// # Errors
/// Where the system has no randomness.
pub fn mint() -> Result<(String, String), String> {
    let mut chance = [0; CHANCE];
    SystemRandom::new()
        .fill(&mut chance)
        .map_err(|_| "the system has no randomness".to_owned())?;
    let digits: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!("{PREFIX}{digits}");
    let hash = digest::of_bytes(token.as_bytes());
    Ok((token, hash))
}

/// The tokens of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens(Vec<(Token, Caller)>);

impl Tokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Which line is wrong, and how.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why| format!("line {}: {why}", index + 1);
            if let Some(token) = read_line(line).map_err(wrong)? {
                let caller = token.caller().map_err(wrong)?;
                tokens.push((token, caller));
            }
        }
        Ok(Self(tokens))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter().map(|(token, _)| token)
    }

    /// Whose token it is. Every entry is compared, each in constant time, so that the time taken says nothing.
    pub fn whose(&self, token: &str, now: Time) -> Option<&Caller> {
        if token.is_empty() || token.len() > TOKEN_LIMIT {
            return None;
        }
        let hash = digest::of_bytes(token.as_bytes());
        let mut found = None;
        for (known, caller) in &self.0 {
            if bool::from(known.hash.as_bytes().ct_eq(hash.as_bytes())) && known.counts(now) {
                found = Some(caller);
            }
        }
        found
    }
}

/// The token of a line; none where there is nothing but a comment.
fn read_line(line: &str) -> Result<Option<Token>, String> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    let (Some(role), Some(hash)) = (words.next(), words.next()) else {
        return Err("is not `NAME ROLE sha256:HASH`".to_owned());
    };
    if !is_name(name) {
        return Err(format!(
            "{name:?} is no name: letters, digits, '-', '_' and '.', at most 63"
        ));
    }
    let role = role_of(role)?;
    let hash = hash
        .strip_prefix("sha256:")
        .filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or("the hash is not `sha256:` and 64 hexadecimal digits")?;
    let mut token = Token {
        name: name.to_owned(),
        role,
        hash: hash.to_ascii_lowercase(),
        kinds: Vec::new(),
        namespaces: Vec::new(),
        until: None,
    };
    for word in words {
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        match word.split_once('=') {
            Some(("kinds", kinds)) => token.kinds = list(kinds),
            Some(("namespaces", namespaces)) => token.namespaces = list(namespaces),
            Some(("until", until)) => {
                let until =
                    parse_time(until).ok_or_else(|| format!("{until:?} is no time in RFC 3339"))?;
                token.until = Some(until);
            }
            Some(_) | None => {
                return Err(format!("{word:?} is none of kinds=, namespaces=, until="));
            }
        }
    }
    Ok(Some(token))
}

/// Whether it may stand in a file of tokens, and in the source of a change.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The role of a word, where tokens may have it.
///
/// # Errors
/// That it is none, or one that only the bus knows.
pub fn role_of(word: &str) -> Result<Role, String> {
    match Role::of(word) {
        Some(role @ (Role::Publisher | Role::Reader | Role::Operator)) => Ok(role),
        Some(Role::Agent | Role::Ingest | Role::Aggregator) => Err(format!(
            "{word} has credentials of the bus (`fleetcast auth issue`) and no token: publisher, reader or operator"
        )),
        None => Err(format!(
            "{word:?} is no role: publisher, reader or operator"
        )),
    }
}

#[cfg(test)]
mod tests;
