//! Picks among the clusters that an object may go to: the first preferred group that fits, spread as its rules ask, with its replicas
//! divided.
//!
//! A group fits where its spread rules can be kept and all replicas find a place. Where none fits, the group that leaves the fewest
//! replicas over is taken. Spread rules are kept one after the other: of the regions, zones, … that a maximum allows those stay that hold
//! the object, then those with the most clusters; then clusters are picked so that each adds as many missing values as possible. That is
//! no search through all combinations: rules that only such a search could satisfy together are reported as not satisfiable.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exclusion, Holding};
use crate::model::{Cluster, ClusterName, Divide, Division, FederatedObject, Spread, Topology};
use crate::replicas::{self, Claim};
use crate::{Refusal, digest};

/// A cluster that the object may go to.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What it holds of the object.
    pub holding: Holding,
}

/// A cluster that was picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Its replicas; none where the template says how many.
    pub replicas: Option<i64>,
    /// What decided it beyond placement.
    pub reasons: Vec<String>,
}

/// The outcome for every candidate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// By cluster.
    pub clusters: BTreeMap<ClusterName, Result<Picked, (Exclusion, Refusal)>>,
    /// Replicas for which there is no place.
    pub unplaced: i64,
}

/// Picks among `candidates` for `object`, of which there are `total` replicas where they are divided.
pub fn choose(object: &FederatedObject, total: i64, candidates: Vec<Candidate<'_>>) -> Choice {
    let mut choice = Choice::default();
    let division = object.division.as_ref();
    let mut fit = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let looks_at_room = division.is_some_and(|division| division.divide.looks_at_room());
        if looks_at_room && room(&candidate) == Some(0) {
            choice.leave_out(
                &candidate,
                Exclusion::NoCapacity,
                "has no room for any replica",
            );
        } else {
            fit.push(candidate);
        }
    }
    let groups = groups(object, &fit);
    let mut best: Option<(usize, Attempt<'_>)> = None;
    let mut refused: Option<Vec<(Candidate<'_>, String)>> = None;
    for (index, group) in groups.iter().enumerate() {
        if group.is_empty() {
            continue;
        }
        match attempt(object, division, total, group) {
            Ok(attempt) => {
                let fits = attempt.unplaced == 0;
                if best
                    .as_ref()
                    .is_none_or(|(_, best)| attempt.unplaced < best.unplaced)
                {
                    best = Some((index, attempt));
                }
                if fits {
                    break;
                }
            }
            Err(left_out) => refused = refused.or(Some(left_out)),
        }
    }
    let Some((index, attempt)) = best else {
        let placed = division.is_some_and(|division| division.divide != Divide::Duplicate);
        choice.unplaced = if placed { total } else { 0 };
        for (candidate, message) in refused.into_iter().flatten() {
            choice.leave_out(&candidate, Exclusion::Spread, message);
        }
        choice.leave_out_rest(&fit, None);
        return choice;
    };
    choice.unplaced = attempt.unplaced;
    let preferred = (!object.placement.preferences.is_empty()).then_some(index);
    choice.take(attempt, preferred, total, division);
    choice.leave_out_rest(&fit, preferred);
    choice
}

/// The candidates of each preferred group; all of them in one where none is preferred.
fn groups<'a>(object: &FederatedObject, fit: &[Candidate<'a>]) -> Vec<Vec<Candidate<'a>>> {
    let preferences = &object.placement.preferences;
    if preferences.is_empty() {
        return vec![fit.to_vec()];
    }
    preferences
        .iter()
        .map(|preference| {
            let of_group = fit
                .iter()
                .filter(|candidate| preference.matches(candidate.cluster));
            of_group.copied().collect()
        })
        .collect()
}

