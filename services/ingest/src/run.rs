//! One ingest process: it folds the log all the time, and takes changes in, decides and writes work while it holds the lease.

mod effects;
mod leading;
mod outbox;
mod start;
mod taking;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::append::Expected;
use fleetcast_bus::checkpoint::{Checkpoint, Saving};
use fleetcast_bus::lease::Lease;
use fleetcast_bus::parts::Assembler;
use fleetcast_bus::range::Bounds;
use fleetcast_bus::read::Stored;
use fleetcast_bus::streams::{self, Layout};
use fleetcast_bus::{Bus, Connect, Error};
use fleetcast_core::Refusal;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::intake::{Receipt, Submission};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Limit;
use fleetcast_core::time::Time;
use fleetcast_endpoint::metrics::Hop;
use fleetcast_endpoint::{Door, Health};
use fleetcast_schemas::event::DeadLetter;
use fleetcast_schemas::request::{Answer, Warning};
use fleetcast_schemas::subject::{self};
use fleetcast_schemas::{DecodeError, Message, event};
use fleetcast_sealing::Sealing;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

pub use self::start::{INGEST, REMOVALS, of_base};

use self::outbox::Outbox;
use crate::documents::DOCUMENT_LIMIT;
use crate::http;
use crate::keys::Keys;
use crate::liveness::Liveness;
use crate::metrics::{Metrics, Undecided};
use crate::state::State;
use crate::sync;

/// How often the lease is renewed, or tried for.
const LEASE_TICK: Duration = Duration::from_millis(1_500);
/// How many decisions and items of work may wait to be stored, before the placer is asked for more.
const IN_FLIGHT: usize = 1_024;
/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// How often a submission that somebody else was faster than is decided anew, before the publisher is left to repeat it.
const ATTEMPTS: u32 = 8;

/// Within which time a silent cluster is offline, where nothing else is wanted.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(15);

/// What an ingest process needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the bus is.
    pub bus: Connect,
    /// Where the checkpoint is kept.
    pub directory: PathBuf,
    /// Who holds the lease: a process that comes back under the same identity leads again at once.
    pub identity: String,
    /// Over how many partitions work is spread, where the log does not say so yet.
    pub layout: Layout,
    /// Within which time it is noticed and written that a cluster is not heard any more: [`OFFLINE_AFTER`] where nothing else is wanted. Agents are heard
    /// every 5 seconds.
    pub offline_after: Duration,
    /// More removals than this wait for a confirmation.
    pub bulk_removals: Limit,
    /// What it does with the values of Secrets.
    pub sealing: Sealing,
    /// Where it listens for HTTP; none where it does not.
    pub http: Option<Arc<Door>>,
    /// What it tells of itself.
    pub health: Health,
}

/// Runs an ingest process until `stop` says so.
///
/// # Errors
/// Where the bus is unfit; what passes by itself is waited for.
pub async fn run(mut options: Options, stop: watch::Receiver<bool>) -> Result<(), Error> {
    let bus = Bus::connect_patiently(&options.bus).await?;
    options.health.follows(bus.connected());
    let ends = bus.expiries();
    options.health.watches(move || ends.borrow().clone());
    let http = options.http.take();
    let http = http.map(|listener| {
        tokio::spawn(http::serve(
            listener,
            bus.clone(),
            options.sealing.clone(),
            stop.clone(),
        ))
    });
    let outcome = serve(&bus, &options, stop).await;
    if let Some(http) = http {
        end_http(http, &outcome).await;
    }
    outcome
}

/// Serves until it is asked to stop, and begins anew at the base where the log was cut behind what it knows.
async fn serve(bus: &Bus, options: &Options, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let keys = Keys::of(bus);
    let metrics = Metrics::of(&options.health);
    let beginning = begin(bus, options.layout).await?;
    let checkpoint = Checkpoint::new(&options.directory, "ingest");
    let layout = Layout {
        partitions: beginning.partitions,
        ..options.layout
    };
    let mut kept = checkpoint.load::<State>();
    loop {
        let mut state = start::state(bus, kept.take(), &beginning).await?;
        state.placer.limit_removals(options.bulk_removals);
        let mut ingest = Ingest::new(
            bus.clone(),
            layout,
            state,
            options,
            keys.clone(),
            metrics.clone(),
        );
        let outcome = ingest.serve(&checkpoint, &mut stop).await;
        let is_cut = matches!(outcome, Ok(Ended::Cut));
        if !is_cut {
            // Whoever sends requests here learns it before another one leads.
            options.health.stops();
        }
        ingest.settle().await;
        ingest.finish_saving();
        if !is_cut {
            ingest.save(&checkpoint);
            ingest.finish_saving();
        }
        if let Some(lease) = ingest.lease.take() {
            lease.release().await;
        }
        if !is_cut {
            return outcome.map(drop);
        }
        tracing::warn!("the log was cut behind what is known of it: beginning at its base");
    }
}

