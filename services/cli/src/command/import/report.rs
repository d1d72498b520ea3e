//! The answer of `fleetcast import`: one document, documented in `docs/hub.md`.

use std::collections::BTreeMap;

use fleetcast_agent::cluster::Rehearsal;
use fleetcast_core::Refusal;
use fleetcast_core::diff::Difference;
use fleetcast_core::model::ClusterName;
use fleetcast_core::model::federated::Predecessor;
use fleetcast_core::placement::Exclusion;
use fleetcast_core::report::{ExcludedCluster, ObjectPlan, PlannedCluster, Target};
use fleetcast_hub::inventory::Inventory;
use serde::Serialize;
use serde_json::Value;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whose fleet it is.
    pub(super) dialect: Predecessor,
    /// Where the hub is.
    pub(super) hub: String,
    /// What would be taken over, by kind.
    pub(super) taken: Vec<Taken>,
    /// What cannot be read, and why.
    pub(super) unread: Vec<Unread>,
    /// What is being deleted on the hub, and is not taken.
    pub(super) deleting: Vec<String>,
    /// What is not propagated, and why: it is not taken either.
    pub(super) resting: Vec<Resting>,
    /// Clusters that something lands in.
    pub(super) members: Vec<Member>,
    /// Where each object would land, and what that would change.
    pub(super) objects: Vec<Object>,
    /// What the controller keeps on members, and nobody would take over: it stays as it is.
    pub(super) untaken: Vec<Untaken>,
}

/// How many objects of a kind of the hub would be taken over.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    pub(super) kind: String,
    pub(super) count: usize,
}

/// A document that cannot be read.
#[derive(Debug, Serialize)]
pub(super) struct Unread {
    /// Which object of the hub, or which kind of it.
    pub(super) document: String,
    /// The field; empty where it is none in particular.
    pub(super) field: String,
    /// Why.
    pub(super) message: String,
}

/// An object of the hub that is not propagated.
#[derive(Debug, Serialize)]
pub(super) struct Resting {
    pub(super) document: String,
    pub(super) message: String,
}

/// A cluster that something lands in.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    pub(super) cluster: ClusterName,
    /// Whether it was asked.
    pub(super) asked: bool,
    /// Why not, or what it did not answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

/// An object of the members.
#[derive(Debug, Serialize)]
pub(super) struct Object {
    pub(super) object: Target,
    /// Why it is refused as a whole.
    pub(super) refusal: Option<Refusal>,
    pub(super) clusters: Vec<Row>,
    /// Where it does not land.
    pub(super) excluded: Vec<ExcludedCluster>,
}

/// What would become of an object in a cluster.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) cluster: ClusterName,
    pub(super) replicas: Option<i64>,
    pub(super) outcome: Outcome,
    /// In how many requests it would be written.
    pub(super) writes: u32,
    /// Whether it carries the controller's mark.
    pub(super) taken_over: bool,
    /// Why, where it is refused, waits or cannot be told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    /// What would change besides marks.
    pub(super) fields: Vec<Difference>,
    /// The manifest, where no member was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<Value>,
}

/// What would become of an object in a cluster, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It is ours already.
    Held,
    /// It is taken over as it is: only marks are written.
    Same,
    /// Fields of it change.
    Changes,
    /// It is not there, and is created.
    Creates,
    /// It waits for something.
    Waits,
    /// It is refused.
    Refused,
    /// It cannot be told.
    Unknown,
    /// Nobody was to be asked.
    Rendered,
}

/// What the controller keeps in a cluster, and nobody takes over.
#[derive(Debug, Serialize)]
pub(super) struct Untaken {
    pub(super) cluster: ClusterName,
    pub(super) object: String,
}

/// The controller's name, for people.
pub(super) fn name(dialect: Predecessor) -> &'static str {
    match dialect {
        Predecessor::Kubefed => "KubeFed",
        Predecessor::Karmada => "Karmada",
    }
}

