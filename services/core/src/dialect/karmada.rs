//! Karmada's dialect: plain objects with propagation and override policies, planned with Karmada's meaning.
//!
//! | what | file |
//! |---|---|
//! | the policies and what selects objects | `set`, `policy`, `names`, `resource`, `precedence` |
//! | clusters, and which ones an affinity means | `member`, `affinity` |
//! | filters, groups and overflow of clusters; who stays | `schedule` |
//! | spread constraints | `spread` |
//! | division of replicas | `division`, `workload` |
//! | what differs in which cluster | `overriders` |
//! | what travels, and what follows a workload | `prune`, `dependencies` |
//! | one object among those of the log | `live` |
//! | an object's way from what is observed to its plan | `observed`, `draft`, `render` |
//!
//! The meaning is that of karmada-io/karmada at f8fdd02d (2026-08-21), with the defaults and refusals of its webhooks.
//!
//! Quirks kept, since they decide where things are:
//! - equal claims to a replica go by name, ascending or descending by the object's UID;
//! - spread constraints are ignored with static weights; one without `maxGroups` selects nothing; only cluster and region are carried out;
//! - a malformed cluster selector matches nothing; clusters that are not ready are not avoided, only their taints are;
//! - `Registry: add` concatenates (`registry.example.com:5000reg.io/…`); a tag hides a digest beside it; init containers keep their images;
//! - a removed argument leaves an empty list where there was none.
//!
//! Quirks not kept, since they are crashes or losses:
//! - an image path that points past the containers is refused, and a region in which no cluster has room for a copy scores 0, where
//!   Karmada panics;
//! - a TLS entry without a secret does not stop what an Ingress needs; of two token secrets in a row both go;
//! - labels whose keys have a slash can be overridden;
//! - a search among more than a million combinations of regions ends with the best so far.
//!
//! What files cannot say is decided thus: an object with observed replicas is scheduled anew, as after a change of its policy; the group
//! in use is the first that means all clusters where it is; preemption works where a policy asks for it (in Karmada behind a feature
//! gate); absent replica counts are those that the API server fills in.

mod affinity;
mod dependencies;
mod division;
mod draft;
pub mod live;
pub mod member;
pub mod names;
mod observed;
mod overriders;
mod policy;
mod precedence;
mod prune;
mod render;
mod resource;
mod schedule;
pub mod set;
mod spread;
mod workload;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{ApplyPolicy, ClusterName};
use crate::report::{ObjectPlan, Observed};

pub use member::Member;
pub use overriders::ReadYaml;
pub use set::Set;

use draft::{Around, Draft};
use observed::ObservedRows;
use schedule::Telling;

/// Plans plain objects under the policies, one row each in the order of `objects`, with how it is applied where it lands: precedence,
/// placement, division, what follows a workload, overrides.
///
/// `objects` are documents with their places in the input; `observed` may hold rows of any object.
pub fn plan_all(
    set: &Set,
    objects: &[(usize, &Value)],
    members: &BTreeMap<ClusterName, Member>,
    observed: &[Observed],
) -> Vec<(ObjectPlan, ApplyPolicy)> {
    let observed = ObservedRows::of(observed);
    let mut drafts = drafts(set, objects, members, &observed);
    draft::follow(&mut drafts);
    drafts
        .into_iter()
        .map(|draft| {
            let policy = draft.apply_policy();
            (draft.finish(set, members), policy)
        })
        .collect()
}

fn drafts<'a>(
    set: &'a Set,
    objects: &[(usize, &'a Value)],
    members: &'a BTreeMap<ClusterName, Member>,
    observed: &'a ObservedRows<'a>,
) -> Vec<Draft<'a>> {
    let scopes = resource::scopes(objects.iter().map(|(_, document)| *document));
    let around = Around {
        set,
        members,
        observed,
        telling: Telling::All,
    };
    objects
        .iter()
        .map(|(_, document)| Draft::of(document, None, &scopes, around))
        .collect()
}

/// Plans one plain object; `observed` may hold rows of any object.
pub fn plan(
    set: &Set,
    object: &Value,
    members: &BTreeMap<ClusterName, Member>,
    observed: &[Observed],
) -> ObjectPlan {
    let mut plans = plan_all(set, &[(0, object)], members, observed);
    plans.pop().expect("one row for one object").0
}

#[cfg(test)]
mod tests;

/// Takes out of a hub's plain object what belongs to the hub's copy only.
pub fn strip(live: &mut Value) {
    let namespace = live["metadata"]["namespace"].as_str().map(str::to_owned);
    prune::prune(live, namespace.as_deref());
}