/// Why a process no longer serves.
enum Ended {
    /// It was asked to.
    Stopped,
    /// Events that it had not read were cut away.
    Cut,
}

/// Lets answers that are under way go out, where it was asked to end; else nobody else ends it.
async fn end_http(http: JoinHandle<()>, outcome: &Result<(), Error>) {
    match outcome {
        Ok(()) => {
            if let Err(error) = http.await {
                tracing::warn!(%error, "HTTP did not end well");
            }
        }
        Err(_) => http.abort(),
    }
}

/// Makes the streams and the first epoch, where they are not there.
async fn begin(bus: &Bus, layout: Layout) -> Result<Beginning, Error> {
    loop {
        let outcome = async {
            // The log first, with what it says about partitions, then the rest.
            bus.prepare(Layout {
                partitions: 0,
                ..layout
            })
            .await?;
            let beginning = match bus.beginning().await? {
                Some(beginning) => beginning,
                None => {
                    let beginning = Beginning {
                        epoch: Epoch {
                            number: 1,
                            hub: Uuid::now_v7().simple().to_string(),
                        },
                        partitions: layout.partitions.max(1),
                    };
                    bus.append(
                        event::epoch_begins(&beginning, fleetcast_bus::now()),
                        Expected::OfSubject(0),
                    )
                    .await?;
                    beginning
                }
            };
            let partitions = beginning.partitions;
            bus.prepare(Layout {
                partitions,
                ..layout
            })
            .await?;
            Ok(beginning)
        };
        match outcome.await {
            Err(error @ (Error::Conflict(_) | Error::Unavailable(_) | Error::Full(_))) => {
                tracing::warn!(%error, "the bus is not ready, trying again");
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

/// How long a cluster may be silent so that it is written within `offline_after`: who is silent is looked for with the lease.
fn patience_ms(offline_after: Duration) -> i64 {
    let patience = offline_after.saturating_sub(LEASE_TICK + RETRY);
    i64::try_from(patience.as_millis()).unwrap_or(i64::MAX)
}

/// Ends when `stop` says so.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// A submission on its way into the log.
struct Handed {
    submission: Submission,
    reply: Option<String>,
    warnings: Vec<Warning>,
    attempts: u32,
}

/// What waits to be stored in the log.
enum Logged {
    Change(Handed, Box<fleetcast_core::change::Change>),
    Cluster(ObjectKey, Option<String>),
    Decision(ObjectKey),
}

/// What waits to be stored in a work stream, with the sequence that it expects before it.
enum Written {
    Work(u64),
    /// The end of a rewriting: a fence that says *complete*.
    Fence(u64),
}

/// A partition's work stream while it is led.
#[derive(Default)]
struct Lane {
    outbox: Outbox<Written>,
    /// The sequence of its newest fence.
    fence: u64,
}

/// What became of something that was sent.
enum Outcome {
    Logged(Vec<(Logged, Result<u64, Error>)>),
    /// The newest change about an object, read because somebody else was faster, and where the log begins.
    Newest(Box<Handed>, Result<(Option<Stored>, u64), Error>),
    /// Time to decide about an object again.
    DecideAgain(ObjectKey),
    /// A group of messages of a work stream, sent in `term`.
    Work {
        partition: u16,
        term: u64,
        /// Whether it was a fence.
        fence: bool,
        /// How many items of work it had.
        items: u64,
        /// When it was sent.
        sent: Time,
        /// The sequence of the last.
        stored: Result<u64, Error>,
    },
    /// Nothing depends on it.
    Aside(&'static str, Result<(), Error>),
}

type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Ingest {
    bus: Bus,
    /// How the streams are to be, where one has to be made anew.
    layout: Layout,
    partitions: u16,
    /// Whose work stream is looked at next.
    looked_at: u16,
    state: State,
    identity: String,
    lease: Option<Lease>,
    /// The term that it leads in.
    term: Option<u64>,
    /// Up to where it read the log, also what nobody can read.
    folded: u64,
    /// Up to where the log was cut, as far as is known: nothing stands there any more that an append could expect.
    cut: u64,
    /// The end of the log behind its fences: before it knows that much it takes nothing in and decides nothing.
    folds_first: u64,
    pending: FuturesUnordered<Pending>,
    /// What waits to be stored in the log.
    log: Outbox<(Expected, Logged)>,
    /// What waits to be stored in the work streams that it leads.
    lanes: BTreeMap<u16, Lane>,
    /// What is to be taken away from them: cluster, object, sequence.
    forgetting: Vec<(ClusterName, ObjectKey, u64)>,
    /// Submissions for objects that have one under way, in order.
    busy: BTreeMap<ObjectKey, VecDeque<Handed>>,
    /// Submissions that are decided about anew once the log is known up to a sequence.
    until_folded: BTreeMap<u64, Vec<Handed>>,
    assembler: Assembler,
    liveness: Liveness,
    keys: Keys,
    metrics: Metrics,
    /// Where the log ended when that was asked for last.
    log_end: u64,
    undecided: Undecided,
    /// How long a cluster may be silent, milliseconds.
    patience_ms: i64,
    /// Clusters that follow another hub, each said once.
    refused_by: BTreeSet<ClusterName>,
    /// Removals that wait, each said once.
    held: BTreeSet<String>,
    sealing: Sealing,
    saved: u64,
    /// What is being stored of it.
    saving: Option<Saving>,
}

impl Ingest {
    fn new(
        bus: Bus,
        layout: Layout,
        state: State,
        options: &Options,
        keys: Keys,
        metrics: Metrics,
    ) -> Self {
        let (identity, sealing) = (options.identity.clone(), options.sealing.clone());
        let mut state = state.equipped();
        let held = sealing.keys().map(fleetcast_sealing::Keys::public);
        state.placer.hold_keys(held.unwrap_or_default());
        let patience_ms = patience_ms(options.offline_after);
        Self {
            bus,
            layout,
            partitions: layout.partitions,
            looked_at: 0,
            saved: state.placer.sequence(),
            saving: None,
            folded: state.placer.sequence(),
            state,
            identity,
            lease: None,
            term: None,
            cut: 0,
            folds_first: 0,
            pending: FuturesUnordered::new(),
            log: Outbox::default(),
            lanes: BTreeMap::new(),
            forgetting: Vec::new(),
            busy: BTreeMap::new(),
            until_folded: BTreeMap::new(),
            assembler: Assembler::new(DOCUMENT_LIMIT + 64 * 1024),
            liveness: Liveness::new(fleetcast_bus::now(), patience_ms),
            keys,
            metrics,
            log_end: 0,
            undecided: Undecided::default(),
            patience_ms,
            refused_by: BTreeSet::new(),
            held: BTreeSet::new(),
            sealing,
        }
    }

    async fn serve(
        &mut self,
        checkpoint: &Checkpoint,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Ended, Error> {
        let answering = sync::serve(self.bus.clone(), self.keys.clone(), self.metrics.clone());
        let syncs = tokio::spawn(answering);
        let ended = self.serve_until(checkpoint, stop).await;
        syncs.abort();
        ended
    }

    async fn serve_until(
        &mut self,
        checkpoint: &Checkpoint,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Ended, Error> {
        let mut door = self.bus.subscribe(subject::IN).await?;
        let mut heartbeats = self.bus.follow(streams::HEARTBEAT, &[], 0);
        let Bounds { first, last } = self.bus.bounds(streams::LOG).await?;
        self.cut = first - 1;
        self.log_end = last;
        let mut log = self
            .bus
            .follow(streams::LOG, &[], self.state.placer.sequence());
        // Nothing is decided before everything that stands in the log is known.
        while self.folded < last {
            tokio::select! {
                () = asked_to_stop(stop) => return Ok(Ended::Stopped),
                Some(stored) = log.recv() => {
                    if self.misses(&stored).await? {
                        return Ok(Ended::Cut);
                    }
                    self.logged(stored);
                    let behind = last.saturating_sub(self.folded);
                    self.metrics.health.is_behind(behind);
                }
            }
        }
        self.state.settle_removals();
        let mut acks = self.follow_acks();
        let mut lease = tokio::time::interval(LEASE_TICK);
        lease.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut save = tokio::time::interval_at(Instant::now() + CHECKPOINT, CHECKPOINT);
        loop {
            tokio::select! {
                biased;
                () = asked_to_stop(stop) => return Ok(Ended::Stopped),
                _ = lease.tick() => {
                    self.keep_lease().await;
                    self.tell();
                }
                Some(stored) = log.recv() => {
                    if self.misses(&stored).await? {
                        return Ok(Ended::Cut);
                    }
                    self.logged(stored);
                }
                Some(outcome) = self.pending.next(), if !self.pending.is_empty() => self.settled(outcome),
                Some(stored) = acks.recv() => self.acknowledged(&stored),
                Some(delivery) = door.next(), if self.term.is_none() || self.leads() => self.handed_in(delivery),
                Some(stored) = heartbeats.recv() => self.heard(&stored.message),
                _ = save.tick() => self.save(checkpoint),
            }
            self.carry_out();
        }
    }

    /// Whether events before this one were not read and a base says what they were: then folding begins there.
    async fn misses(&mut self, stored: &Stored) -> Result<bool, Error> {
        if stored.sequence <= self.folded + 1 {
            return Ok(false);
        }
        match self.bus.base().await {
            Ok(base) => Ok(base.is_some_and(|base| base.head.log + 1 >= stored.sequence)),
            Err(error) if error.is_worth_retrying() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What an append expects of the last event about its object, known to stand at `sequence`: what was cut away is none, and nothing else stands there as
    /// long as all of it is known.
    fn expected(&self, sequence: u64) -> Expected {
        match sequence <= self.cut && self.cut <= self.folded {
            true => Expected::OfSubject(0),
            false => Expected::OfSubject(sequence),
        }
    }

    fn follow_acks(&self) -> mpsc::Receiver<Stored> {
        let (sender, receiver) = mpsc::channel(1_024);
        for partition in 0..self.partitions {
            let after = self.state.acks.get(&partition).copied().unwrap_or(0);
            let mut acks = self.bus.follow(&streams::acks(partition), &[], after);
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Some(stored) = acks.recv().await {
                    if sender.send(stored).await.is_err() {
                        break;
                    }
                }
            });
        }
        receiver
    }

    fn logged(&mut self, stored: Stored) {
        self.folded = stored.sequence;
        match event::log_entry(&stored.message, stored.sequence) {
            Ok(entry) => {
                self.time(&entry.event);
                self.state.logged(&entry);
            }
            Err(error) => self.bury(stored, &error),
        }
        self.folded();
    }

    /// Puts what cannot be read to the dead letters, so that a person finds it; reading goes on.
    fn bury(&mut self, stored: Stored, error: &DecodeError) {
        tracing::error!(subject = stored.message.subject, sequence = stored.sequence, %error, "a message cannot be read");
        self.metrics.dead_letters.inc();
        if self.term.is_none() {
            return;
        }
        let Message {
            subject,
            headers,
            mut payload,
        } = stored.message;
        payload.truncate(64 * 1024);
        let letter = DeadLetter {
            subject,
            sequence: stored.sequence,
            reason: error.to_string(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            payload,
        };
        let (bus, message) = (
            self.bus.clone(),
            event::dead(&letter, "ingest", self.state.now()),
        );
        self.pending.push(Box::pin(async move {
            let outcome = bus.append(message, Expected::Anything).await;
            Outcome::Aside("a dead letter", outcome.map(drop))
        }));
    }

    fn acknowledged(&mut self, stored: &Stored) {
        // What cannot be read is buried by the aggregator, whose stream this is.
        if let Ok((partition, batch)) = event::read_acks(&stored.message) {
            for ack in batch.body.acks.iter().filter(|ack| ack.outcome.is_final()) {
                self.state
                    .placer
                    .removal_answered(&ack.object, &batch.cluster, &ack.place());
            }
            self.state.acks.insert(partition, stored.sequence);
        }
    }

    fn settled(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Logged(events) => {
                self.log.settled();
                for (event, stored) in events {
                    self.stored(event, stored);
                }
            }
            Outcome::Newest(handed, newest) => self.decide_anew(*handed, newest),
            Outcome::DecideAgain(object) => self.state.placer.append_failed(&object),
            Outcome::Work {
                partition,
                term,
                fence,
                items,
                sent,
                stored,
            } if self.term == Some(term) => match stored {
                Ok(sequence) => {
                    let took = fleetcast_bus::now().ms_since(sent);
                    self.metrics.hops.took_ms(Hop::Work, took);
                    self.metrics.work.inc_by(items);
                    self.state.confirmed.insert(partition, sequence);
                    let lane = self.lanes.entry(partition).or_default();
                    lane.outbox.settled();
                    if fence {
                        lane.fence = sequence;
                    }
                }
                Err(error) => {
                    self.metrics.retries.count("work");
                    tracing::warn!(partition, term, %error, "work could not be written: taking over again");
                    self.stop_leading();
                }
            },
            Outcome::Work { .. } | Outcome::Aside(_, Ok(())) => {}
            Outcome::Aside(what, Err(error)) => tracing::warn!(what, %error, "could not be sent"),
        }
    }

    /// An event of the log was stored, or was not.
    fn stored(&mut self, event: Logged, stored: Result<u64, Error>) {
        match (event, stored) {
            (Logged::Change(handed, change), Ok(sequence)) => {
                let took = fleetcast_bus::now().ms_since(change.time);
                self.metrics.hops.took_ms(Hop::Log, took);
                self.metrics.events.count("change");
                self.metrics.submissions.count("accepted");
                let object = change.object.clone();
                tracing::info!(%object, revision = change.revision, sequence, source = change.origin.source, "change accepted");
                self.state
                    .intake
                    .logged(sequence, &change, handed.submission.declared_by.clone());
                let receipt = Receipt {
                    object: object.clone(),
                    revision: change.revision,
                    sequence,
                };
                self.answer(handed.reply, Answer::accepted(receipt, handed.warnings));
                self.next_for(&object);
            }
            (Logged::Change(handed, change), Err(error)) => {
                self.metrics.retries.count("change");
                self.read_newest(handed, &change.object, &error)
            }
            (Logged::Cluster(object, reply), Ok(sequence)) => {
                self.metrics.events.count("cluster");
                let receipt = Receipt {
                    object,
                    revision: 0,
                    sequence,
                };
                self.answer(reply, Answer::accepted(receipt, Vec::new()));
            }
            (Logged::Cluster(object, reply), Err(error)) => {
                self.metrics.retries.count("cluster");
                tracing::warn!(%object, %error, "news about a cluster could not be stored");
                if let Error::Full(_) = error {
                    self.answer(reply, Answer::refused(Refusal::new("", error.to_string())));
                }
            }
            (Logged::Decision(_), Ok(_)) => self.metrics.events.count("decision"),
            (Logged::Decision(object), Err(error)) => {
                self.metrics.retries.count("decision");
                tracing::debug!(%object, %error, "a decision was not stored, deciding again");
                self.pending.push(Box::pin(async move {
                    tokio::time::sleep(RETRY).await;
                    Outcome::DecideAgain(object)
                }));
            }
        }
    }

    /// Waits a moment for what is under way, so that the checkpoint is as new as can be.
    async fn settle(&mut self) {
        self.busy.clear();
        let deadline = Instant::now() + Duration::from_secs(2);
        while let Ok(Some(outcome)) = tokio::time::timeout_at(deadline, self.pending.next()).await {
            self.settled(outcome);
        }
        self.stop_leading();
    }

    /// Begins to keep what is known, unless that is kept already or the last is still being stored.
    fn save(&mut self, checkpoint: &Checkpoint) {
        if self
            .saving
            .as_ref()
            .is_some_and(|saving| !saving.is_finished())
        {
            return;
        }
        self.finish_saving();
        if self.state.placer.sequence() == self.saved {
            return;
        }
        match checkpoint.begin(&self.state) {
            Ok(saving) => {
                self.saved = self.state.placer.sequence();
                self.saving = Some(saving);
            }
            Err(error) => not_kept(&error),
        }
    }

    /// Waits until what is being kept is stored.
    fn finish_saving(&mut self) {
        if let Some(Err(error)) = self.saving.take().map(Saving::finish) {
            self.saved = 0;
            not_kept(&error);
        }
    }
}

fn not_kept(error: &std::io::Error) {
    tracing::warn!(%error, "the checkpoint could not be written; the next start folds more");
}
