//! `fleetcast events`: the log, the work that it led to, and the acknowledgements, in the order of their times, with the ids that link them.
//!
//! An item of work that a newer one took the place of is not in its stream any more; what it was follows from the decision in the log, and
//! its id is the same for whoever computes it. Such a line has no sequence.

use std::collections::{BTreeMap, VecDeque};

use fleetcast_bus::read::{From, Stored};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::decision::{Decision, Standing, Standings};
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_core::time::Time;
use fleetcast_core::work;
use fleetcast_schemas::envelope::{ID, N, format_time, parse_time};
use fleetcast_schemas::event;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{BusArgs, EventsArgs, Lines};
use crate::command::service;
use crate::command::watch::{self, news};
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::select;

/// One event as a line.
#[derive(Debug, Clone, Serialize)]
struct Line {
    /// change, decision, work, acknowledgement, cluster, epoch
    r#type: &'static str,
    id: String,
    time: String,
    stream: String,
    /// Its place in the stream; none for work that is not there any more.
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<u64>,
    /// The change at the beginning of the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    /// The event that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    causation: Option<String>,
    /// What it says, in short.
    summary: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
}

/// Where to begin.
enum Begin {
    Sequence(u64),
    Time(Time),
}

pub(crate) async fn run(bus: &BusArgs, args: &EventsArgs) -> Result<(), Failure> {
    let begin = match &args.from {
        None => Begin::Sequence(0),
        Some(text) => match (text.parse(), parse_time(text)) {
            (Ok(sequence), _) => Begin::Sequence(sequence),
            (_, Some(time)) => Begin::Time(time),
            _ => {
                return Err(Failure::Usage(format!(
                    "--from: {text:?} is neither a log sequence nor a time (RFC 3339)"
                )));
            }
        },
    };
    let query = args.object.as_deref().map(select::parse).transpose()?;
    let bus = service::bus(bus).await?;
    let partitions = watch::partitions(&bus).await?;
    let mut teller = Teller {
        begin,
        query,
        output: args.output,
        paint: Paint::stdout(),
        standings: BTreeMap::new(),
        written: written(&bus, partitions).await?,
        begun: false,
    };
    let mut ends = Vec::new();
    for stream in std::iter::once(streams::LOG.to_owned()).chain((0..partitions).map(streams::acks))
    {
        let last = bus.last_sequence(&stream).await?;
        ends.push((stream, last));
    }
    merge(&bus, &ends, &mut teller).await?;
    if args.follow {
        let mut all = tokio::task::JoinSet::new();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1_024);
        for (stream, last) in ends {
            let mut stored = bus.follow(&stream, &[], last);
            let sender = sender.clone();
            all.spawn(async move {
                while let Some(stored) = stored.recv().await {
                    if sender.send(stored).await.is_err() {
                        return;
                    }
                }
            });
        }
        while let Some(stored) = receiver.recv().await {
            teller.tell(&stored)?;
        }
    }
    Ok(())
}

/// Sequence and `n` of the work that is in the streams, by id.
async fn written(bus: &Bus, partitions: u16) -> Result<BTreeMap<String, (u64, String)>, Failure> {
    let mut written = BTreeMap::new();
    for partition in 0..partitions {
        let stream = streams::work(partition);
        let last = bus.last_sequence(&stream).await?;
        if last == 0 {
            continue;
        }
        let mut reader = bus.read(&stream, &[], From::NewestOfEach, true).await?;
        // The last message may have been taken away since: then nothing comes any more.
        while let Ok(stored) = tokio::time::timeout(bus.timeout(), reader.next()).await {
            let Stored {
                sequence, message, ..
            } = stored?;
            if let (Some(id), Some(n)) = (message.headers.get(ID), message.headers.get(N)) {
                written.insert(id.to_owned(), (sequence, n.to_owned()));
            }
            if sequence >= last {
                break;
            }
        }
    }
    Ok(written)
}

