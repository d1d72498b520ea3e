//! Where one object goes and as what: numbered per object, recorded as a difference to the decision before.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::epoch::Epoch;
use crate::model::federated::OnDelete;
use crate::model::{ClusterName, ObjectKey};
use crate::placement::Exclusion;
use crate::plan::Verdict;
use crate::time::Time;

/// A decision with its place in the object's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it is about.
    pub object: ObjectKey,
    /// 1, 2, 3 … per object, also across withdrawal and re-creation.
    pub number: u64,
    /// The change that it carries out.
    pub revision: u64,
    /// Whose history it belongs to.
    pub epoch: Epoch,
    /// The term of the placer that made it.
    pub term: u64,
    /// When it was made.
    pub time: Time,
    /// The id of the event that asked for it.
    pub causation: String,
    /// The id of the change at the beginning of the chain.
    pub correlation: String,
    /// What it says.
    pub body: Body,
}

/// The order of decisions about one object, and of all work and answers that follow from them: by epoch, then by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The epoch in which the decision was made.
    pub epoch: Epoch,
    /// Its number.
    pub number: u64,
}

impl Place {
    /// Whether what carries this decision must not be written by work that carries out `other`: it is newer, or of another hub's history under
    /// the same number, where nobody can say which is.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        let is_of_another_hub =
            self.epoch.number == other.epoch.number && self.epoch.hub != other.epoch.hub;
        is_of_another_hub || (self.epoch.number, self.number) > (other.epoch.number, other.number)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "decision {} of epoch {}", self.number, self.epoch)
    }
}

/// What a decision says; the body of its event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Body {
    /// What it looked at.
    pub inputs: Inputs,
    /// Clusters that should hold a manifest other than before, by manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assigned: Vec<Assigned>,
    /// Clusters that should hold it no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// Clusters that were asked for and do not get it, where that or its reason is new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Excluded>,
    /// Clusters of which nothing is to be said any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<ClusterName>,
    /// Clusters that should hold it no longer and keep it until somebody confirms that: too much would go at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<Held>>,
}

/// What a decision looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Inputs {
    /// The log sequence of the change.
    pub change_sequence: u64,
    /// The log sequence of the newest event about any cluster.
    pub cluster_sequence: u64,
    /// The log sequence of the newest event about another object that this one depends on: its namespace, a policy, or who takes it along. 0
    /// for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub related_sequence: u64,
    /// The policies that it went by: the one that places it, then those that change it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyUsed>,
    /// The digest of how it is applied (conflict, adoption, drift …), as [`ApplyPolicy::mark`] gives it; empty for the defaults.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply: String,
    /// Observed numbers: how many more replicas each cluster could take by what its agent had measured; none where nobody looked at that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Box<BTreeMap<ClusterName, i64>>>,
}

/// A policy that a decision went by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyUsed {
    /// Which policy.
    pub policy: ObjectKey,
    /// Its revision then.
    pub revision: u64,
}

// By reference, as serde calls it.
fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

/// Clusters that get the same manifest for the same reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assigned {
    /// The digest of the rendered manifest.
    pub digest: String,
    /// Its replicas; none for kinds without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Why there and so.
    pub reasons: Vec<String>,
    /// The clusters.
    pub clusters: Vec<ClusterName>,
}

/// Clusters that should hold the object no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Whether their copies go or stay.
    pub mode: OnDelete,
    /// Why.
    pub reason: String,
    /// The clusters.
    pub clusters: Vec<ClusterName>,
}

/// Copies that are to go, which waits for a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// What it waits with, and is confirmed by.
    pub id: String,
    /// Who caused it.
    pub by: String,
    /// How much would go, of what.
    pub limit: String,
    /// Where they are, by why they are to go.
    pub copies: Vec<HeldCopies>,
}

/// Copies that are to go for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldCopies {
    /// Why.
    pub reason: String,
    /// The clusters.
    pub clusters: Vec<ClusterName>,
}

impl Held {
    /// The clusters where the copies are.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.copies.iter().flat_map(|group| &group.clusters)
    }
}

/// Clusters that were asked for and do not get the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excluded {
    /// The rule.
    pub reason: Exclusion,
    /// The field that is refused, where one is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The rule applied, for a person.
    pub message: String,
    /// The clusters.
    pub clusters: Vec<ClusterName>,
}

