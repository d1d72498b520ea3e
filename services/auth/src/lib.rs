//! Who may do what on the bus: roles become NATS permissions, operator, account and scoped signing keys; users get credentials that end, and are revoked.
//!
//! | what | file |
//! |---|---|
//! | a role's patterns as NATS permissions | [`permissions`] |
//! | JWTs of NATS, as far as they are needed | [`claims`] |
//! | the folder of an operator: keys, what was issued, the server's configuration | [`authority`] |
//! | a certificate authority, and what it issues | [`certificates`] |
//! | a credential that is made, and one that is renewed, with a signing key alone | [`minting`] |
//!
//! Nothing here speaks to a server: what is to be pushed is handed out ([`authority::Authority::account_jwt`]).

pub mod authority;
pub mod certificates;
pub mod claims;
pub mod minting;
pub mod permissions;

/// Why something cannot be done with keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of keys is of no use.
    #[error(transparent)]
    File(#[from] fleetcast_bus::credentials::Error),
    /// What was asked for does not fit: which part, and what to do.
    #[error("{0}")]
    Refused(String),
    /// A key or a JWT is not what it should be.
    #[error("{0}")]
    Malformed(String),
}

impl Error {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::File(fleetcast_bus::credentials::Error::File(path, error))
    }
}
