//! Leading: the lease, the work streams behind a fence, and who is heard.

use fleetcast_bus::append::Expected;
use fleetcast_bus::{Error, streams};
use fleetcast_core::epoch::Epoch;
use fleetcast_core::log::{ClusterEvent, ClusterNews};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::event::Heartbeat;
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{Message, event};

use super::outbox::{Letter, Outbox};
use super::{Ingest, Lane, Logged};
use crate::lanes;
use crate::liveness::{Heard, Liveness};

/// How much of an agent's trouble is written, characters: it is kept for as long as the log.
const TROUBLE_LIMIT: usize = 512;

impl Ingest {
    pub(super) async fn keep_lease(&mut self) {
        if let Some(lease) = &mut self.lease {
            if let Err(error) = lease.renew().await {
                tracing::warn!(%error, "the lease is lost: somebody else may lead");
                self.lease = None;
                self.stop_leading();
            } else if let Some(partition) = self.lost_work().await {
                tracing::warn!(
                    partition,
                    "work that was stored is gone from its stream: taking over again, to write it anew"
                );
                self.stop_leading();
            }
        } else {
            match self.bus.take_lease(streams::PLACER, &self.identity).await {
                Ok(lease) => self.lease = lease,
                Err(error) => tracing::warn!(%error, "the lease cannot be asked for"),
            }
        }
        if self.lease.is_none() {
            if let Err(error) =
                lanes::follow(&self.bus, &mut self.state.placer, self.partitions).await
            {
                tracing::debug!(%error, "the work streams cannot be followed now");
            }
        } else if self.term.is_none() {
            self.lead().await;
        }
        if let Ok(bounds) = self.bus.bounds(streams::LOG).await {
            self.cut = bounds.first - 1;
            self.log_end = bounds.last;
        }
        self.write_liveness();
    }

    /// A partition whose work stream is gone, or shorter than what was stored in it: where nothing is to be written, nobody else would notice. Each call looks
    /// at one.
    async fn lost_work(&mut self) -> Option<u16> {
        self.term?;
        let partition = self.looked_at;
        self.looked_at = (partition + 1) % self.partitions.max(1);
        let confirmed = self.state.confirmed.get(&partition).copied()?;
        let stream = streams::work(partition);
        match self.bus.last_sequence_if_any(&stream).await {
            Ok(last) => (last < confirmed).then_some(partition),
            Err(error) => {
                tracing::debug!(partition, %error, "a work stream cannot be looked at now");
                None
            }
        }
    }

    async fn lead(&mut self) {
        match self.take_over().await {
            Ok(()) => {
                // What was said before may have been missed, here or by a bus that was away.
                self.liveness = Liveness::new(fleetcast_bus::now(), self.patience_ms);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot lead yet, trying again");
                self.state.placer.lose();
                // Perhaps a stream was taken away.
                if let Err(error) = self.bus.prepare(self.layout).await {
                    tracing::debug!(%error, "the streams cannot be made now");
                }
            }
        }
    }

    async fn take_over(&mut self) -> Result<(), Error> {
        let lanes::Leading { term, fences } =
            lanes::take_over(&self.bus, &mut self.state.placer, self.partitions).await?;
        // Asked for behind the fences: what a predecessor decided and carried out stands in the log up to there.
        self.folds_first = self.bus.last_sequence(streams::LOG).await?;
        self.lanes.clear();
        for (partition, fence) in fences {
            let lane = self.state.placer.lane(partition);
            let reached = lane.map_or(0, |lane| lane.sequence);
            self.state.confirmed.insert(partition, reached);
            let outbox = Outbox::default();
            self.lanes.insert(partition, Lane { outbox, fence });
        }
        self.term = Some(term);
        Ok(())
    }

    /// Whether it may take changes in and decide: it holds the lease, stands behind its own fences, and knows all that came before them.
    pub(super) fn leads(&self) -> bool {
        self.term.is_some() && self.folded >= self.folds_first
    }

