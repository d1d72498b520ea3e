//! Tells the history of one object, and compares two of its revisions: from its own events of the log, and from the acknowledgements after
//! each decision until its clusters have answered.

use std::collections::BTreeMap;

use fleetcast_bus::range::Part;
use fleetcast_bus::streams;
use fleetcast_core::Refusal;
use fleetcast_core::decision::Standing;
use fleetcast_core::diff;
use fleetcast_core::fold::View;
use fleetcast_core::history::{self, Cause, Decided, History};
use fleetcast_core::log::{ClusterNews, Event};
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::placer;
use fleetcast_core::time::Time;
use fleetcast_schemas::{event, subject};
use serde_json::Value;

use super::archive::Position;
use super::{Historian, Untold};
use crate::answer::AsOf;
use crate::answer::past as answer;

/// How far the clocks of the bus and of ingest may differ, milliseconds: acknowledgements are looked for from so much before a decision on.
const SKEW_MS: i64 = 5_000;

impl Historian {
    /// The object's own events of the log up to `now`.
    async fn logged(&self, object: &ObjectKey, now: &Position) -> Result<History, Untold> {
        let part = Part {
            filters: vec![subject::change_of(object), subject::decision(object)],
            from: 1,
            upto: Some(now.log),
            ..Part::default()
        };
        let mut history = match self.at_cut(now).await? {
            Some(view) => History::at_cut(&view, object),
            None => History::default(),
        };
        let mut events = self.bus.range(streams::LOG, part).await?;
        while let Some(dated) = events.next().await? {
            let stored = dated.stored;
            if let Ok(entry) = event::log_entry(&stored.message, stored.sequence) {
                history.logged(&entry);
            }
        }
        if history.revisions.is_empty() {
            let message = format!(
                "{} is not in the log up to {}",
                object.for_people(),
                now.log
            );
            return Err(Refusal::new("object", message).into());
        }
        Ok(history)
    }

    /// The history of `object`; `stands` is what each cluster answered last about it.
    pub(crate) async fn history(
        &self,
        object: &ObjectKey,
        as_of: AsOf,
        now: &Position,
        stands: Stands,
    ) -> Result<answer::History, Untold> {
        let mut history = self.logged(object, now).await?;
        let mut asked: Vec<ClusterName> = history.open().map(|(name, _)| name.clone()).collect();
        asked.dedup();
        for cluster in &asked {
            let last = stands.get(cluster);
            let last = last.map(|(decision, outcome, message, time)| {
                (*decision, *outcome, message.as_str(), *time)
            });
            history.stands(cluster, last);
        }
        let partitions = u16::try_from(now.acks.len()).unwrap_or(u16::MAX);
        let mut by_partition: BTreeMap<u16, Vec<ClusterName>> = BTreeMap::new();
        for cluster in asked {
            let partition = placer::partition(&cluster, partitions);
            by_partition.entry(partition).or_default().push(cluster);
        }
        for (partition, clusters) in by_partition {
            let upto = now.acks.get(&partition).copied().unwrap_or(0);
            self.answered(object, &mut history, partition, &clusters, upto)
                .await?;
        }
        Ok(answer::History {
            as_of,
            object: object.clone(),
            name: object.for_people(),
            cut: history.cut,
            revisions: history
                .revisions
                .iter()
                .map(answer::Revision::from)
                .collect(),
        })
    }

    /// Reads what the clusters of a partition answered: from each decision on until all have, then from the next that is open.
    async fn answered(
        &self,
        object: &ObjectKey,
        history: &mut History,
        partition: u16,
        clusters: &[ClusterName],
        upto: u64,
    ) -> Result<(), Untold> {
        let stream = streams::acks(partition);
        let mut read = 0;
        while let Some(since) = history.open_since_in(clusters) {
            let since = since.plus_ms(-SKEW_MS);
            let before = self.bus.seek(&stream, |dated| dated.time < since).await?;
            let part = Part {
                from: before.max(read) + 1,
                upto: Some(upto),
                bodies_stay: true,
                ..Part::default()
            };
            let mut acks = self.bus.range(&stream, part).await?;
            let mut met = false;
            while let Some(dated) = acks.next().await? {
                met = true;
                read = dated.stored.sequence;
                if let Ok((_, batch)) = event::read_acks(&dated.stored.message) {
                    for ack in batch.body.acks.iter().filter(|ack| ack.object == *object) {
                        history.acknowledged(&batch.cluster, ack, dated.time);
                    }
                }
                // Nobody owes an answer to what was decided by then: the next decision may be far away.
                let is_far = |open: Time| open.plus_ms(-SKEW_MS) > dated.time;
                if history.open_since_in(clusters).is_none_or(is_far) {
                    break;
                }
            }
            if !met {
                break;
            }
        }
        Ok(())
    }

