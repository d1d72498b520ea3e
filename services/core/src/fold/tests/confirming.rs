//! What agents are told about their acknowledgements.

use super::*;

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
        (
            "an earlier agent's: it is told of the later one",
            batch(6, 0, 0, one(9)),
            seen(5),
        ),
        (
            "a later agent begins anew",
            batch(7, 2, 0, one(1)),
            Some(Seen {
                transitions: 2,
                count: 1,
            }),
        ),
        (
            "the earlier one is told of it",
            batch(8, 1, 5, one(6)),
            Some(Seen {
                transitions: 2,
                count: 1,
            }),
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
        view.clone().acknowledged(0, 1, batch.clone()),
        None,
        "7 before it are missing"
    );
    batch.body.confirmed = 7;
    assert_eq!(
        view.acknowledged(0, 1, batch.clone()),
        Some(Seen {
            transitions: 3,
            count: 8
        })
    );
}
