//! Bulk removals in the world: what waits, who confirms it, and that nothing went without.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fleetcast_core::change::{Content, Origin};
use fleetcast_core::confirmation::{Confirmation, Ruling};
use fleetcast_core::decision::{Decision, Standing, Standings};
use fleetcast_core::document::Document;
use fleetcast_core::intake::Submission;
use fleetcast_core::log::Event;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ClusterName, Dialect, ObjectKey};
use fleetcast_core::placer::Limit;
use fleetcast_core::time::Time;

use super::fleet::World;
use super::hub::declared_by;

/// Every other fleet has a limit, so that removals wait there.
pub(super) fn limit(seed: u64) -> Limit {
    match seed % 2 {
        1 => Limit {
            objects: LIMIT,
            percent: 0,
        },
        _ => Limit::OFF,
    }
}

const LIMIT: u64 = 2;
/// Removals within this time certainly count together: ten minutes, less what may pass before the old are looked for.
const TOGETHER_MS: i64 = 9 * 60_000;

/// What waits by the log.
pub(super) fn waiting(world: &World) -> BTreeSet<String> {
    let mut standings: BTreeMap<&ObjectKey, Standings> = BTreeMap::new();
    for entry in world.bus.log.entries() {
        if let Event::Decision(decision) = &entry.event {
            let standings = standings.entry(&decision.object).or_default();
            standings.apply(decision);
        }
    }
    let held = standings.values().flat_map(Standings::held);
    held.map(|(_, hold)| hold.id.clone()).collect()
}

/// Somebody rules about what waits as `id` and has read the log up to `upto`.
pub(super) fn confirmation(id: &str, upto: u64, ruling: Ruling, count: u32) -> Rc<Submission> {
    let confirmation = Confirmation {
        id: id.to_owned(),
        upto,
        ruling,
    };
    let object = Confirmation::key(id).expect("an id is a name");
    let content = Content::Declared {
        dialect: Dialect::Native,
        document: Document::from_value(&confirmation.document()),
    };
    Rc::new(Submission {
        origin: Origin {
            source: "operator".to_owned(),
            id: format!("confirm {count:08x}"),
        },
        declared_by: declared_by(&object, &content),
        object,
        anew: false,
        content,
    })
}

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
        if lately.len() as u64 > LIMIT {
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
