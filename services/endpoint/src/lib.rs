//! HTTP as the services serve it: who may ask, how much, how long, and answers in JSON.
//!
//! | what | file |
//! |---|---|
//! | listening, the limits of connections, who is let in | [`listen`] |
//! | bearer tokens, hashed at rest | [`tokens`] |
//! | answers, and bodies within their limits | [`answer`] |
//!
//! A service brings its routes ([`axum::Router`]); what they answer is its own matter.

pub mod answer;
pub mod listen;
pub mod tokens;

pub use axum;
pub use listen::{Error, Listener, Options};
pub use tokens::{Caller, Role};
