//! A hub that is lost and restored from an older backup, in a new epoch and on an empty bus.

use fleetcast_tests::world::{Options, Outcome, run};

use super::holds;

const SEEDS: u64 = 100;

fn restored(seed: u64) -> Options {
    Options {
        restore: true,
        ..Options::of_seed(seed)
    }
}

fn outcomes() -> impl Iterator<Item = Outcome> {
    (0..SEEDS).map(|seed| run(restored(seed)))
}

/// The fleet comes to rest, and the log stays consecutive behind the cut.
#[test]
fn a_restored_hub_goes_on_where_its_backup_ended() {
    (0..SEEDS).for_each(|seed| holds(restored(seed)));
}

/// What the restored log knows nothing of stays in the clusters.
#[test]
fn copies_that_a_restored_log_does_not_know_stay() {
    assert!(outcomes().any(|outcome| outcome.counts.ahead > 0));
}

/// DESIGN, section 4: an object that is newer than the restored log is ahead and is not written.
#[test]
#[ignore = "work carries the hub's epoch, not that of its decision: all work of a restored hub counts as newer than what clusters hold"]
fn nothing_that_is_ahead_is_overwritten() {
    let overwritten: u64 = outcomes().map(|outcome| outcome.counts.overwritten).sum();
    assert_eq!(overwritten, 0);
}
