//! Folds a part of the streams into a view.

use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::fold::View;
use fleetcast_schemas::event;

use super::archive::Position;

/// Folds everything behind `view` up to `to`, and says of each message that it is read. What nobody can read is passed by, as the live fold
/// does.
pub(super) async fn fold(
    bus: &Bus,
    view: &mut View,
    to: &Position,
    mut read: impl FnMut(),
) -> Result<(), Error> {
    let part = |from: u64, upto: u64| Part {
        from,
        upto: Some(upto),
        ..Part::default()
    };
    if view.log < to.log {
        let mut log = bus.range(streams::LOG, part(view.log + 1, to.log)).await?;
        let mut last = view.log;
        while let Some(dated) = log.next().await? {
            let stored = dated.stored;
            read();
            if stored.sequence > last + 1 {
                refuse_cut(bus, stored.sequence).await?;
            }
            last = stored.sequence;
            match event::log_entry(&stored.message, stored.sequence) {
                Ok(entry) => view.logged(&entry),
                Err(error) => {
                    tracing::debug!(sequence = stored.sequence, %error, "an event cannot be read")
                }
            }
        }
    }
    for (partition, place) in &to.acks {
        let folded = view.acks.get(partition).copied().unwrap_or(0);
        if folded >= *place {
            continue;
        }
        let part = Part {
            // Agents have no way to store a large body: one that they name is never there.
            bodies_stay: true,
            ..part(folded + 1, *place)
        };
        let mut acks = bus.range(&streams::acks(*partition), part).await?;
        while let Some(dated) = acks.next().await? {
            let stored = dated.stored;
            read();
            match event::read_acks(&stored.message) {
                Ok((of_subject, batch)) if of_subject == *partition => {
                    view.acknowledged(*partition, stored.sequence, &batch);
                }
                Ok(_) | Err(_) => {
                    tracing::debug!(sequence = stored.sequence, "a batch cannot be read")
                }
            }
        }
    }
    to.mark(view);
    Ok(())
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
