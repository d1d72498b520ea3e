//! One process at a time watches a hub: it folds the log, watches, and carries out what [`fleetcast_core::hub`] asks for.
//!
//! Whoever takes the hub's lease begins with an empty memory: the log says what was handed in, the hub says what is there.

mod doing;
mod report;
pub(crate) mod watching;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleetcast_bus::lease::Lease;
use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, Connect, Error, streams};
use fleetcast_core::hub::Hub;
use fleetcast_core::log::{ClusterNews, Event};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_kubernetes::brief;
use fleetcast_kubernetes::watch::Shown;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

use self::doing::{Doer, Done};
use self::watching::{Watched, Watching};
use crate::api::Api;

/// How often the lease is renewed, or tried for.
const LEASE_TICK: Duration = Duration::from_millis(1_500);
/// Nothing is handed in where the lease was not renewed for so long: another may hold it.
const LEASE_TRUST: Duration = Duration::from_millis(4_500);
/// How often it is asked which kinds the hub serves.
const DISCOVERY: Duration = Duration::from_secs(5);
/// The pause before a hub or a bus that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How much may be under way at a time.
const IN_FLIGHT: usize = 128;

/// What the watcher of a hub needs to know.
#[derive(Clone)]
pub struct Options {
    /// Where the bus is.
    pub bus: Connect,
    /// A client for the hub.
    pub client: Client,
    /// Who holds the hub's lease: a process that comes back under the same identity watches again at once.
    pub identity: String,
}

