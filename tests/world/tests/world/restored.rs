//! A hub that is lost and restored from an older backup, in a new epoch and on an empty bus.

use fleetcast_world::{Counts, Options, run};

use super::holds;

/// How many fleets lose their hub in the normal test run.
const SEEDS: u64 = 400;

fn restored(seed: u64) -> Options {
    Options {
        restore: true,
        ..Options::of_seed(seed)
    }
}

/// Every rule holds, too, where the hub goes on where an older backup ended: what clusters hold from the lost history is shown as ahead, gives
/// way to nothing that was decided before it, and is not removed.
#[test]
fn every_rule_holds_after_the_hub_is_restored_from_an_older_backup() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                (half..SEEDS)
                    .step_by(2)
                    .for_each(|seed| holds(restored(seed)))
            });
        }
    });
}

/// Restored fleets meet what they are simulated for: copies that are ahead at the end, and copies that no decision of the restored log is about.
#[test]
fn restored_fleets_hold_what_the_log_has_lost() {
    let counts: Vec<Counts> = (0..40).map(|seed| run(restored(seed)).counts).collect();
    let ahead: u64 = counts.iter().map(|counts| counts.ahead).sum();
    let strays: u64 = counts.iter().map(|counts| counts.strays).sum();
    assert!(
        ahead > strays && strays > 0,
        "{ahead} ahead, {strays} strays"
    );
}
