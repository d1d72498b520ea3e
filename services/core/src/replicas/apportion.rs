//! By weight, within bounds, to the largest remainder.
//!
//! Each cluster is due its weight's part of the total. Who is due less than its minimum gets the minimum, who is due more than its maximum
//! gets the maximum, and the others share what is left by weight, until nobody is out of bounds (the way CSS resolves flexible lengths:
//! in each round the kind of violation that weighs more is settled). Whole numbers come by largest remainder.

use super::Claim;

/// One share to be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) weight: i64,
    pub(super) fewest: i64,
    pub(super) most: i64,
    /// Breaks ties of the remainder; the least first.
    pub(super) current: i64,
    pub(super) order: usize,
}

/// Divides by the claims' weights. Room is not looked at: weights are a will, not an estimate.
pub(super) fn by_weight(total: i64, claims: &[Claim<'_>], order: &[usize]) -> Vec<i64> {
    let shares: Vec<Share> = claims
        .iter()
        .zip(order)
        .map(|(claim, order)| {
            let most = Claim {
                room: None,
                ..claim.clone()
            }
            .most(total);
            Share {
                weight: claim.weight,
                fewest: claim.fewest(most),
                most,
                current: claim.current,
                order: *order,
            }
        })
        .collect();
    within_bounds(total, &shares)
}

/// Divides `total` by weight within bounds; what nobody may have stays over.
pub(super) fn within_bounds(total: i64, shares: &[Share]) -> Vec<i64> {
    // Who weighs nothing gets its minimum and no more.
    let most = |share: &Share| {
        if share.weight > 0 {
            share.most
        } else {
            share.fewest
        }
    };
    if shares.iter().map(|share| share.fewest).sum::<i64>() >= total {
        return serve_minimums(total, shares);
    }
    if shares.iter().map(most).sum::<i64>() <= total {
        return shares.iter().map(most).collect();
    }
    let mut parts: Vec<i64> = shares.iter().map(|share| share.fewest).collect();
    let mut open: Vec<usize> = (0..shares.len())
        .filter(|index| shares[*index].weight > 0)
        .collect();
    let mut left = total
        - (0..shares.len())
            .filter(|index| shares[*index].weight <= 0)
            .map(|index| parts[index])
            .sum::<i64>();
    loop {
        let weight: i128 = open
            .iter()
            .map(|index| i128::from(shares[*index].weight))
            .sum();
        // What a cluster is due and its bounds, all times the sum of weights, so that they stay whole.
        let due = |index: usize| i128::from(left) * i128::from(shares[index].weight);
        let lacks = |index: usize| (i128::from(shares[index].fewest) * weight - due(index)).max(0);
        let exceeds = |index: usize| (due(index) - i128::from(shares[index].most) * weight).max(0);
        let lacking: i128 = open.iter().map(|index| lacks(*index)).sum();
        let exceeding: i128 = open.iter().map(|index| exceeds(*index)).sum();
        if lacking == 0 && exceeding == 0 {
            break;
        }
        let settle = |index: usize| {
            if lacking >= exceeding && lacks(index) > 0 {
                Some(shares[index].fewest)
            } else if exceeding >= lacking && exceeds(index) > 0 {
                Some(shares[index].most)
            } else {
                None
            }
        };
        let settled: Vec<Option<i64>> = open.iter().map(|index| settle(*index)).collect();
        let mut still_open = Vec::with_capacity(open.len());
        for (index, settled) in open.into_iter().zip(settled) {
            match settled {
                Some(part) => {
                    parts[index] = part;
                    left -= part;
                }
                None => still_open.push(index),
            }
        }
        open = still_open;
    }
    round(left, shares, &open, &mut parts);
    parts
}

/// Whole parts first, then one more for the largest remainders; among equal ones for who holds more than its whole part, then for who
/// holds any, then by order.
fn round(left: i64, shares: &[Share], open: &[usize], parts: &mut [i64]) {
    let weight: i128 = open
        .iter()
        .map(|index| i128::from(shares[*index].weight))
        .sum();
    if weight == 0 {
        return;
    }
    let mut rest = left;
    let mut remainders = Vec::with_capacity(open.len());
    for index in open {
        let share = &shares[*index];
        let due = i128::from(left) * i128::from(share.weight);
        let whole = i64::try_from(due / weight).expect("a part is not more than the whole");
        parts[*index] = whole;
        rest -= whole;
        let keeps = (share.current <= whole, share.current <= 0);
        remainders.push((-(due % weight), keeps, share.order, *index));
    }
    remainders.sort_unstable();
    let one_more = usize::try_from(rest).unwrap_or(0);
    for (_, _, _, index) in remainders.into_iter().take(one_more) {
        parts[index] += 1;
    }
}

/// Too few for all minimums: the heaviest first, then who has its minimum, then who holds the most, then by order.
fn serve_minimums(total: i64, shares: &[Share]) -> Vec<i64> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_unstable_by_key(|index| {
        let share = &shares[*index];
        (
            -share.weight,
            share.current < share.fewest,
            -share.current,
            share.order,
        )
    });
    let mut left = total;
    let mut parts = vec![0; shares.len()];
    for index in order {
        parts[index] = shares[index].fewest.min(left);
        left -= parts[index];
    }
    parts
}
