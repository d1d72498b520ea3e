//! The view as a fold: the same in whatever order acknowledgements come, and honest about what is missing.

mod confirming;
mod steps;

use super::*;
use crate::log::ClusterEvent;
use crate::placement::Exclusion;
use steps::*;

#[test]
fn answers_fold_to_the_same_rows_in_every_order() {
    let log = [
        begins(1),
        declared(1),
        assigns(1, 1, "one", &["eu-1"]),
        declared(2),
        assigns(2, 2, "two", &["eu-1"]),
    ];
    let tables: [&[(u64, u64, u64, Outcome)]; 5] = [
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
            (1, 1, 1, Outcome::Ahead),
            (1, 2, 1, Outcome::Applied),
            (1, 3, 2, Outcome::Ahead),
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
        change(3, Content::withdrawn(false)),
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
        event: Event::clone(event),
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
                change(2, Content::withdrawn(false)),
                removes(2, 2, &["eu-1"]),
            ],
            Condition::Removing,
            1,
            1,
        ),
        (
            "a copy that went is not held, whatever was applied before",
            vec![
                batch(
                    1,
                    1,
                    0,
                    vec![ack(1, 1, Outcome::Applied), ack(2, 2, Outcome::Removed)],
                ),
                declared(3),
                assigns(3, 3, "three", &["eu-1"]),
                batch(2, 1, 2, vec![ack(3, 3, Outcome::Retrying)]),
            ],
            Condition::Retrying,
            0,
            3,
        ),
        (
            "newer than what is folded of the log",
            vec![batch(1, 1, 0, vec![ack(1, 7, Outcome::Applied)])],
            Condition::Deciding,
            7,
            0,
        ),
        (
            "newer than the log: decided in a history that is lost",
            vec![batch(1, 1, 0, vec![ack(1, 7, Outcome::Applied)]), begins(2)],
            Condition::Ahead,
            7,
            0,
        ),
        (
            "the cluster says that it is ahead",
            vec![
                begins(2),
                batch(1, 1, 0, vec![restored(ack(1, 1, Outcome::Ahead))]),
            ],
            Condition::Ahead,
            0,
            1,
        ),
        (
            "what is answered in a later epoch is said later",
            vec![
                batch(1, 1, 0, vec![ack(1, 7, Outcome::Removed)]),
                begins(2),
                batch(2, 1, 1, vec![restored(ack(2, 1, Outcome::Applied))]),
            ],
            Condition::Applied,
            1,
            0,
        ),
        (
            "a decision that was restored keeps its answer",
            vec![answered(Outcome::Applied), begins(2)],
            Condition::Applied,
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
        change(2, Content::withdrawn(false)),
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
            steps.push(Step::Log(Box::new(Event::Cluster(ClusterEvent {
                cluster: name(&format!("c{cluster}")),
                time: Time(time),
                news: ClusterNews::READY,
            }))));
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
        Step::Log(Box::new(Event::Cluster(ClusterEvent {
            cluster: name("eu-1"),
            time: Time(time),
            news,
        })))
    };
    let registered = || ClusterNews::Registered(Box::new(Cluster::named(name("eu-1"))));
    for (what, steps, expected) in [
        ("registered", vec![news(1, registered())], (true, None, 1)),
        (
            "heard",
            vec![news(1, registered()), news(2, ClusterNews::READY)],
            (true, Some(true), 2),
        ),
        (
            "no longer heard",
            vec![
                news(1, registered()),
                news(2, ClusterNews::READY),
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
            vec![news(4, ClusterNews::READY)],
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
