//! A plan against what the fleet holds now: which clusters gain, change and lose an object.

use std::collections::BTreeMap;

use fleetcast_aggregator::answer::{Clusters, Objects, Request, Row};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::digest;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::planning::Fleet;
use fleetcast_core::report::{ObjectPlan, Observed, PlannedCluster, Target};

use crate::failure::Failure;
use crate::output::Paint;

/// What the live fleet holds.
pub(in crate::command) struct Live {
    clusters: Vec<Cluster>,
    rows: BTreeMap<ObjectKey, BTreeMap<ClusterName, Row>>,
}

/// What a plan would change for one object.
pub(in crate::command) struct Changes {
    /// By cluster that should hold it: whether it gains it (none), or holds the same or another manifest.
    planned: BTreeMap<ClusterName, Option<bool>>,
    lost: Vec<(ClusterName, String)>,
}

/// What a plan comes to.
#[derive(Debug, Default)]
pub(in crate::command) struct Totals {
    pub(in crate::command) refused: usize,
    objects: usize,
    placed: usize,
    gained: usize,
    changed: usize,
    lost: usize,
    refused_in_clusters: usize,
    unplaced: i64,
}

impl Live {
    pub(in crate::command) async fn read(bus: &Bus) -> Result<Self, Failure> {
        let request = Request::default();
        let clusters: Clusters = client::query(bus, "clusters", None, &request).await?;
        let objects: Objects = client::query(bus, "objects", None, &request).await?;
        let clusters = clusters
            .clusters
            .into_iter()
            .filter(|summary| summary.registered)
            .map(Cluster::from)
            .collect();
        let rows = objects.objects.into_iter().map(|summary| {
            let held = summary.rows.into_iter().filter(is_held);
            let held = held.map(|row| (row.cluster.clone(), row)).collect();
            (summary.object, held)
        });
        Ok(Self {
            clusters,
            rows: rows.collect(),
        })
    }

    pub(in crate::command) fn fleet(&self) -> Fleet {
        let mut fleet = Fleet::of(self.clusters.iter().cloned());
        for (object, rows) in &self.rows {
            for cluster in rows.keys() {
                fleet.hold(object, cluster);
            }
        }
        fleet
    }

    /// The objects that it holds.
    pub(in crate::command) fn holds(&self, object: &ObjectKey) -> bool {
        self.rows.contains_key(object)
    }

    /// The cluster, the digest and the replicas that it holds, where it holds another manifest than the planned one.
    pub(in crate::command) fn differs(
        &self,
        object: &ObjectKey,
        planned: &PlannedCluster,
    ) -> Option<(&Cluster, &str, Option<i64>)> {
        let row = self.rows.get(object)?.get(&planned.cluster)?;
        let held = row.digest.as_deref()?;
        let mut clusters = self.clusters.iter();
        let cluster = clusters.find(|cluster| cluster.name == planned.cluster)?;
        (held != digest::of_value(&planned.manifest)).then_some((cluster, held, row.replicas))
    }

    /// What was decided for each cluster that holds the object.
    pub(in crate::command) fn shares(
        &self,
        object: &ObjectKey,
    ) -> BTreeMap<ClusterName, Option<i64>> {
        let rows = self.rows.get(object).into_iter().flatten();
        rows.map(|(cluster, row)| (cluster.clone(), row.replicas))
            .collect()
    }

    /// What is placed now, as division looks at it.
    pub(in crate::command) fn observed(&self) -> Vec<Observed> {
        let rows = self.rows.iter().flat_map(|(object, rows)| {
            rows.values()
                .filter(|row| row.replicas.is_some())
                .map(|row| Observed {
                    object: object.to_string(),
                    cluster: row.cluster.clone(),
                    replicas: row.replicas,
                    ready: None,
                    capacity: None,
                    available: None,
                })
        });
        rows.collect()
    }

