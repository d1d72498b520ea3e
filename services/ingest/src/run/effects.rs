//! Carrying out what the placer asks for.

use fleetcast_bus::append::Expected;
use fleetcast_bus::{Error, streams};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placer::{Effect, Fence};
use fleetcast_schemas::{Message, event, subject};

use super::{IN_FLIGHT, Ingest, Outcome};

impl Ingest {
    /// Carries out what the placer asks for.
    pub(super) async fn carry_out(&mut self) {
        let Some(term) = self.term else {
            return;
        };
        while self.pending.len() < IN_FLIGHT {
            let Some(effect) = self.state.placer.poll(self.state.now()) else {
                break;
            };
            let sent = match effect {
                Effect::Append { decision, expected } => {
                    tracing::info!(object = %decision.object, revision = decision.revision, decision = decision.number, "decided");
                    let (bus, message) = (self.bus.clone(), event::decision(&decision));
                    self.pending.push(Box::pin(async move {
                        let stored = bus.append(message, Expected::OfSubject(expected)).await;
                        Outcome::Decision(decision.object.clone(), stored)
                    }));
                    Ok(())
                }
                Effect::Write {
                    work,
                    partition,
                    expected,
                } => {
                    self.write(event::work(&work, partition), partition, term, expected)
                        .await
                }
                Effect::Complete {
                    partition,
                    term,
                    incarnation,
                    expected,
                } => match self.state.placer.epoch().cloned() {
                    Some(epoch) => {
                        let fence = Fence {
                            epoch,
                            term,
                            incarnation,
                            complete: true,
                        };
                        self.write(
                            event::fence(&fence, partition, self.state.now()),
                            partition,
                            term,
                            expected,
                        )
                        .await
                    }
                    None => Ok(()),
                },
                Effect::Forget {
                    cluster,
                    object,
                    sequence,
                } => {
                    self.forget(&cluster, &object, sequence);
                    Ok(())
                }
                Effect::Stuck { object, message } => {
                    tracing::error!(%object, message, "no work can be written");
                    Ok(())
                }
            };
            if let Err(error) = sent {
                tracing::warn!(%error, "work could not be sent: taking over again");
                self.stop_leading();
                break;
            }
        }
    }

    /// Sends a message of a work stream: these are stored in the order in which they are sent.
    pub(super) async fn write(
        &mut self,
        message: Message,
        partition: u16,
        term: u64,
        expected: u64,
    ) -> Result<(), Error> {
        let pending = self
            .bus
            .begin_append(message, Expected::OfStream(expected))
            .await?;
        self.pending.push(Box::pin(async move {
            Outcome::Work(partition, term, pending.stored().await)
        }));
        Ok(())
    }

    pub(super) fn forget(&mut self, cluster: &ClusterName, object: &ObjectKey, sequence: u64) {
        let lane = subject::Lane::new(cluster.clone(), self.partitions);
        let bus = self.bus.clone();
        let (stream, subject) = (streams::work(lane.partition), lane.work(object));
        self.pending.push(Box::pin(async move {
            let outcome = bus.forget(&stream, &subject, sequence).await;
            Outcome::Aside("taking answered removal work away", outcome)
        }));
    }
}
