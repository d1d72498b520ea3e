//! Applying: what happens to an object that is absent, ours, somebody else's and the same, somebody else's and different, or being deleted.

use fleetcast_core::ack::Outcome;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::model::federated::{Adopt, Conflict, Drift, Mode, OnImmutable};
use serde_json::{Value, json};

use super::place::{Ended, Place};

fn policy(change: impl FnOnce(&mut ApplyPolicy)) -> ApplyPolicy {
    let mut policy = ApplyPolicy::default();
    change(&mut policy);
    policy
}

/// Each rule's settings one by one, the others at their defaults.
fn policies() -> Vec<ApplyPolicy> {
    let changes: [fn(&mut ApplyPolicy); 9] = [
        |_| (),
        |policy| policy.adopt = Adopt::Never,
        |policy| policy.adopt = Adopt::Always,
        |policy| policy.conflict = Conflict::Force,
        |policy| policy.drift = Drift::Report,
        |policy| policy.drift = Drift::Ignore,
        |policy| policy.ignore = vec!["/data/other".to_owned()],
        |policy| policy.mode = Mode::CreateOnly,
        |policy| policy.on_immutable = OnImmutable::Recreate,
    ];
    changes.map(policy).into()
}

/// The rules that say nothing about whose an object is.
fn policies_beside_adopt() -> Vec<ApplyPolicy> {
    let mut policies = policies();
    policies.retain(|policy| policy.adopt == Adopt::IfSame);
    policies
}

#[track_caller]
fn applied(ended: &Ended) {
    let Ended {
        outcome, message, ..
    } = ended;
    assert_eq!((*outcome, message.as_str()), (Outcome::Applied, ""));
}

#[track_caller]
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.outcome, Outcome::Refused, "{}", ended.message);
    for part in parts {
        assert!(ended.message.contains(part), "{part}: {}", ended.message);
    }
}

fn is_ours(live: &Value) -> bool {
    live["metadata"]["labels"]["fleetcast.dev/managed"] == "true"
}

pub(crate) async fn absent_is_created(place: &Place) {
    let map = place.map("1");
    for policy in policies() {
        applied(&place.apply(&map, 1, &policy).await);
        let live = place.live(&map).await;
        assert!(is_ours(&live), "{policy:?}");
        assert_eq!(live["data"], json!({"a": "1"}), "{policy:?}");
        place.delete(&map).await;
    }
}

pub(crate) async fn ours_and_equal_is_not_written(place: &Place) {
    let map = place.map("1");
    for policy in policies() {
        applied(&place.apply(&map, 1, &policy).await);
        let live = place.live(&map).await;
        for decision in [1, 2] {
            applied(&place.apply(&map, decision, &policy).await);
            applied(&place.look(&map, decision, &policy).await);
        }
        assert_eq!(place.live(&map).await, live, "{policy:?}");
        place.delete(&map).await;
    }
}

pub(crate) async fn ours_and_different_is_changed(place: &Place) {
    let mut first = place.map("1");
    first["data"]["dropped"] = json!("x");
    applied(&place.apply(&first, 1, &ApplyPolicy::default()).await);
    place.edit(&first, json!({"data": {"theirs": "x"}})).await;
    applied(
        &place
            .apply(&place.map("2"), 2, &ApplyPolicy::default())
            .await,
    );
    let live = place.live(&first).await;
    assert_eq!(live["data"], json!({"a": "2", "theirs": "x"}));
}

pub(crate) async fn ours_and_newer_is_left_alone(place: &Place) {
    applied(
        &place
            .apply(&place.map("2"), 2, &ApplyPolicy::default())
            .await,
    );
    let older = place
        .apply(&place.map("1"), 1, &ApplyPolicy::default())
        .await;
    assert_eq!(older.outcome, Outcome::Ahead, "{}", older.message);
    assert!(older.message.contains("(ahead)"), "{}", older.message);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "2");
}

const WAITS: &str = "is being deleted: waits for finalizer example.com/hold";

pub(crate) async fn being_deleted_is_waited_for(place: &Place) {
    for policy in policies() {
        let mut map = place.map("1");
        map["metadata"]["finalizers"] = json!(["example.com/hold"]);
        place.create(&map).await;
        place.delete(&map).await;
        let waits = place.apply(&place.map("1"), 1, &policy).await;
        assert_eq!(waits.outcome, Outcome::Retrying, "{policy:?}");
        assert_eq!(waits.message, WAITS, "{policy:?}");
        release(place, &map).await;
        applied(&place.apply(&place.map("1"), 1, &policy).await);
        place.delete(&map).await;
    }
}