    pub(in crate::command) fn compare(&self, plan: &ObjectPlan) -> Changes {
        let none = BTreeMap::new();
        let held = plan
            .object
            .key()
            .and_then(|key| self.rows.get(&key))
            .unwrap_or(&none);
        let mut changes = Changes {
            planned: BTreeMap::new(),
            lost: Vec::new(),
        };
        // Clusters with the same manifest share it: its digest is taken once.
        let mut digests: BTreeMap<*const serde_json::Value, String> = BTreeMap::new();
        for planned in &plan.clusters {
            let digest = digests
                .entry(std::sync::Arc::as_ptr(&planned.manifest))
                .or_insert_with(|| digest::of_value(&planned.manifest));
            let same = held
                .get(&planned.cluster)
                .map(|row| row.digest.as_ref() == Some(digest));
            changes.planned.insert(planned.cluster.clone(), same);
        }
        for cluster in held
            .keys()
            .filter(|cluster| !changes.planned.contains_key(*cluster))
        {
            let why = plan
                .excluded
                .iter()
                .find(|excluded| excluded.cluster == *cluster);
            let keeps = |reason: Exclusion| reason.keeps_what_is_there();
            if why.is_some_and(|why| keeps(why.reason)) {
                continue;
            }
            let why = why.map_or_else(
                || "it is not registered any more".to_owned(),
                |why| format!("{:?}: {}", why.reason, why.message),
            );
            let why = match held.get(cluster).and_then(|row| row.held.as_ref()) {
                Some(wait) => format!("{why}; held: fleetcast confirm {}", wait.id),
                None => why,
            };
            changes.lost.push((cluster.clone(), why));
        }
        changes
    }
}

fn is_held(row: &Row) -> bool {
    match row.condition {
        Condition::Excluded | Condition::Removing => false,
        Condition::Deciding
        | Condition::Pending
        | Condition::Retrying
        | Condition::Applied
        | Condition::Refused
        | Condition::Held
        | Condition::Ahead => row.digest.is_some(),
    }
}

impl Changes {
    /// What happens in a cluster where it should be.
    pub(in crate::command) fn word(&self, cluster: &ClusterName, paint: Paint) -> String {
        match self.planned.get(cluster) {
            Some(Some(true)) => paint.dim("same"),
            Some(Some(false)) => paint.waiting("changes"),
            Some(None) | None => paint.good("gains"),
        }
    }

    /// How many clusters gain it, and how many get another manifest.
    pub(in crate::command) fn counts(&self) -> (usize, usize) {
        let is = |wanted: Option<bool>| self.planned.values().filter(move |same| **same == wanted);
        (is(None).count(), is(Some(false)).count())
    }

    pub(in crate::command) fn lost(&self) -> &[(ClusterName, String)] {
        &self.lost
    }
}

impl Totals {
    pub(in crate::command) fn add(&mut self, row: &ObjectPlan, changes: Option<&Changes>) {
        self.objects += 1;
        self.placed += row.clusters.len();
        self.unplaced += row.unplaced_replicas;
        let refused = row
            .excluded
            .iter()
            .filter(|excluded| excluded.reason == Exclusion::Refused);
        self.refused_in_clusters += refused.count();
        if let Some(Changes { planned, lost }) = changes {
            self.gained += planned.values().filter(|same| same.is_none()).count();
            self.changed += planned
                .values()
                .filter(|same| **same == Some(false))
                .count();
            self.lost += lost.len();
        }
    }

    /// One line that sums it up.
    pub(in crate::command) fn text(&self, is_live: bool, refused_documents: usize) -> String {
        let Self {
            refused,
            objects,
            placed,
            gained,
            changed,
            lost,
            refused_in_clusters,
            unplaced,
        } = self;
        let mut text = format!("{objects} objects, {placed} placements");
        if is_live {
            text += &format!(": {gained} gained, {changed} changed, {lost} deleted");
        }
        for (count, what) in [
            (refused + refused_documents, "refused"),
            (*refused_in_clusters, "refused in a cluster"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if *unplaced > 0 {
            text += &format!(", {unplaced} replicas without a place");
        }
        text + "\n"
    }
}

/// The object as people write it.
pub(in crate::command) fn name(object: &Target) -> String {
    object.key().map_or_else(
        || format!("{}/{}", object.kind.to_ascii_lowercase(), object.name),
        |key| key.for_people(),
    )
}
