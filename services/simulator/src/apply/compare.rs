//! What became different between two states of an object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{FieldSet, field_step, item_step};
use super::shape::{Items, Shape, Walk, walk};

/// The fields that differ.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// New, or with another value.
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

/// Structs that are there even in an empty object of a built-in kind: adding something in them does not add them.
const ALWAYS_THERE: [&str; 7] = [
    "metadata",
    "spec",
    "template",
    "strategy",
    "updateStrategy",
    "jobTemplate",
    "status",
];

/// Compares two states; `None` is an object that is not there.
///
/// `always_there` says how deep the structs of an empty object reach.
pub(crate) fn compare(
    old: &Value,
    new: &Value,
    shape: &Shape,
    always_there: AlwaysThere,
) -> Difference {
    let mut difference = Difference::default();
    visit(
        Some(old),
        Some(new),
        shape,
        always_there,
        &mut difference.changed,
        &mut difference.removed,
    );
    difference
}

/// Which structs exist even in an empty object of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlwaysThere {
    /// A built-in kind: `spec`, `spec.template` and the like.
    Structs,
    /// A custom kind: `metadata` only.
    Metadata,
    /// Below anything else: nothing.
    Nothing,
}

impl AlwaysThere {
    fn below(self, field: &str) -> Option<AlwaysThere> {
        match self {
            AlwaysThere::Structs if ALWAYS_THERE.contains(&field) => Some(AlwaysThere::Structs),
            AlwaysThere::Metadata if field == "metadata" => Some(AlwaysThere::Structs),
            _ => None,
        }
    }
}

fn visit(
    old: Option<&Value>,
    new: Option<&Value>,
    shape: &Shape,
    there: AlwaysThere,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    if old == new {
        return;
    }
    let walked = match (old, new) {
        // Null is an empty mapping or list where the other is one.
        (Some(Value::Null), Some(only)) | (Some(only), Some(Value::Null)) => walk(only, shape),
        (Some(old), Some(new)) => match (walk(old, shape), walk(new, shape)) {
            (Walk::Fields, Walk::Fields) => Walk::Fields,
            (Walk::Items(items), Walk::Items(_)) => Walk::Items(items),
            (Walk::Leaf, Walk::Leaf) => Walk::Leaf,
            _ => {
                // Another form altogether: all of the old is gone and all of the new is there.
                visit(
                    Some(old),
                    None,
                    shape,
                    AlwaysThere::Nothing,
                    changed,
                    removed,
                );
                visit(
                    None,
                    Some(new),
                    shape,
                    AlwaysThere::Nothing,
                    changed,
                    removed,
                );
                return;
            }
        },
        (Some(only), None) | (None, Some(only)) => walk(only, shape),
        (None, None) => return,
    };
    match walked {
        Walk::Leaf if new.is_none() => removed.own = true,
        Walk::Leaf => changed.own = true,
        Walk::Fields => fields(old, new, shape, there, changed, removed),
        Walk::Items(items) => list(old, new, items, changed, removed),
    }
}

fn fields(
    old: Option<&Value>,
    new: Option<&Value>,
    shape: &Shape,
    there: AlwaysThere,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    let old = old.and_then(Value::as_object);
    let new = new.and_then(Value::as_object);
    for (name, value) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            child(
                field_step(name),
                Some(value),
                None,
                shape.field(name).0,
                there.below(name),
                changed,
                removed,
            );
        }
    }
    for (name, value) in new.into_iter().flatten() {
        let before = old.and_then(|old| old.get(name));
        if before != Some(value) {
            child(
                field_step(name),
                before,
                Some(value),
                shape.field(name).0,
                there.below(name),
                changed,
                removed,
            );
        }
    }
}

fn list(
    old: Option<&Value>,
    new: Option<&Value>,
    items: Items<'_>,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    let by_step = |list: Option<&Value>| -> BTreeMap<Box<str>, Value> {
        let list = list.and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|item| Some((item_step(item, items).ok()?, item.clone())))
            .collect()
    };
    let old = by_step(old);
    let new = by_step(new);
    for (step, item) in &old {
        if !new.contains_key(step) {
            child(
                step.clone(),
                Some(item),
                None,
                items.shape(),
                None,
                changed,
                removed,
            );
        }
    }
    for (step, item) in &new {
        child(
            step.clone(),
            old.get(step),
            Some(item),
            items.shape(),
            None,
            changed,
            removed,
        );
    }
}

fn child(
    step: Box<str>,
    old: Option<&Value>,
    new: Option<&Value>,
    shape: &Shape,
    there: Option<AlwaysThere>,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
) {
    let mut changed_below = FieldSet::default();
    let mut removed_below = FieldSet::default();
    visit(
        old,
        new,
        shape,
        there.unwrap_or(AlwaysThere::Nothing),
        &mut changed_below,
        &mut removed_below,
    );
    // A whole that came or went is itself different, apart from what is in it.
    if there.is_none() {
        changed_below.own |= old.is_none() && new.is_some();
        removed_below.own |= old.is_some() && new.is_none();
    }
    if !changed_below.is_empty() {
        changed.below.insert(step.clone(), changed_below);
    }
    if !removed_below.is_empty() {
        removed.below.insert(step, removed_below);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shape::builtin;
    use super::*;

    /// Each difference is named at the field that is owned.
    #[test]
    fn differences() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let cases = [
            (
                json!({"spec": {"a": 1}}),
                json!({"spec": {"a": 2}}),
                vec![".spec.a"],
                vec![],
            ),
            (
                json!({"spec": {"a": 1}}),
                json!({"spec": {"b": 1}}),
                vec![".spec.b"],
                vec![".spec.a"],
            ),
            (
                json!({}),
                json!({"metadata": {"labels": {"a": "1"}}}),
                vec![".metadata.labels", ".metadata.labels.a"],
                vec![],
            ),
            (
                json!({"spec": {"nodeSelector": {"a": "1"}}}),
                json!({"spec": {"nodeSelector": {"b": "1"}}}),
                vec![".spec.nodeSelector"],
                vec![],
            ),
            (
                pod(json!([{"name": "a", "image": "1"}, {"name": "b"}])),
                pod(json!([{"name": "a", "image": "2"}])),
                vec![".spec.containers[name=\"a\"].image"],
                vec![
                    ".spec.containers[name=\"b\"]",
                    ".spec.containers[name=\"b\"].name",
                ],
            ),
            (
                json!({"spec": {"args": ["a"]}}),
                json!({"spec": {"args": ["a", "b"]}}),
                vec![".spec.args"],
                vec![],
            ),
            (
                json!({"spec": {"x": 1}}),
                json!({"spec": {"x": {"y": 1}}}),
                vec![".spec.x.y"],
                vec![".spec.x"],
            ),
            (json!({"spec": 1}), json!({"spec": 1}), vec![], vec![]),
        ];
        for (old, new, changed, removed) in cases {
            let difference = compare(&old, &new, &builtin("Pod"), AlwaysThere::Structs);
            assert_eq!(difference.changed.paths(), changed, "{old} to {new}");
            assert_eq!(difference.removed.paths(), removed, "{old} to {new}");
        }
    }
}
