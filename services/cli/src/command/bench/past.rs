//! A history as a fleet would have written it: changes, the decisions about them, and what clusters answered.

use fleetcast_bus::append::{BATCH_MESSAGES, Expected};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::ack::{Ack, Batch, BatchBody, Observed, Outcome};
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::decision::{Assigned, Body, Decision, Inputs};
use fleetcast_core::document::Document;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::log::{ClusterEvent, ClusterNews};
use fleetcast_core::model::{Cluster, ClusterName, Dialect, ObjectKey};
use fleetcast_core::{digest, work};
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Message, event};
use serde_json::json;

use super::documents;

/// Clusters of one object, and acknowledgements in one message.
const TEN: usize = 10;
/// How many acknowledgement messages are sent before it is looked whether they are stored.
const UNSEEN: u64 = 10_000;

/// A history that grows.
pub(super) struct History {
    clusters: Vec<ClusterName>,
    objects: usize,
    epoch: Epoch,
    /// The sequence of the last event of the log.
    pub(super) logged: u64,
    /// The sequence behind which every object is declared.
    pub(super) first: u64,
    /// The sequence of the last message of acknowledgements.
    pub(super) acked: u64,
    /// Changes, and acknowledgements, so far.
    pub(super) changes: u64,
    pub(super) acks: u64,
    /// By cluster: what it has to answer, and its last count.
    answers: Vec<(Vec<Ack>, u64)>,
}

impl History {
    /// Of `objects` objects, each in ten of so many clusters.
    pub(super) fn new(clusters: usize, objects: usize) -> Self {
        let name = |index| ClusterName::parse(&format!("bench-{index:05}")).expect("valid");
        let clusters = clusters.max(TEN);
        Self {
            clusters: (0..clusters).map(name).collect(),
            objects: objects.max(1),
            epoch: Epoch {
                number: 1,
                hub: "bench".to_owned(),
            },
            logged: 0,
            first: 0,
            acked: 0,
            changes: 0,
            acks: 0,
            answers: vec![(Vec::new(), 0); clusters],
        }
    }

    /// One of its objects.
    pub(super) fn object(&self, index: usize) -> ObjectKey {
        let name = format!("web-{:06}", index % self.objects);
        ObjectKey::new("Deployment", "apps", Some("default"), &name).expect("valid")
    }

    /// Writes about `messages` more: a third of them changes, decisions and acknowledgements each.
    pub(super) async fn write(&mut self, bus: &Bus, messages: u64) -> anyhow::Result<()> {
        let mut log = Vec::with_capacity(BATCH_MESSAGES);
        if self.logged == 0 {
            self.begin(&mut log);
        }
        let mut unseen = 0;
        for _ in 0..(messages / 3).max(1) {
            let mut said = Vec::new();
            self.change(&mut log, &mut said);
            if log.len() + 2 > BATCH_MESSAGES {
                append(bus, &mut log).await?;
            }
            for message in said {
                bus.publish(message).await?;
                unseen += 1;
            }
            if unseen >= UNSEEN {
                self.seen(bus).await?;
                unseen = 0;
            }
        }
        append(bus, &mut log).await?;
        let last = std::mem::take(&mut self.answers);
        for (index, (acks, count)) in last.into_iter().enumerate() {
            self.answers.push((Vec::new(), count));
            if !acks.is_empty() {
                bus.publish(self.batch(index, acks)).await?;
            }
        }
        self.seen(bus).await
    }

    fn begin(&mut self, log: &mut Vec<Message>) {
        let now = fleetcast_bus::now();
        let beginning = Beginning {
            epoch: self.epoch.clone(),
            partitions: 1,
        };
        log.push(event::epoch_begins(&beginning, now));
        for cluster in &self.clusters {
            log.push(event::cluster(&ClusterEvent {
                cluster: cluster.clone(),
                time: now,
                news: ClusterNews::Registered(Box::new(Cluster::named(cluster.clone()))),
            }));
        }
        self.logged = log.len() as u64;
        self.first = self.logged + 2 * self.objects as u64;
    }

