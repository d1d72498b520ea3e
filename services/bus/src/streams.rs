//! The streams and buckets as data, and the one function that makes them so.

use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream::{kv, object_store, stream};
use fleetcast_schemas::subject;
use futures::future::try_join_all;

use crate::{Bus, Error};

/// How the names of the streams of acknowledgements begin.
const ACKS: &str = "FC_ACK_";
/// The stream of what was wanted and decided.
pub const LOG: &str = "FC_LOG";
/// The stream of bases: the folded truth at a retention cut.
pub const BASE: &str = "FC_BASE";
/// The stream of signs of life.
pub const HEARTBEAT: &str = "FC_HEARTBEAT";
/// The stream of what nobody could read.
pub const DEAD: &str = "FC_DEAD";
/// The object store of large bodies.
pub const BODIES: &str = "fc_bodies";
/// The bucket of leases.
pub const LEADER: &str = "fc_leader";
/// The lease, in that bucket, of the ingest process that leads.
pub const PLACER: &str = "placer";

/// How long a lease holds after it was last renewed.
pub const LEASE: Duration = Duration::from_secs(6);
/// After how long without an answer it is looked whether what was to be made is there.
const ANSWERED: Duration = Duration::from_secs(2);
/// How long the stream keeps a heartbeat.
const HEARTBEAT_AGE: Duration = Duration::from_secs(15);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long acknowledgements are kept where the operator says nothing else (DESIGN, section 4).
const ACK_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long message ids are remembered; only saves work, ids come from content.
const DUPLICATES: Duration = Duration::from_secs(120);

/// The stream of a partition's work.
pub fn work(partition: u16) -> String {
    format!("FC_WORK_{}", subject::partition_token(partition))
}

/// The stream of a partition's acknowledgements.
pub fn acks(partition: u16) -> String {
    format!("{ACKS}{}", subject::partition_token(partition))
}

/// How the bus is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Over how many partitions work and acknowledgements are spread.
    pub partitions: u16,
    /// How many NATS servers hold each stream.
    pub replicas: usize,
}

/// Every stream, as it should be.
pub(crate) fn streams(layout: Layout) -> Vec<stream::Config> {
    let base = stream::Config {
        num_replicas: layout.replicas,
        storage: stream::StorageType::File,
        discard: stream::DiscardPolicy::New,
        duplicate_window: DUPLICATES,
        allow_direct: true,
        ..stream::Config::default()
    };
    let mut all = vec![
        stream::Config {
            name: LOG.to_owned(),
            subjects: vec![subject::LOG.to_owned()],
            description: Some("What was wanted and decided: the truth".to_owned()),
            deny_delete: true,
            allow_atomic_publish: true,
            ..base.clone()
        },
        stream::Config {
            name: BASE.to_owned(),
            subjects: vec![subject::BASE.to_owned()],
            description: Some("The folded truth at a retention cut: truth".to_owned()),
            deny_delete: true,
            ..base.clone()
        },
        stream::Config {
            name: HEARTBEAT.to_owned(),
            subjects: vec![subject::HEARTBEATS.to_owned()],
            description: Some("Signs of life, the newest per cluster".to_owned()),
            storage: stream::StorageType::Memory,
            max_messages_per_subject: 1,
            max_age: HEARTBEAT_AGE,
            duplicate_window: HEARTBEAT_AGE,
            discard: stream::DiscardPolicy::Old,
            no_ack: true,
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(HEARTBEAT_AGE),
            ..base.clone()
        },
        stream::Config {
            name: DEAD.to_owned(),
            subjects: vec![subject::DEAD.to_owned()],
            description: Some("What nobody could read, with the reason".to_owned()),
            max_age: 30 * DAY,
            discard: stream::DiscardPolicy::Old,
            ..base.clone()
        },
    ];
    for partition in 0..layout.partitions {
        all.push(stream::Config {
            name: work(partition),
            subjects: vec![subject::works(partition)],
            description: Some("The newest work per object and cluster: rebuildable".to_owned()),
            max_messages_per_subject: 1,
            allow_atomic_publish: true,
            republish: Some(stream::Republish {
                source: subject::works(partition),
                destination: subject::lives(partition),
                headers_only: false,
            }),
            ..base.clone()
        });
        all.push(stream::Config {
            name: acks(partition),
            subjects: vec![subject::acks(partition)],
            description: Some("What clusters answered: truth".to_owned()),
            max_age: ACK_AGE,
            discard: stream::DiscardPolicy::Old,
            no_ack: true,
            ..base.clone()
        });
    }
    all
}

