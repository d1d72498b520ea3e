//! From the strategy of a placement to each selected cluster's replicas, with the reason for them.

use std::collections::BTreeMap;

use crate::dialect::karmada::affinity::ClusterAffinity;
use crate::dialect::karmada::division::{self, Room, Shares};
use crate::dialect::karmada::member::Member;
use crate::dialect::karmada::policy::Strategy;
use crate::dialect::karmada::spread::Candidate;
use crate::dialect::karmada::workload::Workload;
use crate::model::ClusterName;

use super::Ask;

/// How many replicas each selected cluster gets, and how that came; clusters that get none are absent.
pub(super) fn assign(
    ask: &Ask<'_>,
    selected: &[Candidate],
    members: &BTreeMap<ClusterName, Member>,
) -> Result<BTreeMap<ClusterName, (i64, String)>, String> {
    let Some(workload) = ask.workload.filter(Workload::is_scheduled) else {
        return Ok(selected
            .iter()
            .map(|c| {
                (
                    c.name.clone(),
                    (0, "goes to every selected cluster".to_owned()),
                )
            })
            .collect());
    };
    let total = workload.replicas;
    let told = |shares: Shares, how: &dyn Fn(&ClusterName) -> String| {
        shares
            .into_iter()
            .map(|(name, count)| {
                let text = format!("{count} of {total} replicas {}", how(&name));
                (name, (count, text))
            })
            .collect()
    };
    let few = match &ask.placement.strategy {
        Strategy::Duplicated => {
            return Ok(selected
                .iter()
                .filter(|_| total > 0)
                .map(|c| {
                    let text = format!("all {total} replicas, as in every cluster");
                    (c.name.clone(), (total, text))
                })
                .collect());
        }
        Strategy::Static { weights, .. } => {
            let weights = static_weights(weights, selected, members);
            let shares = division::by_weight(total, &weights, ask.ties);
            let weights: BTreeMap<_, _> = weights.into_iter().collect();
            return Ok(told(shares, &|name| match weights.get(name) {
                Some(weight) if *weight > 0 => format!("by its static weight {weight}"),
                _ => "by equal weights".to_owned(),
            }));
        }
        Strategy::Dynamic => false,
        Strategy::Aggregated => true,
    };
    let rooms: Vec<Room> = selected
        .iter()
        .map(|c| Room {
            name: c.name.clone(),
            tier: c.tier,
            available: c.available,
            assigned: c.assigned,
        })
        .collect();
    let shares = division::by_room(total, &rooms, few, ask.ties).map_err(|short| {
        format!(
            "the clusters have room for {} of the {} replicas to place",
            short.available, short.wanted
        )
    })?;
    let how = if few {
        "aggregated into few clusters"
    } else {
        "by what the clusters can take"
    };
    Ok(told(
        shares,
        &|name| match ask.held.get(name).copied().unwrap_or(0) {
            0 => how.to_owned(),
            held => format!("{how}, {held} were there"),
        },
    ))
}

/// The greatest weight among the entries that mean a cluster; 0 where none does, 1 for all where there are no entries.
fn static_weights(
    entries: &[(ClusterAffinity, i64)],
    selected: &[Candidate],
    members: &BTreeMap<ClusterName, Member>,
) -> Vec<(ClusterName, i64)> {
    selected
        .iter()
        .map(|candidate| {
            let weight = members.get(&candidate.name).and_then(|member| {
                entries
                    .iter()
                    .filter(|(affinity, _)| affinity.matches(member))
                    .map(|(_, weight)| *weight)
                    .max()
            });
            (candidate.name.clone(), weight.unwrap_or(0))
        })
        .collect()
}

/// Why a selected cluster gets nothing.
pub(super) fn zero_replicas(ask: &Ask<'_>) -> &'static str {
    match &ask.placement.strategy {
        Strategy::Duplicated => "the object asks for no replicas",
        Strategy::Static { .. } => "its static weight gives it no replicas",
        Strategy::Dynamic | Strategy::Aggregated => "the division gives it no replicas",
    }
}
