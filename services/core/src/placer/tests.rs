//! Scenarios of one placer: change → decision → work, and what must not be written.

mod bulk;
mod capacity;
mod leading;
mod policies;
mod related;
mod restored;
mod scene;

use serde_json::json;

use super::*;
use crate::change::Content;
use crate::model::federated::OnDelete;
use crate::placement::Exclusion;
use scene::*;

#[test]
fn a_change_is_decided_and_then_written() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 1 of 1: + eu-1 us-1",
            "write eu-1 1 n1",
            "write us-1 1 n1"
        ]
    );
    assert!(scene.placer.is_idle());
    let work = scene.work("eu-1");
    let work::Body::Apply { manifest, .. } = &work.body else {
        panic!("an apply: {work:?}");
    };
    assert_eq!(manifest.value().expect("JSON")["data"]["version"], "1");
    assert_eq!(
        work.digest.as_deref(),
        Some(digest::of_bytes(manifest.as_bytes()).as_str())
    );
    let Event::Decision(decision) = &scene.log[scene.log.len() - 1].event else {
        panic!("a decision");
    };
    assert_eq!(decision.body.inputs.change_sequence, 4);
    assert_eq!(
        (decision.causation.as_str(), decision.correlation.as_str()),
        ("event-4", "event-4")
    );
    assert_eq!(work.causation, "event-5");
}

#[test]
fn nothing_is_written_where_nothing_differs() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.news("eu-1", ClusterNews::READY);
    scene.news("us-1", registered("us-1", false));
    scene.news("us-1", registered("us-1", true));
    let told = scene.told();
    assert_eq!(
        told,
        ["decide 2 of 1: + us-1"],
        "a new reason is recorded, and no work written"
    );
    scene.declare(WEB, 2, everywhere());
    assert_eq!(
        scene.told(),
        ["decide 3 of 2: "],
        "the change is carried out, and no work written"
    );
    scene.declare(WEB, 3, overridden("2"));
    assert_eq!(
        scene.told(),
        ["decide 4 of 3: + eu-1", "write eu-1 4 n2"],
        "an override reaches its cluster only"
    );
}

#[test]
fn a_cluster_that_joins_gets_what_named_or_selects_it() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, at(&["eu-1", "us-1"]));
    scene.declare("ConfigMap/shop/all", 1, everywhere());
    scene.declare("ConfigMap/shop/other", 1, at(&["eu-1"]));
    assert_eq!(
        scene.told(),
        [
            "decide 1 of 1: + eu-1; ! us-1 Unknown",
            "write eu-1 1 n1",
            "decide 1 of 1: + eu-1",
            "write eu-1 1 n2",
            "decide 1 of 1: + eu-1",
            "write eu-1 1 n3"
        ]
    );
    scene.register("us-1");
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: + us-1",
            "decide 2 of 1: + us-1",
            "write us-1 2 n1",
            "write us-1 2 n2"
        ]
    );
}

#[test]
fn a_cluster_that_leaves_keeps_its_copies() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare("ConfigMap/shop/named", 1, at(&["us-1"]));
    scene.told();
    scene.news("us-1", ClusterNews::Removed {});
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: ! us-1 Unknown",
            "forget us-1 5",
            "decide 2 of 1: drop us-1",
            "forget us-1 4"
        ],
        "dropped or unknown, but never removed; its work is taken out of the stream"
    );
    scene.register("us-1");
    let told = scene.told();
    assert!(told.contains(&"write us-1 3 n3".to_owned()), "{told:?}");
}

#[test]
fn a_withdrawal_removes_and_is_forgotten_when_it_is_answered() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.change(WEB, 2, Content::withdrawn(false));
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: - eu-1 us-1 Delete",
            "remove eu-1 2 n2",
            "remove us-1 2 n2"
        ]
    );
    let work = scene.work("eu-1");
    assert!(
        matches!(&work.body, work::Body::Remove { mode: OnDelete::Delete, api_version } if api_version == "v1")
    );
    for (what, answered, expected) in [
        ("another history's", place(2, 2), Vec::new()),
        ("an older decision's", place(1, 1), Vec::new()),
        ("the answer", place(1, 2), vec!["forget eu-1 5".to_owned()]),
        ("its repeat", place(1, 2), Vec::new()),
    ] {
        scene
            .placer
            .removal_answered(&key(WEB), &name("eu-1"), &answered);
        scene.poll();
        assert_eq!(scene.told(), expected, "{what}");
    }
    scene.declare(WEB, 3, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 3 of 3: + eu-1 us-1",
            "write eu-1 3 n3",
            "write us-1 3 n3"
        ],
        "it comes back, and its decisions count on"
    );
}

#[test]
fn copies_are_orphaned_where_that_is_wanted() {
    for (spec, orphan) in [
        (everywhere(), true),
        (
            json!({"placement": {"clusterSelector": {}}, "apply": {"onDelete": "orphan"}}),
            false,
        ),
    ] {
        let mut scene = Scene::with(&["eu-1"]);
        scene.declare(WEB, 1, spec);
        scene.told();
        scene.change(WEB, 2, Content::withdrawn(orphan));
        scene.poll();
        assert_eq!(
            scene.told(),
            ["decide 2 of 2: - eu-1 Orphan", "remove eu-1 2 n2"]
        );
    }
}

#[test]
fn a_cluster_that_is_no_longer_meant_loses_its_copy() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.declare(WEB, 2, at(&["eu-1"]));
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1; - us-1 Delete", "remove us-1 2 n2"]
    );
    scene.declare(WEB, 3, everywhere());
    assert_eq!(
        scene.told(),
        ["decide 3 of 3: + eu-1 us-1", "write us-1 3 n3"]
    );
}

#[test]
fn an_override_that_fails_keeps_what_is_there() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    let failing = json!({
        "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "2"}},
        "placement": {"clusterSelector": {}},
        "overrides": [{"clusters": ["eu-1"], "patches": [{"op": "replace", "path": "/spec/none", "value": 1}]}],
    });
    scene.declare(WEB, 2, failing);
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + us-1; ! eu-1 Refused", "write us-1 2 n2"]
    );
    // The stream is made anew: the copy that is kept is written from the older document.
    scene.placer.lose();
    scene.stream.clear();
    scene.lead("y", 2);
    assert_eq!(
        scene.told(),
        ["write eu-1 1 n1", "write us-1 2 n1", "complete"]
    );
    let work::Body::Apply { manifest, .. } = &scene.work("eu-1").body else {
        panic!("an apply");
    };
    assert_eq!(manifest.value().expect("JSON")["data"]["version"], "1");
}

#[test]
fn suspension_keeps_what_is_there_and_places_nothing_new() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    let mut rests = everywhere();
    rests["suspend"] = json!(true);
    scene.declare(WEB, 2, rests);
    scene.register("us-1");
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: ! eu-1 Suspended",
            "decide 3 of 2: ! us-1 Suspended"
        ]
    );
    assert!(Exclusion::Suspended.keeps_what_is_there());
    scene.change(WEB, 3, Content::withdrawn(false));
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 4 of 3: - eu-1 Delete; drop us-1",
            "remove eu-1 4 n2"
        ]
    );
}
