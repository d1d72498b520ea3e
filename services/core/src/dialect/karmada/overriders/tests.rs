//! The order of override policies and of the overriders inside a rule.

use super::*;
use crate::model::ClusterName;
use serde_json::json;
use std::collections::BTreeMap;

fn member(name: &str) -> Member {
    Member::named(ClusterName::parse(name).expect("valid"))
}

fn policy(namespace: Option<&str>, name: &str, selectors: Value, spec: Value) -> Value {
    let mut spec = spec;
    spec["resourceSelectors"] = selectors;
    json!({
        "kind": if namespace.is_some() { "OverridePolicy" } else { "ClusterOverridePolicy" },
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

/// A rule that writes `mark` at the end of the label `order`'s path, by adding the label `order`.
fn marks(mark: &str) -> Value {
    json!({"overrideRules": [{"overriders": {"labelsOverrider": [{"operator": "add", "value": {"last": mark, mark: "x"}}]}}]})
}

fn rendered(policies: &[Value], cluster: &str) -> Result<Value, Refusal> {
    let set = policies
        .iter()
        .map(|policy| OverridePolicy::read(policy, policy["kind"] == "OverridePolicy"))
        .collect::<Result<Vec<_>, _>>()?;
    let document = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "web:1", "args": ["a", "b", "a"]}]}}}});
    let object = Object::read(&document, &BTreeMap::new(), |_, _| false)?;
    let policies = policies_for(&set, &object);
    let mut manifest = document.clone();
    apply(&rules_for(&policies, &member(cluster)), &mut manifest, None)?;
    Ok(manifest)
}

#[test]
fn cluster_policies_then_the_namespaces_then_fit_then_name_and_the_last_wins() {
    let kind = || json!([{"apiVersion": "apps/v1", "kind": "Deployment"}]);
    let named = || json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}]);
    for (what, policies, last) in [
        (
            "the namespace's after the cluster's",
            vec![
                policy(Some("shop"), "a", Value::Null, marks("own")),
                policy(None, "z", named(), marks("cluster")),
            ],
            "own",
        ),
        (
            "the closer fit later",
            vec![
                policy(Some("shop"), "a", named(), marks("name")),
                policy(Some("shop"), "z", kind(), marks("kind")),
            ],
            "name",
        ),
        (
            "the greater name later",
            vec![
                policy(Some("shop"), "b", kind(), marks("b")),
                policy(Some("shop"), "a", kind(), marks("a")),
            ],
            "b",
        ),
        (
            "no selectors fit like everything of the kind",
            vec![
                policy(None, "b", Value::Null, marks("b")),
                policy(None, "a", kind(), marks("a")),
            ],
            "b",
        ),
    ] {
        let manifest = rendered(&policies, "m1").expect("applies");
        assert_eq!(manifest["metadata"]["labels"]["last"], last, "{what}");
        assert_eq!(
            manifest["metadata"]["labels"]
                .as_object()
                .map(serde_json::Map::len),
            Some(4),
            "{what}: all apply"
        );
    }
    let elsewhere = policy(Some("other"), "a", Value::Null, marks("other"));
    let manifest = rendered(&[elsewhere], "m1").expect("applies");
    assert_eq!(manifest["metadata"]["labels"], json!({"app": "web"}));
}

#[test]
fn rules_reach_the_clusters_that_they_mean() {
    let spec = json!({"overrideRules": [
        {"overriders": {"labelsOverrider": [{"operator": "add", "value": {"all": "x"}}]}},
        {"targetCluster": {}, "overriders": {"labelsOverrider": [{"operator": "add", "value": {"empty": "x"}}]}},
        {"targetCluster": {"clusterNames": ["m2"]}, "overriders": {"labelsOverrider": [{"operator": "add", "value": {"m2": "x"}}]}},
    ], "targetCluster": {"clusterNames": ["m1"]}, "overriders": {"labelsOverrider": [{"operator": "add", "value": {"old": "x"}}]}});
    let manifest = rendered(&[policy(None, "p", Value::Null, spec)], "m1").expect("applies");
    assert_eq!(
        manifest["metadata"]["labels"],
        json!({"app": "web", "all": "x", "empty": "x"})
    );
    let old = json!({"targetCluster": {"clusterNames": ["m1"]},
        "overriders": {"labelsOverrider": [{"operator": "add", "value": {"old": "x"}}]}});
    let manifest = rendered(&[policy(None, "p", Value::Null, old)], "m1").expect("applies");
    assert_eq!(manifest["metadata"]["labels"]["old"], "x");
}

