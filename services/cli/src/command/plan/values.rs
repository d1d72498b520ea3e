//! The values of Secrets in a plan: sealed as ingest would seal them; without the hub's keys they are taken to be what the log has, and that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::Bus;
use fleetcast_core::dialect::Submitted;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::planning::Document;
use fleetcast_core::{Refusal, sealed};
use fleetcast_sealing::{Borrowed, Rule, Sealer, Sealing};
use serde_json::Value;

use super::fields::Held;
use crate::failure::Failure;
use crate::sealing;

/// How long the hub is asked what it seals: where no ingest answers, it is the data of Secrets.
const PATIENCE: Duration = Duration::from_secs(3);
/// What stands for a value of which nothing is known.
const UNKNOWN: &str = "(not compared)";
/// How many fields a person is shown.
const SHOWN: usize = 5;

/// Values that were not compared.
#[derive(Default)]
pub(super) struct Uncompared {
    fields: BTreeMap<ObjectKey, Vec<String>>,
    texts: BTreeSet<String>,
}

/// Seals what ingest would, so that what is planned is what would be decided, and no value is shown.
pub(super) async fn seal(
    documents: &mut [Document],
    bus: &Bus,
    keys: Option<&Path>,
    held: &Held,
) -> Result<Uncompared, Failure> {
    let hub = bus.ask_sealing(PATIENCE).await.ok();
    let rules = hub.iter().flat_map(|hub| &hub.fields);
    let rules: Vec<Rule> = rules.filter_map(|field| field.parse().ok()).collect();
    let mut uncompared = Uncompared::default();
    let sealing = match keys {
        _ if hub.as_ref().is_some_and(|hub| hub.plain) => Some(Sealing::Plain),
        Some(path) => {
            let more = rules
                .iter()
                .filter(|rule| !Rule::of_secrets().contains(rule));
            let sealer = Sealer::new(sealing::read(path)?, more.cloned().collect());
            Some(Sealing::With(Arc::new(sealer)))
        }
        None => None,
    };
    for document in documents {
        let Ok(value) = &mut document.value else {
            continue;
        };
        let key = match Submitted::read(value) {
            Ok(Submitted::Cluster(_)) | Err(_) => continue,
            Ok(submitted) => submitted.key(),
        };
        let sealed = match &sealing {
            Some(sealing) => sealing.seal(value, &key).map(drop),
            None => uncompared.borrow(&rules, value, held, key),
        };
        if let Err(refusal) = sealed {
            document.value = Err(refusal);
        }
    }
    Ok(uncompared)
}

impl Uncompared {
    fn borrow(
        &mut self,
        rules: &[Rule],
        document: &mut Value,
        held: &Held,
        key: ObjectKey,
    ) -> Result<(), Refusal> {
        let logged = held.document(&key);
        let Borrowed { fields, texts } = fleetcast_sealing::borrow(rules, document, logged, &key)?;
        self.texts.extend(texts);
        if !fields.is_empty() {
            self.fields.insert(key, fields);
        }
        Ok(())
    }

    /// A document in some notation as it may be shown: digests in place of sealed values, and nothing of those that were not compared.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for unknown in &self.texts {
            text = text.replace(unknown, UNKNOWN);
        }
        sealed::shown_in(&text).into_owned()
    }

    /// What a person is told of it; nothing where all were compared.
    pub(super) fn told(&self) -> Option<String> {
        let all: Vec<String> = self
            .fields
            .iter()
            .flat_map(|(key, fields)| {
                let name = key.for_people();
                fields.iter().map(move |field| format!("{name} {field}"))
            })
            .collect();
        let more = match all.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = all
            .iter()
            .take(SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        (!all.is_empty()).then(|| {
            format!(
                "not compared with the log, for want of the hub's keys (--sealing-keys): {shown}{more}\n"
            )
        })
    }
}
