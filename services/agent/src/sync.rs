//! What an agent asks the ingest service for on `fc.sync.<p>.<cluster>`: the work that it lacks, and large bodies that its work names.

mod collect;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleetcast_bus::work_key::Forged;
use fleetcast_bus::{Bus, bodies};
use fleetcast_core::document::Document;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::reconcile::{SyncAnswer, SyncRequest};
use fleetcast_core::work::{Body, Work};
use fleetcast_schemas::codec::{self, BODY_LIMIT};
use fleetcast_schemas::envelope::{CAUSATION, CORRELATION, DATAREF, DIGEST, REVISION};
use fleetcast_schemas::request::{SyncAsk, SyncEnd};
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{DecodeError, Headers, Message, event};
use futures::{StreamExt, TryStreamExt};

use crate::keys::Keys;
use collect::{Collected, Collector};

/// How long an answer may take, with its large bodies.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many large bodies are asked for at the same time.
const BODIES_AT_ONCE: usize = 4;

/// Whether messages are a whole answer.
pub(crate) fn reads(messages: Vec<Message>) -> bool {
    let mut collector = Collector::default();
    let taken = messages.into_iter().map(|message| collector.take(message));
    taken.fold(false, |any, taken| any | matches!(taken, Ok(Some(_))))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The bus, or the one who answers.
    #[error(transparent)]
    Bus(#[from] fleetcast_bus::Error),
    /// The answer says no, or something of it is missing.
    #[error(transparent)]
    Collect(#[from] collect::Error),
    /// The answer stopped coming.
    #[error("nothing more came within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// An item does not say what it is about.
    #[error("the work with sequence {0} cannot be read: {1}")]
    Unreadable(u64, DecodeError),
    /// Nothing proves that ingest wrote an item.
    #[error("the work with sequence {0} is refused: {1}")]
    Forged(u64, Forged),
}

/// Asks for one cluster.
pub(crate) struct Asker {
    bus: Bus,
    lane: Lane,
    keys: Keys,
    /// Large bodies of an answer that did not come to its end, so that the next attempt needs fewer.
    bodies: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Asker {
    pub(crate) fn new(bus: Bus, lane: Lane, keys: Keys) -> Self {
        Self {
            bus,
            lane,
            keys,
            bodies: Mutex::default(),
        }
    }

    /// The newest work per object since `request`.
    pub(crate) async fn since(&self, request: SyncRequest) -> Result<SyncAnswer, Error> {
        let Collected {
            epoch,
            end,
            items: messages,
        } = self.collect(request).await?;
        let SyncEnd {
            refused: _,
            epoch: _,
            incarnation,
            whole,
            upto,
            sequence,
            count: _,
            digest: _,
            renew,
        } = end;
        if renew {
            self.keys.renew_soon();
        }
        let items = futures::stream::iter(messages)
            .map(async |(sequence, message)| {
                let digest = bodies::dataref(&message).map(str::to_owned);
                let message = self.complete(message).await?;
                if let Some(digest) = digest {
                    self.bodies().insert(digest, message.payload.clone());
                }
                self.keys
                    .verify(&message)
                    .map_err(|why| Error::Forged(sequence, why))?;
                let work = self
                    .read(&message)
                    .map_err(|error| Error::Unreadable(sequence, error))?;
                Ok::<_, Error>((sequence, work))
            })
            .buffered(BODIES_AT_ONCE)
            .try_collect()
            .await?;
        self.bodies().clear();
        Ok(SyncAnswer {
            epoch,
            incarnation,
            whole,
            upto,
            sequence,
            items,
        })
    }

    async fn collect(&self, request: SyncRequest) -> Result<Collected, Error> {
        let SyncRequest {
            epoch,
            incarnation,
            n,
            sequence,
        } = request;
        let inbox = self.bus.new_inbox();
        let mut answers = self.bus.subscribe(&inbox).await?;
        let ask = self.ask(&SyncAsk::Since {
            epoch,
            incarnation,
            n,
            sequence,
        });
        let subject = ask.subject.clone();
        self.bus.publish_with_reply(ask, &inbox).await?;
        let mut collector = Collector::default();
        loop {
            let next = tokio::time::timeout(PATIENCE, answers.next()).await;
            let Some(delivery) = next.map_err(|_| Error::TooSlow)? else {
                let closed = "the connection was closed".to_owned();
                return Err(fleetcast_bus::Error::Unavailable(closed).into());
            };
            if delivery.is_nobody {
                let nobody = format!("nobody answers {subject}: no ingest process leads now");
                return Err(fleetcast_bus::Error::Unavailable(nobody).into());
            }
            if let Some(collected) = collector.take(delivery.message)? {
                return Ok(collected);
            }
        }
    }

    /// The message with its body, which is asked for where it is not in the message.
    pub(crate) async fn complete(&self, mut message: Message) -> Result<Message, Error> {
        if let Some(digest) = bodies::dataref(&message).map(str::to_owned) {
            message.payload = self.body(&digest).await?;
            message.headers.remove(DATAREF);
        }
        Ok(message)
    }

    async fn body(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let known = self.bodies().get(digest).cloned();
        if let Some(body) = known {
            return Ok(body);
        }
        let ask = self.ask(&SyncAsk::Body {
            digest: digest.to_owned(),
        });
        let answer = self.bus.request(ask, BODY_LIMIT, PATIENCE).await?;
        Ok(bodies::verify(digest, answer.payload)?)
    }

    /// Reads work. Where only its body cannot be read it becomes work that is refused, so that it shows in the view and delays no other.
    fn read(&self, message: &Message) -> Result<Work, DecodeError> {
        let Message {
            subject: _,
            headers,
            payload,
        } = message;
        let error = match event::read_work(&self.lane.cluster, headers, payload) {
            Ok(work) => return Ok(work),
            Err(error) => error,
        };
        let (object, place, stamp) = event::work_stamp(headers)?;
        tracing::warn!(%object, cluster = %self.lane.cluster, %error, "work cannot be read");
        let text = |name: &str| headers.get(name).unwrap_or_default().to_owned();
        Ok(Work {
            cluster: self.lane.cluster.clone(),
            object,
            revision: headers.parsed(REVISION)?,
            decision: place.number,
            decision_epoch: place.epoch,
            digest: headers.get(DIGEST).map(str::to_owned),
            stamp,
            time: headers.time()?,
            causation: text(CAUSATION),
            correlation: text(CORRELATION),
            body: Body::Apply {
                manifest: Document::from_bytes(*b""),
                policy: ApplyPolicy::default(),
            },
        })
    }

    fn ask(&self, ask: &SyncAsk) -> Message {
        let mut headers = Headers::default();
        self.keys.tell(&mut headers);
        Message {
            subject: self.lane.sync(),
            payload: codec::encode(ask, &mut headers),
            headers,
        }
    }

    fn bodies(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