/// Where an object stands in one cluster after all decisions so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// The cluster should hold the manifest.
    Assigned {
        /// The decision since which it should.
        decision: u64,
        /// The revision which that decision carried out.
        revision: u64,
        /// The manifest's digest.
        digest: String,
        /// Its replicas.
        replicas: Option<i64>,
        /// Why.
        reasons: Vec<String>,
        /// Why the newest change is not carried out here, where it is not.
        kept: Option<(Exclusion, Refusal)>,
        /// Why it is to go and does not yet, where that waits for a confirmation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Box<Hold>>,
    },
    /// The cluster should hold it no longer.
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
    /// The cluster was asked for and does not get it.
    Excluded {
        /// The rule.
        reason: Exclusion,
        /// The field and the message.
        refusal: Refusal,
    },
}

/// Why a copy is to go and does not yet: its removal waits for a confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it waits with, and is confirmed by.
    pub id: String,
    /// The decision that holds it.
    pub decision: u64,
    /// When that was made.
    pub time: Time,
    /// Who caused it.
    pub by: String,
    /// How much would go, of what.
    pub limit: String,
    /// Why the copy is to go.
    pub reason: String,
}

impl Hold {
    /// What waits, and what to type.
    pub fn for_people(&self) -> String {
        let Self {
            id,
            decision: _,
            time: _,
            by,
            limit,
            reason,
        } = self;
        format!("{reason}; held, since {limit} would go, caused by {by}: fleetcast confirm {id}")
    }
}

impl Standing {
    /// The decision and revision whose work the cluster should answer; none where there is no work.
    pub fn due(&self) -> Option<(u64, u64)> {
        match self {
            Self::Assigned {
                decision, revision, ..
            }
            | Self::Removing {
                decision, revision, ..
            } => Some((*decision, *revision)),
            Self::Excluded { .. } => None,
        }
    }
}

/// Where an object stands in every cluster of which something is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standings {
    by_cluster: BTreeMap<ClusterName, Standing>,
    /// The first decision of each epoch that decided about the object: the epoch of any other follows.
    epochs: Vec<(u64, Epoch)>,
    /// The revision that the newest decision carries out.
    revision: u64,
    /// How it is applied, as the newest decision says.
    #[serde(default)]
    apply: String,
}

impl Standings {
    /// Where it stands in `cluster`.
    pub fn get(&self, cluster: &ClusterName) -> Option<&Standing> {
        self.by_cluster.get(cluster)
    }

