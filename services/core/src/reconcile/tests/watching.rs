//! What is seen of copies: told when it changes, looked at again when it must be.

use super::*;
use crate::ack::Observed;
use crate::drift::{Drift, Field};
use crate::health::Health;
use crate::model::ApplyPolicy;
use crate::model::federated::{self, Mode};
use crate::work::Body;

fn copy(version: u64, decision: u64, health: Health) -> Sight {
    Sight {
        version,
        copy: Some(Copied {
            digest: Some(format!("digest {decision}")),
            observed: Observed {
                health: Some(health),
                ..Observed::default()
            },
            unstated: Vec::new(),
        }),
    }
}

fn drifted(version: u64, decision: u64, healed: bool) -> Sight {
    let mut sight = copy(version, decision, Health::healthy(""));
    let field = Field {
        path: ".spec.replicas".to_owned(),
        manager: Some("kubectl".to_owned()),
        time: Some("2026-01-02T03:04:05Z".to_owned()),
    };
    let drift = Drift::of(vec![field]).map(|drift| Drift { healed, ..drift });
    if let Some(copy) = &mut sight.copy {
        copy.observed.drift = drift;
    }
    sight
}

fn gone(version: u64) -> Sight {
    Sight {
        version,
        copy: None,
    }
}

fn with_policy(mut work: Work, change: impl FnOnce(&mut ApplyPolicy)) -> Work {
    if let Body::Apply { policy, .. } = &mut work.body {
        change(policy);
    }
    work
}

/// An agent whose one object is applied and confirmed, and watched.
fn settled(work: Work) -> Scene {
    let (object, decision) = (work.object.to_string(), work.decision);
    let mut scene = Scene::with(vec![work]);
    let sight = copy(10, decision, Health::progressing("0 of 1"));
    scene.done_seeing(&object, decision, Outcome::Applied, Some(sight));
    scene.seen(1, 1);
    assert!(scene.agent.is_idle());
    scene.tell(Fact::Watch(
        WatchedKind::of(&key(&object)),
        WatchNews::Complete,
    ));
    scene.pass(10_000);
    scene.effects();
    scene.batches.clear();
    scene
}

fn told(scene: &Scene) -> Vec<Ack> {
    scene
        .batches
        .iter()
        .flat_map(|batch| batch.acks.clone())
        .collect()
}

fn health(ack: &Ack) -> Option<&Health> {
    ack.observed.health.as_ref()
}

#[test]
fn the_answer_to_work_carries_what_was_seen_and_later_changes_are_told() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    let sight = copy(10, 1, Health::progressing("0 of 1"));
    scene.done_seeing(WEB, 1, Outcome::Applied, Some(sight));
    let first = told(&scene);
    assert_eq!(health(&first[0]), Some(&Health::progressing("0 of 1")));
    assert_eq!(scene.watched.len(), 1);

    let mut scene = settled(apply(WEB, 1, 1));
    scene.observed(WEB, copy(10, 1, Health::progressing("0 of 1")));
    scene.pass(60_000);
    assert!(told(&scene).is_empty(), "nothing changed");
    scene.observed(WEB, copy(11, 1, Health::healthy("")));
    let acks = told(&scene);
    assert_eq!(acks.len(), 1);
    assert_eq!(health(&acks[0]), Some(&Health::healthy("")));
    assert_eq!(
        (acks[0].decision, acks[0].outcome, acks[0].count),
        (1, Outcome::Applied, 2)
    );
    scene.observed(WEB, copy(9, 1, Health::degraded("long ago")));
    scene.pass(60_000);
    let last = told(&scene).pop().expect("told");
    assert_eq!(
        health(&last),
        Some(&Health::healthy("")),
        "older than what was seen"
    );
}

#[test]
fn changes_are_gathered_per_object_and_the_newest_wins() {
    let mut scene = settled(apply(WEB, 1, 1));
    for version in 11..=200 {
        let health = match version % 2 {
            0 => Health::healthy(""),
            _ => Health::degraded("flaps"),
        };
        scene.observed(WEB, copy(version, 1, health));
        scene.pass(10);
    }
    scene.pass(5_000);
    scene.seen(1, 100);
    let acks = told(&scene);
    assert!(
        (2..=5).contains(&acks.len()),
        "1.9 s of flapping: {}",
        acks.len()
    );
    let last = acks.last().expect("told");
    assert_eq!(health(last), Some(&Health::healthy("")), "version 200");
}

