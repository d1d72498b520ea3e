//! From an aggregator to a hub: what objects and clusters are told about themselves.

use fleetcast_aggregator::Statuses;
use tokio::sync::{mpsc, watch};

/// How many statuses may wait to be written to a hub.
const STATUSES: usize = 256;

/// Writes to a hub what an aggregator tells, until that ends.
pub(crate) fn write_statuses(writer: fleetcast_hub::status::Options) -> Statuses {
    let (told, receiver) = mpsc::channel(STATUSES);
    let (wants, wanted) = watch::channel(false);
    tokio::spawn(async move {
        if let Err(error) = fleetcast_hub::status::run(writer, receiver, wants).await {
            tracing::error!(%error, "status is not written back to the hub");
        }
    });
    Statuses { told, wanted }
}
