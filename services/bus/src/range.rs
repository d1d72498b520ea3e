//! Reading a part of a stream that has an end: from one sequence up to another, with the time at which each message was stored.

use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::DirectGetErrorKind;
use fleetcast_core::time::Time;
use fleetcast_schemas::Message;
use fleetcast_schemas::envelope::parse_time;
use futures::{FutureExt, StreamExt};

use crate::connect::{from_nats, from_nats_headers};
use crate::read::Stored;
use crate::{Bus, Error};

/// The header of a message that was restored: when the stream that it was taken from had stored it (RFC 3339).
///
/// Acknowledgements count from then on: the clocks of agents are not trusted, and the stream's own time begins anew with a restore.
pub const STORED: &str = "fleetcast-stored";
/// How many messages are asked for at once.
const AT_ONCE: usize = 1_000;

/// Which part of a stream.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Only subjects that match one of these; all where none is given.
    pub filters: Vec<String>,
    /// The first sequence.
    pub from: u64,
    /// The last sequence; none for where the stream ends now.
    pub upto: Option<u64>,
    /// Without bodies.
    pub headers_only: bool,
    /// Large bodies stay in `fc_bodies`; the messages name them.
    pub bodies_stay: bool,
}

/// A message of a part, with the moment at which it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The message.
    pub stored: Stored,
    /// When it was stored first, also where it was restored since.
    pub time: Time,
}

/// Reads a part of a stream in order, each message once.
pub struct Range {
    bus: Bus,
    stream: String,
    filters: Vec<String>,
    headers_only: bool,
    /// None where nothing (more) is to come.
    messages: Option<Ordered>,
    /// The last sequence that was read.
    last: u64,
    upto: u64,
    loads_bodies: bool,
}

/// Where a stream begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The sequence of its first message; one behind the last where it holds none.
    pub first: u64,
    /// The sequence of its last message, also where that is gone.
    pub last: u64,
}

impl Bus {
    /// Where a stream begins and ends.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn bounds(&self, stream: &str) -> Result<Bounds, Error> {
        let handle = self
            .jetstream
            .get_stream(stream)
            .await
            .map_err(Error::unavailable)?;
        let state = &handle.cached_info().state;
        Ok(Bounds {
            first: state.first_sequence.max(1),
            last: state.last_sequence,
        })
    }

    /// The last message of `stream` for which `is_before` holds, where it holds for all messages up to some place and for none behind it:
    /// its sequence; one before the first where there is none. About twenty single reads in a million messages; bodies are not loaded.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn seek(
        &self,
        stream: &str,
        is_before: impl Fn(&Dated) -> bool,
    ) -> Result<u64, Error> {
        let Bounds { first, last } = self.bounds(stream).await?;
        let handle = self
            .jetstream
            .get_stream_no_info(stream)
            .await
            .map_err(Error::unavailable)?;
        // Everything up to `low` is before; nothing from `high` on.
        let (mut low, mut high) = (first - 1, last + 1);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match handle.direct_get_next_for_subject(">", Some(middle)).await {
                Ok(message) => {
                    let dated = dated(message);
                    if is_before(&dated) {
                        low = dated.stored.sequence.min(high - 1);
                    } else {
                        high = middle;
                    }
                }
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => high = middle,
                Err(error) => return Err(Error::unavailable(error)),
            }
        }
        Ok(low)
    }

    /// Reads all of `stream` with the client alone and drops it: how many messages. What reading costs at least, for the bench.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn read_and_drop(&self, stream: &str) -> Result<u64, Error> {
        let handle = self
            .jetstream
            .get_stream(stream)
            .await
            .map_err(Error::unavailable)?;
        let of = handle.cached_info().state.messages;
        if of == 0 {
            return Ok(0);
        }
        let config = OrderedConfig {
            max_batch: i64::try_from(AT_ONCE).unwrap_or(i64::MAX),
            ..OrderedConfig::default()
        };
        let consumer = handle
            .create_consumer(config)
            .await
            .map_err(Error::unavailable)?;
        let mut messages = consumer.messages().await.map_err(Error::unavailable)?;
        let mut read = 0;
        while read < of {
            let message = messages.next().await;
            message
                .ok_or_else(|| Error::Unavailable("the reader was closed".to_owned()))?
                .map_err(Error::unavailable)?;
            read += 1;
        }
        Ok(read)
    }

    /// Reads `part` of `stream`.
    ///
    /// # Errors
    /// Where the stream does not answer.
    pub async fn range(&self, stream: &str, part: Part) -> Result<Range, Error> {
        let Part {
            filters,
            from,
            upto,
            headers_only,
            bodies_stay,
        } = part;
        let handle = self
            .jetstream
            .get_stream(stream)
            .await
            .map_err(Error::unavailable)?;
        let last = handle.cached_info().state.last_sequence;
        let upto = upto.unwrap_or(last).min(last);
        let mut range = Range {
            bus: self.clone(),
            stream: stream.to_owned(),
            filters,
            headers_only,
            messages: None,
            last: from.max(1) - 1,
            upto,
            loads_bodies: !headers_only && !bodies_stay,
        };
        if from <= upto && handle.cached_info().state.messages > 0 {
            range.open().await?;
        }
        Ok(range)
    }
}