    /// After a write that failed, or without the lease: what was sent and not confirmed is found or written again by whoever leads next.
    pub(super) fn stop_leading(&mut self) {
        self.lanes.clear();
        self.undecided.forget();
        self.forgetting.clear();
        if self.term.take().is_some() {
            self.state.placer.lose();
            for partition in 0..self.partitions {
                let confirmed = self.state.confirmed.get(&partition).copied().unwrap_or(0);
                self.state.placer.rewind(partition, confirmed);
            }
        }
    }

    pub(super) fn heard(&mut self, message: &Message) {
        if let Some(Parsed::Heartbeat(lane)) = subject::parse(&message.subject)
            && let Ok(heartbeat) = event::read_heartbeat(&message.headers, &message.payload)
        {
            self.keys.learn(&lane.cluster, &message.headers);
            self.metrics.heartbeats.inc();
            self.note_refusal(&lane.cluster, heartbeat.epoch.as_ref());
            let now = fleetcast_bus::now();
            let Heartbeat {
                transitions,
                trouble,
                capacity,
                ..
            } = heartbeat;
            if let Some(capacity) = capacity
                && self.state.placer.clusters().contains_key(&lane.cluster)
            {
                self.state.placer.measured(&lane.cluster, capacity);
            }
            let heard = Heard {
                at: now,
                transitions,
                trouble: trouble.map(|trouble| trouble.chars().take(TROUBLE_LIMIT).collect()),
            };
            self.liveness.heard(&lane.cluster, heard);
            // Only this one: with all of them each heartbeat would cost as much as the fleet is large.
            if self.term.is_some() && self.state.placer.clusters().contains_key(&lane.cluster) {
                let known = (&lane.cluster, self.state.readiness(&lane.cluster));
                let news = self.liveness.news(std::iter::once(known), now);
                self.write_news(news);
            }
        }
    }

    /// Says once of a cluster that it follows another hub: this one's work is refused there.
    fn note_refusal(&mut self, cluster: &ClusterName, followed: Option<&Epoch>) {
        let refuses = followed
            .zip(self.state.placer.epoch())
            .is_some_and(|(followed, ours)| {
                followed.number > ours.number
                    || (followed.number == ours.number && followed.hub != ours.hub)
            });
        match followed.filter(|_| refuses) {
            Some(followed) if self.refused_by.insert(cluster.clone()) => {
                tracing::error!(
                    %cluster, %followed, ours = self.state.placer.epoch().map(tracing::field::display),
                    "this cluster follows another hub and refuses the work of this one: stop this hub, or `fleetcast promote` it"
                );
            }
            Some(_) => {}
            None => drop(self.refused_by.remove(cluster)),
        }
    }

    /// Writes which registered clusters are heard again, or no longer.
    fn write_liveness(&mut self) {
        if self.term.is_none() {
            return;
        }
        let clusters = self.state.placer.clusters().keys();
        let clusters = clusters.map(|cluster| (cluster, self.state.readiness(cluster)));
        let news = self.liveness.news(clusters, fleetcast_bus::now());
        self.write_news(news);
    }

    fn write_news(&mut self, news: Vec<(ClusterName, ClusterNews)>) {
        for (cluster, news) in news {
            match &news {
                ClusterNews::Offline {} => {
                    tracing::warn!(%cluster, "its agent is not heard any more; nothing is removed because of that")
                }
                ClusterNews::Online {
                    trouble: Some(trouble),
                } => {
                    tracing::warn!(%cluster, trouble, "its agent cannot do its work; nothing is removed because of that")
                }
                _ => tracing::info!(%cluster, "its agent is heard"),
            }
            self.write_cluster(cluster, news, None);
        }
    }

    pub(super) fn write_cluster(
        &mut self,
        cluster: ClusterName,
        news: ClusterNews,
        reply: Option<String>,
    ) {
        let object = ObjectKey::of_cluster(&cluster);
        let message = event::cluster(&ClusterEvent {
            cluster,
            time: self.state.now(),
            news,
        });
        self.log.push(Letter {
            message,
            alone: false,
            then: (Expected::Anything, Logged::Cluster(object, reply)),
        });
    }
}
