//! Carrying out what the placer asks for, and storing what waits.

use fleetcast_bus::append::Expected;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::document::Document;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::{Effect, Fence};
use fleetcast_core::sealed;
use fleetcast_core::work::{self, Work};
use fleetcast_schemas::envelope::KEY;
use fleetcast_schemas::{Message, event, subject};

use super::outbox::Letter;
use super::{IN_FLIGHT, Ingest, Logged, Outcome, Written};

impl Ingest {
    /// Carries out what the placer asks for, and sends what waits.
    pub(super) fn carry_out(&mut self) {
        if self.leads() {
            self.poll_placer();
        }
        self.send_to_log();
        self.send_work();
        self.take_away();
    }

    fn poll_placer(&mut self) {
        while self.log.len()
            + self
                .lanes
                .values()
                .map(|lane| lane.outbox.len())
                .sum::<usize>()
            < IN_FLIGHT
        {
            let Some(effect) = self.state.placer.poll(self.state.now()) else {
                break;
            };
            match effect {
                Effect::Append { decision, expected } => {
                    tracing::info!(object = %decision.object, revision = decision.revision, decision = decision.number, "decided");
                    if let Some(held) = &decision.body.held
                        && self.held.insert(held.id.clone())
                    {
                        tracing::warn!(
                            id = held.id,
                            by = held.by,
                            limit = held.limit,
                            "a bulk removal waits: `fleetcast confirm ID` lets it go"
                        );
                    }
                    let expected = self.expected(expected);
                    self.log.push(Letter {
                        message: event::decision(&decision),
                        alone: false,
                        then: (expected, Logged::Decision(decision.object)),
                    });
                }
                Effect::Write {
                    work,
                    partition,
                    expected,
                } => {
                    let of = work.cluster.clone();
                    let mut message = self.sealed_to_its_cluster(*work, partition);
                    self.keys.sign(&of, &mut message);
                    self.write(message, partition, Written::Work(expected));
                }
                Effect::Complete {
                    partition,
                    term,
                    incarnation,
                    expected,
                } => {
                    if let Some(epoch) = self.state.placer.epoch().cloned() {
                        let fence = Fence {
                            epoch,
                            term,
                            incarnation,
                            complete: true,
                        };
                        let message = event::fence(&fence, partition, self.state.now());
                        self.write(message, partition, Written::Fence(expected));
                    }
                }
                Effect::Forget {
                    cluster,
                    object,
                    sequence,
                } => self.forgetting.push((cluster, object, sequence)),
                Effect::Stuck { object, message } => {
                    tracing::error!(%object, message, "no work can be written")
                }
            }
        }
    }

    /// An item of work as a message, its values opened and sealed to the key of its cluster's agent. Where that cannot be done they stay as they are, and the agent
    /// says that it cannot open them: nothing goes out in plain text.
    fn sealed_to_its_cluster(&self, mut work: Work, partition: u16) -> Message {
        let registered = self.state.placer.clusters().get(&work.cluster);
        let recipient = registered.and_then(|cluster| cluster.sealing_key.as_deref());
        let mut header = None;
        if let work::Body::Apply { manifest, .. } = &mut work.body
            && sealed::may_be_in(manifest)
            && let (Some(keys), Some(recipient)) = (self.sealing.keys(), recipient)
            && let Ok(mut value) = manifest.value()
            && sealed::is_in(&value)
        {
            match keys.forward(&mut value, &work.object, recipient) {
                Ok(()) => {
                    *manifest = Document::from_value(&value);
                    let key = keys.newest().unwrap_or_default();
                    header = Some(format!("{key} {recipient}"));
                }
                Err(error) => {
                    tracing::error!(object = %work.object, cluster = %work.cluster, %error, "its values cannot be sealed to its cluster")
                }
            }
        }
        let mut message = event::work(&work, partition);
        if let Some(header) = header {
            message.headers.set(KEY, header);
        }
        message
    }

