//! What is sealed in documents of every dialect, and what is refused.

use super::*;
use serde_json::json;

fn sealing() -> Sealing {
    let rules = vec![
        "Database.example.dev:/spec/users/*/password"
            .parse()
            .expect("a rule"),
    ];
    Sealing::With(Arc::new(Sealer::new(Keys::from_raw([7; 32]), rules)))
}

fn object(text: &str) -> ObjectKey {
    text.parse().expect("an object")
}

/// Seals `document`, about `target`; every text `secret…` must be sealed and every text `open…` must not.
fn check(target: &str, mut document: Value) -> Value {
    let original = document.clone();
    let target = object(target);
    let sealing = sealing();
    let is_sealed = sealing.seal(&mut document, &target).expect("sealed");
    let text = document.to_string();
    assert!(!text.contains("secret-"), "{text}");
    assert_eq!(
        text.matches("open-").count(),
        original.to_string().matches("open-").count(),
        "{text}"
    );
    assert_eq!(is_sealed, sealed::is_in(&document));
    let again = |mut document: Value| {
        sealing.seal(&mut document, &target).expect("sealed");
        document
    };
    assert_eq!(again(original.clone()), document, "the same again");
    assert_eq!(again(document.clone()), document, "what is sealed already");
    document
}

#[test]
fn the_data_of_secrets_is_sealed_in_every_dialect() {
    let native = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": "db", "namespace": "shop", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\": \"secret-0\"}", "a": "open-1"}},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "Secret", "type": "open-2", "metadata": {"labels": {"a": "open-3"}}, "data": {"a": "secret-1", "b.c": "secret-2"}, "stringData": {"n": "secret-3"}},
            "placement": {"clusters": ["open-4"]},
            "overrides": [{"clusters": ["eu"], "patches": [
                {"op": "replace", "path": "/data/a", "value": "secret-4"},
                {"op": "add", "path": "/stringData", "value": {"x": "secret-5", "y": "secret-6"}},
                {"op": "replace", "path": "", "value": {"data": {"x": "secret-7"}, "type": "open-5"}},
                {"op": "add", "path": "/metadata/labels/b", "value": "open-6"},
                {"op": "test", "path": "/data/a", "value": "secret-4"},
                {"op": "remove", "path": "/data/b.c"},
            ]}],
        },
    });
    let document = check("Secret/shop/db", native);
    assert!(
        document["metadata"]["annotations"]
            .get("kubectl.kubernetes.io/last-applied-configuration")
            .is_none()
    );
    check(
        "Secret/shop/db",
        json!({
            "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedSecret", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"template": {"data": {"a": "secret-1"}}, "overrides": [{"clusterName": "open-1", "clusterOverrides": [
                {"path": "/data/a", "value": "secret-2"}, {"path": "data", "value": {"b": "secret-3"}}, {"path": "/metadata/labels", "value": {"b": "open-2"}},
            ]}]},
        }),
    );
    check(
        "Secret/shop/db",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "secret-0"}}, "data": {"a": "secret-1"}, "immutable": true}),
    );
}

/// A subject that names something else does not keep a Secret from being sealed: what is refused afterwards quotes nothing.
#[test]
fn the_subject_does_not_say_what_is_sealed() {
    for target in ["ConfigMap/shop/db", "Widget.example.dev/shop/x"] {
        check(
            target,
            json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedSecret", "spec": {"template": {"data": {"a": "secret-1", "n": 5, "deep": {"er": ["secret-2"]}}}}}),
        );
        check(
            target,
            json!({"apiVersion": "v1", "kind": "Secret", "data": "secret-1"}),
        );
    }
}

