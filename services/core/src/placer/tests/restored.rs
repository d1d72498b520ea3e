//! A hub that was restored from an older backup: decisions keep the epoch in which they were made, whoever writes their work.

use serde_json::Value;

use super::*;

/// A hub with `spec` at eu-1 and us-1, lost and restored in epoch 2 on an empty work stream.
fn restored(spec: Value) -> Scene {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, spec);
    scene.placer.lose();
    scene.stream.clear();
    begin(&mut scene);
    scene
}

fn begin(scene: &mut Scene) {
    scene.told();
    scene.log(Event::Epoch(Beginning {
        epoch: epoch(2),
        partitions: 1,
    }));
    scene.lead("y", 1);
}

#[test]
fn work_of_a_decision_that_was_restored_keeps_its_place() {
    let mut scene = restored(everywhere());
    assert_eq!(
        scene.told(),
        ["write eu-1 1 n1", "write us-1 1 n1", "complete"]
    );
    let work = scene.work("eu-1");
    assert_eq!((work.place(), &work.stamp.epoch), (place(1, 1), &epoch(2)));
}

#[test]
fn the_first_change_of_an_epoch_is_decided_for_every_cluster_anew() {
    let mut scene = restored(everywhere());
    scene.told();
    scene.declare(WEB, 2, overridden("2"));
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: + eu-1; + us-1",
            "write eu-1 2 n2",
            "write us-1 2 n2"
        ],
        "what is the same is decided, too: a copy that is ahead gives way to it"
    );
    assert_eq!(scene.work("us-1").place(), place(2, 2));
    scene.declare(WEB, 3, overridden("3"));
    assert_eq!(scene.told(), ["decide 3 of 3: + eu-1", "write eu-1 3 n3"]);
}

#[test]
fn news_alone_writes_nothing_that_is_the_same() {
    let mut scene = restored(everywhere());
    scene.told();
    scene.register("ap-1");
    assert_eq!(scene.told(), ["decide 2 of 1: + ap-1", "write ap-1 2 n1"]);
}

#[test]
fn a_removal_that_was_answered_before_the_restore_is_not_written_again_until_the_next_change() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare(WEB, 2, at(&["eu-1"]));
    scene
        .placer
        .removal_answered(&key(WEB), &name("us-1"), &place(1, 2));
    scene.poll();
    scene.placer.lose();
    scene.stream.clear();
    begin(&mut scene);
    assert_eq!(scene.told(), ["write eu-1 1 n1", "complete"]);
    scene.change(WEB, 3, Content::withdrawn(false));
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 3 of 3: - eu-1 Delete; - us-1 Delete",
            "remove eu-1 3 n2",
            "remove us-1 3 n1"
        ],
        "the lost history may have brought it back"
    );
}
