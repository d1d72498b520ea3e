//! Leading, losing it, crashing, and taking over.

use super::*;
use crate::log::ClusterEvent;

#[test]
fn a_restart_goes_on_without_writing_anything_again() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.restart();
    assert_eq!(scene.next(), None, "it does not lead");
    scene.lead_on(2);
    assert_eq!(scene.told(), [""; 0]);
    scene.declare(WEB, 2, overridden("2"));
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1", "write eu-1 2 n6"],
        "counted from the fence on, above all that was ever used"
    );
    assert_eq!(scene.work("eu-1").stamp.term, 2);
}

#[test]
fn a_crash_anywhere_loses_nothing_and_repeats_nothing() {
    // Without a crash.
    let expected = {
        let mut scene = Scene::with(&["eu-1", "us-1"]);
        scene.declare(WEB, 1, everywhere());
        scene.declare(WEB, 2, overridden("2"));
        scene.told()
    };
    // The checkpoint is of before each effect, or of after it; the effect is carried out, or lost.
    for crash_at in 0..expected.len() {
        for (kept_after, lost) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("crash at {crash_at}, kept after: {kept_after}, lost: {lost}");
            let mut scene = Scene::with(&["eu-1", "us-1"]);
            scene.change(WEB, 1, declared(WEB, everywhere()));
            let mut second = false;
            let mut effects = 0;
            let mut term = 1;
            loop {
                let confirmed = scene.end();
                let kept = (scene.placer.clone(), scene.placer.sequence());
                let Some(effect) = scene.next() else {
                    if second {
                        break;
                    }
                    second = true;
                    scene.change(WEB, 2, declared(WEB, overridden("2")));
                    continue;
                };
                if effects != crash_at || term > 1 {
                    effects += 1;
                    scene.carry_out(effect);
                    continue;
                }
                let unsent = scene.placer.clone();
                if !lost {
                    scene.carry_out(effect);
                }
                scene.placer = if kept_after { unsent } else { kept.0 };
                scene.restart();
                scene.placer.rewind(0, confirmed);
                for entry in scene.log.clone() {
                    scene.placer.logged(&entry);
                }
                effects += 1;
                term += 1;
                scene.lead_on(term);
            }
            // A write that was lost leaves its count out: a gap is closed by a sync, a count twice would not be noticed.
            let mut counts = BTreeMap::new();
            for work in scene.stream.iter().flatten() {
                let before = counts.insert(work.cluster.clone(), work.stamp.n);
                assert!(before.unwrap_or(0) < work.stamp.n, "{what}");
            }
            let sorted = |told: &[String]| {
                let without_count = told
                    .iter()
                    .map(|told| told.split(" n").next().unwrap_or_default().to_owned());
                let mut told: Vec<String> = without_count.collect();
                told.sort();
                told
            };
            assert_eq!(sorted(&scene.told()), sorted(&expected), "{what}");
            assert!(scene.placer.is_idle(), "{what}");
        }
    }
}

#[test]
fn a_new_making_of_the_stream_is_written_whole_with_counts_from_one() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare(WEB, 2, overridden("2"));
    scene.change(
        "ConfigMap/shop/old",
        1,
        declared("ConfigMap/shop/old", at(&["eu-1"])),
    );
    scene.poll();
    scene.change("ConfigMap/shop/old", 2, Content::withdrawn(false));
    scene.poll();
    scene.told();
    scene.restart();
    scene.stream.clear();
    scene.stream.push(None);
    let lane = Lane::new("y".to_owned(), 1);
    scene.placer.take_over(0, 2, lane);
    assert!(scene.placer.is_rebuilding(0));
    scene.poll();
    assert!(!scene.placer.is_rebuilding(0));
    assert_eq!(
        scene.told(),
        [
            "remove eu-1 2 n1",
            "write eu-1 2 n2",
            "write us-1 1 n1",
            "complete"
        ],
        "the newest of everything, no new decisions, and then word that it is whole"
    );
    assert!(
        scene
            .stream
            .iter()
            .flatten()
            .all(|work| work.stamp.incarnation == "y" && work.stamp.term == 2)
    );
}

