//! Storing a message, if what stands before it is what was expected.

use std::error::Error as _;
use std::future::IntoFuture;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, HeaderValue};
use fleetcast_schemas::Message;

use crate::connect::to_nats;
use crate::{Bus, Error};

/// What must stand before a message for it to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The newest message of the same subject has this sequence (0: there is none).
    OfSubject(u64),
    /// The newest message of the stream has this sequence (0: there is none).
    OfStream(u64),
    /// Anything.
    Anything,
}

/// A message that was sent; awaiting it tells where it was stored.
#[must_use = "a message is stored only when this says so"]
pub struct Pending(PublishAckFuture);

impl Pending {
    /// Waits until the message is stored: its sequence.
    ///
    /// # Errors
    /// [`Error::Conflict`] where something else stands there, also where it is the same message (`duplicate`): read it and compare.
    pub async fn stored(self) -> Result<u64, Error> {
        let ack = self
            .0
            .into_future()
            .await
            .map_err(|error| classify(&error))?;
        if ack.duplicate {
            return Err(Error::Conflict(format!(
                "this message is stored already, at {}",
                ack.sequence
            )));
        }
        Ok(ack.sequence)
    }
}

impl Bus {
    /// Sends a message to be stored; messages sent one after the other are stored in that order. Bodies over the limit go by digest.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it cannot be sent.
    pub async fn begin_append(
        &self,
        message: Message,
        expected: Expected,
    ) -> Result<Pending, Error> {
        let Message {
            subject,
            headers,
            payload,
        } = self.store_large_body(message).await?;
        let mut map: HeaderMap = to_nats(&headers);
        match expected {
            Expected::OfSubject(sequence) => map.insert(
                NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
                HeaderValue::from(sequence),
            ),
            Expected::OfStream(sequence) => {
                map.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(sequence))
            }
            Expected::Anything => {}
        }
        let message = PublishMessage::build().payload(payload.into()).headers(map);
        let pending = self.jetstream.send_publish(subject, message).await;
        pending.map(Pending).map_err(|error| classify(&error))
    }

    /// Stores a message: its sequence.
    ///
    /// # Errors
    /// As [`Pending::stored`].
    pub async fn append(&self, message: Message, expected: Expected) -> Result<u64, Error> {
        self.begin_append(message, expected).await?.stored().await
    }
}

/// 10071, 10164, 10158 and 10201 mean: something stands there already. 10077 and 503 without more: no room, or nobody to answer.
fn classify(error: &PublishError) -> Error {
    let code = error
        .source()
        .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>())
        .map(|error| error.error_code().0);
    match (error.kind(), code) {
        (PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId, _)
        | (_, Some(10071 | 10158 | 10164 | 10201)) => Error::Conflict(error.to_string()),
        (_, Some(10077)) => Error::Full(error.to_string()),
        (PublishErrorKind::MaxPayloadExceeded, _) => Error::refused(error),
        _ => Error::unavailable(error),
    }
}