/// Watches a hub until `stop` says so, whenever nobody else does.
///
/// # Errors
/// Where the bus is unfit; what passes by itself is waited for.
pub async fn run(options: Options, mut stop: Receiver<bool>) -> Result<(), Error> {
    let api = Api::new(options.client);
    let served = async {
        let bus = Bus::connect_patiently(&options.bus).await?;
        let id = who(&api).await;
        loop {
            let lease = take_lease(&bus, &id, &options.identity).await;
            tracing::info!(hub = id, "watches this hub");
            let held = Arc::new(Mutex::new(Some(lease)));
            let ended = lead(&bus, &api, &id, &held).await;
            tracing::warn!(hub = id, reason = ended, "watches this hub no longer");
            let lease = lock(&held).take();
            if let Some(lease) = lease {
                lease.release().await;
            }
        }
    };
    tokio::select! {
        outcome = served => outcome,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hub's id, as soon as it answers.
async fn who(api: &Api) -> String {
    let mut said = String::new();
    loop {
        match api.id().await {
            Ok(id) => return id,
            Err(error) => {
                let why = brief(&error);
                if why != said {
                    tracing::warn!(error = why, "the hub does not answer, trying again");
                    said = why;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn take_lease(bus: &Bus, id: &str, identity: &str) -> Lease {
    let key = format!("hub.{id}");
    let mut said = false;
    loop {
        match bus.take_lease(&key, identity).await {
            Ok(Some(lease)) => return lease,
            Ok(None) if said => {}
            Ok(None) => {
                tracing::info!(hub = id, "another process watches this hub, standing by");
                said = true;
            }
            Err(error) => tracing::debug!(%error, "the hub's lease cannot be asked for"),
        }
        tokio::time::sleep(LEASE_TICK).await;
    }
}

/// Watches while the lease is held; answers why that ended.
async fn lead(bus: &Bus, api: &Api, id: &str, lease: &Mutex<Option<Lease>>) -> &'static str {
    let renewed = Arc::new(Mutex::new(Instant::now()));
    let mut leader = Leader {
        hub: Hub::new(id),
        watching: Watching::new(api.clone()),
        doer: Doer::new(bus.clone(), api.clone(), Arc::clone(&renewed)),
        online: Arc::default(),
    };
    let mut log = bus.follow(streams::LOG, &[], 0);
    let end = async {
        loop {
            match bus.last_sequence(streams::LOG).await {
                Ok(last) => return last,
                Err(error) => {
                    tracing::debug!(%error, "the log does not answer");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    let mut tick = tokio::time::interval(LEASE_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut discovery = tokio::time::interval(DISCOVERY);
    discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pending = FuturesUnordered::new();
    let mut folded = 0;
    let last = {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                last = &mut end => break last,
                _ = tick.tick() => if !renew(lease, &renewed).await { return "the lease is lost" },
            }
        }
    };
    // Nothing is judged before everything that stands in the log is known.
    while folded < last {
        tokio::select! {
            _ = tick.tick() => if !renew(lease, &renewed).await { return "the lease is lost" },
            Some(stored) = log.recv() => {
                folded = stored.sequence;
                leader.logged(&stored);
            }
        }
    }
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => if !renew(lease, &renewed).await { return "the lease is lost" },
            Some(stored) = log.recv() => leader.logged(&stored),
            Some(done) = pending.next(), if !pending.is_empty() => leader.done(done),
            Some((watched, shown)) = leader.watching.next() => if !leader.shown(&watched, shown) {
                return "the hub went back to an older state: it was restored, perhaps";
            },
            _ = discovery.tick() => leader.watching.discover(),
        }
        while pending.len() < IN_FLIGHT {
            let Some(effect) = leader.hub.poll() else {
                break;
            };
            if let fleetcast_core::hub::Effect::Watch { api_version, kind } = &effect {
                leader.watching.watch_plain(api_version, kind);
                continue;
            }
            let version = leader.watching.api_version(&effect);
            pending.push(Box::pin(leader.doer.clone().carry_out(
                effect,
                version,
                leader.online.clone(),
            )));
        }
    }
}

/// Keeps the lease; whether that worked.
async fn renew(lease: &Mutex<Option<Lease>>, renewed: &Mutex<Instant>) -> bool {
    let Some(mut held) = lock(lease).take() else {
        return false;
    };
    let begin = Instant::now();
    let outcome = held.renew().await;
    match outcome {
        Ok(()) => {
            *lock(lease) = Some(held);
            *lock(renewed) = begin;
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the hub's lease cannot be renewed");
            false
        }
    }
}

struct Leader {
    hub: Hub,
    watching: Watching,
    doer: Doer,
    /// Clusters whose agents are heard.
    online: Arc<BTreeSet<ClusterName>>,
}

impl Leader {
    fn logged(&mut self, stored: &Stored) {
        match read(stored) {
            Some(Event::Change(change) | Event::Policy(change)) => {
                self.hub.logged(stored.sequence, &change);
            }
            Some(Event::Cluster(event)) => {
                let online = Arc::make_mut(&mut self.online);
                match event.news {
                    ClusterNews::Online { trouble: None } => drop(online.insert(event.cluster)),
                    // Of a cluster whose API server does not answer nothing can be asked either.
                    ClusterNews::Online { trouble: Some(_) }
                    | ClusterNews::Offline { .. }
                    | ClusterNews::Removed { .. } => drop(online.remove(&event.cluster)),
                    ClusterNews::Registered(_) => {}
                }
            }
            _ => {}
        }
    }

    /// Takes note of what a watch shows; false where the hub is not the one that it was.
    fn shown(&mut self, watched: &Watched, shown: watching::Sight) -> bool {
        let Watched { group, kind, .. } = watched;
        match shown {
            watching::Sight::Served(served) => {
                let lost = self.watching.served(served, &self.hub.declared_kinds());
                for (group, kind) in lost {
                    self.hub.list_begins(&group, &kind);
                    self.hub.listed(&group, &kind);
                }
            }
            watching::Sight::Shown(shown) => match shown {
                Shown::Begins => self.hub.list_begins(group, kind),
                Shown::Object(live) => {
                    self.watching
                        .reached(watched, fleetcast_kubernetes::version(&live));
                    match watched.only_metadata {
                        true => self.hub.seen_metadata(&live),
                        false => self.hub.seen(&live),
                    }
                }
                Shown::Gone(live) => {
                    let version = fleetcast_kubernetes::version(&live);
                    self.watching.reached(watched, version);
                    if let Some(place) = place_of(&live) {
                        self.hub.gone(&place, Some(version));
                    }
                }
                Shown::Complete(version) => {
                    if !self.watching.completed(watched, version) {
                        return false;
                    }
                    self.hub.listed(group, kind);
                    tracing::debug!(group, kind, version, "listed");
                }
                Shown::Fails(why) => {
                    tracing::warn!(
                        group,
                        kind,
                        reason = why,
                        "cannot be watched on the hub, trying again"
                    );
                }
            },
        }
        true
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Seen(place, Some(live)) => {
                self.hub.seen(&live);
                self.hub.done(&place);
            }
            Done::Seen(place, None) => {
                self.hub.gone(&place, None);
                self.hub.done(&place);
            }
            Done::Answered(place, digest, refusal) => self.hub.answered(&place, digest, refusal),
            Done::Withdrawn(place, sequence) => {
                self.hub.withdrawn(&place, sequence);
                self.hub.done(&place);
            }
            Done::Leaves(place, leaves) => {
                self.hub.leaves(place.group(), place.kind(), leaves);
                self.hub.done(&place);
            }
            Done::Removed(place) => {
                self.hub.removed(&place);
                self.hub.done(&place);
            }
            Done::Again(place) => self.hub.done(&place),
            Done::Nothing => {}
        }
    }
}

/// The event that stands there; none where it is a decision, or cannot be read (the ingest service buries it).
pub(crate) fn read(stored: &Stored) -> Option<Event> {
    if let Some(Parsed::Decision(_)) = subject::parse(&stored.message.subject) {
        return None;
    }
    let entry = event::log_entry(&stored.message, stored.sequence);
    entry.ok().map(|entry| entry.event)
}

/// Where a live object stands.
fn place_of(live: &serde_json::Value) -> Option<ObjectKey> {
    let text = |pointer: &str| live.pointer(pointer).and_then(serde_json::Value::as_str);
    let (group, _) = fleetcast_kubernetes::split(text("/apiVersion")?);
    let namespace = text("/metadata/namespace");
    ObjectKey::new(text("/kind")?, group, namespace, text("/metadata/name")?).ok()
}
