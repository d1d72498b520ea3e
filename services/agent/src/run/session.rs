//! One agent's time with the cluster's lease.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::work_key::Forged;
use fleetcast_bus::{Bus, Subscription, bodies, now};
use fleetcast_core::ack::Batch;
use fleetcast_core::reconcile::{Agent, Effect, Fact, Memory, SyncAnswer, WatchNews, WatchedKind};
use fleetcast_core::work::Work;
use fleetcast_endpoint::metrics::Hop;
use fleetcast_kubernetes::watch::Shown;
use fleetcast_schemas::event::{self, Heartbeat};
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{DecodeError, Message};
use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use futures::stream::{BoxStream, FuturesUnordered, SelectAll, StreamExt};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::told::Told;
use crate::cluster::lease::Lease;
use crate::cluster::memory::{Kept, Store};
use crate::cluster::{self, Cluster, Report, Task};
use crate::keys::Keys;
use crate::local::{self, Copy};
use crate::measure::{self, Measured};
use crate::metrics::Metrics;
use crate::sync::{self, Asker};
use crate::trouble::Trouble;

/// Between two ticks of the machine.
const TICK: Duration = Duration::from_millis(200);
/// The same while nothing is due: ten thousand quiet agents in one process would wake it 50,000 times a second.
const QUIET_TICK: Duration = Duration::from_secs(1);
/// Between two requests for work that came signed with another key.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many facts are taken in before effects are carried out.
const AT_ONCE: usize = 1_024;
/// How long one publish may wait for room, and how long the end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest reason in an acknowledgement, bytes: 256 of them go into one message.
const MESSAGE_LIMIT: usize = 1_500;

/// The header with the stream sequence of a republished message.
const SEQUENCE: &str = "Nats-Sequence";
/// The header of a marker that stands for a message that aged out.
const MARKER: &str = "Nats-Marker-Reason";

/// Why a session ended.
pub(super) enum End {
    /// It was asked to.
    Stopped,
    /// The lease is lost.
    Lost(String),
}

/// What comes from outside.
enum Event {
    Live(Message),
    Seen(Message),
    Fact(Fact),
    Attempted(Attempted),
    Shown(WatchedKind, Shown),
    Connection(bool),
    Synced(Result<SyncAnswer, sync::Error>),
    Saved,
    Closed,
}

/// An attempt that ended.
type Attempted = (Box<Task>, Report, Span);

/// What the watch of one kind shows.
type Watch = BoxStream<'static, (WatchedKind, Shown)>;

/// Where an agent is on the bus, and what it holds its work against.
pub(super) struct Place<'a> {
    pub(super) bus: &'a Bus,
    pub(super) lane: &'a Lane,
    pub(super) keys: &'a Keys,
    pub(super) metrics: &'a Metrics,
}

/// One agent's time with the cluster's lease.
pub(super) struct Session {
    bus: Bus,
    lane: Lane,
    client: kube::Client,
    keys: Keys,
    /// When it last asked for work that came signed with a key that it does not have.
    asked_at: Option<Instant>,
    cluster: Arc<Cluster>,
    asker: Arc<Asker>,
    store: Store,
    copy: Option<Copy>,
    /// Whether the local copy has all that the memory counts as done.
    copy_is_whole: bool,
    /// Whether it was told what it lacked, once at least.
    is_synced: bool,
    transitions: u64,
    agent: Agent,
    attempts: FuturesUnordered<BoxFuture<'static, Attempted>>,
    /// Live work whose large body is on its way.
    fetches: FuturesUnordered<BoxFuture<'static, Fact>>,
    sync: Option<BoxFuture<'static, Result<SyncAnswer, sync::Error>>>,
    saving: Option<BoxFuture<'static, ()>>,
    /// The watches of all kinds that are held, and how each is ended.
    watches: SelectAll<Watch>,
    watched: BTreeMap<WatchedKind, AbortHandle>,
    told: Told,
    /// The call to go through all work again that came last.
    replayed: String,
    /// The lease transitions of an agent that answered later than this one, as far as the lease knows.
    outlived: Option<u64>,
    /// What keeps it from its work, for its heartbeats.
    trouble: Trouble,
    /// How much room the cluster has, for its heartbeats.
    measured: Measured,
    /// How often that is measured; none for never.
    measure_every: Option<Duration>,
    metrics: Metrics,
}

