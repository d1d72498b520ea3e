//! Scenarios of one agent.

mod answering;
mod copying;
mod scene;
mod watching;

use super::*;
use scene::*;

#[test]
fn a_new_agent_asks_for_everything_and_does_it() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    assert_eq!(
        scene.effects(),
        [
            "sync \"\" 0",
            &format!("apply {WEB} 1"),
            &format!("apply {API} 1")
        ]
    );
    scene.done(WEB, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    scene.pass(50);
    scene.seen(1, 2);
    assert!(scene.agent.is_idle());
}

#[test]
fn live_work_in_order_is_done_at_once_and_a_repeat_is_not() {
    let mut scene = Scene::with(vec![]);
    scene.effects();
    scene.live(apply(WEB, 1, 1));
    assert_eq!(scene.effects(), [format!("apply {WEB} 1")]);
    scene.live(apply(WEB, 1, 1));
    assert_eq!(scene.effects(), [""; 0]);
}

#[test]
fn a_gap_is_closed_by_a_request_and_what_came_behind_it_follows() {
    let mut scene = Scene::with(vec![]);
    scene.effects();
    scene.live(apply(API, 2, 3));
    assert_eq!(scene.effects(), ["sync \"x\" 0"]);
    scene.live(apply(API, 3, 4));
    scene.answer_up_to(false, 3, vec![apply(WEB, 1, 2), apply(API, 2, 3)]);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 1"), format!("apply {API} 3")],
        "the newest only, and nothing twice"
    );
    assert_eq!(scene.agent.have.n, 4);
}

#[test]
fn another_incarnation_means_everything_and_what_vanished_is_dropped() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.done(API, 1, Outcome::Retrying);
    scene.effects();
    let renewed = |work| stamped(work, |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed(apply(WEB, 2, 1)));
    assert_eq!(scene.effects(), ["sync \"x\" 2"]);
    scene.answer(true, vec![renewed(apply(WEB, 2, 1))]);
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(scene.effects(), [format!("apply {WEB} 2")]);
    scene.done(WEB, 2, Outcome::Applied);
    scene.pass(60);
    let count = scene
        .batches
        .last()
        .and_then(|batch| batch.acks.last())
        .map(|ack| ack.count);
    scene.seen(1, count.expect("answered"));
    scene.pass(1_000_000);
    assert!(
        !scene.effects().contains(&format!("apply {API} 1")),
        "nobody wants it any more"
    );
    assert_eq!(
        (scene.agent.have.incarnation.as_str(), scene.agent.have.n),
        ("y", 1)
    );
}

#[test]
fn what_runs_while_it_vanishes_is_not_tried_again() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    let renewed = stamped(apply(API, 1, 1), |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed.clone());
    scene.answer(true, vec![renewed]);
    scene.done(WEB, 1, Outcome::Retrying);
    scene.effects();
    scene.pass(1_000_000);
    assert!(!scene.effects().contains(&format!("apply {WEB} 1")));
    // Nobody decides about it any more: what becomes of it is not put right either.
    let gone = Sight {
        version: 99,
        copy: None,
    };
    scene.observed(WEB, gone);
    let kind = || WatchedKind::of(&key(WEB));
    scene.tell(Fact::Watch(kind(), WatchNews::Begins));
    scene.tell(Fact::Watch(kind(), WatchNews::Complete));
    scene.pass(1_000_000);
    assert!(!scene.effects().contains(&format!("check {WEB} 1")));
}

#[test]
fn work_of_an_incarnation_that_is_gone_does_not_ask_for_ever() {
    let mut scene = Scene::with(vec![]);
    scene.live(apply(WEB, 9, 9));
    scene.tell(Fact::Synced(SyncAnswer {
        epoch: epoch(1, "a"),
        incarnation: "y".to_owned(),
        whole: true,
        upto: 0,
        sequence: 0,
        items: Vec::new(),
    }));
    scene.effects();
    let mut requests = 0;
    for _ in 0..20 {
        scene.pass(300);
        requests += scene.effects().len();
        if scene.asked.take().is_some() {
            scene.tell(Fact::Synced(SyncAnswer {
                epoch: epoch(1, "a"),
                incarnation: "y".to_owned(),
                whole: false,
                upto: 0,
                sequence: 0,
                items: Vec::new(),
            }));
        }
    }
    assert!(
        requests <= 1,
        "one more look, then the usual pause; not {requests}"
    );
}

