//! Which step follows from which state.

use fleetcast_core::document::Document;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::ClusterName;
use fleetcast_core::model::federated::Predecessor;
use fleetcast_core::time::Time;
use fleetcast_core::work::{Body, Stamp};
use serde_json::json;

use super::*;

const DIGEST: &str = "d2";

/// Work of epoch 2, decision 5, for a ConfigMap whose data is `{"a": "1"}`.
fn work() -> Work {
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "web"}}, "data": {"a": "1"},
    });
    Work {
        cluster: ClusterName::parse("eu").unwrap(),
        object: "ConfigMap/shop/a".parse().unwrap(),
        revision: 3,
        decision: 5,
        decision_epoch: Epoch::try_from("2.hub".to_owned()).unwrap(),
        digest: Some(DIGEST.to_owned()),
        stamp: Stamp {
            epoch: Epoch::try_from("2.hub".to_owned()).unwrap(),
            term: 1,
            incarnation: "i".to_owned(),
            n: 1,
        },
        time: Time(0),
        causation: String::new(),
        correlation: String::new(),
        body: Body::Apply {
            manifest: Document::from_value(&manifest),
            policy: ApplyPolicy::default(),
        },
    }
}

fn manifest(work: &Work) -> Manifest {
    match &work.body {
        Body::Apply { manifest, .. } => Manifest::parse(&work.object, manifest).ok().unwrap(),
        Body::Remove { .. } => unreachable!(),
    }
}

/// The object as it stands, not ours.
fn theirs(data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": {"app": "web", "more": "x"}},
        "data": data,
    })
}

/// The object as it stands, ours, of an epoch and decision.
fn ours(digest: &str, epoch: &str, decision: u64) -> Value {
    let mut live = theirs(json!({"a": "0"}));
    live["metadata"]["labels"]["fleetcast.dev/managed"] = json!("true");
    live["metadata"]["annotations"] = json!({
        "fleetcast.dev/object": "ConfigMap/shop/a", "fleetcast.dev/digest": digest,
        "fleetcast.dev/epoch": epoch, "fleetcast.dev/decision": decision.to_string(),
    });
    live["metadata"]["managedFields"] = json!([{
        "manager": "fleetcast", "operation": "Apply",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {"f:a": {}}},
    }]);
    live
}

fn with(mut live: Value, field: &str, value: Value) -> Value {
    live["metadata"][field] = value;
    live
}

/// What an application comes to, in a word or two.
fn applying(policy: &ApplyPolicy, live: Option<&Value>) -> String {
    let task = Task::new(work());
    match apply(&task, &manifest(&task.work), policy, live) {
        ToApply::Answer(Report {
            outcome,
            message,
            wrote: false,
            ..
        }) => format!("{} {message}", outcome.word()).trim().to_owned(),
        ToApply::Answer(_) => "an answer that claims a write".to_owned(),
        ToApply::Release(patch) => {
            format!("release {}", patch["metadata"]["resourceVersion"])
        }
        ToApply::Write(write) => {
            let ToWrite {
                object,
                force,
                recreate,
                lost: _,
                heals: _,
            } = write;
            format!(
                "write over {}{}{}",
                object["metadata"]["resourceVersion"]
                    .as_str()
                    .unwrap_or("nothing"),
                if force { ", by force" } else { "" },
                if recreate.is_some() {
                    ", or recreate"
                } else {
                    ""
                },
            )
        }
    }
}

#[test]
fn applications_are_decided_in_order() {
    let policy = ApplyPolicy::default;
    let never = ApplyPolicy {
        adopt: Adopt::Never,
        ..policy()
    };
    let always = ApplyPolicy {
        adopt: Adopt::Always,
        conflict: Conflict::Force,
        on_immutable: OnImmutable::Recreate,
        ..policy()
    };
    let once = ApplyPolicy {
        mode: Mode::CreateOnly,
        ..policy()
    };
    let same = theirs(json!({"a": "1", "b": "2"}));
    let other = theirs(json!({"a": "x"}));
    let hint = "apply.adopt decides who wins";
    let leaving = json!("2026-01-01T00:00:00Z");
    for (name, policy, live, expected) in [
        (
            "absent",
            policy(),
            None,
            "write over nothing".to_owned(),
        ),
        (
            "equal",
            policy(),
            Some(ours(DIGEST, "2.hub", 5)),
            "applied".to_owned(),
        ),
        (
            "equal, of an older decision",
            policy(),
            Some(ours(DIGEST, "1.old", 9)),
            "applied".to_owned(),
        ),
        (
            "older",
            policy(),
            Some(ours("d1", "2.hub", 4)),
            "write over 7".to_owned(),
        ),
        (
            "the same decision with another digest",
            policy(),
            Some(ours("d1", "2.hub", 5)),
            "write over 7".to_owned(),
        ),
        (
            "of a lower epoch",
            policy(),
            Some(ours("d1", "1.old", 9)),
            "write over 7".to_owned(),
        ),
        (
            "ours, marks unreadable",
            policy(),
            Some(ours("d1", "x", 9)),
            "write over 7".to_owned(),
        ),
        (
            "ahead by decision, though equal",
            policy(),
            Some(ours(DIGEST, "2.hub", 6)),
            "ahead the cluster holds decision 6 of epoch 2.hub (ahead); this work carries out decision 5 of epoch 2.hub".to_owned(),
        ),
        (
            "ahead by epoch",
            always.clone(),
            Some(ours("d1", "3.hub", 1)),
            "ahead the cluster holds decision 1 of epoch 3.hub (ahead); this work carries out decision 5 of epoch 2.hub".to_owned(),
        ),
        (
            "of another hub",
            always.clone(),
            Some(ours("d1", "2.zombie", 1)),
            "ahead the cluster holds decision 1 of epoch 2.zombie (another hub's history); this work carries out decision 5 of epoch 2.hub".to_owned(),
        ),
        (
            "a copy of ours under another name",
            never.clone(),
            Some({
                let mut copy = ours(DIGEST, "2.hub", 5);
                copy["metadata"]["annotations"]["fleetcast.dev/object"] = json!("ConfigMap/shop/b");
                copy
            }),
            format!("refused it exists and is not ours (adopt: never); {hint}"),
        ),
        (
            "theirs, never",
            never,
            Some(same.clone()),
            format!("refused it exists and is not ours (adopt: never); {hint}"),
        ),
        ("theirs, same", policy(), Some(same), "write over 7".to_owned()),
        (
            "theirs, other",
            policy(),
            Some(other.clone()),
            format!("refused it exists, is not ours and differs at /data/a (adopt: ifSame); {hint}"),
        ),
        (
            "theirs, always: never deleted",
            always.clone(),
            Some(other.clone()),
            "write over 7, by force".to_owned(),
        ),
        (
            "ours, always",
            always,
            Some(ours("d1", "2.hub", 4)),
            "write over 7, by force, or recreate".to_owned(),
        ),
        (
            "created once",
            once.clone(),
            Some(ours("d1", "2.hub", 4)),
            "applied".to_owned(),
        ),
        (
            "to be created once, theirs",
            once,
            Some(other.clone()),
            format!("refused it exists, is not ours and differs at /data/a (adopt: ifSame); {hint}"),
        ),
        (
            "being deleted",
            policy(),
            Some(with(ours(DIGEST, "2.hub", 5), "deletionTimestamp", leaving.clone())),
            "retrying is being deleted".to_owned(),
        ),
        (
            "theirs, being deleted",
            policy(),
            Some(with(
                with(other, "deletionTimestamp", leaving),
                "finalizers",
                json!(["x/y"]),
            )),
            "retrying is being deleted: waits for finalizer x/y".to_owned(),
        ),
    ] {
        assert_eq!(applying(&policy, live.as_ref()), expected, "{name}");
    }
}

