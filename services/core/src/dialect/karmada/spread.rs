//! Which of the feasible clusters are taken: spread constraints by cluster and by region, with Karmada's scores and choices.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::ClusterName;

use super::policy::{SpreadBy, SpreadConstraint};

/// A feasible cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: ClusterName,
    pub(super) region: Option<String>,
    /// The overflow tier it belongs to.
    pub(super) tier: usize,
    /// 100 where the object is already, else 0.
    pub(super) score: i64,
    /// How many more replicas it could take.
    pub(super) available: i64,
    /// How many replicas of the object it has.
    pub(super) assigned: i64,
}

impl Candidate {
    fn room(&self) -> i64 {
        self.available.saturating_add(self.assigned)
    }
}

/// Why no clusters can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoSpread {
    /// There are not enough groups, or the constraint is one that Karmada does not carry out.
    Groups(String),
    /// There is not enough room in any choice.
    Room(String),
}

/// What is spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Replicas in all, or in each cluster where they are duplicated.
    pub(super) replicas: i64,
    /// Whether they are divided.
    pub(super) divided: bool,
}

/// Orders candidates as Karmada does: overflow tier, score, room, name.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| {
        let rank = |c: &Candidate| (c.tier, Reverse(c.score), Reverse(c.room()));
        rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
    });
}

/// Selects among `candidates` (sorted) under `constraints`; the order is kept where it matters to the division.
pub(super) fn select(
    constraints: &[SpreadConstraint],
    candidates: Vec<Candidate>,
    demand: Demand,
) -> Result<Vec<Candidate>, NoSpread> {
    // Of two constraints by the same field the last one counts.
    let by = |wanted: &SpreadBy| constraints.iter().rev().find(|c| c.by == *wanted);
    match (by(&SpreadBy::Region), by(&SpreadBy::Cluster)) {
        _ if constraints.is_empty() => Ok(candidates),
        (Some(region), cluster) => by_region(region, cluster, candidates, demand),
        (None, Some(cluster)) => by_cluster(cluster, candidates, demand),
        (None, None) => Err(NoSpread::Groups(
            "Karmada carries out spread constraints by cluster and region only".to_owned(),
        )),
    }
}

fn by_cluster(
    constraint: &SpreadConstraint,
    mut candidates: Vec<Candidate>,
    demand: Demand,
) -> Result<Vec<Candidate>, NoSpread> {
    if candidates.len() < constraint.min {
        return Err(NoSpread::Groups(format!(
            "spread by cluster wants at least {} clusters, {} would do",
            constraint.min,
            candidates.len()
        )));
    }
    let count = candidates.len().min(constraint.max);
    if count == 0 {
        return Err(NoSpread::Groups(
            "spread by cluster has no maxGroups, which Karmada reads as no cluster at all"
                .to_owned(),
        ));
    }
    let mut rest = candidates.split_off(count);
    if demand.divided && !swap_in_room(&mut candidates, &mut rest, demand.replicas) {
        return Err(NoSpread::Room(format!(
            "no {count} clusters have room for {} replicas together",
            demand.replicas
        )));
    }
    Ok(candidates)
}

/// From the last selected cluster to the first, exchanges it for the one with the most room that was not selected, until the room
/// is enough; tells whether it became so.
fn swap_in_room(selected: &mut [Candidate], rest: &mut [Candidate], replicas: i64) -> bool {
    let enough = |selected: &[Candidate]| {
        selected
            .iter()
            .fold(0_i64, |sum, c| sum.saturating_add(c.room()))
            >= replicas
    };
    for index in (0..selected.len()).rev() {
        if enough(selected) {
            return true;
        }
        // The first of those with the most room, as a scan with a strict comparison finds it.
        let roomiest = rest
            .iter_mut()
            .reduce(|best, next| {
                if next.room() > best.room() {
                    next
                } else {
                    best
                }
            })
            .filter(|best| best.room() > selected[index].room());
        if let Some(better) = roomiest {
            std::mem::swap(&mut selected[index], better);
        }
    }
    enough(selected)
}

/// A region with its clusters in the order of preference.
#[derive(Debug)]
struct Region {
    name: String,
    clusters: Vec<Candidate>,
    score: i64,
}

