//! Builds the causal chain of one object: change, decision, work, acknowledgement, and the first link that is missing.

use std::collections::BTreeMap;

use fleetcast_core::Refusal;
use fleetcast_core::decision;
use fleetcast_core::dialect::karmada::live::{self, Plain};
use fleetcast_core::dialect::{self, Input, karmada};
use fleetcast_core::fold::{self, ClusterView, Condition, View};
use fleetcast_core::model::{ClusterName, Dialect, FederatedObject, ObjectKey};
use fleetcast_core::placement::{self, Exclusion};
use fleetcast_core::work;
use fleetcast_schemas::envelope::format_time;

use super::build::as_of;
use super::{
    AckLink, ChangeLink, ClusterLink, DecisionLink, Explanation, Rule, Standing, Wait, WorkLink,
};

/// The chain of `key` in all clusters of which something is to be said, or in `cluster`.
///
/// # Errors
/// A refusal where the log knows no such object.
pub(crate) fn explain(
    view: &View,
    key: &ObjectKey,
    cluster: Option<&ClusterName>,
) -> Result<Explanation, Refusal> {
    let object = view.object(key).ok_or_else(|| {
        Refusal::new(
            "object",
            format!("{} is not in the log up to {}", key.for_people(), view.log),
        )
    })?;
    let undecided = match &object.decision {
        Some(decision) if decision.revision >= object.change.revision => None,
        Some(_) | None => Some(format!(
            "revision {}: the change has no decision yet",
            object.change.revision
        )),
    };
    let chain = Chain {
        view,
        key,
        object,
        undecided: undecided.as_deref(),
        rows: view
            .rows(key)
            .into_iter()
            .map(|row| (row.cluster.clone(), row))
            .collect(),
        clusters: view.clusters().collect(),
    };
    let clusters: Vec<ClusterLink> = match cluster {
        None => object
            .standings
            .iter()
            .map(|(name, standing)| chain.decided(name, standing))
            .collect(),
        Some(name) => vec![match object.standings.get(name) {
            Some(standing) => chain.decided(name, standing),
            None => chain.not_meant(name),
        }],
    };
    let first_broken = |settled: bool| {
        clusters.iter().find_map(|link| {
            let broken = link.broken_link.as_ref()?;
            let is_settled = link.condition.is_none_or(Condition::is_settled);
            (is_settled == settled).then(|| format!("{}: {broken}", link.cluster))
        })
    };
    Ok(Explanation {
        as_of: as_of(view),
        object: key.clone(),
        name: key.for_people(),
        broken_link: undecided
            .clone()
            .or_else(|| first_broken(false))
            .or_else(|| first_broken(true)),
        change: change_link(&object.change),
        decision: object.decision.as_ref().map(decision_link),
        clusters,
    })
}

fn change_link(change: &fold::ChangeView) -> ChangeLink {
    ChangeLink {
        revision: change.revision,
        sequence: change.sequence,
        id: change.id.clone(),
        source: change.origin.source.clone(),
        time: change.time,
        dialect: change.dialect,
        withdrawn: change.withdrawn,
    }
}

fn decision_link(decision: &fold::DecisionView) -> DecisionLink {
    let fold::DecisionView {
        number,
        revision,
        sequence,
        id,
        causation,
        time,
        inputs,
    } = decision.clone();
    DecisionLink {
        number,
        revision,
        sequence,
        id,
        causation,
        time,
        inputs,
    }
}

/// One object's chain up to its clusters.
struct Chain<'a> {
    view: &'a View,
    key: &'a ObjectKey,
    object: &'a fold::Object,
    /// Why no decision says anything about the newest change, where none does.
    undecided: Option<&'a str>,
    rows: BTreeMap<ClusterName, fold::Row>,
    clusters: BTreeMap<&'a ClusterName, &'a ClusterView>,
}