async fn release(place: &Place, object: &Value) {
    let none = json!({"metadata": {"finalizers": null}});
    place.edit(object, none).await;
}

pub(crate) async fn ours_being_deleted_is_waited_for(place: &Place) {
    let map = place.map("1");
    for policy in policies() {
        applied(&place.apply(&map, 1, &policy).await);
        let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
        place.edit(&map, hold).await;
        place.delete(&map).await;
        for ended in [
            place.look(&map, 1, &policy).await,
            place.apply(&place.map("2"), 2, &policy).await,
        ] {
            assert_eq!(ended.outcome, Outcome::Retrying, "{policy:?}");
            assert_eq!(ended.message, WAITS, "{policy:?}");
        }
        release(place, &map).await;
        applied(&place.apply(&place.map("2"), 2, &policy).await);
        place.delete(&map).await;
    }
}

/// Somebody else's, with a field beside those that we set.
async fn theirs(place: &Place, value: &str) -> Value {
    let mut map = place.map(value);
    map["data"]["theirs"] = json!("x");
    place.create(&map).await;
    place.live(&map).await
}

pub(crate) async fn adopt_never_leaves_what_is_the_same(place: &Place) {
    for value in ["1", "2"] {
        let before = theirs(place, value).await;
        let never = policy(|policy| policy.adopt = Adopt::Never);
        let ended = place.apply(&place.map("1"), 1, &never).await;
        refused(&ended, &["exists and is not ours (adopt: never)"]);
        assert_eq!(place.live(&before).await, before);
        place.delete(&before).await;
    }
}

async fn takes(place: &Place, value: &str, policy: &ApplyPolicy) {
    let before = theirs(place, value).await;
    applied(&place.apply(&place.map("1"), 1, policy).await);
    let live = place.live(&before).await;
    assert!(is_ours(&live));
    assert_eq!(live["data"], json!({"a": "1", "theirs": "x"}));
    assert_eq!(live["metadata"]["uid"], before["metadata"]["uid"]);
}

pub(crate) async fn theirs_and_same_is_taken_over(place: &Place) {
    for policy in policies_beside_adopt() {
        takes(place, "1", &policy).await;
        place.delete(&place.map("")).await;
    }
}

pub(crate) async fn theirs_and_different_is_left(place: &Place) {
    for policy in policies_beside_adopt() {
        let before = theirs(place, "2").await;
        let ended = place.apply(&place.map("1"), 1, &policy).await;
        refused(&ended, &["differs at /data/a (adopt: ifSame)"]);
        assert_eq!(place.live(&before).await, before, "{policy:?}");
        place.delete(&before).await;
    }
}

/// Ours, and then somebody takes our label off; with another value, or the same.
async fn takes_our_label_off(place: &Place, policy: &ApplyPolicy, value: &str) -> Value {
    applied(&place.apply(&place.map("1"), 1, policy).await);
    let labels = json!({"fleetcast.dev/managed": null});
    let edit = json!({"metadata": {"labels": labels}, "data": {"a": value}});
    place.edit(&place.map("1"), edit).await;
    place.live(&place.map("1")).await
}

pub(crate) async fn what_lost_our_label_is_theirs(place: &Place) {
    for policy in policies_beside_adopt() {
        let before = takes_our_label_off(place, &policy, "theirs").await;
        let ended = place.look(&place.map("1"), 1, &policy).await;
        refused(&ended, &["differs at /data/a (adopt: ifSame)"]);
        assert_eq!(place.live(&before).await, before, "{policy:?}");
        place.delete(&before).await;

        let before = takes_our_label_off(place, &policy, "1").await;
        applied(&place.look(&place.map("1"), 1, &policy).await);
        assert!(is_ours(&place.live(&before).await), "{policy:?}");
        place.delete(&before).await;
    }
}

pub(crate) async fn adopt_if_same_takes_what_is_the_same(place: &Place) {
    takes(place, "1", &policy(|policy| policy.adopt = Adopt::IfSame)).await;
}

