//! Rebuilds the view from the streams into fresh memory, compares it with the one that answers, and lets it answer instead.

use std::time::{Duration, Instant};

use fleetcast_bus::streams;
use fleetcast_core::Refusal;
use fleetcast_core::fold::CanonicalRow;
use fleetcast_schemas::codec::JSON;
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::{Headers, Message};
use tokio::sync::mpsc;

use super::archive::Position;
use super::{Historian, Untold, reading};
use crate::answer::build::as_of;
use crate::answer::past::{Rebuilding, Rebuilt, RowDifference};
use crate::shared::Shared;

/// Between two words about how far it is.
const TELL: Duration = Duration::from_millis(250);
/// With so few messages to go the live fold is held for them.
const FEW: u64 = 1_000;
/// How often the rest is read before the live fold is held for whatever is left.
const ROUNDS: usize = 20;

impl Historian {
    /// Rebuilds the view, and tells `reply` how far that is and how it ended.
    pub(crate) async fn rebuild(&self, shared: &Shared, reply: &str) {
        let (sender, mut told) = mpsc::unbounded_channel();
        let telling = async {
            while let Some(said) = told.recv().await {
                self.tell(reply, &said).await;
            }
        };
        let rebuilding = async {
            let done = match self.rebuilt(shared, &sender).await {
                Ok(rebuilt) => Rebuilding::Done(Box::new(rebuilt)),
                Err(error) => Rebuilding::Refused {
                    message: error.to_string(),
                },
            };
            // The other end lives as long as this.
            drop(sender.send(done));
            drop(sender);
        };
        tokio::join!(telling, rebuilding);
    }

    async fn tell(&self, reply: &str, said: &Rebuilding) {
        let message = Message {
            subject: reply.to_owned(),
            headers: Headers::default().with(DATACONTENTTYPE, JSON),
            payload: serde_json::to_vec(said).expect("answers have only string keys"),
        };
        if let Err(error) = self.bus.publish(message).await {
            tracing::debug!(%error, "nobody hears how far the rebuild is");
        }
    }

    async fn rebuilt(
        &self,
        shared: &Shared,
        sender: &mpsc::UnboundedSender<Rebuilding>,
    ) -> Result<Rebuilt, Untold> {
        // One fold at a time: the view of the past that is at hand makes room.
        let mut last = self.last.lock().await;
        *last = None;
        let begin = Instant::now();
        let mut now = Position::of(&*shared.view.read().await);
        let (mut reached, mut view) = self.beginning(&now, None).await?;
        self.refuse_to_forget(&reached, &now).await?;
        let (mut read, mut of) = (0, distance(&reached, &now));
        let mut told = Instant::now();
        drop(sender.send(Rebuilding::Progress { read, of }));
        for _ in 0..ROUNDS {
            reading::fold(&self.bus, &mut view, &now, || {
                read += 1;
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    drop(sender.send(Rebuilding::Progress { read, of }));
                }
            })
            .await?;
            reached = now;
            now = Position::of(&*shared.view.read().await);
            of += distance(&reached, &now);
            if distance(&reached, &now) <= FEW {
                break;
            }
        }
        let mut live = shared.view.write().await;
        let now = Position::of(&live);
        reading::fold(&self.bus, &mut view, &now, || read += 1).await?;
        if view.epoch() != live.epoch() {
            let message = "another history began meanwhile: ask again";
            return Err(Refusal::new("", message).into());
        }
        let (before, rebuilt) = (live.canonical_rows(), view.canonical_rows());
        let first_difference = RowDifference::first(&before, &rebuilt);
        let digest = CanonicalRow::digest_of(&rebuilt);
        let outcome = Rebuilt {
            as_of: as_of(&view),
            before: match &first_difference {
                None => digest.clone(),
                Some(_) => CanonicalRow::digest_of(&before),
            },
            digest,
            rows: u64::try_from(rebuilt.len()).unwrap_or(u64::MAX),
            first_difference,
            read,
            took_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        *live = view;
        tracing::info!(
            read,
            took_ms = outcome.took_ms,
            equal = outcome.first_difference.is_none(),
            "the view is rebuilt"
        );
        Ok(outcome)
    }

    /// Acknowledgements that aged out are nowhere else than in the view that answers.
    async fn refuse_to_forget(&self, from: &Position, now: &Position) -> Result<(), Untold> {
        for (partition, place) in &now.acks {
            let stream = streams::acks(*partition);
            let folded = from.acks.get(partition).copied().unwrap_or(0);
            if *place > folded && self.bus.bounds(&stream).await?.first > folded + 1 {
                let message = format!(
                    "{stream} does not reach back to {}: a view rebuilt from it would not know what was answered before; \
                     nothing is changed",
                    match folded {
                        0 => "its beginning".to_owned(),
                        folded => format!("{folded}, where the base ends"),
                    }
                );
                return Err(Refusal::new("", message).into());
            }
        }
        Ok(())
    }
}

/// How many messages lie between two places.
fn distance(from: &Position, to: &Position) -> u64 {
    let acks = to.acks.iter().map(|(partition, place)| {
        place.saturating_sub(from.acks.get(partition).copied().unwrap_or(0))
    });
    to.log.saturating_sub(from.log) + acks.sum::<u64>()
}
