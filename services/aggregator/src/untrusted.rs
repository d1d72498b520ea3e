//! What reads bytes of others here, each as a function from bytes to yes or no: for `tests/tests/decoders.rs`, which tries it with bytes that nobody wrote.

use crate::{answer, client, query};

/// A question on `fc.query.>`.
pub fn question(subject: &str, payload: &[u8]) -> bool {
    query::reads(subject, payload)
}

/// The answer to one, as whoever asked reads it.
pub fn answer(payload: &[u8]) -> bool {
    client::read::<answer::Objects>(payload).is_ok()
}