#[test]
fn inside_a_rule_paths_come_last_and_see_what_was_done_before() {
    let spec = json!({"overrideRules": [{"overriders": {
        "plaintext": [
            {"path": "/spec/template/spec/containers/0/args/3", "operator": "replace", "value": "last"},
            {"path": "/metadata/annotations/a", "operator": "remove"},
        ],
        "annotationsOverrider": [{"operator": "add", "value": {"a": "1", "b.c/d": "2"}}, {"operator": "replace", "value": {"none": "3"}}],
        "labelsOverrider": [{"operator": "remove", "value": {"app": "whatever"}}],
        "argsOverrider": [
            {"containerName": "c", "operator": "add", "value": ["c"]},
            {"containerName": "unknown", "operator": "add", "value": ["x"]},
        ],
        "commandOverrider": [{"containerName": "c", "operator": "add", "value": ["run"]}],
        "imageOverrider": [{"component": "Tag", "operator": "replace", "value": "2"}],
    }}]});
    let manifest =
        rendered(&[policy(Some("shop"), "p", Value::Null, spec)], "m1").expect("applies");
    assert_eq!(
        manifest["spec"]["template"]["spec"]["containers"][0],
        json!({"name": "c", "image": "web:2", "args": ["a", "b", "a", "last"], "command": ["run"]})
    );
    assert_eq!(manifest["metadata"]["annotations"], json!({"b.c/d": "2"}));
    assert_eq!(manifest["metadata"]["labels"], json!({}));
}

#[test]
fn arguments_are_removed_wherever_they_stand_and_an_absent_list_becomes_empty() {
    let spec = json!({"overrideRules": [{"overriders": {
        "argsOverrider": [{"containerName": "c", "operator": "remove", "value": ["a", "z"]}],
        "commandOverrider": [{"containerName": "c", "operator": "remove", "value": ["a"]}],
    }}]});
    let manifest = rendered(&[policy(None, "p", Value::Null, spec)], "m1").expect("applies");
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["args"], &container["command"]),
        (&json!(["b"]), &json!([]))
    );
}

#[test]
fn a_failure_names_the_policy_and_its_field() {
    let path = |path: &str, value: Value| {
        json!({"overrideRules": [{"overriders": {"plaintext": [
            {"path": "/spec/replicas", "operator": "replace", "value": 2},
            {"path": path, "operator": "replace", "value": value},
        ]}}]})
    };
    for (spec, field, part) in [
        (
            path("/spec/nothing", json!(1)),
            "spec.overrideRules[0].overriders.plaintext[1].path",
            "OverridePolicy shop/p: /spec/nothing",
        ),
        (
            path("/metadata/name", json!("other")),
            "spec.overrideRules[0]",
            "changes /metadata/name",
        ),
        (
            path("", json!("text")),
            "spec.overrideRules[0].overriders.plaintext[1].path",
            "no object",
        ),
    ] {
        let refusal =
            rendered(&[policy(Some("shop"), "p", Value::Null, spec)], "m1").expect_err("refused");
        assert_eq!(refusal.field, field);
        assert!(refusal.message.contains(part), "{refusal}");
    }
}

#[test]
fn a_malformed_policy_is_refused_as_a_document() {
    for (overriders, field) in [
        (
            json!({"imageOverrider": [{"component": "Host", "operator": "add"}]}),
            "imageOverrider[0].component",
        ),
        (
            json!({"argsOverrider": [{"containerName": "c", "operator": "replace", "value": []}]}),
            "argsOverrider[0].operator",
        ),
        (
            json!({"labelsOverrider": [{"operator": "add", "value": {"a": 1}}]}),
            "labelsOverrider[0].value.a",
        ),
        (
            json!({"plaintext": [{"path": "/a", "operator": "copy"}]}),
            "plaintext[0].operator",
        ),
    ] {
        let document = policy(
            None,
            "p",
            Value::Null,
            json!({"overrideRules": [{"overriders": overriders}]}),
        );
        let refusal = OverridePolicy::read(&document, false).expect_err("refused");
        assert_eq!(
            refusal.field,
            format!("spec.overrideRules[0].overriders.{field}")
        );
    }
}
