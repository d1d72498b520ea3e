//! KubeFed's planner for a ReplicaSchedulingPreference: the same numbers for the same input.
//!
//! Its steps and their quirks are kept: minimums are served in the order of weight and hash and may fail to be kept, a share is rounded up
//! so that the first in that order get the remainder, several at a time, and what exceeds a cluster's capacity is *placed* there all the
//! same as overflow.

use std::collections::BTreeMap;

use crate::model::ClusterName;

/// What is to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `namespace/name` of the preference: it breaks ties.
    pub key: String,
    /// How many replicas there are in all.
    pub total: i64,
    /// Whether replicas may be taken away where they are to keep the shares.
    pub rebalance: bool,
    /// By cluster, `*` for all others.
    pub wishes: BTreeMap<String, Wish>,
}

/// What is wished for one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// The fewest.
    pub min: i64,
    /// The most; none means no limit.
    pub max: Option<i64>,
    /// The weight.
    pub weight: i64,
}

impl Schedule {
    /// What is wished for `cluster`: its own entry, else that of `*`.
    pub fn wish(&self, cluster: &str) -> Option<Wish> {
        let own = self.wishes.get(cluster);
        own.or_else(|| self.wishes.get("*")).copied()
    }
}

/// What a cluster that is considered holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Member {
    /// Its ready replicas; none where the object is not there yet.
    pub current: Option<i64>,
    /// How many it could hold in all; none where that is not limited.
    pub capacity: Option<i64>,
}

/// What KubeFed writes for one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planned {
    /// By the plan.
    pub replicas: i64,
    /// Over the capacity, and placed all the same.
    pub overflow: i64,
}

impl Planned {
    /// What is written in the end.
    pub fn written(self) -> i64 {
        self.replicas.saturating_add(self.overflow)
    }
}

struct Candidate<'a> {
    cluster: &'a ClusterName,
    wish: Wish,
    member: Member,
    plan: i64,
    /// Kept where it is before anything is shared out, to be absorbed by the share.
    preallocated: i64,
    overflow: Option<i64>,
    is_in: bool,
}

/// FNV-1 with 32 bits, offset basis and prime as published: what KubeFed breaks ties by.
fn fnv1_32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(byte)
    })
}

/// Plans for all `members` that are considered; those without a wish get nothing.
pub fn plan(
    schedule: &Schedule,
    members: &BTreeMap<&ClusterName, Member>,
) -> BTreeMap<ClusterName, Planned> {
    let mut candidates: Vec<Candidate<'_>> = members
        .iter()
        .filter_map(|(cluster, member)| {
            Some(Candidate {
                wish: schedule.wish(cluster.as_str())?,
                cluster,
                member: *member,
                plan: 0,
                preallocated: 0,
                overflow: None,
                is_in: true,
            })
        })
        .collect();
    candidates.sort_by_cached_key(|candidate| {
        let hash = fnv1_32(&format!("{}{}", candidate.cluster, schedule.key));
        (
            std::cmp::Reverse(candidate.wish.weight),
            hash,
            candidate.cluster,
        )
    });

    let mut remaining = schedule.total;
    serve_minimums(&mut candidates, &mut remaining);
    if !schedule.rebalance {
        keep_what_is_there(&mut candidates, &mut remaining);
    }
    while remaining > 0 && share_out(&mut candidates, &mut remaining) {}

    let mut planned: BTreeMap<ClusterName, Planned> = members
        .keys()
        .map(|cluster| ((*cluster).clone(), Planned::default()))
        .collect();
    for candidate in candidates {
        let overflow = match (candidate.overflow, schedule.rebalance) {
            (None, _) => 0,
            (Some(overflow), true) => overflow,
            (Some(overflow), false) => overflow.min(remaining).max(0),
        };
        let replicas = candidate.plan;
        planned.insert(candidate.cluster.clone(), Planned { replicas, overflow });
    }
    planned
}

