//! `fleetcast watch`: changes, decisions and acknowledgements as they come.

use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::ack::Outcome;
use fleetcast_core::change::Content;
use fleetcast_core::decision::Decision;
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_schemas::envelope::format_time;
use fleetcast_schemas::event;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::args::{BusArgs, Lines, WatchArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::select;

pub(crate) async fn run(bus: &BusArgs, args: &WatchArgs) -> Result<(), Failure> {
    let query = args.object.as_deref().map(select::parse).transpose()?;
    let bus = service::bus(bus).await?;
    let paint = Paint::stdout();
    let mut stored = follow(&bus).await?;
    while let Some(stored) = stored.recv().await {
        for happening in happenings(&stored) {
            if !happening.concerns(query.as_ref()) {
                continue;
            }
            match args.output {
                Lines::Table => output::print(&format!("{}\n", happening.line(paint)))?,
                Lines::Json => output::print_json_line(&happening.json())?,
            }
        }
    }
    Ok(())
}

/// What is stored in the log and answered by clusters from now on.
pub(crate) async fn follow(bus: &Bus) -> Result<mpsc::Receiver<Stored>, Error> {
    let (sender, receiver) = mpsc::channel(1_024);
    let mut followed = vec![streams::LOG.to_owned()];
    followed.extend((0..partitions(bus).await?).map(streams::acks));
    for stream in followed {
        let mut stored = bus.follow(&stream, &[], bus.last_sequence(&stream).await?);
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(stored) = stored.recv().await {
                if sender.send(stored).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

/// Over how many partitions the log says that acknowledgements are spread.
pub(crate) async fn partitions(bus: &Bus) -> Result<u16, Error> {
    let beginning = bus.beginning().await?.ok_or_else(|| {
        Error::Refused("the log has no beginning yet: is `fleetcast ingest` running?".to_owned())
    })?;
    Ok(beginning.partitions)
}

/// One thing that happened.
pub(crate) enum Happening {
    /// An event of the log.
    Logged(Box<fleetcast_core::log::Entry>),
    /// One cluster's answer.
    Answered(
        fleetcast_core::model::ClusterName,
        Box<fleetcast_core::ack::Ack>,
    ),
}

/// What a stored message tells; nothing where it cannot be read.
pub(crate) fn happenings(stored: &Stored) -> Vec<Happening> {
    if let Ok((_, batch)) = event::read_acks(&stored.message) {
        let cluster = batch.cluster;
        return batch
            .body
            .acks
            .into_iter()
            .map(|ack| Happening::Answered(cluster.clone(), Box::new(ack)))
            .collect();
    }
    let entry = event::log_entry(&stored.message, stored.sequence);
    entry
        .into_iter()
        .map(|entry| Happening::Logged(Box::new(entry)))
        .collect()
}

impl Happening {
    /// The object that it is about.
    pub(crate) fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::Answered(_, ack) => Some(&ack.object),
            Self::Logged(entry) => match &entry.event {
                Event::Change(change) | Event::Policy(change) => Some(&change.object),
                Event::Decision(decision) => Some(&decision.object),
                Event::Cluster(_) | Event::Epoch(_) => None,
            },
        }
    }

    fn concerns(&self, query: Option<&ObjectQuery>) -> bool {
        query.is_none_or(|query| self.object().is_some_and(|object| query.matches(object)))
    }

    /// A line for people.
    pub(crate) fn line(&self, paint: Paint) -> String {
        match self {
            Self::Answered(cluster, ack) => {
                let outcome = match ack.outcome {
                    Outcome::Applied | Outcome::Removed | Outcome::Orphaned => {
                        paint.good(ack.outcome.word())
                    }
                    Outcome::Refused => paint.bad(ack.outcome.word()),
                    Outcome::Retrying | Outcome::Ahead => paint.waiting(ack.outcome.word()),
                };
                let message = if ack.message.is_empty() {
                    String::new()
                } else {
                    format!("  {}", ack.message)
                };
                format!(
                    "{cluster:<10} {outcome:<8} {} revision {}{message}",
                    ack.object.for_people(),
                    ack.revision
                )
            }
            Self::Logged(entry) => match &entry.event {
                Event::Change(change) | Event::Policy(change) => {
                    let what = match change.content {
                        Content::Declared { .. } => "accepted",
                        Content::Withdrawn { .. } => "withdrawn",
                    };
                    format!(
                        "{} {} as revision {}",
                        paint.bold(&format!("{:<10} {what}", kind_of(entry))),
                        change.object.for_people(),
                        change.revision
                    )
                }
                Event::Decision(decision) => describe_decision(decision),
                Event::Cluster(event) => {
                    format!("cluster    {} {}", event.cluster, news(&event.news))
                }
                Event::Epoch(beginning) => format!("epoch      {} begins", beginning.epoch),
            },
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Answered(cluster, ack) => {
                json!({"type": "acknowledgement", "cluster": cluster, "time": format_time(ack.time), "data": ack})
            }
            Self::Logged(entry) => {
                let (kind, time, data) = match &entry.event {
                    Event::Change(change) | Event::Policy(change) => (
                        kind_of(entry),
                        change.time,
                        json!({"revision": change.revision}),
                    ),
                    Event::Decision(decision) => (
                        "decision",
                        decision.time,
                        json!({"decision": decision.number, "revision": decision.revision, "body": decision.body}),
                    ),
                    Event::Cluster(event) => (
                        "cluster",
                        event.time,
                        json!({"cluster": event.cluster, "news": event.news}),
                    ),
                    Event::Epoch(beginning) => (
                        "epoch",
                        fleetcast_core::time::Time::default(),
                        json!(beginning),
                    ),
                };
                json!({"type": kind, "sequence": entry.sequence, "id": entry.id, "object": self.object(), "time": format_time(time), "data": data})
            }
        }
    }
}

/// What became known about a cluster, in a word.
pub(crate) fn news(news: &fleetcast_core::log::ClusterNews) -> &'static str {
    use fleetcast_core::log::ClusterNews;
    match news {
        ClusterNews::Registered(_) => "is registered",
        ClusterNews::Removed {} => "left the fleet",
        ClusterNews::Online { trouble: None } => "is heard",
        ClusterNews::Online { trouble: Some(_) } => "is degraded",
        ClusterNews::Offline {} => "is not heard any more",
    }
}

fn kind_of(entry: &Entry) -> &'static str {
    match entry.event {
        Event::Change(_) => "change",
        Event::Policy(_) => "policy",
        Event::Decision(_) => "decision",
        Event::Cluster(_) => "cluster",
        Event::Epoch(_) => "epoch",
    }
}

/// A decision with its reasons, one indented line a group of clusters.
fn describe_decision(decision: &Decision) -> String {
    let names = |clusters: &[fleetcast_core::model::ClusterName]| {
        clusters
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!(
        "decision   {} for {} revision {}",
        decision.number,
        decision.object.for_people(),
        decision.revision
    );
    for group in &decision.body.assigned {
        text += &format!(
            "\n             → {}: {}",
            names(&group.clusters),
            group.reasons.join("; ")
        );
    }
    for group in &decision.body.removed {
        text += &format!(
            "\n             → gone from {}: {}",
            names(&group.clusters),
            group.reason
        );
    }
    if let Some(held) = &decision.body.held {
        for group in &held.copies {
            text += &format!(
                "\n             → held on {}: {}; {} would go: fleetcast confirm {}",
                names(&group.clusters),
                group.reason,
                held.limit,
                held.id
            );
        }
    }
    for group in &decision.body.excluded {
        text += &format!(
            "\n             → not on {}: {:?} {}",
            names(&group.clusters),
            group.reason,
            group.message
        );
    }
    if decision.body.changes_nothing() {
        text += "\n             → nothing changes in any cluster";
    }
    text
}
