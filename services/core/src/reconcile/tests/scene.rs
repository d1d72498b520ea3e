//! An agent with the time and everything that it asked for.

use super::super::*;
use crate::ack::{BatchBody, Seen};
pub(super) use crate::decision::Place;
use crate::document::Document;
use crate::model::ApplyPolicy;
use crate::model::federated::OnDelete;
use crate::work::{Body, Stamp};
use serde_json::json;

pub(super) const WEB: &str = "Deployment.apps/shop/web";
pub(super) const API: &str = "Deployment.apps/shop/api";
pub(super) const SHOP: &str = "Namespace/shop";

pub(super) fn epoch(number: u64, hub: &str) -> Epoch {
    Epoch {
        number,
        hub: hub.to_owned(),
    }
}

pub(super) fn key(text: &str) -> ObjectKey {
    text.parse().expect("valid")
}

/// Work of epoch 1.a, term 1, incarnation x, unless said otherwise.
pub(super) fn apply(object: &str, decision: u64, n: u64) -> Work {
    Work {
        cluster: ClusterName::parse("eu-1").expect("valid"),
        object: key(object),
        revision: decision,
        decision,
        decision_epoch: epoch(1, "a"),
        digest: Some(format!("digest {decision}")),
        stamp: Stamp {
            epoch: epoch(1, "a"),
            term: 1,
            incarnation: "x".to_owned(),
            n,
        },
        time: Time(0),
        causation: "cause".to_owned(),
        correlation: "change".to_owned(),
        body: Body::Apply {
            manifest: Document::from_value(&json!({"n": n})),
            policy: ApplyPolicy::default(),
        },
    }
}

pub(super) fn remove(object: &str, decision: u64, n: u64) -> Work {
    Work {
        digest: None,
        body: Body::Remove {
            mode: OnDelete::Delete,
            api_version: "v1".to_owned(),
        },
        ..apply(object, decision, n)
    }
}

pub(super) fn stamped(mut work: Work, change: impl FnOnce(&mut Stamp)) -> Work {
    change(&mut work.stamp);
    work
}

/// An agent with the time and everything that it asked for.
pub(super) struct Scene {
    pub(super) agent: Agent,
    pub(super) now: Time,
    pub(super) effects: Vec<String>,
    pub(super) batches: Vec<BatchBody>,
    pub(super) remembered: Memory,
    pub(super) asked: Option<SyncRequest>,
    pub(super) watched: BTreeSet<WatchedKind>,
}

impl Scene {
    pub(super) fn from(memory: Memory) -> Self {
        let cluster = ClusterName::parse("eu-1").expect("valid");
        let mut scene = Self {
            agent: Agent::new(cluster, memory, 1, Time(0)),
            now: Time(0),
            effects: Vec::new(),
            batches: Vec::new(),
            remembered: Memory::default(),
            asked: None,
            watched: BTreeSet::new(),
        };
        scene.tell(Fact::Connected);
        scene
    }

    /// An agent of a new cluster that was answered with `items`.
    pub(super) fn with(items: Vec<Work>) -> Self {
        let mut scene = Self::from(Memory::default());
        scene.answer(true, items);
        scene
    }

    pub(super) fn tell(&mut self, fact: Fact) {
        self.agent.handle(fact, self.now);
        self.poll();
    }

    pub(super) fn poll(&mut self) {
        while let Some(effect) = self.agent.poll(self.now) {
            self.effects.push(match effect {
                Effect::Sync(request) => {
                    let told = format!("sync {:?} {}", request.incarnation, request.n);
                    self.asked = Some(request);
                    told
                }
                Effect::Do(work) => format!(
                    "{} {} {}",
                    if work.digest.is_some() {
                        "apply"
                    } else {
                        "remove"
                    },
                    work.object,
                    work.decision
                ),
                Effect::Check(work) => format!("check {} {}", work.object, work.decision),
                Effect::Watch(work) => {
                    self.watched.insert(WatchedKind::of(&work.object));
                    continue;
                }
                Effect::Unwatch(kind) => {
                    assert!(self.watched.remove(&kind), "{kind:?} was not watched");
                    continue;
                }
                Effect::Publish(batch) => {
                    let counts: Vec<u64> = batch.acks.iter().map(|ack| ack.count).collect();
                    let told = format!("publish {counts:?} after {}", batch.after);
                    self.batches.push(batch);
                    told
                }
                Effect::Remember(memory) => {
                    self.remembered = memory;
                    continue;
                }
                Effect::Heartbeat => continue,
                Effect::Fenced(message) => format!("fenced {message}"),
                Effect::Keep(work) => format!("keep {} {}", work.object, work.decision),
                Effect::Drop(object) => format!("drop {object}"),
            });
        }
    }

    /// What was asked for since it was looked at last.
    pub(super) fn effects(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn answer(&mut self, whole: bool, items: Vec<Work>) {
        let upto = items.iter().map(|work| work.stamp.n).max().unwrap_or(0);
        let upto = upto.max(if whole { 0 } else { self.agent.have.n });
        self.answer_up_to(whole, upto, items);
    }

    pub(super) fn answer_up_to(&mut self, whole: bool, upto: u64, items: Vec<Work>) {
        let stamp = items
            .first()
            .map_or(apply(WEB, 1, 1).stamp, |work| work.stamp.clone());
        self.tell(Fact::Synced(SyncAnswer {
            epoch: stamp.epoch,
            incarnation: stamp.incarnation,
            whole,
            upto,
            sequence: upto * 10,
            items: items
                .into_iter()
                .map(|work| (work.stamp.n * 10, work))
                .collect(),
        }));
    }

    pub(super) fn live(&mut self, work: Work) {
        self.tell(Fact::Live(work.stamp.n * 10, Box::new(work)));
    }

    pub(super) fn done(&mut self, object: &str, decision: u64, outcome: Outcome) {
        self.done_seeing(object, decision, outcome, None);
    }

    pub(super) fn done_seeing(
        &mut self,
        object: &str,
        decision: u64,
        outcome: Outcome,
        sight: Option<Sight>,
    ) {
        self.tell(Fact::Done {
            object: key(object),
            decision,
            outcome,
            message: String::new(),
            held: None,
            sight,
            pause: Pause::Ours,
        });
    }

    pub(super) fn observed(&mut self, object: &str, sight: Sight) {
        self.tell(Fact::Observed {
            object: key(object),
            sight,
        });
    }

    pub(super) fn seen(&mut self, transitions: u64, count: u64) {
        self.tell(Fact::Seen(Seen { transitions, count }));
    }

    pub(super) fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.tell(Fact::Tick);
    }
}
