//! A placer with a log and a work stream that take whatever is expected rightly.

use serde_json::{Value, json};

use super::super::*;
use crate::change::{Change, Content, Origin};
use crate::document::Document;
use crate::log::ClusterEvent;
use crate::model::Dialect;

pub(super) const WEB: &str = "ConfigMap/shop/web";

pub(super) fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

pub(super) fn key(text: &str) -> ObjectKey {
    text.parse().expect("valid")
}

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        hub: "hub".to_owned(),
    }
}

pub(super) fn place(epoch_number: u64, number: u64) -> Place {
    Place {
        epoch: epoch(epoch_number),
        number,
    }
}

/// A placer with a log and a work stream that take whatever is expected rightly.
pub(super) struct Scene {
    pub(super) placer: Placer,
    pub(super) log: Vec<Entry>,
    /// The newest decision about each object: its sequence.
    pub(super) decisions: BTreeMap<ObjectKey, u64>,
    /// The work stream: sequences of work, fences and ends of rewriting.
    pub(super) stream: Vec<Option<Work>>,
    pub(super) told: Vec<String>,
    pub(super) now: i64,
}

impl Scene {
    /// A log with an epoch and clusters, and a placer that leads.
    pub(super) fn with(clusters: &[&str]) -> Self {
        let mut scene = Self {
            placer: Placer::default(),
            log: Vec::new(),
            decisions: BTreeMap::new(),
            stream: Vec::new(),
            told: Vec::new(),
            now: 0,
        };
        scene.log(Event::Epoch(Beginning {
            epoch: epoch(1),
            partitions: 1,
        }));
        for cluster in clusters {
            scene.register(cluster);
        }
        scene.lead("x", 1);
        scene.told();
        scene
    }

    /// Writes a fence and leads behind it in a new making of the stream.
    pub(super) fn lead(&mut self, incarnation: &str, term: u64) {
        self.stream.push(None);
        let lane = Lane::new(incarnation.to_owned(), self.end());
        self.placer.take_over(0, term, lane);
        self.poll();
    }

    /// Writes a fence and leads behind it in the stream as it is known.
    pub(super) fn lead_on(&mut self, term: u64) {
        let known = self.placer.lane(0).expect("known").clone();
        let before = known.sequence;
        self.stream.push(None);
        self.placer.take_over(0, term, known);
        for at in before..self.end() {
            let at = usize::try_from(at).expect("small");
            if let Some(work) = self.stream[at].clone() {
                let found = Found {
                    decision: work.decision,
                    sequence: u64::try_from(at).expect("small") + 1,
                    key: 0,
                };
                self.placer
                    .found(&work.object, &work.cluster, found, work.stamp.n);
            }
        }
        self.placer.reached(0, self.end());
        self.poll();
    }

    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.stream.len()).expect("small")
    }

    pub(super) fn log(&mut self, event: Event) -> u64 {
        let sequence = u64::try_from(self.log.len()).expect("small") + 1;
        if let Event::Decision(decision) = &event {
            self.decisions.insert(decision.object.clone(), sequence);
        }
        let entry = Entry {
            sequence,
            id: format!("event-{sequence}"),
            event,
        };
        self.placer.logged(&entry);
        self.log.push(entry);
        sequence
    }

    pub(super) fn news(&mut self, cluster: &str, news: ClusterNews) {
        self.log(Event::Cluster(ClusterEvent {
            cluster: name(cluster),
            time: Time(0),
            news,
        }));
        self.poll();
    }

    pub(super) fn register(&mut self, cluster: &str) {
        self.news(cluster, registered(cluster, false));
    }

    pub(super) fn change(&mut self, object: &str, revision: u64, content: Content) {
        self.log(Event::Change(Change {
            object: key(object),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: revision.to_string(),
            },
            time: Time(0),
            content,
        }));
    }

    pub(super) fn declare(&mut self, object: &str, revision: u64, spec: Value) {
        self.change(object, revision, declared(object, spec));
        self.poll();
    }

    pub(super) fn poll(&mut self) {
        while let Some(effect) = self.next() {
            self.carry_out(effect);
        }
    }

    pub(super) fn next(&mut self) -> Option<Effect> {
        self.now += 1;
        self.placer.poll(Time(self.now))
    }

    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { decision, expected } => {
                let stands = self.decisions.get(&decision.object).copied().unwrap_or(0);
                assert_eq!(
                    expected, stands,
                    "the expected sequence of the decision before"
                );
                self.told.push(told(&decision));
                self.log(Event::Decision(*decision));
            }
            Effect::Write {
                work,
                partition,
                expected,
            } => {
                assert_eq!((partition, expected), (0, self.end()));
                self.told.push(format!(
                    "{} {} {} n{}",
                    if work.digest.is_some() {
                        "write"
                    } else {
                        "remove"
                    },
                    work.cluster,
                    work.decision,
                    work.stamp.n
                ));
                self.stream.push(Some(*work));
            }
            Effect::Complete { expected, .. } => {
                assert_eq!(expected, self.end());
                self.told.push("complete".to_owned());
                self.stream.push(None);
            }
            Effect::Forget {
                cluster, sequence, ..
            } => self.told.push(format!("forget {cluster} {sequence}")),
            Effect::Stuck { message, .. } => self.told.push(format!("stuck {message}")),
        }
    }

    /// What was done since it was looked at last.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// As if the process had ended here: what its checkpoint keeps.
    pub(super) fn restart(&mut self) {
        let kept = rmp_serde::to_vec_named(&self.placer).expect("it serializes");
        self.placer = rmp_serde::from_slice(&kept).expect("it reads back");
        self.placer.lose();
    }

    pub(super) fn work(&self, cluster: &str) -> &Work {
        let mut works = self.stream.iter().flatten();
        works
            .rfind(|work| work.cluster == name(cluster))
            .expect("it has work")
    }
}

