//! One process at a time watches a hub: it folds the log, watches, and carries out what [`fleetcast_core::hub`] asks for.
//!
//! Whoever takes the hub's lease knows nothing of the hub itself: the log says what was handed in, the hub says what is there. Of the log it keeps a
//! checkpoint, so that a start reads what is new in it.

mod doing;
mod report;
pub(crate) mod watching;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleetcast_bus::checkpoint::{Checkpoint, Saving};
use fleetcast_bus::lease::Lease;
use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, Connect, Error, streams};
use fleetcast_core::Refusal;
use fleetcast_core::hub::{Hub, Logged};
use fleetcast_core::log::Event;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_kubernetes::brief;
use fleetcast_kubernetes::watch::Shown;
use fleetcast_sealing::Sealing;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use self::doing::{Doer, Done};
use self::watching::{Watched, Watching};
use crate::api::Api;
use crate::state;

/// How often the lease is renewed, or tried for.
pub(crate) const LEASE_TICK: Duration = Duration::from_millis(1_500);
/// Nothing is handed in where the lease was not renewed for so long: another may hold it.
const LEASE_TRUST: Duration = Duration::from_millis(4_500);
/// How often it is asked which kinds the hub serves.
const DISCOVERY: Duration = Duration::from_secs(5);
/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(10);
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
    /// Where the checkpoint is kept.
    pub directory: PathBuf,
    /// Who holds the hub's lease: a process that comes back under the same identity watches again at once.
    pub identity: String,
    /// What is done with the values of Secrets before they travel: what ingest does.
    pub sealing: Sealing,
}

/// Watches a hub until `stop` says so, whenever nobody else does.
///
/// # Errors
/// Where the bus is unfit; what passes by itself is waited for.
pub async fn run(options: Options, mut stop: Receiver<bool>) -> Result<(), Error> {
    let api = Api::new(options.client);
    let begun = async {
        let bus = Bus::connect_patiently(&options.bus).await?;
        let id = who(&api).await;
        Ok::<_, Error>((bus, id))
    };
    let (bus, id) = tokio::select! {
        begun = begun => begun?,
        () = asked(&mut stop) => return Ok(()),
    };
    let checkpoint = Checkpoint::new(&options.directory, "hub");
    let key = format!("hub.{id}");
    loop {
        let lease = tokio::select! {
            lease = take_lease(&bus, &key, &options.identity, "watches this hub") => lease,
            () = asked(&mut stop) => return Ok(()),
        };
        tracing::info!(hub = id, "watches this hub");
        let held = Arc::new(Mutex::new(Some(lease)));
        let hub = Place {
            api: &api,
            id: &id,
            sealing: &options.sealing,
        };
        let ended = lead(&bus, &hub, &held, &checkpoint, &mut stop).await;
        let lease = lock(&held).take();
        if let Some(lease) = lease {
            lease.release().await;
        }
        match ended {
            Ended::Asked => return Ok(()),
            Ended::Unfit(error) => return Err(error),
            Ended::Because(reason) => {
                tracing::warn!(hub = id, reason, "watches this hub no longer");
            }
        }
    }
}

/// Which hub is watched.
struct Place<'a> {
    api: &'a Api,
    id: &'a str,
    sealing: &'a Sealing,
}

