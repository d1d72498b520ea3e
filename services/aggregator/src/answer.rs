//! What queries answer, in JSON: written by the aggregator and read by whoever asks.
//!
//! | `fc.query.<what>.<object>` | answer |
//! |---|---|
//! | `objects` | [`Objects`] |
//! | `explain` | [`Explanation`] |
//! | `clusters` | [`Clusters`] |
//! | `digest` | [`Digest`] |
//! | `history` | [`past::History`] |
//! | `diff` | [`past::Comparison`] |
//! | `documents` | [`past::Documents`] |
//! | `ahead` | [`ahead::Ahead`] |
//! | `held` | [`held::Held`] |
//! | `strays` | [`strays::Strays`] |
//! | `rebuild` | [`past::Rebuilding`], in many messages |
//!
//! A query that cannot be answered gets `{"refusal": {"document": 0, "field", "message"}}`. Times are RFC 3339; ages are left to the reader.

pub mod ahead;
pub(crate) mod build;
pub(crate) mod explain;
pub mod held;
mod moment;
pub mod past;
pub mod strays;

impl From<ClusterSummary> for Cluster {
    /// The cluster as it is registered.
    fn from(summary: ClusterSummary) -> Self {
        Self {
            name: summary.cluster,
            labels: summary.labels,
            region: summary.region,
            zone: summary.zone,
            zones: summary.zones,
            provider: summary.provider,
            taints: summary.taints,
            cordoned: summary.cordoned,
            ready: summary.ready,
            apis: summary.apis,
            pods: summary.pods,
            declared_on: None,
            sealing_key: summary.sealing_key,
        }
    }
}

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use fleetcast_core::ack::{Observed, Outcome};
use fleetcast_core::capacity::Capacity;
use fleetcast_core::decision::{Hold, Inputs};
use fleetcast_core::fold::Condition;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{Cluster, ClusterName, Dialect, ObjectKey, Taint};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::readiness::Readiness;
use fleetcast_core::time::Time;
use serde::{Deserialize, Serialize};

/// The body of a query, in JSON; an empty body asks for everything as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The log sequence up to which the view must be folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_log: Option<u64>,
    /// Only what concerns this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Only objects that this means, as a person types it: `deployment/shop/web` (`objects`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// How long to wait for `min_log`, milliseconds; 5,000 where it is not given, 60,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// As it was at this moment of the past (`objects`, `explain`, `clusters`, `digest`, `documents`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<past::At>,
    /// The earlier revision (`diff`); the one before `to` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The later revision (`diff`); the newest where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Only what is in this namespace (`documents`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Up to where the view was folded when it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The log sequence.
    pub log: u64,
    /// The acknowledgement sequence, by partition (`p00`).
    pub acks: BTreeMap<String, u64>,
    /// The newest time met in the log.
    #[serde(with = "moment")]
    pub time: Time,
    /// Whether acknowledgements of that time are older than what is kept of them: what was answered then is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub acknowledgements_unknown: bool,
}

// By reference, as serde calls it.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

// By reference, as serde calls it.
fn is_false(value: &bool) -> bool {
    !*value
}

/// The objects of the fleet, or the one that was asked for; none where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// By key; objects that are withdrawn and of which nothing is left stand here only where they were asked for by name.
    pub objects: Vec<ObjectSummary>,
    /// The policies of the log, by key; only where everything was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicySummary>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySummary {
    /// The policy.
    pub policy: ObjectKey,
    /// The form that people read (`propagationpolicy.policy.karmada.io/shop/web`).
    pub name: String,
    /// Its newest revision.
    pub revision: u64,
    /// When its newest change was taken in.
    #[serde(with = "moment")]
    pub time: Time,
    /// How many objects go by it.
    pub objects: u64,
}

/// One object and how it stands in its clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSummary {
    /// The object.
    pub object: ObjectKey,
    /// The form that people read (`deployment.apps/shop/web`).
    pub name: String,
    /// The dialect that it was declared in last; none where no declaration is known.
    pub dialect: Option<Dialect>,
    /// Its newest revision.
    pub revision: u64,
    /// Its newest decision; none before the first.
    pub decision: Option<u64>,
    /// Whether it is withdrawn.
    pub withdrawn: bool,
    /// When its newest change was taken in.
    #[serde(with = "moment")]
    pub time: Time,
    /// The rows counted.
    pub counts: Counts,
    /// One row a cluster, by name.
    pub rows: Vec<Row>,
}

