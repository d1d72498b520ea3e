//! What a watch of a hub knows of the log when it begins: its checkpoint where that belongs to this log, else the base, else nothing.

use fleetcast_bus::base::Found;
use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::fold::View;
use fleetcast_core::hub::Logged;
use fleetcast_core::log::Entry;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

/// The section of a base that holds what a watch of a hub knows of the log, whichever hub it is. A base of version 1 has none.
pub const HUB: &str = "hub";
/// The section that every base has, by the name that the aggregator gives it.
const VIEW: &str = "view";

/// What to begin with: `kept` where the log goes on behind it.
///
/// # Errors
/// Where a base is needed and missing or damaged; where the bus does not answer.
pub async fn begin(bus: &Bus, kept: Option<Logged>) -> Result<Logged, Error> {
    if let Some(kept) = kept {
        let bounds = bus.bounds(streams::LOG).await?;
        let beginning = bus.beginning().await?;
        let is_of_this_history = beginning.is_some_and(|now| kept.epoch() == Some(&now.epoch));
        let goes_on = kept.sequence() <= bounds.last && kept.sequence() + 1 >= bounds.first;
        if is_of_this_history && goes_on {
            return Ok(kept);
        }
        tracing::warn!(
            log = kept.sequence(),
            "the checkpoint belongs to another log, or it was cut behind that: folding anew"
        );
    }
    match bus.base().await? {
        None => Ok(Logged::default()),
        Some(base) => {
            tracing::info!(log = base.head.log, "beginning at the base");
            of_base(bus, &base).await
        }
    }
}

/// What a base says.
///
/// # Errors
/// Where it is damaged; where the bus does not answer.
pub async fn of_base(bus: &Bus, base: &Found) -> Result<Logged, Error> {
    if base.has(HUB) {
        return bus.base_section(base, HUB).await;
    }
    let view: View = bus.base_section(base, VIEW).await?;
    Ok(Logged::of_view(&view))
}

/// Whether `stored`, the next that was read, shows that events before it were cut away: what they said is in the base. An event that is missing otherwise
/// (`replay --verify` names it) is passed by.
///
/// # Errors
/// Where the bus does not answer.
pub(crate) async fn is_cut(bus: &Bus, known: &Logged, stored: &Stored) -> Result<bool, Error> {
    if stored.sequence <= known.sequence() + 1 {
        return Ok(false);
    }
    let base = bus.base().await?;
    Ok(base.is_some_and(|base| base.head.log + 1 >= stored.sequence))
}

/// The event that stands there; none where it is a decision, or cannot be read (the ingest service buries it).
pub(crate) fn read(stored: &Stored) -> Option<Entry> {
    if let Some(Parsed::Decision(_)) = subject::parse(&stored.message.subject) {
        return None;
    }
    event::log_entry(&stored.message, stored.sequence).ok()
}