impl Session {
    pub(super) fn new(
        place: &Place<'_>,
        client: &kube::Client,
        cluster: Cluster,
        store: &Store,
        kept: Kept,
        state: Option<&Path>,
    ) -> Result<Self, local::Error> {
        let Place {
            bus,
            lane,
            keys,
            metrics,
        } = *place;
        let Kept {
            memory,
            transitions,
        } = kept;
        let copy = state.map(|folder| Copy::open(folder, &lane.cluster, &memory));
        let (copy, recalled) = copy.transpose()?.unzip();
        let (mut agent, now) = (
            Agent::new(lane.cluster.clone(), memory, transitions, now()),
            now(),
        );
        if copy.is_some() {
            agent = agent.keeping_a_copy();
        }
        let recalled = recalled.flatten();
        let copy_is_whole = recalled.is_some();
        if let Some(items) = recalled {
            agent.handle(Fact::Recalled(items), now);
        }
        Ok(Self {
            bus: bus.clone(),
            lane: lane.clone(),
            client: client.clone(),
            keys: keys.clone(),
            asked_at: None,
            cluster: Arc::new(cluster),
            asker: Arc::new(Asker::new(bus.clone(), lane.clone(), keys.clone())),
            store: store.clone(),
            copy,
            copy_is_whole,
            is_synced: false,
            transitions,
            agent,
            attempts: FuturesUnordered::new(),
            fetches: FuturesUnordered::new(),
            sync: None,
            saving: None,
            watches: SelectAll::new(),
            watched: BTreeMap::new(),
            told: Told::new(lane.cluster.clone()),
            replayed: String::new(),
            outlived: None,
            trouble: Trouble::default(),
            measured: Measured::default(),
            measure_every: None,
            metrics: metrics.clone(),
        })
    }

    /// The same, which measures how much room the cluster has.
    pub(super) fn measuring(self, every: Option<Duration>) -> Self {
        Self {
            measure_every: every,
            ..self
        }
    }

