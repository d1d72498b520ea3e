//! What is done about objects of a hub, one story after the other.

mod others;

use serde_json::{Value, json};

use super::*;
use crate::change::{Change, Content};
use crate::hub::sighting::{FINALIZER, LET_GO};
use crate::log::Event;
use crate::model::Dialect;
use crate::time::Time;

const PLACE: &str = "FederatedObject.fleetcast.dev/shop/db";
const TARGET: &str = "Secret/shop/db";

fn key(text: &str) -> ObjectKey {
    text.parse().expect(text)
}

/// A federated Secret in a state; `held` by us, and with `more` metadata.
fn live(version: u64, text: &str, held: bool, more: Value) -> Value {
    let mut live = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": "db", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(), "generation": version},
        "spec": {"template": {"apiVersion": "v1", "kind": "Secret", "stringData": {"text": text}}, "placement": {"clusters": ["eu"]}},
    });
    if held {
        live["metadata"]["finalizers"] = json!([FINALIZER]);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        live["metadata"][key] = value.clone();
    }
    live
}

fn deleting(version: u64, text: &str) -> Value {
    live(
        version,
        text,
        true,
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    )
}

fn entry(sequence: u64, change: &Change) -> Entry {
    Entry {
        sequence,
        id: sequence.to_string(),
        event: Event::Change(change.clone()),
    }
}

/// A hub, and a log that takes everything in.
struct Scene {
    hub: Hub,
    log: Vec<Change>,
}

impl Scene {
    fn new() -> Self {
        let mut hub = Hub::new("h", Logged::default());
        hub.list_begins("fleetcast.dev", "FederatedObject");
        Self {
            hub,
            log: Vec::new(),
        }
    }

    /// Another process that folds the same log.
    fn restarted(&self) -> Self {
        let mut next = Self::new();
        for (index, change) in self.log.iter().enumerate() {
            next.hub.logged(&entry(index as u64 + 1, change));
        }
        next.log.clone_from(&self.log);
        next
    }

    fn append(&mut self, target: &ObjectKey, origin: Origin, content: Content) -> u64 {
        let revision = self
            .log
            .iter()
            .filter(|change| change.object == *target)
            .count() as u64
            + 1;
        let change = Change {
            object: target.clone(),
            revision,
            origin,
            time: Time(0),
            content,
        };
        self.log.push(change.clone());
        let sequence = self.log.len() as u64;
        self.hub.logged(&entry(sequence, &change));
        sequence
    }

    fn by_cli(&mut self, content: Content) {
        let origin = Origin {
            source: "fleetcast/cli".into(),
            id: self.log.len().to_string(),
        };
        self.append(&key(TARGET), origin, content);
    }

    /// Carries everything out, and says what it was, in words.
    fn run(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(effect) = self.hub.poll() {
            match effect {
                Effect::Watch { kind, .. } => said.push(format!("watch {kind}")),
                Effect::Fetch { place } => {
                    said.push(format!("fetch {}", place.name()));
                    break;
                }
                Effect::Finalizers {
                    finalizers,
                    version,
                    ..
                } => {
                    said.push(match finalizers.is_empty() {
                        true => format!("let go at {version}"),
                        false => format!("hold at {version}"),
                    });
                    break;
                }
                Effect::Note { place, .. } => {
                    said.push(format!("note {}", place.name()));
                    break;
                }
                Effect::Submit {
                    place,
                    target,
                    origin,
                    document,
                    digest,
                } => {
                    said.push(format!("submit {}", origin.id));
                    let content = Content::Declared {
                        dialect: Dialect::Native,
                        document,
                    };
                    self.append(&target, origin, content);
                    self.hub.answered(&place, digest, None);
                }
                Effect::Withdraw {
                    place,
                    target,
                    origin,
                } => {
                    said.push(format!("withdraw {}", origin.id));
                    let sequence = self.append(&target, origin, Content::withdrawn(false));
                    self.hub.withdrawn(&place, sequence);
                    self.hub.done(&place);
                }
                Effect::AwaitRemoval { .. } => {
                    said.push("await removal".into());
                    break;
                }
                Effect::Report { report, .. } => said.push(match report {
                    Report::Refused(refusal) => format!("report refused {}", refusal.field),
                    other => format!("report {other:?}"),
                }),
            }
        }
        said
    }

