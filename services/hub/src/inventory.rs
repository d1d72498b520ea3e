//! What a hub holds of a dialect, read once: what a process that watches it would hand in. Nothing is written.
//!
//! The same machine decides as for whoever watches ([`fleetcast_core::hub`]), over an empty log; what it asks to be done is not done.

use std::collections::BTreeMap;

use fleetcast_core::Refusal;
use fleetcast_core::hub::sighting;
use fleetcast_core::hub::{Effect, Hub, Logged, Standing};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::federated::Predecessor;
use fleetcast_kubernetes::watch::Shown;
use fleetcast_kubernetes::{brief, split};
use futures::StreamExt;
use serde_json::Value;

use crate::api::Api;
use crate::run::watching::{self, Watched};

/// What a hub holds of a dialect.
#[derive(Debug, Default)]
pub struct Inventory {
    /// What would be handed in, by place: clusters, policies, objects, and what says how they are read.
    pub documents: BTreeMap<ObjectKey, Value>,
    /// Its cluster objects as they stand.
    pub clusters: BTreeMap<ObjectKey, Value>,
    /// What cannot be taken in, and why.
    pub refused: BTreeMap<ObjectKey, Refusal>,
    /// What is being deleted.
    pub deleting: Vec<ObjectKey>,
    /// What is not propagated, and why.
    pub resting: Vec<(ObjectKey, &'static str)>,
    /// Kinds that cannot be listed, and why.
    pub unlisted: Vec<(String, String)>,
}

struct Reading<'a> {
    api: &'a Api,
    hub: Hub,
    live: BTreeMap<ObjectKey, Value>,
    unlisted: Vec<(String, String)>,
}

/// Reads what the hub holds of a dialect.
///
/// # Errors
/// Where the hub does not answer at all; a kind that cannot be listed is told beside the others.
pub async fn read(api: &Api, dialect: Predecessor) -> Result<Inventory, kube::Error> {
    let served = watching::discover(api).await?;
    let mut reading = Reading {
        api,
        hub: Hub::new(api.id().await?, Logged::default()),
        live: BTreeMap::new(),
        unlisted: Vec::new(),
    };
    if !served.has_types() {
        reading.hub.serves_no_types();
    }
    for kind in &served.kinds {
        let (group, _) = split(&kind.api_version);
        if group.ends_with(dialect.domain()) {
            reading.list(&kind.api_version, &kind.kind, false).await;
        }
    }
    while let Some(effect) = reading.hub.poll() {
        match effect {
            Effect::Watch { api_version, kind } => reading.list(&api_version, &kind, true).await,
            Effect::Fetch { place } => {
                let version = served.groups.get(place.group());
                let version = version.map(String::as_str).unwrap_or_default();
                match reading.api.get(version, &place).await {
                    Ok(Some(live)) => reading.see(live),
                    Ok(None) => reading.hub.gone(&place, None),
                    Err(error) => {
                        reading.unlisted.push((place.for_people(), brief(&error)));
                        // Never asked for again.
                        continue;
                    }
                }
                reading.hub.done(&place);
            }
            // Whatever else is to be done is what would be done.
            _ => {}
        }
    }
    Ok(reading.end())
}

impl Reading<'_> {
    async fn list(&mut self, api_version: &str, kind: &str, only_metadata: bool) {
        let (group, _) = split(api_version);
        let watched = Watched {
            group: group.to_owned(),
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            only_metadata,
        };
        let mut shown = std::pin::pin!(watched.shown(self.api));
        while let Some(shown) = shown.next().await {
            match shown {
                Shown::Begins => self.hub.list_begins(group, kind),
                Shown::Object(live) if only_metadata => self.hub.seen_metadata(&live),
                Shown::Object(live) => self.see(live),
                Shown::Gone(_) => {}
                Shown::Complete(_) => {
                    self.hub.listed(group, kind);
                    break;
                }
                Shown::Fails(reason) => {
                    self.unlisted
                        .push((format!("{kind} of {api_version}"), reason));
                    break;
                }
            }
        }
    }

    fn see(&mut self, live: Value) {
        self.hub.seen(&live);
        if let Some(place) = crate::run::place_of(&live) {
            self.live.insert(place, live);
        }
    }

    fn end(self) -> Inventory {
        let Self {
            api: _,
            hub,
            live,
            unlisted,
        } = self;
        let mut inventory = Inventory {
            unlisted,
            ..Inventory::default()
        };
        for difference in hub.differences() {
            let place = difference.place;
            match difference.standing {
                Standing::Deleting => inventory.deleting.push(place),
                Standing::Rests(why) => inventory.resting.push((place, why)),
                Standing::Refused(refusal) => drop(inventory.refused.insert(place, refusal)),
                Standing::Changed | Standing::Taken | Standing::Elsewhere(_) | Standing::Older => {
                    inventory.take(place, &live);
                }
                Standing::Vanished | Standing::Gone => {}
            }
        }
        // A cluster that is registered already counts as taken, and is part of the fleet all the same; a FederatedTypeConfig is never handed in.
        for place in live.keys() {
            if is_cluster(place) || place.kind() == "FederatedTypeConfig" {
                inventory.take(place.clone(), &live);
            }
        }
        inventory
    }
}

impl Inventory {
    fn take(&mut self, place: ObjectKey, live: &BTreeMap<ObjectKey, Value>) {
        let Some(live) = live.get(&place) else {
            return;
        };
        if is_cluster(&place) {
            self.clusters.insert(place.clone(), live.clone());
        }
        self.documents.insert(place, sighting::document(live));
    }
}

fn is_cluster(place: &ObjectKey) -> bool {
    matches!(
        (place.group(), place.kind()),
        ("core.kubefed.io", "KubeFedCluster") | ("cluster.karmada.io", "Cluster")
    )
}