#[test]
fn much_that_is_seen_does_not_hold_up_answers_to_work() {
    let count = 1_000_u64;
    let object = |n: u64| format!("Secret/shop/s{n}");
    let mut scene = Scene::with((1..=count).map(|n| apply(&object(n), 1, n)).collect());
    for n in 1..=count {
        let sight = copy(n, 1, Health::healthy(""));
        scene.done_seeing(&object(n), 1, Outcome::Applied, Some(sight));
    }
    scene.pass(100);
    scene.seen(1, count);
    scene.tell(Fact::Disconnected);
    for n in 1..=count {
        scene.observed(
            &object(n),
            copy(count + n, 1, Health::degraded("all at once")),
        );
    }
    scene.pass(10_000);
    scene.batches.clear();
    scene.tell(Fact::Done {
        object: key(WEB),
        decision: 1,
        outcome: Outcome::Applied,
        message: String::new(),
        held: None,
        sight: None,
        pause: Pause::Ours,
    });
    scene.live(apply(WEB, 1, count + 1));
    scene.done(WEB, 1, Outcome::Applied);
    scene.tell(Fact::Connected);
    scene.pass(1_000);
    let batches = &scene.batches;
    let place = batches
        .iter()
        .position(|batch| batch.acks.iter().any(|ack| ack.object == key(WEB)));
    assert_eq!(place, Some(0), "the answer goes with the first message");
    assert_eq!(told(&scene).len(), 1_001);
    assert!(batches.iter().all(|batch| batch.acks.len() <= 256));
}

#[test]
fn drift_is_healed_reported_or_ignored_as_the_policy_says() {
    for (drift, mode, checked, told_fields) in [
        (federated::Drift::Heal, Mode::Sync, true, 0),
        (federated::Drift::Report, Mode::Sync, false, 1),
        (federated::Drift::Ignore, Mode::Sync, false, 0),
        (federated::Drift::Heal, Mode::CreateOnly, false, 0),
    ] {
        let work = with_policy(apply(WEB, 1, 1), |policy| {
            (policy.drift, policy.mode) = (drift, mode);
        });
        let mut scene = settled(work);
        scene.observed(WEB, drifted(11, 1, false));
        scene.pass(1_000);
        let expected: &[String] = match checked {
            true => &[format!("check {WEB} 1")],
            false => &[],
        };
        let looked: Vec<String> = scene
            .effects()
            .into_iter()
            .filter(|effect| effect.starts_with("check"))
            .collect();
        assert_eq!(looked, expected, "{drift:?} {mode:?}");
        let fields: usize = told(&scene)
            .iter()
            .map(|ack| {
                ack.observed
                    .drift
                    .as_ref()
                    .map_or(0, |drift| drift.fields.len())
            })
            .sum();
        assert_eq!(fields, told_fields, "{drift:?} {mode:?}");
    }
}

#[test]
fn what_was_put_right_is_told_with_how_often_and_at_ever_longer_pauses() {
    let mut scene = settled(apply(WEB, 1, 1));
    let mut pauses = Vec::new();
    for fight in 1..=6_u64 {
        let at = scene.now;
        scene.observed(WEB, drifted(10 + 2 * fight, 1, false));
        while !scene.effects().contains(&format!("check {WEB} 1")) {
            scene.pass(100);
        }
        pauses.push(scene.now.ms_since(at));
        let healed = drifted(11 + 2 * fight, 1, true);
        scene.done_seeing(WEB, 1, Outcome::Applied, Some(healed));
        scene.pass(1_000);
        let last = told(&scene).pop().expect("told");
        let drift = last.observed.drift.expect("it was put right");
        assert_eq!((drift.healed, drift.heals), (true, fight));
        assert_eq!(drift.fields[0].manager.as_deref(), Some("kubectl"));
    }
    assert!(pauses[0] <= 200, "at once: {pauses:?}");
    assert!(pauses[5] > pauses[2] && pauses[5] >= 8_000, "{pauses:?}");
    // Later news about the same decision keep it; a newer decision begins anew.
    scene.observed(WEB, copy(90, 1, Health::degraded("later")));
    scene.pass(5_000);
    assert!(told(&scene).pop().expect("told").observed.drift.is_some());
    scene.live(apply(WEB, 2, 2));
    // Where a request was under way meanwhile.
    scene.answer_up_to(false, 2, vec![apply(WEB, 2, 2)]);
    scene.done_seeing(
        WEB,
        2,
        Outcome::Applied,
        Some(copy(91, 2, Health::healthy(""))),
    );
    scene.pass(5_000);
    assert_eq!(told(&scene).pop().expect("told").observed.drift, None);
}

