//! Writes back to a hub what the view says about its objects: the newest only, only what is not there yet, again where the hub does not answer.
//!
//! What is written is the core's ([`fleetcast_core::status`]). It is applied under a field manager of its own, so that conditions and fields of others stay, and no conflict can
//! arise; and it is no change, since a document has no status. What is wrong in clusters becomes Events ([`events`]).

mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleetcast_bus::lease::Lease;
use fleetcast_bus::{Bus, Connect};
use fleetcast_core::hub::HubOrigin;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::status::{Told, finish};
use fleetcast_kubernetes::brief;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::{Client, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::Api;
use crate::run::{LEASE_TICK, take_lease};
use events::Events;

/// Our field manager for what the view says; whoever takes objects in tells `Accepted` under another.
pub const MANAGER: &str = "fleetcast-status";
/// How many objects are written at a time.
const AT_ONCE: usize = 16;
/// The pause before an object is tried again, or the hub is asked who it is.
const PAUSE: Duration = Duration::from_secs(2);
/// The same after a no of the hub's.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// What the writer of status needs to know.
#[derive(Clone)]
pub struct Options {
    /// Where the bus is.
    pub bus: Connect,
    /// A client for the hub.
    pub client: Client,
    /// Who holds the lease for writing: a process that comes back under the same identity writes again at once.
    pub identity: String,
}

/// Writes what is `told`, until nobody tells any more: while it holds the lease for that, of several processes one. Then it `wants` to be told, everything first.
///
/// # Errors
/// Where the bus is unfit; what passes by itself is waited for.
pub async fn run(
    options: Options,
    mut told: mpsc::Receiver<Told>,
    wants: watch::Sender<bool>,
) -> Result<(), fleetcast_bus::Error> {
    let Options {
        bus,
        client,
        identity,
    } = options;
    let api = Api::new(client);
    let prepared = async {
        let bus = Bus::connect_patiently(&bus).await?;
        Ok::<_, fleetcast_bus::Error>((bus, who(&api).await))
    };
    let (bus, id) = tokio::select! {
        prepared = prepared => prepared?,
        () = pass_over(&mut told) => return Ok(()),
    };
    let key = format!("hub-status.{id}");
    loop {
        let lease = tokio::select! {
            lease = take_lease(&bus, &key, &identity, "writes status to this hub") => lease,
            () = pass_over(&mut told) => return Ok(()),
        };
        tracing::info!(hub = id, "writes status to this hub");
        wants.send_replace(true);
        let ended = write_told(&api, &id, &mut told, lease).await;
        wants.send_replace(false);
        match ended {
            Ended::Untold => return Ok(()),
            Ended::Lost => tracing::warn!(hub = id, "writes status to this hub no longer"),
        }
    }
}

/// Why a writer ended.
enum Ended {
    /// Nobody tells any more.
    Untold,
    /// Another process writes.
    Lost,
}

/// Takes what is told and leaves it, until nobody tells any more.
async fn pass_over(told: &mut mpsc::Receiver<Told>) {
    while told.recv().await.is_some() {}
}

async fn write_told(
    api: &Api,
    id: &str,
    told: &mut mpsc::Receiver<Told>,
    mut lease: Lease,
) -> Ended {
    let events = Events::default();
    let mut waiting: BTreeMap<ObjectKey, Told> = BTreeMap::new();
    let mut busy: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut written = FuturesUnordered::new();
    let mut again = FuturesUnordered::new();
    let mut renew = tokio::time::interval(LEASE_TICK);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = renew.tick() => {
                if let Err(error) = lease.renew().await {
                    tracing::debug!(%error, "the lease is lost");
                    return Ended::Lost;
                }
            }
            one = told.recv() => match one {
                Some(one) => {
                    let is_ours = one.origin.as_ref().is_none_or(|origin| origin.hub == id);
                    if is_ours {
                        waiting.insert(one.place.clone(), one);
                    }
                }
                None => {
                    lease.release().await;
                    return Ended::Untold;
                }
            },
            Some((one, outcome)) = written.next(), if !written.is_empty() => {
                let one: Told = one;
                busy.remove(&one.place);
                if let Err(error) = outcome {
                    warn(&one, &error);
                    if !waiting.contains_key(&one.place) {
                        let pause = pause_after(&error);
                        again.push(async move {
                            tokio::time::sleep(pause).await;
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
            let (api, events) = (api.clone(), &events);
            written.push(async move {
                let outcome = write(&api, &one, events).await;
                (one, outcome)
            });
        }
    }
}

/// How long to wait after `error`: a no changes only where somebody changes something.
fn pause_after(error: &Error) -> Duration {
    match error {
        Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 405 | 422) => LONG_PAUSE,
        _ => PAUSE,
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

/// Writes one status, where it is not there already, and tells what is wrong in clusters.
async fn write(api: &Api, told: &Told, events: &Events) -> Result<(), Error> {
    let Told {
        place, api_version, ..
    } = told;
    let place = match place.kind() {
        // Where KubeFed is installed is for its users to say.
        "KubeFedCluster" => match api.find_in_any_namespace(api_version, place).await? {
            Some(found) => found,
            None => return Ok(()),
        },
        _ => place.clone(),
    };
    let place = &place;
    let Some(live) = api.get(api_version, place).await? else {
        return Ok(());
    };
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    let is_it = |origin: &HubOrigin| origin.uid == uid;
    if told.origin.as_ref().is_some_and(is_it) {
        events.tell(api, told, uid).await;
    }
    let now = fleetcast_bus::now().rfc3339();
    let Some(status) = finish(told, &live, &now) else {
        return Ok(());
    };
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
