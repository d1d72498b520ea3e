//! The view as a fold: the same in whatever order acknowledgements come, and honest about what is missing.

use super::*;
use crate::ack::{Ack, BatchBody};
use crate::change::Change;
use crate::decision::{Assigned, Body, Decision, Excluded, Removed};
use crate::log::ClusterEvent;
use crate::model::federated::OnDelete;
use crate::placement::Exclusion;
use serde_json::json;

const WEB: &str = "Deployment.apps/shop/web";

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn key() -> ObjectKey {
    WEB.parse().expect("valid")
}

fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        hub: "hub".to_owned(),
    }
}

/// What may be folded next.
#[derive(Debug, Clone)]
enum Step {
    Log(Event),
    Ack(u64, Batch),
}

fn begins(number: u64) -> Step {
    Step::Log(Event::Epoch(Beginning {
        epoch: epoch(number),
        partitions: 1,
    }))
}

fn change(revision: u64, content: Content) -> Step {
    Step::Log(Event::Change(Change {
        object: key(),
        revision,
        origin: Origin {
            source: "test".to_owned(),
            id: revision.to_string(),
        },
        time: Time(1_000),
        content,
    }))
}

fn declared(revision: u64) -> Step {
    change(
        revision,
        Content::Declared {
            dialect: Dialect::Native,
            document: Document::from_value(&json!({"revision": revision})),
        },
    )
}

fn decision(number: u64, revision: u64, body: Body) -> Step {
    Step::Log(Event::Decision(Decision {
        object: key(),
        number,
        revision,
        epoch: epoch(1),
        term: 1,
        time: Time(2_000),
        causation: "cause".to_owned(),
        correlation: "change".to_owned(),
        body,
    }))
}

