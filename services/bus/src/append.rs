//! Storing a message, if what stands before it is what was expected.

use std::error::Error as _;
use std::future::IntoFuture;

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, HeaderValue};
use fleetcast_schemas::Message;
use futures::future::join_all;
use uuid::Uuid;

use crate::connect::to_nats;
use crate::{Bus, Error};

/// How many messages one batch holds (the server refuses 1,001 with 10199).
pub const BATCH_MESSAGES: usize = 1_000;
/// Names another subject than the message's own for the expected sequence; async-nats has no name for it.
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// What must stand before a message for it to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The newest message of the same subject has this sequence (0: there is none).
    OfSubject(u64),
    /// The newest message of the stream has this sequence (0: there is none).
    OfStream(u64),
    /// The newest message of the stream has the sequence `last`, and the newest one of the subject `fence` the sequence `at`: nobody began to
    /// lead since.
    Behind {
        /// The sequence of the stream's newest message.
        last: u64,
        /// The subject of the fences.
        fence: String,
        /// The sequence of the newest fence.
        at: u64,
    },
    /// Anything.
    Anything,
}

impl Expected {
    fn write(self, headers: &mut HeaderMap) {
        match self {
            Self::OfSubject(sequence) => headers.insert(
                NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
                HeaderValue::from(sequence),
            ),
            Self::OfStream(sequence) => {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(sequence))
            }
            Self::Behind { last, fence, at } => {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last));
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(at));
                headers.insert(EXPECTED_SUBJECT, fence);
            }
            Self::Anything => {}
        }
    }
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
        let message = self.store_large_body(message).await?;
        let mut headers = to_nats(&message.headers);
        expected.write(&mut headers);
        self.send(message, headers).await
    }

    async fn send(&self, message: Message, headers: HeaderMap) -> Result<Pending, Error> {
        let Message {
            subject, payload, ..
        } = message;
        let message = PublishMessage::build()
            .payload(payload.into())
            .headers(headers);
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

    /// Stores several messages one behind the other, all of them or none, in one atomic batch (ADR-50 of NATS): the sequence of the last.
    /// What a message expects of a stream is asked of the first only. At most [`BATCH_MESSAGES`], at least one.
    ///
    /// # Errors
    /// As [`Pending::stored`]: a conflict of one is a conflict of all.
    pub async fn append_all(&self, items: Vec<(Message, Expected)>) -> Result<u64, Error> {
        let batch = Uuid::now_v7().simple().to_string();
        let count = items.len();
        let messages = join_all(items.into_iter().map(async |(message, expected)| {
            let message = self.store_large_body(message).await?;
            Ok::<_, Error>((message, expected))
        }));
        let mut pending = None;
        for (index, item) in messages.await.into_iter().enumerate() {
            let (message, expected) = item?;
            let mut headers = to_nats(&message.headers);
            expected.write(&mut headers);
            if count > 1 {
                headers.insert(BATCH_ID, batch.as_str());
                headers.insert(BATCH_SEQUENCE, HeaderValue::from(index + 1));
            }
            if index + 1 < count {
                let Message {
                    subject, payload, ..
                } = message;
                self.client
                    .publish_with_headers(subject, headers, payload.into())
                    .await
                    .map_err(Error::unavailable)?;
                continue;
            }
            if count > 1 {
                headers.insert(BATCH_COMMIT, "1");
            }
            pending = Some(self.send(message, headers).await?);
        }
        match pending {
            Some(pending) => pending.stored().await,
            None => Err(Error::Refused("there is nothing to store".to_owned())),
        }
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
