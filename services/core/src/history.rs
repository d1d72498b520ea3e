//! The history of one object: each revision with what it changed, what was decided because of it, and how long its clusters took.
//!
//! Fed first with the object's events of the log, in order, then with acknowledgements.

mod cut;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;
use crate::ack::{Ack, Outcome};
use crate::change::{Change, Content, Origin};
use crate::decision::{Decision, Inputs, Standing, Standings};
use crate::dialect::{self, Input};
use crate::diff::{self, Difference};
use crate::document::Document;
use crate::epoch::Epoch;
use crate::log::{Entry, Event};
use crate::model::{Cluster, ClusterName, Dialect, ObjectKey};
use crate::placement::Exclusion;
use crate::plan::{self, Rendered};
use crate::sealed;
use crate::time::Time;

/// The history of one object as far as it was told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The log sequence up to which it was cut away; none where it was not.
    pub cut: Option<u64>,
    /// Its revisions, the oldest first.
    pub revisions: Vec<Revision>,
    standings: Standings,
    document: Option<Document>,
    /// What no cluster has answered yet: the place of the decision, by cluster and number.
    open: BTreeMap<(ClusterName, u64), (usize, usize)>,
}

/// One change of the object, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// When it was taken in.
    pub time: Time,
    /// Who handed it in.
    pub origin: Origin,
    /// Its dialect; none for a withdrawal.
    pub dialect: Option<Dialect>,
    /// Whether it withdraws the object, and if so whether copies stay.
    pub withdrawn: Option<bool>,
    /// The document that declares it; none for a withdrawal.
    pub document: Option<Document>,
    /// What differs from the revision before; nothing for the first.
    pub changed: Vec<Difference>,
    /// The decisions that carry it out, the oldest first.
    pub decisions: Vec<Decided>,
}

/// One decision, and what the clusters answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Its number.
    pub number: u64,
    /// The epoch in which it was made.
    pub epoch: Epoch,
    /// Its place in the log.
    pub sequence: u64,
    /// Its event's id.
    pub id: String,
    /// When it was made.
    pub time: Time,
    /// What asked for it.
    pub cause: Cause,
    /// What it looked at.
    pub inputs: Inputs,
    /// The clusters that it gives work, with what became of that.
    pub clusters: BTreeMap<ClusterName, Task>,
    /// The clusters that it leaves out, with the reason.
    pub excluded: BTreeMap<ClusterName, (Exclusion, Refusal)>,
    /// Where the object stands in every cluster after it.
    pub standings: Standings,
}

/// What asked for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The change that it carries out.
    Change,
    /// News about a cluster, at this place in the log.
    Cluster(u64),
    /// Another object that this one depends on, at this place in the log.
    Related(u64),
    /// Something else that the decision looks at.
    Other,
}

/// What one cluster was to do, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The digest of the manifest that it should hold; none where the object is to go.
    pub digest: Option<String>,
    /// What it answered last about this decision, and when that was stored first.
    pub answer: Option<(Outcome, String, Time)>,
    /// The decision that took this one's place before the cluster had done it.
    pub superseded: Option<u64>,
}

impl Task {
    /// Whether nothing more is to come.
    pub fn is_done(&self) -> bool {
        self.superseded.is_some()
            || self
                .answer
                .as_ref()
                .is_some_and(|(outcome, _, _)| outcome.is_final())
    }
}

