//! What is folded: events of the log and acknowledgements, made short to write.

use super::super::*;
use crate::ack::{Ack, BatchBody};
use crate::change::Change;
use crate::decision::{Assigned, Body, Decision, Excluded, Removed};
use crate::health::Health;
use crate::model::federated::OnDelete;
use crate::placement::Exclusion;
use serde_json::json;

pub(super) const WEB: &str = "Deployment.apps/shop/web";

pub(super) fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

pub(super) fn key() -> ObjectKey {
    WEB.parse().expect("valid")
}

pub(super) fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        hub: "hub".to_owned(),
    }
}

/// What may be folded next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Log(Box<Event>),
    Ack(u64, Batch),
}

pub(super) fn begins(number: u64) -> Step {
    Step::Log(Box::new(Event::Epoch(Beginning {
        epoch: epoch(number),
        partitions: 1,
    })))
}

pub(super) fn change(revision: u64, content: Content) -> Step {
    Step::Log(Box::new(Event::Change(Change {
        object: key(),
        revision,
        origin: Origin {
            source: "test".to_owned(),
            id: revision.to_string(),
        },
        time: Time(1_000),
        content,
    })))
}

pub(super) fn declared(revision: u64) -> Step {
    change(
        revision,
        Content::Declared {
            dialect: Dialect::Native,
            document: Document::from_value(&json!({"revision": revision})),
        },
    )
}

pub(super) fn decision(number: u64, revision: u64, body: Body) -> Step {
    Step::Log(Box::new(Event::Decision(Decision {
        object: key(),
        number,
        revision,
        epoch: epoch(1),
        term: 1,
        time: Time(2_000),
        causation: "cause".to_owned(),
        correlation: "change".to_owned(),
        body,
    })))
}

/// A decision that gives eu-1 (and more) a manifest with `digest`.
pub(super) fn assigns(number: u64, revision: u64, digest: &str, clusters: &[&str]) -> Step {
    decision(
        number,
        revision,
        Body {
            assigned: vec![Assigned {
                digest: digest.to_owned(),
                replicas: Some(2),
                reasons: vec!["named".to_owned()],
                clusters: clusters.iter().copied().map(name).collect(),
            }],
            ..Body::default()
        },
    )
}

pub(super) fn removes(number: u64, revision: u64, clusters: &[&str]) -> Step {
    decision(
        number,
        revision,
        Body {
            removed: vec![Removed {
                mode: OnDelete::Delete,
                reason: "withdrawn".to_owned(),
                clusters: clusters.iter().copied().map(name).collect(),
            }],
            ..Body::default()
        },
    )
}

pub(super) fn excludes(number: u64, revision: u64, reason: Exclusion) -> Step {
    decision(
        number,
        revision,
        Body {
            excluded: vec![Excluded {
                reason,
                field: "spec.overrides[0]".to_owned(),
                message: "cannot be applied".to_owned(),
                clusters: vec![name("eu-1")],
            }],
            ..Body::default()
        },
    )
}

/// The answer of eu-1 with the given count to a decision.
pub(super) fn ack(count: u64, decision: u64, outcome: Outcome) -> Ack {
    Ack {
        object: key(),
        epoch: epoch(1),
        decision,
        decision_epoch: None,
        revision: decision,
        count,
        outcome,
        message: format!("answer {count}"),
        digest: None,
        attempts: 1,
        work_id: format!("work {decision}"),
        time: Time(10_000 + i64::try_from(count).expect("small")),
        observed: Observed {
            health: Some(Health::healthy(format!("answer {count}"))),
            ..Observed::default()
        },
        held: None,
    }
}

/// An answer to work that a restored hub wrote in epoch 2 for a decision of epoch 1.
pub(super) fn restored(ack: Ack) -> Ack {
    Ack {
        epoch: epoch(2),
        decision_epoch: Some(epoch(1)),
        ..ack
    }
}

pub(super) fn batch(sequence: u64, transitions: u64, after: u64, acks: Vec<Ack>) -> Step {
    Step::Ack(
        sequence,
        Batch {
            cluster: name("eu-1"),
            body: BatchBody {
                transitions,
                confirmed: 0,
                after,
                acks,
            },
        },
    )
}

/// Folds steps as they come; log sequences follow the order given.
pub(super) fn fold(steps: &[Step]) -> View {
    let mut view = View::default();
    for step in steps {
        step.fold(&mut view);
    }
    view
}

impl Step {
    pub(super) fn fold(&self, view: &mut View) -> Option<Seen> {
        match self {
            Self::Log(event) => {
                let sequence = view.log + 1;
                view.logged(&Entry {
                    sequence,
                    id: format!("event-{sequence}"),
                    event: Event::clone(event),
                });
                None
            }
            Self::Ack(sequence, batch) => view.acknowledged(0, *sequence, batch.clone()),
        }
    }
}

/// The only row.
pub(super) fn row(steps: &[Step]) -> Row {
    let rows = fold(steps).rows(&key());
    let [row] = rows.as_slice() else {
        panic!("one row: {rows:?}");
    };
    row.clone()
}

/// All orders of `items`.
pub(super) fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for at in 0..=shorter.len() {
            let mut one = shorter.clone();
            one.insert(at, first.clone());
            all.push(one);
        }
    }
    all
}

/// All ways to merge two sequences that keep the order of each.
pub(super) fn interleavings(left: &[Step], right: &[Step]) -> Vec<Vec<Step>> {
    match (left.split_first(), right.split_first()) {
        (None, _) => vec![right.to_vec()],
        (_, None) => vec![left.to_vec()],
        (Some((l, more_left)), Some((r, more_right))) => {
            let begin = |first: &Step, rest: Vec<Vec<Step>>| {
                rest.into_iter()
                    .map(|rest| [vec![first.clone()], rest].concat())
                    .collect::<Vec<_>>()
            };
            let mut all = begin(l, interleavings(more_left, right));
            all.extend(begin(r, interleavings(left, more_right)));
            all
        }
    }
}