#[test]
fn whoever_must_not_write_any_more_is_refused() {
    let held = || {
        let mut scene = Scene::with(vec![stamped(apply(WEB, 5, 1), |stamp| {
            stamp.epoch = epoch(2, "a");
            stamp.term = 7;
        })]);
        scene.effects();
        scene
    };
    for (what, number, hub, term, fenced) in [
        ("a lower epoch", 1, "a", 9, true),
        ("a lower term", 2, "a", 6, true),
        ("another hub with the same number", 2, "b", 9, true),
        ("the same", 2, "a", 7, false),
        ("a higher term", 2, "a", 8, false),
    ] {
        let mut scene = held();
        scene.live(stamped(apply(WEB, 6, 2), |stamp| {
            stamp.epoch = epoch(number, hub);
            stamp.term = term;
        }));
        scene.done(WEB, 5, Outcome::Applied);
        let effects = scene.effects();
        let done = effects.contains(&format!("apply {WEB} 6"));
        assert_eq!(done, !fenced, "{what}: {effects:?}");
        assert_eq!(
            effects.iter().any(|effect| effect.starts_with("fenced")),
            fenced,
            "{what}"
        );
    }
}

#[test]
fn a_higher_epoch_is_adopted_with_its_own_terms() {
    let mut scene = Scene::with(vec![stamped(apply(WEB, 5, 1), |stamp| stamp.term = 50)]);
    scene.effects();
    let promoted = |work, term| {
        stamped(work, |stamp| {
            stamp.epoch = epoch(2, "b");
            stamp.term = term;
            stamp.incarnation = "y".to_owned();
        })
    };
    scene.pass(100_000);
    assert_eq!(scene.effects(), ["sync \"x\" 1"]);
    scene.answer(true, vec![promoted(apply(WEB, 3, 1), 2)]);
    scene.done(WEB, 5, Outcome::Applied);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 3")],
        "another history has its own decisions"
    );
    scene.live(promoted(apply(API, 1, 2), 3));
    assert_eq!(
        scene.effects()[0],
        format!("apply {API} 1"),
        "term 3 follows term 2"
    );
}

#[test]
fn work_is_ordered_by_the_epoch_of_its_decision_and_fenced_by_that_of_its_writer() {
    let written = |decision_epoch, decision, n| {
        let mut work = stamped(apply(WEB, decision, n), |stamp| {
            stamp.epoch = epoch(3, "c");
            stamp.incarnation = "y".to_owned();
        });
        work.decision_epoch = decision_epoch;
        work
    };
    let mut scene = Scene::with(vec![written(epoch(2, "b"), 4, 1)]);
    scene.effects();
    scene.live(written(epoch(1, "a"), 9, 2));
    scene.done(WEB, 4, Outcome::Ahead);
    let [batch] = &scene.batches[..] else {
        panic!("one batch: {:?}", scene.batches);
    };
    let ack = &batch.acks[0];
    assert_eq!(
        (ack.place(), &ack.epoch),
        (
            Place {
                epoch: epoch(2, "b"),
                number: 4
            },
            &epoch(3, "c")
        ),
        "what an earlier epoch decided does not overtake"
    );
    scene.effects();
    scene.pass(10_000);
    assert!(
        scene.effects().contains(&format!("apply {WEB} 4")),
        "what is ahead is looked at again"
    );
    scene.live(written(epoch(3, "c"), 5, 3));
    scene.done(WEB, 4, Outcome::Ahead);
    assert!(scene.effects().contains(&format!("apply {WEB} 5")));
}

#[test]
fn a_newer_decision_overtakes_what_runs() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    scene.live(apply(WEB, 2, 2));
    assert_eq!(
        scene.effects(),
        [""; 0],
        "one thing at a time for an object"
    );
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 2")],
        "and no answer about what was overtaken"
    );
    assert!(scene.batches.is_empty());
}

#[test]
fn an_older_decision_in_an_answer_does_not_overwrite() {
    let mut scene = Scene::with(vec![apply(WEB, 5, 1)]);
    scene.done(WEB, 5, Outcome::Retrying);
    scene.effects();
    let renewed = stamped(apply(WEB, 4, 1), |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed.clone());
    scene.answer(true, vec![renewed]);
    scene.pass(10_000);
    let effects = scene.effects();
    assert!(effects.contains(&format!("apply {WEB} 5")), "{effects:?}");
    assert!(!effects.contains(&format!("apply {WEB} 4")), "{effects:?}");
}