    /// Every cluster of which something is to be said, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ClusterName, &Standing)> {
        self.by_cluster.iter()
    }

    /// The copies that are to go and wait for a confirmation, by cluster.
    pub fn held(&self) -> impl Iterator<Item = (&ClusterName, &Hold)> {
        self.by_cluster
            .iter()
            .filter_map(|(cluster, standing)| match standing {
                Standing::Assigned { held, .. } => Some((cluster, held.as_deref()?)),
                Standing::Removing { .. } | Standing::Excluded { .. } => None,
            })
    }

    /// Whether the cluster holds it, as far as was decided.
    pub fn holds(&self, cluster: &ClusterName) -> bool {
        matches!(
            self.by_cluster.get(cluster),
            Some(Standing::Assigned { .. })
        )
    }

    /// Which clusters should hold a manifest, with how many replicas (0 for kinds without).
    pub fn replicas(&self) -> BTreeMap<ClusterName, i64> {
        let held = self.by_cluster.iter().filter_map(|(cluster, standing)| {
            let Standing::Assigned { replicas, .. } = standing else {
                return None;
            };
            Some((cluster.clone(), replicas.unwrap_or(0)))
        });
        held.collect()
    }

    /// The epoch in which `decision` was made; none where it is none of these standings' decisions.
    pub fn epoch_of(&self, decision: u64) -> Option<&Epoch> {
        epoch_of(&self.epochs, decision)
    }

    /// The place of the decision whose work `cluster` should answer; none where there is no work.
    pub fn place(&self, cluster: &ClusterName) -> Option<Place> {
        let (number, _) = self.get(cluster)?.due()?;
        let epoch = self.epoch_of(number)?.clone();
        Some(Place { epoch, number })
    }

    /// Takes over what `decision` says.
    pub fn apply(&mut self, decision: &Decision) {
        let (number, revision) = (decision.number, decision.revision);
        if self
            .epochs
            .last()
            .is_none_or(|(_, epoch)| *epoch != decision.epoch)
        {
            self.epochs.push((number, decision.epoch.clone()));
        }
        let change_in = (revision != self.revision).then_some(&decision.epoch);
        self.revision = revision;
        let applied_anew = self.apply != decision.body.inputs.apply;
        self.apply.clone_from(&decision.body.inputs.apply);
        let Body {
            inputs: _,
            assigned,
            removed,
            excluded,
            dropped,
            held,
        } = &decision.body;
        for group in assigned {
            for cluster in &group.clusters {
                match self.by_cluster.get_mut(cluster) {
                    // Written over in its place: most decisions about a cluster change a digest, and a fold meets millions of them.
                    Some(Standing::Assigned {
                        decision,
                        revision: since,
                        digest,
                        replicas,
                        reasons,
                        kept,
                        held,
                    }) => {
                        let stays = *digest == group.digest
                            && !applied_anew
                            && !change_in
                                .is_some_and(|epoch| is_outlived(&self.epochs, *decision, epoch));
                        if !stays {
                            (*decision, *since) = (number, revision);
                        }
                        digest.clone_from(&group.digest);
                        *replicas = group.replicas;
                        reasons.clone_from(&group.reasons);
                        (*kept, *held) = (None, None);
                    }
                    _ => {
                        self.by_cluster.insert(
                            cluster.clone(),
                            Standing::Assigned {
                                decision: number,
                                revision,
                                digest: group.digest.clone(),
                                replicas: group.replicas,
                                reasons: group.reasons.clone(),
                                kept: None,
                                held: None,
                            },
                        );
                    }
                }
            }
        }
        for group in removed {
            for cluster in &group.clusters {
                self.by_cluster.insert(
                    cluster.clone(),
                    Standing::Removing {
                        decision: number,
                        revision,
                        mode: group.mode,
                        reason: group.reason.clone(),
                    },
                );
            }
        }
        for group in excluded {
            let refusal = Refusal::new(group.field.clone(), group.message.clone());
            for cluster in &group.clusters {
                match self.by_cluster.get_mut(cluster) {
                    Some(Standing::Assigned { kept, held, .. })
                        if group.reason.keeps_what_is_there() =>
                    {
                        *kept = Some((group.reason, refusal.clone()));
                        *held = None;
                    }
                    _ => {
                        self.by_cluster.insert(
                            cluster.clone(),
                            Standing::Excluded {
                                reason: group.reason,
                                refusal: refusal.clone(),
                            },
                        );
                    }
                }
            }
        }
        for cluster in dropped {
            self.by_cluster.remove(cluster);
        }
        let waits = held.iter().flat_map(|held| {
            let groups = held.copies.iter();
            groups.flat_map(move |group| {
                let clusters = group.clusters.iter();
                clusters.map(move |cluster| (held, &group.reason, cluster))
            })
        });
        for (group, reason, cluster) in waits {
            if let Some(Standing::Assigned { held, .. }) = self.by_cluster.get_mut(cluster) {
                *held = Some(Box::new(Hold {
                    id: group.id.clone(),
                    decision: number,
                    time: decision.time,
                    by: group.by.clone(),
                    limit: group.limit.clone(),
                    reason: reason.clone(),
                }));
            }
        }
    }

    /// What has to be recorded so that these standings become what `verdicts` say. `on_delete` is what happens to copies that are to go.
    ///
    /// A cluster that is not `registered` any more keeps its copy: removing a cluster orphans. Where a change is carried out, `change_in` is the
    /// epoch that does: what stands from an earlier one is decided anew although it is the same, which settles copies that are ahead. So is all
    /// that stands where `apply` (see [`Inputs::apply`]) is another than before: the clusters must learn of it.
    pub fn difference(
        &self,
        verdicts: &BTreeMap<ClusterName, Verdict>,
        registered: impl Fn(&ClusterName) -> bool,
        on_delete: OnDelete,
        gone_because: &str,
        change_in: Option<&Epoch>,
        apply: &str,
    ) -> Body {
        let mut body = Body::default();
        let outlived =
            |since: u64| change_in.is_some_and(|epoch| is_outlived(&self.epochs, since, epoch));
        for (cluster, verdict) in verdicts {
            let standing = self.by_cluster.get(cluster);
            match verdict {
                Verdict::Assigned {
                    rendered,
                    replicas,
                    reasons,
                } => {
                    let same = matches!(standing, Some(Standing::Assigned { decision, digest, replicas: r, reasons: why, kept: None, held: None, .. })
                        if *digest == rendered.digest && r == replicas && why[..] == reasons[..] && self.apply == apply && !outlived(*decision));
                    if !same {
                        body.assign(cluster, &rendered.digest, *replicas, reasons);
                    }
                }
                Verdict::Excluded { reason, refusal } => match standing {
                    Some(Standing::Assigned { kept, held, .. }) if reason.keeps_what_is_there() => {
                        if kept.as_ref() != Some(&(*reason, refusal.clone())) || held.is_some() {
                            body.exclude(cluster, *reason, refusal);
                        }
                    }
                    Some(Standing::Assigned { .. }) if *reason != Exclusion::Unknown => {
                        body.remove(
                            cluster,
                            on_delete,
                            &format!("{reason:?}: {}", refusal.message),
                        );
                    }
                    Some(Standing::Removing {
                        decision,
                        mode,
                        reason: because,
                        ..
                    }) => {
                        // Work of a cluster that left is not written: nobody will answer that it is gone.
                        if *reason == Exclusion::Unknown {
                            body.exclude(cluster, *reason, refusal);
                        } else if outlived(*decision) {
                            body.remove(cluster, *mode, because);
                        }
                    }
                    Some(Standing::Excluded {
                        reason: r,
                        refusal: f,
                    }) if r == reason && f == refusal => {}
                    Some(Standing::Assigned { .. } | Standing::Excluded { .. }) | None => {
                        body.exclude(cluster, *reason, refusal);
                    }
                },
            }
        }
        for (cluster, standing) in &self.by_cluster {
            if verdicts.contains_key(cluster) {
                continue;
            }
            match standing {
                Standing::Assigned { .. } if registered(cluster) => {
                    body.remove(cluster, on_delete, gone_because)
                }
                Standing::Removing {
                    decision, reason, ..
                } if registered(cluster) => {
                    if outlived(*decision) {
                        body.remove(cluster, on_delete, reason);
                    }
                }
                Standing::Assigned { .. }
                | Standing::Excluded { .. }
                | Standing::Removing { .. } => {
                    body.dropped.push(cluster.clone());
                }
            }
        }
        body
    }
}