    /// The next change, the decision about it, and the messages of acknowledgements that are full by it.
    fn change(&mut self, log: &mut Vec<Message>, said: &mut Vec<Message>) {
        let now = fleetcast_bus::now();
        let index = usize::try_from(self.changes).unwrap_or(0) % self.objects;
        let revision = self.changes / self.objects as u64 + 1;
        self.changes += 1;
        let object = self.object(index);
        let placement =
            json!({"clusterSelector": {"matchLabels": {"group": (index % 10).to_string()}}});
        let (_, document) = documents::deployment(object.name(), &placement, revision);
        let change = Change {
            object: object.clone(),
            revision,
            origin: Origin {
                source: "bench".to_owned(),
                id: format!("change-{}", self.changes),
            },
            time: now,
            content: Content::Declared {
                dialect: Dialect::Native,
                document: Document::from_value(&document),
            },
        };
        let manifest = digest::of_bytes(format!("{object} {revision}").as_bytes());
        let offset = index % (self.clusters.len() / TEN);
        let of_object = (0..TEN).map(|number| offset * TEN + number);
        let decision = Decision {
            object: object.clone(),
            number: revision,
            revision,
            epoch: self.epoch.clone(),
            term: 1,
            time: now,
            causation: change.origin.id.clone(),
            correlation: change.origin.id.clone(),
            body: Body {
                inputs: Inputs {
                    change_sequence: self.logged + 1,
                    cluster_sequence: self.clusters.len() as u64 + 1,
                    ..Inputs::default()
                },
                assigned: vec![Assigned {
                    digest: manifest.clone(),
                    replicas: Some(2),
                    reasons: vec!["selected by spec.placement.clusterSelector".to_owned()],
                    clusters: of_object
                        .clone()
                        .map(|index| self.clusters[index].clone())
                        .collect(),
                }],
                ..Body::default()
            },
        };
        log.push(event::change(&change));
        log.push(event::decision(&decision));
        self.logged += 2;
        for place in of_object {
            let ack = Ack {
                object: object.clone(),
                epoch: self.epoch.clone(),
                decision: revision,
                decision_epoch: None,
                revision,
                count: 0,
                outcome: Outcome::Applied,
                message: String::new(),
                digest: Some(manifest.clone()),
                attempts: 1,
                work_id: work::id(&object, &self.clusters[place], &self.epoch, revision),
                time: now,
                observed: Observed::default(),
                held: None,
            };
            self.answers[place].0.push(ack);
            if self.answers[place].0.len() >= TEN {
                let acks = std::mem::take(&mut self.answers[place].0);
                let message = self.batch(place, acks);
                said.push(message);
            }
        }
    }

    fn batch(&mut self, place: usize, mut acks: Vec<Ack>) -> Message {
        let after = self.answers[place].1;
        for (ack, count) in acks.iter_mut().zip(after + 1..) {
            ack.count = count;
        }
        self.answers[place].1 = after + acks.len() as u64;
        self.acked += 1;
        self.acks += acks.len() as u64;
        let batch = Batch {
            cluster: self.clusters[place].clone(),
            body: BatchBody {
                transitions: 1,
                confirmed: after,
                after,
                acks,
            },
        };
        let lane = Lane::new(batch.cluster.clone(), 1);
        event::acks(&batch, &lane, fleetcast_bus::now())
    }

    /// Waits until all acknowledgements that were sent are stored.
    async fn seen(&self, bus: &Bus) -> anyhow::Result<()> {
        bus.flush().await?;
        let begin = std::time::Instant::now();
        while bus.last_sequence(&streams::acks(0)).await? < self.acked {
            anyhow::ensure!(
                begin.elapsed().as_secs() < 120,
                "acknowledgements were lost on the way"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

async fn append(bus: &Bus, log: &mut Vec<Message>) -> anyhow::Result<()> {
    let items: Vec<_> = log
        .drain(..)
        .map(|message| (message, Expected::Anything))
        .collect();
    if !items.is_empty() {
        bus.append_all(items).await?;
    }
    Ok(())
}
