//! Lays a configuration over a live object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::set::item_step;
use super::shape::{Items, Shape, Walk, walk};

/// Lays `config` over `live`: what the configuration states wins, everything else stays.
pub(crate) fn merge(live: &mut Value, config: Value, shape: &Shape) {
    match (walk(&config, shape), walk(live, shape)) {
        (Walk::Fields, Walk::Fields) => {
            if let (Value::Object(live), Value::Object(config)) = (live, config) {
                for (name, value) in config {
                    match live.get_mut(&name) {
                        Some(old) => merge(old, value, shape.field(&name).0),
                        None => {
                            live.insert(name, value);
                        }
                    }
                }
            }
        }
        (Walk::Items(items), Walk::Items(_)) => {
            if let (Value::Array(old), Value::Array(config)) = (&mut *live, config) {
                *live = Value::Array(merge_items(std::mem::take(old), config, items));
            }
        }
        _ => *live = config,
    }
}

/// Merges two lists item by item. The configuration's order wins; an item that only the live list has keeps its place between them.
fn merge_items(live: Vec<Value>, config: Vec<Value>, items: Items<'_>) -> Vec<Value> {
    let steps = |list: &[Value]| -> Vec<Box<str>> {
        list.iter()
            .map(|item| {
                item_step(item, items).unwrap_or_else(|_| item.to_string().into_boxed_str())
            })
            .collect()
    };
    let live_order = steps(&live);
    let config_order = steps(&config);
    let in_config: BTreeSet<&str> = config_order.iter().map(|step| &**step).collect();
    let in_live: BTreeSet<&str> = live_order.iter().map(|step| &**step).collect();
    let mut live_items: BTreeMap<&str, Value> =
        live_order.iter().map(|step| &**step).zip(live).collect();
    let mut config_items = config.into_iter();
    let mut shared = config_order
        .iter()
        .map(|step| &**step)
        .filter(|step| in_live.contains(step));
    let mut next_shared = shared.next();

    let mut merged = Vec::with_capacity(live_order.len() + config_order.len());
    let mut from_live = live_order.iter().map(|step| &**step).peekable();
    let mut from_config = config_order.iter().map(|step| &**step).peekable();
    loop {
        match (from_live.peek().copied(), from_config.peek().copied()) {
            // An item of both, but not the next one: it comes where the configuration has it.
            (Some(ours), Some(theirs))
                if ours != theirs && in_config.contains(ours) && next_shared != Some(ours) =>
            {
                from_live.next();
            }
            (Some(ours), _) if !in_config.contains(ours) => {
                merged.extend(live_items.remove(ours));
                from_live.next();
            }
            (ours, Some(theirs)) => {
                if ours == Some(theirs) {
                    from_live.next();
                }
                from_config.next();
                if next_shared == Some(theirs) {
                    next_shared = shared.next();
                }
                let Some(config_item) = config_items.next() else {
                    continue;
                };
                merged.push(match live_items.remove(theirs) {
                    Some(mut item) => {
                        merge(&mut item, config_item, items.shape());
                        item
                    }
                    None => config_item,
                });
            }
            (Some(_), None) => {
                from_live.next();
            }
            (None, None) => return merged,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shape::builtin;
    use super::*;

    /// Mappings merge by key, keyed lists by item, other lists as a whole.
    #[test]
    fn merges() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let cases = [
            (
                json!({"data": {"a": "1", "b": "2"}}),
                json!({"data": {"b": "3"}}),
                json!({"data": {"a": "1", "b": "3"}}),
            ),
            (
                pod(json!([{"name": "a", "image": "1", "tty": true}, {"name": "b"}])),
                pod(json!([{"name": "a", "image": "2", "args": ["x"]}])),
                pod(
                    json!([{"name": "a", "image": "2", "tty": true, "args": ["x"]}, {"name": "b"}]),
                ),
            ),
            (
                pod(json!([{"name": "a", "args": ["x", "y"]}])),
                pod(json!([{"name": "a", "args": ["z"]}])),
                pod(json!([{"name": "a", "args": ["z"]}])),
            ),
            (
                json!({"spec": {"nodeSelector": {"a": "1"}}}),
                json!({"spec": {"nodeSelector": {"b": "2"}}}),
                json!({"spec": {"nodeSelector": {"b": "2"}}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["c"]}}),
                json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
            ),
        ];
        for (mut live, config, expected) in cases {
            merge(&mut live, config, &builtin("Pod"));
            assert_eq!(live, expected);
        }
    }

    /// The configuration's order wins, and live items keep their place.
    #[test]
    fn order_of_items() {
        for (live, config, expected) in [
            ("abc", "cba", "cba"),
            ("abc", "c", "abc"),
            ("abc", "xb", "axbc"),
            ("abc", "ca", "bca"),
            ("", "ab", "ab"),
            ("ab", "", "ab"),
            ("a", "ba", "ba"),
        ] {
            let list = |names: &str| {
                names
                    .chars()
                    .map(|name| json!(name.to_string()))
                    .collect::<Vec<_>>()
            };
            let merged: String = merge_items(list(live), list(config), Items::Set)
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(merged, expected, "{live} + {config}");
        }
    }
}