/// The epoch in which `decision` was made, by the first decision of each epoch.
fn epoch_of(epochs: &[(u64, Epoch)], decision: u64) -> Option<&Epoch> {
    let mut begun = epochs.iter().rev();
    let made = begun.find(|(first, _)| *first <= decision);
    made.map(|(_, epoch)| epoch)
}

/// Whether what stands since `decision` is decided anew by the first change that is carried out in `epoch`: the cluster may hold something
/// that a lost history decided after it.
fn is_outlived(epochs: &[(u64, Epoch)], decision: u64, epoch: &Epoch) -> bool {
    epoch_of(epochs, decision).is_some_and(|made| made != epoch)
}

/// The id of the decision `number` about `object`, made in `epoch`: the same for whoever computes it.
pub fn id(object: &ObjectKey, epoch: &Epoch, number: u64) -> String {
    crate::digest::short(format!("decision {object} {epoch} {number}").as_bytes())
}

impl Body {
    /// Whether nothing differs from the decision before.
    pub fn changes_nothing(&self) -> bool {
        self.assigned.is_empty()
            && self.removed.is_empty()
            && self.excluded.is_empty()
            && self.dropped.is_empty()
            && self.held.is_none()
    }

    fn assign(
        &mut self,
        cluster: &ClusterName,
        digest: &str,
        replicas: Option<i64>,
        reasons: &[String],
    ) {
        let group = self.assigned.iter_mut().find(|group| {
            group.digest == digest && group.replicas == replicas && group.reasons == reasons
        });
        match group {
            Some(group) => group.clusters.push(cluster.clone()),
            None => self.assigned.push(Assigned {
                digest: digest.to_owned(),
                replicas,
                reasons: reasons.to_vec(),
                clusters: vec![cluster.clone()],
            }),
        }
    }

    pub(crate) fn remove(&mut self, cluster: &ClusterName, mode: OnDelete, reason: &str) {
        match self
            .removed
            .iter_mut()
            .find(|group| group.mode == mode && group.reason == reason)
        {
            Some(group) => group.clusters.push(cluster.clone()),
            None => self.removed.push(Removed {
                mode,
                reason: reason.to_owned(),
                clusters: vec![cluster.clone()],
            }),
        }
    }

    fn exclude(&mut self, cluster: &ClusterName, reason: Exclusion, refusal: &Refusal) {
        let group = self.excluded.iter_mut().find(|group| {
            group.reason == reason
                && group.field == refusal.field
                && group.message == refusal.message
        });
        match group {
            Some(group) => group.clusters.push(cluster.clone()),
            None => self.excluded.push(Excluded {
                reason,
                field: refusal.field.clone(),
                message: refusal.message.clone(),
                clusters: vec![cluster.clone()],
            }),
        }
    }
}