#[test]
fn what_is_gone_or_says_something_else_is_looked_at() {
    for (sight, what) in [
        (gone(11), "deleted, or our label was taken away"),
        (copy(11, 7, Health::healthy("")), "another digest"),
        (
            Sight {
                version: 11,
                copy: Some(Copied {
                    digest: None,
                    observed: Observed::default(),
                    unstated: Vec::new(),
                }),
            },
            "the mark is gone",
        ),
    ] {
        let mut scene = settled(apply(WEB, 1, 1));
        scene.observed(WEB, sight);
        scene.pass(200);
        assert_eq!(scene.effects(), [format!("check {WEB} 1")], "{what}");
        // All was well: nobody is told.
        let sight = copy(10, 1, Health::progressing("0 of 1"));
        scene.done_seeing(WEB, 1, Outcome::Applied, Some(sight));
        scene.pass(60_000);
        assert!(told(&scene).is_empty(), "{what}: {:?}", told(&scene));
    }
    let mut scene = settled(apply(WEB, 1, 1));
    scene.observed(WEB, gone(9));
    scene.pass(1_000);
    assert!(scene.effects().is_empty(), "an older sight");
}

#[test]
fn a_look_that_fails_is_repeated_and_told() {
    let mut scene = settled(apply(WEB, 1, 1));
    scene.observed(WEB, gone(11));
    scene.pass(200);
    scene.effects();
    scene.done(WEB, 1, Outcome::Retrying);
    assert_eq!(
        told(&scene).pop().map(|ack| ack.outcome),
        Some(Outcome::Retrying)
    );
    scene.pass(1_000);
    assert!(scene.effects().contains(&format!("check {WEB} 1")));
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(100);
    assert_eq!(
        told(&scene).pop().map(|ack| ack.outcome),
        Some(Outcome::Applied)
    );
}

#[test]
fn a_removal_that_waits_is_tried_at_once_when_the_copy_goes() {
    let mut scene = settled(apply(WEB, 1, 1));
    scene.live(remove(WEB, 2, 2));
    assert_eq!(scene.watched.len(), 1, "until it is gone");
    for _ in 0..8 {
        scene.done(WEB, 2, Outcome::Retrying);
        scene.pass(100_000);
    }
    scene.done(WEB, 2, Outcome::Retrying);
    scene.effects();
    scene.observed(WEB, gone(50));
    assert_eq!(scene.effects(), [format!("remove {WEB} 2")]);
    scene.done(WEB, 2, Outcome::Removed);
    assert!(scene.watched.is_empty(), "nothing of the kind is left");
}

#[test]
fn after_a_restart_what_there_is_is_learnt_without_doing_it_again() {
    let memory = Memory {
        epoch: Some(epoch(1, "a")),
        term: 1,
        incarnation: "x".to_owned(),
        n: 3,
        sequence: 30,
    };
    let mut scene = Scene::from(memory);
    scene.answer_up_to(false, 3, Vec::new());
    assert_eq!(scene.effects(), ["sync \"x\" 3", "sync \"\" 0"]);
    scene.answer_up_to(
        true,
        4,
        vec![
            apply(WEB, 1, 1),
            remove("Secret/shop/old", 1, 2),
            apply(SHOP, 1, 3),
            apply(API, 1, 4),
        ],
    );
    assert_eq!(
        scene.effects(),
        [format!("apply {API} 1")],
        "only what is new is done"
    );
    assert_eq!(scene.watched.len(), 2);
    scene.done(API, 1, Outcome::Applied);
    let deployments = WatchedKind::of(&key(WEB));
    scene.tell(Fact::Watch(deployments.clone(), WatchNews::Begins));
    scene.observed(API, copy(5, 1, Health::healthy("")));
    scene.tell(Fact::Watch(deployments, WatchNews::Complete));
    scene.pass(200);
    assert_eq!(
        scene.effects()[1..],
        [format!("check {WEB} 1")],
        "it was deleted while nobody looked"
    );
    let acks = told(&scene);
    assert!(acks.iter().all(|ack| ack.object == key(API)), "{acks:?}");
}

