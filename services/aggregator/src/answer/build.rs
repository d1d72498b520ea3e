//! Builds answers from the view: pure, and without a copy of any document.

use std::collections::BTreeMap;

use fleetcast_core::ack::Observed;
use fleetcast_core::confirmation::Confirmation;
use fleetcast_core::fold::{self, Condition, View};
use fleetcast_core::health::State;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_schemas::subject;

use super::{
    AsOf, ClusterSummary, Clusters, Counts, Digest, ObjectSummary, Objects, PolicySummary, Row,
    Wait,
};

/// Up to where `view` is folded.
pub(crate) fn as_of(view: &View) -> AsOf {
    AsOf {
        log: view.log,
        acks: view
            .acks
            .iter()
            .map(|(partition, sequence)| (subject::partition_token(*partition), *sequence))
            .collect(),
        time: view.time,
        acknowledgements_unknown: false,
    }
}

/// The one object named, or all that are meant; all their rows, or those of one cluster.
pub(crate) fn objects(
    view: &View,
    named: Option<&ObjectKey>,
    cluster: Option<&ClusterName>,
    is_meant: impl Fn(&ObjectKey) -> bool,
) -> Objects {
    let objects = match named {
        Some(key) => view
            .object(key)
            .map(|object| summary(view, key, object, cluster))
            .into_iter()
            .collect(),
        None => view
            .objects()
            .filter(|(key, _)| is_meant(key))
            .map(|(key, object)| summary(view, key, object, cluster))
            .filter(|summary| {
                let is_gone = summary.withdrawn && summary.rows.is_empty();
                let is_elsewhere = cluster.is_some() && summary.rows.is_empty();
                !is_gone && !is_elsewhere
            })
            .collect(),
    };
    Objects {
        as_of: as_of(view),
        objects,
        policies: match (named, cluster) {
            (None, None) => policies(view),
            _ => Vec::new(),
        },
    }
}

/// The policies that are there, with how many objects go by each.
fn policies(view: &View) -> Vec<PolicySummary> {
    let mut used: BTreeMap<&ObjectKey, u64> = BTreeMap::new();
    let there = view
        .objects()
        .filter(|(_, object)| !object.change.withdrawn);
    let decisions = there.filter_map(|(_, object)| object.decision.as_ref());
    for policy in decisions.flat_map(|decision| &decision.inputs.policies) {
        *used.entry(&policy.policy).or_default() += 1;
    }
    let there = view
        .policies()
        .filter(|(key, policy)| !policy.change.withdrawn && !Confirmation::is_key(key));
    let summary = |(key, policy): (&ObjectKey, &fold::PolicyView)| PolicySummary {
        policy: key.clone(),
        name: key.for_people(),
        revision: policy.change.revision,
        time: policy.change.time,
        objects: used.get(key).copied().unwrap_or(0),
    };
    there.map(summary).collect()
}

/// Says of the rows that wait for an answer that it may have been given: acknowledgements of that time are not kept any more.
pub(crate) fn unknown(objects: &mut Objects) {
    let rows = objects
        .objects
        .iter_mut()
        .flat_map(|object| &mut object.rows);
    for row in rows.filter(|row| row.condition == Condition::Pending && row.answered_at.is_none()) {
        "acknowledgements unknown: older than what is kept".clone_into(&mut row.message);
    }
}

fn summary(
    view: &View,
    key: &ObjectKey,
    object: &fold::Object,
    cluster: Option<&ClusterName>,
) -> ObjectSummary {
    let mut counts = Counts::default();
    let rows = view
        .rows(key)
        .into_iter()
        .filter(|row| cluster.is_none_or(|cluster| row.cluster == *cluster))
        .map(|row| {
            counts.add(&row);
            Row::from(row)
        })
        .collect();
    ObjectSummary {
        object: key.clone(),
        name: key.for_people(),
        dialect: object.change.dialect,
        revision: object.change.revision,
        decision: object.decision.as_ref().map(|decision| decision.number),
        withdrawn: object.change.withdrawn,
        time: object.change.time,
        counts,
        rows,
    }
}

