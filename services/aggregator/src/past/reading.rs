//! Folds a part of the streams into a view: the log and the acknowledgements are read and decoded by a task each, the caller folds what they hand on.

use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::ack::Batch;
use fleetcast_core::fold::View;
use fleetcast_core::log::Entry;
use fleetcast_schemas::event;
use tokio::sync::mpsc;

use super::archive::Position;

/// How many messages are handed on at once, at most.
const BUNCH: usize = 128;
/// How many bytes of them, about.
const BUNCH_BYTES: usize = 1 << 20;
/// How many bunches may wait to be folded.
const AHEAD: usize = 8;

/// Messages of a stream, decoded: each with its sequence, and nothing where nobody can read it.
enum Bunch {
    Events(Vec<(u64, Option<Entry>)>),
    /// With the partition.
    Acks(Vec<(u16, u64, Option<Batch>)>),
}

/// Folds everything behind `view` up to `to`, and says of each message that it is read. What nobody can read is passed by, as the live fold
/// does. Log and acknowledgements come in any order against each other, which folds to the same.
pub(super) async fn fold(
    bus: &Bus,
    view: &mut View,
    to: &Position,
    mut read: impl FnMut(),
) -> Result<(), Error> {
    let (sender, mut bunches) = mpsc::channel(AHEAD);
    let log = read_log(
        bus.clone(),
        view.log,
        to.log,
        Bunches::new(&sender, Bunch::Events),
    );
    let parts = to.acks.iter().map(|(partition, place)| {
        let folded = view.acks.get(partition).copied().unwrap_or(0);
        (*partition, folded, *place)
    });
    let acks = read_acks(
        bus.clone(),
        parts.collect(),
        Bunches::new(&sender, Bunch::Acks),
    );
    drop(sender);
    let readers = [tokio::spawn(log), tokio::spawn(acks)];
    let mut last = view.log;
    while let Some(bunch) = bunches.recv().await {
        match bunch {
            Bunch::Events(events) => {
                for (sequence, entry) in events {
                    read();
                    if sequence > last + 1 {
                        refuse_cut(bus, sequence).await?;
                    }
                    last = sequence;
                    if let Some(entry) = entry {
                        view.logged(&entry);
                    }
                }
            }
            Bunch::Acks(batches) => {
                for (partition, sequence, batch) in batches {
                    read();
                    if let Some(batch) = batch {
                        view.acknowledged(partition, sequence, batch);
                    }
                }
            }
        }
    }
    for reader in readers {
        reader
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))??;
    }
    to.mark(view);
    Ok(())
}

async fn read_log(
    bus: Bus,
    after: u64,
    upto: u64,
    mut bunches: Bunches<(u64, Option<Entry>)>,
) -> Result<(), Error> {
    if after < upto {
        let mut log = bus.range(streams::LOG, part(after, upto)).await?;
        while let Some(dated) = log.next().await? {
            let (sequence, message) = (dated.stored.sequence, dated.stored.message);
            let entry = event::log_entry(&message, sequence)
                .inspect_err(|error| tracing::debug!(sequence, %error, "an event cannot be read"));
            let read = (sequence, entry.ok());
            if !bunches.take(read, message.payload.len()).await {
                return Ok(());
            }
        }
    }
    bunches.hand_on().await;
    Ok(())
}

/// Reads the acknowledgements of each partition behind what is folded up to its place.
async fn read_acks(
    bus: Bus,
    parts: Vec<(u16, u64, u64)>,
    mut bunches: Bunches<(u16, u64, Option<Batch>)>,
) -> Result<(), Error> {
    for (partition, folded, place) in parts {
        if folded >= place {
            continue;
        }
        let part = Part {
            // Agents have no way to store a large body: one that they name is never there.
            bodies_stay: true,
            ..part(folded, place)
        };
        let mut acks = bus.range(&streams::acks(partition), part).await?;
        while let Some(dated) = acks.next().await? {
            let (sequence, message) = (dated.stored.sequence, dated.stored.message);
            let batch = match event::read_acks(&message) {
                Ok((of_subject, batch)) if of_subject == partition => Some(batch),
                Ok(_) | Err(_) => {
                    tracing::debug!(sequence, "a batch cannot be read");
                    None
                }
            };
            let read = (partition, sequence, batch);
            if !bunches.take(read, message.payload.len()).await {
                return Ok(());
            }
        }
    }
    bunches.hand_on().await;
    Ok(())
}

fn part(after: u64, upto: u64) -> Part {
    Part {
        from: after + 1,
        upto: Some(upto),
        ..Part::default()
    }
}

/// Hands messages on in bunches: to wake the one who folds costs more than to decode one.
struct Bunches<T> {
    sender: mpsc::Sender<Bunch>,
    as_bunch: fn(Vec<T>) -> Bunch,
    messages: Vec<T>,
    bytes: usize,
}

impl<T> Bunches<T> {
    fn new(sender: &mpsc::Sender<Bunch>, as_bunch: fn(Vec<T>) -> Bunch) -> Self {
        Self {
            sender: sender.clone(),
            as_bunch,
            messages: Vec::with_capacity(BUNCH),
            bytes: 0,
        }
    }

    /// Whether anybody still listens.
    async fn take(&mut self, message: T, bytes: usize) -> bool {
        self.messages.push(message);
        self.bytes += bytes;
        (self.messages.len() < BUNCH && self.bytes < BUNCH_BYTES) || self.hand_on().await
    }

    async fn hand_on(&mut self) -> bool {
        let full = std::mem::replace(&mut self.messages, Vec::with_capacity(BUNCH));
        self.bytes = 0;
        self.sender.send((self.as_bunch)(full)).await.is_ok()
    }
}

/// Refuses to go on where the events before `sequence` were cut away before they were read.
async fn refuse_cut(bus: &Bus, sequence: u64) -> Result<(), Error> {
    match bus.base().await? {
        Some(base) if base.head.log + 1 >= sequence => Err(Error::Unavailable(
            "the log was cut while it was read".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}
