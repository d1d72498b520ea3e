//! Values of Secrets are sealed before they are handed in: what to seal, and to whom, the hub says on the bus, or `--seal-to` says to whom.

use std::sync::OnceLock;
use std::time::Duration;

use fleetcast_bus::{Bus, Error};
use fleetcast_core::Refusal;
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::request::SealingAnswer;
use fleetcast_sealing::{Outgoing, Rule, Sealing};
use serde_json::Value;
use tokio::sync::OnceCell;

/// How long the hub is asked: long enough for another ingest process to take over.
const PATIENCE: Duration = Duration::from_secs(15);

/// The key that was named.
static NAMED: OnceLock<String> = OnceLock::new();
/// A process speaks to one hub.
static HUB: OnceCell<Hub> = OnceCell::const_new();

/// What the hub wants.
pub(crate) enum Hub {
    /// Values sealed to its key.
    Sealed(Outgoing),
    /// None at all, or plain ones.
    Otherwise(Sealing),
}

/// Values are sealed to `key`, whatever the bus says: whoever runs the bus cannot put one of his own there.
pub(crate) fn seal_to(key: String) {
    drop(NAMED.set(key));
}

/// Seals the values of `document`, which is about `target`, as the hub wants them.
///
/// # Errors
/// The outer where the hub does not answer, the inner where a value cannot be handed in.
pub(crate) async fn seal(
    bus: &Bus,
    target: &ObjectKey,
    document: &mut Value,
) -> Result<Result<(), Refusal>, Error> {
    if target.group() == "fleetcast.dev" {
        // Clusters and confirmations hold no values.
        return Ok(Ok(()));
    }
    Ok(door(bus).await?.seal(target, document))
}

/// What the hub wants; it is asked once.
///
/// # Errors
/// Where it does not answer.
pub(crate) async fn door(bus: &Bus) -> Result<&'static Hub, Error> {
    HUB.get_or_try_init(|| ask(bus)).await
}

impl Hub {
    /// Seals the values of `document`, which is about `target`.
    pub(crate) fn seal(&self, target: &ObjectKey, document: &mut Value) -> Result<(), Refusal> {
        match self {
            Self::Sealed(outgoing) => outgoing.seal(document, target),
            Self::Otherwise(sealing) => sealing.seal(document, target).map(drop),
        }
    }
}

async fn ask(bus: &Bus) -> Result<Hub, Error> {
    let SealingAnswer { key, fields, plain } = bus.ask_sealing(PATIENCE).await?;
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::Refused(format!("what the hub wants sealed cannot be read: {why}"))
    };
    let rules: Result<Vec<Rule>, _> = fields.iter().map(|field| field.parse()).collect();
    let rules = rules.map_err(|error| unreadable(&error))?;
    match NAMED.get().cloned().or(key) {
        Some(key) => {
            let outgoing = Outgoing::new(&key, &rules).map_err(|error| unreadable(&error))?;
            Ok(Hub::Sealed(outgoing))
        }
        None if plain => Ok(Hub::Otherwise(Sealing::Plain)),
        None => Ok(Hub::Otherwise(Sealing::Refused)),
    }
}