impl Chain<'_> {
    /// The end of the chain in a cluster of which the decisions say something.
    fn decided(&self, cluster: &ClusterName, standing: &decision::Standing) -> ClusterLink {
        let answer = self.view.answer(self.key, cluster);
        let row = self.rows.get(cluster);
        ClusterLink {
            cluster: cluster.clone(),
            work: self.object.standings.place(cluster).map(|place| WorkLink {
                id: work::id(self.key, cluster, &place.epoch, place.number),
                decision: place.number,
            }),
            acknowledgement: answer.map(ack_link),
            condition: row.map(|row| row.condition),
            broken_link: row.and_then(|row| self.broken_link(row, standing)),
            standing: Standing::from(standing.clone()),
        }
    }

    fn broken_link(&self, row: &fold::Row, standing: &decision::Standing) -> Option<String> {
        if let decision::Standing::Assigned {
            kept: Some((reason, refusal)),
            revision,
            ..
        } = standing
            && row.condition == Condition::Refused
        {
            return Some(format!(
                "the newest change is not carried out here: {reason:?}: {refusal}; the cluster keeps revision {revision}"
            ));
        }
        match row.condition {
            Condition::Applied => None,
            Condition::Deciding => self.undecided.map(str::to_owned),
            Condition::Excluded => Some(format!("the cluster was not chosen: {}", row.message)),
            Condition::Refused => Some(format!("the cluster refused: {}", row.message)),
            Condition::Retrying => Some(format!(
                "the cluster tries again, {} times so far: {}",
                row.attempts, row.message
            )),
            Condition::Ahead => Some(format!(
                "not written, the cluster is ahead of the log: {}. Hand the object in anew, or `fleetcast restore --take-members` or `--reapply`",
                row.message
            )),
            Condition::Pending => Some(format!(
                "work is due, the cluster has not answered; {}",
                self.agent(&row.cluster)
            )),
            Condition::Held => Some(format!("removal is not let go: {}", row.message)),
            Condition::Removing => Some(format!(
                "removal is due, the cluster has not answered that it is done; {}",
                self.agent(&row.cluster)
            )),
        }
    }

    /// What is known of the cluster's agent.
    fn agent(&self, cluster: &ClusterName) -> String {
        match self.clusters.get(cluster) {
            None => "its agent was never heard of".to_owned(),
            Some(ClusterView {
                registered,
                online,
                trouble,
                since,
            }) => {
                let since = format_time(*since);
                let agent = match (online, trouble) {
                    (None, _) => "its agent was never heard of".to_owned(),
                    (Some(true), None) => format!("its agent is online since {since}"),
                    (Some(true), Some(trouble)) => {
                        format!("the cluster is degraded since {since}: {trouble}")
                    }
                    (Some(false), _) => format!("its agent is offline since {since}"),
                };
                match registered {
                    Some(_) => agent,
                    None => format!("{agent}; the cluster is not registered"),
                }
            }
        }
    }

    /// The end of the chain in a cluster of which no decision says anything.
    fn not_meant(&self, cluster: &ClusterName) -> ClusterLink {
        let rule = self.rule(cluster);
        ClusterLink {
            cluster: cluster.clone(),
            work: None,
            acknowledgement: self.view.answer(self.key, cluster).map(ack_link),
            condition: None,
            broken_link: Some(self.undecided.map_or_else(
                || {
                    format!(
                        "the cluster was not chosen: {:?}: {}",
                        rule.reason, rule.message
                    )
                },
                str::to_owned,
            )),
            standing: Standing::Excluded(rule),
        }
    }

    /// What placement says today about a cluster that no decision names.
    fn rule(&self, cluster: &ClusterName) -> Rule {
        let rule = |reason, refusal: Refusal| Rule {
            reason,
            field: refusal.field,
            message: refusal.message,
        };
        let says = |reason, message: &str| rule(reason, Refusal::new("", message));
        if self.object.change.withdrawn {
            return says(
                Exclusion::NotSelected,
                &format!("withdrawn in revision {}", self.object.change.revision),
            );
        }
        let registered = self
            .clusters
            .get(cluster)
            .and_then(|known| known.registered.as_ref());
        if self.object.change.dialect == Some(Dialect::Karmada) && registered.is_some() {
            return match self.unmet_by_policies(cluster) {
                Some((reason, refusal)) => rule(reason, refusal),
                None => says(
                    Exclusion::NotSelected,
                    "the newest decision is older than this: the policies would place it there",
                ),
            };
        }
        match (registered, self.parse()) {
            (None, _) => says(Exclusion::Unknown, "is not registered"),
            (Some(_), None) => says(
                Exclusion::Unknown,
                "the object's document cannot be read by this version",
            ),
            (Some(cluster), Some(object)) => {
                match placement::judge(&object.placement, cluster, false) {
                    Err((reason, refusal)) => rule(reason, refusal),
                    Ok(reasons) => says(
                        Exclusion::NotSelected,
                        &format!(
                            "the newest decision is older than this: {}",
                            reasons.join("; ")
                        ),
                    ),
                }
            }
        }
    }

    /// What the policies say about a cluster that they do not choose for a plain object.
    fn unmet_by_policies(&self, cluster: &ClusterName) -> Option<(Exclusion, Refusal)> {
        let there = self.view.policies();
        let there = there.filter(|(_, policy)| !policy.change.withdrawn);
        let set = karmada::Set::of_log(
            None,
            there.filter_map(|(key, policy)| {
                Some((key, policy.change.document.as_ref()?, policy.born))
            }),
        );
        let members = self.clusters.iter().filter_map(|(name, known)| {
            let member = karmada::Member::from_cluster(known.registered.as_ref()?);
            Some(((*name).clone(), member))
        });
        let document = self.object.change.document.as_ref()?.value().ok()?;
        let plain = Plain {
            key: self.key,
            document: &document,
            created: &self.object.change.time.rfc3339(),
            held: &self.object.standings.replicas(),
            available: &BTreeMap::new(),
        };
        live::why_not(&set, &plain, &members.collect(), cluster)
    }

    fn parse(&self) -> Option<FederatedObject> {
        let document = self.object.change.document.as_ref()?.value().ok()?;
        match dialect::read(&document) {
            Ok(Input::Object(object)) => Some(*object),
            Ok(Input::Cluster(_)) | Err(_) => None,
        }
    }
}

fn ack_link(answer: &fold::Answer) -> AckLink {
    AckLink {
        outcome: answer.outcome,
        message: answer.message.clone(),
        attempts: answer.attempts,
        decision: answer.place.number,
        revision: answer.revision,
        time: answer.time,
        work_id: answer.work_id.clone(),
        observed: answer.observed.clone(),
    }
}

impl From<(Exclusion, Refusal)> for Rule {
    fn from((reason, Refusal { field, message }): (Exclusion, Refusal)) -> Self {
        Self {
            reason,
            field,
            message,
        }
    }
}

impl From<decision::Standing> for Standing {
    fn from(standing: decision::Standing) -> Self {
        match standing {
            decision::Standing::Assigned {
                decision,
                revision,
                digest,
                replicas,
                reasons,
                kept,
                held,
            } => Self::Assigned {
                decision,
                revision,
                digest,
                replicas,
                reasons,
                kept: kept.map(Rule::from),
                held: held.map(|hold| Wait::from(*hold)),
            },
            decision::Standing::Removing {
                decision,
                revision,
                mode,
                reason,
            } => Self::Removing {
                decision,
                revision,
                mode,
                reason,
            },
            decision::Standing::Excluded { reason, refusal } => {
                Self::Excluded(Rule::from((reason, refusal)))
            }
        }
    }
}
