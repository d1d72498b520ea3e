//! Drift from `managedFields` as real API servers write them.

use serde_json::{Value, json};

use super::*;

fn desired() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "finalizers": ["a/b"], "annotations": {}},
        "spec": {
            "replicas": 3, "paused": null,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [
                {"name": "web", "image": "web:1", "args": ["-v"], "ports": [{"containerPort": 80}],
                 "resources": {"limits": {"cpu": "1000m"}}},
                {"name": "side", "image": "side:1"},
            ]}},
        },
    })
}

/// What we state after our apply.
fn whole() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
        "f:spec": {
            "f:replicas": {}, "f:selector": {},
            "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    "f:resources": {"f:limits": {"f:cpu": {}}}},
                "k:{\"name\":\"side\"}": {".": {}, "f:name": {}, "f:image": {}},
            }}},
        },
    })
}

fn entry(manager: &str, operation: &str, time: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "time": time, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn live(ours: Value, others: Vec<Value>) -> Value {
    let mut entries = vec![entry("fleetcast", "Apply", "2026-01-01T00:00:00Z", ours)];
    entries.extend(others);
    json!({"metadata": {"managedFields": entries}})
}

/// Takes what stands at a JSON pointer away.
fn without(mut fields: Value, pointer: &str) -> Value {
    let (above, last) = pointer.rsplit_once('/').expect("a pointer");
    let last = last.replace("~1", "/");
    fields
        .pointer_mut(above)
        .and_then(Value::as_object_mut)
        .and_then(|above| above.remove(&last))
        .expect("it is there");
    fields
}

fn found(live: &Value, ignore: &[&str]) -> Vec<(String, String)> {
    let ignore: Vec<String> = ignore.iter().map(ToString::to_string).collect();
    find(&desired(), live, &ignore, "fleetcast")
        .into_iter()
        .map(|field| (field.path, field.manager.unwrap_or_default()))
        .collect()
}

const CONTAINERS: &str = "/f:spec/f:template/f:spec/f:containers";

/// Each kind of loss, with the manager that states the field now.
#[test]
fn each_lost_field_is_named_with_its_manager() {
    let web = format!("{CONTAINERS}/k:{{\"name\":\"web\"}}");
    let kubectl = |fields: Value| entry("kubectl-edit", "Update", "2026-01-02T00:00:00Z", fields);
    let image = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}}});
    for (live, expected) in [
        (live(whole(), vec![]), vec![]),
        // Others state what we do not: no drift.
        (
            live(
                whole(),
                vec![kubectl(
                    json!({"f:spec": {"f:paused": {}, "f:minReadySeconds": {}}}),
                )],
            ),
            vec![],
        ),
        // Another applier states the same with us: no drift.
        (
            live(
                whole(),
                vec![entry(
                    "argo",
                    "Apply",
                    "2026-01-02T00:00:00Z",
                    json!({"f:spec": {"f:replicas": {}}}),
                )],
            ),
            vec![],
        ),
        // A webhook changed what we applied.
        (
            live(
                without(whole(), "/f:spec/f:replicas"),
                vec![entry(
                    "fleetcast",
                    "Update",
                    "2026-01-01T00:00:00Z",
                    json!({"f:spec": {"f:replicas": {}}}),
                )],
            ),
            vec![],
        ),
        (
            live(
                without(whole(), "/f:spec/f:replicas"),
                vec![kubectl(json!({"f:spec": {"f:replicas": {}}}))],
            ),
            vec![(".spec.replicas", "kubectl-edit")],
        ),
        (
            live(without(whole(), "/f:spec/f:replicas"), vec![]),
            vec![(".spec.replicas", "")],
        ),
        (
            live(
                without(whole(), &format!("{web}/f:image")),
                vec![kubectl(image.clone())],
            ),
            vec![(
                ".spec.template.spec.containers[name=\"web\"].image",
                "kubectl-edit",
            )],
        ),
        (
            live(without(whole(), &format!("{web}/f:args")), vec![]),
            vec![(".spec.template.spec.containers[name=\"web\"].args", "")],
        ),
        // An item that is gone is named by its place.
        (
            live(
                without(whole(), &format!("{CONTAINERS}/k:{{\"name\":\"side\"}}")),
                vec![],
            ),
            vec![(".spec.template.spec.containers[1]", "")],
        ),
        (
            live(without(whole(), "/f:metadata/f:labels"), vec![]),
            vec![(".metadata.labels.app", "")],
        ),
        (
            live(without(whole(), "/f:metadata/f:finalizers"), vec![]),
            vec![(".metadata.finalizers", "")],
        ),
        (
            live(
                without(whole(), "/f:spec/f:selector"),
                vec![kubectl(json!({"f:spec": {"f:selector": {}}}))],
            ),
            vec![(".spec.selector.matchLabels.app", "kubectl-edit")],
        ),
    ] {
        let expected: Vec<(String, String)> = expected
            .into_iter()
            .map(|(path, manager): (&str, &str)| (path.to_owned(), manager.to_owned()))
            .collect();
        assert_eq!(found(&live, &[]), expected, "{live}");
    }
}