/// What a group makes possible.
struct Attempt<'a> {
    picked: Vec<(Candidate<'a>, Option<i64>)>,
    left_out: Vec<(Candidate<'a>, String)>,
    unplaced: i64,
}

/// Spreads and divides within a group; where its spread rules cannot be kept, why for each cluster.
fn attempt<'a>(
    object: &FederatedObject,
    division: Option<&Division>,
    total: i64,
    group: &[Candidate<'a>],
) -> Result<Attempt<'a>, Vec<(Candidate<'a>, String)>> {
    let tokens = object.target.tokens();
    let spread = spread(&object.placement.spread, group, &tokens)?;
    let Some(division) = division else {
        return Ok(Attempt {
            picked: spread
                .picked
                .into_iter()
                .map(|candidate| (candidate, None))
                .collect(),
            left_out: spread.left_out,
            unplaced: 0,
        });
    };
    let claims: Vec<Claim<'_>> = spread
        .picked
        .iter()
        .enumerate()
        .map(|(index, candidate)| {
            let name = &candidate.cluster.name;
            let min = division.min.get(name).copied().unwrap_or(0);
            Claim {
                cluster: name,
                weight: division.weight_of(candidate.cluster),
                // A cluster that a spread rule needs is worth nothing without a replica.
                min: if index < spread.needed {
                    min.max(1)
                } else {
                    min
                },
                max: division.max.get(name).copied(),
                room: room(candidate),
                current: candidate.holding.replicas.unwrap_or(0),
            }
        })
        .collect();
    let shares = replicas::divide(division.divide, total, &claims, &object.target);
    Ok(Attempt {
        picked: spread
            .picked
            .into_iter()
            .zip(shares.replicas.into_iter().map(Some))
            .collect(),
        left_out: spread.left_out,
        unplaced: shares.unplaced,
    })
}

/// How many replicas a cluster has room for: by what is known of the object there, and by the pods that it takes at all.
fn room(candidate: &Candidate<'_>) -> Option<i64> {
    let limits = [candidate.holding.room(), candidate.cluster.pods];
    limits.into_iter().flatten().min()
}

/// What spread rules leave of a group.
struct Spreading<'a> {
    /// In the order of picking.
    picked: Vec<Candidate<'a>>,
    /// How many of them, from the first, the minimums need.
    needed: usize,
    left_out: Vec<(Candidate<'a>, String)>,
}

fn spread<'a>(
    rules: &[Spread],
    group: &[Candidate<'a>],
    tokens: &str,
) -> Result<Spreading<'a>, Vec<(Candidate<'a>, String)>> {
    let mut left_out = Vec::new();
    if rules.is_empty() {
        return Ok(Spreading {
            picked: group.to_vec(),
            needed: 0,
            left_out,
        });
    }
    let mut rest = group.to_vec();
    for rule in rules.iter().filter(|rule| rule.by != Topology::Cluster) {
        let values = kept_values(rule, &rest, tokens);
        rest.retain(|candidate| match rule.by.of(candidate.cluster) {
            None => {
                left_out.push((*candidate, format!("has no {}", rule.by.word())));
                false
            }
            Some(value) if !values.contains(value) => {
                let message = format!(
                    "the {} {value} is not among the {} that placement.spread allows",
                    rule.by.word(),
                    values.len()
                );
                left_out.push((*candidate, message));
                false
            }
            Some(_) => true,
        });
    }
    rest.sort_by_cached_key(|candidate| {
        let room = room(candidate).map_or(i64::MIN, |room| -room);
        let hash = digest::fnv1a64(format!("{}{tokens}", candidate.cluster.name).as_bytes());
        (
            !candidate.holding.holds,
            room,
            hash,
            candidate.cluster.name.clone(),
        )
    });
    let (mut picked, missing) = cover(rules, &mut rest);
    let needed = picked.len();
    picked.append(&mut rest);
    let most = rules
        .iter()
        .find(|rule| rule.by == Topology::Cluster)
        .and_then(|rule| rule.max);
    if let Some(message) = missing.or_else(|| {
        most.filter(|most| *most < needed).map(|most| {
            format!(
                "placement.spread wants {needed} clusters to reach its minimums and allows {most}"
            )
        })
    }) {
        left_out.extend(
            picked
                .into_iter()
                .map(|candidate| (candidate, message.clone())),
        );
        return Err(left_out);
    }
    if let Some(most) = most
        && picked.len() > most
    {
        let message = format!("placement.spread allows {most} clusters, and others came first");
        let over = picked.split_off(most);
        left_out.extend(
            over.into_iter()
                .map(|candidate| (candidate, message.clone())),
        );
    }
    Ok(Spreading {
        picked,
        needed,
        left_out,
    })
}

/// The values that a rule's maximum leaves: those that hold the object first, then those with the most clusters, then by hash and name.
fn kept_values<'a>(rule: &Spread, rest: &[Candidate<'a>], tokens: &str) -> BTreeSet<&'a str> {
    let mut counted: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for candidate in rest {
        if let Some(value) = rule.by.of(candidate.cluster) {
            let (holding, all) = counted.entry(value).or_default();
            *holding += usize::from(candidate.holding.holds);
            *all += 1;
        }
    }
    let mut ranked: Vec<(&str, (usize, usize))> = counted.into_iter().collect();
    ranked.sort_by_cached_key(|(value, (holding, all))| {
        let hash = digest::fnv1a64(format!("{value}{tokens}").as_bytes());
        (std::cmp::Reverse((*holding, *all)), hash, *value)
    });
    ranked.truncate(rule.max.unwrap_or(usize::MAX));
    ranked.into_iter().map(|(value, _)| value).collect()
}