    /// Compares two revisions of `object`: their documents, or what they became in `cluster`.
    pub(crate) async fn compare(
        &self,
        object: &ObjectKey,
        as_of: AsOf,
        now: &Position,
        between: (Option<u64>, Option<u64>),
        cluster: Option<&ClusterName>,
    ) -> Result<answer::Comparison, Untold> {
        let history = self.logged(object, now).await?;
        let newest = history
            .revisions
            .last()
            .map_or(0, |revision| revision.revision);
        let to = between.1.unwrap_or(newest);
        let from = match between.0 {
            Some(from) => from,
            None if to > 1 => to - 1,
            None => {
                let message = "revision 1 is the first: there is nothing before it";
                return Err(Refusal::new("from", message).into());
            }
        };
        let (before, from) = self.side(&history, "from", from, cluster, now).await?;
        let (after, to) = self.side(&history, "to", to, cluster, now).await?;
        let mut differences = diff::fields(&before, &after);
        history::hide_secrets(object, &mut differences);
        Ok(answer::Comparison {
            as_of,
            object: object.clone(),
            name: object.for_people(),
            cluster: cluster.cloned(),
            from,
            to,
            differences,
        })
    }

    /// What a revision declares, or became in `cluster`; null where there is nothing.
    async fn side(
        &self,
        history: &History,
        field: &str,
        number: u64,
        cluster: Option<&ClusterName>,
        now: &Position,
    ) -> Result<(Value, answer::Side), Untold> {
        let revision = history.revision(number).ok_or_else(|| {
            let last = history.revisions.last().map_or(0, |last| last.revision);
            let first = history.revisions.first().map_or(0, |first| first.revision);
            Refusal::new(
                field,
                match number {
                    1.. if number < first => format!(
                        "the history of revision {number} was cut away; {first} to {last} are known"
                    ),
                    _ => format!("there is no revision {number}; there are {first} to {last}"),
                },
            )
        })?;
        let mut side = answer::Side {
            revision: number,
            sequence: revision.sequence,
            time: revision.time,
            exists: false,
            why: String::new(),
            decision: None,
            digest: None,
        };
        let Some(cluster) = cluster else {
            let document = revision.document.as_ref();
            let value = document.and_then(|document| document.value().ok());
            side.exists = value.is_some();
            if !side.exists {
                "the revision withdraws the object".clone_into(&mut side.why);
            }
            return Ok((value.unwrap_or(Value::Null), side));
        };
        let Some(decided) = revision.decisions.last() else {
            "the revision was never decided about".clone_into(&mut side.why);
            return Ok((Value::Null, side));
        };
        side.decision = Some(decided.number);
        let manifest = self.manifest(history, decided, cluster, now).await?;
        match manifest {
            Ok((manifest, digest)) => {
                side.exists = true;
                side.digest = Some(digest);
                Ok((manifest, side))
            }
            Err(why) => {
                side.why = why;
                Ok((Value::Null, side))
            }
        }
    }