/// Tells what stands in the streams up to where they ended, in the order of time; within a stream in the order that it has.
async fn merge(bus: &Bus, ends: &[(String, u64)], teller: &mut Teller) -> Result<(), Failure> {
    let mut heads = Vec::new();
    for (stream, last) in ends {
        let mut stored = bus.follow(stream, &[], 0);
        let head = next(&mut stored, *last, 0).await;
        heads.push((stored, *last, head));
    }
    loop {
        let earliest = heads
            .iter_mut()
            .filter(|(_, _, head)| head.is_some())
            .min_by_key(|(_, _, head)| {
                head.as_ref()
                    .and_then(|head| head.message.headers.time().ok())
            });
        let Some((stored, last, head)) = earliest else {
            return Ok(());
        };
        if let Some(told) = head.take() {
            *head = next(stored, *last, told.sequence).await;
            teller.tell(&told)?;
        }
    }
}

async fn next(
    stored: &mut tokio::sync::mpsc::Receiver<Stored>,
    last: u64,
    told: u64,
) -> Option<Stored> {
    if told >= last {
        None
    } else {
        stored.recv().await
    }
}

/// Prints events, knowing what stood before them.
struct Teller {
    begin: Begin,
    query: Option<ObjectQuery>,
    output: Lines,
    paint: Paint,
    standings: BTreeMap<ObjectKey, Standings>,
    written: BTreeMap<String, (u64, String)>,
    begun: bool,
}

impl Teller {
    fn tell(&mut self, stored: &Stored) -> Result<(), Failure> {
        let time = stored.message.headers.time().unwrap_or_default();
        let mut lines = VecDeque::new();
        if let Ok((partition, batch)) = event::read_acks(&stored.message) {
            for ack in &batch.body.acks {
                lines.push_back(Line {
                    r#type: "acknowledgement",
                    id: format!("{}.{}", stored.message.headers.get(ID).unwrap_or_default(), ack.count),
                    time: format_time(ack.time),
                    stream: streams::acks(partition),
                    sequence: Some(stored.sequence),
                    object: Some(ack.object.clone()),
                    cluster: Some(batch.cluster.to_string()),
                    revision: Some(ack.revision),
                    decision: Some(ack.decision),
                    correlation: None,
                    causation: Some(ack.work_id.clone()),
                    summary: format!("{} {}", ack.outcome.word(), ack.message),
                    data: json!({"outcome": ack.outcome, "message": ack.message, "attempts": ack.attempts, "digest": ack.digest}),
                });
            }
        } else {
            match event::log_entry(&stored.message, stored.sequence) {
                Ok(entry) => lines.extend(self.logged(&entry, time)),
                Err(error) => lines.push_back(Line {
                    summary: format!("cannot be read: {error}"),
                    ..Line::new(
                        "unreadable",
                        stored.message.headers.get(ID).unwrap_or_default(),
                        stored.sequence,
                        time,
                    )
                }),
            }
            self.begun |= match &self.begin {
                Begin::Sequence(sequence) => stored.sequence >= *sequence,
                Begin::Time(begin) => time >= *begin,
            };
        }
        if !self.begun {
            return Ok(());
        }
        for line in lines {
            let concerned = self.query.as_ref().is_none_or(|query| {
                line.object
                    .as_ref()
                    .is_some_and(|object| query.matches(object))
            });
            if concerned {
                self.print(&line)?;
            }
        }
        Ok(())
    }

    fn logged(&mut self, entry: &Entry, time: Time) -> Vec<Line> {
        match &entry.event {
            Event::Change(change) | Event::Policy(change) => {
                let kind = match &entry.event {
                    Event::Policy(_) => "policy",
                    _ => "change",
                };
                let summary = match &change.content {
                    fleetcast_core::change::Content::Declared { .. } => "declared".to_owned(),
                    fleetcast_core::change::Content::Withdrawn { orphan, .. } => {
                        format!("withdrawn{}", if *orphan { ", copies stay" } else { "" })
                    }
                };
                vec![Line {
                    object: Some(change.object.clone()),
                    revision: Some(change.revision),
                    correlation: Some(entry.id.clone()),
                    summary,
                    data: json!({"source": change.origin.source, "digest": change.content.digest()}),
                    ..Line::of_log(kind, entry, time)
                }]
            }
            Event::Decision(decision) => self.decided(entry, decision, time),
            Event::Cluster(event) => vec![Line {
                cluster: Some(event.cluster.to_string()),
                summary: news(&event.news).to_owned(),
                data: json!(event.news),
                ..Line::of_log("cluster", entry, time)
            }],
            Event::Epoch(beginning) => vec![Line {
                summary: format!("epoch {} begins", beginning.epoch),
                data: json!(beginning),
                ..Line::of_log("epoch", entry, time)
            }],
        }
    }

