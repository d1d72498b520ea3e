//! Values of Secrets are sealed before they are handed in: what to seal, and to whom, the hub says on the bus. To whom `--seal-to` says before it, and credentials
//! that name the hub's keys hold the answer against them.

use std::sync::OnceLock;
use std::time::Duration;

use fleetcast_bus::{Bus, Error};
use fleetcast_core::Refusal;
use fleetcast_core::model::ObjectKey;
use fleetcast_sealing::{Outgoing, Rule, Sealing};
use serde_json::Value;
use tokio::sync::OnceCell;

/// How long the hub is asked: long enough for another ingest process to take over.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was named in the place of the hub's answer.
static NAMED: OnceLock<SealTo> = OnceLock::new();
/// A process speaks to one hub.
static HUB: OnceCell<Hub> = OnceCell::const_new();

/// What the hub wants.
pub(crate) enum Hub {
    /// Values sealed to its key.
    Sealed(Outgoing),
    /// None at all, or plain ones.
    Otherwise(Sealing),
}

/// To whom values are sealed, whatever the bus says: whoever runs the bus cannot put a key of his own there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SealTo {
    /// To this public key.
    Key(String),
    /// To whatever the bus says, also where the credentials know better.
    Any,
}

/// Values are sealed as `to` says.
pub(crate) fn seal_to(to: SealTo) {
    drop(NAMED.set(to));
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
    let answer = bus.ask_sealing(PATIENCE).await?;
    let known = bus.credentials().borrow().clone();
    let pinned = known.as_ref().map_or(&[][..], |file| &file.hub_keys);
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::Refused(format!("what the hub wants sealed cannot be read: {why}"))
    };
    let rules: Result<Vec<Rule>, _> = answer.fields.iter().map(|field| field.parse()).collect();
    let rules = rules.map_err(|error| unreadable(&error))?;
    let to = recipient(answer.key, answer.plain, NAMED.get(), pinned).map_err(Error::Refused)?;
    match to {
        Recipient::Key(key) => {
            let outgoing = Outgoing::new(&key, &rules).map_err(|error| unreadable(&error))?;
            Ok(Hub::Sealed(outgoing))
        }
        Recipient::Plain => Ok(Hub::Otherwise(Sealing::Plain)),
        Recipient::Nobody => Ok(Hub::Otherwise(Sealing::Refused)),
    }
}

/// Who may read what is handed in.
#[derive(Debug, PartialEq, Eq)]
enum Recipient {
    Key(String),
    /// Whoever reads the bus.
    Plain,
    /// Nobody can: it is not handed in.
    Nobody,
}

/// Decides whom values are sealed to: by what the bus says, what was named, and the keys that the credentials know the hub by.
fn recipient(
    key: Option<String>,
    plain: bool,
    named: Option<&SealTo>,
    pinned: &[String],
) -> Result<Recipient, String> {
    let believed = match key {
        Some(ref key) => Recipient::Key(key.clone()),
        None if plain => Recipient::Plain,
        None => Recipient::Nobody,
    };
    match (named, &believed) {
        (Some(SealTo::Key(key)), _) => return Ok(Recipient::Key(key.clone())),
        (Some(SealTo::Any), _) | (None, Recipient::Nobody) => return Ok(believed),
        (None, _) if pinned.is_empty() => return Ok(believed),
        (None, Recipient::Key(key)) if pinned.contains(key) => return Ok(believed),
        (None, Recipient::Key(_) | Recipient::Plain) => {}
    }
    let said = match &key {
        Some(key) => format!("the bus says that values are sealed to {key}"),
        None => "the bus says that values are not sealed".to_owned(),
    };
    Err(format!(
        "{said}, and these credentials know the hub by {}: whoever runs the bus may say so to read them; next: where the hub's key was rotated, fleetcast auth renew FILE; else name the hub's key with --seal-to KEY, or believe the bus with --seal-to any",
        pinned.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_where_the_credentials_know_its_key() {
        let key = |key: &str| Ok(Recipient::Key(key.to_owned()));
        let named = |key: &str| Some(SealTo::Key(key.to_owned()));
        let refused = || Err(());
        for (answer, plain, named, pinned, expected) in [
            (Some("XH"), false, None, &[][..], key("XH")),
            (Some("XH"), false, None, &["XN", "XH"], key("XH")),
            (Some("XE"), false, None, &["XH"], refused()),
            (None, true, None, &["XH"], refused()),
            (None, true, None, &[], Ok(Recipient::Plain)),
            (None, false, None, &["XH"], Ok(Recipient::Nobody)),
            (Some("XE"), false, named("XH"), &[], key("XH")),
            (None, true, named("XH"), &["XH"], key("XH")),
            (Some("XE"), false, Some(SealTo::Any), &["XH"], key("XE")),
            (None, true, Some(SealTo::Any), &["XH"], Ok(Recipient::Plain)),
        ] {
            let pinned: Vec<String> = pinned.iter().map(ToString::to_string).collect();
            let found = recipient(answer.map(str::to_owned), plain, named.as_ref(), &pinned);
            let shown = format!("{answer:?} {plain} {named:?} {pinned:?}");
            if let Err(why) = &found {
                assert!(why.contains("XH") && why.contains("--seal-to"), "{why}");
            }
            assert_eq!(found.map_err(drop), expected, "{shown}");
        }
    }
}
