//! Seals the values of Secrets, so that neither the bus, a backup, nor another cluster's agent can read them.
//!
//! | where | what happens | with |
//! |---|---|---|
//! | whoever hands in: the CLI; HTTP and the watcher of a hub, which have the hub's keys | values are sealed before they travel | [`Outgoing`], [`Sealer`] |
//! | the door of ingest | values of a document become sealed values ([`fleetcast_core::sealed`]), before anything is decided or stored | [`Sealer`] |
//! | behind the placer, in ingest | the sealed values of one item of work are opened and sealed to its cluster | [`Keys::forward`] |
//! | the agent, while it looks at one object | the values are opened, in memory | [`Keys::open_all`] |
//!
//! A value is sealed with NATS' xkeys (X25519, XSalsa20, Poly1305; crate `nkeys`), under a nonce that is a keyed digest (HMAC-SHA-256) of what is sealed: the same
//! value of the same object under the same key is the same text, so a Secret that is handed in twice makes no second revision, and nobody without the key can tell
//! what it is a digest of. With the value the object that it belongs to is sealed, and checked when it is opened: nobody gets at another object's value by putting its
//! sealed text into an object of his own.

mod fields;
mod keys;
mod outgoing;
mod sealer;

pub use fields::{Rule, RuleError};
pub use keys::{Error, Keys};
pub use outgoing::{Borrowed, Outgoing, borrow};
pub use sealer::{Sealer, Sealing};
