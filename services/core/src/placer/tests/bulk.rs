//! Bulk removals: what is held, what goes on, what a confirmation lets go.

use serde_json::json;

use super::*;
use crate::change::{Change, Origin, Together};
use crate::confirmation::{Confirmation, Ruling};
use crate::document::Document;
use crate::model::Dialect;

fn object(n: usize) -> String {
    format!("ConfigMap/shop/c{n:02}")
}

/// A fleet with `count` objects in every cluster, all written.
fn fleet(count: usize) -> Scene {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    for n in 0..count {
        scene.declare(&object(n), 1, everywhere());
    }
    scene.told();
    scene
}

fn withdrawn() -> Content {
    Content::withdrawn(false)
}

fn confirm(scene: &mut Scene, id: &str, upto: usize, ruling: Ruling) {
    let upto = u64::try_from(upto).expect("small");
    let confirmation = Confirmation {
        id: id.to_owned(),
        upto,
        ruling,
    };
    scene.log(Event::Policy(Change {
        object: Confirmation::key(id).expect("valid"),
        revision: 1,
        origin: Origin {
            source: "operator".to_owned(),
            id: format!("confirm {upto}"),
        },
        time: Time(0),
        content: Content::Declared {
            dialect: Dialect::Native,
            document: Document::from_value(&confirmation.document()),
        },
    }));
    scene.poll();
}

/// How many copies were written away, and how many decisions hold.
fn counted(scene: &mut Scene) -> (usize, usize) {
    let told = scene.told();
    let count = |part: &str| told.iter().filter(|line| line.contains(part)).count();
    (count("remove "), count("? "))
}

/// The ids that wait, each with how many copies.
fn waiting(scene: &Scene) -> BTreeMap<String, usize> {
    let mut waiting = BTreeMap::new();
    for object in scene.placer.objects.values() {
        for (_, standing) in object.standings.iter() {
            if let Standing::Assigned {
                held: Some(hold), ..
            } = standing
            {
                *waiting.entry(hold.id.clone()).or_default() += 1;
            }
        }
    }
    waiting
}

fn only(waiting: &BTreeMap<String, usize>) -> (String, usize) {
    let [(id, count)] = &waiting.iter().collect::<Vec<_>>()[..] else {
        panic!("one: {waiting:?}");
    };
    ((*id).clone(), **count)
}

#[test]
fn twenty_objects_go_without_a_word_and_one_more_does_not() {
    for (count, expected) in [(20, (40, 0)), (21, (0, 21))] {
        let mut scene = fleet(count);
        for n in 0..count {
            scene.change(&object(n), 2, withdrawn());
        }
        scene.poll();
        assert_eq!(counted(&mut scene), expected, "{count} objects");
        assert!(scene.placer.is_idle());
    }
}

#[test]
fn a_share_below_the_limit_goes_however_many_objects_it_is() {
    let mut scene = fleet(120);
    for n in 0..24 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    assert_eq!(
        counted(&mut scene),
        (48, 0),
        "24 of 120 are no more than a fifth"
    );
    scene.change(&object(24), 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (0, 1), "25 of 120 are");
}

#[test]
fn a_publisher_that_withdraws_one_by_one_is_held_from_the_first_too_many_on() {
    let mut scene = fleet(40);
    for n in 0..40 {
        scene.change(&object(n), 2, withdrawn());
        scene.poll();
    }
    assert_eq!(counted(&mut scene), (40, 20));
    let (id, count) = only(&waiting(&scene));
    assert_eq!(count, 40, "20 objects in two clusters");
    let end = scene.log.len();
    confirm(&mut scene, &id, end, Ruling::Remove);
    assert_eq!(counted(&mut scene), (40, 0));
    assert!(waiting(&scene).is_empty() && scene.placer.is_idle());
    scene.declare(&object(1), 3, everywhere());
    scene.told();
    scene.change(&object(1), 4, withdrawn());
    scene.poll();
    assert_eq!(
        counted(&mut scene),
        (2, 0),
        "what was confirmed does not count against what comes then"
    );
}

#[test]
fn removals_far_from_each_other_do_not_belong_together() {
    let mut scene = fleet(40);
    for n in 0..40 {
        scene.now += 60_000;
        scene.change(&object(n), 2, withdrawn());
        scene.poll();
    }
    assert_eq!(counted(&mut scene), (80, 0), "one a minute");
}