    /// Makes the cluster true until the lease is lost or the agent is stopped.
    pub(super) async fn run(
        mut self,
        mut lease: Lease,
        trouble: &Trouble,
        stop: &mut Receiver<bool>,
    ) -> Result<End, super::Error> {
        self.trouble = trouble.clone();
        let mut outlived_by = None;
        let (client, cluster) = (self.client.clone(), self.lane.cluster.clone());
        let (every, measured) = (self.measure_every, self.measured.clone());
        let measures = async {
            match every {
                Some(every) => measure::measure(&client, &cluster, every, &measured).await,
                None => std::future::pending().await,
            }
        };
        let end = {
            let lost = lease.hold(trouble);
            tokio::pin!(lost);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => End::Stopped,
                reason = &mut lost => End::Lost(reason),
                never = measures => match never {},
                served = self.serve() => {
                    outlived_by = Some(served?);
                    End::Lost("an agent answered for this cluster later than the lease knows".to_owned())
                }
            }
        };
        if let Some(transitions) = outlived_by {
            let kept = Kept {
                transitions,
                ..self.kept(self.agent.memory())
            };
            self.store.save_patiently(&kept).await;
        }
        if let End::Stopped = end {
            self.metrics.health.stops();
            let memory = self.agent.memory();
            self.mark_the_copy(&memory);
            let kept = self.kept(memory);
            let (store, bus) = (self.store.clone(), self.bus.clone());
            let flush = async {
                if *bus.connected().borrow() {
                    drop(tokio::time::timeout(PATIENCE, bus.flush()).await);
                }
            };
            let (saved, ()) = tokio::join!(
                tokio::time::timeout(PATIENCE, store.save_patiently(&kept)),
                flush,
            );
            if saved.is_err() {
                tracing::warn!(cluster = %self.lane.cluster, "the agent's memory was not saved in time");
            }
            lease.release().await;
        }
        if let Some(copy) = self.copy {
            copy.close().await;
        }
        Ok(end)
    }

    /// Never ends unless the connection is closed for good, or a later agent's transitions turn up.
    async fn serve(&mut self) -> Result<u64, super::Error> {
        let mut live = match self.bus.subscribe(&self.lane.live()).await {
            Ok(live) => live,
            Err(error) => return Err(error.into()),
        };
        let mut seen = match self.bus.subscribe(&self.lane.seen()).await {
            Ok(seen) => seen,
            Err(error) => return Err(error.into()),
        };
        let mut connected = self.bus.connected();
        let is_connected = *connected.borrow_and_update();
        self.told.connected(is_connected);
        self.take(Event::Connection(is_connected));
        let mut ticked = Instant::now();
        loop {
            while let Some(effect) = self.agent.poll(now()) {
                self.carry_out(effect).await;
            }
            let event = tokio::select! {
                () = tokio::time::sleep_until(ticked + self.pause()) => {
                    ticked = Instant::now();
                    Event::Fact(Fact::Tick)
                }
                changed = connected.changed() => match changed {
                    Ok(()) => Event::Connection(*connected.borrow_and_update()),
                    Err(_) => Event::Closed,
                },
                event = self.next(&mut live, &mut seen) => event,
            };
            if let Event::Closed = event {
                let closed = "the connection was closed".to_owned();
                return Err(fleetcast_bus::Error::Unavailable(closed).into());
            }
            if let Event::Connection(is_connected) = event {
                self.told.connected(is_connected);
                if is_connected && let Err(error) = self.bus.refuse_old_server() {
                    return Err(error.into());
                }
            }
            self.take(event);
            for _ in 0..AT_ONCE {
                match self.next(&mut live, &mut seen).now_or_never() {
                    Some(Event::Closed) | None => break,
                    Some(event) => self.take(event),
                }
            }
            if let Some(transitions) = self.outlived {
                return Ok(transitions);
            }
        }
    }

    /// Between the last tick and the next.
    fn pause(&self) -> Duration {
        let ms = i64::try_from(QUIET_TICK.as_millis()).unwrap_or(i64::MAX);
        match self.agent.is_quiet(now(), ms) {
            true => QUIET_TICK,
            false => TICK,
        }
    }

    /// The next that comes; nothing is lost where it is not waited for.
    async fn next(&mut self, live: &mut Subscription, seen: &mut Subscription) -> Event {
        tokio::select! {
            delivery = live.next() => delivery.map_or(Event::Closed, |delivery| Event::Live(delivery.message)),
            delivery = seen.next() => delivery.map_or(Event::Closed, |delivery| Event::Seen(delivery.message)),
            Some(attempted) = self.attempts.next() => Event::Attempted(attempted),
            Some(fact) = self.fetches.next() => Event::Fact(fact),
            Some((kind, shown)) = self.watches.next() => Event::Shown(kind, shown),
            answer = end_of(&mut self.sync) => Event::Synced(answer),
            () = end_of(&mut self.saving) => Event::Saved,
        }
    }

    fn take(&mut self, event: Event) {
        let fact = match event {
            Event::Live(message) => self.read_live(message),
            Event::Seen(message) => self.read_seen(&message),
            Event::Fact(fact) => Some(fact),
            Event::Attempted(attempted) => Some(self.read_attempt(attempted)),
            Event::Shown(kind, shown) => self.read_shown(kind, shown),
            Event::Synced(answer) => Some(self.read_answer(answer)),
            Event::Connection(true) => Some(Fact::Connected),
            Event::Connection(false) => Some(Fact::Disconnected),
            Event::Saved | Event::Closed => None,
        };
        if let Some(fact) = fact {
            let is_sync = matches!(fact, Fact::Synced(_));
            self.agent.handle(fact, now());
            if is_sync {
                self.tell();
            }
        }
    }

    /// Says how far it is, once it knows.
    fn tell(&self) {
        if self.is_synced {
            let (n, open) = self.agent.standing();
            self.metrics.stands(n, open);
        }
    }

    /// Reads live work. What cannot be read is left to the next sync, which finds the gap.
    fn read_live(&mut self, message: Message) -> Option<Fact> {
        if message.headers.get(MARKER).is_some()
            || event::read_fence(&message.headers, &message.payload).is_ok()
        {
            return None;
        }
        if message.subject == self.lane.replay() {
            return self.read_replay(&message);
        }
        self.metrics.work.inc();
        if let Ok(stored) = message.headers.time() {
            let took = now().ms_since(stored);
            self.metrics.hops.took_ms(Hop::Deliver, took);
        }
        if bodies::dataref(&message).is_none() {
            if let Err(why) = self.keys.verify(&message) {
                return self.read_forged(&why);
            }
            return live(&self.lane, &message)
                .map_err(|error| self.told.unreadable(&message.subject, &error))
                .ok();
        }
        let (asker, lane, keys) = (
            Arc::clone(&self.asker),
            self.lane.clone(),
            self.keys.clone(),
        );
        let fetch = async move {
            let outcome = match asker.complete(message).await {
                Ok(message) => keys
                    .verify(&message)
                    .map_err(|why| why.to_string())
                    .and_then(|()| live(&lane, &message).map_err(|error| error.to_string())),
                Err(error) => Err(error.to_string()),
            };
            outcome.unwrap_or_else(|error| {
                tracing::debug!(cluster = %lane.cluster, error, "a large body could not be fetched");
                Fact::Tick
            })
        };
        self.fetches.push(fetch.boxed());
        None
    }

    /// Work that nothing proves to be ingest's is not carried out. Signed with a key that we do not have it may be genuine: ingest has not heard of ours yet, so
    /// it is told, and asked.
    fn read_forged(&mut self, why: &Forged) -> Option<Fact> {
        if let Forged::UnknownKey(_) = why {
            let is_due = self.asked_at.is_none_or(|at| at.elapsed() >= ASK_AGAIN);
            return is_due.then(|| {
                tracing::debug!(cluster = %self.lane.cluster, %why, "asking for it");
                self.asked_at = Some(Instant::now());
                Fact::Connected
            });
        }
        self.metrics.forged.inc();
        self.told.forged(why);
        None
    }

    /// A call to go through all work again; one that is repeated is the same.
    fn read_replay(&mut self, message: &Message) -> Option<Fact> {
        let id = event::read_replay(&message.headers, &message.payload)
            .map_err(|error| self.told.unreadable(&message.subject, &error))
            .ok()?;
        if self.replayed == id {
            return None;
        }
        tracing::info!(cluster = %self.lane.cluster, id, "going through all work again");
        self.replayed = id;
        Some(Fact::Replay)
    }

    fn read_seen(&mut self, message: &Message) -> Option<Fact> {
        let seen = event::read_seen(&message.headers, &message.payload)
            .map_err(|error| self.told.unreadable(&message.subject, &error))
            .ok()?;
        if seen.transitions > self.transitions {
            self.outlived = Some(seen.transitions);
            return None;
        }
        Some(Fact::Seen(seen))
    }

    fn read_answer(&mut self, answer: Result<SyncAnswer, sync::Error>) -> Fact {
        if let Err(sync::Error::Forged(_, why)) = &answer {
            self.told.forged(why);
        }
        self.told
            .synced(answer.as_ref().err().map(ToString::to_string));
        match &answer {
            Ok(_) => {
                self.is_synced = true;
                self.metrics.syncs.count("answered");
            }
            Err(_) => self.metrics.syncs.count("failed"),
        }
        answer.map_or(Fact::SyncFailed, Fact::Synced)
    }

    fn read_attempt(&mut self, (task, mut report, span): Attempted) -> Fact {
        truncate(&mut report.message);
        let work = task.work;
        self.metrics.attempts.count(report.outcome.word());
        self.told.attempted(&work.object, &report, &span);
        Fact::Done {
            object: work.object,
            decision: work.decision,
            outcome: report.outcome,
            message: report.message,
            sight: report.sight,
            held: report.held,
            pause: report.pause,
        }
    }

    /// Reads what a watch shows.
    fn read_shown(&mut self, kind: WatchedKind, shown: Shown) -> Option<Fact> {
        let news = match shown {
            Shown::Object(live) => {
                let object = Cluster::object_of(&live)?;
                let Some(work) = self.agent.held(&object) else {
                    return Cluster::is_ours(&live, &object).then_some(Fact::Stray(object));
                };
                let sight = self.cluster.sight(work, &live);
                return Some(Fact::Observed { object, sight });
            }
            Shown::Gone(live) => {
                let sight = Cluster::sight_of_nothing(&live);
                let object = Cluster::object_of(&live)?;
                return Some(Fact::Observed { object, sight });
            }
            Shown::Begins => WatchNews::Begins,
            Shown::Complete(_) => WatchNews::Complete,
            Shown::Fails(mut why) => {
                truncate(&mut why);
                self.told.unwatched(&kind, &why);
                WatchNews::Fails(why)
            }
        };
        Some(Fact::Watch(kind, news))
    }

    fn watch(&mut self, work: &Work) {
        let kind = WatchedKind::of(&work.object);
        let Some(api_version) = cluster::api_version(work) else {
            // An attempt at the work says what is wrong with it.
            return;
        };
        let shown = self.cluster.watch(&kind, api_version);
        let (handle, registration) = AbortHandle::new_pair();
        let of_kind = kind.clone();
        let shown = Abortable::new(shown, registration).map(move |shown| (of_kind.clone(), shown));
        self.watches.push(shown.boxed());
        if let Some(before) = self.watched.insert(kind, handle) {
            before.abort();
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Sync(request) => {
                let asker = Arc::clone(&self.asker);
                self.sync = Some(async move { asker.since(request).await }.boxed());
            }
            Effect::Do(work) => self.begin_attempt(*work, false),
            Effect::Check(work) => self.begin_attempt(*work, true),
            Effect::Watch(work) => self.watch(&work),
            Effect::Unwatch(kind) => {
                if let Some(handle) = self.watched.remove(&kind) {
                    handle.abort();
                }
            }
            Effect::Publish(body) => {
                self.metrics.acknowledgements.inc();
                let cluster = self.lane.cluster.clone();
                let batch = Batch { cluster, body };
                self.publish(event::acks(&batch, &self.lane, now())).await;
            }
            Effect::Keep(work) => {
                if let Some(copy) = &self.copy {
                    copy.keep(work);
                }
            }
            Effect::Drop(object) => {
                if let Some(copy) = &self.copy {
                    copy.drop(object);
                }
            }
            Effect::Remember(memory) => {
                self.mark_the_copy(&memory);
                let (store, kept) = (self.store.clone(), self.kept(memory));
                self.saving = Some(async move { store.save_patiently(&kept).await }.boxed());
            }
            Effect::Heartbeat => {
                self.tell();
                self.metrics.heartbeats.inc();
                let (n, open) = self.agent.standing();
                let heartbeat = Heartbeat {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    n,
                    open: u64::try_from(open).unwrap_or(u64::MAX),
                    epoch: self.agent.epoch().cloned(),
                    transitions: self.transitions,
                    trouble: self.trouble(),
                    capacity: self.measured.get(),
                    strays: self.agent.strays(),
                };
                let mut message = event::heartbeat(&heartbeat, &self.lane, now());
                self.keys.tell(&mut message.headers);
                self.publish(message).await;
            }
            Effect::Fenced(reason) => self.told.fenced(reason),
        }
    }

    /// What keeps it from its work, or soon will.
    fn trouble(&self) -> Option<String> {
        let expiries = self.bus.expiries();
        let now = now().0.div_euclid(1_000);
        let ends = || {
            expiries
                .borrow()
                .iter()
                .find_map(|expiry| expiry.warning(now))
        };
        let forged = || self.told.forged_lately();
        self.trouble.get().or_else(forged).or_else(ends)
    }

    fn begin_attempt(&mut self, work: Work, again: bool) {
        let span = self.told.attempt(&work);
        let cluster = Arc::clone(&self.cluster);
        let task = Box::new(Task { work, again });
        let hops = self.metrics.hops.clone();
        let attempt = async move {
            let begin = Instant::now();
            let report = cluster.attempt(&task).instrument(span.clone()).await;
            let took = begin.elapsed().as_millis();
            hops.took_ms(Hop::Apply, i64::try_from(took).unwrap_or(i64::MAX));
            (task, report, span)
        };
        self.attempts.push(attempt.boxed());
    }

    /// Publishes; what does not go out is repeated by the machine.
    async fn publish(&mut self, message: Message) {
        let outcome = tokio::time::timeout(PATIENCE, self.bus.publish(message)).await;
        if let Ok(Err(error)) = outcome {
            tracing::debug!(cluster = %self.lane.cluster, %error, "a message was not published");
        }
    }

    /// Says in the local copy that it is all up to `memory`, where it is.
    fn mark_the_copy(&mut self, memory: &Memory) {
        self.copy_is_whole |= self.agent.knows_all();
        if let Some(copy) = self.copy.as_ref().filter(|_| self.copy_is_whole) {
            copy.is_complete_up_to(self.lane.cluster.clone(), memory.clone());
        }
    }

    fn kept(&self, memory: Memory) -> Kept {
        Kept {
            memory,
            transitions: self.transitions,
        }
    }
}

fn live(lane: &Lane, message: &Message) -> Result<Fact, DecodeError> {
    let Message {
        subject: _,
        headers,
        payload,
    } = message;
    let sequence = headers.parsed(SEQUENCE)?;
    let work = event::read_work(&lane.cluster, headers, payload)?;
    Ok(Fact::Live(sequence, Box::new(work)))
}

/// Waits for the end of what is in `slot` and empties it; forever where there is nothing.
async fn end_of<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let outcome = future.await;
            *slot = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

/// Cuts a message at [`MESSAGE_LIMIT`], between characters.
fn truncate(message: &mut String) {
    if message.len() > MESSAGE_LIMIT {
        let mut end = MESSAGE_LIMIT;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
}
