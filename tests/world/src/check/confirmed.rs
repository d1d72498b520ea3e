//! Bulk removals: what waits goes only when it is confirmed.

use std::collections::BTreeMap;

use fleetcast_core::change::Content;
use fleetcast_core::confirmation::{Confirmation, Ruling};
use fleetcast_core::decision::{Decision, Standing, Standings};
use fleetcast_core::log::Event;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::Limit;
use fleetcast_core::time::Time;

use crate::fleet::World;
use crate::limit::{OBJECTS, limit};

/// Removals within this time certainly count together: ten minutes, less what may pass before the old are looked for.
const TOGETHER_MS: i64 = 9 * 60_000;

/// Copies by where they count together.
type Gone = BTreeMap<(u64, String), BTreeMap<ObjectKey, Time>>;

/// Rule 4: what is held goes only when it is confirmed, and no more goes unconfirmed than may.
pub(super) fn only_what_is_confirmed_goes(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let mut standings: BTreeMap<ObjectKey, Standings> = BTreeMap::new();
    let mut held_at: BTreeMap<(ObjectKey, ClusterName), u64> = BTreeMap::new();
    let mut confirmed: BTreeMap<String, u64> = BTreeMap::new();
    let mut gone = Gone::new();
    for entry in world.bus.log.entries() {
        match &entry.event {
            Event::Policy(change) => {
                if let Content::Declared { document, .. } = &change.content
                    && let Ok(document) = document.value()
                    && let Ok(Confirmation { id, upto, ruling }) = Confirmation::read(&document)
                {
                    // Who looked has seen what went before.
                    gone.clear();
                    if ruling == Ruling::Remove {
                        let known = confirmed.entry(id).or_default();
                        *known = upto.max(*known);
                    }
                }
            }
            Event::Decision(decision) => {
                let standings = standings.entry(decision.object.clone()).or_default();
                let mut fresh = Vec::new();
                for cluster in deleted(decision) {
                    let Some(Standing::Assigned { held, .. }) = standings.get(cluster) else {
                        continue;
                    };
                    let Some(hold) = held else {
                        fresh.push(cluster.clone());
                        continue;
                    };
                    let since = held_at.get(&(decision.object.clone(), cluster.clone()));
                    let upto = confirmed.get(&hold.id).copied().unwrap_or(0);
                    if since.is_none_or(|since| *since > upto) {
                        failures.push(format!(
                            "holds: {} goes from {cluster} by decision {}, held as {} and not confirmed",
                            decision.object, decision.number, hold.id
                        ));
                    }
                }
                if limit(world.options.seed) != Limit::OFF {
                    failures.extend(too_many(&mut gone, decision, &fresh));
                }
                standings.apply(decision);
                for cluster in decision.body.held.iter().flat_map(|held| held.clusters()) {
                    let copy = (decision.object.clone(), cluster.clone());
                    held_at.insert(copy, entry.sequence);
                }
            }
            Event::Change(_) | Event::Cluster(_) | Event::Epoch(_) => {}
        }
    }
    failures
}

fn deleted(decision: &Decision) -> impl Iterator<Item = &ClusterName> {
    let groups = decision.body.removed.iter();
    let groups = groups.filter(|group| group.mode == OnDelete::Delete);
    groups.flat_map(|group| &group.clusters)
}

/// Counts what went: a leader knows at least what it decided itself.
fn too_many(gone: &mut Gone, decision: &Decision, fresh: &[ClusterName]) -> Vec<String> {
    let mut failures = Vec::new();
    let namespace = decision.object.namespace().unwrap_or_default();
    let clusters = fresh.iter().map(|cluster| format!("cluster {cluster}"));
    let namespace = (!fresh.is_empty()).then(|| format!("namespace {namespace}"));
    for place in clusters.chain(namespace) {
        let lately = gone.entry((decision.term, place.clone())).or_default();
        lately.retain(|_, time| decision.time.ms_since(*time) < TOGETHER_MS);
        lately.insert(decision.object.clone(), decision.time);
        if lately.len() as u64 > OBJECTS {
            failures.push(format!(
                "holds: {} objects went from {place} within {TOGETHER_MS} ms, the last by decision {} about {}",
                lately.len(),
                decision.number,
                decision.object
            ));
        }
    }
    failures
}
