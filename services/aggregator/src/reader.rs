//! Reads one stream from a position on, in order, for as long as it takes: what is lost on the way is asked for again, and what nobody can
//! read goes to the dead letters.

use std::time::Duration;

use fleetcast_bus::append::Expected;
use fleetcast_bus::read::{From, Stored};
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::ack::Batch;
use fleetcast_core::log::Entry;
use fleetcast_schemas::envelope::DATAREF;
use fleetcast_schemas::event::{self, DeadLetter};
use fleetcast_schemas::{DecodeError, Message};
use tokio::sync::mpsc;

/// The first pause before a stream is opened again; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a stream is opened again.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A stream that says nothing for so long has nothing more: its last messages may have aged out.
const SILENCE: Duration = Duration::from_secs(1);
/// How much of a payload goes to the dead letters, bytes.
const DEAD_PAYLOAD: usize = 64 * 1024;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The log.
    Log,
    /// A partition's acknowledgements.
    Acks(u16),
}

impl Source {
    /// The stream's name.
    pub(crate) fn stream(self) -> String {
        match self {
            Self::Log => streams::LOG.to_owned(),
            Self::Acks(partition) => streams::acks(partition),
        }
    }
}

/// What was met in a stream.
#[derive(Debug)]
pub(crate) enum Found {
    /// An event of the log.
    Entry(Box<Entry>),
    /// Acknowledgements, at this sequence.
    Batch(u64, Box<Batch>),
    /// Something that nobody can read, at this sequence; it is among the dead letters.
    Unreadable(u64),
    /// Everything that stood in the stream at first was sent.
    CaughtUp,
}

/// One stream that is read.
pub(crate) struct Reader {
    bus: Bus,
    source: Source,
    /// The last sequence that was sent on.
    last: u64,
    /// The sequence at which it has caught up; none when it has.
    end: Option<u64>,
    found: mpsc::Sender<(Source, Found)>,
}

/// Why a stream is no longer read as it was.
enum Ended {
    /// Nobody listens any more.
    Unheard,
    /// The stream is shorter than what was read of it: it is another one.
    Replaced,
    /// A message was passed by; it is to be opened again behind it.
    Passed,
    /// It is to be opened again.
    Failed(Error),
}

impl Reader {
    /// Reads `source` after `last`; it has caught up at `end`.
    pub(crate) fn new(
        bus: Bus,
        source: Source,
        last: u64,
        end: u64,
        found: mpsc::Sender<(Source, Found)>,
    ) -> Self {
        Self {
            bus,
            source,
            last,
            end: Some(end),
            found,
        }
    }