impl Bus {
    /// Makes streams and buckets as they should be; what is there already is changed only where it differs.
    ///
    /// # Errors
    /// Where the server does not answer, or refuses a change.
    pub async fn prepare(&self, layout: Layout) -> Result<(), Error> {
        if self.is_restoring().await? {
            return Err(Error::Unavailable(
                "the log is being restored: it begins when that is done; where it was killed, run `fleetcast restore` again".to_owned(),
            ));
        }
        if let Some(why) = self.is_no_hub().await? {
            return Err(Error::Unavailable(why));
        }
        self.prepare_all(layout).await
    }

    /// As [`Bus::prepare`], also where the log is being restored: the mark goes with that.
    pub(crate) async fn prepare_all(&self, layout: Layout) -> Result<(), Error> {
        // The log last: a mark on it says that the others are not as they should be yet.
        let (log, others): (Vec<_>, Vec<_>) = streams(layout)
            .into_iter()
            .partition(|config| config.name == LOG);
        tokio::try_join!(
            try_join_all(others.into_iter().map(|config| self.make(config))),
            self.prepare_leases(layout),
            self.prepare_bodies(layout),
        )?;
        try_join_all(log.into_iter().map(|config| self.make(config))).await?;
        Ok(())
    }

    /// Makes one stream as it should be.
    async fn make(&self, mut config: stream::Config) -> Result<(), Error> {
        let name = config.name.clone();
        // How long acknowledgements are kept is the operator's to say (`Bus::keep_acks_for`).
        if name.starts_with(ACKS)
            && let Some(there) = self.info_of(&name).await?
        {
            config.max_age = there.config.max_age;
        }
        made_or_there(
            self.jetstream.create_or_update_stream(config.clone()),
            self.jetstream.update_stream(config),
        )
        .await
        .map_err(|error| Error::Unavailable(format!("stream {name}: {error}")))
    }

    async fn prepare_leases(&self, layout: Layout) -> Result<(), Error> {
        let leases = kv::Config {
            bucket: LEADER.to_owned(),
            description: "Who leads; nothing else".to_owned(),
            max_age: LEASE,
            num_replicas: layout.replicas,
            ..kv::Config::default()
        };
        made_or_there(
            self.jetstream.create_or_update_key_value(leases.clone()),
            self.jetstream.update_key_value(leases),
        )
        .await
        .map_err(|error| Error::Unavailable(format!("bucket {LEADER}: {error}")))
    }

    /// Takes every stream and bucket away that [`Bus::prepare`] makes, with all that stands in them.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn remove(&self, layout: Layout) -> Result<(), Error> {
        let names = streams(layout).into_iter().map(|config| config.name);
        let buckets = [format!("KV_{LEADER}"), format!("OBJ_{BODIES}")];
        for name in names.chain(buckets) {
            if self.jetstream.get_stream_no_info(&name).await.is_ok() {
                let removed = self.jetstream.delete_stream(&name).await;
                removed.map_err(|error| Error::Unavailable(format!("stream {name}: {error}")))?;
            }
        }
        Ok(())
    }

    /// Makes the store of large bodies.
    pub(crate) async fn prepare_bodies(&self, layout: Layout) -> Result<(), Error> {
        if self.jetstream.get_object_store(BODIES).await.is_err() {
            let bodies = object_store::Config {
                bucket: BODIES.to_owned(),
                description: Some("Bodies over the message limit, by digest".to_owned()),
                num_replicas: layout.replicas,
                ..object_store::Config::default()
            };
            made_or_there(
                self.jetstream.create_object_store(bodies),
                self.jetstream.get_object_store(BODIES),
            )
            .await
            .map_err(|error| Error::Unavailable(format!("object store {BODIES}: {error}")))?;
        }
        Ok(())
    }
}

/// Makes something, and looks whether it is there where that is not answered soon.
///
/// Where several servers hold a stream and two processes create it at the same time, neither may get an answer (nats-server 2.15.1).
async fn made_or_there<M, T, A, B>(
    made: impl Future<Output = Result<M, A>>,
    there: impl Future<Output = Result<T, B>>,
) -> Result<(), String>
where
    A: Display,
    B: Display,
{
    match tokio::time::timeout(ANSWERED, made).await {
        Ok(made) => made.map(drop).map_err(|error| error.to_string()),
        Err(_) => there.await.map(drop).map_err(|error| error.to_string()),
    }
}