/// Takes clusters out of `rest` until every minimum is reached, each time the first of those that add the most missing values; and which
/// rule cannot be kept, where one cannot.
fn cover<'a>(
    rules: &[Spread],
    rest: &mut Vec<Candidate<'a>>,
) -> (Vec<Candidate<'a>>, Option<String>) {
    let mut seen: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); rules.len()];
    let mut picked = Vec::new();
    loop {
        let missing = |seen: &[BTreeSet<&str>]| {
            let open = rules.iter().zip(seen);
            open.into_iter()
                .position(|(rule, seen)| seen.len() < rule.min)
        };
        let Some(first_missing) = missing(&seen) else {
            return (picked, None);
        };
        let adds = |candidate: &Candidate<'a>| {
            let rules = rules.iter().zip(&seen);
            rules
                .filter(|(rule, seen)| {
                    seen.len() < rule.min
                        && rule
                            .by
                            .of(candidate.cluster)
                            .is_some_and(|value| !seen.contains(value))
                })
                .count()
        };
        let best = rest
            .iter()
            .enumerate()
            .map(|(index, candidate)| (std::cmp::Reverse(adds(candidate)), index))
            .min();
        let Some((std::cmp::Reverse(1..), index)) = best else {
            let rule = &rules[first_missing];
            let message = format!(
                "placement.spread wants {} different {}s, and there are {}",
                rule.min,
                rule.by.word(),
                seen[first_missing].len()
            );
            return (picked, Some(message));
        };
        let candidate = rest.remove(index);
        for (rule, seen) in rules.iter().zip(&mut seen) {
            seen.extend(rule.by.of(candidate.cluster));
        }
        picked.push(candidate);
    }
}

impl Choice {
    fn leave_out(
        &mut self,
        candidate: &Candidate<'_>,
        reason: Exclusion,
        message: impl Into<String>,
    ) {
        self.clusters.insert(
            candidate.cluster.name.clone(),
            Err((reason, Refusal::new("", message))),
        );
    }

    fn take(
        &mut self,
        attempt: Attempt<'_>,
        preferred: Option<usize>,
        total: i64,
        division: Option<&Division>,
    ) {
        for (candidate, message) in attempt.left_out {
            self.leave_out(&candidate, Exclusion::Spread, message);
        }
        for (candidate, replicas) in attempt.picked {
            if replicas == Some(0)
                && division.is_some_and(|division| division.divide != Divide::Duplicate)
            {
                let message = format!("division gives it none of the {total} replicas");
                self.leave_out(&candidate, Exclusion::ZeroReplicas, message);
                continue;
            }
            let mut reasons = Vec::new();
            if let Some(index) = preferred {
                reasons.push(format!(
                    "placement.preferences[{index}] is the first group that fits"
                ));
            }
            if let (Some(replicas), Some(division)) = (replicas, division) {
                reasons.push(share(division, replicas, total, &candidate));
            }
            self.clusters.insert(
                candidate.cluster.name.clone(),
                Ok(Picked { replicas, reasons }),
            );
        }
    }

    /// Whoever has no outcome yet is in no group that was looked at.
    fn leave_out_rest(&mut self, fit: &[Candidate<'_>], preferred: Option<usize>) {
        let message = preferred.map_or_else(
            || "in none of placement.preferences".to_owned(),
            |index| format!("not in placement.preferences[{index}], the group that was taken"),
        );
        for candidate in fit {
            if !self.clusters.contains_key(&candidate.cluster.name) {
                self.leave_out(candidate, Exclusion::NotSelected, message.clone());
            }
        }
    }
}

/// A share in words.
fn share(division: &Division, replicas: i64, total: i64, candidate: &Candidate<'_>) -> String {
    match division.divide {
        Divide::Duplicate => format!("all {total} replicas (spec.replicas.divide: duplicate)"),
        Divide::Weighted => format!(
            "{replicas} of {total} replicas by weight {}",
            division.weight_of(candidate.cluster)
        ),
        Divide::Available | Divide::Aggregated => {
            let room = match room(candidate) {
                Some(room) => format!("room for {room}"),
                None => "no limit known".to_owned(),
            };
            let way = if division.divide == Divide::Available {
                "by room"
            } else {
                "into few clusters"
            };
            format!("{replicas} of {total} replicas {way} ({room})")
        }
    }
}
