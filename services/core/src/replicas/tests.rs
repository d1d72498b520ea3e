//! Divisions that hold for whatever comes in, and tables of what is published.

use super::*;

/// Numbers from a seed (SplitMix64): the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, `end`.
    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(end).expect("positive")).expect("small")
    }

    /// Now and then none.
    fn maybe(&mut self, end: i64) -> Option<i64> {
        (self.below(3) > 0).then(|| self.below(end))
    }
}

fn names(count: i64) -> Vec<ClusterName> {
    (0..count)
        .map(|index| ClusterName::parse(&format!("c-{index}")).expect("valid"))
        .collect()
}

fn web() -> ObjectKey {
    "Deployment.apps/shop/web".parse().expect("valid")
}

fn claims<'a>(numbers: &mut Numbers, names: &'a [ClusterName]) -> Vec<Claim<'a>> {
    names
        .iter()
        .map(|cluster| {
            let min = numbers.below(4);
            Claim {
                cluster,
                weight: numbers.below(6),
                min,
                max: numbers.maybe(12).map(|over| min + over),
                room: numbers.maybe(15),
                current: numbers.below(10),
            }
        })
        .collect()
}

const WAYS: [Divide; 3] = [Divide::Weighted, Divide::Available, Divide::Aggregated];

/// Runs `check` on a thousand generated divisions of each way.
fn for_each_division(check: impl Fn(Divide, i64, &[Claim<'_>], &Shares, u64)) {
    for seed in 0..1_000 {
        let mut numbers = Numbers(seed);
        let count = numbers.below(8);
        let (total, names) = (numbers.below(60), names(count));
        let claims = claims(&mut numbers, &names);
        for way in WAYS {
            check(
                way,
                total,
                &claims,
                &divide(way, total, &claims, &web()),
                seed,
            );
        }
    }
}

/// The most that a way may give.
fn most(way: Divide, claim: &Claim<'_>) -> i64 {
    let room = claim.room.filter(|_| way != Divide::Weighted);
    claim.max.unwrap_or(i64::MAX).min(room.unwrap_or(i64::MAX))
}

#[test]
fn the_total_is_kept_and_no_bound_is_passed() {
    for_each_division(|way, total, claims, shares, seed| {
        let sum: i64 = shares.replicas.iter().sum();
        assert_eq!(sum + shares.unplaced, total, "{way:?} seed {seed}");
        assert!(shares.unplaced >= 0, "{way:?} seed {seed}");
        for (claim, replicas) in claims.iter().zip(&shares.replicas) {
            assert!(
                (0..=most(way, claim)).contains(replicas),
                "{way:?} seed {seed}: {replicas} for {claim:?}"
            );
        }
    });
}

#[test]
fn nothing_is_left_over_while_somebody_could_take_it() {
    for_each_division(|way, _, claims, shares, seed| {
        if shares.unplaced > 0 {
            for (claim, replicas) in claims.iter().zip(&shares.replicas) {
                let takes_none = way == Divide::Weighted && claim.weight == 0;
                assert!(
                    takes_none || *replicas == most(way, claim),
                    "{way:?} seed {seed}: {claim:?} could take more"
                );
            }
        }
    });
}

#[test]
fn minimums_are_kept_as_far_as_total_and_room_go() {
    for_each_division(|way, total, claims, shares, seed| {
        let least: Vec<i64> = claims
            .iter()
            .map(|claim| claim.min.min(most(way, claim)))
            .collect();
        if least.iter().sum::<i64>() <= total {
            for (least, replicas) in least.iter().zip(&shares.replicas) {
                assert!(replicas >= least, "{way:?} seed {seed}");
            }
        }
    });
}

#[test]
fn the_order_of_the_clusters_does_not_matter() {
    for_each_division(|way, total, claims, shares, seed| {
        let mut backwards = claims.to_vec();
        backwards.reverse();
        let mut again = divide(way, total, &backwards, &web()).replicas;
        again.reverse();
        assert_eq!(again, shares.replicas, "{way:?} seed {seed}");
    });
}

/// Shows that a heavier cluster within the same bounds never gets less.
#[test]
fn shares_grow_with_weights() {
    for_each_division(|way, _, claims, shares, seed| {
        if way != Divide::Weighted || shares.unplaced > 0 {
            return;
        }
        for (heavy, more) in claims.iter().zip(&shares.replicas) {
            for (light, less) in claims.iter().zip(&shares.replicas) {
                let alike = (heavy.min, heavy.max) == (light.min, light.max);
                if alike && heavy.weight > light.weight {
                    assert!(
                        more >= less,
                        "seed {seed}: {heavy:?} {more}, {light:?} {less}"
                    );
                }
            }
        }
    });
}

/// Shows that with room-based division only the difference moves: more takes from nobody, less gives to nobody, and a division that
/// is carried out stays as it is.
#[test]
fn movement_is_minimal() {
    for_each_division(|way, total, claims, shares, seed| {
        let settled: Vec<Claim<'_>> = claims
            .iter()
            .zip(&shares.replicas)
            .map(|(claim, replicas)| Claim {
                current: *replicas,
                ..claim.clone()
            })
            .collect();
        assert_eq!(
            divide(way, total, &settled, &web()).replicas,
            shares.replicas,
            "{way:?} seed {seed}: a settled division moves"
        );
        if way == Divide::Weighted {
            return;
        }
        for other in [total / 2, total + 7] {
            let moved = divide(way, other, &settled, &web());
            let placed: i64 = shares.replicas.iter().sum();
            let new: i64 = moved.replicas.iter().sum();
            let distance: i64 = moved
                .replicas
                .iter()
                .zip(&shares.replicas)
                .map(|(a, b)| (a - b).abs())
                .sum();
            assert_eq!(
                distance,
                (new - placed).abs(),
                "{way:?} seed {seed}: {total} → {other}"
            );
        }
    });
}

/// Shows that an aggregated division from nothing uses as few clusters as there can be.
#[test]
fn aggregated_uses_the_fewest_clusters() {
    for_each_division(|way, total, claims, _, seed| {
        if way != Divide::Aggregated {
            return;
        }
        let free: Vec<Claim<'_>> = claims
            .iter()
            .map(|claim| Claim {
                min: 0,
                current: 0,
                ..claim.clone()
            })
            .collect();
        let shares = divide(way, total, &free, &web());
        let used = shares
            .replicas
            .iter()
            .filter(|replicas| **replicas > 0)
            .count();
        let mut rooms: Vec<i64> = free
            .iter()
            .map(|claim| most(way, claim).min(total))
            .collect();
        rooms.sort_unstable_by_key(|room| -room);
        let fewest = (0..=rooms.len())
            .find(|count| rooms[..*count].iter().sum::<i64>() >= total)
            .unwrap_or_else(|| rooms.iter().filter(|room| **room > 0).count());
        assert_eq!(used, fewest, "seed {seed}");
    });
}

/// Shows the published meaning of each way with numbers that a person can check: weight, min, max, room, current → share.
#[test]
fn each_way_gives_what_it_says() {
    type Row = (i64, i64, Option<i64>, Option<i64>, i64, i64);
    let plain = |weight, share| (weight, 0, None, None, 0, share);
    let holds = |current, share| (1, 0, None, None, current, share);
    let room = |room, current, share| (1, 0, None, Some(room), current, share);
    let table: &[(&str, Divide, i64, Vec<Row>, i64)] = &[
        (
            "two to one",
            Divide::Weighted,
            9,
            vec![plain(2, 6), plain(1, 3)],
            0,
        ),
        (
            "largest remainder",
            Divide::Weighted,
            10,
            vec![plain(2, 7), plain(1, 3)],
            0,
        ),
        (
            "weight 0 gets nothing",
            Divide::Weighted,
            5,
            vec![plain(1, 5), plain(0, 0)],
            0,
        ),
        (
            "nobody weighs anything",
            Divide::Weighted,
            5,
            vec![plain(0, 0)],
            5,
        ),
        ("nobody is there", Divide::Weighted, 5, vec![], 5),
        (
            "a minimum lifts",
            Divide::Weighted,
            10,
            vec![plain(9, 7), (1, 3, None, None, 0, 3)],
            0,
        ),
        (
            "a maximum caps",
            Divide::Weighted,
            10,
            vec![(9, 0, Some(4), None, 0, 4), plain(1, 6)],
            0,
        ),
        (
            "maximums leave over",
            Divide::Weighted,
            10,
            vec![(1, 0, Some(4), None, 0, 4)],
            6,
        ),
        (
            "weight 0 keeps its minimum",
            Divide::Weighted,
            10,
            vec![(0, 2, None, None, 0, 2), plain(1, 8)],
            0,
        ),
        (
            "minimums over the total, the heaviest first",
            Divide::Weighted,
            4,
            vec![(1, 3, None, None, 0, 1), (2, 3, None, None, 0, 3)],
            0,
        ),
        (
            "the remainder stays with its holder",
            Divide::Weighted,
            10,
            vec![holds(3, 3), holds(4, 4), holds(3, 3)],
            0,
        ),
        (
            "room is not looked at",
            Divide::Weighted,
            10,
            vec![room(1, 0, 5), room(9, 0, 5)],
            0,
        ),
        (
            "by room",
            Divide::Available,
            9,
            vec![room(10, 0, 3), room(20, 0, 6)],
            0,
        ),
        (
            "no room",
            Divide::Available,
            9,
            vec![room(2, 0, 2), room(3, 0, 3)],
            4,
        ),
        (
            "no limit known is shared alike",
            Divide::Available,
            8,
            vec![holds(0, 4), holds(0, 4)],
            0,
        ),
        (
            "what is there stays",
            Divide::Available,
            9,
            vec![room(20, 6, 6), room(10, 3, 3)],
            0,
        ),
        (
            "more goes where room is",
            Divide::Available,
            12,
            vec![room(6, 6, 6), room(10, 3, 6)],
            0,
        ),
        (
            "less is taken alike",
            Divide::Available,
            6,
            vec![room(20, 8, 4), room(20, 4, 2)],
            0,
        ),
        (
            "into the roomiest",
            Divide::Aggregated,
            8,
            vec![room(5, 0, 0), room(10, 0, 8)],
            0,
        ),
        (
            "into two where one is too small",
            Divide::Aggregated,
            12,
            vec![room(5, 0, 2), room(10, 0, 10), room(3, 0, 0)],
            0,
        ),
        (
            "the holder is filled first",
            Divide::Aggregated,
            8,
            vec![room(5, 2, 5), room(10, 0, 3)],
            0,
        ),
        (
            "the smallest holder is emptied first",
            Divide::Aggregated,
            8,
            vec![room(9, 2, 0), room(9, 8, 8)],
            0,
        ),
        (
            "each gets all",
            Divide::Duplicate,
            3,
            vec![plain(1, 3), plain(0, 3)],
            0,
        ),
    ];
    for (what, way, total, rows, unplaced) in table {
        let names = names(i64::try_from(rows.len()).expect("few"));
        let claims: Vec<Claim<'_>> = rows
            .iter()
            .zip(&names)
            .map(|((weight, min, max, room, current, _), cluster)| Claim {
                cluster,
                weight: *weight,
                min: *min,
                max: *max,
                room: *room,
                current: *current,
            })
            .collect();
        let shares = divide(*way, *total, &claims, &web());
        let expected: Vec<i64> = rows.iter().map(|(.., share)| *share).collect();
        assert_eq!(
            (shares.replicas, shares.unplaced),
            (expected, *unplaced),
            "{what}"
        );
    }
}

/// Shows that a tie goes by FNV-1a-64 of the cluster's name and the object's tokens, so that other objects spread theirs differently.
#[test]
fn ties_go_by_hash_of_cluster_and_object() {
    let names = names(4);
    let claims: Vec<Claim<'_>> = names
        .iter()
        .map(|cluster| Claim {
            cluster,
            weight: 1,
            min: 0,
            max: None,
            room: None,
            current: 0,
        })
        .collect();
    for object in [
        "Deployment.apps/shop/web",
        "Deployment.apps/shop/db",
        "StatefulSet.apps/a/b",
    ] {
        let object: ObjectKey = object.parse().expect("valid");
        let shares = divide(Divide::Weighted, 1, &claims, &object).replicas;
        let hash =
            |name: &ClusterName| digest::fnv1a64(format!("{name}{}", object.tokens()).as_bytes());
        let first = names.iter().min_by_key(|name| hash(name)).expect("four");
        let holder = shares
            .iter()
            .position(|replicas| *replicas == 1)
            .expect("one");
        assert_eq!(names[holder], *first, "{object}");
    }
    assert_eq!(web().tokens(), "Deployment.apps.shop.web");
    let role: ObjectKey = "ClusterRole.rbac.authorization.k8s.io/system:node"
        .parse()
        .expect("valid");
    assert_eq!(
        role.tokens(),
        "ClusterRole.rbac=2Eauthorization=2Ek8s=2Eio._.system=3Anode"
    );
}
