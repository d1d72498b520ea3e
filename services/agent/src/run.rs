//! The loop of one agent: facts into the machine ([`fleetcast_core::reconcile`]), effects out of it.

mod session;
mod told;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_core::model::ClusterName;
use fleetcast_core::reconcile::HEARTBEAT_MS;
use fleetcast_endpoint::{Health, Part};
use fleetcast_schemas::event::{self, Heartbeat};
use fleetcast_schemas::subject::Lane;
use tokio::sync::watch;

use crate::cluster::lease::Lease;
use crate::cluster::memory::{Kept, Store};
use crate::cluster::own::Home;
use crate::cluster::{Cluster, Reporting};
use crate::keys::Keys;
use crate::local;
use crate::metrics::Metrics;
use crate::secret::Source;
use crate::trouble::Trouble;
use session::{End, Place, Session};

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS.unsigned_abs());

/// What an agent is told.
pub struct Options {
    /// The cluster that it makes true.
    pub cluster: ClusterName,
    /// Over how many partitions work is spread.
    pub partitions: u16,
    /// Where the bus is, and who we are there; the agent sets the inbox prefix itself.
    pub bus: Connect,
    /// The cluster's API server.
    pub client: kube::Client,
    /// What travels back about copies.
    pub reporting: Reporting,
    /// A folder for a local copy of what the cluster should hold; none for no copy.
    pub state: Option<PathBuf>,
    /// How often it is measured how much room the cluster has: [`measure::EVERY`](crate::measure::EVERY) where nothing else is wanted; none for never.
    pub measure_every: Option<Duration>,
    /// The keys that open the values of its work; an empty set for an agent that gets none.
    pub sealing_keys: Arc<fleetcast_sealing::Keys>,
    /// Who holds the cluster's lease: the same after a restart, different for each agent that may act at the same time.
    pub identity: String,
    /// What it tells of itself.
    pub health: Health,
    /// Where it keeps its memory and its lease in the cluster: [`NAMESPACE`](crate::cluster::NAMESPACE) where nothing else is wanted.
    pub namespace: String,
    /// The Secret in `namespace` that the credentials are mounted from, and that renewed ones are written into, and meanwhile into a
    /// file in `state` or the working folder. None where their file itself is written.
    pub creds_secret: Option<String>,
}

/// Why an agent ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus is not fit, or the connection was closed for good: not worth retrying.
    #[error(transparent)]
    Bus(#[from] fleetcast_bus::Error),
    /// The local copy cannot be kept where it should be.
    #[error(transparent)]
    Local(#[from] local::Error),
}

/// Makes one cluster true until `stop` holds true or its sender is gone; then the memory is saved and the lease released.
///
/// What cannot be reached, bus or cluster, is waited for. Cancelling instead of stopping is safe; the next agent then waits for the lease to run out.
///
/// # Errors
/// Only where the bus is not fit, the connection was closed for good, or the local copy cannot be kept.
pub async fn run(options: Options, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let Options {
        cluster,
        partitions,
        mut bus,
        client,
        reporting,
        state,
        measure_every,
        sealing_keys,
        identity,
        health,
        namespace,
        creds_secret,
    } = options;
    let home = Home::new(client.clone(), namespace);
    let lane = Lane::new(cluster, partitions);
    bus.inbox_prefix = Some(lane.inbox_prefix());
    let mut source = None;
    if let (Some(name), Credentials::File(mounted)) = (&creds_secret, &bus.credentials) {
        let folder = state.as_deref().unwrap_or(Path::new("."));
        let found = Source::begin(&home, name, mounted, folder)?;
        bus.credentials = Credentials::File(found.file().to_owned());
        source = Some(found);
    }
    let keys = Keys::of(&bus.credentials, source)?;
    let bus = Bus::connect_in_background(&bus).await?;
    health.follows(bus.connected());
    let ends = bus.expiries();
    health.watches(move || ends.borrow().clone());
    let metrics = Metrics::of(&health);
    let renewing = tokio::spawn(keys.clone().renew(bus.clone(), lane.clone()));
    let _renewing = AbortOnDrop(renewing.abort_handle());
    let store = Store::new(&home);
    let trouble = Trouble::default();
    let mut transitions = 0;
    loop {
        let begun = async {
            tokio::select! {
                begun = begin(&home, &store, &identity, &trouble, &health) => begun,
                never = tell(&bus, &lane, &keys, &trouble, transitions) => match never {},
            }
        };
        let Some((lease, kept)) = until_stopped(&mut stop, begun).await else {
            health.stops();
            return Ok(());
        };
        health.has_part(Some(Part::Leader));
        health.lost_its_place();
        transitions = kept.transitions;
        let place = Place {
            bus: &bus,
            lane: &lane,
            keys: &keys,
            metrics: &metrics,
        };
        let cluster = Cluster::new(client.clone(), reporting.clone());
        let cluster = cluster.with_keys(sealing_keys.clone());
        let session = Session::new(&place, &client, cluster, &store, kept, state.as_deref())?;
        let session = session.measuring(measure_every);
        match session.run(lease, &trouble, &mut stop).await? {
            End::Stopped => return Ok(()),
            End::Lost(reason) => {
                health.has_part(None);
                tracing::warn!(cluster = %lane.cluster, reason, "the cluster's lease is lost");
            }
        }
    }
}

/// Ends a task with whoever began it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for the cluster's lease, then reads what the holder before us kept.
async fn begin(
    home: &Home,
    store: &Store,
    identity: &str,
    trouble: &Trouble,
    health: &Health,
) -> (Lease, Kept) {
    let floor = store.load_patiently(trouble).await.transitions;
    let lease = Lease::take(home, identity, floor, trouble, health).await;
    let kept = Kept {
        memory: store.load_patiently(trouble).await.memory,
        transitions: lease.transitions,
    };
    store.save_telling(&kept, trouble).await;
    (lease, kept)
}

/// While there is no session: tells of trouble, where there is any. An agent that only waits for another one's lease says nothing, since the other one does.
async fn tell(
    bus: &Bus,
    lane: &Lane,
    keys: &Keys,
    trouble: &Trouble,
    transitions: u64,
) -> Infallible {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let Some(trouble) = trouble.get() else {
            continue;
        };
        let heartbeat = Heartbeat {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            n: 0,
            open: 0,
            epoch: None,
            transitions,
            trouble: Some(trouble),
            capacity: None,
            strays: None,
        };
        let mut message = event::heartbeat(&heartbeat, lane, fleetcast_bus::now());
        keys.tell(&mut message.headers);
        if let Ok(Err(error)) = tokio::time::timeout(HEARTBEAT, bus.publish(message)).await {
            tracing::debug!(cluster = %lane.cluster, %error, "a heartbeat was not published");
        }
    }
}

/// The outcome of `what`, unless the agent is stopped before.
async fn until_stopped<T>(
    stop: &mut watch::Receiver<bool>,
    what: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => None,
        outcome = what => Some(outcome),
    }
}
