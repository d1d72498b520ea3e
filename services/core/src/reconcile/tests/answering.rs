//! Acknowledgements: batched, repeated until they are confirmed, and what is remembered.

use super::*;

#[test]
fn answers_are_the_newest_per_object_and_gather_while_others_run() {
    let items = (1..=20)
        .map(|n| apply(&format!("Secret/shop/s{n}"), 1, n))
        .collect();
    let mut scene = Scene::with(items);
    scene.pass(100);
    scene.done("Secret/shop/s1", 1, Outcome::Applied);
    let first = scene.batches.len();
    assert_eq!(first, 1, "the first at once: nothing was sent for long");
    scene.seen(1, 1);
    for n in 2..=6 {
        scene.done(&format!("Secret/shop/s{n}"), 1, Outcome::Refused);
    }
    assert_eq!(scene.batches.len(), first, "the others gather");
    scene.pass(49);
    assert_eq!(scene.batches.len(), first);
    scene.pass(1);
    let batch = scene.batches.last().expect("sent");
    assert_eq!(batch.acks.len(), 5);
    assert_eq!((batch.after, batch.acks[0].count), (1, 2));
    scene.pass(800);
    scene.done("Secret/shop/s2", 1, Outcome::Applied);
    scene.pass(3_000);
    let resent = scene.batches.last().expect("resent");
    let about = resent
        .acks
        .iter()
        .filter(|ack| ack.object == key("Secret/shop/s2"));
    let outcomes: Vec<Outcome> = about.map(|ack| ack.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Applied],
        "the newest answer took the place of the older one"
    );
}

#[test]
fn what_is_not_confirmed_is_sent_again_also_while_more_is_sent() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(scene.batches.len(), 1);
    let mut sent = 0;
    for n in 2..=40 {
        scene.live(apply(API, n, n));
        scene.done(API, n, Outcome::Applied);
        scene.pass(500);
        sent = scene
            .batches
            .iter()
            .flat_map(|batch| &batch.acks)
            .filter(|ack| ack.object == key(WEB))
            .count();
    }
    assert!(
        sent >= 3,
        "20 s of other answers do not put it off: sent {sent} times"
    );
    assert!(scene.batches.iter().all(|batch| batch.confirmed == 0));
    scene.pass(1_000);
    let last = scene
        .batches
        .iter()
        .flat_map(|batch| &batch.acks)
        .map(|ack| ack.count)
        .max()
        .expect("sent");
    scene.seen(1, last);
    let before = scene.batches.len();
    scene.pass(120_000);
    assert_eq!(
        scene.batches.len(),
        before,
        "confirmed once, never sent again"
    );
}

#[test]
fn answers_gather_while_those_before_them_are_not_confirmed() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.pass(100);
    scene.done(WEB, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    assert_eq!(scene.batches.len(), 1, "nobody has confirmed the first yet");
    scene.seen(1, 1);
    scene.pass(1);
    assert_eq!(scene.batches.len(), 2, "at once when it is confirmed");
    scene.live(apply(SHOP, 1, 3));
    scene.done(SHOP, 1, Outcome::Applied);
    scene.pass(998);
    assert_eq!(scene.batches.len(), 2);
    scene.pass(1);
    assert_eq!(scene.batches.len(), 3, "or a second after the last");
}

#[test]
fn confirmations_for_an_earlier_agent_are_not_ours() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.done(WEB, 1, Outcome::Applied);
    for (transitions, count) in [(0, 9), (2, 9), (1, 0)] {
        scene.seen(transitions, count);
        assert!(!scene.agent.is_idle(), "{transitions} {count}");
    }
    scene.seen(1, 1);
    assert!(scene.agent.is_idle());
}

#[test]
fn a_broken_connection_keeps_the_answers() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.tell(Fact::Disconnected);
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(600_000);
    assert!(scene.batches.is_empty());
    scene.effects();
    scene.tell(Fact::Connected);
    assert_eq!(scene.effects(), ["sync \"x\" 1", "publish [1] after 0"]);
}

#[test]
fn the_memory_never_passes_what_is_not_confirmed() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2), apply(SHOP, 1, 3)]);
    assert_eq!(scene.agent.memory().n, 0);
    scene.done(SHOP, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    scene.pass(50);
    scene.seen(1, 2);
    assert_eq!(scene.agent.memory().n, 0, "the first is not done");
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(50);
    assert_eq!(scene.agent.memory().n, 0, "done, but not confirmed");
    scene.seen(1, 3);
    assert_eq!(
        (scene.agent.memory().n, scene.agent.memory().sequence),
        (3, 30)
    );
    scene.live(apply(WEB, 2, 4));
    assert_eq!(scene.agent.memory().n, 3);
    scene.pass(5_000);
    assert_eq!(scene.remembered.n, 3);
}