#[test]
fn only_what_its_author_has_seen_is_confirmed() {
    let mut scene = fleet(60);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    let (id, _) = only(&waiting(&scene));
    let seen = scene.log.len();
    for n in 30..60 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    scene.told();
    assert_eq!(
        only(&waiting(&scene)),
        (id.clone(), 120),
        "they wait together"
    );
    confirm(&mut scene, &id, seen, Ruling::Remove);
    assert_eq!(counted(&mut scene), (60, 0));
    assert_eq!(only(&waiting(&scene)), (id, 60));
}

#[test]
fn everything_else_goes_on_while_removals_wait() {
    let mut scene = fleet(30);
    for n in 0..25 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    scene.told();
    scene.declare(&object(29), 2, overridden("2"));
    assert_eq!(scene.told(), ["decide 2 of 2: + eu-1", "write eu-1 2 n31"]);
    scene.declare("ConfigMap/other/web", 1, everywhere());
    assert_eq!(counted(&mut scene), (0, 0));
    scene.change("ConfigMap/other/web", 2, withdrawn());
    scene.poll();
    assert_eq!(
        counted(&mut scene).1,
        1,
        "the same publisher's removals join at first, where the clusters are the same"
    );
    scene.now += 11 * 60_000;
    scene.change(&object(29), 3, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (2, 0), "and later they do not");
}

#[test]
fn who_takes_it_back_needs_no_confirmation_and_writes_nothing() {
    let mut scene = fleet(30);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    scene.told();
    for n in 0..30 {
        scene.declare(&object(n), 3, everywhere());
    }
    let told = scene.told();
    assert_eq!(told.len(), 30, "decisions, and not one write: {told:?}");
    assert!(waiting(&scene).is_empty());
    assert!(scene.placer.bulk.is_empty());
}

#[test]
fn what_is_to_stay_in_the_clusters_need_not_be_confirmed() {
    let mut scene = fleet(30);
    for n in 0..30 {
        scene.change(&object(n), 2, Content::withdrawn(true));
    }
    scene.poll();
    assert_eq!(counted(&mut scene), (60, 0));
}

#[test]
fn what_waits_can_be_kept() {
    let mut scene = fleet(30);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    scene.told();
    let (id, _) = only(&waiting(&scene));
    let end = scene.log.len();
    confirm(&mut scene, &id, end, Ruling::Keep);
    let told = scene.told();
    assert!(
        told.iter().any(|line| line.contains("- eu-1 us-1 Orphan")),
        "{told:?}"
    );
    assert!(!told.iter().any(|line| line.contains("Delete")));
    assert!(waiting(&scene).is_empty());
}

#[test]
fn a_cluster_that_loses_a_label_keeps_what_it_has_until_that_is_confirmed() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    for n in 0..30 {
        let spec = json!({"placement": {"clusterSelector": {"matchLabels": {"region": "eu"}}}});
        scene.declare(&object(n), 1, spec);
    }
    scene.told();
    let mut cluster = Cluster::named(name("eu-1"));
    cluster.region = Some("elsewhere".to_owned());
    scene.news("eu-1", ClusterNews::Registered(Box::new(cluster)));
    assert_eq!(
        counted(&mut scene),
        (0, 30),
        "one event, and all of it waits"
    );
    let (id, count) = only(&waiting(&scene));
    assert_eq!(count, 30);
    let by = scene.placer.objects.values().find_map(|object| {
        match object.standings.get(&name("eu-1"))? {
            Standing::Assigned { held, .. } => held.clone(),
            Standing::Removing { .. } | Standing::Excluded { .. } => None,
        }
    });
    let by = by.expect("held");
    assert!(by.by.contains("cluster eu-1"), "{by:?}");
    assert_eq!(by.limit, "30 of 30 objects in cluster eu-1");
    // It comes back: nothing was written, nothing is confirmed.
    scene.register("eu-1");
    assert_eq!(counted(&mut scene), (0, 0));
    assert!(waiting(&scene).is_empty(), "{id}");
}

#[test]
fn a_namespace_counts_its_copies_wherever_they_are() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    for n in 0..200 {
        scene.declare(&format!("ConfigMap/big/c{n}"), 1, everywhere());
    }
    for n in 0..25 {
        scene.declare(&object(n), 1, everywhere());
    }
    scene.told();
    for n in 0..25 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    assert_eq!(
        counted(&mut scene),
        (0, 25),
        "11 % of each cluster, all of the namespace"
    );
}

