//! A set of fields, as `metadata.managedFields` writes it down (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::shape::{Items, Keyed, Shape, Walk, walk};

/// A set of paths into an object.
///
/// The steps are kept as `FieldsV1` spells them: `f:replicas`, `k:{"name":"web"}`, `v:"x"`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the path that leads here is itself in the set.
    pub(crate) own: bool,
    pub(crate) below: BTreeMap<Box<str>, FieldSet>,
}

/// A list item that cannot be told apart from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadItem {
    /// The list, as `.spec.template.spec.containers`.
    pub(crate) list: String,
    pub(crate) problem: String,
}

impl FieldSet {
    /// The fields that a configuration states.
    pub(crate) fn stated_by(value: &Value, shape: &Shape) -> Result<FieldSet, BadItem> {
        let mut set = FieldSet::default();
        set.state(value, shape, &mut String::new())?;
        Ok(set)
    }

    fn state(&mut self, value: &Value, shape: &Shape, path: &mut String) -> Result<(), BadItem> {
        match (walk(value, shape), value) {
            (Walk::Fields, Value::Object(fields)) => {
                for (name, value) in fields {
                    let (shape, is_struct_field) = shape.field(name);
                    let below = self.below.entry(field_step(name)).or_default();
                    let length = path.len();
                    path.push('.');
                    path.push_str(name);
                    below.state(value, shape, path)?;
                    path.truncate(length);
                    let empty = value.as_object().is_some_and(Map::is_empty) || value.is_null();
                    if empty || !is_struct_field {
                        below.own = true;
                    }
                    if below.is_empty() {
                        self.below.remove(&field_step(name));
                    }
                }
            }
            (Walk::Items(items), Value::Array(list)) => {
                for (index, item) in list.iter().enumerate() {
                    let step = item_step(item, items).map_err(|problem| BadItem {
                        list: path.clone(),
                        problem: format!("element {index}: {problem}"),
                    })?;
                    if self.below.contains_key(&step) {
                        let problem = format!("duplicate entries for key {}", spell(&step));
                        return Err(BadItem {
                            list: path.clone(),
                            problem,
                        });
                    }
                    let length = path.len();
                    path.push_str(&spell(&step));
                    let below = self.below.entry(step).or_default();
                    below.own = true;
                    if let Items::Keyed(keyed) = items {
                        below.state(item, &keyed.item, path)?;
                    }
                    path.truncate(length);
                }
            }
            _ => self.own = true,
        }
        Ok(())
    }

    /// Reads `fieldsV1`; whatever does not look like it is left out.
    pub(crate) fn from_json(value: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        let Some(fields) = value.as_object() else {
            return set;
        };
        for (step, below) in fields {
            if step == "." {
                set.own = true;
                continue;
            }
            let mut child = FieldSet::from_json(below);
            if child.below.is_empty() {
                child.own = true;
            }
            set.below.insert(step.as_str().into(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.own && !self.below.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            fields.insert(step.to_string(), below.to_json());
        }
        Value::Object(fields)
    }

    /// Whether nothing is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    /// Whether everything in `other` is in this set too.
    pub(crate) fn covers(&self, other: &FieldSet) -> bool {
        (self.own || !other.own)
            && other
                .below
                .iter()
                .all(|(step, theirs)| self.below.get(step).is_some_and(|ours| ours.covers(theirs)))
    }

    /// Adds what is in `other`.
    pub(crate) fn add(&mut self, other: FieldSet) {
        self.own |= other.own;
        for (step, theirs) in other.below {
            self.below.entry(step).or_default().add(theirs);
        }
    }

    /// Takes away what is in `other`, path by path.
    pub(crate) fn subtract(&mut self, other: &FieldSet) {
        self.own &= !other.own;
        for (step, theirs) in &other.below {
            if let Some(ours) = self.below.get_mut(step) {
                ours.subtract(theirs);
                if ours.is_empty() {
                    self.below.remove(step);
                }
            }
        }
    }

    /// What is in both.
    pub(crate) fn intersect(&self, other: &FieldSet) -> FieldSet {
        let mut both = FieldSet {
            own: self.own && other.own,
            below: BTreeMap::new(),
        };
        for (step, ours) in &self.below {
            if let Some(theirs) = other.below.get(step) {
                let common = ours.intersect(theirs);
                if !common.is_empty() {
                    both.below.insert(step.clone(), common);
                }
            }
        }
        both
    }

    /// Takes away everything under a field, the field included.
    pub(crate) fn remove(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let step = field_step(first);
        if rest.is_empty() {
            self.below.remove(&step);
        } else if let Some(below) = self.below.get_mut(&step) {
            below.remove(rest);
            if below.is_empty() {
                self.below.remove(&step);
            }
        }
    }

    /// Every path in the set, spelled as the API server does (`.spec.containers[name="web"].image`).
    pub(crate) fn paths(&self) -> Vec<String> {
        fn collect(set: &FieldSet, prefix: &str, paths: &mut Vec<String>) {
            if set.own {
                paths.push(prefix.to_owned());
            }
            for (step, below) in &set.below {
                collect(below, &format!("{prefix}{}", spell(step)), paths);
            }
        }
        let mut paths = Vec::new();
        collect(self, "", &mut paths);
        paths
    }
}

/// The step to a field.
pub(crate) fn field_step(name: &str) -> Box<str> {
    let mut step = String::with_capacity(name.len() + 2);
    step.push_str("f:");
    step.push_str(name);
    step.into_boxed_str()
}

/// The step to an item of a list.
pub(crate) fn item_step(item: &Value, items: Items<'_>) -> Result<Box<str>, String> {
    match items {
        Items::Set if item.is_object() || item.is_array() => {
            Err("associative list without keys has an element that's not a scalar".into())
        }
        Items::Set => Ok(format!("v:{item}").into_boxed_str()),
        Items::Keyed(keyed) => key_step(item, keyed),
    }
}

fn key_step(item: &Value, keyed: &Keyed) -> Result<Box<str>, String> {
    let Some(fields) = item.as_object() else {
        return Err("associative list with keys may not have non-map elements".into());
    };
    let mut step = String::from("k:{");
    let mut stated = false;
    for (index, key) in keyed.keys.iter().enumerate() {
        let value = match (fields.get(&key.name), &key.default) {
            (Some(value), _) if !value.is_null() => value,
            (_, Some(default)) => default,
            _ => continue,
        };
        stated = true;
        if index > 0 && step.len() > 3 {
            step.push(',');
        }
        step.push_str(&Value::from(key.name.as_str()).to_string());
        step.push(':');
        step.push_str(&value.to_string());
    }
    if !stated {
        let names: Vec<_> = keyed
            .keys
            .iter()
            .map(|key| format!("{:?}", key.name))
            .collect();
        return Err(format!(
            "associative list with keys has an element that omits key field {} (and doesn't have default value)",
            names.join(", ")
        ));
    }
    step.push('}');
    Ok(step.into_boxed_str())
}

/// A step as messages spell it.
fn spell(step: &str) -> String {
    match step.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("i:", index)) => format!("[{index}]"),
        Some(("k:", keys)) => match serde_json::from_str::<BTreeMap<String, Value>>(keys) {
            Ok(keys) => {
                let pairs: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("[{}]", pairs.join(","))
            }
            Err(_) => format!("[{keys}]"),
        },
        _ => step.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::shape::builtin;
    use super::*;

    fn deployment() -> Value {
        json!({
            "metadata": {"labels": {"app": "web"}, "finalizers": ["a/b"]},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "strategy": {}, "template": {"spec": {"containers": [
                {"name": "web", "image": "a", "args": ["x"], "ports": [{"containerPort": 80}]}]}}}
        })
    }

