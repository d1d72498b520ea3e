//! Asks the aggregator.

use std::time::Duration;

use fleetcast_bus::Bus;
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::codec::JSON;
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::request::DocumentRefusal;
use fleetcast_schemas::{Headers, Message, subject};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use crate::answer::Request;
use crate::answer::past::{Rebuilding, Rebuilt};

/// How long a query waits for its `min_log` where the request does not say, milliseconds.
pub(crate) const WAIT_MS: u64 = 5_000;
/// How long a query may wait at most, milliseconds.
pub(crate) const WAIT_MAX_MS: u64 = 60_000;
/// The longest answer that is read, bytes: about a million rows.
const ANSWER_LIMIT: usize = 512 * 1024 * 1024;
/// A refusal is shorter than this, bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered, or the answer did not come through.
    #[error("the aggregator does not answer (is `fleetcast aggregator` running?): {0}")]
    NotAnswered(#[from] fleetcast_bus::Error),
    /// The answer is no.
    #[error("{}", .0.message)]
    Refused(DocumentRefusal),
    /// The answer is not what was asked for: the aggregator is of another version.
    #[error("the aggregator's answer cannot be read: {0}")]
    Malformed(String),
}

impl Error {
    /// Whether the same query may be answered later.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::NotAnswered(error) => error.is_worth_retrying(),
            Self::Refused(_) | Self::Malformed(_) => false,
        }
    }
}

/// Asks `fc.query.<what>.<object>`: `objects`, `explain`, `clusters` or `digest` (see [`crate::answer`]).
///
/// # Errors
/// Where nobody answers in time, the answer is no, or it cannot be read.
pub async fn query<T: DeserializeOwned>(
    bus: &Bus,
    what: &str,
    object: Option<&ObjectKey>,
    request: &Request,
) -> Result<T, Error> {
    let message = Message {
        subject: subject::query(what, object),
        headers: Headers::default().with(DATACONTENTTYPE, JSON),
        payload: serde_json::to_vec(request)
            .expect("a request has only named fields, so it always serializes"),
    };
    let wait_ms = request.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MAX_MS);
    let timeout = Duration::from_millis(wait_ms) + bus.timeout();
    let answer = bus.request(message, ANSWER_LIMIT, timeout).await?;
    read(&answer.payload)
}

/// How long the aggregator may say nothing while it rebuilds the view.
const SILENCE: Duration = Duration::from_secs(30);

/// Has the view rebuilt from the streams, and tells how far that is.
///
/// # Errors
/// Where nobody answers, or it was not done.
pub async fn rebuild(bus: &Bus, mut progress: impl FnMut(u64, u64)) -> Result<Rebuilt, Error> {
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox).await?;
    let message = Message {
        subject: subject::query("rebuild", None),
        headers: Headers::default().with(DATACONTENTTYPE, JSON),
        payload: b"{}".to_vec(),
    };
    bus.publish_with_reply(message, &inbox).await?;
    loop {
        let silent = || fleetcast_bus::Error::Unavailable(format!("silent for {SILENCE:?}"));
        let answer = tokio::time::timeout(SILENCE, answers.next()).await;
        let answer = answer.ok().flatten().ok_or_else(silent)?;
        if answer.message.payload.is_empty() {
            let nobody = "nobody is there".to_owned();
            return Err(fleetcast_bus::Error::Unavailable(nobody).into());
        }
        match read(&answer.message.payload)? {
            Rebuilding::Progress { read, of } => progress(read, of),
            Rebuilding::Done(rebuilt) => return Ok(*rebuilt),
            Rebuilding::Refused { message } => {
                return Err(Error::Refused(DocumentRefusal {
                    document: 0,
                    field: String::new(),
                    message,
                }));
            }
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Refused {
        refusal: DocumentRefusal,
    }
    if payload.len() <= REFUSAL_LIMIT
        && let Ok(Refused { refusal }) = serde_json::from_slice(payload)
    {
        return Err(Error::Refused(refusal));
    }
    serde_json::from_slice(payload).map_err(|error| Error::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_answer_a_refusal_and_anything_else_are_told_apart() {
        assert!(
            matches!(read::<Value>(br#"{"as_of": {}}"#), Ok(value) if value["as_of"].is_object())
        );
        let refusal =
            br#"{"refusal": {"document": 0, "field": "min_seq", "message": "not there yet"}}"#;
        assert!(
            matches!(read::<Value>(refusal), Err(Error::Refused(refusal)) if refusal.field == "min_seq")
        );
        for hostile in [&b""[..], b"{", b"\xff\xfe"] {
            assert!(matches!(read::<Value>(hostile), Err(Error::Malformed(_))));
        }
    }
}