    /// The decision, and the work that it asks for.
    fn decided(&mut self, entry: &Entry, decision: &Decision, time: Time) -> Vec<Line> {
        let standings = self.standings.entry(decision.object.clone()).or_default();
        standings.apply(decision);
        let common = Line {
            object: Some(decision.object.clone()),
            revision: Some(decision.revision),
            decision: Some(decision.number),
            correlation: Some(decision.correlation.clone()),
            ..Line::of_log("decision", entry, time)
        };
        let mut lines = vec![Line {
            causation: Some(decision.causation.clone()),
            summary: format!(
                "{} clusters concerned{}",
                decision
                    .body
                    .assigned
                    .iter()
                    .map(|group| group.clusters.len())
                    .sum::<usize>(),
                decision
                    .body
                    .held
                    .as_ref()
                    .map_or_else(String::new, |held| {
                        format!(", {} removals held as {}", held.clusters().count(), held.id)
                    })
            ),
            data: json!(decision.body),
            ..common.clone()
        }];
        for (cluster, standing) in standings.iter() {
            let (what, digest) = match standing {
                Standing::Assigned {
                    decision: since,
                    digest,
                    ..
                } if *since == decision.number => ("apply", Some(digest)),
                Standing::Removing {
                    decision: since, ..
                } if *since == decision.number => ("remove", None),
                Standing::Assigned { .. }
                | Standing::Removing { .. }
                | Standing::Excluded { .. } => continue,
            };
            let id = work::id(&decision.object, cluster, &decision.epoch, decision.number);
            let written = self.written.get(&id);
            lines.push(Line {
                r#type: "work",
                stream: "FC_WORK".to_owned(),
                sequence: written.map(|(sequence, _)| *sequence),
                cluster: Some(cluster.to_string()),
                causation: Some(entry.id.clone()),
                summary: what.to_owned(),
                data: json!({"digest": digest, "n": written.map(|(_, n)| n)}),
                id,
                ..common.clone()
            });
        }
        lines
    }

    fn print(&self, line: &Line) -> Result<(), Failure> {
        if self.output == Lines::Json {
            return output::print_json_line(line);
        }
        let object = line
            .object
            .as_ref()
            .map(ObjectKey::for_people)
            .unwrap_or_default();
        let revision = line
            .revision
            .map(|revision| format!(" revision {revision}"))
            .unwrap_or_default();
        let cluster = line
            .cluster
            .as_ref()
            .map(|cluster| format!(" {cluster}"))
            .unwrap_or_default();
        let sequence = line
            .sequence
            .map(|sequence| sequence.to_string())
            .unwrap_or_default();
        output::print(&format!(
            "{} {sequence:>6} {} {object}{revision}{cluster} {}\n",
            self.paint.dim(&line.time),
            self.paint.bold(&format!("{:<15}", line.r#type)),
            line.summary
        ))
    }
}

impl Line {
    fn of_log(kind: &'static str, entry: &Entry, time: Time) -> Self {
        Self::new(kind, &entry.id, entry.sequence, time)
    }

    fn new(kind: &'static str, id: &str, sequence: u64, time: Time) -> Self {
        Self {
            r#type: kind,
            id: id.to_owned(),
            time: format_time(time),
            stream: streams::LOG.to_owned(),
            sequence: Some(sequence),
            object: None,
            cluster: None,
            revision: None,
            decision: None,
            correlation: None,
            causation: None,
            summary: String::new(),
            data: Value::Null,
        }
    }
}