    /// A configuration's fields come out as an API server writes them.
    #[test]
    fn stated_fields() {
        let set = FieldSet::stated_by(&deployment(), &builtin("Deployment")).unwrap();
        let expected = json!({
            "f:metadata": {"f:finalizers": {"v:\"a/b\"": {}}, "f:labels": {"f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:strategy": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"web\"}": {".": {}, "f:args": {}, "f:image": {}, "f:name": {}, "f:ports": {
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}
        });
        assert_eq!(set.to_json(), expected);
        assert_eq!(FieldSet::from_json(&expected), set);
    }

    /// Paths in messages look like the API server's.
    #[test]
    fn spelled_paths() {
        let set = FieldSet::stated_by(&deployment(), &builtin("Deployment")).unwrap();
        let paths = set.paths();
        for expected in [
            ".metadata.finalizers[=\"a/b\"]",
            ".spec.replicas",
            ".spec.template.spec.containers[name=\"web\"].image",
            ".spec.template.spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
        ] {
            assert!(
                paths.iter().any(|path| path == expected),
                "{expected} is not in {paths:?}"
            );
        }
    }

    /// Union, difference and intersection go path by path.
    #[test]
    fn algebra() {
        let set = |value: Value| FieldSet::from_json(&value);
        let left = set(json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
        let right = set(json!({"f:b": {"f:c": {}}, "f:d": {}}));
        assert_eq!(left.intersect(&right), set(json!({"f:b": {"f:c": {}}})));
        let mut difference = left.clone();
        difference.subtract(&right);
        assert_eq!(difference, set(json!({"f:a": {}, "f:b": {}})));
        let mut union = left.clone();
        union.add(right.clone());
        assert!(union.covers(&left) && union.covers(&right));
        assert!(!left.covers(&right) && !left.covers(&union));
        assert_eq!(
            union,
            set(json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {}}))
        );
        let mut removed = left;
        removed.remove(&["b", "c"]);
        assert_eq!(removed, set(json!({"f:a": {}, "f:b": {}})));
    }

    /// Items that cannot be told apart are named.
    #[test]
    fn bad_items() {
        for (containers, problem) in [
            (
                json!([{"name": "a"}, {"name": "a"}]),
                "duplicate entries for key [name=\"a\"]",
            ),
            (
                json!([{"image": "x"}]),
                "element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)",
            ),
            (
                json!(["x"]),
                "element 0: associative list with keys may not have non-map elements",
            ),
        ] {
            let pod = json!({"spec": {"containers": containers}});
            let bad = FieldSet::stated_by(&pod, &builtin("Pod")).unwrap_err();
            assert_eq!(
                bad,
                BadItem {
                    list: ".spec.containers".into(),
                    problem: problem.into()
                }
            );
        }
    }
}
