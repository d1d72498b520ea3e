//! The removals that wait for a confirmation, by the id that they wait with.

use std::collections::BTreeMap;

use fleetcast_core::fold::View;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::time::Time;
use serde::{Deserialize, Serialize};

use super::build::as_of;
use super::{AsOf, moment};

/// All removals that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Up to where the view was folded: what is confirmed is what was held up to this log sequence.
    pub as_of: AsOf,
    /// By id, the oldest first.
    pub removals: Vec<Removals>,
}

/// Removals that wait together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removals {
    /// What `fleetcast confirm` takes.
    pub id: String,
    /// Who caused the first of them.
    pub by: String,
    /// Why the first of them is to go.
    pub reason: String,
    /// How much would have gone when the first of them was held, of what.
    pub limit: String,
    /// Since when.
    #[serde(with = "moment")]
    pub since: Time,
    /// How many copies wait.
    pub copies: u64,
    /// How many of them, by cluster.
    pub clusters: BTreeMap<ClusterName, u64>,
    /// How many of them, by namespace; empty for objects without one.
    pub namespaces: BTreeMap<String, u64>,
    /// Of which objects, with the clusters.
    pub objects: BTreeMap<ObjectKey, Vec<ClusterName>>,
}

/// What waits, or of that only what waits in `cluster`.
pub(crate) fn held(view: &View, cluster: Option<&ClusterName>) -> Held {
    let mut all: BTreeMap<String, Removals> = BTreeMap::new();
    for (key, object) in view.objects() {
        for (name, hold) in object.standings.held() {
            if cluster.is_some_and(|cluster| cluster != name) {
                continue;
            }
            let found = all.entry(hold.id.clone()).or_insert_with(|| Removals {
                id: hold.id.clone(),
                by: String::new(),
                reason: String::new(),
                limit: String::new(),
                since: Time(i64::MAX),
                copies: 0,
                clusters: BTreeMap::new(),
                namespaces: BTreeMap::new(),
                objects: BTreeMap::new(),
            });
            if hold.time < found.since {
                found.since = hold.time;
                found.by.clone_from(&hold.by);
                found.reason.clone_from(&hold.reason);
                found.limit.clone_from(&hold.limit);
            }
            found.copies += 1;
            *found.clusters.entry(name.clone()).or_default() += 1;
            let namespace = key.namespace().unwrap_or_default().to_owned();
            *found.namespaces.entry(namespace).or_default() += 1;
            let clusters = found.objects.entry(key.clone()).or_default();
            clusters.push(name.clone());
        }
    }
    let mut removals: Vec<Removals> = all.into_values().collect();
    removals.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    Held {
        as_of: as_of(view),
        removals,
    }
}
