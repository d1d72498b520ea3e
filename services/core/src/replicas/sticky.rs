//! By room, and into few clusters: what is there stays as far as total and bounds allow, and only the difference moves.
//!
//! More than is there: nobody loses, the difference goes where there is room. Less than is there: nobody gains.

use super::Claim;
use super::apportion::{Share, within_bounds};

/// What a claim holds and may hold, within its bounds.
struct Held {
    fewest: i64,
    most: i64,
    current: i64,
    /// Whether a room is known at all.
    is_known: bool,
    order: usize,
}

fn held(total: i64, claims: &[Claim<'_>], order: &[usize]) -> Vec<Held> {
    claims
        .iter()
        .zip(order)
        .map(|(claim, order)| {
            // What is there and what there is room for count even above the total: they are what is scaled.
            let most = claim.most(claim.room.unwrap_or(0).max(total).max(claim.current));
            let fewest = claim.fewest(most);
            Held {
                fewest,
                most,
                current: claim.current.clamp(fewest, most),
                is_known: claim.room.is_some(),
                order: *order,
            }
        })
        .collect()
}

/// Too few for more than the minimums: what is there of them stays, then who holds the most comes first. None where there are enough.
fn serve_minimums(total: i64, claims: &[Claim<'_>], held: &[Held]) -> Option<Vec<i64>> {
    if held.iter().map(|held| held.fewest).sum::<i64>() < total {
        return None;
    }
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_unstable_by_key(|index| (-claims[*index].current, held[*index].order));
    let mut parts = vec![0; held.len()];
    let mut left = total;
    for goal in [
        |held: &Held, claim: &Claim<'_>| held.fewest.min(claim.current.max(0)),
        |held: &Held, _: &Claim<'_>| held.fewest,
    ] {
        for index in &order {
            let more = left
                .min(goal(&held[*index], &claims[*index]) - parts[*index])
                .max(0);
            parts[*index] += more;
            left -= more;
        }
    }
    Some(parts)
}

/// More goes to the clusters in proportion to the room that is left, less is taken in proportion to what is there.
pub(super) fn by_room(total: i64, claims: &[Claim<'_>], order: &[usize]) -> Vec<i64> {
    let held = held(total, claims, order);
    if let Some(parts) = serve_minimums(total, claims, &held) {
        return parts;
    }
    let there: i64 = held.iter().map(|held| held.current).sum();
    if there >= total {
        let shares: Vec<Share> = held
            .iter()
            .map(|held| Share {
                weight: held.current,
                fewest: held.fewest,
                most: held.current,
                current: held.current,
                order: held.order,
            })
            .collect();
        return within_bounds(total, &shares);
    }
    let more = total - there;
    let left = |held: &Held| held.most - held.current;
    // Where no limit is known there is as much room as anywhere, and enough.
    let known = held.iter().filter(|held| held.is_known).map(left);
    let roomiest = known.max().unwrap_or(0).max(more);
    let shares: Vec<Share> = held
        .iter()
        .map(|held| Share {
            weight: match (held.is_known, left(held)) {
                (_, 0) => 0,
                (true, left) => left,
                (false, _) => roomiest,
            },
            fewest: 0,
            most: left(held).min(more),
            current: held.current,
            order: held.order,
        })
        .collect();
    let parts = within_bounds(more, &shares);
    held.iter()
        .zip(parts)
        .map(|(held, part)| held.current + part)
        .collect()
}

/// More fills up the clusters that hold some, then the roomiest others; less empties the smallest holders first.
pub(super) fn into_few(total: i64, claims: &[Claim<'_>], order: &[usize]) -> Vec<i64> {
    let held = held(total, claims, order);
    if let Some(parts) = serve_minimums(total, claims, &held) {
        return parts;
    }
    let there: i64 = held.iter().map(|held| held.current).sum();
    let mut parts: Vec<i64> = held.iter().map(|held| held.current).collect();
    let mut by_size: Vec<usize> = (0..held.len()).collect();
    if there >= total {
        by_size.sort_unstable_by_key(|index| (parts[*index], held[*index].order));
        let mut over = there - total;
        for index in by_size {
            let gone = over.min(parts[index] - held[index].fewest);
            parts[index] -= gone;
            over -= gone;
        }
        return parts;
    }
    let mut left = total - there;
    by_size.sort_unstable_by_key(|index| {
        let held = &held[*index];
        (
            held.current == 0,
            -(held.most - held.current),
            held.is_known,
            held.order,
        )
    });
    for index in by_size {
        let more = left.min(held[index].most - held[index].current);
        parts[index] += more;
        left -= more;
    }
    parts
}