#[test]
fn what_fails_is_tried_again_ever_more_rarely_and_without_end() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    let mut pauses = Vec::new();
    for _ in 0..30 {
        scene.done(WEB, 1, Outcome::Refused);
        let failed = scene.now;
        while !scene.effects().contains(&format!("apply {WEB} 1")) {
            scene.pass(100);
        }
        pauses.push(scene.now.ms_since(failed));
    }
    assert!((500..=800).contains(&pauses[0]), "{pauses:?}");
    assert!(
        pauses.windows(2).take(8).all(|pair| pair[1] > pair[0]),
        "{pauses:?}"
    );
    assert!(pauses.iter().all(|pause| *pause <= 375_100), "{pauses:?}");
    assert!(pauses[29] >= 300_000);
}

#[test]
fn namespaces_come_first_and_go_last() {
    let (crd, shirt) = (
        "CustomResourceDefinition.apiextensions.k8s.io/shirts.example.com",
        "Shirt.example.com/mine/s",
    );
    let mut scene = Scene::with(vec![
        apply(WEB, 1, 1),
        apply(shirt, 1, 2),
        apply(crd, 1, 3),
        apply(SHOP, 1, 4),
    ]);
    let started = [format!("apply {SHOP} 1"), format!("apply {crd} 1")];
    assert_eq!(scene.effects()[1..], started);
    scene.done(SHOP, 1, Outcome::Applied);
    let effects = scene.effects();
    assert!(effects.contains(&format!("apply {WEB} 1")), "{effects:?}");
    assert!(!effects.contains(&format!("apply {shirt} 1")));
    scene.done(crd, 1, Outcome::Applied);
    assert!(scene.effects().contains(&format!("apply {shirt} 1")));
    scene.done(WEB, 1, Outcome::Applied);

    scene.live(remove(SHOP, 2, 5));
    let effects = scene.effects();
    assert!(
        effects.contains(&format!("remove {SHOP} 2")),
        "nothing else is ready: {effects:?}"
    );
    scene.done(SHOP, 2, Outcome::Retrying);
    scene.live(remove(WEB, 2, 6));
    scene.pass(100_000);
    let effects = scene.effects();
    assert!(effects.contains(&format!("remove {WEB} 2")), "{effects:?}");
    assert!(
        !effects.contains(&format!("remove {SHOP} 2")),
        "{effects:?}"
    );
    scene.done(WEB, 2, Outcome::Removed);
    assert!(scene.effects().contains(&format!("remove {SHOP} 2")));
}

#[test]
fn a_restart_asks_since_what_it_remembers() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(5_000);
    scene.seen(1, 1);
    let memory = scene.agent.memory();
    let mut again = Scene::from(memory.clone());
    assert_eq!(again.effects(), ["sync \"x\" 1"]);
    assert_eq!(
        again.asked,
        Some(SyncRequest {
            epoch: Some(epoch(1, "a")),
            incarnation: "x".to_owned(),
            n: 1,
            sequence: memory.sequence,
        })
    );
    again.answer(false, vec![apply(API, 1, 2)]);
    assert_eq!(
        again.effects(),
        [format!("apply {API} 1"), "sync \"\" 0".to_owned()],
        "only what was not confirmed is done, and then what there is is learnt"
    );
}

#[test]
fn a_request_that_fails_is_repeated_with_growing_pauses() {
    let mut scene = Scene::from(Memory::default());
    scene.effects();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        scene.tell(Fact::SyncFailed);
        let failed = scene.now;
        while scene.effects().is_empty() {
            scene.pass(100);
        }
        pauses.push(scene.now.ms_since(failed));
    }
    assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    scene.pass(SYNC_TIMEOUT_MS);
    scene.pass(SYNC_RETRY_MAX_MS);
    assert_eq!(
        scene.effects(),
        ["sync \"\" 0"],
        "no answer at all is a failure, too"
    );
}

#[test]
fn what_an_answer_covers_and_does_not_name_is_no_gap() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    // A removal comes live behind a gap, and is answered and taken away before the answer is read.
    scene.live(remove(WEB, 2, 4));
    assert_eq!(scene.effects(), ["sync \"x\" 1"]);
    scene.tell(Fact::Synced(SyncAnswer {
        epoch: apply(WEB, 1, 1).stamp.epoch,
        incarnation: apply(WEB, 1, 1).stamp.incarnation,
        whole: false,
        upto: 1,
        sequence: 50,
        items: Vec::new(),
    }));
    assert_eq!(scene.effects(), [""; 0], "it does not ask for ever");
}