impl History {
    /// Takes the object's next event of the log.
    pub fn logged(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Change(change) | Event::Policy(change) => self.changed(entry, change),
            Event::Decision(decision) => self.decided(entry, decision),
            Event::Cluster(_) | Event::Epoch(_) => {}
        }
    }

    fn changed(&mut self, entry: &Entry, change: &Change) {
        let Change {
            object: _,
            revision,
            origin,
            time,
            content,
        } = change;
        let (dialect, document, withdrawn) = match content {
            Content::Declared { dialect, document } => {
                (Some(*dialect), Some(document.clone()), None)
            }
            Content::Withdrawn {
                orphan,
                together: _,
            } => (None, None, Some(*orphan)),
        };
        let changed = match (&self.document, &document) {
            (Some(before), Some(after)) => differences(before, after),
            (None, _) | (_, None) => Vec::new(),
        };
        if document.is_some() {
            self.document.clone_from(&document);
        }
        self.revisions.push(Revision {
            revision: *revision,
            sequence: entry.sequence,
            id: entry.id.clone(),
            time: *time,
            origin: origin.clone(),
            dialect,
            withdrawn,
            document,
            changed,
            decisions: Vec::new(),
        });
    }

    fn decided(&mut self, entry: &Entry, decision: &Decision) {
        let before = self
            .revisions
            .iter()
            .flat_map(|revision| &revision.decisions)
            .next_back()
            .map(|before| before.inputs.clone())
            .unwrap_or_default();
        self.standings.apply(decision);
        let Some(at) = self
            .revisions
            .iter()
            .rposition(|revision| revision.revision == decision.revision)
        else {
            return;
        };
        let mut clusters = BTreeMap::new();
        for (cluster, standing) in self.standings.iter() {
            if standing
                .due()
                .is_some_and(|(number, _)| number == decision.number)
            {
                let digest = match standing {
                    Standing::Assigned { digest, .. } => Some(digest.clone()),
                    Standing::Removing { .. } | Standing::Excluded { .. } => None,
                };
                let task = Task {
                    digest,
                    answer: None,
                    superseded: None,
                };
                clusters.insert(cluster.clone(), task);
            }
        }
        let excluded = decision.body.excluded.iter().flat_map(|group| {
            let why = (
                group.reason,
                Refusal::new(group.field.clone(), group.message.clone()),
            );
            let clusters = group.clusters.iter();
            clusters.map(move |cluster| (cluster.clone(), why.clone()))
        });
        let place = (at, self.revisions[at].decisions.len());
        for cluster in clusters.keys() {
            self.open.insert((cluster.clone(), decision.number), place);
        }
        let inputs = &decision.body.inputs;
        let cause = if inputs.change_sequence != before.change_sequence {
            Cause::Change
        } else if inputs.cluster_sequence != before.cluster_sequence {
            Cause::Cluster(inputs.cluster_sequence)
        } else if inputs.related_sequence != before.related_sequence {
            Cause::Related(inputs.related_sequence)
        } else {
            Cause::Other
        };
        self.revisions[at].decisions.push(Decided {
            number: decision.number,
            epoch: decision.epoch.clone(),
            sequence: entry.sequence,
            id: entry.id.clone(),
            time: decision.time,
            cause,
            inputs: inputs.clone(),
            excluded: excluded.collect(),
            clusters,
            standings: self.standings.clone(),
        });
    }

    /// The clusters that did not answer yet, each with the first decision that it owes an answer to.
    pub fn open(&self) -> impl Iterator<Item = (&ClusterName, u64)> {
        self.open.keys().map(|(cluster, number)| (cluster, *number))
    }

    /// Takes what `cluster` is known to have answered in the end: about later decisions nothing is to come, and about that one nothing more.
    /// None where it never answered.
    pub fn stands(&mut self, cluster: &ClusterName, last: Option<(u64, Outcome, &str, Time)>) {
        let answered = last.map_or(0, |(decision, _, _, _)| decision);
        self.open
            .retain(|(open, decision), _| open != cluster || *decision <= answered);
        if let Some((decision, outcome, message, time)) = last
            && !outcome.is_final()
            && let Some((at, number)) = self.open.remove(&(cluster.clone(), decision))
            && let Some(task) = self.revisions[at].decisions[number]
                .clusters
                .get_mut(cluster)
        {
            task.answer = Some((outcome, message.to_owned(), time));
        }
    }

    /// When the first decision was made that one of `clusters` owes an answer to; none where all is answered.
    pub fn open_since_in(&self, clusters: &[ClusterName]) -> Option<Time> {
        let mine = |(cluster, _): &(ClusterName, u64)| clusters.contains(cluster);
        self.open
            .iter()
            .filter(|(key, _)| mine(key))
            .map(|(_, (revision, decision))| self.revisions[*revision].decisions[*decision].time)
            .min()
    }

    /// Takes what `cluster` answered about the object, stored first at `time`; answers come in the order in which they were stored.
    pub fn acknowledged(&mut self, cluster: &ClusterName, ack: &Ack, time: Time) {
        let owed: Vec<(u64, (usize, usize))> = self
            .open
            .range((cluster.clone(), 0)..=(cluster.clone(), ack.decision))
            .map(|((_, number), place)| (*number, *place))
            .collect();
        for (number, (revision, decision)) in owed {
            let decided = &mut self.revisions[revision].decisions[decision];
            let Some(task) = decided.clusters.get_mut(cluster) else {
                continue;
            };
            if number == ack.decision {
                // One of the same number that a lost history made is another decision.
                if decided.epoch != ack.place().epoch {
                    continue;
                }
                task.answer = Some((ack.outcome, ack.message.clone(), time));
            } else {
                task.superseded = Some(ack.decision);
            }
            if task.is_done() {
                self.open.remove(&(cluster.clone(), number));
            }
        }
    }

    /// One revision.
    pub fn revision(&self, revision: u64) -> Option<&Revision> {
        self.revisions
            .iter()
            .find(|known| known.revision == revision)
    }

    /// The document that declares a revision; for a withdrawal none.
    pub fn document(&self, revision: u64) -> Option<&Document> {
        self.revision(revision)?.document.as_ref()
    }
}

