//! How many replicas each cluster gets: one module for all dialects.
//!
//! | way | file |
//! |---|---|
//! | by weights with minimums and maximums, largest remainder | [`apportion`] |
//! | by room, and into few clusters, with as little movement as that allows | [`sticky`] |
//! | KubeFed's ReplicaSchedulingPreference: its own numbers | [`kubefed`] |
//!
//! What holds for the native ways, whatever comes in:
//!
//! - the shares and what is unplaced add up to the total, and no share is negative or over its cluster's maximum or room;
//! - a minimum is kept as far as the total and the room go, the heavier cluster first;
//! - the same input gives the same shares, in whatever order the clusters come.
//!
//! A new way is a variant of [`Divide`], an arm in [`divide`] and a file.

pub mod apportion;
pub mod kubefed;
pub mod sticky;
#[cfg(test)]
mod tests;

use crate::digest;
use crate::model::{ClusterName, Divide, ObjectKey};

/// What one cluster brings to a division.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// Its weight, not negative; looked at where division is by weights.
    pub weight: i64,
    /// The fewest that it should have.
    pub min: i64,
    /// The most that it may have.
    pub max: Option<i64>,
    /// How many it has room for in all, what it holds included; none where no limit is known.
    pub room: Option<i64>,
    /// How many it holds now.
    pub current: i64,
}

/// The outcome of a division.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// By claim.
    pub replicas: Vec<i64>,
    /// For how many there is no place.
    pub unplaced: i64,
}

/// Divides `total` replicas of `object` among `claims`.
pub fn divide(way: Divide, total: i64, claims: &[Claim<'_>], object: &ObjectKey) -> Shares {
    let total = total.max(0);
    let order = order(claims, object);
    let replicas = match way {
        Divide::Duplicate => {
            return Shares {
                replicas: vec![total; claims.len()],
                unplaced: if claims.is_empty() { total } else { 0 },
            };
        }
        Divide::Weighted => apportion::by_weight(total, claims, &order),
        Divide::Available => sticky::by_room(total, claims, &order),
        Divide::Aggregated => sticky::into_few(total, claims, &order),
    };
    let unplaced = total - replicas.iter().sum::<i64>();
    Shares { replicas, unplaced }
}

/// Each claim's place in the order that breaks ties: FNV-1a-64 of the cluster's name followed by the object's tokens, then the name.
pub fn order(claims: &[Claim<'_>], object: &ObjectKey) -> Vec<usize> {
    let tokens = object.tokens();
    let hash = |cluster: &ClusterName| digest::fnv1a64(format!("{cluster}{tokens}").as_bytes());
    let mut by_hash: Vec<(u64, &ClusterName, usize)> = claims
        .iter()
        .enumerate()
        .map(|(index, claim)| (hash(claim.cluster), claim.cluster, index))
        .collect();
    by_hash.sort_unstable();
    let mut places = vec![0; claims.len()];
    for (place, (_, _, index)) in by_hash.into_iter().enumerate() {
        places[index] = place;
    }
    places
}

impl Claim<'_> {
    /// The most that it can have of `total`, by its maximum and its room.
    fn most(&self, total: i64) -> i64 {
        let limits = [self.max, self.room].into_iter().flatten();
        limits.fold(total, i64::min).max(0)
    }

    /// The fewest that it should have: its minimum as far as `most` allows.
    fn fewest(&self, most: i64) -> i64 {
        self.min.clamp(0, most)
    }
}
