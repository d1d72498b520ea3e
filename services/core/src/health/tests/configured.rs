//! The operator's rules, and the selected status.

use super::*;
use crate::health::rules::{Entry, File};

fn shirts(change: impl FnOnce(&mut Entry)) -> File {
    let mut entry = Entry {
        group: "example.com".to_owned(),
        kind: "Shirt".to_owned(),
        ..Entry::default()
    };
    change(&mut entry);
    File {
        health: vec![entry],
    }
}

/// The operator's rules decide first: degraded, healthy, progressing; a field that is not there is false; what they do not decide goes on to ours.
#[test]
fn rules_of_the_operators_in_cel() {
    let text = |text: &str| Some(text.to_owned());
    let rules = Rules::read(&shirts(|entry| {
        entry.degraded = text("object.status.holes > 2");
        entry.healthy = text("object.status.phase == 'Clean' && object.spec.size >= 1");
        entry.reason = text("'phase ' + object.status.phase");
    }))
    .unwrap();
    let shirt = |status: Value| object("example.com/v1", "Shirt", json!({"size": 1}), status);
    for (status, expected) in [
        (json!({"phase": "Clean"}), Health::healthy("phase Clean")),
        (
            json!({"phase": "Washing"}),
            Health::progressing("phase Washing"),
        ),
        (
            json!({"phase": "Clean", "holes": 3}),
            Health::degraded("phase Clean"),
        ),
        (json!({}), Health::progressing("")),
        (json!(null), Health::progressing("")),
        (
            json!({"phase": 7, "holes": "many"}),
            Health::progressing(""),
        ),
    ] {
        assert_eq!(of(&shirt(status.clone()), &rules), expected, "{status}");
    }
    let other = object("example.com/v1", "Sock", json!({}), json!({}));
    assert_eq!(of(&other, &rules), Health::healthy(""));
    let only_degraded = Rules::read(&shirts(|entry| {
        entry.degraded = text("object.status.holes > 2")
    }))
    .unwrap();
    let waiting =
        shirt(json!({"holes": 1, "conditions": conditions(&[("Ready", "False", "Wet")])}));
    assert_eq!(
        of(&waiting, &only_degraded),
        Health::progressing("not ready: Wet")
    );
}

/// A rules file that cannot be used is refused with its field.
#[test]
fn bad_rules_are_refused_with_their_field() {
    let text = |text: &str| Some(text.to_owned());
    let twice = {
        let mut file = shirts(|_| {});
        file.health.push(file.health[0].clone());
        file
    };
    for (file, field) in [
        (
            shirts(|entry| entry.healthy = text("a ++ ")),
            "health[0].healthy",
        ),
        (
            shirts(|entry| entry.degraded = text("")),
            "health[0].degraded",
        ),
        (
            shirts(|entry| entry.reason = text(&"x".repeat(5_000))),
            "health[0].reason",
        ),
        (shirts(|entry| entry.kind.clear()), "health[0].kind"),
        (
            shirts(|entry| entry.status = Some(vec!["/status/a".to_owned(), "/spec/b".to_owned()])),
            "health[0].status[1]",
        ),
        (twice, "health[1].kind"),
    ] {
        assert_eq!(Rules::read(&file).unwrap_err().field, field);
    }
    assert!(
        serde_json::from_value::<File>(json!({"health": [{"kind": "A", "helthy": "true"}]}))
            .is_err()
    );
}

/// What is selected travels as far as it fits, each field whole or not at all.
#[test]
fn selected_status_fields_are_bounded() {
    let none = Rules::default();
    let web = object(
        "apps/v1",
        "Deployment",
        json!({}),
        json!({"replicas": 3, "readyReplicas": 2, "conditions": [{"type": "Available"}], "collisionCount": 1}),
    );
    let select = |live: &Value, rules: &Rules, limit: usize| {
        status::select(
            live,
            rules,
            crate::model::federated::Reported::Selected,
            limit,
        )
        .map(|found| (found.fields.value().unwrap(), found.omitted))
    };
    let (fields, omitted) = select(&web, &none, 2_048).unwrap();
    assert_eq!(fields, json!({"replicas": 3, "readyReplicas": 2}));
    assert!(omitted.is_empty());
    let (fields, omitted) = select(&web, &none, 20).unwrap();
    assert_eq!(fields, json!({"replicas": 3}));
    assert_eq!(omitted, ["readyReplicas"]);
    assert_eq!(select(&web, &none, 0), None);
    let custom = object(
        "example.com/v1",
        "Shirt",
        json!({}),
        json!({"phase": "Clean", "at": {"shop": "x", "till": 1},
            "conditions": [{"type": "Ready", "status": "True", "message": "long", "lastHeartbeatTime": "t"}]}),
    );
    let (fields, _) = select(&custom, &none, 2_048).unwrap();
    assert_eq!(
        fields,
        json!({"phase": "Clean", "conditions": [{"type": "Ready", "status": "True"}]})
    );
    let rules = Rules::read(&shirts(|entry| {
        entry.status = Some(vec![
            "/status/at/shop".to_owned(),
            "/status/nothing".to_owned(),
        ]);
    }))
    .unwrap();
    assert_eq!(
        select(&custom, &rules, 2_048).unwrap().0,
        json!({"at": {"shop": "x"}})
    );
    assert_eq!(
        select(
            &json!({"kind": "ConfigMap", "apiVersion": "v1"}),
            &none,
            2_048
        ),
        None
    );
}
