//! What agents tell of strays in their heartbeats: kept in memory, since each tells it again within seconds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fleetcast_core::model::ClusterName;
use fleetcast_core::reconcile::Strays;
use fleetcast_core::time::Time;

/// By cluster: what its agent told last, and when.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<ClusterName, (Strays, Time)>>);

impl Told {
    /// What is told now.
    pub(crate) fn all(&self) -> BTreeMap<ClusterName, (Strays, Time)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes note of what an agent told: none where there are none.
    pub(crate) fn heard(&self, cluster: ClusterName, strays: Option<Strays>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match strays {
            Some(strays) => drop(told.insert(cluster, (strays, fleetcast_bus::now()))),
            None => drop(told.remove(&cluster)),
        }
    }
}
