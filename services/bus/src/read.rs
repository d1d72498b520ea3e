//! Reading streams: from a sequence on, the newest of a subject, the newest of many.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use backon::BackoffBuilder;
use fleetcast_schemas::{Headers, Message};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::connect::{from_nats, from_nats_headers, patience};
use crate::{Bus, Error};

/// How many newest messages one batched direct get may match; the server answers 413 above.
const NEWEST_AT_ONCE: usize = 1_024;
/// How many messages [`Bus::follow`] reads ahead of its listener.
const FOLLOW_AHEAD: usize = 1_024;

/// A message as it stands in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence.
    pub sequence: u64,
    /// When the server stored it, since 1970; zero where that was not asked for.
    pub stored_at: Duration,
    /// The message; its payload is still in `fc_bodies` where it names a `ce-dataref`.
    pub message: Message,
}

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At this sequence.
    Sequence(u64),
    /// At this time (RFC 3339), as the stream knows it.
    Time(fleetcast_core::time::Time),
    /// At the newest message of each subject.
    NewestOfEach,
}

/// Reads a stream in order, for as long as it is asked; what is lost on the way is asked for again.
pub struct Reader {
    bus: Bus,
    messages: Ordered,
    bodies: bool,
    connected: watch::Receiver<bool>,
}

impl Reader {
    /// The next message, with its body.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the stream cannot be read now: begin again after the last sequence.
    pub async fn next(&mut self) -> Result<Stored, Error> {
        // After a reconnection the server may have forgotten the consumer; the client would notice by missing heartbeats, many seconds later.
        let next = tokio::select! {
            () = reconnected(&mut self.connected) => {
                return Err(Error::Unavailable("the connection was interrupted".to_owned()));
            }
            next = self.messages.next() => next,
        };
        let message = next
            .ok_or_else(|| Error::Unavailable("the reader was closed".to_owned()))?
            .map_err(Error::unavailable)?;
        let info = message.info().map_err(Error::unavailable)?;
        let sequence = info.stream_sequence;
        let stored_at = since_1970(info.published);
        let message = from_nats(message.message);
        let message = if self.bodies {
            self.bus.load_large_body(message).await?
        } else {
            message
        };
        Ok(Stored {
            sequence,
            stored_at,
            message,
        })
    }
}

/// The newest messages of many subjects, with the sequence up to which the answer is complete.
#[derive(Debug, Clone)]
pub struct Newest {
    /// The messages, by sequence.
    pub messages: Vec<Stored>,
    /// Up to which sequence it is complete.
    pub upto: u64,
}