#[test]
fn whoever_takes_over_finds_what_another_wrote() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.placer.lose();
    // Another leader decides and writes for one cluster of two, and then it is gone.
    let mut other = scene.placer.clone();
    other.take_over(0, 2, scene.placer.lane(0).expect("known").clone());
    scene.stream.push(None);
    other.reached(0, scene.end());
    scene.change(WEB, 2, declared(WEB, json!({"placement": {"clusterSelector": {}}, "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "2"}}})));
    other.logged(&scene.log[scene.log.len() - 1].clone());
    assert_eq!(scene.next(), None, "it does not lead any more");
    std::mem::swap(&mut scene.placer, &mut other);
    let decision = scene.next().expect("a decision");
    scene.carry_out(decision);
    let first = scene.next().expect("work");
    scene.carry_out(first);
    std::mem::swap(&mut scene.placer, &mut other);
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1 us-1", "write eu-1 2 n6"]
    );
    scene.placer.logged(&scene.log[scene.log.len() - 1].clone());
    scene.lead_on(3);
    assert_eq!(
        scene.told(),
        ["write us-1 2 n8"],
        "only what the other one did not come to"
    );
    assert_eq!(scene.placer.term(), 3);
}

#[test]
fn a_decision_that_another_made_first_is_taken_as_it_is() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    let Some(Effect::Append {
        decision,
        expected: 0,
    }) = scene.next()
    else {
        panic!("a decision");
    };
    assert_eq!(scene.next(), None, "it waits for the log");
    let others = Decision {
        term: 2,
        ..(*decision).clone()
    };
    scene.placer.append_failed(&key(WEB));
    scene.log(Event::Decision(others));
    scene.poll();
    assert_eq!(
        scene.told(),
        ["write eu-1 1 n1"],
        "no second decision that says the same"
    );
    assert_eq!(scene.placer.term(), 2);

    // Another's decision on older inputs is looked at again.
    scene.change(WEB, 2, declared(WEB, overridden("2")));
    let Some(Effect::Append { mut decision, .. }) = scene.next() else {
        panic!("a decision");
    };
    scene.placer.append_failed(&key(WEB));
    decision.body = Body {
        inputs: Inputs {
            change_sequence: 3,
            cluster_sequence: 2,
            ..Inputs::default()
        },
        ..Body::default()
    };
    decision.revision = 1;
    scene.log(Event::Decision(*decision));
    scene.poll();
    assert_eq!(scene.told(), ["decide 3 of 2: + eu-1", "write eu-1 3 n2"]);
}

#[test]
fn a_decision_that_was_never_stored_is_made_again_after_leading_was_lost() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    assert!(matches!(scene.next(), Some(Effect::Append { .. })));
    scene.placer.lose();
    assert!(!scene.placer.is_idle());
    scene.lead_on(2);
    assert_eq!(scene.told(), ["decide 1 of 1: + eu-1", "write eu-1 1 n4"]);
}

#[test]
fn a_digest_that_no_manifest_has_is_named_and_not_written() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    let Some(Effect::Append { mut decision, .. }) = scene.next() else {
        panic!("a decision");
    };
    decision.body.assigned[0].digest = "another build's".to_owned();
    scene.log(Event::Decision(*decision));
    scene.poll();
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("stuck decision 1 recorded the digest another build's for eu-1"),
        "{told:?}"
    );
    // A stream made anew is not said to be whole without it.
    scene.placer.lose();
    scene.stream.clear();
    scene.lead("y", 2);
    let told = scene.told();
    assert!(!told.contains(&"complete".to_owned()), "{told:?}");
    assert!(scene.placer.is_rebuilding(0));
    // The next change settles it.
    scene.declare(WEB, 2, overridden("2"));
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1", "write eu-1 2 n1", "complete"]
    );
}

#[test]
fn a_count_that_was_taken_away_is_not_given_again() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.change(WEB, 2, Content::withdrawn(false));
    scene.poll();
    scene.told();
    // Another one leads on from what stands in the stream: the removal was answered and is gone, and its n with it.
    let mut other = Placer::default();
    for entry in &scene.log {
        other.logged(entry);
    }
    other.follow(0, Lane::new("x".to_owned(), 0));
    other.removal_answered(&key(WEB), &name("eu-1"), &place(1, 2));
    scene.placer = other;
    scene.stream = vec![None; scene.stream.len()];
    scene.lead_on(2);
    let fence = scene.end();
    scene.declare(WEB, 3, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 3 of 3: + eu-1".to_owned(),
            format!("write eu-1 3 n{}", fence + 1)
        ]
    );
}

#[test]
fn who_only_followed_does_not_repeat_what_was_answered_or_met_before_the_log() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare(WEB, 2, at(&["us-1"]));
    scene.told();
    let mut other = Placer::default();
    other.logged(&scene.log[0]);
    other.follow(0, Lane::new("x".to_owned(), 0));
    for (sequence, work) in (1..).zip(&scene.stream) {
        if let Some(work) = work.clone().filter(|work| work.digest.is_some()) {
            let found = Found {
                decision: work.decision,
                sequence,
                key: 0,
            };
            other.found(&work.object, &work.cluster, found, work.stamp.n);
        }
    }
    other.reached(0, scene.end());
    for entry in &scene.log[1..] {
        other.logged(entry);
    }
    other.removal_answered(&key(WEB), &name("eu-1"), &place(1, 2));
    scene.placer = other;
    scene.lead_on(2);
    assert_eq!(scene.told(), [""; 0]);
    scene.news("eu-1", registered("eu-1", true));
    assert_eq!(
        scene.told(),
        [""; 0],
        "an answered removal still stands: nothing is decided anew"
    );
}

#[test]
fn nothing_is_written_while_a_second_decision_is_on_its_way() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    let Some(Effect::Append { decision: one, .. }) = scene.next() else {
        panic!("a decision");
    };
    // It is stored, but that is not known; meanwhile the object is withdrawn and decided about again.
    scene.placer.append_failed(&key(WEB));
    scene.change(WEB, 2, Content::withdrawn(false));
    assert!(matches!(scene.next(), Some(Effect::Append { .. })));
    scene.log(Event::Decision(*one));
    assert_eq!(
        scene
            .placer
            .poll(Time(9))
            .map(|effect| matches!(effect, Effect::Append { .. })),
        Some(true)
    );
}

