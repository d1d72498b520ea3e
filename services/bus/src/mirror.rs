//! The truth of a hub elsewhere, copied by JetStream mirrors under the same names and sequences; and the end of that: promotion.
//!
//! While its streams are mirrors a bus is nobody's: [`Bus::prepare`] refuses to begin there. Promotion makes them ordinary streams, the log
//! last and marked until the new epoch stands in it, so that one which was killed half-way is only run again.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, External, Info, Source};
use async_nats::jetstream::{self, ErrorCode, context::GetStreamErrorKind};
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::codec;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::{self, Parsed};

use crate::append::Expected;
use crate::connect::from_nats_headers;
use crate::restore::truth;
use crate::streams::{self, Layout};
use crate::{Bus, Error};

/// The mark of a log that is being promoted.
pub(crate) const PROMOTING: &str = "fleetcast-promoting";
/// A hub that was heard so short a time ago is alive.
const HEARD: Duration = Duration::from_secs(15);

/// One stream that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// Its name.
    pub stream: String,
    /// The last sequence that is here.
    pub last: u64,
    /// How many messages it lacked when it heard its source last.
    pub lag: u64,
    /// How long ago it heard its source; none where it never did.
    pub heard: Option<Duration>,
}

impl Mirrored {
    /// Whether its source was heard just now.
    pub fn hears(&self) -> bool {
        self.heard.is_some_and(|heard| heard < HEARD)
    }
}

/// What a promotion would find.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The newest epoch in the log.
    pub beginning: Beginning,
    /// The streams that are mirrors; none where this bus has a hub of its own.
    pub mirrored: Vec<Mirrored>,
    /// Whether a promotion began and did not end.
    pub is_promoting: bool,
    /// Whose history agents said that they follow, by cluster, where that is told.
    pub followed: Vec<(ClusterName, Epoch)>,
}

impl Bus {
    /// Copies the truth of the hub in the JetStream domain `domain`, with so many `replicas` here, from now on.
    ///
    /// # Errors
    /// Where that hub cannot be reached or has no log, or this bus holds streams of its own.
    pub async fn mirror(&self, domain: &str, replicas: usize) -> Result<Beginning, Error> {
        let there = jetstream::with_domain(self.client.clone(), domain);
        let unreachable = |error: String| {
            Error::Unavailable(format!(
                "no log in JetStream domain {domain:?}: {error}; is this server a leaf node of that hub's?"
            ))
        };
        let log = there
            .get_stream(streams::LOG)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let beginning: Beginning = match log.get_last_raw_message_by_subject(subject::EPOCH).await {
            Ok(epoch) => codec::decode(&epoch.payload, &from_nats_headers(Some(&epoch.headers)))?,
            // The log may have been cut behind its newest epoch: then its base tells.
            Err(error) => {
                let base = there.get_stream(streams::BASE).await;
                let base = base.map_err(|_| unreachable(error.to_string()))?;
                let head = base.get_last_raw_message_by_subject(subject::BASE_HEAD);
                let head = head.await.map_err(|_| unreachable(error.to_string()))?;
                let headers = from_nats_headers(Some(&head.headers));
                event::read_base(&headers, &head.payload)?.beginning
            }
        };
        let layout = Layout {
            partitions: beginning.partitions,
            replicas,
        };
        for name in copied(layout) {
            if let Some(info) = self.info_of(&name).await?
                && info.config.mirror.is_none()
            {
                return Err(Error::Refused(format!(
                    "{name} is here already, and no mirror: a mirror begins on a server without a hub"
                )));
            }
        }
        let ages: HashMap<String, Duration> = streams::streams(layout)
            .into_iter()
            .map(|config| (config.name, config.max_age))
            .collect();
        for name in copied(layout) {
            let config = Config {
                mirror: Some(Source {
                    name: name.clone(),
                    external: Some(External {
                        api_prefix: format!("$JS.{domain}.API"),
                        delivery_prefix: None,
                    }),
                    ..Source::default()
                }),
                description: Some(format!("A copy of {name} in {domain}")),
                num_replicas: replicas,
                allow_direct: true,
                max_age: ages.get(&name).copied().unwrap_or_default(),
                name: name.clone(),
                ..Config::default()
            };
            self.jetstream
                .create_or_update_stream(config)
                .await
                .map_err(|error| Error::Refused(format!("mirror {name}: {error}")))?;
        }
        Ok(beginning)
    }

    /// What a promotion would find here.
    ///
    /// # Errors
    /// Where there is no log, or the bus does not answer.
    pub async fn standing(&self) -> Result<Standing, Error> {
        let log = self.info_of(streams::LOG).await?;
        let log = log.ok_or_else(|| {
            Error::Refused("there is no log here: nothing can be promoted".to_owned())
        })?;
        let beginning = self.beginning().await?.ok_or_else(|| {
            Error::Refused("the log has no epoch yet: nothing was copied so far".to_owned())
        })?;
        let layout = Layout {
            partitions: beginning.partitions,
            replicas: log.config.num_replicas,
        };
        let mut mirrored = Vec::new();
        for name in copied(layout) {
            let Some(info) = self.info_of(&name).await? else {
                continue;
            };
            if info.config.mirror.is_some() {
                let source = info.mirror;
                mirrored.push(Mirrored {
                    stream: name,
                    last: info.state.last_sequence,
                    lag: source.as_ref().map_or(0, |source| source.lag),
                    heard: source.and_then(|source| source.active),
                });
            }
        }
        Ok(Standing {
            beginning,
            mirrored,
            is_promoting: log.config.metadata.contains_key(PROMOTING),
            followed: self.followed().await?,
        })
    }

