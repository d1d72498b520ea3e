//! What the view says about one object in one cluster.

use serde::{Deserialize, Serialize};

use super::{Answer, ClusterView, Object, View};
use crate::ack::{Observed, Outcome};
use crate::decision::{Hold, Place, Standing};
use crate::digest;
use crate::health::Health;
use crate::model::{ClusterName, ObjectKey};
use crate::readiness::Readiness;
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
    /// Why the copy is to go and does not yet, where that waits for a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// What was seen of the copy; its health is unknown while the cluster's agent is not heard.
    pub observed: Observed,
}

/// How an object stands in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The newest decision is not made yet, or not folded yet.
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
    /// The copy is to go, which waits for a confirmation: too much would go at once.
    Held,
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
            Self::Held => "held",
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
            | Self::Held
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

/// What the greatest answer of a cluster says about the decision that is due there.
enum Answered {
    /// It answers that decision.
    It(Outcome),
    /// It answers an earlier one, or there is none.
    Before,
    /// It answers a later one that is not folded yet.
    NotFolded,
    /// It answers one of a history that is lost.
    Lost,
}

/// What is said of a cluster that answered a decision which the view does not hold.
fn beyond(answer: &Answer, condition: Condition) -> String {
    let place = &answer.place;
    match condition {
        Condition::Ahead => format!("the cluster answered {place}, which the log does not know"),
        _ => format!("the cluster answered {place}, which is not folded yet"),
    }
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
            .filter_map(|(cluster, standing)| self.row(key, object, decided, cluster, standing))
            .collect()
    }

    fn row(
        &self,
        key: &ObjectKey,
        object: &Object,
        decided: u64,
        cluster: &ClusterName,
        standing: &Standing,
    ) -> Option<Row> {
        let (revision, standings) = (object.change.revision, &object.standings);
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
            held: None,
            observed: self.observed(answer, cluster),
        };
        let place = standings.place(cluster);
        if let Some(place) = &place {
            row.decision = place.number;
        }
        let answered = answer
            .zip(place.as_ref())
            .map_or(Answered::Before, |(answer, place)| {
                self.answered_of(answer, place)
            });
        match standing {
            Standing::Assigned {
                decision,
                revision: since,
                digest,
                replicas,
                reasons,
                kept,
                held,
            } => {
                row.replicas = *replicas;
                row.digest = Some(digest.clone());
                row.condition = match answered {
                    Answered::It(Outcome::Applied) => Condition::Applied,
                    Answered::It(Outcome::Refused) => Condition::Refused,
                    Answered::It(Outcome::Retrying) => Condition::Retrying,
                    Answered::It(Outcome::Ahead) | Answered::Lost => Condition::Ahead,
                    Answered::It(Outcome::Removed | Outcome::Orphaned) | Answered::Before => {
                        Condition::Pending
                    }
                    Answered::NotFolded => Condition::Deciding,
                };
                if row.condition == Condition::Applied {
                    // The manifest did not change since: the cluster holds the newest revision that was decided, too.
                    row.applied_revision = if kept.is_some() || held.is_some() {
                        *since
                    } else {
                        decided
                    };
                    row.message = reasons.join("; ");
                }
                if row.condition == Condition::Pending {
                    row.message = match answer {
                        Some(answer) => format!(
                            "no answer yet to decision {decision}; last answer was to {}",
                            answer.place.number
                        ),
                        None => "no answer yet".to_owned(),
                    };
                }
                if let (Answered::NotFolded | Answered::Lost, Some(answer)) = (&answered, answer) {
                    row.message = beyond(answer, row.condition);
                }
                if let Some((reason, refusal)) = kept
                    && row.condition != Condition::Ahead
                {
                    row.condition = Condition::Refused;
                    row.message =
                        format!("{reason:?}: {refusal}; the cluster keeps revision {since}");
                }
                if let Some(hold) = held {
                    row.held = Some(Hold::clone(hold));
                    if matches!(row.condition, Condition::Applied | Condition::Pending) {
                        row.condition = Condition::Held;
                        row.message = hold.for_people();
                    }
                }
                if decided < revision {
                    row.condition = Condition::Deciding;
                    row.applied_revision = row.applied_revision.min(decided);
                }
                row.behind = revision.saturating_sub(row.applied_revision);
            }
            Standing::Removing { reason, .. } => {
                row.condition = match answered {
                    Answered::It(outcome) if outcome.is_final() => return None,
                    Answered::It(Outcome::Ahead) | Answered::Lost => Condition::Ahead,
                    Answered::NotFolded => Condition::Deciding,
                    Answered::It(_) | Answered::Before => Condition::Removing,
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

    /// What was seen of a copy; how it does nobody knows while its cluster is not heard, or not seen by its agent.
    fn observed(&self, answer: Option<&Answer>, cluster: &ClusterName) -> Observed {
        let mut observed = answer
            .map(|answer| answer.observed.clone())
            .unwrap_or_default();
        let readiness = self.clusters.get(cluster).map(ClusterView::readiness);
        let why = match readiness {
            Some(Readiness::Offline) => "its agent is offline",
            Some(Readiness::Degraded) => "its agent cannot see it",
            Some(Readiness::Ready | Readiness::Unknown) | None => return observed,
        };
        if let Some(health) = observed.health.as_mut() {
            let last = health.state.word();
            *health = Health::unknown(format!("{why}; {last} when it was heard last"));
        }
        observed
    }

    /// What `answer` says about the decision at `due`.
    fn answered_of(&self, answer: &Answer, due: &Place) -> Answered {
        if answer.place == *due {
            return Answered::It(answer.outcome);
        }
        if !answer.place.is_ahead_of(due) {
            return Answered::Before;
        }
        // What was decided in the epoch that the log tells stands in it, and is met further on. What was decided in an earlier one and is not
        // there will never be.
        match self.epoch() {
            Some(epoch) if answer.place.epoch.number > epoch.number => Answered::NotFolded,
            Some(epoch) if answer.place.epoch == *epoch => Answered::NotFolded,
            Some(_) => Answered::Lost,
            None => Answered::NotFolded,
        }
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
        CanonicalRow::digest_of(&self.canonical_rows())
    }
}

impl CanonicalRow {
    /// The digest over all rows of a view.
    pub fn digest_of(rows: &[Self]) -> String {
        digest::of_bytes(&serde_json::to_vec(rows).expect("rows have only string keys"))
    }
}
