//! Whether a live object already says everything that a manifest would set.

use serde_json::Value;

/// The JSON pointer of the first field that `wanted` would change in `live`; none where it says all of it already.
///
/// Fields of objects that only the live object has do not matter. Lists must be equally long and agree item by item: without the kind's schema nobody
/// knows whether more items would stay, so more is a difference. An empty object or list that the live object lacks sets nothing.
pub(super) fn first_difference(wanted: &Value, live: &Value) -> Option<String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().find_map(|(field, wanted)| {
                let below = match live.get(field) {
                    Some(live) => first_difference(wanted, live),
                    None => (!sets_nothing(wanted)).then(String::new),
                };
                below
                    .map(|below| format!("/{}{below}", field.replace('~', "~0").replace('/', "~1")))
            })
        }
        (Value::Array(wanted), Value::Array(live)) => {
            if wanted.len() != live.len() {
                return Some(String::new());
            }
            wanted
                .iter()
                .zip(live)
                .enumerate()
                .find_map(|(index, (wanted, live))| {
                    first_difference(wanted, live).map(|below| format!("/{index}{below}"))
                })
        }
        (Value::Number(wanted), Value::Number(live)) if wanted.as_f64() == live.as_f64() => None,
        _ => (wanted != live).then(String::new),
    }
}

/// What of `live` stands where `wanted` says something: lists item by item where they are equally long, else whole.
pub(super) fn of_live(wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            let field = |(field, wanted): (&String, &Value)| {
                Some((field.clone(), of_live(wanted, live.get(field)?)))
            };
            Value::Object(wanted.iter().filter_map(field).collect())
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            let items = wanted.iter().zip(live);
            Value::Array(items.map(|(wanted, live)| of_live(wanted, live)).collect())
        }
        _ => live.clone(),
    }
}

fn sets_nothing(wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_field_that_would_change_is_named() {
        let live = json!({
            "metadata": {"labels": {"app": "web", "a/b": "x"}, "uid": "1"},
            "spec": {"replicas": 3, "ratio": 1.0, "list": [{"name": "a", "default": true}, {"name": "b"}], "text": "x"},
        });
        for (wanted, expected) in [
            (json!({}), None),
            (json!({"spec": {"replicas": 3}}), None),
            (json!({"spec": {"ratio": 1}}), None),
            (
                json!({"spec": {"list": [{"name": "a"}, {"name": "b"}]}}),
                None,
            ),
            (
                json!({"metadata": {"annotations": {}, "ownerReferences": []}, "x": null}),
                None,
            ),
            (json!({"spec": {"replicas": 4}}), Some("/spec/replicas")),
            (json!({"spec": {"replicas": "3"}}), Some("/spec/replicas")),
            (json!({"spec": {"text": null}}), Some("/spec/text")),
            (json!({"spec": {"paused": false}}), Some("/spec/paused")),
            (
                json!({"spec": {"list": [{"name": "a"}]}}),
                Some("/spec/list"),
            ),
            (
                json!({"spec": {"list": [{"name": "a"}, {"name": "c"}]}}),
                Some("/spec/list/1/name"),
            ),
            (
                json!({"metadata": {"labels": {"a/b": "y"}}}),
                Some("/metadata/labels/a~1b"),
            ),
            (json!({"spec": []}), Some("/spec")),
        ] {
            assert_eq!(
                first_difference(&wanted, &live).as_deref(),
                expected,
                "{wanted}"
            );
        }
    }
}
