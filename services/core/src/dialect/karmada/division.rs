//! How replicas are divided among the clusters that were selected: Karmada's numbers, remainders and ties included.
//!
//! Every division ends in Webster's method (Sainte-Laguë): one replica at a time to the highest weight / (2·given + 1), in the
//! floating-point numbers that Karmada uses. The total is conserved, or the division is refused and nothing changes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use crate::model::ClusterName;

/// How replicas are shared: how many each cluster gets; clusters that get none are absent.
pub(super) type Shares = BTreeMap<ClusterName, i64>;

/// Which of two clusters with equal claims gets a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ties {
    /// The one with the smaller name.
    Ascending,
    /// The one with the greater name.
    Descending,
}

impl Ties {
    /// The order that an object's UID gives: ascending where it is empty or its FNV-1a-32 is even, else descending.
    pub(super) fn of(uid: &str) -> Self {
        if uid.is_empty() || fnv1a32(uid.as_bytes()).is_multiple_of(2) {
            Self::Ascending
        } else {
            Self::Descending
        }
    }
}

/// FNV-1a with 32 bits (draft-eastlake-fnv, section 5).
fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// A cluster's claim to the next replica.
#[derive(Debug)]
struct Claim<'a> {
    name: &'a ClusterName,
    weight: i64,
    given: i64,
    ties: Ties,
}

impl Claim<'_> {
    #[allow(
        clippy::cast_precision_loss,
        reason = "Karmada divides in float64; equal numbers come from equal rounding"
    )]
    fn priority(&self) -> f64 {
        self.weight as f64 / (2 * self.given + 1) as f64
    }
}

impl Ord for Claim<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority()
            .total_cmp(&other.priority())
            .then_with(|| other.given.cmp(&self.given))
            .then_with(|| match self.ties {
                Ties::Ascending => other.name.cmp(self.name),
                Ties::Descending => self.name.cmp(other.name),
            })
    }
}

impl PartialOrd for Claim<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Claim<'_> {}

/// Divides `total` by `weights` with Webster's method; nothing where there is no cluster.
pub(super) fn webster(total: i64, weights: &[(ClusterName, i64)], ties: Ties) -> Shares {
    let certain = certain_per_weight(total, weights);
    let mut claims: BinaryHeap<Claim<'_>> = weights
        .iter()
        .map(|(name, weight)| Claim {
            name,
            weight: *weight,
            given: head_start(*weight, certain),
            ties,
        })
        .collect();
    let mut left = total - claims.iter().map(|claim| claim.given).sum::<i64>();
    while left > 0 {
        let Some(mut first) = claims.peek_mut() else {
            break;
        };
        first.given += 1;
        left -= 1;
    }
    claims
        .into_iter()
        .filter(|claim| claim.given > 0)
        .map(|claim| (claim.name.clone(), claim.given))
        .collect()
}

/// How many replicas one unit of weight gets almost for certain, so that a large total need not be given one by one; 0 where the total
/// is quickly given.
///
/// Replica k of a weight w has priority w / (2k − 1). Above the threshold t = W / (2·total − n) lie at most `total` of them, since
/// Σ (w/t + 1) / 2 = total; those are given in any order. Returned is 1/t.
#[allow(
    clippy::cast_precision_loss,
    reason = "an estimate, which head_start takes from below"
)]
fn certain_per_weight(total: i64, weights: &[(ClusterName, i64)]) -> f64 {
    let count = weights.len() as f64;
    let sum: f64 = weights.iter().map(|(_, weight)| *weight as f64).sum();
    let steps = 2.0 * total as f64 - count;
    if sum <= 0.0 || steps <= 2.0 * count {
        0.0
    } else {
        steps / sum
    }
}

/// How many replicas a weight gets at once; one less than is certain guards against rounding.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "an estimate from below, with a margin"
)]
fn head_start(weight: i64, certain_per_weight: f64) -> i64 {
    let certain = (weight as f64 * certain_per_weight + 1.0) / 2.0;
    (certain.floor() as i64 - 1).max(0)
}