    /// The manifest that stood in `cluster` after a decision, with its digest; else why there is none.
    async fn manifest(
        &self,
        history: &History,
        decided: &Decided,
        cluster: &ClusterName,
        now: &Position,
    ) -> Result<Result<(Value, String), String>, Untold> {
        let standing = match decided.standings.get(cluster) {
            None => return Ok(Err(format!("{cluster} was not meant to get it"))),
            Some(Standing::Removing { reason, .. }) => {
                return Ok(Err(format!("it was to go from {cluster}: {reason}")));
            }
            Some(Standing::Excluded { reason, refusal }) => {
                return Ok(Err(format!(
                    "{cluster} did not get it: {reason:?}: {refusal}"
                )));
            }
            Some(standing @ Standing::Assigned { .. }) => standing,
        };
        let registered = self
            .registered(cluster, decided.inputs.cluster_sequence, now)
            .await?
            .unwrap_or_else(|| Cluster::named(cluster.clone()));
        let (_, since) = standing.due().unwrap_or_default();
        // The document of the decision's own revision renders the same where the manifest did not change since.
        let mut refused = None;
        let own = history.revisions.iter().rev();
        let own = own.filter(|revision| revision.revision <= decided_revision(history, decided));
        for document in own
            .filter(|revision| revision.revision >= since)
            .filter_map(|revision| revision.document.as_ref())
        {
            match history::rendered(document, &registered, standing) {
                Ok(Some(rendered)) => {
                    return Ok(Ok((Value::clone(&rendered.manifest), rendered.digest)));
                }
                Ok(None) => {}
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        let refused = refused.unwrap_or_else(|| Refusal::new("", "its document is gone"));
        Err(refused.into())
    }

    /// What was registered of `cluster` at a place in the log.
    async fn registered(
        &self,
        cluster: &ClusterName,
        sequence: u64,
        now: &Position,
    ) -> Result<Option<Cluster>, Untold> {
        let part = Part {
            filters: vec![subject::cluster(cluster)],
            from: 1,
            upto: Some(sequence),
            ..Part::default()
        };
        let at_cut = self.at_cut(now).await?;
        let mut registered = at_cut.and_then(|view| {
            let mut clusters = view.clusters();
            let known = clusters.find(|(name, _)| *name == cluster)?.1;
            known.registered.clone()
        });
        let mut news = self.bus.range(streams::LOG, part).await?;
        while let Some(dated) = news.next().await? {
            let stored = dated.stored;
            if let Ok(entry) = event::log_entry(&stored.message, stored.sequence)
                && let Event::Cluster(event) = entry.event
            {
                match event.news {
                    ClusterNews::Registered(cluster) => registered = Some(*cluster),
                    ClusterNews::Removed {} => registered = None,
                    _ => {}
                }
            }
        }
        Ok(registered)
    }
}

/// The revision that a decision carries out.
fn decided_revision(history: &History, decided: &Decided) -> u64 {
    let is_its = |other: &Decided| other.number == decided.number;
    history
        .revisions
        .iter()
        .find(|revision| revision.decisions.iter().any(is_its))
        .map_or(0, |revision| revision.revision)
}

/// What each cluster answered last about an object.
pub(crate) type Stands = BTreeMap<ClusterName, (u64, fleetcast_core::ack::Outcome, String, Time)>;

/// What each cluster answered last about `object`, as `view` knows it.
pub(crate) fn stands(view: &View, object: &ObjectKey) -> Stands {
    let clusters = view.clusters().filter_map(|(cluster, _)| {
        let answer = view.answer(object, cluster)?;
        let stands = (
            answer.place.number,
            answer.outcome,
            answer.message.clone(),
            answer.time,
        );
        Some((cluster.clone(), stands))
    });
    clusters.collect()
}

impl From<&history::Revision> for answer::Revision {
    fn from(revision: &history::Revision) -> Self {
        let done_at = revision.done_at();
        Self {
            revision: revision.revision,
            sequence: revision.sequence,
            time: revision.time,
            id: revision.origin.id.clone(),
            source: revision.origin.source.clone(),
            dialect: revision.dialect,
            withdrawn: revision.withdrawn.is_some(),
            orphan: revision.withdrawn == Some(true),
            changed: revision
                .changed
                .iter()
                .map(|difference| difference.field.clone())
                .collect(),
            decisions: revision
                .decisions
                .iter()
                .map(answer::DecisionEntry::from)
                .collect(),
            waiting: revision.waiting().into_iter().cloned().collect(),
            done_at,
            done_after_ms: done_at.map(|done| done.ms_since(revision.time)),
        }
    }
}

impl From<&Decided> for answer::DecisionEntry {
    fn from(decided: &Decided) -> Self {
        let (cause, cause_sequence) = match decided.cause {
            Cause::Change => ("change", Some(decided.inputs.change_sequence)),
            Cause::Cluster(sequence) => ("cluster", Some(sequence)),
            Cause::Related(sequence) => ("related", Some(sequence)),
            Cause::Other => ("other", None),
        };
        let task = |(cluster, task): (&ClusterName, &history::Task)| answer::Task {
            cluster: cluster.clone(),
            digest: task.digest.clone(),
            outcome: task.answer.as_ref().map(|(outcome, _, _)| *outcome),
            message: task
                .answer
                .as_ref()
                .map(|(_, message, _)| message.clone())
                .unwrap_or_default(),
            answered_at: task.answer.as_ref().map(|(_, _, time)| *time),
            superseded: task.superseded,
        };
        let excluded = decided.excluded.iter();
        Self {
            number: decided.number,
            sequence: decided.sequence,
            time: decided.time,
            id: decided.id.clone(),
            cause: cause.to_owned(),
            cause_sequence,
            inputs: decided.inputs.clone(),
            clusters: decided.clusters.iter().map(task).collect(),
            excluded: excluded
                .map(|(cluster, why)| (cluster.clone(), why.clone().into()))
                .collect(),
        }
    }
}
