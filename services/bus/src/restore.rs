//! A backup into an empty bus: the same messages at the same sequences, then a new epoch.
//!
//! While it goes on the log is marked, and [`Bus::prepare`] refuses to begin on it. What fails takes away what it made; what was killed is
//! begun anew by the next try.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Config;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_schemas::Message;
use fleetcast_schemas::envelope::format_time;
use fleetcast_schemas::event;

use crate::append::Expected;
use crate::backup::{Contents, Error, Kind, Record};
use crate::range::STORED;
use crate::streams::{self, Layout};
use crate::{Bus, Error as BusError};

/// The mark of a log that is being restored.
pub(crate) const RESTORING: &str = "fleetcast-restoring";
/// How many messages go in one atomic batch; the server takes 1,000.
const BATCH: usize = 500;
/// How many bytes go in one atomic batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Message ids are remembered no longer than needed: each comes once.
const DUPLICATES: Duration = Duration::from_millis(100);

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The epoch that began.
    pub epoch: Epoch,
    /// The log sequence of its event.
    pub sequence: u64,
    /// Events of the log restored.
    pub events: u64,
    /// Messages of acknowledgements restored.
    pub acks: u64,
    /// Large bodies restored.
    pub bodies: u64,
    /// How long the backup took to read.
    pub reading: Duration,
    /// How long the bus took to store it.
    pub storing: Duration,
}

impl Bus {
    /// Restores `contents` with so many `replicas` of each stream, as the history of the new hub `hub`, and says after each batch how many
    /// records are done.
    ///
    /// # Errors
    /// Where the bus is not empty, or something cannot be stored: then nothing of it stays.
    pub async fn restore(
        &self,
        contents: &Contents,
        replicas: usize,
        hub: String,
        progress: impl FnMut(u64),
    ) -> Result<Restored, Error> {
        let layout = Layout {
            partitions: contents.head.partitions,
            replicas,
        };
        self.refuse_full(layout).await?;
        let outcome = self.restore_into(contents, layout, hub, progress).await;
        if outcome.is_err() {
            self.clear(layout).await?;
        }
        outcome
    }