#[test]
fn what_waits_is_written_again_as_it_is_and_still_waits_after_a_restart() {
    let mut scene = fleet(30);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    scene.told();
    let before = waiting(&scene);
    scene.restart();
    scene.lead("y", 2);
    let told = scene.told();
    let count = |part: &str| told.iter().filter(|line| line.starts_with(part)).count();
    assert_eq!(
        (count("write"), count("remove"), count("decide")),
        (60, 0, 0)
    );
    assert_eq!(waiting(&scene), before);
    let (id, _) = only(&before);
    let end = scene.log.len();
    confirm(&mut scene, &id, end, Ruling::Remove);
    assert_eq!(counted(&mut scene), (60, 0));
}

#[test]
fn whoever_folds_the_log_knows_what_waits() {
    let mut scene = fleet(40);
    for n in 0..40 {
        scene.change(&object(n), 2, withdrawn());
        scene.poll();
    }
    let mut other = Placer::default();
    for entry in &scene.log {
        other.logged(entry);
    }
    let bulk = |placer: &Placer| serde_json::to_value(&placer.bulk).expect("it serializes");
    let (ours, theirs) = (bulk(&scene.placer), bulk(&other));
    for part in ["batches", "gone"] {
        assert_eq!(ours[part], theirs[part], "{part}");
    }
}

#[test]
fn a_leader_that_loses_its_decisions_holds_the_same_again() {
    let mut scene = fleet(30);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    let lost: Vec<Effect> = std::iter::from_fn(|| scene.next()).take(25).collect();
    assert_eq!(lost.len(), 25);
    scene.placer.lose();
    scene.lead_on(2);
    assert_eq!(counted(&mut scene), (0, 30));
    assert_eq!(waiting(&scene).len(), 1);
}

#[test]
fn nothing_is_held_where_the_limit_is_off() {
    let mut scene = fleet(30);
    scene.placer.limit_removals(Limit::OFF);
    for n in 0..30 {
        scene.change(&object(n), 2, withdrawn());
    }
    scene.poll();
    assert_eq!(counted(&mut scene), (60, 0));
}

/// One of `objects` withdrawals, `in_namespace` of them in its namespace, that are announced as `id`.
fn one_of(id: &str, objects: u64, in_namespace: u64) -> Content {
    Content::Withdrawn {
        orphan: false,
        together: Some(Together {
            id: id.to_owned(),
            objects,
            in_namespace,
        }),
    }
}

#[test]
fn what_is_announced_together_is_held_as_a_whole_though_it_comes_one_by_one() {
    for (there, announced, expected) in [
        (40, 30, (0, 30)),
        (30, 21, (0, 21)),
        (30, 20, (40, 0)),
        // No more than a fifth of what there is.
        (160, 30, (60, 0)),
    ] {
        let mut scene = fleet(there);
        for n in 0..announced {
            let count = u64::try_from(announced).expect("small");
            scene.change(&object(n), 2, one_of("a", count, count));
            scene.poll();
        }
        assert_eq!(counted(&mut scene), expected, "{announced} of {there}");
        assert!(scene.placer.is_idle());
    }
}

#[test]
fn what_is_announced_and_never_comes_holds_what_came_and_nothing_else() {
    let mut scene = fleet(60);
    for n in 0..5 {
        scene.change(&object(n), 2, one_of("a", u64::MAX, u64::MAX));
        scene.poll();
    }
    assert_eq!(counted(&mut scene), (0, 5), "hostile, and only to itself");
    scene.change(&object(9), 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (2, 0), "others go on");
    let (id, count) = only(&waiting(&scene));
    assert_eq!(count, 10);
    let end = scene.log.len();
    confirm(&mut scene, &id, end, Ruling::Remove);
    assert_eq!(counted(&mut scene), (10, 0));
}

#[test]
fn announcements_wait_apart_and_count_together_with_what_went() {
    let mut scene = fleet(50);
    for n in 0..15 {
        scene.change(&object(n), 2, one_of("a", 15, 15));
        scene.poll();
    }
    assert_eq!(counted(&mut scene), (30, 0), "15 are few");
    for n in 15..30 {
        scene.change(&object(n), 2, one_of("b", 15, 15));
        scene.poll();
    }
    assert_eq!(
        counted(&mut scene),
        (0, 15),
        "30 are not, and all of the second wait"
    );
    for n in 30..45 {
        scene.change(&object(n), 2, one_of("c", 15, 15));
        scene.poll();
    }
    counted(&mut scene);
    let waiting = waiting(&scene);
    let counts: Vec<usize> = waiting.values().copied().collect();
    assert_eq!(counts, [30, 30], "each under an id of its own");
}