impl Range {
    /// Begins to read behind the last message, where anything stands there.
    async fn open(&mut self) -> Result<(), Error> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.last + 1,
            },
            filter_subjects: self.filters.clone(),
            headers_only: self.headers_only,
            max_batch: i64::try_from(AT_ONCE).unwrap_or(i64::MAX),
            ..OrderedConfig::default()
        };
        let handle = self
            .bus
            .jetstream
            .get_stream_no_info(&self.stream)
            .await
            .map_err(Error::unavailable)?;
        let consumer = handle
            .create_consumer(config)
            .await
            .map_err(Error::unavailable)?;
        self.messages = match consumer.cached_info().num_pending {
            0 => None,
            _ => Some(consumer.messages().await.map_err(Error::unavailable)?),
        };
        Ok(())
    }

    /// The next message; none behind the end.
    ///
    /// # Errors
    /// Where the stream cannot be read now; a body that is not what its digest says.
    pub async fn next(&mut self) -> Result<Option<Dated>, Error> {
        let Some(messages) = &mut self.messages else {
            return Ok(None);
        };
        // Most are there already: a clock for each of them would cost a tenth of reading it.
        let next = match messages.next().now_or_never() {
            Some(next) => next,
            None => tokio::time::timeout(self.bus.timeout, messages.next())
                .await
                .map_err(|_| Error::Unavailable(format!("{} does not answer", self.stream)))?,
        };
        let message = next
            .ok_or_else(|| Error::Unavailable("the reader was closed".to_owned()))?
            .map_err(Error::unavailable)?;
        let info = message.info().map_err(Error::unavailable)?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let published = milliseconds(info.published);
        self.last = sequence;
        if sequence >= self.upto {
            self.messages = None;
        } else if pending == 0 {
            // What was being stored when the server counted is not among what it counted.
            self.open().await?;
        }
        if sequence > self.upto {
            return Ok(None);
        }
        let mut message = from_nats(message.message);
        let time = first_stored(&message, published);
        if self.loads_bodies {
            message = self.bus.load_large_body(message).await?;
        }
        Ok(Some(Dated {
            stored: Stored {
                sequence,
                stored_at: since_1970(published),
                message,
            },
            time,
        }))
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// As [`Range::next`].
    pub async fn all(mut self) -> Result<Vec<Dated>, Error> {
        let mut all = Vec::new();
        while let Some(dated) = self.next().await? {
            all.push(dated);
        }
        Ok(all)
    }
}

/// When a message that the stream took in at `published` was stored first.
fn first_stored(message: &Message, published: Time) -> Time {
    let restored = message.headers.get(STORED).and_then(parse_time);
    restored.unwrap_or(published)
}

fn milliseconds(time: DateTime) -> Time {
    let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
    Time(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

fn dated(message: StreamMessage) -> Dated {
    let published = milliseconds(message.time);
    let sequence = message.sequence;
    let message = Message {
        subject: message.subject.to_string(),
        headers: from_nats_headers(Some(&message.headers)),
        payload: message.payload.into(),
    };
    let time = first_stored(&message, published);
    Dated {
        stored: Stored {
            sequence,
            stored_at: since_1970(published),
            message,
        },
        time,
    }
}

fn since_1970(time: Time) -> Duration {
    Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
}

/// The message as it was before it was restored.
pub(crate) fn without_stored(mut message: Message) -> Message {
    message.headers.remove(STORED);
    message
}
