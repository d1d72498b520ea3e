//! What reads bytes of others here, each as a function from bytes to yes or no: for `tests/tests/decoders.rs`, which tries it with bytes that nobody wrote.

use std::sync::{Arc, LazyLock};

use fleetcast_schemas::Message;
use fleetcast_sealing::{Keys, Sealer, Sealing};

use crate::{documents, door, http};

/// Keys of nobody: making some takes longer than most inputs.
static SEALING: LazyLock<Sealing> =
    LazyLock::new(|| Sealing::With(Arc::new(Sealer::new(Keys::generate(), Vec::new()))));

/// A message on `fc.in.>`, as the leader reads it.
pub fn handed_in(message: &Message) -> bool {
    door::read(message, &SEALING).is_ok()
}

/// A body over HTTP, of this content type.
pub fn http_body(content_type: &str, body: &[u8]) -> bool {
    http::reads(content_type, body, &SEALING)
}

/// The text of a file of documents: whether there is one that can be read.
pub fn file(text: &str) -> bool {
    documents::read(text)
        .iter()
        .any(|(_, document)| document.is_ok())
}
