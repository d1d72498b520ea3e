//! HTTP as the services serve it: who may ask, how much, how long, and answers in JSON; and how each process does.
//!
//! | what | file |
//! |---|---|
//! | listening, the limits of connections | [`listen`] |
//! | TLS, its files | [`tls`] |
//! | who is let in, and how often | [`access`] |
//! | what one name may hold at once | [`shares`] |
//! | bearer tokens, hashed at rest | [`tokens`] |
//! | answers, and bodies within their limits | [`answer`] |
//! | the view, for whoever may read | [`view`] |
//! | lives, ready, what is counted | [`health`], [`metrics`] |
//!
//! A service brings its routes ([`axum::Router`]); what they answer is its own matter.

pub mod access;
pub mod answer;
mod door;
pub mod health;
mod limits;
pub mod listen;
pub mod metrics;
mod rate;
pub mod shares;
pub mod tls;
pub mod tokens;
pub mod view;

pub use access::Access;
pub use axum;
pub use door::Door;
pub use health::{Health, Part};
pub use listen::{Error, Listener, Options};
pub use tokens::Caller;

/// The time now, seconds since 1970.
pub(crate) fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