/// The rows of one object counted by condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Clusters that should hold the object.
    pub clusters: u64,
    /// Rows that are applied.
    pub applied: u64,
    /// Rows whose newest change is not decided yet.
    pub deciding: u64,
    /// Rows that are pending.
    pub pending: u64,
    /// Rows that are tried again.
    pub retrying: u64,
    /// Rows that are refused.
    pub refused: u64,
    /// Rows that are to go.
    pub removing: u64,
    /// Rows whose removal waits for a confirmation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Rows that were asked for and are not placed.
    pub excluded: u64,
    /// Rows that are newer than the log.
    pub ahead: u64,
    /// Rows whose copy is healthy.
    #[serde(default)]
    pub healthy: u64,
    /// Rows whose copy is on its way.
    #[serde(default)]
    pub progressing: u64,
    /// Rows whose copy failed.
    #[serde(default)]
    pub degraded: u64,
    /// Rows whose copy nobody knows about.
    #[serde(default)]
    pub unknown: u64,
    /// Rows whose copy somebody else changed, and which are left so.
    #[serde(default)]
    pub drifted: u64,
}

/// One object in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The cluster.
    pub cluster: ClusterName,
    /// How it stands.
    pub condition: Condition,
    /// The newest revision of the object.
    pub revision: u64,
    /// The newest revision that the cluster is known to hold; 0 for none.
    pub applied_revision: u64,
    /// The decision whose work is due or done; 0 where there is none.
    pub decision: u64,
    /// Replicas assigned; none for kinds without.
    pub replicas: Option<i64>,
    /// The digest of the manifest that is due; none where none is.
    pub digest: Option<String>,
    /// Why it is so.
    pub message: String,
    /// How often the cluster has tried.
    pub attempts: u32,
    /// When the cluster answered last, by its own clock; none before.
    #[serde(with = "moment::optional")]
    pub answered_at: Option<Time>,
    /// How many revisions the cluster is behind.
    pub behind: u64,
    /// What the copy's removal waits for; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Wait>,
    /// What was seen of the copy: `health`, `drift` and `status`, each absent where it is not known.
    #[serde(flatten)]
    pub observed: Observed,
}

/// The causal chain of one object: change, decision, and for each cluster work and acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// The object.
    pub object: ObjectKey,
    /// The form that people read.
    pub name: String,
    /// Its newest change.
    pub change: ChangeLink,
    /// Its newest decision; none before the first.
    pub decision: Option<DecisionLink>,
    /// Its clusters by name, or the one that was asked for.
    pub clusters: Vec<ClusterLink>,
    /// Where the chain ends too early first, with the cluster; none where it ends nowhere.
    pub broken_link: Option<String>,
}

/// The newest change of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeLink {
    /// Its revision.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// Who handed it in.
    pub source: String,
    /// When it was taken in.
    #[serde(with = "moment")]
    pub time: Time,
    /// The dialect that the object was declared in last.
    pub dialect: Option<Dialect>,
    /// Whether it withdraws the object.
    pub withdrawn: bool,
}

/// The newest decision about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionLink {
    /// Its number.
    pub number: u64,
    /// The revision that it carries out.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// The id of the event that asked for it.
    pub causation: String,
    /// When it was made.
    #[serde(with = "moment")]
    pub time: Time,
    /// What it looked at.
    pub inputs: Inputs,
}

/// The end of the chain in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterLink {
    /// The cluster.
    pub cluster: ClusterName,
    /// What was decided for it.
    pub standing: Standing,
    /// The work that is due; none where there is none.
    pub work: Option<WorkLink>,
    /// The cluster's greatest answer; none before the first.
    pub acknowledgement: Option<AckLink>,
    /// How it stands; none where nothing is left of it, or nothing ever was.
    pub condition: Option<Condition>,
    /// Where the chain ends too early; none where it does not.
    pub broken_link: Option<String>,
}

