//! Takes away what a manager stated before and states no longer.

use serde_json::Value;

use super::set::{FieldSet, field_step, item_step};
use super::shape::{Items, Shape, Walk, walk};

/// Removes from `object` what is in `before` and in nobody's set today (`owned`, the applier's new set included).
///
/// A mapping or list that this empties becomes null: its content is gone, but whoever owns it as such keeps that.
pub(crate) fn prune(object: &mut Value, shape: &Shape, before: &FieldSet, owned: &FieldSet) {
    let nobodys = FieldSet::default();
    match (walk(object, shape), object) {
        (Walk::Fields, Value::Object(fields)) => {
            fields.retain(|name, value| {
                let step = field_step(name);
                let Some(before) = before.below.get(&step) else {
                    return true;
                };
                let owned = owned.below.get(&step).unwrap_or(&nobodys);
                let (shape, is_struct_field) = shape.field(name);
                // A struct is its owner's as long as anything in it is.
                let counts = |set: &FieldSet| set.own || (is_struct_field && !set.below.is_empty());
                if counts(before) && !counts(owned) {
                    return false;
                }
                let was_empty = is_empty(value);
                prune(value, shape, before, owned);
                if is_empty(value) && !was_empty {
                    *value = Value::Null;
                }
                true
            });
        }
        (Walk::Items(items), Value::Array(list)) => list.retain_mut(|item| {
            let Ok(step) = item_step(item, items) else {
                return true;
            };
            let Some(before) = before.below.get(&step) else {
                return true;
            };
            let owned = owned.below.get(&step).unwrap_or(&nobodys);
            if before.own && !owned.own {
                return false;
            }
            if let Items::Keyed(keyed) = items {
                prune(item, &keyed.item, before, owned);
            }
            true
        }),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shape::builtin;
    use super::*;

    /// What nobody states any more goes; what somebody else owns, or nobody ever owned, stays.
    #[test]
    fn prunes() {
        let containers = |list: Value| json!({"spec": {"containers": list}});
        let web = "k:{\"name\":\"web\"}";
        let cases = [
            (
                "a dropped key",
                json!({"data": {"a": "1", "b": "2"}}),
                json!({"f:data": {"f:a": {}, "f:b": {}}}),
                json!({"f:data": {"f:a": {}}}),
                json!({"data": {"a": "1"}}),
            ),
            (
                "the last key takes the mapping along",
                json!({"data": {"a": "1"}}),
                json!({"f:data": {"f:a": {}}}),
                json!({}),
                json!({}),
            ),
            (
                "somebody else's key",
                json!({"data": {"a": "1"}}),
                json!({"f:data": {"f:a": {}}}),
                json!({"f:data": {"f:a": {}}}),
                json!({"data": {"a": "1"}}),
            ),
            (
                "a key that nobody owned",
                json!({"data": {"a": "1", "z": "9"}}),
                json!({"f:data": {"f:a": {}}}),
                json!({"f:data": {"f:z": {}}}),
                json!({"data": {"z": "9"}}),
            ),
            (
                "a dropped item",
                containers(json!([{"name": "web", "image": "x"}, {"name": "side"}])),
                json!({"f:spec": {"f:containers": {web: {".": {}, "f:name": {}, "f:image": {}}, "k:{\"name\":\"side\"}": {".": {}, "f:name": {}}}}}),
                json!({"f:spec": {"f:containers": {web: {".": {}, "f:name": {}, "f:image": {}}}}}),
                containers(json!([{"name": "web", "image": "x"}])),
            ),
            (
                "an item that somebody else owns too keeps their part",
                containers(json!([{"name": "web", "image": "x", "tty": true}])),
                json!({"f:spec": {"f:containers": {web: {".": {}, "f:name": {}, "f:image": {}}}}}),
                json!({"f:spec": {"f:containers": {web: {".": {}, "f:name": {}, "f:tty": {}}}}}),
                containers(json!([{"name": "web", "tty": true}])),
            ),
        ];
        for (what, mut object, before, owned, expected) in cases {
            prune(
                &mut object,
                &builtin("Pod"),
                &FieldSet::from_json(&before),
                &FieldSet::from_json(&owned),
            );
            assert_eq!(object, expected, "{what}");
        }
    }
}