impl Counts {
    fn add(&mut self, row: &fold::Row) {
        // Only a row that should hold a manifest has its digest.
        self.clusters += u64::from(row.digest.is_some());
        *match row.condition {
            Condition::Deciding => &mut self.deciding,
            Condition::Applied => &mut self.applied,
            Condition::Pending => &mut self.pending,
            Condition::Retrying => &mut self.retrying,
            Condition::Refused => &mut self.refused,
            Condition::Removing => &mut self.removing,
            Condition::Held => &mut self.held,
            Condition::Ahead => &mut self.ahead,
            Condition::Excluded => &mut self.excluded,
        } += 1;
        let Observed {
            health,
            drift,
            status: _,
        } = &row.observed;
        match health.as_ref().map(|health| health.state) {
            Some(State::Healthy) => self.healthy += 1,
            Some(State::Progressing) => self.progressing += 1,
            Some(State::Degraded) => self.degraded += 1,
            Some(State::Unknown) => self.unknown += 1,
            None => {}
        }
        self.drifted += u64::from(drift.as_ref().is_some_and(|drift| !drift.healed));
    }
}

impl From<fold::Row> for Row {
    fn from(row: fold::Row) -> Self {
        let fold::Row {
            cluster,
            condition,
            revision,
            applied_revision,
            decision,
            replicas,
            digest,
            message,
            attempts,
            answered_at,
            behind,
            held,
            observed,
        } = row;
        Self {
            cluster,
            condition,
            revision,
            applied_revision,
            decision,
            replicas,
            digest,
            message,
            attempts,
            answered_at,
            behind,
            held: held.map(Wait::from),
            observed,
        }
    }
}

/// All clusters, or the one asked for.
pub(crate) fn clusters(view: &View, cluster: Option<&ClusterName>) -> Clusters {
    let mut all: BTreeMap<&ClusterName, ClusterSummary> = view
        .clusters()
        .filter(|(name, _)| cluster.is_none_or(|cluster| *name == cluster))
        .map(|(name, known)| (name, empty_summary(name, known)))
        .collect();
    for (key, object) in view.objects() {
        for row in view.rows(key) {
            let Some(summary) = all.get_mut(&row.cluster) else {
                continue;
            };
            summary.objects += u64::from(row.digest.is_some());
            match row.condition {
                Condition::Applied => summary.applied += 1,
                Condition::Refused => summary.refused += 1,
                Condition::Deciding
                | Condition::Pending
                | Condition::Retrying
                | Condition::Removing => summary.pending += 1,
                Condition::Ahead | Condition::Held | Condition::Excluded => {}
            }
            if !row.condition.is_settled() {
                summary.behind += 1;
                let since = object.change.time;
                summary.oldest_pending_since = Some(
                    summary
                        .oldest_pending_since
                        .map_or(since, |oldest| oldest.min(since)),
                );
            }
        }
    }
    Clusters {
        as_of: as_of(view),
        clusters: all.into_values().collect(),
    }
}

fn empty_summary(name: &ClusterName, known: &fold::ClusterView) -> ClusterSummary {
    let fold::ClusterView {
        registered,
        online,
        trouble,
        since,
    } = known;
    let Cluster {
        name,
        labels,
        region,
        zone,
        zones,
        provider,
        taints,
        cordoned,
        ready,
        apis,
        pods,
        declared_on: _,
        sealing_key,
    } = registered
        .clone()
        .unwrap_or_else(|| Cluster::named(name.clone()));
    ClusterSummary {
        cluster: name,
        labels,
        region,
        zone,
        zones,
        provider,
        taints,
        cordoned,
        ready,
        apis,
        pods,
        capacity: None,
        sealing_key,
        registered: registered.is_some(),
        online: *online,
        readiness: known.readiness(),
        trouble: trouble.clone(),
        since: *since,
        objects: 0,
        applied: 0,
        pending: 0,
        refused: 0,
        behind: 0,
        oldest_pending_since: None,
    }
}

/// The digest over all rows.
pub(crate) fn digest(view: &View) -> Digest {
    let rows: usize = view.objects().map(|(key, _)| view.rows(key).len()).sum();
    Digest {
        as_of: as_of(view),
        digest: view.digest(),
        rows: u64::try_from(rows).unwrap_or(u64::MAX),
    }
}
