//! Writes back to a hub what the view says about its objects: the newest only, only what is not there yet, again where the hub does not answer.
//!
//! What is written is the core's ([`fleetcast_core::status`]). It is applied under a field manager of its own, so that conditions and fields of others stay, and no conflict can
//! arise; and it is no change, since a document has no status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetcast_core::model::ObjectKey;
use fleetcast_core::status::{Told, finish};
use fleetcast_kubernetes::brief;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Error;
use tokio::sync::mpsc;

use crate::api::Api;

/// Our field manager for what the view says; whoever takes objects in tells `Accepted` under another.
pub const MANAGER: &str = "fleetcast-status";
/// How many objects are written at a time.
const AT_ONCE: usize = 16;
/// The pause before an object is tried again, or the hub is asked who it is.
const PAUSE: Duration = Duration::from_secs(2);

/// Writes what is `told`, until nobody tells any more.
pub async fn run(api: Api, mut told: mpsc::Receiver<Told>) {
    let id = who(&api).await;
    let mut waiting: BTreeMap<ObjectKey, Told> = BTreeMap::new();
    let mut busy: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut written = FuturesUnordered::new();
    let mut again = FuturesUnordered::new();
    loop {
        tokio::select! {
            one = told.recv() => match one {
                Some(one) => {
                    let is_ours = one.origin.as_ref().is_none_or(|origin| origin.hub == id);
                    if is_ours {
                        waiting.insert(one.place.clone(), one);
                    }
                }
                None => return,
            },
            Some((one, outcome)) = written.next(), if !written.is_empty() => {
                let one: Told = one;
                busy.remove(&one.place);
                if let Err(error) = outcome {
                    warn(&one, &error);
                    if !waiting.contains_key(&one.place) {
                        again.push(async move {
                            tokio::time::sleep(PAUSE).await;
                            one
                        });
                    }
                }
            }
            Some(one) = again.next(), if !again.is_empty() => {
                // Something newer may have been told meanwhile.
                waiting.entry(one.place.clone()).or_insert(one);
            }
        }
        while written.len() < AT_ONCE {
            let next = waiting.keys().find(|place| !busy.contains(*place)).cloned();
            let Some(one) = next.and_then(|place| waiting.remove(&place)) else {
                break;
            };
            busy.insert(one.place.clone());
            let api = api.clone();
            written.push(async move {
                let outcome = write(&api, &one).await;
                (one, outcome)
            });
        }
    }
}

async fn who(api: &Api) -> String {
    loop {
        match api.id().await {
            Ok(id) => return id,
            Err(error) => {
                tracing::warn!(
                    error = brief(&error),
                    "the hub does not answer, trying again"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes one status, where it is not there already.
async fn write(api: &Api, told: &Told) -> Result<(), Error> {
    let Some(live) = api.get(&told.api_version, &told.place).await? else {
        return Ok(());
    };
    let now = fleetcast_bus::now().rfc3339();
    let Some(status) = finish(told, &live, &now) else {
        return Ok(());
    };
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    let Told {
        place, api_version, ..
    } = told;
    let outcome = api
        .apply_status(api_version, place, MANAGER, uid, &status)
        .await;
    match outcome {
        Ok(_) => Ok(()),
        // Another object stands there since we looked: it is told when it is taken in.
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

fn warn(told: &Told, error: &Error) {
    let place = &told.place;
    tracing::warn!(%place, error = brief(error), "a status cannot be written, trying again");
}
