//! Folds the log and the acknowledgements into the view, confirms acknowledgements, and answers queries.
//!
//! | what | file |
//! |---|---|
//! | what is answered, as types that the asker reads back | [`answer`] |
//! | asking | [`client`] |
//! | reading the streams and folding them | `follow`, with one `reader` a stream |
//! | answering | `query` |
//! | what the objects of a hub are told | `statuses` |
//! | hearing heartbeats: how much room clusters have, which strays are in them | `heartbeats`, with `capacities` and `strays` |
//! | the past | `past` |
//! | what is counted, how far it is behind | `metrics`, `lag` |
//! | answering over HTTP | `http` |
//! | the checkpoint | `keeper` |
//!
//! The view is never the truth: where its checkpoint does not fit the log it is folded anew. A query that is added is a type and a builder
//! under [`answer`] and a line in `query`.

pub mod answer;
mod capacities;
pub mod client;
mod follow;
mod heartbeats;
mod http;
mod keeper;
mod lag;
mod metrics;
mod past;
mod query;
mod reader;
mod shared;
mod statuses;
mod strays;
mod touched;
pub mod untrusted;

use std::path::PathBuf;
use std::sync::Arc;

use fleetcast_bus::{Bus, Connect};
use fleetcast_core::status::Told;
use fleetcast_endpoint::{Door, Health};
use fleetcast_schemas::subject;
use tokio::sync::{Semaphore, mpsc, watch};

pub use shared::VIEW;

use keeper::Keeper;
use metrics::Metrics;
use past::Historian;
use past::archive::Archive;
use shared::Shared;
use touched::Touched;

/// What the aggregator needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bus.
    pub bus: Connect,
    /// Where the checkpoint is kept.
    pub directory: PathBuf,
    /// Who is told what the objects of a hub are to be told, as it changes; none where nobody ever wants to know.
    pub statuses: Option<Statuses>,
    /// Where it listens for HTTP; none where it does not.
    pub http: Option<Arc<Door>>,
    /// What it tells of itself.
    pub health: Health,
}

/// Who is told what the objects of a hub are to be told.
#[derive(Debug, Clone)]
pub struct Statuses {
    /// Where it is told.
    pub told: mpsc::Sender<Told>,
    /// Whether it is wanted now; once it is, everything is told.
    pub wanted: watch::Receiver<bool>,
}

/// Why the aggregator ended; repeating changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus is not fit, or the connection was closed for good.
    #[error(transparent)]
    Bus(#[from] fleetcast_bus::Error),
}

/// Folds and answers until `stop` becomes true, and then keeps a checkpoint.
///
/// # Errors
/// Where the server is not fit or the connection is closed for good; anything else is tried again.
pub async fn run(options: Options, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let Options {
        bus,
        directory,
        statuses,
        http,
        health,
    } = options;
    let asked_to_stop = stop.clone();
    // A sender that is gone will not ask any more: that ends it, too.
    let mut stopped = std::pin::pin!(async move { drop(stop.wait_for(|stop| *stop).await) });
    let bus = tokio::select! {
        bus = Bus::connect_patiently(&bus) => bus?,
        () = &mut stopped => return Ok(()),
    };
    health.follows(bus.connected());
    let ends = bus.expiries();
    health.watches(move || ends.borrow().clone());
    let shared = Arc::new(Shared {
        metrics: Metrics::of(&health),
        touched: statuses.is_some().then(Touched::default),
        ..Shared::default()
    });
    let archive = Arc::new(Archive::open(&directory));
    let historian = Arc::new(Historian::new(bus.clone(), Arc::clone(&archive)));
    let mut keeper = Keeper::new(&directory, archive);
    let queries = bus.subscribe_queue(subject::QUERY, "aggregator").await?;
    let building = Arc::new(Semaphore::new(query::BUILDING));
    let http = http.map(|door| {
        let view = http::Local::new(&shared, &historian, &building);
        tokio::spawn(http::serve(door, view, asked_to_stop))
    });
    let outcome = tokio::select! {
        error = query::serve(&shared, &historian, &building, queries) => Err(error),
        () = query::prepare(&shared, &historian) => Ok(()),
        () = statuses::tell(&shared, statuses) => Ok(()),
        () = heartbeats::listen(&bus, &shared) => Ok(()),
        () = lag::watch(&bus, &shared) => Ok(()),
        never = follow::follow(&bus, &shared, &mut keeper) => match never {},
        () = &mut stopped => Ok(()),
    };
    health.stops();
    keeper.finish(&shared).await;
    match http {
        // Answers that are under way go out.
        Some(http) if outcome.is_ok() => drop(http.await),
        Some(http) => http.abort(),
        None => {}
    }
    outcome
}
