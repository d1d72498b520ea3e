//! A hub held against the log, once: what `fleetcast hub diff` shows, and what settles it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use fleetcast_bus::{Bus, streams};
use fleetcast_core::change::Content;
use fleetcast_core::document::Document;
use fleetcast_core::hub::sighting::{self, Sighting};
use fleetcast_core::hub::{Difference, Effect, Hub, HubOrigin, What};
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::{Refusal, sealed};
use fleetcast_kubernetes::brief;
use fleetcast_kubernetes::watch::Shown;
use fleetcast_schemas::request::Answer;
use fleetcast_sealing::Sealing;
use futures::StreamExt;
use serde_json::Value;

use crate::api::Api;
use crate::run::watching::{self, Watched};
use crate::state;
use crate::submit::Submission;

/// Why a hub cannot be held against the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] fleetcast_bus::Error),
    /// Events that were not read yet were cut away.
    #[error("the log was cut while it was read: run it again")]
    Cut,
    /// The hub does not answer.
    #[error("the hub does not answer: {}", brief(.0))]
    Hub(#[from] kube::Error),
    /// One kind cannot be listed.
    #[error("{kind} of {api_version} cannot be listed on the hub: {reason}")]
    Unlisted {
        /// The kind.
        kind: String,
        /// Its apiVersion.
        api_version: String,
        /// Why.
        reason: String,
    },
}

/// A hub held against the log.
pub struct Survey {
    api: Api,
    id: String,
    /// How many objects are as the log has them.
    pub same: usize,
    /// What is not, by place.
    pub differences: Vec<Difference>,
    /// Objects with values that could not be compared, since there are no keys: they count as the log has them.
    pub uncompared: BTreeSet<ObjectKey>,
}

/// What the values of Secrets are held against: sealed with the hub's keys, they are compared; without any, they are taken to be what the log has.
struct Values {
    sealing: Option<Sealing>,
    /// What the log has of objects with sealed values.
    logged: BTreeMap<ObjectKey, Value>,
    uncompared: Mutex<BTreeSet<ObjectKey>>,
}

impl Values {
    fn learn(&mut self, entry: &Entry) {
        let Event::Change(change) = &entry.event else {
            return;
        };
        if let Content::Declared { document, .. } = &change.content
            && sealed::may_be_in(document)
            && let Ok(document) = document.value()
        {
            self.logged.insert(change.object.clone(), document);
        }
    }

    fn seal(&self, document: &mut Value, target: &ObjectKey) -> Result<Vec<Value>, Refusal> {
        if let Some(sealing) = &self.sealing {
            return crate::run::sealed(sealing, document, target);
        }
        let borrowed = fleetcast_sealing::borrow(&[], document, self.logged.get(target), target)?;
        if !borrowed.fields.is_empty() {
            let mut uncompared = self
                .uncompared
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            uncompared.insert(target.clone());
        }
        Ok(Vec::new())
    }

    fn see(&self, hub: &mut Hub, live: &Value) {
        hub.seen_sealing(live, &|document, target| self.seal(document, target));
    }
}