pub(crate) async fn adopt_if_same_leaves_what_is_different(place: &Place) {
    let before = theirs(place, "2").await;
    let ended = place
        .apply(&place.map("1"), 1, &ApplyPolicy::default())
        .await;
    refused(&ended, &["differs at /data/a (adopt: ifSame)"]);
    assert_eq!(place.live(&before).await, before);
}

pub(crate) async fn adopt_always_takes_what_is_the_same(place: &Place) {
    takes(place, "1", &policy(|policy| policy.adopt = Adopt::Always)).await;
}

pub(crate) async fn adopt_always_without_force_names_the_conflict(place: &Place) {
    let before = theirs(place, "2").await;
    let always = policy(|policy| policy.adopt = Adopt::Always);
    let ended = place.apply(&place.map("1"), 1, &always).await;
    refused(&ended, &["conflict with \"kubectl\"", ".data.a"]);
    assert_eq!(place.live(&before).await, before);
}

pub(crate) async fn adopt_always_with_force_takes_what_is_different(place: &Place) {
    let force = policy(|policy| {
        (policy.adopt, policy.conflict) = (Adopt::Always, Conflict::Force);
    });
    takes(place, "2", &force).await;
}

/// Ours, and then somebody else takes `.data.a`; the next decision wants another value.
async fn taken_field(place: &Place, policy: &ApplyPolicy) -> Ended {
    applied(&place.apply(&place.map("1"), 1, policy).await);
    place
        .edit(&place.map("1"), json!({"data": {"a": "taken"}}))
        .await;
    place.apply(&place.map("2"), 2, policy).await
}

pub(crate) async fn conflict_fail_names_manager_and_field(place: &Place) {
    let fail = policy(|policy| policy.drift = Drift::Report);
    let ended = taken_field(place, &fail).await;
    refused(&ended, &["conflict with \"kubectl\"", ".data.a"]);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "taken");
}

pub(crate) async fn conflict_force_takes_the_field(place: &Place) {
    let force = policy(|policy| {
        (policy.drift, policy.conflict) = (Drift::Report, Conflict::Force);
    });
    applied(&taken_field(place, &force).await);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "2");
}

/// Ours, edited by somebody else, and looked at again: the drift that is told.
async fn edited(place: &Place, policy: &ApplyPolicy) -> Option<fleetcast_core::drift::Drift> {
    let map = place.map("1");
    applied(&place.apply(&map, 1, policy).await);
    place.edit(&map, json!({"data": {"a": "edited"}})).await;
    let looked = place.look(&map, 1, policy).await;
    applied(&looked);
    looked.drift
}

#[track_caller]
fn names_kubectl(drift: &fleetcast_core::drift::Drift) {
    let [field] = &drift.fields[..] else {
        panic!("{drift:?}");
    };
    assert_eq!(field.path, ".data.a");
    assert_eq!(field.manager.as_deref(), Some("kubectl"));
    assert!(field.time.is_some());
}

pub(crate) async fn drift_heal_takes_a_field_back(place: &Place) {
    let drift = edited(place, &ApplyPolicy::default()).await.expect("told");
    assert!(drift.healed);
    names_kubectl(&drift);
    let live = place.live(&place.map("")).await;
    assert_eq!(live["data"]["a"], "1");
    applied(
        &place
            .look(&place.map("1"), 1, &ApplyPolicy::default())
            .await,
    );
    assert_eq!(place.live(&place.map("")).await, live, "put right once");
}

pub(crate) async fn drift_heal_takes_a_field_back_with_the_next_decision(place: &Place) {
    applied(&taken_field(place, &ApplyPolicy::default()).await);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "2");
    // A field that was never ours is not drift: it stays a conflict.
    place
        .edit(&place.map(""), json!({"data": {"never": "ours"}}))
        .await;
    let mut more = place.map("2");
    more["data"]["never"] = json!("wanted");
    let ended = place.apply(&more, 3, &ApplyPolicy::default()).await;
    refused(&ended, &["conflict with \"kubectl\"", ".data.never"]);
}

pub(crate) async fn drift_heal_creates_what_was_deleted(place: &Place) {
    let map = place.map("1");
    applied(&place.apply(&map, 1, &ApplyPolicy::default()).await);
    place.delete(&map).await;
    let looked = place.look(&map, 1, &ApplyPolicy::default()).await;
    applied(&looked);
    let drift = looked.drift.expect("told");
    assert!(drift.healed && drift.deleted);
    assert!(is_ours(&place.live(&map).await));
}

