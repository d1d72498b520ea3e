//! Compares two JSON documents field by field.
//!
//! Elements of lists belong together by their `name` where all of them have one and none stands twice (containers, ports, environment), else
//! by their place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::field::child_path;

/// A field that is not the same in both documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its path, in the form of refusals: `spec.containers[0].image`, keys with dots as `["a.b/c"]`. The index of a list's element is that in
    /// the later document, or in the earlier where the element is gone. Empty for the document as a whole.
    pub field: String,
    /// What stands there in the earlier document; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What stands there in the later document; none where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// What differs between two documents, in the order of their fields; what is added or gone as a whole is one difference.
///
/// A field that is null counts as absent, as in Kubernetes.
pub fn fields(from: &Value, to: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(from), Some(to), &mut found);
    found
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Difference>) {
    let from = from.filter(|value| !value.is_null());
    let to = to.filter(|value| !value.is_null());
    match (from, to) {
        (None, None) => {}
        (Some(from), Some(to)) if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => objects(path, from, to, found),
        (Some(Value::Array(from)), Some(Value::Array(to))) => lists(path, from, to, found),
        (from, to) => found.push(Difference {
            field: path.to_owned(),
            from: from.cloned(),
            to: to.cloned(),
        }),
    }
}

fn objects(
    path: &str,
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let mut keys: Vec<&String> = from.keys().chain(to.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        compare(&child_path(path, key), from.get(key), to.get(key), found);
    }
}

fn lists(path: &str, from: &[Value], to: &[Value], found: &mut Vec<Difference>) {
    if let (Some(before), Some(after)) = (by_name(from), by_name(to))
        && in_same_order(&before, &after)
    {
        for (name, index) in &before {
            if !after.contains_key(name) {
                compare(&format!("{path}[{index}]"), from.get(*index), None, found);
            }
        }
        for (index, element) in to.iter().enumerate() {
            let earlier = name(element).and_then(|name| before.get(name));
            let earlier = earlier.and_then(|index| from.get(*index));
            compare(&format!("{path}[{index}]"), earlier, Some(element), found);
        }
        return;
    }
    for index in 0..from.len().max(to.len()) {
        compare(
            &format!("{path}[{index}]"),
            from.get(index),
            to.get(index),
            found,
        );
    }
}

fn name(element: &Value) -> Option<&str> {
    element.get("name").and_then(Value::as_str)
}

/// The places of a list's elements by name; none where one has no name, or a name stands twice.
fn by_name(list: &[Value]) -> Option<BTreeMap<&str, usize>> {
    let mut places = BTreeMap::new();
    for (index, element) in list.iter().enumerate() {
        if places.insert(name(element)?, index).is_some() {
            return None;
        }
    }
    Some(places)
}

/// Whether the names that stand in both lists do so in the same order: else their order is what differs.
fn in_same_order(before: &BTreeMap<&str, usize>, after: &BTreeMap<&str, usize>) -> bool {
    let mut common: Vec<(usize, usize)> = before
        .iter()
        .filter_map(|(name, index)| Some((*index, *after.get(name)?)))
        .collect();
    common.sort_unstable();
    common.windows(2).all(|pair| pair[0].1 < pair[1].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_field_that_differs_is_named_with_what_stood_there_and_stands_there() {
        let container = |name: &str, image: &str| json!({"name": name, "image": image});
        let table = [
            (json!({"a": 1}), json!({"a": 1}), json!([])),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 3, "c": {"d": 4}}),
                json!([
                    {"field": "a", "from": 1}, {"field": "b", "from": 2, "to": 3}, {"field": "c", "to": {"d": 4}},
                ]),
            ),
            (json!({"a": null}), json!({}), json!([])),
            (
                json!({"labels": {"a.b/c": "x"}}),
                json!({"labels": {"a.b/c": "y"}}),
                json!([{"field": "labels[\"a.b/c\"]", "from": "x", "to": "y"}]),
            ),
            (
                json!({"l": [container("web", "w:1"), container("log", "l:1")]}),
                json!({"l": [container("proxy", "p:1"), container("web", "w:2")]}),
                json!([
                    {"field": "l[1]", "from": container("log", "l:1")},
                    {"field": "l[0]", "to": container("proxy", "p:1")},
                    {"field": "l[1].image", "from": "w:1", "to": "w:2"},
                ]),
            ),
            // The order of names differs: place by place.
            (
                json!([container("a", "1"), container("b", "1")]),
                json!([container("b", "1"), container("a", "1")]),
                json!([
                    {"field": "[0].name", "from": "a", "to": "b"}, {"field": "[1].name", "from": "b", "to": "a"},
                ]),
            ),
            (
                json!({"l": [1, 2]}),
                json!({"l": [1, 3, 4]}),
                json!([{"field": "l[1]", "from": 2, "to": 3}, {"field": "l[2]", "to": 4}]),
            ),
            (
                json!({"a": {"b": 1}}),
                json!({"a": [1]}),
                json!([{"field": "a", "from": {"b": 1}, "to": [1]}]),
            ),
            (
                json!(1),
                json!("1"),
                json!([{"field": "", "from": 1, "to": "1"}]),
            ),
        ];
        for (from, to, expected) in table {
            let found = serde_json::to_value(fields(&from, &to)).expect("serializes");
            assert_eq!(found, expected, "{from} to {to}");
        }
    }
}