#[test]
fn another_way_to_apply_reaches_every_cluster_that_holds_it() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    let with = |apply: serde_json::Value| {
        let mut spec = everywhere();
        spec["apply"] = apply;
        spec
    };
    scene.declare(WEB, 2, with(json!({"drift": "report"})));
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: + eu-1 us-1",
            "write eu-1 2 n2",
            "write us-1 2 n2"
        ],
        "the manifest is the same, how it is applied is not"
    );
    scene.declare(
        WEB,
        3,
        with(json!({"drift": "report", "onDelete": "orphan"})),
    );
    assert_eq!(
        scene.told(),
        ["decide 3 of 3: "],
        "what happens on a withdrawal travels with the removal"
    );
    scene.declare(WEB, 4, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 4 of 4: + eu-1 us-1",
            "write eu-1 4 n3",
            "write us-1 4 n3"
        ]
    );
}

#[test]
fn a_decision_that_was_stored_without_an_answer_is_looked_at_again_on_what_came_meanwhile() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, at(&["eu-1", "us-1"]));
    scene.told();
    let news = |news| {
        Event::Cluster(ClusterEvent {
            cluster: name("us-1"),
            time: Time(0),
            news,
        })
    };
    scene.log(news(ClusterNews::Removed {}));
    let Some(Effect::Append { decision, .. }) = scene.next() else {
        panic!("us-1 is unknown now");
    };
    scene.log(news(registered("us-1", false)));
    scene.placer.append_failed(&key(WEB));
    assert_eq!(scene.next(), None, "all is as the log says so far");
    scene.log(Event::Decision(*decision));
    scene.poll();
    assert_eq!(
        scene.told()[..2],
        ["forget us-1 4", "decide 3 of 1: + us-1"]
    );
}

#[test]
fn a_rebuild_is_complete_too_where_its_last_work_is_decided_away() {
    let mut scene = Scene::with(&["us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.restart();
    scene.log(Event::Cluster(ClusterEvent {
        cluster: name("us-1"),
        time: Time(0),
        news: ClusterNews::Removed {},
    }));
    scene.stream.clear();
    scene.lead("y", 2);
    assert_eq!(scene.told(), ["decide 2 of 1: drop us-1", "complete"]);
}

#[test]
fn what_was_to_be_taken_away_from_a_stream_is_not_from_the_next() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.change(WEB, 2, Content::withdrawn(false));
    scene.poll();
    scene.placer.lose();
    scene
        .placer
        .removal_answered(&key(WEB), &name("eu-1"), &place(1, 2));
    scene.stream.clear();
    scene.told();
    scene.lead("y", 2);
    assert_eq!(scene.told(), ["complete"], "and no forgetting");
}

#[test]
fn work_of_a_cluster_that_left_is_withdrawn_by_whoever_leads_next_and_written_anew_when_it_is_back()
{
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    // Whoever led decides, and ends before it takes the work away.
    let before = scene.placer.clone();
    scene.log(Event::Cluster(ClusterEvent {
        cluster: name("us-1"),
        time: Time(0),
        news: ClusterNews::Removed {},
    }));
    let decision = scene.next().expect("it is dropped");
    scene.carry_out(decision);
    scene.placer = before;
    scene.restart();
    for entry in scene.log.clone() {
        scene.placer.logged(&entry);
    }
    scene.told();
    scene.lead_on(2);
    assert_eq!(scene.told(), ["forget us-1 4"]);
    scene.register("us-1");
    let told = scene.told();
    assert_eq!(told[0], "decide 3 of 1: + us-1");
    assert!(told[1].starts_with("write us-1 3"), "{told:?}");
    // It leaves and comes back before anything is decided: nothing is.
    let news = |news| {
        Event::Cluster(ClusterEvent {
            cluster: name("us-1"),
            time: Time(0),
            news,
        })
    };
    scene.log(news(ClusterNews::Removed {}));
    scene.log(news(registered("us-1", false)));
    scene.poll();
    assert_eq!(scene.told(), [""; 0]);
}

#[test]
fn a_cluster_that_is_to_leave_with_its_copies_loses_them_whatever_is_tolerated() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    let mut tolerant = everywhere();
    tolerant["placement"]["tolerations"] = serde_json::json!([{"operator": "Exists"}]);
    scene.declare(WEB, 1, tolerant);
    scene.told();
    let ClusterNews::Registered(mut leaving) = registered("us-1", false) else {
        panic!("it is registered");
    };
    leaving.taints.push(crate::model::cluster::Taint::leaving());
    scene.news("us-1", ClusterNews::Registered(leaving));
    assert_eq!(
        scene.told(),
        ["decide 2 of 1: - us-1 Delete", "remove us-1 2 n2"]
    );
    scene.news("us-1", registered("us-1", false));
    assert_eq!(
        scene.told()[0],
        "decide 3 of 1: + us-1",
        "it stays after all"
    );
}