    fn sees(&mut self, live: &Value) -> Vec<String> {
        self.hub.seen(live);
        self.hub.done(&key(PLACE));
        self.run()
    }

    fn standings(&self) -> Vec<String> {
        let standing = |one: Difference| format!("{:?}", one.standing);
        self.hub.differences().into_iter().map(standing).collect()
    }
}

#[test]
fn an_object_is_held_before_it_is_handed_in_and_handed_in_once() {
    let mut scene = Scene::new();
    assert_eq!(scene.sees(&live(1, "a", false, json!({}))), ["hold at 1"]);
    assert_eq!(scene.sees(&live(2, "a", true, json!({}))), ["submit u/2/2"]);
    for version in 2..5 {
        assert_eq!(
            scene.sees(&live(version, "a", true, json!({}))),
            [""; 0],
            "{version}"
        );
    }
    assert_eq!(scene.sees(&live(7, "b", true, json!({}))), ["submit u/7/7"]);
    assert_eq!(
        scene.sees(&live(6, "a", true, json!({}))),
        [""; 0],
        "an old event"
    );
    let mut restarted = scene.restarted();
    assert_eq!(restarted.sees(&live(8, "b", true, json!({}))), [""; 0]);
    assert_eq!(
        restarted.sees(&live(9, "b", false, json!({}))),
        ["hold at 9"],
        "somebody took it off"
    );
}

#[test]
fn what_was_overwritten_unseen_is_no_change_and_going_back_to_an_older_content_is_one() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    scene.sees(&live(3, "b", true, json!({})));
    assert_eq!(scene.sees(&live(5, "a", true, json!({}))), ["submit u/5/5"]);
    assert_eq!(scene.log.len(), 3);
}

#[test]
fn a_deletion_is_withdrawn_and_held_until_the_clusters_have_answered() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    assert_eq!(
        scene.sees(&deleting(3, "a")),
        ["withdraw u/3/3/withdrawn", "await removal"]
    );
    let mut restarted = scene.restarted();
    assert_eq!(
        restarted.sees(&deleting(3, "a")),
        ["await removal"],
        "not twice"
    );
    scene.hub.removed(&key(PLACE));
    scene.hub.done(&key(PLACE));
    assert_eq!(scene.run(), ["let go at 3"]);
    scene.hub.gone(&key(PLACE), Some(4));
    scene.hub.done(&key(PLACE));
    assert_eq!(scene.run(), [""; 0], "nothing vanished");
    assert_eq!(scene.standings(), [""; 0]);
}

#[test]
fn an_object_is_let_go_at_once_where_copies_stay_or_somebody_says_so() {
    let mut orphan = live(2, "a", true, json!({}));
    orphan["spec"]["apply"] = json!({"onDelete": "orphan"});
    let mut scene = Scene::new();
    scene.sees(&orphan);
    orphan["metadata"]["resourceVersion"] = json!("3");
    orphan["metadata"]["generation"] = json!(3);
    orphan["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(
        scene.sees(&orphan),
        ["withdraw u/3/3/withdrawn", "let go at 3"]
    );

    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    let mut gone = deleting(3, "a");
    gone["metadata"]["annotations"] = json!({LET_GO: "true"});
    assert_eq!(
        scene.sees(&gone),
        ["withdraw u/3/3/withdrawn", "let go at 3"]
    );
}

