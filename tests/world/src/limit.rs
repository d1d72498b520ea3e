//! How many removals may go unconfirmed in a fleet of the world.

use fleetcast_core::placer::Limit;

/// How many objects, in fleets that have a limit.
pub(super) const OBJECTS: u64 = 2;

/// Every other fleet has a limit, so that removals wait there.
pub(super) fn limit(seed: u64) -> Limit {
    match seed % 2 {
        1 => Limit {
            objects: OBJECTS,
            percent: 0,
        },
        _ => Limit::OFF,
    }
}