impl Report {
    pub(super) fn new(dialect: Predecessor, hub: String, inventory: &Inventory) -> Self {
        let kinds = inventory
            .documents
            .keys()
            .map(|place| place.kind().to_owned());
        let refused = inventory.refused.iter().map(|(place, refusal)| Unread {
            document: place.for_people(),
            field: refusal.field.clone(),
            message: refusal.message.clone(),
        });
        let unlisted = inventory.unlisted.iter().map(|(what, why)| Unread {
            document: what.clone(),
            field: String::new(),
            message: format!("cannot be read: {why}"),
        });
        let deleting = inventory.deleting.iter();
        Self {
            dialect,
            hub,
            taken: taken(kinds),
            unread: refused.chain(unlisted).collect(),
            deleting: deleting.map(|place| place.for_people()).collect(),
            resting: inventory
                .resting
                .iter()
                .map(|(place, why)| Resting {
                    document: place.for_people(),
                    message: (*why).to_owned(),
                })
                .collect(),
            members: Vec::new(),
            objects: Vec::new(),
            untaken: Vec::new(),
        }
    }

    /// Whether nothing would change but marks, and all of it can be told.
    pub(super) fn is_silent(&self) -> bool {
        let quiet = |row: &Row| {
            matches!(
                row.outcome,
                Outcome::Held | Outcome::Same | Outcome::Rendered
            )
        };
        self.unread.is_empty()
            && self.objects.iter().all(|object| {
                object.refusal.is_none()
                    && object.clusters.iter().all(quiet)
                    && !object.excluded.iter().any(is_refusal)
            })
    }
}

impl Object {
    pub(super) fn of(plan: &ObjectPlan) -> Self {
        Self {
            object: plan.object.clone(),
            refusal: plan.refusal.clone(),
            clusters: Vec::new(),
            excluded: plan.excluded.clone(),
        }
    }
}

impl Row {
    /// `answer` is the member's; none where it was not asked.
    pub(super) fn of(
        planned: &PlannedCluster,
        answer: Option<Rehearsal>,
        no_members: bool,
    ) -> Self {
        let outcome = match (&answer, no_members) {
            (Some(answer), _) => word(answer),
            (None, true) => Outcome::Rendered,
            (None, false) => Outcome::Unknown,
        };
        let manifest = answer.is_none().then(|| (*planned.manifest).clone());
        let mut row = Self {
            cluster: planned.cluster.clone(),
            replicas: planned.replicas,
            outcome,
            writes: 0,
            taken_over: false,
            message: String::new(),
            fields: Vec::new(),
            manifest,
        };
        match answer {
            Some(Rehearsal::Writes {
                taken_over,
                writes,
                fields,
            }) => {
                row.taken_over = taken_over;
                row.writes = writes;
                row.fields = fields;
            }
            Some(Rehearsal::Creates) => row.writes = 1,
            Some(
                Rehearsal::Refused(message)
                | Rehearsal::Waits(message)
                | Rehearsal::Unknown(message),
            ) => row.message = message,
            Some(Rehearsal::Held) | None => {}
        }
        row
    }
}

/// Whether it is left out because an override cannot be applied there.
pub(super) fn is_refusal(excluded: &ExcludedCluster) -> bool {
    excluded.reason == Exclusion::Refused
}

fn taken(kinds: impl Iterator<Item = String>) -> Vec<Taken> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let counts = counts.into_iter();
    counts.map(|(kind, count)| Taken { kind, count }).collect()
}

fn word(rehearsal: &Rehearsal) -> Outcome {
    match rehearsal {
        Rehearsal::Held => Outcome::Held,
        Rehearsal::Creates => Outcome::Creates,
        Rehearsal::Writes { fields, .. } if fields.is_empty() => Outcome::Same,
        Rehearsal::Writes { .. } => Outcome::Changes,
        Rehearsal::Refused(_) => Outcome::Refused,
        Rehearsal::Waits(_) => Outcome::Waits,
        Rehearsal::Unknown(_) => Outcome::Unknown,
    }
}