/// The one who wrote last is named, with the time; a subresource is named with him.
#[test]
fn the_last_writer_is_to_blame() {
    let replicas = json!({"f:spec": {"f:replicas": {}}});
    let mut scale = entry(
        "kube-controller-manager",
        "Update",
        "2026-01-03T00:00:00Z",
        replicas.clone(),
    );
    scale["subresource"] = json!("scale");
    let live = live(
        without(whole(), "/f:spec/f:replicas"),
        vec![
            entry("kubectl", "Update", "2026-01-02T00:00:00Z", replicas),
            scale,
        ],
    );
    let expected = Field {
        path: ".spec.replicas".to_owned(),
        manager: Some("kube-controller-manager (through scale)".to_owned()),
        time: Some("2026-01-03T00:00:00Z".to_owned()),
    };
    assert_eq!(find(&desired(), &live, &[], "fleetcast"), [expected]);
}

/// What is ignored is no drift, at the pointer and below it.
#[test]
fn ignored_fields_are_no_drift() {
    let lost = live(
        without(
            without(whole(), "/f:spec/f:replicas"),
            &format!("{CONTAINERS}/k:{{\"name\":\"web\"}}/f:resources"),
        ),
        vec![],
    );
    assert_eq!(found(&lost, &[]).len(), 2);
    let both = [
        "/spec/replicas",
        "/spec/template/spec/containers/0/resources",
    ];
    assert_eq!(found(&lost, &both), []);
    assert_eq!(found(&lost, &["/spec"]), []);
    assert_eq!(found(&lost, &["/spec/replica"]).len(), 2);
}

/// An object without any trace of us is drift from end to end; hostile entries are passed over.
#[test]
fn hostile_entries_do_no_harm() {
    for entries in [
        json!([]),
        json!(7),
        json!([7, {"fieldsV1": []}, {"manager": "fleetcast", "fieldsV1": {"f:spec": 7}}]),
    ] {
        let live = json!({"metadata": {"managedFields": entries}});
        assert!(found(&live, &[]).len() == 5, "{live}");
    }
    let odd = live(
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{": {}, "v:": {}, "k:7": {}}}}}}),
        vec![],
    );
    assert!(!found(&odd, &[]).is_empty());
}

/// Many fields are counted, some are named.
#[test]
fn many_fields_are_counted() {
    let fields = |count: usize| {
        (0..count)
            .map(|n| Field {
                path: format!(".data.{n}"),
                manager: None,
                time: None,
            })
            .collect()
    };
    assert_eq!(Drift::of(fields(0)), None);
    let drift = Drift::of(fields(25)).expect("some");
    assert_eq!((drift.fields.len(), drift.more), (20, 5));
    assert!(
        drift.summary().ends_with("and 5 more"),
        "{}",
        drift.summary()
    );
}
