//! What was issued, and what is asked for.

use fleetcast_core::expiry::Span;
use fleetcast_schemas::role::Role;
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The role.
    pub role: Role,
    /// The name; an agent's is its cluster's.
    pub name: String,
    /// How long it counts, seconds; none for ever.
    pub ttl_s: Option<u64>,
    /// The kinds that a publisher is limited to, `Kind` or `Kind.group`; none for all.
    pub kinds: Vec<String>,
    /// The namespaces, `_` for objects that are in none; none for all.
    pub namespaces: Vec<String>,
}

/// A credential that was issued. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The word for its role.
    pub role: String,
    /// Whose it is.
    pub name: String,
    /// The user's public key: what a revocation names.
    pub public_key: String,
    /// When it was issued.
    pub issued_at: i64,
    /// When it ends, unless it is renewed; an agent's is, by itself.
    pub ends_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// The kinds that it is limited to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The namespaces that it is limited to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The public half of an agent's sealing key: its cluster is to be registered with it. The private half is in the credentials, and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
    /// The public half of the key that signed it; none where that was written down by nobody yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The ids of the keys that an ingest's holds beside its own: master keys, and what signs agents' credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
}

/// Whether a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Valid,
    /// It was revoked.
    Revoked,
    /// It has ended.
    Ended,
    /// As it was issued it has ended; its agent renews it while it runs, which is not written down here.
    Renewed,
}

impl Standing {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
            Self::Renewed => "renewed by its agent, or ended",
        }
    }
}

impl Issued {
    /// From when to when it counts as it was issued; none where it never ends.
    pub fn span(&self) -> Option<Span> {
        let ends_at = self.ends_at?;
        let begins_at = self.issued_at;
        Some(Span { begins_at, ends_at })
    }

    /// Whether somebody is to renew it: it counts, ends soon, and is no agent's, which does so itself.
    pub fn ends_soon(&self, now: i64) -> bool {
        let is_soon = self.span().is_some_and(|span| span.ends_soon(now));
        is_soon && self.standing(now) == Standing::Valid && self.role != Role::Agent.word()
    }

    /// Whether it counts at `now`.
    pub fn standing(&self, now: i64) -> Standing {
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if self.ends_at.is_none_or(|ends| ends > now) {
            Standing::Valid
        } else if self.role == Role::Agent.word() {
            Standing::Renewed
        } else {
            Standing::Ended
        }
    }
}