/// What was decided for one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// It should hold a manifest.
    Assigned {
        /// The decision since which it should.
        decision: u64,
        /// The revision which that decision carried out.
        revision: u64,
        /// The manifest's digest.
        digest: String,
        /// Its replicas; none for kinds without.
        replicas: Option<i64>,
        /// Why there and so.
        reasons: Vec<String>,
        /// Why the newest change is not carried out here, where it is not.
        kept: Option<Rule>,
        /// What its removal waits for; absent where it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Wait>,
    },
    /// It should hold the object no longer.
    Removing {
        /// The decision that took it away.
        decision: u64,
        /// The revision which that decision carried out.
        revision: u64,
        /// Whether the copy goes or stays.
        mode: OnDelete,
        /// Why.
        reason: String,
    },
    /// It does not get the object.
    Excluded(Rule),
}

/// What the removal of a copy waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// `fleetcast confirm ID` lets it go.
    pub id: String,
    /// The decision that holds it.
    pub decision: u64,
    /// Who caused it.
    pub by: String,
    /// How much would go together, of what.
    pub limit: String,
    /// Why the copy is to go.
    pub reason: String,
}

impl From<Hold> for Wait {
    fn from(hold: Hold) -> Self {
        let Hold {
            id,
            decision,
            time: _,
            by,
            limit,
            reason,
        } = hold;
        Self {
            id,
            decision,
            by,
            limit,
            reason,
        }
    }
}

/// A rule that keeps an object away, applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The rule.
    pub reason: Exclusion,
    /// The field that is refused; empty where none is.
    pub field: String,
    /// The rule applied, for a person.
    pub message: String,
}

/// Work that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkLink {
    /// Its event's id.
    pub id: String,
    /// The decision that it carries out.
    pub decision: u64,
}

/// A cluster's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckLink {
    /// How it ended or stands.
    pub outcome: Outcome,
    /// The reason; empty where all is well.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The decision that it answers.
    pub decision: u64,
    /// The revision which that decision carried out.
    pub revision: u64,
    /// When, by the cluster's own clock.
    #[serde(with = "moment")]
    pub time: Time,
    /// The work that it answers.
    pub work_id: String,
    /// What was seen of the copy: `health`, `drift` and `status`, each absent where it is not known.
    #[serde(flatten)]
    pub observed: Observed,
}

/// The clusters of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clusters {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// By name; also those that left and those that are heard without being registered.
    pub clusters: Vec<ClusterSummary>,
}

/// One cluster and how far it is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSummary {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its region.
    pub region: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// All its zones, where it spans several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Its provider.
    pub provider: Option<String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it takes nothing new.
    pub cordoned: bool,
    /// Whether its own status says that it is ready; true where it says nothing.
    #[serde(default = "yes")]
    pub ready: bool,
    /// What it serves, as `apps/v1/Deployment`; absent where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apis: Option<BTreeSet<String>>,
    /// How many pods it has room for in all; absent where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<i64>,
    /// How much room it has, as its agent measured it last; absent where that is not known, and of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The public key of its agent, to which values of Secrets are sealed; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
    /// Whether it is in the fleet; where not, the fields above are empty.
    pub registered: bool,
    /// Whether its agent is heard; none before it was heard of.
    pub online: Option<bool>,
    /// How it stands.
    #[serde(default = "unknown")]
    pub readiness: Readiness,
    /// Why it is degraded; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Since when that is so.
    #[serde(with = "moment")]
    pub since: Time,
    /// Objects that it should hold.
    pub objects: u64,
    /// Objects that are applied.
    pub applied: u64,
    /// Objects that are not decided, not answered, tried again or to go.
    pub pending: u64,
    /// Objects that it refused, or whose newest change is refused for it.
    pub refused: u64,
    /// Objects that are not as they should be: pending, refused, ahead.
    pub behind: u64,
    /// When the oldest change was taken in that it is behind with.
    #[serde(with = "moment::optional")]
    pub oldest_pending_since: Option<Time>,
}

fn unknown() -> Readiness {
    Readiness::Unknown
}

fn yes() -> bool {
    true
}

/// The digest over the canonical rows: equal views, equal digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Up to where the view was folded.
    pub as_of: AsOf,
    /// 64 hexadecimal digits.
    pub digest: String,
    /// How many rows it was taken over.
    pub rows: u64,
}
