//! Where one object goes under a placement: groups of clusters in order, each filtered, scored, selected and divided.
//!
//! A group in which no cluster fits, or which has no room, gives way to the next. Where none can be used, an object that was placed
//! stays as it is, except where no cluster fits at all: then it is nowhere.

mod assign;
mod filter;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ClusterName;
use crate::placement::Exclusion;

use super::affinity::ClusterAffinity;
use super::division::Ties;
use super::member::Member;
use super::policy::{Group, Placement, Strategy};
use super::spread::{self, Candidate, Demand, NoSpread};
use super::workload::Workload;

use assign::{assign, zero_replicas};
use filter::{judge, of_group, reasons, tier_of, unmeant};

/// Everything that is asked of the scheduler for one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) placement: &'a Placement,
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) workload: Option<Workload>,
    pub(super) ties: Ties,
    /// Where it is, with how many replicas.
    pub(super) held: &'a BTreeMap<ClusterName, i64>,
    /// How many more replicas clusters could take; absent where no limit is known.
    pub(super) available: &'a BTreeMap<ClusterName, i64>,
    pub(super) telling: Telling,
}

/// About which clusters a schedule says why they do not get the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// All of them.
    All,
    /// Those that were meant or are left out by name, and those that hold it.
    Concerned,
}

/// Where an object goes and where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Schedule {
    pub(super) targets: BTreeMap<ClusterName, Target>,
    pub(super) excluded: BTreeMap<ClusterName, (Exclusion, String)>,
    pub(super) unplaced: i64,
}

/// A cluster that gets an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// None for kinds without replicas.
    pub(super) replicas: Option<i64>,
    pub(super) reasons: Vec<String>,
}

/// Why a group cannot be used.
struct Failure {
    /// Whether there was a cluster that fits.
    fits: bool,
    message: String,
    excluded: BTreeMap<ClusterName, (Exclusion, String)>,
}

impl Ask<'_> {
    /// Whether it is said why a cluster that the group does not mean does not get the object.
    fn tells_of(&self, group: &Group, member: &Member) -> bool {
        let excludes = |tier: &ClusterAffinity| tier.excludes(member);
        self.telling == Telling::All
            || self.held.contains_key(&member.name)
            || group.tiers.first().is_some_and(excludes)
    }
}

/// Schedules one object.
pub(super) fn schedule(ask: Ask<'_>, members: &BTreeMap<ClusterName, Member>) -> Schedule {
    let groups = &ask.placement.groups;
    let mut failures = Vec::new();
    for group in &groups[group_in_use(&ask, members)..] {
        match attempt(ask, group, members) {
            Ok(schedule) => return schedule,
            Err(failure) => failures.push(failure),
        }
    }
    give_up(ask, failures, members)
}

/// The group to begin with: the first that means every cluster where the object is, since there is no return to an earlier one.
fn group_in_use(ask: &Ask<'_>, members: &BTreeMap<ClusterName, Member>) -> usize {
    let held: Vec<_> = ask
        .held
        .keys()
        .filter_map(|name| members.get(name))
        .collect();
    if held.is_empty() {
        return 0;
    }
    let means_all = |group: &Group| {
        held.iter()
            .all(|member| group.tiers.iter().any(|tier| tier.matches(member)))
    };
    ask.placement.groups.iter().position(means_all).unwrap_or(0)
}

/// No group can be used.
fn give_up(
    ask: Ask<'_>,
    failures: Vec<Failure>,
    members: &BTreeMap<ClusterName, Member>,
) -> Schedule {
    let mut schedule = Schedule::default();
    let stays = failures.iter().any(|failure| failure.fits);
    let message = failures
        .iter()
        .map(|failure| failure.message.as_str())
        .collect::<Vec<_>>()
        .join("; ");
    for (name, (reason, text)) in failures.into_iter().flat_map(|failure| failure.excluded) {
        let better = |old: &(Exclusion, String)| {
            old.0 == Exclusion::NotSelected && reason != Exclusion::NotSelected
        };
        if schedule.excluded.get(&name).is_none_or(better) {
            schedule.excluded.insert(name, (reason, text));
        }
    }
    for (name, replicas) in ask.held {
        if stays && members.contains_key(name) {
            schedule.excluded.remove(name);
            let target = Target {
                replicas: ask.workload.map(|_| *replicas),
                reasons: vec![format!("stays as it was placed: {message}")],
            };
            schedule.targets.insert(name.clone(), target);
        }
    }
    schedule.unplaced = unplaced(&ask, &schedule.targets);
    schedule
}

fn unplaced(ask: &Ask<'_>, targets: &BTreeMap<ClusterName, Target>) -> i64 {
    match ask.workload {
        Some(workload) if ask.placement.strategy.divides() => {
            let placed: i64 = targets.values().filter_map(|target| target.replicas).sum();
            (workload.replicas - placed).max(0)
        }
        _ => 0,
    }
}