    /// Takes a message of a work stream to be stored behind those that wait.
    fn write(&mut self, message: Message, partition: u16, then: Written) {
        let alone = matches!(then, Written::Fence(_));
        let letter = Letter {
            message,
            alone,
            then,
        };
        self.lanes.entry(partition).or_default().outbox.push(letter);
    }

    fn send_work(&mut self) {
        let Some(term) = self.term else {
            return;
        };
        for (&partition, lane) in &mut self.lanes {
            let Some(group) = lane.outbox.begin() else {
                continue;
            };
            let (mut last, mut fence) = (None, false);
            let count = group.len() as u64;
            let items = group.into_iter().map(|letter| {
                let expected = match letter.then {
                    Written::Work(expected) => expected,
                    Written::Fence(expected) => {
                        fence = true;
                        expected
                    }
                };
                let expected = match last.replace(expected) {
                    None => Expected::Behind {
                        last: expected,
                        fence: subject::fence(partition),
                        at: lane.fence,
                    },
                    Some(_) => Expected::Anything,
                };
                (letter.message, expected)
            });
            let (bus, items) = (self.bus.clone(), items.collect());
            let (count, sent) = (count - u64::from(fence), fleetcast_bus::now());
            self.pending.push(Box::pin(async move {
                Outcome::Work {
                    partition,
                    term,
                    fence,
                    items: count,
                    sent,
                    stored: bus.append_all(items).await,
                }
            }));
        }
    }

    fn send_to_log(&mut self) {
        if let Some(group) = self.log.begin() {
            let bus = self.bus.clone();
            self.pending.push(Box::pin(async move {
                Outcome::Logged(store(&bus, group).await)
            }));
        }
    }

    /// Takes work away that was answered, or is a cluster's that left, once it is known to be stored: before that there would be nothing to take away, and it would
    /// stand there later.
    fn take_away(&mut self) {
        let confirmed = &self.state.confirmed;
        let partitions = self.partitions;
        let is_stored = |(cluster, _, sequence): &mut (ClusterName, ObjectKey, u64)| {
            let partition = subject::Lane::new(cluster.clone(), partitions).partition;
            confirmed
                .get(&partition)
                .is_some_and(|stored| stored >= sequence)
        };
        for (cluster, object, sequence) in self.forgetting.extract_if(.., is_stored) {
            let lane = subject::Lane::new(cluster, partitions);
            let bus = self.bus.clone();
            let (stream, subject) = (streams::work(lane.partition), lane.work(&object));
            self.pending.push(Box::pin(async move {
                let outcome = bus.forget(&stream, &subject, sequence).await;
                Outcome::Aside("taking work away", outcome)
            }));
        }
    }
}

/// Stores events of the log in one batch; where one of them meets something else than it expects, each for itself, so that the others go in.
async fn store(
    bus: &Bus,
    group: Vec<Letter<(Expected, Logged)>>,
) -> Vec<(Logged, Result<u64, Error>)> {
    let count = group.len() as u64;
    let mut events = Vec::new();
    let mut items = Vec::new();
    for Letter {
        message,
        then: (expected, event),
        ..
    } in group
    {
        events.push(event);
        items.push((message, expected));
    }
    let singly = if count > 1 { items.clone() } else { Vec::new() };
    let outcomes: Vec<_> = match bus.append_all(items).await {
        Ok(last) => (last + 1 - count..=last).map(Ok).collect(),
        Err(error) if count == 1 => vec![Err(error)],
        Err(error @ Error::Unavailable(_)) => {
            let again = || Err(Error::Unavailable(error.to_string()));
            std::iter::repeat_with(again).take(events.len()).collect()
        }
        Err(error) => {
            tracing::debug!(%error, count, "a batch was refused, storing each event for itself");
            let stored = singly
                .into_iter()
                .map(async |(message, expected)| bus.append(message, expected).await);
            futures::future::join_all(stored).await
        }
    };
    events.into_iter().zip(outcomes).collect()
}