#[test]
fn override_policies_bring_sealed_values_to_secrets() {
    let policy = |selectors: Value| {
        json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy", "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"resourceSelectors": selectors, "overrideRules": [{"targetCluster": {"clusterNames": ["open-1"]}, "overriders": {
                "plaintext": [{"path": "/data/a", "operator": "replace", "value": "secret-1"}, {"path": "/metadata/labels/x", "operator": "add", "value": "open-2"}],
            }}]},
        })
    };
    let target = "OverridePolicy.policy.karmada.io/shop/p";
    check(
        target,
        policy(json!([{"apiVersion": "v1", "kind": "Secret"}])),
    );
    check(target, policy(json!([])));
    let others = policy(json!([{"apiVersion": "v1", "kind": "ConfigMap"}]));
    let mut untouched = others.clone();
    assert_eq!(sealing().seal(&mut untouched, &object(target)), Ok(false));
    assert_eq!(untouched, others);
    let inside = json!({"spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "Secret"}], "overriders": {"fieldOverrider": [{"fieldPath": "/data/a", "json": []}]}}});
    let refusal = sealing()
        .seal(&mut inside.clone(), &object(target))
        .expect_err("refused");
    assert_eq!(refusal.field, "spec.overriders.fieldOverrider[0].fieldPath");
}

#[test]
fn fields_that_the_configuration_names_are_sealed() {
    check(
        "Database.example.dev/shop/db",
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"template": {"apiVersion": "example.dev/v1", "kind": "Database", "spec": {"users": [{"name": "open-1", "password": "secret-1"}]}},
                "overrides": [{"patches": [
                    {"op": "replace", "path": "/spec/users/0/password", "value": "secret-2"},
                    {"op": "add", "path": "/spec/users/-", "value": {"name": "open-2", "password": "secret-3"}},
                    {"op": "replace", "path": "/spec/users/0/name", "value": "open-3"},
                ]}]},
        }),
    );
    for text in [
        "",
        "Database",
        "Database:",
        "Database:spec",
        ":/spec",
        "Database:/",
    ] {
        assert!(text.parse::<Rule>().is_err(), "{text}");
    }
}

fn secret(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {"a": value}})
}

#[test]
fn a_sealed_value_of_another_object_is_refused_wherever_it_stands() {
    let db = object("Secret/shop/db");
    let mut document = secret("secret-1");
    sealing().seal(&mut document, &db).expect("sealed");
    let stolen = document["data"]["a"].as_str().expect("a text").to_owned();
    let evil = object("Secret/evil/x");
    let refusal = |mut document: Value| {
        let refusal = sealing().seal(&mut document, &evil).expect_err("refused");
        assert!(!refusal.message.contains("secret-"));
        refusal.field
    };
    assert_eq!(refusal(secret(&stolen)), "data.a");
    let mut beside = secret("b");
    beside["metadata"]["annotations"] = json!({"x": stolen});
    assert_eq!(refusal(beside), "metadata.annotations.x");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": stolen}});
    assert_eq!(refusal(map.clone()), "data.a");
    let mut plain = map;
    assert!(Sealing::Plain.seal(&mut plain, &evil).is_err());
}

#[test]
fn a_digest_that_was_shown_is_not_taken_for_the_value() {
    let db = object("Secret/shop/db");
    let mut document = secret("secret-1");
    sealing().seal(&mut document, &db).expect("sealed");
    let mut shown = sealed::shown(&document);
    let refusal = sealing().seal(&mut shown, &db).expect_err("refused");
    assert_eq!(refusal.field, "data.a");
    assert!(refusal.message.contains("hand in the value itself"));
}

#[test]
fn a_service_without_keys_refuses_secrets_unless_told_to_store_them_plain() {
    let db = object("Secret/shop/db");
    let refusal = Sealing::Refused
        .seal(&mut secret("a"), &db)
        .expect_err("refused");
    assert_eq!(refusal.field, "data.a");
    assert!(refusal.message.contains("--sealing-keys"), "{refusal}");
    let mut without = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}});
    assert_eq!(Sealing::Refused.seal(&mut without, &db), Ok(false));
    let mut document = secret("a");
    assert_eq!(Sealing::Plain.seal(&mut document, &db), Ok(false));
    assert_eq!(document, secret("a"));
}