#[test]
fn what_vanishes_is_reported_and_removes_nothing() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    scene.hub.gone(&key(PLACE), Some(3));
    assert_eq!(scene.run(), ["report Vanished"]);
    assert_eq!(scene.standings(), ["Vanished"]);
    let mut restarted = scene.restarted();
    assert_eq!(restarted.run(), [""; 0], "not before everything was listed");
    restarted.hub.listed("fleetcast.dev", "FederatedObject");
    assert_eq!(restarted.run(), ["report Vanished"]);
    assert_eq!(restarted.log.len(), 1);
    restarted.by_cli(Content::withdrawn(false));
    assert_eq!(restarted.run(), [""; 0]);
    assert_eq!(restarted.standings(), [""; 0], "settled");
    let mut again = live(9, "a", true, json!({}));
    again["metadata"]["uid"] = json!("u2");
    assert_eq!(
        scene.sees(&again),
        [""; 0],
        "the same object stands there again"
    );
    assert_eq!(scene.standings(), [""; 0]);
}

#[test]
fn a_list_that_shows_less_makes_objects_vanish_only_once_it_is_complete() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    scene.hub.list_begins("fleetcast.dev", "FederatedObject");
    assert_eq!(scene.run(), [""; 0]);
    scene.hub.listed("fleetcast.dev", "Other");
    assert_eq!(scene.run(), [""; 0]);
    scene.hub.listed("fleetcast.dev", "FederatedObject");
    assert_eq!(scene.run(), ["report Vanished"]);
}

#[test]
fn what_goes_with_its_definition_is_not_withdrawn() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    scene.hub.leaves("fleetcast.dev", "FederatedObject", true);
    assert_eq!(scene.sees(&deleting(3, "a")), ["let go at 3"]);
    scene.hub.gone(&key(PLACE), Some(4));
    scene.hub.done(&key(PLACE));
    assert_eq!(scene.run(), ["report Vanished"]);
    assert_eq!(scene.log.len(), 1);
}

#[test]
fn a_hub_that_went_back_changes_nothing_until_a_person_settles_it() {
    let mut scene = Scene::new();
    scene.sees(&live(20, "b", true, json!({})));
    let mut restored = scene.restarted();
    assert_eq!(
        restored.sees(&live(10, "a", true, json!({}))),
        ["report Older"]
    );
    assert_eq!(restored.sees(&deleting(11, "a")), ["report Older"; 0]);
    let mut written_to = live(21, "a", true, json!({"generation": 10}));
    assert_eq!(
        restored.sees(&written_to),
        [""; 0],
        "a status raises the version"
    );
    assert_eq!(scene.restarted().sees(&written_to), ["report Older"]);
    written_to["metadata"]["generation"] = json!(0);
    assert_eq!(
        restored.sees(&written_to),
        [""; 0],
        "also where no generation is counted"
    );
    assert_eq!(restored.log.len(), 1);
}

