//! Tables for the selection by cluster and by region.

use super::*;

/// A candidate from `name region score available assigned`.
fn candidate(text: &str) -> Candidate {
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| parts[index].parse().expect("a number");
    Candidate {
        name: ClusterName::parse(parts[0]).expect("valid"),
        region: (parts[1] != "-").then(|| parts[1].to_owned()),
        tier: 0,
        score: number(2),
        available: number(3),
        assigned: number(4),
    }
}

fn constraint(by: SpreadBy, min: usize, max: usize) -> SpreadConstraint {
    SpreadConstraint { by, min, max }
}

fn run(
    constraints: &[SpreadConstraint],
    list: &[&str],
    replicas: i64,
    divided: bool,
) -> Result<String, NoSpread> {
    let mut candidates: Vec<_> = list.iter().map(|text| candidate(text)).collect();
    sort(&mut candidates);
    select(constraints, candidates, Demand { replicas, divided }).map(|selected| {
        selected
            .iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    })
}

#[test]
fn clusters_are_ordered_by_tier_score_room_and_name() {
    let mut list: Vec<_> = [
        "c - 0 5 0",
        "b - 0 5 0",
        "a - 0 4 0",
        "e - 100 1 2",
        "d - 0 9 0",
    ]
    .map(candidate)
    .into();
    list[4].tier = 1;
    sort(&mut list);
    let names: Vec<_> = list.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["e", "b", "c", "a", "d"]);
}

#[test]
fn without_constraints_every_feasible_cluster_is_taken() {
    assert_eq!(
        run(&[], &["a - 0 1 0", "b - 0 2 0"], 9, true),
        Ok("b a".to_owned())
    );
}

#[test]
fn by_cluster_takes_the_first_and_exchanges_them_for_room() {
    let two = [constraint(SpreadBy::Cluster, 2, 2)];
    let list = ["a - 100 4 0", "b - 100 3 0", "c - 0 6 0", "d - 0 5 0"];
    for (what, constraints, replicas, divided, expected) in [
        ("duplicated: the first", &two[..], 80, false, Ok("a b")),
        ("divided: enough room", &two[..], 7, true, Ok("a b")),
        (
            "the last is exchanged for the roomiest",
            &two[..],
            8,
            true,
            Ok("a c"),
        ),
        ("then the one before it", &two[..], 11, true, Ok("d c")),
        (
            "never enough",
            &two[..],
            12,
            true,
            Err("no 2 clusters have room for 12 replicas together"),
        ),
        (
            "fewer than maxGroups",
            &[constraint(SpreadBy::Cluster, 1, 9)][..],
            1,
            true,
            Ok("a b c d"),
        ),
        (
            "fewer than minGroups",
            &[constraint(SpreadBy::Cluster, 5, 9)][..],
            1,
            true,
            Err("spread by cluster wants at least 5 clusters, 4 would do"),
        ),
    ] {
        let result = run(constraints, &list, replicas, divided).map_err(|error| match error {
            NoSpread::Groups(message) | NoSpread::Room(message) => message,
        });
        assert_eq!(
            result,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{what}"
        );
    }
}

#[test]
fn of_two_with_the_same_room_the_first_is_taken_in() {
    let two = [constraint(SpreadBy::Cluster, 2, 2)];
    let list = ["a - 100 4 0", "b - 100 3 0", "c - 0 6 0", "d - 0 6 0"];
    assert_eq!(run(&two, &list, 8, true), Ok("a c".to_owned()));
}

#[test]
fn constraints_that_karmada_does_not_carry_out_select_nothing() {
    for by in [
        SpreadBy::Zone,
        SpreadBy::Provider,
        SpreadBy::Label("x".into()),
    ] {
        assert!(matches!(
            run(&[constraint(by, 1, 1)], &["a r 0 1 0"], 1, true),
            Err(NoSpread::Groups(_))
        ));
    }
    let open = run(
        &[constraint(SpreadBy::Cluster, 1, 0)],
        &["a r 0 1 0"],
        1,
        true,
    );
    assert!(matches!(open, Err(NoSpread::Groups(_))));
}

#[test]
fn region_scores_count_room_in_thousands_and_then_the_mean_score() {
    let clusters: Vec<_> = ["a r 100 40 0", "b r 100 40 0", "c r 100 10 0"]
        .map(candidate)
        .into();
    let poor: Vec<_> = ["a r 100 10 0", "b r 0 10 5"].map(candidate).into();
    let demand = |divided| Demand {
        replicas: 100,
        divided,
    };
    // 100 replicas in 2 regions: 50 each; two clusters must count at least.
    assert_eq!(score(&clusters, demand(true), 2, 1), 50_100);
    assert_eq!(score(&poor, demand(true), 2, 1), 25_050);
    // One cluster would have the room, but as many count as there are regions.
    let mixed: Vec<_> = ["a r 100 50 0", "b r 0 50 0"].map(candidate).into();
    assert_eq!(score(&mixed, demand(true), 2, 1), 50_050);
    assert_eq!(
        score(
            &clusters,
            Demand {
                replicas: 40,
                divided: false
            },
            2,
            1
        ),
        2_100
    );
    assert_eq!(score(&poor, demand(false), 2, 1), 0);
}

