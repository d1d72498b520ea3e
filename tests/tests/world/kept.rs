//! Seeds that once failed: each line of `seeds.txt` is a seed and what it showed.

use fleetcast_tests::world::Options;

use super::holds;

#[test]
fn seeds_that_once_failed_hold() {
    for line in include_str!("seeds.txt").lines() {
        let (seed, _) = line.split_once(' ').unwrap_or((line, ""));
        if let Ok(seed) = seed.parse() {
            holds(Options::of_seed(seed));
        }
    }
}