fn by_region(
    region: &SpreadConstraint,
    cluster: Option<&SpreadConstraint>,
    candidates: Vec<Candidate>,
    demand: Demand,
) -> Result<Vec<Candidate>, NoSpread> {
    let (min_clusters, max_clusters) = cluster.map_or((0, 0), |c| (c.min, c.max));
    let mut grouped: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates {
        if let Some(name) = candidate.region.clone() {
            grouped.entry(name).or_default().push(candidate);
        }
    }
    if grouped.len() < region.min {
        return Err(NoSpread::Groups(format!(
            "spread by region wants at least {} regions, {} would do",
            region.min,
            grouped.len()
        )));
    }
    let mut regions: Vec<Region> = grouped
        .into_iter()
        .map(|(name, clusters)| Region {
            score: score(&clusters, demand, region.min, min_clusters),
            name,
            clusters,
        })
        .collect();
    regions.sort_by(|a, b| {
        let rank = |r: &Region| (r.clusters.len(), Reverse(r.score));
        rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
    });
    let chosen = best_combination(&regions, region, min_clusters).ok_or_else(|| {
        NoSpread::Groups(format!(
            "no {} to {} regions have {min_clusters} clusters together",
            region.min, region.max
        ))
    })?;

    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for index in chosen {
        let mut clusters = regions[index].clusters.iter().cloned();
        selected.extend(clusters.next());
        rest.extend(clusters);
    }
    sort(&mut rest);
    rest.truncate(max_clusters.saturating_sub(selected.len()));
    selected.extend(rest);
    Ok(selected)
}

/// How good a region is: first by what it can take, in thousands, then by the mean score of the clusters that count.
fn score(clusters: &[Candidate], demand: Demand, min_regions: usize, min_clusters: usize) -> i64 {
    const UNIT: i64 = 1000;
    let mean = |sum: i64, count: usize| sum / i64::try_from(count).unwrap_or(i64::MAX).max(1);
    if !demand.divided {
        let fit: Vec<_> = clusters
            .iter()
            .filter(|c| c.room() >= demand.replicas)
            .collect();
        let count = i64::try_from(fit.len()).unwrap_or(i64::MAX);
        return count * UNIT + mean(fit.iter().map(|c| c.score).sum(), fit.len());
    }
    let regions = i64::try_from(min_regions).unwrap_or(i64::MAX).max(1);
    let target = demand.replicas / regions + i64::from(demand.replicas % regions != 0);
    let (mut room, mut sum, mut count) = (0_i64, 0, 0);
    for candidate in clusters {
        room = room.saturating_add(candidate.room());
        sum += candidate.score;
        count += 1;
        if count >= min_clusters.max(min_regions) && room >= target {
            break;
        }
    }
    room.min(target).saturating_mul(UNIT) + mean(sum, count)
}

/// How many combinations are looked at before the best so far is taken. Karmada looks at all, which no fleet outlives that has
/// hundreds of regions.
const COMBINATIONS: usize = 1_000_000;

/// The best combination of `regions` (sorted by clusters, score, name), as indexes in the order of score.
///
/// Depth first; a path ends as soon as it has `min_clusters` and enough regions. The best has the highest summed score, then the most
/// clusters, then came first; the shortest of its beginnings that is itself such a path is taken instead.
fn best_combination(
    regions: &[Region],
    constraint: &SpreadConstraint,
    min_clusters: usize,
) -> Option<Vec<usize>> {
    let mut search = Search {
        regions,
        constraint,
        min_clusters,
        path: Vec::new(),
        best: None,
        left: COMBINATIONS,
    };
    search.descend(0, 0);
    let (_, mut best) = search.best?;
    best.sort_by(|a, b| {
        let (a, b) = (&regions[*a], &regions[*b]);
        b.score.cmp(&a.score).then_with(|| a.name.cmp(&b.name))
    });
    let shortest = (1..best.len()).find(|length| {
        let mut path = best[..*length].to_vec();
        path.sort_unstable();
        ends_here(regions, constraint, min_clusters, &path)
    });
    best.truncate(shortest.unwrap_or(best.len()));
    Some(best)
}

/// Whether the search stops at `path` (in the order of the search) and not before it.
fn ends_here(
    regions: &[Region],
    constraint: &SpreadConstraint,
    min_clusters: usize,
    path: &[usize],
) -> bool {
    let fits = |path: &[usize]| {
        let clusters: usize = path
            .iter()
            .map(|index| regions[*index].clusters.len())
            .sum();
        clusters >= min_clusters && (constraint.min..=constraint.max).contains(&path.len())
    };
    fits(path) && !(0..path.len()).any(|length| fits(&path[..length]))
}

struct Search<'a> {
    regions: &'a [Region],
    constraint: &'a SpreadConstraint,
    min_clusters: usize,
    path: Vec<usize>,
    /// Summed score and clusters, and the path.
    best: Option<((i64, usize), Vec<usize>)>,
    left: usize,
}

impl Search<'_> {
    fn descend(&mut self, clusters: usize, from: usize) {
        let length = self.path.len();
        if clusters >= self.min_clusters
            && (self.constraint.min..=self.constraint.max).contains(&length)
        {
            let score = self
                .path
                .iter()
                .map(|index| self.regions[*index].score)
                .sum();
            let rank = (score, clusters);
            if self.best.as_ref().is_none_or(|(best, _)| rank > *best) {
                self.best = Some((rank, self.path.clone()));
            }
            return;
        }
        if length >= self.constraint.max {
            return;
        }
        for index in from..self.regions.len() {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            self.path.push(index);
            self.descend(clusters + self.regions[index].clusters.len(), index + 1);
            self.path.pop();
        }
    }
}

#[cfg(test)]
mod tests;