/// `decide 2: + eu-1, eu-2; - us-1 Delete; ! ap-1 Unknown; forget eu-9`.
pub(super) fn told(decision: &Decision) -> String {
    let list = |clusters: &[ClusterName]| {
        clusters
            .iter()
            .map(ClusterName::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut parts = Vec::new();
    for group in &decision.body.assigned {
        parts.push(format!("+ {}", list(&group.clusters)));
    }
    for group in &decision.body.removed {
        parts.push(format!("- {} {:?}", list(&group.clusters), group.mode));
    }
    for group in decision.body.held.iter().flat_map(|held| &held.copies) {
        parts.push(format!("? {}", list(&group.clusters)));
    }
    for group in &decision.body.excluded {
        parts.push(format!("! {} {:?}", list(&group.clusters), group.reason));
    }
    if !decision.body.dropped.is_empty() {
        parts.push(format!("drop {}", list(&decision.body.dropped)));
    }
    format!(
        "decide {} of {}: {}",
        decision.number,
        decision.revision,
        parts.join("; ")
    )
}

pub(super) fn registered(cluster: &str, cordoned: bool) -> ClusterNews {
    let mut registered = Cluster::named(name(cluster));
    registered.cordoned = cordoned;
    registered.labels = [("region".to_owned(), cluster[..2].to_owned())].into();
    ClusterNews::Registered(Box::new(registered))
}

/// `spec` with a ConfigMap as template, unless it has one.
pub(super) fn declared(object: &str, mut spec: Value) -> Content {
    if spec.get("template").is_none() {
        spec["template"] =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "1"}});
    }
    Content::Declared {
        dialect: Dialect::Native,
        document: Document::from_value(&json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": key(object).name(), "namespace": "shop"}, "spec": spec,
        })),
    }
}

pub(super) fn everywhere() -> Value {
    json!({"placement": {"clusterSelector": {}}})
}

pub(super) fn at(clusters: &[&str]) -> Value {
    json!({"placement": {"clusters": clusters}})
}

/// Everywhere, with `version` in eu-1 only.
pub(super) fn overridden(version: &str) -> Value {
    json!({
        "placement": {"clusterSelector": {}},
        "overrides": [{"clusters": ["eu-1"], "patches": [{"op": "replace", "path": "/data/version", "value": version}]}],
    })
}