/// Why a hub is not watched any more.
enum Ended {
    /// It was asked to end.
    Asked,
    /// The log cannot be read, and trying again changes nothing.
    Unfit(Error),
    /// It begins anew, or another does.
    Because(&'static str),
}

/// Ends when `stop` says so.
async fn asked(stop: &mut Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
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

/// Takes the lease `key`, as soon as nobody else holds it who `does` that.
pub(crate) async fn take_lease(bus: &Bus, key: &str, identity: &str, does: &str) -> Lease {
    let mut said = false;
    loop {
        match bus.take_lease(key, identity).await {
            Ok(Some(lease)) => return lease,
            Ok(None) if said => {}
            Ok(None) => {
                tracing::info!(key, does, "another process does, standing by");
                said = true;
            }
            Err(error) => tracing::debug!(%error, "the hub's lease cannot be asked for"),
        }
        tokio::time::sleep(LEASE_TICK).await;
    }
}

/// Watches while the lease is held, and keeps what the log said.
async fn lead(
    bus: &Bus,
    hub: &Place<'_>,
    lease: &Mutex<Option<Lease>>,
    checkpoint: &Checkpoint,
    stop: &mut Receiver<bool>,
) -> Ended {
    let Place { api, id, sealing } = *hub;
    let renewed = Arc::new(Mutex::new(Instant::now()));
    let mut tick = tokio::time::interval(LEASE_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (logged, last) = {
        let mut begin = std::pin::pin!(begin(bus, checkpoint));
        loop {
            tokio::select! {
                begun = &mut begin => match begun {
                    Ok(begun) => break begun,
                    Err(error) => return Ended::Unfit(error),
                },
                _ = tick.tick() => if !renew(lease, &renewed).await { return LEASE_LOST },
                () = asked(stop) => return Ended::Asked,
            }
        }
    };
    tracing::debug!(
        from = logged.sequence(),
        last,
        "reading what is new in the log"
    );
    let kept = logged.sequence();
    let mut leader = Leader {
        online: Arc::new(logged.online().clone()),
        hub: Hub::new(id, logged),
        sealing: sealing.clone(),
        watching: Watching::new(api.clone()),
        doer: Doer::new(bus.clone(), api.clone(), Arc::clone(&renewed)),
        kept,
        saving: None,
    };
    let ended = leader
        .watch(bus, last, lease, &renewed, tick, checkpoint, stop)
        .await;
    leader.keep_all(checkpoint);
    ended
}

const LEASE_LOST: Ended = Ended::Because("the lease is lost");
const CUT: Ended = Ended::Because("the log was cut behind what is known of it");

/// What is known of the log, and where that ends now; what passes by itself is waited for.
async fn begin(bus: &Bus, checkpoint: &Checkpoint) -> Result<(Logged, u64), Error> {
    let kept: Option<Logged> = checkpoint.load();
    loop {
        let begun = async {
            let logged = state::begin(bus, kept.clone()).await?;
            Ok((logged, bus.last_sequence(streams::LOG).await?))
        };
        match begun.await {
            Err(error) if Error::is_worth_retrying(&error) => {
                tracing::debug!(%error, "the log does not answer");
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
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
    sealing: Sealing,
    watching: Watching,
    doer: Doer,
    /// Clusters whose agents are heard.
    online: Arc<BTreeSet<ClusterName>>,
    /// Up to where the log is folded in the checkpoint.
    kept: u64,
    /// A checkpoint that is being stored.
    saving: Option<Saving>,
}

impl Leader {
    /// Folds the log up to `last`, then watches.
    #[expect(clippy::too_many_arguments, reason = "all of one lease's time")]
    async fn watch(
        &mut self,
        bus: &Bus,
        last: u64,
        lease: &Mutex<Option<Lease>>,
        renewed: &Mutex<Instant>,
        mut tick: Interval,
        checkpoint: &Checkpoint,
        stop: &mut Receiver<bool>,
    ) -> Ended {
        let mut log = bus.follow(streams::LOG, &[], self.hub.log().sequence());
        // Nothing is judged before everything that stands in the log is known.
        while self.hub.log().sequence() < last {
            tokio::select! {
                () = asked(stop) => return Ended::Asked,
                _ = tick.tick() => if !renew(lease, renewed).await { return LEASE_LOST },
                Some(stored) = log.recv() => if let Some(ended) = self.logged(bus, &stored).await { return ended },
            }
        }
        let mut discovery = tokio::time::interval(DISCOVERY);
        discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keep = tokio::time::interval(CHECKPOINT);
        keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = asked(stop) => return Ended::Asked,
                _ = tick.tick() => if !renew(lease, renewed).await { return LEASE_LOST },
                Some(stored) = log.recv() => if let Some(ended) = self.logged(bus, &stored).await { return ended },
                Some(done) = pending.next(), if !pending.is_empty() => self.done(done),
                Some((watched, shown)) = self.watching.next() => if !self.shown(&watched, shown) {
                    return Ended::Because("the hub went back to an older state: it was restored, perhaps");
                },
                _ = discovery.tick() => self.watching.discover(),
                _ = keep.tick() => self.keep(checkpoint),
            }
            while pending.len() < IN_FLIGHT {
                let Some(effect) = self.hub.poll() else {
                    break;
                };
                if let fleetcast_core::hub::Effect::Watch { api_version, kind } = &effect {
                    self.watching.watch_plain(api_version, kind);
                    continue;
                }
                let version = self.watching.api_version(&effect);
                pending.push(Box::pin(self.doer.clone().carry_out(
                    effect,
                    version,
                    self.online.clone(),
                )));
            }
        }
    }

    /// Begins to keep what the log said, unless that is kept already or the last is still being stored.
    fn keep(&mut self, checkpoint: &Checkpoint) {
        let is_busy = |saving: &Saving| !saving.is_finished();
        if self.saving.as_ref().is_some_and(is_busy) {
            return;
        }
        self.finish_keeping();
        let logged = self.hub.log();
        if logged.sequence() == self.kept {
            return;
        }
        match checkpoint.begin(logged) {
            Ok(saving) => {
                self.kept = logged.sequence();
                self.saving = Some(saving);
            }
            Err(error) => not_kept(&error),
        }
    }

    fn keep_all(&mut self, checkpoint: &Checkpoint) {
        self.finish_keeping();
        self.keep(checkpoint);
        self.finish_keeping();
    }

    fn finish_keeping(&mut self) {
        if let Some(Err(error)) = self.saving.take().map(Saving::finish) {
            self.kept = 0;
            not_kept(&error);
        }
    }

    /// Folds the next event of the log; it ends where events before it were cut away.
    async fn logged(&mut self, bus: &Bus, stored: &Stored) -> Option<Ended> {
        match state::is_cut(bus, self.hub.log(), stored).await {
            Ok(false) => {}
            Ok(true) => return Some(CUT),
            Err(_) => return Some(Ended::Because("the log does not answer")),
        }
        match state::read(stored) {
            Some(entry) => {
                self.hub.logged(&entry);
                if let Event::Cluster(_) = entry.event {
                    self.online = Arc::new(self.hub.log().online().clone());
                }
            }
            None => self.hub.passed(stored.sequence),
        }
        None
    }

    /// Takes note of what a watch shows; false where the hub is not the one that it was.
    fn shown(&mut self, watched: &Watched, shown: watching::Sight) -> bool {
        let Watched { group, kind, .. } = watched;
        match shown {
            watching::Sight::Served(served) => {
                if !served.has_types() {
                    self.hub.serves_no_types();
                }
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
                        false => self.see(&live),
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

    fn see(&mut self, live: &serde_json::Value) {
        let sealing = &self.sealing;
        self.hub
            .seen_sealing(live, &|document, target| sealed(sealing, document, target));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Seen(place, Some(live)) => {
                self.see(&live);
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

/// Seals a document as ingest does.
pub(crate) fn sealed(
    sealing: &Sealing,
    document: &mut serde_json::Value,
    target: &ObjectKey,
) -> Result<Vec<serde_json::Value>, Refusal> {
    let before = sealing.before(document, target);
    sealing.seal(document, target)?;
    Ok(before)
}

fn not_kept(error: &std::io::Error) {
    tracing::warn!(%error, "the checkpoint could not be written; the next start folds more");
}

/// Where a live object stands.
pub(crate) fn place_of(live: &serde_json::Value) -> Option<ObjectKey> {
    let text = |pointer: &str| live.pointer(pointer).and_then(serde_json::Value::as_str);
    let (group, _) = fleetcast_kubernetes::split(text("/apiVersion")?);
    let namespace = text("/metadata/namespace");
    ObjectKey::new(text("/kind")?, group, namespace, text("/metadata/name")?).ok()
}