pub(crate) async fn drift_report_names_the_field_and_leaves_it(place: &Place) {
    let report = policy(|policy| policy.drift = Drift::Report);
    let drift = edited(place, &report).await.expect("told");
    assert!(!drift.healed);
    names_kubectl(&drift);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "edited");
}

pub(crate) async fn drift_report_leaves_what_was_deleted(place: &Place) {
    let (map, report) = (
        place.map("1"),
        policy(|policy| policy.drift = Drift::Report),
    );
    applied(&place.apply(&map, 1, &report).await);
    place.delete(&map).await;
    applied(&place.look(&map, 1, &report).await);
    assert_eq!(place.live(&map).await, Value::Null);
}

pub(crate) async fn drift_ignore_leaves_what_was_deleted(place: &Place) {
    let (map, ignore) = (
        place.map("1"),
        policy(|policy| policy.drift = Drift::Ignore),
    );
    applied(&place.apply(&map, 1, &ignore).await);
    place.delete(&map).await;
    applied(&place.look(&map, 1, &ignore).await);
    assert_eq!(place.live(&map).await, Value::Null);
    // A newer decision is not drift: it brings the object again.
    applied(&place.apply(&place.map("2"), 2, &ignore).await);
    assert_eq!(place.live(&map).await["data"]["a"], "2");
}

pub(crate) async fn drift_ignore_says_nothing(place: &Place) {
    // What is seen is the same as with report; the machine tells nobody (core/reconcile/tests/watching.rs).
    let ignore = policy(|policy| policy.drift = Drift::Ignore);
    edited(place, &ignore).await;
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "edited");
}

fn deployment(place: &Place, replicas: u32, image: &str) -> Value {
    let labels = json!({"app": "a"});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}});
    place.object("apps/v1", "Deployment", json!({"spec": spec}))
}

fn ignoring() -> ApplyPolicy {
    policy(|policy| policy.ignore = vec!["/spec/replicas".to_owned()])
}

pub(crate) async fn ignored_fields_are_set_once_and_left(place: &Place) {
    let web = deployment(place, 0, "a");
    applied(&place.apply(&web, 1, &ignoring()).await);
    assert_eq!(place.live(&web).await["spec"]["replicas"], 0);
    place.edit(&web, json!({"spec": {"replicas": 1}})).await;
    let looked = place.look(&web, 1, &ignoring()).await;
    assert_eq!(looked.drift, None);
    applied(
        &place
            .apply(&deployment(place, 5, "b"), 2, &ignoring())
            .await,
    );
    let live = place.live(&web).await;
    assert_eq!(live["spec"]["replicas"], 1);
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "b"
    );
}

pub(crate) async fn ignored_fields_do_not_hinder_adoption(place: &Place) {
    place.create(&deployment(place, 1, "a")).await;
    let web = deployment(place, 0, "a");
    applied(&place.apply(&web, 1, &ignoring()).await);
    let live = place.live(&web).await;
    assert!(is_ours(&live));
    assert_eq!(live["spec"]["replicas"], 1);
}

fn create_only() -> ApplyPolicy {
    policy(|policy| policy.mode = Mode::CreateOnly)
}

pub(crate) async fn create_only_creates(place: &Place) {
    applied(&place.apply(&place.map("1"), 1, &create_only()).await);
    assert_eq!(place.live(&place.map("")).await["data"]["a"], "1");
}

pub(crate) async fn create_only_leaves_what_is_ours(place: &Place) {
    applied(&place.apply(&place.map("1"), 1, &create_only()).await);
    place
        .edit(&place.map("1"), json!({"data": {"a": "edited"}}))
        .await;
    let live = place.live(&place.map("")).await;
    applied(&place.look(&place.map("1"), 1, &create_only()).await);
    applied(&place.apply(&place.map("2"), 2, &create_only()).await);
    assert_eq!(place.live(&place.map("")).await, live);
}

pub(crate) async fn create_only_takes_over_as_adopt_says(place: &Place) {
    takes(place, "1", &create_only()).await;
    place.delete(&place.map("")).await;
    let before = theirs(place, "2").await;
    let ended = place.apply(&place.map("1"), 1, &create_only()).await;
    refused(&ended, &["differs at /data/a"]);
    assert_eq!(place.live(&before).await, before);
}

