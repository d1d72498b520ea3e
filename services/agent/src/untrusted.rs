//! What reads bytes of others here, each as a function from bytes to yes or no: for `tests/tests/decoders.rs`, which tries it with bytes that nobody wrote.

use fleetcast_schemas::Message;

/// The messages of the answer to a sync request: whether they are a whole one.
pub fn sync_answer(messages: Vec<Message>) -> bool {
    crate::sync::reads(messages)
}