    /// Refuses a bus that holds a history; what a killed restore left is cleared.
    async fn refuse_full(&self, layout: Layout) -> Result<(), Error> {
        if self.is_restoring().await? {
            tracing::info!("an earlier restore did not end: beginning anew");
            return self.clear(layout).await;
        }
        for stream in truth(layout) {
            match self.jetstream.get_stream(&stream).await {
                Ok(found) if found.cached_info().config.mirror.is_some() => {
                    return Err(Error::Foreign(format!(
                        "the bus is a mirror: {stream} copies another hub's; `fleetcast promote` makes it a hub"
                    )));
                }
                Ok(found) if found.cached_info().state.last_sequence > 0 => {
                    return Err(Error::Foreign(format!(
                        "the bus is not empty: {stream} holds {} messages; restore into a NATS server with a new store",
                        found.cached_info().state.messages
                    )));
                }
                // Not there, or not to be had: making it says why.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the log is being restored, or was when that was killed.
    pub(crate) async fn is_restoring(&self) -> Result<bool, BusError> {
        let log = self.info_of(streams::LOG).await?;
        Ok(log.is_some_and(|log| log.config.metadata.contains_key(RESTORING)))
    }

    /// Takes away what a restore made: the marked log last.
    async fn clear(&self, layout: Layout) -> Result<(), Error> {
        let body_store = format!("OBJ_{}", streams::BODIES);
        for stream in truth(layout).rev().chain([body_store]) {
            if stream != streams::LOG {
                drop(self.jetstream.delete_stream(stream).await);
            }
        }
        drop(self.jetstream.delete_stream(streams::LOG).await);
        Ok(())
    }

    async fn restore_into(
        &self,
        contents: &Contents,
        layout: Layout,
        hub: String,
        mut progress: impl FnMut(u64),
    ) -> Result<Restored, Error> {
        let mut all: HashMap<String, Config> = streams::streams(layout)
            .into_iter()
            .map(|config| (config.name.clone(), config))
            .collect();
        // The log first: its mark keeps others away.
        let log = all.remove(streams::LOG).map(|config| Config {
            metadata: HashMap::from([(RESTORING.to_owned(), "yes".to_owned())]),
            ..config
        });
        let log = log.ok_or_else(|| BusError::Refused("there is no log to make".to_owned()))?;
        self.open(log, contents.head.first).await?;
        self.prepare_bodies(layout).await?;
        let mut restored = Restored {
            epoch: Epoch {
                number: 0,
                hub: String::new(),
            },
            sequence: 0,
            events: 0,
            acks: 0,
            bodies: 0,
            reading: Duration::ZERO,
            storing: Duration::ZERO,
        };
        let mut feeds: HashMap<String, Feed> = HashMap::new();
        for number in 1..=contents.head.segments {
            let begin = Instant::now();
            let contents = contents.clone();
            let records = tokio::task::spawn_blocking(move || contents.segment(number));
            let records = records
                .await
                .map_err(|error| BusError::Unavailable(error.to_string()))??;
            restored.reading += begin.elapsed();
            let begin = Instant::now();
            for record in records {
                let stream = match record.kind {
                    Kind::Body => {
                        self.put_body(&record.subject, &record.payload).await?;
                        restored.bodies += 1;
                        continue;
                    }
                    Kind::Log => {
                        restored.events += 1;
                        streams::LOG.to_owned()
                    }
                    Kind::Base => streams::BASE.to_owned(),
                    Kind::Ack(partition) => {
                        restored.acks += 1;
                        streams::acks(partition)
                    }
                };
                if !feeds.contains_key(&stream) {
                    if let Some(config) = all.remove(&stream) {
                        self.open(config, record.sequence).await?;
                    }
                    feeds.insert(stream.clone(), Feed::new(record.sequence));
                }
                let feed = feeds.get_mut(&stream).expect("just put there");
                if feed.is_full_before(&record) {
                    self.store(feed).await?;
                    progress(restored.events + restored.acks + restored.bodies);
                }
                feed.push(record);
            }
            for feed in feeds.values_mut() {
                self.store(feed).await?;
            }
            progress(restored.events + restored.acks + restored.bodies);
            restored.storing += begin.elapsed();
        }
        // What had aged out of a stream is counted there, too: positions in it stay what they were.
        for (partition, last) in contents.head.acks.iter().filter(|(_, last)| **last > 0) {
            if let Some(config) = all.remove(&streams::acks(*partition)) {
                self.open(config, last + 1).await?;
            }
        }
        let epoch: Epoch = contents
            .head
            .epoch
            .clone()
            .try_into()
            .map_err(|_| Error::damaged("backup.json", "names no epoch"))?;
        let beginning = Beginning {
            epoch: Epoch {
                number: epoch.number + 1,
                hub,
            },
            partitions: layout.partitions,
        };
        let message = event::epoch_begins(&beginning, crate::now());
        restored.epoch = beginning.epoch;
        let behind = Expected::OfStream(contents.head.log);
        restored.sequence = self.append(message, behind).await?;
        // As they are to be from now on; the mark goes with the last of them.
        self.prepare_all(layout).await?;
        Ok(restored)
    }

    /// Makes a stream whose next message gets `sequence`, fit for atomic batches that are answered.
    async fn open(&self, config: Config, sequence: u64) -> Result<(), BusError> {
        let name = config.name.clone();
        let config = Config {
            first_sequence: Some(sequence).filter(|sequence| *sequence > 1),
            duplicate_window: DUPLICATES,
            allow_atomic_publish: true,
            no_ack: false,
            ..config
        };
        self.jetstream
            .create_or_update_stream(config)
            .await
            .map(drop)
            .map_err(|error| BusError::Unavailable(format!("stream {name}: {error}")))
    }

    /// Stores what a feed holds in one atomic batch, behind what it stored before.
    async fn store(&self, feed: &mut Feed) -> Result<(), BusError> {
        let mut items = Vec::with_capacity(feed.records.len());
        let mut stored = feed.stored;
        for record in feed.records.drain(..) {
            if record.sequence != stored + 1 {
                return Err(BusError::Refused(format!(
                    "message {} follows message {stored} in the backup: a stream with gaps cannot be restored",
                    record.sequence
                )));
            }
            let expected = match items.is_empty() {
                true => Expected::OfStream(stored),
                false => Expected::Anything,
            };
            stored = record.sequence;
            items.push((message(record), expected));
        }
        feed.bytes = 0;
        if items.is_empty() {
            return Ok(());
        }
        match self.append_all(items).await? {
            last if last == stored => feed.stored = stored,
            last => {
                return Err(BusError::Refused(format!(
                    "message {stored} was stored at {last}: somebody else writes to the bus"
                )));
            }
        }
        Ok(())
    }
}

/// The streams that hold the truth, the log first.
pub(crate) fn truth(layout: Layout) -> impl DoubleEndedIterator<Item = String> {
    let acks = (0..layout.partitions).map(streams::acks);
    [streams::LOG.to_owned(), streams::BASE.to_owned()]
        .into_iter()
        .chain(acks)
}

/// The message as it was; an acknowledgement says when it was stored first.
fn message(record: Record) -> Message {
    let stored = matches!(record.kind, Kind::Ack(_)).then_some(record.time);
    let mut message = record.message();
    if let Some(time) = stored {
        message.headers.set(STORED, format_time(time));
    }
    message
}

/// Messages of one stream on their way.
struct Feed {
    /// Up to which sequence they are stored.
    stored: u64,
    records: Vec<Record>,
    bytes: usize,
}

impl Feed {
    fn new(first: u64) -> Self {
        Self {
            stored: first - 1,
            records: Vec::new(),
            bytes: 0,
        }
    }

    fn is_full_before(&self, record: &Record) -> bool {
        self.records.len() >= BATCH || self.bytes + record.payload.len() > BATCH_BYTES
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.payload.len();
        self.records.push(record);
    }
}