/// A decision that gives eu-1 (and more) a manifest with `digest`.
fn assigns(number: u64, revision: u64, digest: &str, clusters: &[&str]) -> Step {
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

fn removes(number: u64, revision: u64, clusters: &[&str]) -> Step {
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

fn excludes(number: u64, revision: u64, reason: Exclusion) -> Step {
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
fn ack(count: u64, decision: u64, outcome: Outcome) -> Ack {
    Ack {
        object: key(),
        epoch: epoch(1),
        decision,
        revision: decision,
        count,
        outcome,
        message: format!("answer {count}"),
        digest: None,
        attempts: 1,
        work_id: format!("work {decision}"),
        time: Time(10_000 + i64::try_from(count).expect("small")),
    }
}

fn batch(sequence: u64, transitions: u64, after: u64, acks: Vec<Ack>) -> Step {
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
fn fold(steps: &[Step]) -> View {
    let mut view = View::default();
    for step in steps {
        step.fold(&mut view);
    }
    view
}

impl Step {
    fn fold(&self, view: &mut View) -> Option<Seen> {
        match self {
            Self::Log(event) => {
                let sequence = view.log + 1;
                view.logged(&Entry {
                    sequence,
                    id: format!("event-{sequence}"),
                    event: event.clone(),
                });
                None
            }
            Self::Ack(sequence, batch) => view.acknowledged(0, *sequence, batch),
        }
    }
}

/// The only row.
fn row(steps: &[Step]) -> Row {
    let rows = fold(steps).rows(&key());
    let [row] = rows.as_slice() else {
        panic!("one row: {rows:?}");
    };
    row.clone()
}

/// All orders of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
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
fn interleavings(left: &[Step], right: &[Step]) -> Vec<Vec<Step>> {
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

#[test]
fn answers_fold_to_the_same_rows_in_every_order() {
    let log = [
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1"]),
        declared(2),
        assigns(2, 2, "two", &["eu-1"]),
    ];
    let tables: [&[(u64, u64, u64, Outcome)]; 4] = [
        &[
            (1, 1, 1, Outcome::Retrying),
            (1, 2, 1, Outcome::Applied),
            (1, 3, 2, Outcome::Refused),
            (1, 4, 2, Outcome::Applied),
        ],
        // A removal between: what was held before it is not held after it.
        &[
            (1, 1, 1, Outcome::Applied),
            (1, 2, 2, Outcome::Removed),
            (1, 3, 3, Outcome::Retrying),
            (1, 4, 3, Outcome::Refused),
        ],
        // Another agent took over and began to count anew.
        &[
            (1, 7, 1, Outcome::Applied),
            (2, 1, 1, Outcome::Retrying),
            (2, 2, 2, Outcome::Retrying),
            (2, 3, 2, Outcome::Applied),
        ],
        &[
            (1, 1, 2, Outcome::Applied),
            (1, 2, 2, Outcome::Orphaned),
            (2, 1, 3, Outcome::Applied),
            (2, 2, 3, Outcome::Applied),
        ],
    ];
    for table in tables {
        let mut folded: Option<(Vec<Row>, String, BTreeMap<_, _>)> = None;
        for order in permutations(table) {
            let mut view = fold(&log);
            for (at, (transitions, count, decision, outcome)) in order.iter().enumerate() {
                let sequence = u64::try_from(at + 1).expect("small");
                batch(
                    sequence,
                    *transitions,
                    count - 1,
                    vec![ack(*count, *decision, *outcome)],
                )
                .fold(&mut view);
            }
            let this = (view.rows(&key()), view.digest(), view.answers.clone());
            let first = folded.get_or_insert_with(|| this.clone());
            assert_eq!(*first, this, "{order:?}");
        }
    }
}

#[test]
fn log_and_answers_may_come_in_any_order_against_each_other() {
    let log = [
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1", "us-1"]),
        declared(2),
        assigns(2, 2, "two", &["eu-1"]),
        change(3, Content::Withdrawn { orphan: false }),
    ];
    let acks = [
        batch(1, 1, 0, vec![ack(1, 1, Outcome::Applied)]),
        batch(2, 1, 1, vec![ack(2, 2, Outcome::Retrying)]),
        batch(3, 1, 2, vec![ack(3, 2, Outcome::Applied)]),
    ];
    let expected = fold(&[&log[..], &acks[..]].concat());
    let all = interleavings(&log, &acks);
    assert_eq!(all.len(), 84);
    for order in all {
        assert_eq!(fold(&order), expected, "{order:?}");
    }
}

#[test]
fn what_comes_twice_changes_nothing() {
    let steps = [
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1"]),
        batch(1, 1, 0, vec![ack(1, 1, Outcome::Applied)]),
    ];
    let view = fold(&steps);
    let mut again = view.clone();
    let Step::Log(event) = &steps[1] else {
        panic!("an event of the log");
    };
    again.logged(&Entry {
        sequence: 2,
        id: "event-2".to_owned(),
        event: event.clone(),
    });
    assert_eq!(
        steps[3].fold(&mut again),
        Some(Seen {
            transitions: 1,
            count: 1
        }),
        "the agent did not hear it the first time"
    );
    assert_eq!(again, view);
}

#[test]
fn nothing_is_confirmed_past_a_batch_that_was_lost() {
    let mut view = fold(&[begins(1)]);
    let seen = |count| {
        Some(Seen {
            transitions: 1,
            count,
        })
    };
    let one = |count| vec![ack(count, count, Outcome::Applied)];
    for (what, step, expected) in [
        ("the first", batch(1, 1, 0, one(1)), seen(1)),
        ("2 and 3 are missing", batch(2, 1, 3, one(4)), None),
        ("still", batch(3, 1, 4, one(5)), None),
        (
            "sent again from the confirmed one",
            batch(
                4,
                1,
                1,
                vec![ack(2, 2, Outcome::Applied), ack(5, 5, Outcome::Applied)],
            ),
            seen(5),
        ),
        ("an old one repeated", batch(5, 1, 0, one(1)), seen(5)),
        ("an earlier agent's", batch(6, 0, 0, one(9)), None),
        (
            "a later agent begins anew",
            batch(7, 2, 0, one(1)),
            Some(Seen {
                transitions: 2,
                count: 1,
            }),
        ),
        (
            "the earlier one is told nothing",
            batch(8, 1, 5, one(6)),
            None,
        ),
    ] {
        assert_eq!(step.fold(&mut view), expected, "{what}");
    }
    assert_eq!(
        view.acks[&0], 8,
        "what cannot be confirmed is folded all the same"
    );
    assert_eq!(
        view.seen(&name("eu-1")),
        Some(Seen {
            transitions: 2,
            count: 1
        })
    );
}

#[test]
fn an_agent_that_knows_its_confirmation_need_not_be_known() {
    let mut view = fold(&[begins(1)]);
    let Step::Ack(_, mut batch) = batch(1, 3, 7, vec![ack(8, 8, Outcome::Applied)]) else {
        panic!("a batch");
    };
    assert_eq!(
        view.clone().acknowledged(0, 1, &batch),
        None,
        "7 before it are missing"
    );
    batch.body.confirmed = 7;
    assert_eq!(
        view.acknowledged(0, 1, &batch),
        Some(Seen {
            transitions: 3,
            count: 8
        })
    );
}

#[test]
fn each_condition_comes_from_the_newest_decision_and_the_answer_to_it() {
    let until = [begins(1), declared(1), assigns(1, 1, "one", &["eu-1"])];
    let answered = |outcome| batch(1, 1, 0, vec![ack(1, 1, outcome)]);
    let cases: Vec<(&str, Vec<Step>, Condition, u64, u64)> = vec![
        ("no answer", vec![], Condition::Pending, 0, 1),
        (
            "applied",
            vec![answered(Outcome::Applied)],
            Condition::Applied,
            1,
            0,
        ),
        (
            "refused",
            vec![answered(Outcome::Refused)],
            Condition::Refused,
            0,
            1,
        ),
        (
            "retrying",
            vec![answered(Outcome::Retrying)],
            Condition::Retrying,
            0,
            1,
        ),
        (
            "superseded: the answer was to an older decision",
            vec![
                answered(Outcome::Applied),
                declared(2),
                assigns(2, 2, "two", &["eu-1"]),
            ],
            Condition::Pending,
            1,
            1,
        ),
        (
            "a decision that leaves the manifest as it is needs no new answer",
            vec![
                answered(Outcome::Applied),
                declared(2),
                assigns(2, 2, "one", &["eu-1"]),
            ],
            Condition::Applied,
            2,
            0,
        ),
        (
            "three changes wait for their decision",
            vec![
                answered(Outcome::Applied),
                declared(2),
                declared(3),
                declared(4),
            ],
            Condition::Deciding,
            1,
            3,
        ),
        (
            "refused by decision: the cluster keeps what it has",
            vec![
                answered(Outcome::Applied),
                declared(2),
                excludes(2, 2, Exclusion::Refused),
            ],
            Condition::Refused,
            1,
            1,
        ),
        (
            "not chosen any more, and nothing to remove",
            vec![excludes(2, 1, Exclusion::Unknown)],
            Condition::Excluded,
            0,
            0,
        ),
        (
            "to go",
            vec![
                answered(Outcome::Applied),
                change(2, Content::Withdrawn { orphan: false }),
                removes(2, 2, &["eu-1"]),
            ],
            Condition::Removing,
            1,
            1,
        ),
        (
            "newer than the log",
            vec![batch(1, 1, 0, vec![ack(1, 7, Outcome::Applied)])],
            Condition::Ahead,
            7,
            0,
        ),
        (
            "another history's answer is none of ours",
            vec![answered(Outcome::Applied), begins(2)],
            Condition::Pending,
            1,
            0,
        ),
    ];
    for (what, more, condition, applied, behind) in cases {
        let row = row(&[until.to_vec(), more].concat());
        assert_eq!(row.condition, condition, "{what}: {row:?}");
        assert_eq!(
            (row.applied_revision, row.behind),
            (applied, behind),
            "{what}: {row:?}"
        );
    }
}

#[test]
fn a_removal_is_a_row_until_it_is_answered() {
    let steps = vec![
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1"]),
        change(2, Content::Withdrawn { orphan: false }),
        removes(2, 2, &["eu-1"]),
    ];
    for (outcome, left) in [
        (Outcome::Retrying, 1),
        (Outcome::Refused, 1),
        (Outcome::Removed, 0),
        (Outcome::Orphaned, 0),
    ] {
        let answered = batch(1, 1, 0, vec![ack(1, 2, outcome)]);
        let view = fold(&[steps.clone(), vec![answered]].concat());
        assert_eq!(view.rows(&key()).len(), left, "{outcome:?}");
        assert!(
            view.object(&key())
                .is_some_and(|object| object.change.withdrawn)
        );
    }
    let view = fold(&steps);
    let kept = view.object(&key()).expect("known");
    assert_eq!(
        kept.change.dialect,
        Some(Dialect::Native),
        "as it was declared last"
    );
    assert!(kept.change.document.is_some());
}

#[test]
fn the_digest_is_of_what_stands_and_not_of_when() {
    let steps = |time: i64, shift: usize| {
        let mut steps = vec![begins(1)];
        for cluster in 0..shift {
            steps.push(Step::Log(Event::Cluster(ClusterEvent {
                cluster: name(&format!("c{cluster}")),
                time: Time(time),
                news: ClusterNews::Online {},
            })));
        }
        let mut answer = ack(1, 1, Outcome::Applied);
        answer.time = Time(time);
        steps.extend([
            declared(1),
            assigns(1, 1, "one", &["eu-1"]),
            batch(1, 1, 0, vec![answer]),
        ]);
        steps
    };
    let one = fold(&steps(1, 0));
    assert_eq!(one.digest(), fold(&steps(99, 3)).digest());
    assert_ne!(one.digest(), fold(&steps(1, 0)[..3]).digest());
}

#[test]
fn the_clock_of_one_agent_is_not_everybodys() {
    let mut answer = ack(1, 1, Outcome::Applied);
    answer.time = Time(i64::MAX);
    let view = fold(&[
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1"]),
        batch(1, 1, 0, vec![answer]),
    ]);
    assert_eq!(view.time, Time(2_000));
}

#[test]
fn clusters_come_and_go() {
    let news = |time, news| {
        Step::Log(Event::Cluster(ClusterEvent {
            cluster: name("eu-1"),
            time: Time(time),
            news,
        }))
    };
    let registered = || ClusterNews::Registered(Cluster::named(name("eu-1")));
    for (what, steps, expected) in [
        ("registered", vec![news(1, registered())], (true, None, 1)),
        (
            "heard",
            vec![news(1, registered()), news(2, ClusterNews::Online {})],
            (true, Some(true), 2),
        ),
        (
            "no longer heard",
            vec![
                news(1, registered()),
                news(2, ClusterNews::Online {}),
                news(3, ClusterNews::Offline {}),
            ],
            (true, Some(false), 3),
        ),
        (
            "gone",
            vec![news(1, registered()), news(2, ClusterNews::Removed {})],
            (false, None, 1),
        ),
        (
            "heard before it is registered",
            vec![news(4, ClusterNews::Online {})],
            (false, Some(true), 4),
        ),
    ] {
        let view = fold(&steps);
        let (_, cluster) = view.clusters().next().expect("known");
        assert_eq!(
            (
                cluster.registered.is_some(),
                cluster.online,
                cluster.since.0
            ),
            expected,
            "{what}"
        );
    }
}