/// Filters, selects and divides within one group.
fn attempt(
    ask: Ask<'_>,
    group: &Group,
    members: &BTreeMap<ClusterName, Member>,
) -> Result<Schedule, Failure> {
    let mut schedule = Schedule::default();
    let mut candidates = Vec::new();
    for member in members.values() {
        let no = match tier_of(group, member) {
            None if ask.tells_of(group, member) => unmeant(group, member),
            None => None,
            Some(tier) => match judge(&ask, member) {
                Ok(()) => {
                    candidates.push(candidate(&ask, member, tier));
                    None
                }
                Err(no) => Some(no),
            },
        };
        if let Some(no) = no {
            schedule.excluded.insert(member.name.clone(), no);
        }
    }
    for name in group.tiers.iter().flat_map(|tier| tier.named()) {
        if let Ok(name) = ClusterName::parse(name)
            && !members.contains_key(&name)
        {
            let text = "is not registered: the object can be placed there when it is".to_owned();
            schedule.excluded.insert(name, (Exclusion::Unknown, text));
        }
    }
    if candidates.is_empty() {
        return Err(Failure {
            fits: false,
            message: format!("no cluster fits{}", of_group(group)),
            excluded: schedule.excluded,
        });
    }
    let fitting: Vec<_> = candidates
        .iter()
        .map(|c| (c.name.clone(), c.tier))
        .collect();
    let fail = |mut schedule: Schedule, reason: Exclusion, message: String| {
        for (name, _) in &fitting {
            schedule
                .excluded
                .insert(name.clone(), (reason, message.clone()));
        }
        Failure {
            fits: true,
            message,
            excluded: schedule.excluded,
        }
    };

    spread::sort(&mut candidates);
    let selected = match select(&ask, candidates) {
        Ok(selected) => selected,
        Err(NoSpread::Groups(text)) => return Err(fail(schedule, Exclusion::Spread, text)),
        Err(NoSpread::Room(text)) => return Err(fail(schedule, Exclusion::NoCapacity, text)),
    };
    let assignment = match assign(&ask, &selected, members) {
        Ok(assignment) => assignment,
        Err(text) => return Err(fail(schedule, Exclusion::NoCapacity, text)),
    };

    let takes_all = selected.len() == fitting.len();
    let taken: BTreeSet<_> = match takes_all {
        true => BTreeSet::new(),
        false => selected.iter().map(|candidate| &candidate.name).collect(),
    };
    let tiers = 0..group.tiers.len().max(1);
    let why: Vec<Vec<String>> = tiers.map(|tier| reasons(group, tier)).collect();
    for (name, tier) in &fitting {
        if !takes_all && !taken.contains(name) {
            let text = "fits, but the spread constraints prefer other clusters".to_owned();
            schedule
                .excluded
                .insert(name.clone(), (Exclusion::Spread, text));
        } else if let Some((replicas, how)) = assignment.get(name) {
            let mut reasons = why[*tier].clone();
            reasons.push(how.clone());
            let replicas = ask.workload.map(|_| *replicas);
            schedule
                .targets
                .insert(name.clone(), Target { replicas, reasons });
        } else {
            schedule.excluded.insert(
                name.clone(),
                (Exclusion::ZeroReplicas, zero_replicas(&ask).to_owned()),
            );
        }
    }
    schedule.unplaced = unplaced(&ask, &schedule.targets);
    Ok(schedule)
}

fn candidate(ask: &Ask<'_>, member: &Member, tier: usize) -> Candidate {
    let wanted = ask.workload.map_or(0, |workload| workload.replicas);
    let scheduled = ask.workload.is_some_and(|w| w.is_scheduled());
    let local =
        scheduled && ask.held.contains_key(&member.name) && ask.held.values().sum::<i64>() > 0;
    let available = match ask.available.get(&member.name) {
        // The largest number of 32 bits is Karmada's word for "no limit known", which counts as what is wanted.
        Some(available) if wanted > 0 && *available < i64::from(i32::MAX) => (*available).max(0),
        _ => wanted,
    };
    Candidate {
        name: member.name.clone(),
        region: member.region.clone(),
        tier,
        score: if local { 100 } else { 0 },
        available,
        assigned: ask.held.get(&member.name).copied().unwrap_or(0).max(0),
    }
}

fn select(ask: &Ask<'_>, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, NoSpread> {
    let strategy = &ask.placement.strategy;
    if let Strategy::Static {
        ignores_spread: true,
        ..
    } = strategy
    {
        return Ok(candidates);
    }
    let demand = Demand {
        replicas: ask.workload.map_or(0, |workload| workload.replicas),
        divided: strategy.divides(),
    };
    spread::select(&ask.placement.spread, candidates, demand)
}

#[cfg(test)]
mod tests;