impl Bus {
    /// The last sequence of a stream.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn last_sequence(&self, stream: &str) -> Result<u64, Error> {
        let stream = self
            .jetstream
            .get_stream(stream)
            .await
            .map_err(Error::unavailable)?;
        Ok(stream.cached_info().state.last_sequence)
    }

    /// How many messages a stream holds, and in how many bytes, headers and subjects included.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn size(&self, stream: &str) -> Result<(u64, u64), Error> {
        let stream = self.jetstream.get_stream(stream).await;
        let stream = stream.map_err(Error::unavailable)?;
        let state = &stream.cached_info().state;
        Ok((state.messages, state.bytes))
    }

    /// The last sequence of a stream; 0 where there is no such stream.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn last_sequence_if_any(&self, stream: &str) -> Result<u64, Error> {
        match self.jetstream.get_stream(stream).await {
            Ok(stream) => Ok(stream.cached_info().state.last_sequence),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(0)
                }
                _ => Err(Error::unavailable(error)),
            },
        }
    }

    /// Reads `stream`, only the subjects that match `filters` where some are given, without bodies where only headers are wanted.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn read(
        &self,
        stream: &str,
        filters: &[String],
        from: From,
        headers_only: bool,
    ) -> Result<Reader, Error> {
        let mut connected = self.connected();
        connected.mark_unchanged();
        let deliver_policy = match from {
            From::Sequence(start_sequence) => DeliverPolicy::ByStartSequence {
                start_sequence: start_sequence.max(1),
            },
            From::Time(time) => DeliverPolicy::ByStartTime {
                start_time: async_nats_time(time),
            },
            From::NewestOfEach => DeliverPolicy::LastPerSubject,
        };
        let config = OrderedConfig {
            deliver_policy,
            headers_only,
            // The newest of each subject can only be asked for with a filter.
            filter_subjects: match (filters, from) {
                ([], From::NewestOfEach) => vec![">".to_owned()],
                (filters, _) => filters.to_vec(),
            },
            max_batch: 500,
            ..OrderedConfig::default()
        };
        let stream = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        let consumer: Consumer<OrderedConfig> = stream
            .create_consumer(config)
            .await
            .map_err(Error::unavailable)?;
        Ok(Reader {
            bus: self.clone(),
            messages: consumer.messages().await.map_err(Error::unavailable)?,
            bodies: !headers_only,
            connected,
        })
    }

    /// Reads `stream` from behind `after` for as long as somebody listens, whatever breaks in between: each message once, in order.
    pub fn follow(&self, stream: &str, filters: &[String], after: u64) -> mpsc::Receiver<Stored> {
        let (sender, receiver) = mpsc::channel(FOLLOW_AHEAD);
        let (bus, stream, filters) = (self.clone(), stream.to_owned(), filters.to_vec());
        tokio::spawn(async move {
            let mut after = after;
            let mut pauses = patience().build();
            while !sender.is_closed() {
                let before = after;
                let outcome = bus
                    .follow_once(&stream, &filters, &mut after, &sender)
                    .await;
                if let Err(error) = outcome {
                    if after > before {
                        pauses = patience().build();
                    }
                    let pause = pauses.next().unwrap_or_default();
                    tracing::debug!(stream, after, %error, ?pause, "reading is interrupted, going on behind what was read");
                    tokio::time::sleep(pause).await;
                }
            }
        });
        receiver
    }

    async fn follow_once(
        &self,
        stream: &str,
        filters: &[String],
        after: &mut u64,
        sender: &mpsc::Sender<Stored>,
    ) -> Result<(), Error> {
        let mut reader = self
            .read(stream, filters, From::Sequence(*after + 1), false)
            .await?;
        loop {
            let stored = tokio::select! {
                () = sender.closed() => return Ok(()),
                stored = reader.next() => stored?,
            };
            if stored.sequence > *after {
                *after = stored.sequence;
                if sender.send(stored).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// The newest message of `subject`, with its body; none where there is none.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn newest_of(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        let mut newest = self
            .newest(stream, &[subject.to_owned()], None, None)
            .await?;
        match newest.messages.pop() {
            None => Ok(None),
            Some(stored) => Ok(Some(Stored {
                message: self.load_large_body(stored.message).await?,
                ..stored
            })),
        }
    }

    /// The newest message of each subject that matches `filters`, with sequences from `since` (inclusive) up to `upto`; bodies are not loaded.
    ///
    /// Any of the stream's servers may answer, also one that is behind: an answer that does not reach `upto` is an error, and that there is
    /// nothing is believed only of the one that leads the stream.
    ///
    /// # Errors
    /// [`Error::Refused`] where more than 1,024 match: ask for less at once ([`Bus::newest_of_all`] does); else where the stream does not answer.
    pub async fn newest(
        &self,
        stream: &str,
        filters: &[String],
        since: Option<u64>,
        upto: Option<u64>,
    ) -> Result<Newest, Error> {
        let mut request = json!({"multi_last": filters, "batch": NEWEST_AT_ONCE});
        if let Some(since) = since.filter(|since| *since > 0) {
            request["seq"] = since.into();
        }
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(Error::unavailable)?;
        self.client
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{stream}"),
                inbox,
                request.to_string().into(),
            )
            .await
            .map_err(Error::unavailable)?;
        let mut messages = Vec::new();
        loop {
            let next = tokio::time::timeout(self.timeout, answers.next()).await;
            let answer = next
                .map_err(|_| Error::Unavailable(format!("{stream} does not answer")))?
                .ok_or_else(|| Error::Unavailable("the connection was closed".to_owned()))?;
            let mut headers = from_nats_headers(answer.headers.as_ref());
            let number = |headers: &Headers, name: &str| {
                headers
                    .get(name)
                    .and_then(|value| value.parse::<u64>().ok())
            };
            match answer.status.map(|status| status.as_u16()) {
                None => {
                    let subject = headers.remove("Nats-Subject");
                    let (Some(subject), Some(sequence)) =
                        (subject, number(&headers, "Nats-Sequence"))
                    else {
                        return Err(Error::Unavailable(format!(
                            "{stream} answers without subject or sequence"
                        )));
                    };
                    messages.push(Stored {
                        sequence,
                        stored_at: Duration::ZERO,
                        message: Message {
                            subject,
                            headers,
                            payload: answer.payload.into(),
                        },
                    });
                }
                Some(204) => {
                    if number(&headers, "Nats-Num-Pending").is_some_and(|pending| pending > 0) {
                        return Err(Error::Refused(format!(
                            "{stream} has more than {NEWEST_AT_ONCE} matches"
                        )));
                    }
                    // Bounded here and not by the request: only so the server tells how far it is itself.
                    let reached = number(&headers, "Nats-UpTo-Sequence").unwrap_or(0);
                    let upto = upto.unwrap_or(reached);
                    if reached < upto {
                        return Err(behind(stream));
                    }
                    messages.retain(|stored| stored.sequence <= upto);
                    messages.sort_by_key(|stored| stored.sequence);
                    return Ok(Newest { messages, upto });
                }
                Some(404) => return self.nothing(stream, filters, since, upto).await,
                Some(413) => {
                    return Err(Error::Refused(format!(
                        "{stream} has more than {NEWEST_AT_ONCE} matches"
                    )));
                }
                Some(503) => return Err(Error::Unavailable(format!("{stream} does not answer"))),
                Some(status) => return Err(Error::Refused(format!("{stream} answers {status}"))),
            }
        }
    }

    /// Makes sure that nothing matches `filters` from `since` on.
    async fn nothing(
        &self,
        stream: &str,
        filters: &[String],
        since: Option<u64>,
        upto: Option<u64>,
    ) -> Result<Newest, Error> {
        let upto = match upto {
            Some(upto) => upto,
            None => self.last_sequence(stream).await?,
        };
        let handle = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        for filter in filters {
            let first = handle
                .get_first_raw_message_by_subject(filter, since.unwrap_or(0).max(1))
                .await;
            match first {
                Ok(message) if message.sequence <= upto => return Err(behind(stream)),
                Ok(_) => {}
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(Error::unavailable(error)),
            }
        }
        Ok(Newest {
            messages: Vec::new(),
            upto,
        })
    }

    /// As [`Bus::newest`] for one filter, however many subjects match: asked for page by page where they are too many.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn newest_of_all(
        &self,
        stream: &str,
        filter: &str,
        since: Option<u64>,
        upto: Option<u64>,
    ) -> Result<Newest, Error> {
        match self.newest(stream, &[filter.to_owned()], since, upto).await {
            Err(Error::Refused(_)) => {}
            outcome => return outcome,
        }
        let upto = match upto {
            Some(upto) => upto,
            None => self.last_sequence(stream).await?,
        };
        let handle = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        let mut subjects = handle
            .info_with_subjects(filter)
            .await
            .map_err(Error::unavailable)?;
        let mut page = Vec::with_capacity(NEWEST_AT_ONCE);
        let mut messages = Vec::new();
        loop {
            let next = subjects
                .next()
                .await
                .transpose()
                .map_err(Error::unavailable)?;
            let ended = next.is_none();
            page.extend(next.map(|(subject, _)| subject));
            if page.len() == NEWEST_AT_ONCE || (ended && !page.is_empty()) {
                messages.extend(
                    self.newest(stream, &page, since, Some(upto))
                        .await?
                        .messages,
                );
                page.clear();
            }
            if ended {
                messages.sort_by_key(|stored| stored.sequence);
                return Ok(Newest { messages, upto });
            }
        }
    }

    /// Takes the messages of `subject` away up to `sequence` (inclusive).
    ///
    /// # Errors
    /// Where the stream does not answer, or forbids it.
    pub async fn forget(&self, stream: &str, subject: &str, sequence: u64) -> Result<(), Error> {
        let stream = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        stream
            .purge()
            .filter(subject)
            .sequence(sequence + 1)
            .await
            .map(drop)
            .map_err(Error::unavailable)
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Ends when the connection was interrupted and is there again.
async fn reconnected(connected: &mut watch::Receiver<bool>) {
    if connected.changed().await.is_err() || connected.wait_for(|is| *is).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn since_1970(time: async_nats::datetime::DateTime) -> Duration {
    let nanos = u64::try_from(time.unix_timestamp_nanos()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

fn behind(stream: &str) -> Error {
    Error::Unavailable(format!(
        "the server that answered for {stream} is behind; ask again"
    ))
}

fn async_nats_time(time: fleetcast_core::time::Time) -> async_nats::datetime::DateTime {
    let nanos = i128::from(time.0) * 1_000_000;
    async_nats::datetime::from_nanos(nanos).unwrap_or_else(|_| async_nats::datetime::now())
}