#[test]
fn what_is_announced_counts_in_its_own_namespace() {
    let mut scene = Scene::with(&["eu-1"]);
    for n in 0..200 {
        scene.declare(&format!("ConfigMap/n{n}/web"), 1, everywhere());
    }
    scene.told();
    for n in 0..30 {
        let object = format!("ConfigMap/n{n}/web");
        scene.change(&object, 2, one_of("a", 30, 1));
        scene.poll();
    }
    assert_eq!(
        counted(&mut scene),
        (30, 0),
        "15 % of the cluster, one a namespace"
    );
}

#[test]
fn a_restart_knows_what_was_announced() {
    let mut scene = fleet(40);
    for n in 0..30 {
        scene.change(&object(n), 2, one_of("a", 30, 30));
        scene.poll();
        if n == 7 {
            scene.restart();
            scene.lead_on(2);
        }
    }
    let held = counted(&mut scene).1;
    assert_eq!(held, 30);
    assert_eq!(only(&waiting(&scene)).1, 60);
}

#[test]
fn a_namespace_counts_with_what_goes_with_it() {
    for (count, expected) in [(19, (2, 0)), (20, (0, 1))] {
        let mut scene = fleet(count);
        scene.declare("Namespace/shop", 1, everywhere());
        scene.told();
        scene.change("Namespace/shop", 2, withdrawn());
        scene.poll();
        assert_eq!(counted(&mut scene), expected, "{count} objects in it");
    }
    let mut scene = fleet(30);
    scene.declare("Namespace/shop", 1, everywhere());
    scene.change("Namespace/shop", 2, withdrawn());
    scene.poll();
    let hold = scene.placer.objects[&key("Namespace/shop")]
        .standings
        .held();
    let limits: Vec<String> = hold.map(|(_, hold)| hold.limit.clone()).collect();
    assert_eq!(limits[0], "31 of 31 objects in cluster eu-1");
}

#[test]
fn a_namespace_and_what_is_in_it_count_once() {
    for (count, expected) in [(19, (40, 0)), (20, (0, 21))] {
        let mut scene = fleet(count);
        scene.declare("Namespace/shop", 1, everywhere());
        scene.told();
        for n in 0..count {
            scene.change(&object(n), 2, withdrawn());
        }
        scene.change("Namespace/shop", 2, withdrawn());
        scene.poll();
        assert_eq!(counted(&mut scene), expected, "{count} objects and it");
    }
}

#[test]
fn what_went_with_a_namespace_counts_against_the_next() {
    let mut scene = Scene::with(&["eu-1"]);
    for namespace in ["one", "two"] {
        for n in 0..12 {
            scene.declare(&format!("ConfigMap/{namespace}/c{n}"), 1, everywhere());
        }
        scene.declare(&format!("Namespace/{namespace}"), 1, everywhere());
    }
    scene.told();
    scene.change("Namespace/one", 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (1, 0), "13 objects are few");
    // What went with it is counted already.
    scene.change("ConfigMap/one/c3", 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (1, 0));
    let before = scene.placer.clone();
    scene.change("Namespace/two", 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (0, 1), "26 are not");
    // Taken back, and withdrawn when that is long past.
    scene.placer = before;
    let mut folded = Placer::default();
    for entry in &scene.log {
        folded.logged(entry);
    }
    let bulk = |placer: &Placer| serde_json::to_value(&placer.bulk).expect("it serializes");
    for entry in &scene.log {
        scene.placer.logged(entry);
    }
    for part in ["batches", "gone", "along"] {
        assert_eq!(bulk(&scene.placer)[part], bulk(&folded)[part], "{part}");
    }
}

#[test]
fn a_namespace_that_waits_counts_until_it_is_taken_back() {
    let mut scene = fleet(30);
    scene.declare("Namespace/shop", 1, everywhere());
    scene.told();
    scene.change("Namespace/shop", 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (0, 1));
    scene.change(&object(0), 2, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (0, 1), "it goes with what waits");
    scene.declare("Namespace/shop", 3, everywhere());
    scene.declare(&object(0), 3, everywhere());
    scene.told();
    assert!(scene.placer.bulk.is_empty() && waiting(&scene).is_empty());
    scene.change(&object(0), 4, withdrawn());
    scene.poll();
    assert_eq!(counted(&mut scene), (2, 0));
}
