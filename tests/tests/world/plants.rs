//! Each planted fault is found within so many seeds, or the rules check nothing. docs/testing.md has the list.

use fleetcast_tests::world::plant::Plant;
use fleetcast_tests::world::{Options, run};

/// Each fault with the first seed that is tried, and within how many it must be found. Those that need many seeds begin near the first that
/// finds them.
const BOUNDS: [(Plant, u64, u64); 14] = [
    (Plant::SettleBeforeEffect, 0, 50),
    (Plant::ForgetRevisionCheck, 0, 50),
    (Plant::HaveFromAnotherIncarnation, 0, 50),
    (Plant::LetAnOldLeaderWrite, 350, 400),
    (Plant::RemoveStrays, 0, 50),
    (Plant::SeenPastALostBatch, 0, 200),
    (Plant::FailedGetReadAsAbsent, 100, 400),
    (Plant::RememberWhatWasRead, 0, 400),
    (Plant::RepeatBlindly, 0, 50),
    (Plant::ForgetUnanswered, 0, 50),
    (Plant::LeadBehindTheLog, 1_300, 800),
    (Plant::ExpectTheStreamAlone, 700, 2_000),
    (Plant::OrderByTheWriter, 0, 50),
    (Plant::AheadAnsweredAsApplied, 0, 50),
];

/// The first seed that finds a fault.
fn found(plant: Plant, first: u64, count: u64) -> Option<u64> {
    (first..first + count).find(|seed| {
        // What a restored hub could do wrong shows in fleets that lose theirs.
        let restore = matches!(
            plant,
            Plant::OrderByTheWriter | Plant::AheadAnsweredAsApplied
        );
        let outcome = run(Options {
            plant: Some(plant),
            restore,
            ..Options::of_seed(*seed)
        });
        !outcome.failures.is_empty()
    })
}

#[test]
fn every_planted_fault_has_its_bound() {
    assert!(
        Plant::ALL
            .iter()
            .all(|plant| BOUNDS.iter().any(|(of, ..)| of == plant))
    );
}

#[test]
fn every_planted_fault_is_found() {
    let unfound: Vec<Plant> = BOUNDS
        .into_iter()
        .filter(|(plant, first, count)| {
            let seed = found(*plant, *first, *count);
            println!("{plant:?}: seed {seed:?}");
            seed.is_none()
        })
        .map(|(plant, ..)| plant)
        .collect();
    assert!(unfound.is_empty(), "not found: {unfound:?}");
}
