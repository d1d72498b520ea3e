//! What one manager states of a live object: the object as it was applied last, read back from what the API server keeps in `managedFields`.
//!
//! Fields are named there as in structured-merge-diff: `f:<name>`, `k:<keys as JSON>` for an element of a keyed list, `v:<value as JSON>` for
//! one of a set, `i:<index>`; an empty object stands for the whole value, and `.` for the container itself.

use serde_json::{Map, Value, json};

/// What `manager` states of `live` by server-side apply, with kind, name and namespace; none where the server records nothing of it.
pub fn by(live: &Value, manager: &str) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let fields: Vec<&Map<String, Value>> = entries
        .iter()
        .filter(|entry| entry["manager"] == manager && entry["operation"] == "Apply")
        .filter(|entry| entry["subresource"].as_str().is_none_or(str::is_empty))
        .filter_map(|entry| entry["fieldsV1"].as_object())
        .collect();
    if fields.is_empty() {
        return None;
    }
    let mut stated = pick(live, &fields);
    if !stated.is_object() {
        return None;
    }
    for field in ["apiVersion", "kind"] {
        stated[field] = live[field].clone();
    }
    if !stated["metadata"].is_object() {
        stated["metadata"] = json!({});
    }
    for field in ["name", "namespace"] {
        if let Some(value) = live["metadata"].get(field) {
            stated["metadata"][field] = value.clone();
        }
    }
    Some(stated)
}

/// The part of `live` that one of `fields` names.
fn pick(live: &Value, fields: &[&Map<String, Value>]) -> Value {
    if fields.iter().all(|fields| fields.is_empty()) {
        return live.clone();
    }
    match live {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let below = below(fields, |step| step == format!("f:{name}"));
                (!below.is_empty()).then(|| (name.clone(), pick(value, &below)))
            };
            Value::Object(members.iter().filter_map(member).collect())
        }
        Value::Array(elements) => {
            let element = |(index, value): (usize, &Value)| {
                let below = below(fields, |step| names(step, index, value));
                (!below.is_empty()).then(|| pick(value, &below))
            };
            Value::Array(elements.iter().enumerate().filter_map(element).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => live.clone(),
    }
}

/// What stands in `fields` behind the steps that are meant.
fn below<'a>(
    fields: &[&'a Map<String, Value>],
    is_meant: impl Fn(&str) -> bool,
) -> Vec<&'a Map<String, Value>> {
    fields
        .iter()
        .flat_map(|fields| fields.iter())
        .filter(|(step, _)| is_meant(step))
        .filter_map(|(_, below)| below.as_object())
        .collect()
}

/// Whether a step names this element of a list.
fn names(step: &str, index: usize, element: &Value) -> bool {
    let Some((form, text)) = step.split_once(':') else {
        return false;
    };
    match form {
        "k" => serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|keys| {
            !keys.is_empty()
                && keys
                    .iter()
                    .all(|(key, value)| element.get(key) == Some(value))
        }),
        "v" => serde_json::from_str::<Value>(text).is_ok_and(|value| value == *element),
        "i" => text == index.to_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(fields: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "1", "labels": {"app": "web", "theirs": "x"}, "finalizers": ["a", "b"],
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                    {"manager": "us", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
                    {"manager": "us", "operation": "Apply", "fieldsV1": fields},
                ],
            },
            "spec": {
                "replicas": 3, "paused": true, "volumes": [{"name": "tmp", "emptyDir": {}}],
                "containers": [{"name": "log", "image": "l:1"}, {"name": "web", "image": "w:1", "terminationMessagePath": "/dev/x"}],
            },
            "status": {"ready": 3},
        })
    }

    #[test]
    fn only_what_the_manager_applied_is_read_back() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"b\"": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}},
            },
        });
        assert_eq!(
            by(&live(fields), "us"),
            Some(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "finalizers": ["b"]},
                "spec": {
                    "replicas": 3, "volumes": [{"name": "tmp", "emptyDir": {}}], "containers": [{"name": "web", "image": "w:1"}],
                },
            }))
        );
    }

    #[test]
    fn a_list_or_an_object_that_is_stated_as_a_whole_is_read_as_a_whole() {
        let fields = json!({"f:spec": {"f:containers": {}, "f:volumes": {"i:0": {}}}});
        let stated = by(&live(fields), "us").expect("stated");
        let whole = live(json!({}));
        assert_eq!(stated["spec"]["containers"], whole["spec"]["containers"]);
        assert_eq!(stated["spec"]["volumes"], whole["spec"]["volumes"]);
    }

    #[test]
    fn where_nothing_is_recorded_or_it_cannot_be_read_nothing_is_stated() {
        assert_eq!(by(&live(json!({})), "nobody"), None);
        for hostile in [
            json!({}),
            json!(3),
            json!({"metadata": {"managedFields": "x"}}),
            live(json!("f:spec")),
        ] {
            assert_eq!(by(&hostile, "us"), None, "{hostile}");
        }
        let odd =
            live(json!({"f:spec": {"f:containers": {"k:no json": {}, "q": {}}, "f:none": 3}}));
        assert_eq!(
            by(&odd, "us").expect("stated")["spec"],
            json!({"containers": []})
        );
    }
}