#[test]
fn a_rollback_stays_and_is_shown() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "b", true, json!({})));
    let document = Document::from_value(
        &json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "db", "namespace": "shop"}}),
    );
    scene.by_cli(Content::Declared {
        dialect: Dialect::Native,
        document,
    });
    assert_eq!(scene.sees(&live(3, "b", true, json!({}))), [""; 0]);
    assert_eq!(scene.standings(), ["Elsewhere(\"fleetcast/cli\")"]);
    assert_eq!(scene.sees(&live(4, "c", true, json!({}))), ["submit u/4/4"]);
    assert_eq!(scene.standings(), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_reported_and_not_held() {
    let mut scene = Scene::new();
    let mut bad = live(1, "a", false, json!({}));
    bad["spec"]["apply"] = json!({"drift": "sometimes"});
    assert_eq!(scene.sees(&bad), ["report refused spec.apply.drift"]);
    assert_eq!(scene.sees(&bad), [""; 0], "once");
    bad["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(scene.sees(&bad), [""; 0]);
}

#[test]
fn an_object_that_would_become_another_is_refused_and_deleting_it_withdraws_the_first() {
    let mut scene = Scene::new();
    scene.sees(&live(2, "a", true, json!({})));
    let mut other = live(3, "a", true, json!({}));
    other["spec"]["template"]["kind"] = json!("ConfigMap");
    assert_eq!(scene.sees(&other), ["report refused spec.template"]);
    other["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    other["metadata"]["resourceVersion"] = json!("4");
    other["metadata"]["generation"] = json!(4);
    assert_eq!(
        scene.sees(&other),
        ["withdraw u/4/4/withdrawn", "await removal"]
    );
    assert_eq!(scene.log[1].object, key(TARGET));
}

#[test]
fn a_refusal_is_tried_again_when_the_log_changes() {
    let mut scene = Scene::new();
    scene.hub.seen(&live(2, "a", true, json!({})));
    let Some(Effect::Submit { place, digest, .. }) = scene.hub.poll() else {
        panic!("it is handed in");
    };
    let refusal = Refusal::new("metadata.name", "is declared by another");
    scene.hub.answered(&place, digest, Some(refusal));
    assert_eq!(scene.run(), ["report refused metadata.name"]);
    let mut fixed = live(3, "b", true, json!({}));
    fixed["status"] = json!({"conditions": [{"type": "Accepted", "status": "False"}]});
    assert_eq!(scene.sees(&fixed), ["submit u/3/3", "report Accepted"]);
}

#[test]
fn plain_objects_are_handed_in_where_a_policy_selects_them() {
    let policy = json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": "p", "namespace": "shop", "uid": "p", "resourceVersion": "1", "finalizers": [FINALIZER]},
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"fleet": "yes"}}}],
            "placement": {"clusterAffinity": {"clusterNames": ["eu"]}}}});
    let map = |namespace: &str, version: u64, labels: Value, more: Value| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": namespace, "uid": "m", "resourceVersion": version.to_string(), "labels": labels}});
        for (key, value) in more.as_object().into_iter().flatten() {
            map["metadata"][key] = value.clone();
        }
        map
    };
    let mut scene = Scene::new();
    scene
        .hub
        .seen_metadata(&map("shop", 1, json!({"fleet": "yes"}), json!({})));
    assert_eq!(scene.run(), [""; 0], "no policy selects it");
    scene.hub.seen(&policy);
    assert_eq!(scene.run(), ["watch ConfigMap", "submit p/1/0"]);
    for (namespace, labels) in [("shop", json!({})), ("other", json!({"fleet": "yes"}))] {
        scene
            .hub
            .seen_metadata(&map(namespace, 1, labels, json!({})));
        assert_eq!(scene.run(), [""; 0], "{namespace}");
    }
    scene
        .hub
        .seen_metadata(&map("shop", 1, json!({"fleet": "yes"}), json!({})));
    assert_eq!(scene.run(), ["fetch m"]);
    let place = key("ConfigMap/shop/m");
    scene
        .hub
        .seen(&map("shop", 1, json!({"fleet": "yes"}), json!({})));
    scene.hub.done(&place);
    assert_eq!(scene.run(), ["hold at 1"]);
    let held = json!({"finalizers": [FINALIZER]});
    scene
        .hub
        .seen(&map("shop", 2, json!({"fleet": "yes"}), held.clone()));
    scene.hub.done(&place);
    assert_eq!(scene.run(), ["submit m/2/0"]);
    // The policy goes; what was handed in is followed on.
    scene
        .hub
        .gone(&key("PropagationPolicy.policy.karmada.io/shop/p"), Some(3));
    assert_eq!(scene.run(), ["report Vanished"]);
    let mut gone = held;
    gone["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    scene
        .hub
        .seen_metadata(&map("shop", 4, json!({"fleet": "yes"}), gone));
    assert_eq!(scene.run(), ["withdraw m/4/0/withdrawn", "await removal"]);
}