#[test]
fn a_watch_that_fails_makes_health_unknown_with_the_reason() {
    let mut scene = settled(apply(WEB, 1, 1));
    let kind = WatchedKind::of(&key(WEB));
    for _ in 0..3 {
        let news = WatchNews::Fails("deployments.apps is forbidden".to_owned());
        scene.tell(Fact::Watch(kind.clone(), news));
        scene.pass(10_000);
    }
    let acks = told(&scene);
    let reasons: BTreeSet<&str> = acks
        .iter()
        .filter_map(|ack| Some(health(ack)?.reason.as_str()))
        .collect();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        ["it is not watched: deployments.apps is forbidden"]
    );
    // What an attempt sees in passing says nothing about later.
    scene.pass(SYNC_MS);
    scene.answer(false, vec![apply(WEB, 2, 2)]);
    let seen = Some(copy(9, 2, Health::healthy("")));
    scene.done_seeing(WEB, 2, Outcome::Applied, seen);
    scene.pass(1_000);
    let acks = told(&scene);
    let last = acks.last().expect("answered");
    assert_eq!(last.decision, 2);
    assert_eq!(
        health(last).map(|health| health.state),
        Some(crate::health::State::Unknown)
    );
}

#[test]
fn a_broken_namespace_does_not_hold_up_others_when_it_is_tried_again() {
    let mut scene = Scene::with(vec![apply(SHOP, 1, 1), apply(WEB, 1, 2)]);
    assert_eq!(scene.effects()[1..], [format!("apply {SHOP} 1")]);
    scene.done(SHOP, 1, Outcome::Refused);
    assert!(scene.effects().contains(&format!("apply {WEB} 1")));
    scene.done(WEB, 1, Outcome::Retrying);
    scene.pass(10_000);
    let effects = scene.effects();
    assert!(effects.contains(&format!("apply {SHOP} 1")), "{effects:?}");
    assert!(
        effects.contains(&format!("apply {WEB} 1")),
        "beside it: {effects:?}"
    );
}

#[test]
fn new_work_goes_before_what_is_tried_again_and_a_cluster_may_ask_for_a_pause() {
    let object = |n: u64| format!("Secret/shop/s{n}");
    let mut scene = Scene::with((1..=40).map(|n| apply(&object(n), 1, n)).collect());
    for n in 1..=40 {
        scene.done(&object(n), 1, Outcome::Refused);
    }
    scene.effects();
    scene.pass(1_000);
    assert_eq!(
        scene
            .effects()
            .iter()
            .filter(|it| it.starts_with("apply"))
            .count(),
        16
    );
    scene.live(apply(WEB, 1, 41));
    scene.done(&object(1), 1, Outcome::Refused);
    let started: Vec<String> = scene
        .effects()
        .into_iter()
        .filter(|effect| effect.starts_with("apply"))
        .collect();
    assert_eq!(started, [format!("apply {WEB} 1")]);

    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    scene.tell(Fact::Done {
        object: key(WEB),
        decision: 1,
        outcome: Outcome::Retrying,
        message: "too many requests".to_owned(),
        held: None,
        sight: None,
        pause: Pause::AtLeast(7_000),
    });
    scene.pass(6_900);
    assert!(!scene.effects().contains(&format!("apply {WEB} 1")));
    scene.pass(100);
    assert!(scene.effects().contains(&format!("apply {WEB} 1")));
}

#[test]
fn what_is_learnt_after_its_kind_was_shown_is_looked_at() {
    let memory = Memory {
        epoch: Some(epoch(1, "a")),
        term: 1,
        incarnation: "x".to_owned(),
        n: 1,
        sequence: 10,
    };
    let all = || vec![apply(API, 1, 1), apply(WEB, 1, 2)];
    let kind = || WatchedKind::of(&key(WEB));
    for shown_first in [false, true] {
        let mut scene = Scene::from(memory.clone());
        scene.answer_up_to(false, 2, vec![apply(WEB, 1, 2)]);
        assert!(scene.watched.contains(&kind()));
        if shown_first {
            scene.tell(Fact::Watch(kind(), WatchNews::Begins));
            scene.tell(Fact::Watch(kind(), WatchNews::Complete));
        }
        scene.effects();
        scene.answer_up_to(true, 2, all());
        scene.pass(1_000);
        let looked = scene.effects().contains(&format!("check {API} 1"));
        assert_eq!(looked, shown_first, "its kind was shown: {shown_first}");
    }
}