/// Reads the log, from its base where it was cut, and lists the hub; values of Secrets are compared where `sealing` has the keys.
///
/// # Errors
/// Where one of them does not answer: a list that fails is no absence.
pub async fn survey(bus: &Bus, api: Api, sealing: Option<Sealing>) -> Result<Survey, Error> {
    let mut values = Values {
        sealing,
        logged: BTreeMap::new(),
        uncompared: Mutex::default(),
    };
    let id = api.id().await?;
    let mut hub = Hub::new(id.clone(), state::begin(bus, None).await?);
    let last = bus.last_sequence(streams::LOG).await?;
    let mut log = bus.follow(streams::LOG, &[], hub.log().sequence());
    while hub.log().sequence() < last {
        let Some(stored) = log.recv().await else {
            break;
        };
        if state::is_cut(bus, hub.log(), &stored).await? {
            return Err(Error::Cut);
        }
        match state::read(&stored) {
            Some(entry) => {
                values.learn(&entry);
                hub.logged(&entry);
            }
            None => hub.passed(stored.sequence),
        }
    }
    let served = watching::discover(&api).await?;
    if !served.has_types() {
        hub.serves_no_types();
    }
    let mut listed = BTreeSet::new();
    for kind in &served.kinds {
        let (version, kind) = (&kind.api_version, &kind.kind);
        list(&mut hub, &api, &values, &mut listed, version, kind, false).await?;
    }
    for (group, kind) in hub.declared_kinds() {
        if listed.contains(&(group.clone(), kind.clone())) {
            continue;
        }
        match served
            .groups
            .get(&group)
            .filter(|_| !watching::is_dialects(&group))
        {
            Some(api_version) => {
                list(
                    &mut hub,
                    &api,
                    &values,
                    &mut listed,
                    api_version,
                    &kind,
                    true,
                )
                .await?
            }
            None => {
                hub.list_begins(&group, &kind);
                hub.listed(&group, &kind);
            }
        }
    }
    while let Some(effect) = hub.poll() {
        match effect {
            Effect::Watch { api_version, kind } => {
                let version = &api_version;
                list(&mut hub, &api, &values, &mut listed, version, &kind, true).await?;
            }
            Effect::Fetch { place } => {
                let version = served
                    .groups
                    .get(place.group())
                    .cloned()
                    .unwrap_or_default();
                match api.get(&version, &place).await? {
                    Some(live) => values.see(&mut hub, &live),
                    None => hub.gone(&place, None),
                }
                hub.done(&place);
            }
            _ => {}
        }
    }
    Ok(Survey {
        same: hub.taken(),
        differences: hub.differences(),
        uncompared: values
            .uncompared
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
        api,
        id,
    })
}

async fn list(
    hub: &mut Hub,
    api: &Api,
    values: &Values,
    listed: &mut BTreeSet<(String, String)>,
    api_version: &str,
    kind: &str,
    only_metadata: bool,
) -> Result<(), Error> {
    let (group, _) = fleetcast_kubernetes::split(api_version);
    listed.insert((group.to_owned(), kind.to_owned()));
    let watched = Watched {
        group: group.to_owned(),
        kind: kind.to_owned(),
        api_version: api_version.to_owned(),
        only_metadata,
    };
    let mut shown = std::pin::pin!(watched.shown(api));
    while let Some(shown) = shown.next().await {
        match shown {
            Shown::Begins => hub.list_begins(group, kind),
            Shown::Object(live) if only_metadata => hub.seen_metadata(&live),
            Shown::Object(live) => values.see(hub, &live),
            Shown::Gone(_) => {}
            Shown::Complete(_) => {
                hub.listed(group, kind);
                break;
            }
            Shown::Fails(reason) => {
                return Err(Error::Unlisted {
                    kind: kind.to_owned(),
                    api_version: api_version.to_owned(),
                    reason,
                });
            }
        }
    }
    Ok(())
}

impl Survey {
    /// Takes what the hub says about an object as a new change, whatever the log says; `seal` seals its values. `once` tells this settlement from others.
    ///
    /// # Errors
    /// Where the hub or the bus does not answer.
    pub async fn take(
        &self,
        bus: &Bus,
        place: &ObjectKey,
        once: &str,
        seal: impl FnOnce(&mut Value, &ObjectKey) -> Result<(), Refusal>,
    ) -> Result<Option<Answer>, Error> {
        let version = format!("{}/v1", place.group());
        let version = version.trim_start_matches('/');
        let Some(live) = self.api.get(version, place).await? else {
            return Ok(None);
        };
        let Some((_, sighting)) = Sighting::read(&live) else {
            return Ok(None);
        };
        let (What::Change { target, .. } | What::Cluster { target, .. }) = &sighting.what else {
            return Ok(None);
        };
        let origin = HubOrigin {
            hub: self.id.clone(),
            uid: sighting.uid.clone(),
            version: sighting.version,
            generation: sighting.generation,
        };
        let mut document = sighting::document(&live);
        if let Err(refusal) = seal(&mut document, target) {
            return Ok(Some(Answer::refused(refusal)));
        }
        let document = Document::from_value(&document);
        let submission = Submission::declare(target, &origin.settled(once), &document).anew();
        Ok(Some(submission.send(bus).await?))
    }
}