/// Shows that an answer which is faster than the log leaves nothing behind: what comes again with the same content is a change.
#[test]
fn what_comes_again_before_the_log_shows_its_withdrawal_is_handed_in_when_it_does() {
    let mut scene = Scene::new();
    let (place, again) = (key(PLACE), json!({"uid": "v"}));
    scene.sees(&live(2, "a", true, json!({})));
    scene.hub.seen(&deleting(3, "a"));
    let Some(Effect::Withdraw { target, origin, .. }) = scene.hub.poll() else {
        panic!("it is withdrawn");
    };
    // The answer says where it stands; the log has not been read that far.
    scene.hub.withdrawn(&place, 2);
    scene.hub.done(&place);
    let awaited = scene.hub.poll();
    assert!(
        matches!(awaited, Some(Effect::AwaitRemoval { sequence: 2, .. })),
        "{awaited:?}"
    );
    scene.hub.removed(&place);
    scene.hub.done(&place);
    assert_eq!(scene.run(), ["let go at 3"]);
    scene.hub.gone(&place, Some(4));
    scene.hub.done(&place);
    assert_eq!(scene.run(), [""; 0], "it has not vanished");
    assert_eq!(scene.standings(), [""; 0]);
    scene.hub.list_begins("fleetcast.dev", "FederatedObject");
    scene.hub.listed("fleetcast.dev", "FederatedObject");
    assert_eq!(scene.run(), [""; 0], "nor when it is not listed");
    assert_eq!(scene.sees(&live(5, "a", true, again.clone())), [""; 0]);
    scene.append(&target, origin, Content::withdrawn(false));
    assert_eq!(scene.run(), ["submit v/5/5"]);
    assert_eq!(scene.sees(&live(6, "a", true, again)), [""; 0]);
    assert_eq!(scene.standings(), [""; 0]);
}

/// Shows that whoever begins at a base judges a state that is long overtaken as whoever read everything does.
#[test]
fn who_begins_at_a_base_does_not_take_a_late_sight_for_a_change() {
    let mut scene = Scene::new();
    for (version, text) in [(2, "a"), (3, "b"), (4, "a")] {
        scene.sees(&live(version, text, true, json!({})));
    }
    let base = serde_json::to_vec(scene.hub.log()).expect("it serializes");
    let mut from_base = Scene::new();
    from_base.hub = Hub::new("h", serde_json::from_slice(&base).expect("it is read back"));
    from_base.log.clone_from(&scene.log);
    for (version, text) in [(2, "a"), (4, "a")] {
        let sees = from_base.sees(&live(version, text, true, json!({})));
        assert_eq!(sees, [""; 0], "{version}");
    }
    let mut late = Scene::new();
    late.hub = Hub::new("h", serde_json::from_slice(&base).expect("it is read back"));
    assert_eq!(
        late.sees(&live(3, "b", true, json!({}))),
        ["report Older"],
        "B lies between"
    );
    assert_eq!(
        from_base.sees(&deleting(5, "a")),
        ["withdraw u/5/5/withdrawn", "await removal"]
    );
}

#[test]
fn a_cluster_is_registered_and_noted() {
    let cluster = |version: u64, more: Value| {
        let mut cluster = json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
            "metadata": {"name": "eu", "uid": "c", "resourceVersion": version.to_string(), "finalizers": [FINALIZER]},
            "spec": {"region": "eu"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            cluster["metadata"][key] = value.clone();
        }
        cluster
    };
    let place = key("MemberCluster.fleetcast.dev/eu");
    let mut hub = Hub::new("h", Logged::default());
    hub.seen(&cluster(1, json!({})));
    let Some(Effect::Submit { digest, target, .. }) = hub.poll() else {
        panic!("it is registered");
    };
    assert_eq!(target, place);
    hub.answered(&place, digest.clone(), None);
    assert!(matches!(hub.poll(), Some(Effect::Note { .. })));
    hub.seen(&cluster(
        2,
        json!({"annotations": {"fleetcast.dev/registered": digest}}),
    ));
    hub.done(&place);
    assert_eq!(hub.poll(), None);
    hub.seen(&cluster(3, json!({"annotations": {"fleetcast.dev/registered": digest}, "deletionTimestamp": "2026-01-01T00:00:00Z"})));
    assert!(matches!(hub.poll(), Some(Effect::Withdraw { .. })));
    hub.removed(&place);
    hub.done(&place);
    assert!(
        matches!(hub.poll(), Some(Effect::Finalizers { finalizers, .. }) if finalizers.is_empty())
    );
}