/// A maximum is not looked at here; a capacity below 0 makes a plan below 0 and the rest larger.
fn serve_minimums(candidates: &mut [Candidate<'_>], remaining: &mut i64) {
    for candidate in candidates {
        let least = candidate.wish.min.min(*remaining);
        candidate.plan = candidate
            .member
            .capacity
            .map_or(least, |capacity| least.min(capacity));
        *remaining = remaining.saturating_sub(candidate.plan);
    }
}

fn keep_what_is_there(candidates: &mut [Candidate<'_>], remaining: &mut i64) {
    for candidate in candidates {
        let Some(current) = candidate
            .member
            .current
            .filter(|current| *current > candidate.plan)
        else {
            continue;
        };
        let limits = [candidate.wish.max, candidate.member.capacity];
        let target = limits.into_iter().flatten().fold(current, i64::min);
        let extra = target.saturating_sub(candidate.plan).min(*remaining).max(0);
        candidate.plan += extra;
        candidate.preallocated = extra;
        *remaining -= extra;
    }
}

/// One round over the clusters that are still in; whether anything changed.
fn share_out(candidates: &mut [Candidate<'_>], remaining: &mut i64) -> bool {
    let weights = candidates.iter().filter(|candidate| candidate.is_in);
    let sum: i128 = weights
        .map(|candidate| i128::from(candidate.wish.weight))
        .sum();
    if sum <= 0 {
        return false;
    }
    let to_share = i128::from(*remaining);
    let mut changed = false;
    for candidate in candidates.iter_mut().filter(|candidate| candidate.is_in) {
        let due = (to_share * i128::from(candidate.wish.weight) + sum - 1) / sum;
        let due = i64::try_from(due).unwrap_or(i64::MAX).min(*remaining);
        let absorbed = due.min(candidate.preallocated);
        candidate.preallocated -= absorbed;
        changed |= absorbed > 0;

        let before = candidate.plan;
        let mut total = before.saturating_add(due - absorbed);
        if let Some(max) = candidate.wish.max.filter(|max| total > *max) {
            total = max;
            candidate.is_in = false;
        }
        if let Some(capacity) = candidate
            .member
            .capacity
            .filter(|capacity| total > *capacity)
        {
            candidate.overflow = Some(total.saturating_sub(capacity));
            total = capacity;
            candidate.is_in = false;
        }
        candidate.plan = total;
        *remaining = remaining.saturating_sub(total.saturating_sub(before));
        changed |= total > before;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, Option<i64>, Option<i64>);

    /// Plans `total` for `clusters` (name, current, capacity) by `wishes` (name, min, max, weight); the written numbers by name.
    fn written(
        total: i64,
        rebalance: bool,
        wishes: &[(&str, i64, Option<i64>, i64)],
        clusters: &[Row],
    ) -> Vec<(i64, i64)> {
        let wishes = wishes.iter().map(|(name, min, max, weight)| {
            let (min, max, weight) = (*min, *max, *weight);
            ((*name).to_owned(), Wish { min, max, weight })
        });
        let schedule = Schedule {
            key: "shop/web".to_owned(),
            total,
            rebalance,
            wishes: wishes.collect(),
        };
        let names: Vec<ClusterName> = clusters
            .iter()
            .map(|(name, ..)| ClusterName::parse(name).expect("valid"))
            .collect();
        let members = names
            .iter()
            .zip(clusters)
            .map(|(name, (_, current, capacity))| {
                (
                    name,
                    Member {
                        current: *current,
                        capacity: *capacity,
                    },
                )
            })
            .collect();
        plan(&schedule, &members)
            .into_values()
            .map(|planned| (planned.replicas, planned.overflow))
            .collect()
    }

    const NEW: [Row; 3] = [("a", None, None), ("b", None, None), ("c", None, None)];

    #[test]
    fn the_published_vectors_of_the_hash_hold() {
        for (text, hash) in [
            ("", 0x811c_9dc5),
            ("a", 0x050c_5d7e),
            ("foobar", 0x31f0_b262),
        ] {
            assert_eq!(fnv1_32(text), hash, "{text:?}");
        }
    }

    /// Shows the planner's published unit cases whose numbers do not hang on the order of hashes.
    #[test]
    fn the_numbers_are_kubefeds() {
        let one = [("*", 0, None, 1)];
        for (what, total, rebalance, wishes, clusters, expected) in [
            (
                "equal",
                50,
                true,
                &one[..],
                &NEW[..2],
                vec![(25, 0), (25, 0)],
            ),
            (
                "by weight",
                60,
                true,
                &[("a", 0, None, 1), ("b", 0, None, 2)],
                &NEW,
                vec![(20, 0), (40, 0), (0, 0)],
            ),
            (
                "nobody is wished for",
                50,
                true,
                &[("z", 0, None, 1)],
                &NEW[..1],
                vec![(0, 0)],
            ),
            (
                "max",
                50,
                true,
                &[("a", 0, Some(10), 1), ("b", 0, None, 1)],
                &NEW[..2],
                vec![(10, 0), (40, 0)],
            ),
            (
                "all full",
                50,
                true,
                &[("*", 0, Some(10), 1)],
                &NEW,
                vec![(10, 0), (10, 0), (10, 0)],
            ),
            (
                "weight 0 gets its minimum",
                50,
                true,
                &[("a", 10, None, 0), ("b", 0, None, 1)],
                &NEW[..2],
                vec![(10, 0), (40, 0)],
            ),
            (
                "capacity overflows and is placed",
                50,
                true,
                &one,
                &[("a", None, Some(10))],
                vec![(10, 40)],
            ),
            (
                "what fits elsewhere does not overflow without rebalance",
                60,
                false,
                &one,
                &[("a", None, Some(10)), ("b", None, None)],
                vec![(10, 0), (50, 0)],
            ),
            (
                "what fits elsewhere overflows with rebalance",
                60,
                true,
                &one,
                &[("a", None, Some(10)), ("b", None, None)],
                vec![(10, 20), (50, 0)],
            ),
            (
                "what is there is kept up to the fair share",
                50,
                false,
                &one,
                &[("a", Some(30), None), ("b", Some(20), None)],
                vec![(30, 0), (20, 0)],
            ),
            (
                "rebalance does not look at what is there",
                50,
                true,
                &one,
                &[("a", Some(30), None), ("b", Some(20), None)],
                vec![(25, 0), (25, 0)],
            ),
            (
                "a negative capacity",
                10,
                true,
                &one,
                &[("a", None, Some(-2)), ("b", None, None)],
                vec![(-2, 6), (12, 0)],
            ),
            (
                "nothing",
                0,
                false,
                &one,
                &NEW,
                vec![(0, 0), (0, 0), (0, 0)],
            ),
        ] {
            assert_eq!(
                written(total, rebalance, wishes, clusters),
                expected,
                "{what}"
            );
        }
    }

    /// Shows that the remainder goes several at a time to the first by hash: three clusters, ten replicas, 4 + 4 + 2.
    #[test]
    fn the_first_by_hash_get_the_remainder() {
        let mut shares = written(10, true, &[("*", 0, None, 1)], &NEW);
        let key = |name: &str| fnv1_32(&format!("{name}shop/web"));
        let last = ["a", "b", "c"].into_iter().max_by_key(|name| key(name));
        let index = ["a", "b", "c"]
            .iter()
            .position(|name| Some(*name) == last)
            .expect("one of them");
        assert_eq!(shares.remove(index), (2, 0));
        assert_eq!(shares, [(4, 0), (4, 0)]);
    }
}