    /// Whose history the agents on this bus follow, as they said last.
    async fn followed(&self) -> Result<Vec<(ClusterName, Epoch)>, Error> {
        if self.info_of(streams::HEARTBEAT).await?.is_none() {
            return Ok(Vec::new());
        }
        let heard = self
            .newest_of_all(streams::HEARTBEAT, subject::HEARTBEATS, None, None)
            .await?;
        let told = heard.messages.into_iter().filter_map(|stored| {
            let message = stored.message;
            let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject) else {
                return None;
            };
            let heartbeat = event::read_heartbeat(&message.headers, &message.payload).ok()?;
            Some((lane.cluster, heartbeat.epoch?))
        });
        Ok(told.collect())
    }

    /// Makes this bus the hub's: its streams are no mirrors any more, and an epoch of the new hub `hub` begins, above all that are known here
    /// and above `above`. Returns the epoch and its place in the log.
    ///
    /// # Errors
    /// Where the bus does not answer, or an ingest process leads here.
    pub async fn promote(&self, hub: String, above: u64) -> Result<(Epoch, u64), Error> {
        let standing = self.standing().await?;
        let log = self.info_of(streams::LOG).await?;
        let layout = Layout {
            partitions: standing.beginning.partitions,
            replicas: log.map_or(1, |log| log.config.num_replicas),
        };
        if standing.mirrored.is_empty()
            && !standing.is_promoting
            && let Some(holder) = self.lease_holder(streams::PLACER).await?
        {
            return Err(Error::Refused(format!(
                "ingest {holder:?} leads on this bus: stop it first, and start it again afterwards"
            )));
        }
        let all: HashMap<String, Config> = streams::streams(layout)
            .into_iter()
            .map(|config| (config.name.clone(), config))
            .collect();
        // The log last: until then nobody begins here.
        for name in copied(layout).rev() {
            let info = self.info_of(&name).await?;
            if !info.is_some_and(|info| info.config.mirror.is_some() || name == streams::LOG) {
                continue;
            }
            let mut config = match all.get(&name) {
                Some(config) => config.clone(),
                None => bodies(layout),
            };
            if name == streams::LOG {
                config.metadata = HashMap::from([(PROMOTING.to_owned(), "yes".to_owned())]);
            }
            self.jetstream
                .update_stream(config)
                .await
                .map_err(|error| Error::Refused(format!("stream {name}: {error}")))?;
        }
        let met = standing.followed.iter().map(|(_, epoch)| epoch.number);
        let number = met
            .chain([standing.beginning.epoch.number, above])
            .max()
            .unwrap_or(0)
            + 1;
        let epoch = Epoch { number, hub };
        let beginning = Beginning {
            epoch: epoch.clone(),
            partitions: layout.partitions,
        };
        let message = event::epoch_begins(&beginning, crate::now());
        let last = self.last_sequence(streams::LOG).await?;
        let sequence = self.append(message, Expected::OfStream(last)).await?;
        // As they are to be from now on; the mark goes with the last of them.
        self.prepare_all(layout).await?;
        Ok((epoch, sequence))
    }

    /// Why nobody may begin on this bus; none where somebody may.
    pub(crate) async fn is_no_hub(&self) -> Result<Option<String>, Error> {
        let Some(log) = self.info_of(streams::LOG).await? else {
            return Ok(None);
        };
        if log.config.mirror.is_some() {
            return Ok(Some(
                "this bus is a mirror of another hub: `fleetcast promote` makes it a hub"
                    .to_owned(),
            ));
        }
        let is_promoting = log.config.metadata.contains_key(PROMOTING);
        Ok(is_promoting.then(|| {
            "the log is being promoted: it begins when that is done; where it was killed, run `fleetcast promote` again"
                .to_owned()
        }))
    }

    /// What the server says of a stream; none where there is no such stream.
    pub(crate) async fn info_of(&self, stream: &str) -> Result<Option<Info>, Error> {
        match self.jetstream.get_stream(stream).await {
            Ok(found) => Ok(Some(found.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(Error::unavailable(error)),
            },
        }
    }
}

/// The streams that are copied, the log first.
fn copied(layout: Layout) -> impl DoubleEndedIterator<Item = String> {
    truth(layout).chain([body_stream()])
}

/// The stream behind the object store of large bodies.
fn body_stream() -> String {
    format!("OBJ_{}", streams::BODIES)
}

/// The stream of large bodies as `async-nats` makes that of an object store.
fn bodies(layout: Layout) -> Config {
    Config {
        name: body_stream(),
        description: Some("Bodies over the message limit, by digest".to_owned()),
        subjects: vec![
            format!("$O.{}.C.>", streams::BODIES),
            format!("$O.{}.M.>", streams::BODIES),
        ],
        num_replicas: layout.replicas,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        ..Config::default()
    }
}