    /// Reads until nobody listens, or the stream turns out to be another one.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let before = self.last;
            let error = match self.read().await {
                Ended::Failed(error) => error,
                Ended::Passed => continue,
                Ended::Unheard | Ended::Replaced => return,
            };
            if self.last > before {
                pause = PAUSE;
            }
            let stream = self.source.stream();
            if pause == PAUSE {
                tracing::warn!(stream, after = self.last, %error, "the stream cannot be read, trying again");
            } else {
                tracing::debug!(stream, after = self.last, %error, "the stream still cannot be read");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn read(&mut self) -> Ended {
        match self.read_on().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn read_on(&mut self) -> Result<std::convert::Infallible, Ended> {
        let stream = self.source.stream();
        if self
            .bus
            .last_sequence(&stream)
            .await
            .map_err(Ended::Failed)?
            < self.last
        {
            return Err(Ended::Replaced);
        }
        self.caught_up_at(self.last).await?;
        let from = From::Sequence(self.last + 1);
        let mut reader = self
            .bus
            .read(&stream, &[], from, false)
            .await
            .map_err(Ended::Failed)?;
        loop {
            let stored = {
                // A read that is dropped half-way loses its message: silence is noticed beside it.
                let mut next = std::pin::pin!(reader.next());
                loop {
                    tokio::select! {
                        stored = &mut next => break stored,
                        () = tokio::time::sleep(SILENCE), if self.end.is_some() => self.caught_up_at(u64::MAX).await?,
                    }
                }
            };
            match stored {
                Ok(stored) => self.take(stored).await?,
                // Agents have no way to store a large body: one that they name is never there, and must not hold up the others.
                Err(error) if self.source != Source::Log || !error.is_worth_retrying() => {
                    return Err(self.pass_body(error).await?);
                }
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
    }

    async fn send(&self, found: Found) -> Result<(), Ended> {
        self.found
            .send((self.source, found))
            .await
            .map_err(|_| Ended::Unheard)
    }

    async fn caught_up_at(&mut self, sequence: u64) -> Result<(), Ended> {
        if self.end.take_if(|end| *end <= sequence).is_some() {
            self.send(Found::CaughtUp).await?;
        }
        Ok(())
    }

    async fn take(&mut self, stored: Stored) -> Result<(), Ended> {
        if self.source == Source::Log && stored.sequence > self.last + 1 {
            // Cut away before it was read: the base says what that was.
            let base = self.bus.base().await.map_err(Ended::Failed)?;
            if base.is_some_and(|base| base.head.log + 1 >= stored.sequence) {
                return Err(Ended::Replaced);
            }
        }
        let Stored {
            sequence, message, ..
        } = stored;
        let found = match decode(self.source, &message, sequence) {
            Ok(found) => found,
            Err(error) => self.bury(message, sequence, error.to_string()).await,
        };
        self.send(found).await?;
        self.last = sequence;
        self.caught_up_at(sequence).await
    }

    /// Passes the next message by where it names a large body, which cannot be read because of `error`.
    async fn pass_body(&mut self, error: Error) -> Result<Ended, Ended> {
        let from = From::Sequence(self.last + 1);
        let stream = self.source.stream();
        let mut headers = self
            .bus
            .read(&stream, &[], from, true)
            .await
            .map_err(Ended::Failed)?;
        let Stored {
            sequence, message, ..
        } = headers.next().await.map_err(Ended::Failed)?;
        if message.headers.get(DATAREF).is_none() {
            return Ok(Ended::Failed(error));
        }
        let found = self.bury(message, sequence, error.to_string()).await;
        self.send(found).await?;
        self.last = sequence;
        self.caught_up_at(sequence).await?;
        Ok(Ended::Passed)
    }

    /// Puts a message among the dead letters, however long that takes: its position is passed only then.
    async fn bury(&self, message: Message, sequence: u64, reason: String) -> Found {
        let Message {
            subject,
            headers,
            mut payload,
        } = message;
        tracing::warn!(
            subject,
            sequence,
            reason,
            "a message cannot be read: it goes to the dead letters"
        );
        payload.truncate(DEAD_PAYLOAD);
        let letter = DeadLetter {
            subject,
            sequence,
            reason,
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            payload,
        };
        let message = event::dead(&letter, "aggregator", fleetcast_bus::now());
        let mut pause = PAUSE;
        loop {
            match self.bus.append(message.clone(), Expected::Anything).await {
                Err(error) if error.is_worth_retrying() => {
                    tracing::debug!(%error, "the dead letter cannot be stored, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                // A conflict says that it is stored already.
                Ok(_) | Err(Error::Conflict(_)) => return Found::Unreadable(sequence),
                Err(error) => {
                    tracing::warn!(%error, "the dead letter is lost");
                    return Found::Unreadable(sequence);
                }
            }
        }
    }
}

fn decode(source: Source, message: &Message, sequence: u64) -> Result<Found, DecodeError> {
    match source {
        Source::Log => event::log_entry(message, sequence)
            .map(Box::new)
            .map(Found::Entry),
        Source::Acks(partition) => {
            let (of_subject, batch) = event::read_acks(message)?;
            if of_subject == partition {
                Ok(Found::Batch(sequence, Box::new(batch)))
            } else {
                Err(DecodeError::Subject(message.subject.clone()))
            }
        }
    }
}
