//! Parser and definitions know the same fields, the same words, and ask for the same: each walked place is broken on purpose.

use serde_json::{Map, Value, json};

use super::*;
use crate::dialect::{self, Input};
use crate::model::{Cluster, ClusterName, Taint, TaintEffect};

/// A document in which every field of the definition stands somewhere.
fn complete(kind: &str) -> Value {
    let selector = json!({"matchLabels": {"tier": "prod"}, "matchExpressions": [
        {"key": "region", "operator": "In", "values": ["eu"]},
        {"key": "region", "operator": "Exists"},
    ]});
    if kind == "MemberCluster" {
        return json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": kind, "metadata": {"name": "eu-1"},
            "spec": {
                "region": "eu", "zone": "a", "zones": ["a"], "provider": "p", "cordoned": true, "sealingKey": "XBUJMZHVOPQ2SK5VD3TY4VNBPVU2YFGRLK6EFPEPSMVDUYEBSROWZCEA",
                "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}],
            },
            "status": {},
        });
    }
    let (template, metadata) = match kind {
        "FederatedObject" => (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}),
            json!({"name": "web", "namespace": "shop"}),
        ),
        _ => (
            json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {}}),
            json!({"name": "web"}),
        ),
    };
    let words = json!([{"container": "web", "op": "add", "value": ["x"]}]);
    let pairs = json!([{"op": "add", "value": {"a": "b"}}]);
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": kind, "metadata": metadata,
        "spec": {
            "template": template,
            "placement": {
                "clusters": ["eu-1"], "clusterSelector": selector, "exclude": ["eu-2"],
                "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}],
                "spread": [{"by": "region", "min": 1, "max": 2}],
                "preferences": [{"clusters": ["eu-1"], "clusterSelector": selector}],
            },
            "replicas": {
                "divide": "weighted", "total": 3, "min": {"eu-1": 1}, "max": {"eu-1": 2},
                "weights": [{"clusters": ["eu-1"], "clusterSelector": selector, "weight": 1}],
            },
            "overrides": [{
                "clusters": ["eu-1"], "clusterSelector": selector,
                "images": [{"component": "tag", "op": "replace", "value": "2"}],
                "command": words, "args": words, "labels": pairs, "annotations": pairs,
                "env": [{"container": "web", "op": "add", "value": {"A": "b"}}],
                "patches": [
                    {"op": "add", "path": "/a", "value": 1},
                    {"op": "move", "path": "/a", "from": "/b"},
                ],
            }],
            "apply": {
                "conflict": "fail", "adopt": "never", "drift": "heal", "onDelete": "delete",
                "onImmutable": "fail", "mode": "sync", "ignore": ["/spec/replicas"],
            },
            "dependencies": true, "suspend": false,
        },
        "status": {},
    })
}

fn refused(document: &Value) -> Option<crate::Refusal> {
    dialect::read(document).err()
}

/// One place in a document: its path for people, the way there, and its schema.
struct Place<'a> {
    path: String,
    way: Vec<Step>,
    schema: &'a Value,
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

fn at<'v>(mut value: &'v mut Value, way: &[Step]) -> &'v mut Value {
    for step in way {
        value = match step {
            Step::Key(key) => &mut value[key.as_str()],
            Step::Index(index) => &mut value[*index],
        };
    }
    value
}

/// Every place of `document` that has a schema, but for what an API server writes and what is an object of its own kind.
fn places<'a>(document: &Value, schema: &'a Value) -> Vec<Place<'a>> {
    fn walk<'a>(value: &Value, place: Place<'a>, found: &mut Vec<Place<'a>>) {
        let schema = place.schema;
        let (path, way) = (place.path.clone(), place.way.clone());
        found.push(place);
        let step = |step: Step, path: String, schema| Place {
            path,
            way: way.iter().cloned().chain([step]).collect(),
            schema,
        };
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            if path.is_empty() && key != "spec" || path == "spec" && key == "template" {
                continue;
            }
            let path = match path.as_str() {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let next = step(Step::Key(key.clone()), path, schema);
            if let Some(value) = value.get(key) {
                walk(value, next, found);
            }
        }
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            let next = step(
                Step::Index(index),
                format!("{path}[{index}]"),
                &schema["items"],
            );
            walk(value, next, found);
        }
    }
    let mut found = Vec::new();
    let root = Place {
        path: String::new(),
        way: Vec::new(),
        schema,
    };
    walk(document, root, &mut found);
    found
}

fn each_kind(check: impl Fn(&str, &Value, &Value)) {
    for (_, definition) in definitions() {
        let kind = definition["spec"]["names"]["kind"]
            .as_str()
            .expect("a kind");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let document = complete(kind);
        assert_eq!(refused(&document), None, "{kind}: the sample is valid");
        check(kind, schema, &document);
    }
}

/// The words that a refusal names behind `marker`, sorted.
fn named(message: &str, marker: &str) -> Vec<String> {
    let (_, list) = message.split_once(marker).expect(message);
    let mut words: Vec<String> = list.split(", ").map(str::to_owned).collect();
    words.sort();
    words
}

fn keys(map: &Map<String, Value>) -> Vec<String> {
    map.keys().cloned().collect()
}

/// Shows that an unknown field is refused in each object, and that the fields known there are those of the definition.
#[test]
fn each_object_has_the_fields_that_the_parser_knows() {
    each_kind(|kind, schema, document| {
        for place in places(document, schema) {
            let Some(properties) = place.schema["properties"].as_object() else {
                continue;
            };
            let mut broken = document.clone();
            at(&mut broken, &place.way)["unheardOf"] = json!(1);
            let refusal = refused(&broken).unwrap_or_else(|| {
                panic!("{kind} {}: takes a field that nobody knows", place.path)
            });
            let expected = match place.path.as_str() {
                "" => "unheardOf".to_owned(),
                path => format!("{path}.unheardOf"),
            };
            assert_eq!(refusal.field, expected);
            let known = named(&refusal.message, "known are ");
            let mut fields = keys(properties);
            fields.sort();
            assert_eq!(known, fields, "{kind} {}", place.path);
        }
    });
}

