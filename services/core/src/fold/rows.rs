//! What the view says about one object in one cluster.

use serde::{Deserialize, Serialize};

use super::{Answer, View};
use crate::ack::{Observed, Outcome};
use crate::decision::Standing;
use crate::digest;
use crate::health::Health;
use crate::model::{ClusterName, ObjectKey};
use crate::time::Time;

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
    /// Replicas assigned.
    pub replicas: Option<i64>,
    /// The digest of the manifest that is due.
    pub digest: Option<String>,
    /// Why it is so: reasons of the placement, or what the cluster answered.
    pub message: String,
    /// How often the cluster has tried.
    pub attempts: u32,
    /// When the cluster answered last; none before.
    pub answered_at: Option<Time>,
    /// How many revisions the cluster is behind.
    pub behind: u64,
    /// What was seen of the copy; its health is unknown while the cluster's agent is not heard.
    pub observed: Observed,
}

/// How an object stands in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The newest decision is not made yet.
    Deciding,
    /// The cluster holds what it should.
    Applied,
    /// The cluster has not answered about what it should hold.
    Pending,
    /// The cluster tries again.
    Retrying,
    /// The cluster said no.
    Refused,
    /// The copy is to go, or to lose our marks.
    Removing,
    /// The cluster holds something newer than the log knows.
    Ahead,
    /// It was asked for and does not get it.
    Excluded,
}

impl Condition {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deciding => "deciding",
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Refused => "refused",
            Self::Removing => "removing",
            Self::Ahead => "ahead",
            Self::Excluded => "excluded",
        }
    }

    /// Whether the cluster has what was wanted, or will not get it by decision.
    pub fn is_settled(self) -> bool {
        match self {
            Self::Applied | Self::Excluded => true,
            Self::Deciding
            | Self::Pending
            | Self::Retrying
            | Self::Refused
            | Self::Removing
            | Self::Ahead => false,
        }
    }
}

/// One row in the form that is compared after a rebuild: no sequences, epochs or times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CanonicalRow {
    /// The object.
    pub object: ObjectKey,
    /// The cluster.
    pub cluster: ClusterName,
    /// The decision that is due.
    pub decision: u64,
    /// The newest revision of the object.
    pub revision: u64,
    /// How it stands.
    pub outcome: String,
    /// The digest of the rendered manifest.
    pub digest: String,
}

impl View {
    /// The rows of one object, by cluster; removals that were answered are not among them.
    pub fn rows(&self, key: &ObjectKey) -> Vec<Row> {
        let Some(object) = self.objects.get(key) else {
            return Vec::new();
        };
        let decided = object
            .decision
            .as_ref()
            .map_or(0, |decision| decision.revision);
        object
            .standings
            .iter()
            .filter_map(|(cluster, standing)| {
                self.row(key, object.change.revision, decided, cluster, standing)
            })
            .collect()
    }

    fn row(
        &self,
        key: &ObjectKey,
        revision: u64,
        decided: u64,
        cluster: &ClusterName,
        standing: &Standing,
    ) -> Option<Row> {
        let answer = self.answer(key, cluster);
        let mut row = Row {
            cluster: cluster.clone(),
            condition: Condition::Pending,
            revision,
            applied_revision: answer.map_or(0, Answer::applied_revision),
            decision: 0,
            replicas: None,
            digest: None,
            message: answer
                .map(|answer| answer.message.clone())
                .unwrap_or_default(),
            attempts: answer.map_or(0, |answer| answer.attempts),
            answered_at: answer.map(|answer| answer.time),
            behind: 0,
            observed: self.observed(answer, cluster),
        };
        if let Some((decision, _)) = standing.due() {
            row.decision = decision;
        }
        let answers_it = |decision: u64| {
            answer.is_some_and(|answer| {
                Some(&answer.epoch) == self.epoch() && answer.decision == decision
            })
        };
        let ahead = answer.is_some_and(|answer| {
            self.epoch()
                .is_some_and(|epoch| (&answer.epoch, answer.decision) > (epoch, row.decision))
        });
        match standing {
            Standing::Assigned {
                decision,
                revision: since,
                digest,
                replicas,
                reasons,
                kept,
            } => {
                row.replicas = *replicas;
                row.digest = Some(digest.clone());
                row.condition = match answer.map(|answer| answer.outcome) {
                    _ if ahead => Condition::Ahead,
                    Some(Outcome::Applied) if answers_it(*decision) => Condition::Applied,
                    Some(Outcome::Refused) if answers_it(*decision) => Condition::Refused,
                    Some(Outcome::Retrying) if answers_it(*decision) => Condition::Retrying,
                    Some(_) | None => Condition::Pending,
                };
                if row.condition == Condition::Applied {
                    // The manifest did not change since: the cluster holds the newest revision that was decided, too.
                    row.applied_revision = if kept.is_some() { *since } else { decided };
                    row.message = reasons.join("; ");
                }
                if row.condition == Condition::Pending {
                    row.message = match answer {
                        Some(answer) => format!(
                            "no answer yet to decision {decision}; last answer was to {}",
                            answer.decision
                        ),
                        None => "no answer yet".to_owned(),
                    };
                }
                if let Some((reason, refusal)) = kept {
                    row.condition = Condition::Refused;
                    row.message =
                        format!("{reason:?}: {refusal}; the cluster keeps revision {since}");
                }
                if decided < revision {
                    row.condition = Condition::Deciding;
                    row.applied_revision = row.applied_revision.min(decided);
                }
                row.behind = revision.saturating_sub(row.applied_revision);
            }
            Standing::Removing {
                decision, reason, ..
            } => {
                if answers_it(*decision) && answer.is_some_and(|answer| answer.outcome.is_final()) {
                    return None;
                }
                row.condition = if ahead {
                    Condition::Ahead
                } else {
                    Condition::Removing
                };
                row.message = match row.message.is_empty() {
                    true => reason.clone(),
                    false => format!("{reason}; {}", row.message),
                };
                row.behind = 1;
            }
            Standing::Excluded { reason, refusal } => {
                row.condition = Condition::Excluded;
                row.message = format!("{reason:?}: {refusal}");
            }
        }
        Some(row)
    }

    /// What was seen of a copy; how it does nobody knows while its cluster is not heard.
    fn observed(&self, answer: Option<&Answer>, cluster: &ClusterName) -> Observed {
        let mut observed = answer
            .map(|answer| answer.observed.clone())
            .unwrap_or_default();
        let is_silent = self
            .clusters
            .get(cluster)
            .is_some_and(|cluster| cluster.online == Some(false));
        if let Some(health) = observed.health.as_mut().filter(|_| is_silent) {
            let last = health.state.word();
            *health = Health::unknown(format!(
                "its agent is offline; {last} when it was heard last"
            ));
        }
        observed
    }

    /// Every row in the form that is compared after a rebuild, in order.
    pub fn canonical_rows(&self) -> Vec<CanonicalRow> {
        let mut rows = Vec::new();
        for key in self.objects.keys() {
            for row in self.rows(key) {
                rows.push(CanonicalRow {
                    object: key.clone(),
                    cluster: row.cluster,
                    decision: row.decision,
                    revision: row.revision,
                    outcome: row.condition.word().to_owned(),
                    digest: row.digest.unwrap_or_default(),
                });
            }
        }
        rows
    }

    /// The digest over the canonical rows: equal views, equal digests.
    pub fn digest(&self) -> String {
        let rows = serde_json::to_vec(&self.canonical_rows()).expect("rows have only string keys");
        digest::of_bytes(&rows)
    }
}