impl Revision {
    /// The clusters that have not done what the revision's decisions asked, as far as no later decision took their place.
    pub fn waiting(&self) -> Vec<&ClusterName> {
        let tasks = self.decisions.iter().flat_map(|decided| &decided.clusters);
        let mut waiting: Vec<&ClusterName> = tasks
            .filter(|(_, task)| !task.is_done())
            .map(|(cluster, _)| cluster)
            .collect();
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }

    /// When the last cluster had done what the revision's decisions asked; none while one has not, or where none was asked.
    pub fn done_at(&self) -> Option<Time> {
        let mut last = None;
        for task in self
            .decisions
            .iter()
            .flat_map(|decided| decided.clusters.values())
        {
            if !task.is_done() {
                return None;
            }
            let answered = task.answer.as_ref().filter(|_| task.superseded.is_none());
            last = last.max(answered.map(|(_, _, time)| *time));
        }
        last
    }
}

/// What differs between two documents; as a whole where one is no JSON.
pub fn differences(from: &Document, to: &Document) -> Vec<Difference> {
    let value = |document: &Document| document.value().unwrap_or(Value::Null);
    diff::fields(&value(from), &value(to))
}

/// The manifest that a document became in `cluster`, where it stood as `standing` says.
///
/// # Errors
/// Where this version renders it to another digest than was decided, or cannot read it.
pub fn rendered(
    document: &Document,
    cluster: &Cluster,
    standing: &Standing,
) -> Result<Option<Rendered>, Refusal> {
    let Standing::Assigned {
        digest, replicas, ..
    } = standing
    else {
        return Ok(None);
    };
    let value = document
        .value()
        .map_err(|error| Refusal::new("", format!("the document is no JSON: {error}")))?;
    let Input::Object(object) = dialect::read(&value)? else {
        return Err(Refusal::new("kind", "the document declares no object"));
    };
    let rendered = plan::render_with(&object, cluster, *replicas)?;
    if rendered.digest != *digest {
        return Err(Refusal::new(
            "digest",
            format!(
                "this version renders {} for {}, and {digest} was decided: it looked at more than the document and the cluster, or another \
                 version decided",
                rendered.digest, cluster.name
            ),
        ));
    }
    Ok(Some(rendered))
}

/// Hides what is secret in differences between documents: of a sealed value its digest is shown, of a Secret's value in plain text only that it differs.
pub fn hide_secrets(object: &ObjectKey, differences: &mut [Difference]) {
    for Difference { field: _, from, to } in differences.iter_mut() {
        for value in [from, to].into_iter().flatten() {
            *value = sealed::shown(value);
        }
    }
    if object.kind() != "Secret" {
        return;
    }
    const SECRET: [&str; 3] = ["data", "stringData", "overrides"];
    for Difference { field, from, to } in differences {
        let is_inside = field
            .split(['.', '['])
            .any(|token| SECRET.contains(&token.trim_end_matches(']')));
        for value in [from, to].into_iter().flatten() {
            if is_inside {
                hide_leaves(value);
            } else {
                hide(value, &SECRET);
            }
        }
    }
}

/// Hides a value, but for the digests of sealed ones in it.
fn hide_leaves(value: &mut Value) {
    match value {
        Value::Object(members) if members.values().any(has_digest) => {
            members.values_mut().for_each(hide_leaves);
        }
        Value::Array(elements) if elements.iter().any(has_digest) => {
            elements.iter_mut().for_each(hide_leaves);
        }
        Value::String(text) if sealed::is_shown(text) => {}
        other => *other = Value::from("(secret)"),
    }
}

fn has_digest(value: &Value) -> bool {
    match value {
        Value::String(text) => sealed::is_shown(text),
        Value::Object(members) => members.values().any(has_digest),
        Value::Array(elements) => elements.iter().any(has_digest),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn hide(value: &mut Value, secret: &[&str]) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if secret.contains(&key.as_str()) {
                    hide_leaves(value);
                } else {
                    hide(value, secret);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|value| hide(value, secret)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