/// Shows that the sample of the other tests leaves nothing of the definition out.
#[test]
fn each_field_of_the_definition_is_in_the_sample() {
    each_kind(|kind, schema, document| {
        let places = places(document, schema);
        for place in &places {
            for key in place.schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key)
            {
                // Elements of one list may have different fields.
                let general = |path: &str| path.replace(|c: char| c.is_ascii_digit(), "");
                let is_there = places.iter().any(|other| {
                    let mut document = document.clone();
                    general(&other.path) == general(&place.path)
                        && at(&mut document, &other.way).get(key).is_some()
                });
                assert!(is_there, "{kind} {}.{key}", place.path);
            }
        }
    });
}

/// Shows that a word that is none is refused wherever the definition lists words, and that the words are the same.
#[test]
fn each_list_of_words_is_that_of_the_parser() {
    each_kind(|kind, schema, document| {
        for place in places(document, schema) {
            let Some(words) = place.schema["enum"].as_array() else {
                continue;
            };
            let mut broken = document.clone();
            *at(&mut broken, &place.way) = json!("unheardOf");
            let refusal =
                refused(&broken).unwrap_or_else(|| panic!("{kind} {}: takes any word", place.path));
            assert_eq!(refusal.field, place.path);
            let mut expected: Vec<String> = words
                .iter()
                .map(|word| word.as_str().expect("a word").to_owned())
                .collect();
            expected.sort();
            assert_eq!(
                named(&refusal.message, "is none of "),
                expected,
                "{kind} {}",
                place.path
            );
        }
    });
}

/// Shows that a value of another type is refused wherever the definition names one.
#[test]
fn each_type_is_that_of_the_parser() {
    each_kind(|kind, schema, document| {
        for place in places(document, schema) {
            let wrong = match place.schema["type"].as_str() {
                Some("object" | "array" | "boolean" | "integer") => json!("text"),
                Some("string") => json!({}),
                Some(other) => panic!("{other}: a type that no field has"),
                None => continue,
            };
            let mut broken = document.clone();
            *at(&mut broken, &place.way) = wrong;
            let refusal =
                refused(&broken).unwrap_or_else(|| panic!("{kind} {}: takes any type", place.path));
            assert_eq!(refusal.field, place.path, "{kind}");
        }
    });
}

/// Shows that what the definition asks for is asked for by the parser, and that what the parser asks for is in the definition: as a
/// required field, or in a rule about its object.
#[test]
fn each_field_that_is_needed_is_needed_by_both() {
    each_kind(|kind, schema, document| {
        for place in places(document, schema) {
            let required = place.schema["required"].as_array();
            let is_required =
                |key: &str| required.is_some_and(|keys| keys.iter().any(|one| one == key));
            let has_rules = ["anyOf", "x-kubernetes-validations"]
                .iter()
                .any(|rule| place.schema.get(rule).is_some());
            let mut sample = document.clone();
            let present = keys(
                at(&mut sample, &place.way)
                    .as_object()
                    .unwrap_or(&Map::new()),
            );
            for key in present.iter().filter(|key| {
                place.schema["properties"].get(key).is_some() && !place.path.is_empty()
            }) {
                let mut broken = document.clone();
                let object = at(&mut broken, &place.way).as_object_mut();
                object.expect("an object").remove(key);
                let what = format!("{kind} {}.{key}", place.path);
                match refused(&broken) {
                    Some(refusal) if is_required(key) => {
                        assert_eq!(refusal.field, format!("{}.{key}", place.path));
                    }
                    Some(refusal) => assert!(has_rules, "{what}: only the parser asks: {refusal}"),
                    None => assert!(!is_required(key), "{what}: only the definition asks"),
                }
            }
        }
    });
}

/// Shows that the document that we write of a cluster has no field that its definition lacks.
#[test]
fn what_is_written_of_a_cluster_is_in_its_definition() {
    fn check(value: &Value, schema: &Value, path: &str) {
        let properties = schema["properties"].as_object();
        for (key, value) in value.as_object().into_iter().flatten() {
            if schema.get("additionalProperties").is_some() || path == "metadata" {
                continue;
            }
            let schema = properties.and_then(|properties| properties.get(key));
            let schema = schema.unwrap_or_else(|| panic!("{path}.{key} is in no definition"));
            check(value, schema, key);
        }
        for value in value.as_array().into_iter().flatten() {
            check(value, &schema["items"], path);
        }
    }
    let cluster = Cluster {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        region: Some("eu".to_owned()),
        zone: Some("a".to_owned()),
        zones: vec!["a".to_owned()],
        provider: Some("p".to_owned()),
        taints: vec![Taint {
            key: "k".to_owned(),
            value: "v".to_owned(),
            effect: TaintEffect::NoExecute,
        }],
        cordoned: true,
        ready: false,
        apis: Some(["apps/v1/Deployment".to_owned()].into()),
        pods: Some(9),
        ..Cluster::named(ClusterName::parse("eu-1").expect("valid"))
    };
    let document = cluster.document();
    assert!(matches!(dialect::read(&document), Ok(Input::Cluster(read)) if *read == cluster));
    let (_, definition) = definitions().pop().expect("MemberCluster is the last");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    check(&document, schema, "");
}