/// An object, and the same with a field changed that its kind never changes.
fn immutables(place: &Place) -> Vec<(Value, Value)> {
    let map = |value: &str| {
        place.object(
            "v1",
            "ConfigMap",
            json!({"immutable": true, "data": {"a": value}}),
        )
    };
    let job = |image: &str| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "web", "image": image}]}});
        place.object(
            "batch/v1",
            "Job",
            json!({"spec": {"suspend": true, "template": template}}),
        )
    };
    let service = |address: &str| {
        let spec = json!({"clusterIP": address, "ports": [{"port": 80}], "selector": {"app": "a"}});
        place.object("v1", "Service", json!({"spec": spec}))
    };
    let mut selector = deployment(place, 0, "a");
    selector["spec"]["selector"]["matchLabels"] = json!({"app": "b"});
    selector["spec"]["template"]["metadata"]["labels"] = json!({"app": "b"});
    vec![
        (map("1"), map("2")),
        (job("a"), job("b")),
        (service("None"), service("10.0.0.200")),
        (deployment(place, 0, "a"), selector),
    ]
}

pub(crate) async fn immutable_fields_are_refused(place: &Place) {
    for (before, after) in immutables(place) {
        applied(&place.apply(&before, 1, &ApplyPolicy::default()).await);
        let live = place.live(&before).await;
        let ended = place.apply(&after, 2, &ApplyPolicy::default()).await;
        refused(
            &ended,
            &["cannot be changed", "apply.onImmutable: recreate"],
        );
        assert_eq!(
            place.live(&before).await["metadata"]["uid"],
            live["metadata"]["uid"]
        );
    }
}

pub(crate) async fn immutable_fields_recreate_what_is_ours(place: &Place) {
    let recreate = policy(|policy| policy.on_immutable = OnImmutable::Recreate);
    for (before, after) in immutables(place) {
        applied(&place.apply(&before, 1, &recreate).await);
        let live = place.live(&before).await;
        let ended = place.apply(&after, 2, &recreate).await;
        assert_eq!(ended.outcome, Outcome::Retrying, "{}", ended.message);
        assert!(ended.message.starts_with("recreating"), "{}", ended.message);
        let mut ended = place.apply(&after, 2, &recreate).await;
        // What it owns may have to go first.
        for _ in 0..100 {
            if ended.outcome == Outcome::Applied {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            ended = place.apply(&after, 2, &recreate).await;
        }
        applied(&ended);
        assert_ne!(
            place.live(&before).await["metadata"]["uid"],
            live["metadata"]["uid"]
        );
    }
}

pub(crate) async fn immutable_fields_do_not_recreate_what_was_not_ours(place: &Place) {
    let map = |value: &str| {
        place.object(
            "v1",
            "ConfigMap",
            json!({"immutable": true, "data": {"a": value}}),
        )
    };
    place.create(&map("2")).await;
    let before = place.live(&map("2")).await;
    for on_immutable in [OnImmutable::Fail, OnImmutable::Recreate] {
        let force = policy(|policy| {
            policy.on_immutable = on_immutable;
            (policy.adopt, policy.conflict) = (Adopt::Always, Conflict::Force);
        });
        let ended = place.apply(&map("1"), 1, &force).await;
        refused(&ended, &["cannot be changed"]);
        assert_eq!(place.live(&before).await, before);
    }
}

pub(crate) async fn a_secrets_texts_are_watched_over(place: &Place) {
    let secret = place.object(
        "v1",
        "Secret",
        json!({"stringData": {"a": "text"}, "data": {"b": "Yg=="}}),
    );
    applied(&place.apply(&secret, 1, &ApplyPolicy::default()).await);
    let live = place.live(&secret).await;
    assert_eq!(live["data"], json!({"a": "dGV4dA==", "b": "Yg=="}));
    applied(&place.look(&secret, 1, &ApplyPolicy::default()).await);
    assert_eq!(place.live(&secret).await, live, "not written again");
    place
        .edit(&secret, json!({"data": {"a": "ZWRpdGVk"}}))
        .await;
    let looked = place.look(&secret, 1, &ApplyPolicy::default()).await;
    names_kubectl(&looked.drift.expect("told"));
    assert_eq!(place.live(&secret).await["data"]["a"], "dGV4dA==");
}