#[test]
fn by_region_takes_the_best_combination_and_then_the_best_clusters() {
    let list = [
        "a1 a 0 10 0",
        "a2 a 0 10 0",
        "a3 a 0 1 0",
        "b1 b 100 10 0",
        "b2 b 0 9 0",
        "c1 c 0 50 0",
        "x - 0 99 0",
    ];
    let region = |min, max| constraint(SpreadBy::Region, min, max);
    let cluster = |min, max| constraint(SpreadBy::Cluster, min, max);
    for (what, constraints, replicas, divided, expected) in [
        (
            "one cluster a region without a cluster constraint",
            vec![region(2, 2)],
            10,
            true,
            Ok("b1 a1"),
        ),
        (
            "the best of each region, then the best of the rest",
            vec![region(2, 2), cluster(3, 4)],
            10,
            true,
            Ok("b1 a1 a2 b2"),
        ),
        (
            "duplicated by clusters with room",
            vec![region(1, 1), cluster(1, 2)],
            10,
            false,
            Ok("a1 a2"),
        ),
        (
            "one region is enough and shorter",
            vec![region(1, 3), cluster(1, 1)],
            5,
            true,
            Ok("b1"),
        ),
        ("too few regions", vec![region(4, 4)], 1, true, Err(())),
        (
            "too few clusters in all",
            vec![region(1, 2), cluster(6, 9)],
            1,
            true,
            Err(()),
        ),
    ] {
        let result = run(&constraints, &list, replicas, divided);
        assert_eq!(result.map_err(drop), expected.map(str::to_owned), "{what}");
    }
}

#[test]
fn the_combination_equals_a_search_through_all_paths() {
    // A second way to the same answer: list every path, sort them, and follow the beginnings of the best.
    fn paths(
        regions: &[Region],
        constraint: &SpreadConstraint,
        min: usize,
        path: &mut Vec<usize>,
        from: usize,
        found: &mut Vec<Vec<usize>>,
    ) {
        let clusters: usize = path.iter().map(|i| regions[*i].clusters.len()).sum();
        if clusters >= min && path.len() >= constraint.min && path.len() <= constraint.max {
            found.push(path.clone());
            return;
        }
        for index in from..regions.len() {
            if path.len() < constraint.max {
                path.push(index);
                paths(regions, constraint, min, path, index + 1, found);
                path.pop();
            }
        }
    }
    let mut seed = 3_usize;
    let mut below = |limit: usize| {
        seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 2_147_483_648;
        (seed >> 8) % limit
    };
    for _ in 0..500 {
        let mut regions: Vec<Region> = (0..=below(5))
            .map(|index| Region {
                name: format!("r{index}"),
                clusters: (0..=below(3)).map(|_| candidate("a r 0 1 0")).collect(),
                score: i64::try_from(below(4)).expect("small") * 500,
            })
            .collect();
        regions.sort_by(|a, b| {
            (a.clusters.len(), Reverse(a.score), &a.name).cmp(&(
                b.clusters.len(),
                Reverse(b.score),
                &b.name,
            ))
        });
        let min = 1 + below(3);
        let limits = constraint(SpreadBy::Region, min, min + below(3));
        let min_clusters = below(7);
        let mut found = Vec::new();
        paths(
            &regions,
            &limits,
            min_clusters,
            &mut Vec::new(),
            0,
            &mut found,
        );
        let mut sorted: Vec<_> = found
            .into_iter()
            .enumerate()
            .map(|(id, mut path)| {
                let score: i64 = path.iter().map(|i| regions[*i].score).sum();
                let clusters: usize = path.iter().map(|i| regions[*i].clusters.len()).sum();
                path.sort_by_key(|i| (Reverse(regions[*i].score), regions[*i].name.clone()));
                (Reverse(score), Reverse(clusters), id, path)
            })
            .collect();
        sorted.sort();
        let mut paths = sorted.into_iter().map(|(_, _, _, path)| path);
        let expected = paths.next().map(|best| {
            paths.fold(best, |best, path| {
                if path.len() < best.len() && best.starts_with(&path) {
                    path
                } else {
                    best
                }
            })
        });
        assert_eq!(best_combination(&regions, &limits, min_clusters), expected);
    }
}
