//! From what a person typed to the object that was meant.

use fleetcast_aggregator::answer::{ObjectSummary, Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::object::ObjectQuery;

use crate::failure::Failure;

/// Reads what a person typed as an object.
pub(crate) fn parse(text: &str) -> Result<ObjectQuery, Failure> {
    text.parse()
        .map_err(|refusal: fleetcast_core::Refusal| Failure::Usage(refusal.message))
}

/// The one object that `text` means.
pub(crate) async fn one(bus: &Bus, text: &str, request: &Request) -> Result<ObjectKey, Failure> {
    let query = parse(text)?;
    let all: Objects = client::query(bus, "objects", None, request).await?;
    let matching: Vec<&ObjectSummary> = all
        .objects
        .iter()
        .filter(|summary| query.matches(&summary.object))
        .collect();
    match matching.as_slice() {
        [summary] => Ok(summary.object.clone()),
        [] => withdrawn(bus, text, &all, request).await,
        several => {
            let names: Vec<&str> = several
                .iter()
                .map(|summary| summary.name.as_str())
                .collect();
            Err(Failure::Refused(format!(
                "{text} is ambiguous: {}",
                names.join(", ")
            )))
        }
    }
}

/// An object that is withdrawn everywhere is not listed, but known under its full name.
async fn withdrawn(
    bus: &Bus,
    text: &str,
    all: &Objects,
    request: &Request,
) -> Result<ObjectKey, Failure> {
    if let Ok(key) = text.parse::<ObjectKey>() {
        let named: Objects = client::query(bus, "objects", Some(&key), request).await?;
        if !named.objects.is_empty() {
            return Ok(key);
        }
    }
    let wanted = text.rsplit('/').next().unwrap_or(text);
    let similar: Vec<&str> = all
        .objects
        .iter()
        .filter(|summary| summary.object.name() == wanted)
        .map(|summary| summary.name.as_str())
        .collect();
    let hint = if similar.is_empty() {
        "`fleetcast get` lists what there is".to_owned()
    } else {
        format!("there is {}", similar.join(", "))
    };
    Err(Failure::Refused(format!("there is no {text}; {hint}")))
}