#[test]
fn what_the_controller_before_us_left_is_released_and_then_ours_whatever_else_may_be_adopted() {
    let policy = ApplyPolicy {
        adopt: Adopt::Never,
        predecessor: Some(Predecessor::Kubefed),
        ..ApplyPolicy::default()
    };
    let mut live = theirs(json!({"a": "2"}));
    assert!(applying(&policy, Some(&live)).starts_with("refused it exists"));
    live["metadata"]["labels"]["kubefed.io/managed"] = json!("true");
    let fields = json!({"f:metadata": {"f:labels": {"f:kubefed.io/managed": {}}}});
    let managers =
        |name, operation| json!([{"manager": name, "operation": operation, "fieldsV1": fields}]);
    live["metadata"]["managedFields"] = managers("controller-manager", "Update");
    assert_eq!(applying(&policy, Some(&live)), "release \"7\"");
    let native = ApplyPolicy {
        predecessor: None,
        ..policy.clone()
    };
    assert!(applying(&native, Some(&live)).starts_with("refused it exists"));
    live["metadata"]["managedFields"] = managers("fleetcast", "Apply");
    assert_eq!(applying(&policy, Some(&live)), "write over 7");
    live["metadata"]["labels"]["kubefed.io/managed"] = json!("false");
    assert!(applying(&policy, Some(&live)).starts_with("refused its label"));
}

#[test]
fn ignored_fields_do_not_count_as_a_difference() {
    let policy = ApplyPolicy {
        ignore: vec!["/data/a".to_owned()],
        ..ApplyPolicy::default()
    };
    let live = theirs(json!({"a": "x"}));
    assert_eq!(applying(&policy, Some(&live)), "write over 7");
}

#[test]
fn removals_are_decided_in_order() {
    let mut leaving = ours(DIGEST, "2.hub", 5);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    leaving["metadata"]["finalizers"] = json!(["a", "b"]);
    let mut foreign = ours(DIGEST, "2.hub", 5);
    foreign["metadata"]["labels"] = json!({});
    for (name, mode, live, expected) in [
        ("absent", OnDelete::Delete, None, "removed"),
        ("absent, to be kept", OnDelete::Orphan, None, "removed"),
        (
            "changed hands",
            OnDelete::Delete,
            Some(foreign.clone()),
            "orphaned changed hands: left alone",
        ),
        (
            "changed hands, to be kept",
            OnDelete::Orphan,
            Some(foreign),
            "orphaned changed hands: left alone",
        ),
        (
            "ahead",
            OnDelete::Delete,
            Some(ours(DIGEST, "2.hub", 6)),
            "ahead the cluster holds decision 6 of epoch 2.hub (ahead); this work carries out decision 5 of epoch 2.hub",
        ),
        (
            "being deleted",
            OnDelete::Delete,
            Some(leaving),
            "retrying is being deleted: waits for finalizers a, b",
        ),
        (
            "ours",
            OnDelete::Delete,
            Some(ours(DIGEST, "2.hub", 4)),
            "delete u 7",
        ),
        (
            "ours, to be kept",
            OnDelete::Orphan,
            Some(ours(DIGEST, "2.hub", 4)),
            "release 7",
        ),
    ] {
        let step = match remove(&work(), mode, live.as_ref()) {
            ToRemove::Answer(report) => format!("{} {}", report.outcome.word(), report.message)
                .trim()
                .to_owned(),
            ToRemove::Delete(version) => {
                format!("delete {} {}", version.uid, version.resource_version)
            }
            ToRemove::Release(patch) => {
                format!(
                    "release {}",
                    patch["metadata"]["resourceVersion"].as_str().unwrap()
                )
            }
        };
        assert_eq!(step, expected, "{name}");
    }
}