/// Divides by weights that the policy gives; what was there before and what the clusters can take play no part.
///
/// A weight of 0 drops a cluster; where all are dropped, all count alike.
pub(super) fn by_weight(total: i64, weights: &[(ClusterName, i64)], ties: Ties) -> Shares {
    let mut positive: Vec<_> = weights
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .cloned()
        .collect();
    if positive.is_empty() {
        positive = weights.iter().map(|(name, _)| (name.clone(), 1)).collect();
    }
    webster(total, &positive, ties)
}

/// A cluster to divide among, in the order of selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) name: ClusterName,
    /// The overflow tier it belongs to: a tier is filled before the next one gets anything.
    pub(super) tier: usize,
    /// How many more it could take.
    pub(super) available: i64,
    /// How many it has already.
    pub(super) assigned: i64,
}

/// There is not room for all replicas: nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom {
    /// How many there would be room for, among what had to be placed anew.
    pub(super) available: i64,
    /// How many had to be placed anew.
    pub(super) wanted: i64,
}

/// Divides by what the clusters can take, keeping what is there: only a difference is placed or taken away.
///
/// `few` puts them into as few clusters as possible (Aggregated), else by weight (DynamicWeight).
pub(super) fn by_room(total: i64, rooms: &[Room], few: bool, ties: Ties) -> Result<Shares, NoRoom> {
    let tiers = rooms.iter().map(|room| room.tier).max().unwrap_or(0);
    if tiers == 0 {
        return steadily(total, rooms, few, ties);
    }
    let mut shares = Shares::new();
    let mut left = total;
    for tier in 0..=tiers {
        let rooms: Vec<_> = rooms
            .iter()
            .filter(|room| room.tier == tier)
            .cloned()
            .collect();
        let room: i64 = rooms.iter().fold(0, |sum, room| {
            sum.saturating_add(room.available.saturating_add(room.assigned))
        });
        let part = left.min(room);
        shares.extend(steadily(part, &rooms, few, ties)?);
        left -= part;
    }
    if left > 0 {
        return Err(NoRoom {
            available: total - left,
            wanted: total,
        });
    }
    Ok(shares)
}

fn steadily(total: i64, rooms: &[Room], few: bool, ties: Ties) -> Result<Shares, NoRoom> {
    let assigned: Shares = rooms
        .iter()
        .filter(|room| room.assigned > 0)
        .map(|room| (room.name.clone(), room.assigned))
        .collect();
    let sum: i64 = assigned.values().sum();
    match sum.cmp(&total) {
        Ordering::Equal => Ok(assigned),
        Ordering::Greater => {
            let mut weights: Vec<_> = assigned.into_iter().collect();
            if few {
                weights.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                shorten(&mut weights, total);
            }
            Ok(webster(total, &weights, ties))
        }
        Ordering::Less => {
            let wanted = total - sum;
            let mut weights: Vec<_> = rooms
                .iter()
                .map(|room| (room.name.clone(), room.available))
                .collect();
            let available = weights
                .iter()
                .fold(0_i64, |sum, (_, room)| sum.saturating_add(*room));
            if available < wanted {
                return Err(NoRoom { available, wanted });
            }
            if few {
                weights.sort_by_key(|(name, room)| {
                    (!assigned.contains_key(name), std::cmp::Reverse(*room))
                });
                shorten(&mut weights, wanted);
            }
            let mut shares = assigned;
            for (name, more) in webster(wanted, &weights, ties) {
                *shares.entry(name).or_default() += more;
            }
            Ok(shares)
        }
    }
}

/// Cuts `weights` to the shortest beginning that has room for `wanted`.
fn shorten(weights: &mut Vec<(ClusterName, i64)>, wanted: i64) {
    let mut sum = 0_i64;
    let enough = weights.iter().position(|(_, room)| {
        sum = sum.saturating_add(*room);
        sum >= wanted
    });
    if let Some(last) = enough {
        weights.truncate(last + 1);
    }
}

#[cfg(test)]
mod tests;
