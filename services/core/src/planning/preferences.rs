//! Carries out ReplicaSchedulingPreferences as KubeFed does: they rewrite placement and replica overrides of their targets.

use std::collections::BTreeMap;

use super::observed::ObservedIndex;
use super::sort::{Place, Read, Row, namespace};
use super::{Fleet, Written};
use crate::Refusal;
use crate::dialect::kubefed::preference::Preference;
use crate::model::{Cluster, ClusterName, FederatedObject, Override, Selector};
use crate::overrides::Operation;
use crate::placement::Holding;
use crate::replicas::kubefed::{self, Member, Planned};
use crate::report::RefusedDocument;

/// Carries out each of `preferences`; one that can do nothing leaves its target as it is written, and says why.
pub(super) fn carry_out(
    preferences: &[(Place, Preference)],
    rows: &mut [Row],
    fleet: &Fleet,
    observed: &ObservedIndex<'_>,
    refusals: &mut Vec<(usize, RefusedDocument)>,
) {
    for (place, preference) in preferences {
        if let Err(refusal) = carry_out_one(preference, rows, fleet, observed) {
            refusals.push((place.order, place.document.refused(refusal)));
        }
    }
}

fn carry_out_one(
    preference: &Preference,
    rows: &mut [Row],
    fleet: &Fleet,
    observed: &ObservedIndex<'_>,
) -> Result<(), Refusal> {
    let Preference {
        target_kind,
        namespace: own,
        name,
        intersect_with_cluster_selector,
        schedule: _,
    } = preference;
    let is_target = |row: &Row| match row {
        Row::Object(read) => {
            let target = &read.object.target;
            read.kind == *target_kind && target.namespace() == Some(own) && target.name() == name
        }
        Row::Refused { .. } | Row::Planned(_) => false,
    };
    let Some(index) = rows.iter().position(is_target) else {
        return Err(Refusal::new(
            "metadata.name",
            format!(
                "there is no {target_kind} {own}/{name} among the documents, so it does nothing"
            ),
        ));
    };
    let mut selectors = Vec::new();
    if *intersect_with_cluster_selector {
        let Some(federated) = namespace(rows, own) else {
            return Err(Refusal::new(
                "spec.intersectWithClusterSelector",
                format!(
                    "there is no FederatedNamespace {own}/{own} among the documents, so it does nothing"
                ),
            ));
        };
        selectors.push(federated.selector.clone());
        if let Row::Object(read) = &rows[index] {
            selectors.push(read.selector.clone());
        }
    }
    if let Row::Object(read) = &mut rows[index] {
        rewrite(preference, read, &selectors, fleet, observed);
    }
    Ok(())
}

/// Plans over the ready clusters that every selector selects, and writes the outcome; where there are none the last outcome stays.
fn rewrite(
    preference: &Preference,
    read: &mut Read,
    selectors: &[Option<Selector>],
    fleet: &Fleet,
    observed: &ObservedIndex<'_>,
) {
    let observed = observed.of_object(&read.object.target);
    let holding = |cluster: &ClusterName| observed.get(cluster).copied();
    let written = schedule(
        preference,
        &mut read.object,
        selectors,
        fleet.clusters(),
        holding,
    );
    if written.is_some() {
        read.written = written;
    }
}

/// Writes into placement and overrides of `object` what KubeFed's scheduler would; none where no ready cluster is selected, and nothing is
/// written.
pub(crate) fn schedule(
    preference: &Preference,
    object: &mut FederatedObject,
    selectors: &[Option<Selector>],
    clusters: &BTreeMap<ClusterName, Cluster>,
    holding: impl Fn(&ClusterName) -> Option<Holding>,
) -> Option<Written> {
    let is_considered = |cluster: &&Cluster| {
        cluster.ready
            && selectors.iter().all(|selector| {
                let selector = selector.as_ref();
                selector.is_some_and(|selector| selector.matches(&cluster.labels))
            })
    };
    let members: BTreeMap<&ClusterName, Member> = clusters
        .values()
        .filter(is_considered)
        .map(|cluster| (&cluster.name, member(holding(&cluster.name).as_ref())))
        .collect();
    if members.is_empty() {
        return None;
    }
    let planned = kubefed::plan(&preference.schedule, &members);
    let sum: i64 = planned.values().map(|planned| planned.written()).sum();
    let written = Written {
        by_cluster: planned
            .iter()
            .map(|(cluster, planned)| (cluster.clone(), reason(preference, *planned)))
            .collect(),
        unplaced: preference.schedule.total.saturating_sub(sum).max(0),
    };
    object.placement.clusters = Some(planned.keys().cloned().collect());
    object.placement.selector = None;
    let replicas = planned
        .into_iter()
        .map(|(cluster, planned)| (cluster, planned.written()))
        .collect();
    override_replicas(&mut object.overrides, &replicas);
    Some(written)
}

/// What KubeFed would count there: ready replicas, where they are known.
fn member(holding: Option<&Holding>) -> Member {
    let Some(holding) = holding else {
        return Member::default();
    };
    Member {
        current: holding.ready.or(holding.replicas),
        capacity: holding.capacity,
    }
}

fn reason(preference: &Preference, planned: Planned) -> String {
    let total = preference.schedule.total;
    let key = &preference.schedule.key;
    match planned.overflow {
        0 => format!(
            "{} of {total} replicas by ReplicaSchedulingPreference {key}",
            planned.replicas
        ),
        overflow => format!(
            "{} of {total} replicas by ReplicaSchedulingPreference {key}, {overflow} of them over its capacity",
            planned.written()
        ),
    }
}

/// An override of the replicas that is there is replaced in its place, one that is missing comes last, and those of other clusters go.
pub(crate) fn override_replicas(
    overrides: &mut Vec<Override>,
    planned: &BTreeMap<ClusterName, i64>,
) {
    let mut left = planned.clone();
    for entry in overrides.iter_mut() {
        let Some(cluster) = entry
            .clusters
            .as_ref()
            .and_then(|names| names.first())
            .cloned()
        else {
            continue;
        };
        match planned.get(&cluster) {
            None => entry
                .operations
                .retain(|operation| !operation.is_kubefed_replicas()),
            Some(planned) => {
                let new = replicas(*planned);
                match entry
                    .operations
                    .iter_mut()
                    .find(|operation| operation.is_kubefed_replicas())
                {
                    Some(old) => *old = new,
                    None => entry.operations.push(new),
                }
                left.remove(&cluster);
            }
        }
    }
    overrides.extend(left.into_iter().map(|(cluster, planned)| Override {
        clusters: Some(vec![cluster]),
        selector: None,
        operations: vec![replicas(planned)],
    }));
}

fn replicas(written: i64) -> Operation {
    Operation::kubefed_replicas(written)
}
