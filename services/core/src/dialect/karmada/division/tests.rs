//! Tables for each way to divide, and what holds for all inputs.

use super::*;

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn weights(list: &[(&str, i64)]) -> Vec<(ClusterName, i64)> {
    list.iter().map(|(text, w)| (name(text), *w)).collect()
}

/// `a:2 b:1`.
fn story(shares: &Shares) -> String {
    shares
        .iter()
        .map(|(name, count)| format!("{name}:{count}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Rooms of one tier: name, available, assigned.
fn rooms(list: &[(&str, i64, i64)]) -> Vec<Room> {
    list.iter()
        .map(|(text, available, assigned)| Room {
            name: name(text),
            tier: 0,
            available: *available,
            assigned: *assigned,
        })
        .collect()
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

#[test]
fn webster_gives_the_seats_of_its_published_example() {
    // https://en.wikipedia.org/wiki/Sainte-Laguë_method: 8 seats for four parties.
    let parties = weights(&[("a", 100_000), ("b", 80_000), ("c", 30_000), ("d", 20_000)]);
    assert_eq!(
        story(&webster(8, &parties, Ties::Ascending)),
        "a:3 b:3 c:1 d:1"
    );
}

#[test]
fn ties_go_by_fewer_seats_then_by_name_in_the_order_of_the_uid() {
    let equal = weights(&[("a", 1), ("b", 1), ("c", 1)]);
    for (total, ties, expected) in [
        (1, Ties::Ascending, "a:1"),
        (1, Ties::Descending, "c:1"),
        (5, Ties::Ascending, "a:2 b:2 c:1"),
        (5, Ties::Descending, "a:1 b:2 c:2"),
        (0, Ties::Ascending, ""),
    ] {
        assert_eq!(story(&webster(total, &equal, ties)), expected);
    }
    // 3/3 = 1/1: the one with fewer seats gets the second seat.
    let uneven = weights(&[("a", 3), ("b", 1)]);
    assert_eq!(story(&webster(2, &uneven, Ties::Ascending)), "a:1 b:1");
}

#[test]
fn the_uid_decides_the_order_by_its_fnv_hash() {
    assert_eq!(fnv1a32(b""), 0x811c_9dc5);
    assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
    assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
    assert_eq!(Ties::of(""), Ties::Ascending);
    assert_eq!(Ties::of("a"), Ties::Ascending);
    assert_eq!(Ties::of("b"), Ties::Descending);
}

#[test]
fn static_weights_drop_zero_and_count_alike_where_nothing_is_left() {
    for (total, list, expected) in [
        (9, vec![("a", 1), ("b", 2)], "a:3 b:6"),
        (9, vec![("a", 1), ("b", 3)], "a:2 b:7"),
        (4, vec![("a", 1), ("b", 0)], "a:4"),
        (4, vec![("a", 0), ("b", 0)], "a:2 b:2"),
        (1, vec![("a", 1), ("b", 5)], "b:1"),
        (4, vec![], ""),
    ] {
        assert_eq!(
            story(&by_weight(total, &weights(&list), Ties::Ascending)),
            expected
        );
    }
}

#[test]
fn dynamic_weights_keep_what_is_there_and_move_the_difference() {
    for (what, total, list, expected) in [
        (
            "first",
            12,
            vec![("a", 18, 0), ("b", 12, 0), ("c", 6, 0)],
            Ok("a:6 b:4 c:2"),
        ),
        (
            "equal: unchanged",
            4,
            vec![("a", 9, 3), ("b", 9, 1)],
            Ok("a:3 b:1"),
        ),
        (
            "up: only the difference",
            8,
            vec![("a", 4, 2), ("b", 2, 3)],
            Ok("a:4 b:4"),
        ),
        (
            "down: by what is there",
            3,
            vec![("a", 0, 4), ("b", 0, 2)],
            Ok("a:2 b:1"),
        ),
        (
            "no room",
            9,
            vec![("a", 1, 4), ("b", 2, 0)],
            Err(NoRoom {
                available: 3,
                wanted: 5,
            }),
        ),
        (
            "just room",
            7,
            vec![("a", 1, 4), ("b", 2, 0)],
            Ok("a:5 b:2"),
        ),
        (
            "none",
            1,
            vec![],
            Err(NoRoom {
                available: 0,
                wanted: 1,
            }),
        ),
    ] {
        let shares = by_room(total, &rooms(&list), false, Ties::Ascending);
        assert_eq!(
            shares.map(|shares| story(&shares)),
            expected.map(str::to_owned),
            "{what}"
        );
    }
}

#[test]
fn aggregated_takes_the_fewest_clusters_and_those_in_use_first() {
    for (what, total, list, expected) in [
        (
            "one is enough",
            6,
            vec![("a", 6, 0), ("b", 8, 0), ("c", 9, 0)],
            "c:6",
        ),
        (
            "the two with most room",
            12,
            vec![("a", 6, 0), ("b", 7, 0), ("c", 9, 0)],
            "b:5 c:7",
        ),
        (
            "those in use come first",
            6,
            vec![("a", 4, 2), ("b", 99, 0)],
            "a:6",
        ),
        (
            "and then the others",
            9,
            vec![("a", 3, 2), ("b", 99, 0)],
            "a:2 b:7",
        ),
        (
            "down into the largest",
            4,
            vec![("a", 9, 2), ("b", 0, 5), ("c", 0, 1)],
            "b:4",
        ),
        (
            "ties in the order of selection",
            2,
            vec![("b", 5, 0), ("a", 5, 0)],
            "b:2",
        ),
    ] {
        let shares = by_room(total, &rooms(&list), true, Ties::Ascending).expect("room");
        assert_eq!(story(&shares), expected, "{what}");
    }
}

#[test]
fn a_tier_is_filled_before_the_next() {
    let tiered = |list: &[(&str, usize, i64, i64)]| -> Vec<Room> {
        list.iter()
            .map(|(text, tier, available, assigned)| Room {
                name: name(text),
                tier: *tier,
                available: *available,
                assigned: *assigned,
            })
            .collect()
    };
    for (what, total, list, expected) in [
        (
            "the first is enough",
            4,
            tiered(&[("a", 0, 5, 0), ("b", 1, 9, 0)]),
            Ok("a:4"),
        ),
        (
            "it overflows",
            8,
            tiered(&[("a", 0, 5, 0), ("b", 1, 9, 0)]),
            Ok("a:5 b:3"),
        ),
        (
            "it grows where it is",
            9,
            tiered(&[("a", 0, 0, 5), ("b", 1, 9, 3)]),
            Ok("a:5 b:4"),
        ),
        (
            "it shrinks from the last",
            6,
            tiered(&[("a", 0, 0, 5), ("b", 1, 9, 3)]),
            Ok("a:5 b:1"),
        ),
        (
            "too much for all",
            20,
            tiered(&[("a", 0, 5, 0), ("b", 1, 9, 0)]),
            Err(14),
        ),
    ] {
        let shares = by_room(total, &list, false, Ties::Ascending);
        assert_eq!(
            shares
                .map(|shares| story(&shares))
                .map_err(|short| short.available),
            expected.map(str::to_owned),
            "{what}"
        );
    }
}

#[test]
fn the_total_is_conserved_and_no_more_than_room_is_given_whatever_comes() {
    let mut dice = Dice(1);
    for _ in 0..2_000 {
        let list: Vec<Room> = (0..=dice.below(9))
            .map(|index| Room {
                name: name(&format!("m{index}")),
                tier: usize::try_from(dice.below(2)).expect("small"),
                available: dice.below(20),
                assigned: dice.below(3) * dice.below(6),
            })
            .collect();
        let total = dice.below(60);
        let ties = if dice.below(2) == 0 {
            Ties::Ascending
        } else {
            Ties::Descending
        };
        let few = dice.below(2) == 0;
        let shares = by_room(total, &list, few, ties);
        assert_eq!(shares, by_room(total, &list, few, ties), "the same again");
        let room: i64 = list.iter().map(|room| room.available + room.assigned).sum();
        match shares {
            Ok(shares) => {
                assert_eq!(shares.values().sum::<i64>(), total, "{list:?}");
                for room in &list {
                    let given = shares.get(&room.name).copied().unwrap_or(0);
                    assert!(given >= 0);
                    // Webster may give a cluster one seat above its quota, not more than it weighs.
                    assert!(given <= room.available + room.assigned, "{list:?} {total}");
                }
            }
            Err(_) => assert!(room < total, "{list:?} {total}"),
        }
    }
}

#[test]
fn the_head_start_changes_no_number() {
    let one_by_one = |total: i64, weights: &[(ClusterName, i64)], ties: Ties| {
        let mut given: Vec<Claim<'_>> = weights
            .iter()
            .map(|(name, weight)| Claim {
                name,
                weight: *weight,
                given: 0,
                ties,
            })
            .collect();
        for _ in 0..total {
            given.iter_mut().max().expect("some").given += 1;
        }
        given
            .into_iter()
            .filter(|claim| claim.given > 0)
            .map(|claim| (claim.name.clone(), claim.given))
            .collect::<Shares>()
    };
    let mut dice = Dice(7);
    for _ in 0..500 {
        let list: Vec<_> = (0..=dice.below(7))
            .map(|index| (name(&format!("m{index}")), dice.below(50) + 1))
            .collect();
        let total = dice.below(400);
        for ties in [Ties::Ascending, Ties::Descending] {
            assert_eq!(
                webster(total, &list, ties),
                one_by_one(total, &list, ties),
                "{total} {list:?}"
            );
        }
    }
    let huge = webster(
        i64::from(i32::MAX),
        &weights(&[("a", 1), ("b", 2)]),
        Ties::Ascending,
    );
    assert_eq!(huge.values().sum::<i64>(), i64::from(i32::MAX));
}
