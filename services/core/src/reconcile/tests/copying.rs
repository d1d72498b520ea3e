//! What is kept locally, and what is taken up from there.

use super::*;

fn copying(memory: Memory) -> Scene {
    let mut scene = Scene::from(memory);
    scene.agent = scene.agent.clone().keeping_a_copy();
    scene
}

/// What an agent remembers that has done two items of work.
fn remembered() -> Memory {
    Memory {
        epoch: Some(epoch(1, "a")),
        term: 1,
        incarnation: "x".to_owned(),
        n: 2,
        sequence: 2,
    }
}

fn kept(scene: &mut Scene) -> Vec<String> {
    let is_about_the_copy =
        |effect: &String| effect.starts_with("keep") || effect.starts_with("drop");
    let effects = scene.effects().into_iter();
    effects.filter(is_about_the_copy).collect()
}

#[test]
fn the_newest_work_is_kept_until_its_removal_is_heard_of() {
    let mut scene = copying(Memory::default());
    scene.answer(true, vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    let both = [format!("keep {WEB} 1"), format!("keep {API} 1")];
    assert_eq!(kept(&mut scene), both);
    scene.live(apply(WEB, 2, 3));
    assert_eq!(kept(&mut scene), [format!("keep {WEB} 2")]);
    scene.live(apply(WEB, 2, 3));
    assert_eq!(kept(&mut scene), [""; 0], "a repeat");
    scene.live(remove(API, 2, 4));
    assert_eq!(kept(&mut scene), [format!("drop {API}")]);
    let mut without = Scene::with(vec![apply(WEB, 1, 1)]);
    assert_eq!(kept(&mut without), [""; 0], "nobody asked for a copy");
}

#[test]
fn what_an_answer_does_not_name_any_more_is_dropped() {
    let mut scene = copying(Memory::default());
    scene.answer(true, vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.done(WEB, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    scene.pass(60);
    scene.seen(1, 2);
    kept(&mut scene);
    let renewed = stamped(apply(WEB, 1, 1), |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed.clone());
    scene.answer(true, vec![renewed]);
    assert_eq!(kept(&mut scene), [format!("drop {API}")]);
}

#[test]
fn what_was_kept_is_watched_and_looked_at_before_anybody_answers() {
    let memory = remembered();
    let mut scene = copying(memory.clone());
    scene.tell(Fact::Disconnected);
    scene.effects();
    let foreign = stamped(apply(API, 1, 1), |stamp| stamp.epoch = epoch(1, "b"));
    scene.tell(Fact::Recalled(vec![apply(WEB, 1, 1), foreign]));
    let kind = WatchedKind::of(&key(WEB));
    assert!(scene.watched.contains(&kind), "{:?}", scene.watched);
    assert_eq!(scene.agent.held(&key(API)), None, "another hub's history");
    scene.tell(Fact::Watch(kind.clone(), WatchNews::Begins));
    scene.tell(Fact::Watch(kind, WatchNews::Complete));
    scene.pass(0);
    assert_eq!(scene.effects(), [format!("check {WEB} 1")], "it is gone");
    assert!(!scene.agent.knows_all());

    scene.tell(Fact::Connected);
    scene.answer(false, vec![]);
    scene.answer(true, vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    assert!(scene.agent.knows_all());
    let learnt = kept(&mut scene);
    assert_eq!(
        learnt,
        [format!("keep {API} 1")],
        "only what the copy lacked"
    );
}

#[test]
fn an_older_decision_does_not_take_the_place_of_what_was_kept() {
    let memory = remembered();
    let mut scene = copying(memory);
    scene.tell(Fact::Recalled(vec![apply(WEB, 5, 2)]));
    scene.answer(false, vec![apply(WEB, 4, 3)]);
    let held = scene.agent.held(&key(WEB)).map(|work| work.decision);
    assert_eq!(held, Some(5));
    assert!(!scene.effects().contains(&format!("apply {WEB} 4")));
}
