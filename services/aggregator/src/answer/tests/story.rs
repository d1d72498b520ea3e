//! A log and acknowledgements under way.

use fleetcast_core::ack::{Ack, Batch, BatchBody};
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::decision::{Assigned, Body, Decision};
use fleetcast_core::document::Document;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::fold::View;
use fleetcast_core::log::{ClusterEvent, ClusterNews, Entry, Event};
use fleetcast_core::model::Cluster;
use serde_json::{Value, json};

use super::super::*;

/// A log and acknowledgements under way, an event a millisecond.
pub(super) struct Story {
    pub(super) view: View,
    pub(super) epoch: Epoch,
    decisions: u64,
}

pub(super) fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).unwrap()
}

pub(super) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

impl Story {
    pub(super) fn begin() -> Self {
        let epoch = Epoch {
            number: 1,
            hub: "hub".to_owned(),
        };
        let mut story = Self {
            view: View::default(),
            epoch: epoch.clone(),
            decisions: 0,
        };
        story.log(Event::Epoch(Beginning {
            epoch,
            partitions: 1,
        }));
        story
    }

    fn log(&mut self, event: Event) {
        let sequence = self.view.log + 1;
        self.view.logged(&Entry {
            sequence,
            id: format!("event-{sequence}"),
            event,
        });
    }

    fn now(&self) -> Time {
        Time(1_000 + i64::try_from(self.view.log).unwrap())
    }

    pub(super) fn cluster(&mut self, cluster: &str, news: ClusterNews) {
        let time = self.now();
        self.log(Event::Cluster(ClusterEvent {
            cluster: name(cluster),
            time,
            news,
        }));
    }

    pub(super) fn register(&mut self, cluster: &str) {
        let mut registered = Cluster::named(name(cluster));
        registered.labels = [("region".to_owned(), cluster[..2].to_owned())].into();
        self.cluster(cluster, ClusterNews::Registered(Box::new(registered)));
    }

    pub(super) fn change(&mut self, object: &str, revision: u64, content: Content) {
        let time = self.now();
        self.log(Event::Change(Change {
            object: key(object),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: format!("{object} {revision}"),
            },
            time,
            content,
        }));
    }

    pub(super) fn declare(&mut self, object: &str, revision: u64, placement: &Value) {
        let document = Document::from_value(&json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": key(object).name(), "namespace": "shop"},
            "spec": {
                "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"revision": revision.to_string()}},
                "placement": placement,
            },
        }));
        self.change(
            object,
            revision,
            Content::Declared {
                dialect: Dialect::Native,
                document,
            },
        );
    }

    pub(super) fn decide(&mut self, object: &str, revision: u64, body: Body) {
        self.decisions += 1;
        let decision = Decision {
            object: key(object),
            number: self.decisions,
            revision,
            epoch: self.epoch.clone(),
            term: 1,
            time: self.now(),
            causation: "cause".to_owned(),
            correlation: "change".to_owned(),
            body,
        };
        self.log(Event::Decision(decision));
    }

    pub(super) fn answer(&mut self, cluster: &str, object: &str, decision: u64, outcome: Outcome) {
        let sequence = self.view.acks.get(&0).copied().unwrap_or(0) + 1;
        let ack = Ack {
            object: key(object),
            epoch: self.epoch.clone(),
            decision,
            decision_epoch: None,
            revision: 1,
            count: sequence,
            outcome,
            message: match outcome {
                Outcome::Refused => "field is immutable".to_owned(),
                Outcome::Retrying => "timed out".to_owned(),
                Outcome::Applied | Outcome::Removed | Outcome::Orphaned | Outcome::Ahead => {
                    String::new()
                }
            },
            digest: None,
            attempts: 1,
            work_id: "work".to_owned(),
            time: self.now(),
            observed: Observed::default(),
            held: None,
        };
        let body = BatchBody {
            transitions: 1,
            confirmed: 0,
            after: sequence - 1,
            acks: vec![ack],
        };
        let cluster = name(cluster);
        self.view.acknowledged(0, sequence, Batch { cluster, body });
    }
}

pub(super) fn assigned(clusters: &[&str]) -> Assigned {
    Assigned {
        digest: "d".repeat(64),
        replicas: None,
        reasons: vec!["named in placement.clusters".to_owned()],
        clusters: clusters.iter().copied().map(name).collect(),
    }
}
