//! JSON patches as Karmada's engine (evanphx/json-patch v5) applies them: to the object, and inside strings that hold JSON or YAML.
//!
//! `replace` and `remove` of what is not there fail; an index may count from the end (`-1` is the last); no value means null. Own code,
//! because the patch library of the other dialects knows no such index and sorts keys.

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::sealed;

use super::tree::Tree;
use super::{Operator, ReadYaml, yaml};

/// One operation on a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patch {
    operator: Operator,
    path: String,
    tokens: Vec<String>,
    value: Value,
}

impl Patch {
    /// Reads `{operator, path, value}`, the path under the name `path`.
    pub(super) fn read(field: &Field<'_>, path: &str) -> Result<Self, Refusal> {
        let path = field.get(path);
        let text = path.string()?;
        if !text.is_empty() && !text.starts_with('/') {
            return Err(path.refuse(format!(
                "{text:?} is no JSON pointer: it must begin with '/'"
            )));
        }
        Ok(Self {
            operator: Operator::read(&field.get("operator"))?,
            path: text.to_owned(),
            tokens: tokens(text),
            value: field
                .value()
                .and_then(|patch| patch.get("value"))
                .cloned()
                .unwrap_or(Value::Null),
        })
    }

    /// Applies it to an object.
    pub(super) fn apply_to(&self, object: &mut Value) -> Result<(), String> {
        let mut tree = Tree::from(&*object);
        self.apply(&mut tree)?;
        *object = tree.into();
        if object.is_object() {
            Ok(())
        } else {
            Err(format!("{:?}: what is left is no object", self.path))
        }
    }

    fn apply(&self, tree: &mut Tree) -> Result<(), String> {
        let fail = |text: &str| Err(format!("{}: {text}", self.path));
        let value = || Tree::from(&self.value);
        let Some((last, parents)) = self.tokens.split_last() else {
            return match self.operator {
                Operator::Add | Operator::Replace => {
                    *tree = value();
                    Ok(())
                }
                Operator::Remove => fail("the whole cannot be removed"),
            };
        };
        let mut parent = tree;
        for token in parents {
            parent = match child(parent, token) {
                Some(child) => child,
                None => return fail(&format!("there is no {token:?} on the way")),
            };
        }
        match parent {
            Tree::Object(entries) => {
                let found = entries.iter().position(|(key, _)| key == last);
                match (self.operator, found) {
                    (Operator::Add | Operator::Replace, Some(index)) => entries[index].1 = value(),
                    (Operator::Add, None) => entries.push((last.clone(), value())),
                    (Operator::Remove, Some(index)) => {
                        entries.remove(index);
                    }
                    (Operator::Replace | Operator::Remove, None) => {
                        return fail("there is nothing to change");
                    }
                }
                Ok(())
            }
            Tree::List(list) => {
                let found = match (self.operator, last.as_str()) {
                    (Operator::Add, "-") => Some(list.len()),
                    // Adding counts the place behind the last one, too.
                    (Operator::Add, _) => index(last, list.len() + 1),
                    (Operator::Replace | Operator::Remove, _) => index(last, list.len()),
                };
                match (self.operator, found) {
                    (_, None) => return fail("there is no such element"),
                    (Operator::Add, Some(index)) => list.insert(index, value()),
                    (Operator::Replace, Some(index)) => list[index] = value(),
                    (Operator::Remove, Some(index)) => {
                        list.remove(index);
                    }
                }
                Ok(())
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {
                fail("there is no object or list to change")
            }
        }
    }
}

/// The unescaped tokens of a JSON pointer.
fn tokens(path: &str) -> Vec<String> {
    path.split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// The element that `token` means in a list of `length`; a negative one counts from the end.
fn index(token: &str, length: usize) -> Option<usize> {
    let index = match token.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse().ok()?)?,
        None => token.parse().ok()?,
    };
    (index < length).then_some(index)
}

fn child<'t>(tree: &'t mut Tree, token: &str) -> Option<&'t mut Tree> {
    match tree {
        Tree::Object(entries) => entries
            .iter_mut()
            .find(|(key, _)| key == token)
            .map(|(_, child)| child),
        Tree::List(list) => {
            let index = index(token, list.len())?;
            list.get_mut(index)
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => None,
    }
}

/// Operations inside a string that holds JSON or YAML (`fieldOverrider`).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InText {
    path: String,
    language: Language,
    patches: Vec<Patch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Json,
    Yaml,
}

impl InText {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let path = field.get("fieldPath");
        let text = path.string()?;
        if !text.starts_with('/') {
            return Err(path.refuse(format!(
                "{text:?} is no JSON pointer: it must begin with '/'"
            )));
        }
        let read = |key: &str| -> Result<Vec<Patch>, Refusal> {
            field
                .get(key)
                .list()?
                .iter()
                .map(|entry| Patch::read(entry, "subPath"))
                .collect()
        };
        let (json, yaml) = (read("json")?, read("yaml")?);
        let (language, patches) = match (json.is_empty(), yaml.is_empty()) {
            (false, true) => (Language::Json, json),
            (true, false) => (Language::Yaml, yaml),
            _ => return Err(field.refuse("must have either json or yaml")),
        };
        Ok(Self {
            path: text.to_owned(),
            language,
            patches,
        })
    }

    /// Changes the string; a failure comes with the member of the overrider that fails.
    pub(super) fn apply(
        &self,
        manifest: &mut Value,
        read_yaml: Option<ReadYaml>,
    ) -> Result<(), (&'static str, String)> {
        let at_path = |text: String| ("fieldPath", format!("{}: {text}", self.path));
        let field = manifest
            .pointer_mut(&self.path)
            .ok_or_else(|| at_path("there is nothing in the object".to_owned()))?;
        let text = field
            .as_str()
            .ok_or_else(|| at_path("is no string".to_owned()))?;
        let (mut tree, member) = match self.language {
            Language::Json => (
                serde_json::from_str::<Tree>(text)
                    .map_err(|error| at_path(format!("holds no JSON: {error}")))?,
                "json",
            ),
            Language::Yaml => {
                let read = read_yaml.ok_or_else(|| {
                    ("yaml", "YAML inside strings cannot be read here".to_owned())
                })?;
                let value =
                    read(text).map_err(|error| at_path(format!("holds no YAML: {error}")))?;
                (Tree::from(&value), "yaml")
            }
        };
        for patch in &self.patches {
            patch.apply(&mut tree).map_err(|text| (member, text))?;
        }
        let new = match self.language {
            Language::Json => serde_json::to_string(&tree)
                .map_err(|error| at_path(format!("cannot be written: {error}")))?,
            Language::Yaml => yaml::write(&tree.into()),
        };
        *field = sealed::unlike(new).map_err(at_path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_changed_as_json_patch_v5_changes_them() {
        let object = json!({"spec": {"list": [1, 2, 3], "a/b": 1, "replicas": 1}});
        let spec = |list: Value, slash: Value, replicas: Value| {
            Ok(json!({"spec": {"list": list, "a/b": slash, "replicas": replicas}}))
        };
        for (patch, expected) in [
            (
                json!({"operator": "replace", "path": "/spec/replicas", "value": 2}),
                spec(json!([1, 2, 3]), json!(1), json!(2)),
            ),
            (
                json!({"operator": "add", "path": "/spec/replicas", "value": 2}),
                spec(json!([1, 2, 3]), json!(1), json!(2)),
            ),
            (
                json!({"operator": "replace", "path": "/spec/a~1b", "value": 2}),
                spec(json!([1, 2, 3]), json!(2), json!(1)),
            ),
            (
                json!({"operator": "add", "path": "/spec/list/-", "value": 4}),
                spec(json!([1, 2, 3, 4]), json!(1), json!(1)),
            ),
            (
                json!({"operator": "add", "path": "/spec/list/0", "value": 0}),
                spec(json!([0, 1, 2, 3]), json!(1), json!(1)),
            ),
            (
                json!({"operator": "add", "path": "/spec/list/-1", "value": 4}),
                spec(json!([1, 2, 3, 4]), json!(1), json!(1)),
            ),
            (
                json!({"operator": "remove", "path": "/spec/list/-1"}),
                spec(json!([1, 2]), json!(1), json!(1)),
            ),
            (
                json!({"operator": "replace", "path": "/spec/list/-3", "value": 9}),
                spec(json!([9, 2, 3]), json!(1), json!(1)),
            ),
            (
                json!({"operator": "replace", "path": "/spec/replicas"}),
                spec(json!([1, 2, 3]), json!(1), json!(null)),
            ),
            (
                json!({"operator": "replace", "path": "/spec/paused", "value": true}),
                Err(()),
            ),
            (
                json!({"operator": "remove", "path": "/spec/paused"}),
                Err(()),
            ),
            (
                json!({"operator": "add", "path": "/status/x", "value": 1}),
                Err(()),
            ),
            (
                json!({"operator": "replace", "path": "/spec/list/3", "value": 1}),
                Err(()),
            ),
            (
                json!({"operator": "add", "path": "/spec/list/9", "value": 1}),
                Err(()),
            ),
            (
                json!({"operator": "remove", "path": "/spec/list/x"}),
                Err(()),
            ),
            (
                json!({"operator": "add", "path": "/spec/replicas/x", "value": 1}),
                Err(()),
            ),
            (
                json!({"operator": "replace", "path": "", "value": "text"}),
                Err(()),
            ),
            (json!({"operator": "remove", "path": ""}), Err(())),
        ] {
            let mut changed = object.clone();
            let result = Patch::read(&Field::root(&patch), "path")
                .expect("valid")
                .apply_to(&mut changed);
            assert_eq!(result.map(|()| changed).map_err(drop), expected, "{patch}");
        }
    }

    #[test]
    fn malformed_patches_are_refused_with_their_field() {
        for (patch, field) in [
            (json!({"operator": "move", "path": "/a"}), "operator"),
            (json!({"path": "/a"}), "operator"),
            (json!({"operator": "add", "path": "a"}), "path"),
            (json!({"operator": "add"}), "path"),
        ] {
            let refusal = Patch::read(&Field::root(&patch), "path").expect_err("refused");
            assert_eq!(refusal.field, field, "{patch}");
        }
    }

    fn in_text(overrider: Value, text: &str) -> Result<String, String> {
        let read_yaml: ReadYaml = |text| serde_json::from_str(text).map_err(|e| e.to_string());
        let mut object = json!({"data": {"config": text}});
        InText::read(&Field::root(&overrider))
            .map_err(|refusal| refusal.to_string())?
            .apply(&mut object, Some(read_yaml))
            .map_err(|(member, _)| member.to_owned())?;
        Ok(object["data"]["config"]
            .as_str()
            .expect("a string")
            .to_owned())
    }

    #[test]
    fn json_in_a_string_keeps_its_order() {
        let overrider = |path: &str, patches: Value| json!({"fieldPath": path, "json": patches});
        let patches = json!([
            {"operator": "replace", "subPath": "/z", "value": 2},
            {"operator": "add", "subPath": "/b", "value": [1]},
            {"operator": "remove", "subPath": "/a"},
        ]);
        assert_eq!(
            in_text(
                overrider("/data/config", patches.clone()),
                r#"{ "z": 1, "m": {"y": 1}, "a": 3 }"#
            )
            .as_deref(),
            Ok(r#"{"z":2,"m":{"y":1},"b":[1]}"#)
        );
        for (what, overrider, text, expected) in [
            (
                "no JSON",
                overrider("/data/config", patches.clone()),
                "{",
                "fieldPath",
            ),
            (
                "no such field",
                overrider("/data/other", patches.clone()),
                "{}",
                "fieldPath",
            ),
            (
                "no string",
                overrider("/data", patches.clone()),
                "{}",
                "fieldPath",
            ),
            (
                "no such path",
                overrider("/data/config", patches.clone()),
                "{}",
                "json",
            ),
            (
                "neither",
                json!({"fieldPath": "/data/config"}),
                "{}",
                "must have either json or yaml",
            ),
        ] {
            assert_eq!(in_text(overrider, text), Err(expected.to_owned()), "{what}");
        }
    }

    #[test]
    fn yaml_in_a_string_is_written_with_sorted_keys() {
        let overrider = json!({"fieldPath": "/data/config", "yaml": [{"operator": "add", "subPath": "/b", "value": "two"}]});
        assert_eq!(
            in_text(overrider.clone(), r#"{"c": [1], "a": {"x": true}}"#).as_deref(),
            Ok("a:\n  x: true\nb: two\nc:\n- 1\n")
        );
        let mut object = json!({"data": {"config": "{}"}});
        let unread = InText::read(&Field::root(&overrider))
            .expect("valid")
            .apply(&mut object, None);
        assert_eq!(unread.expect_err("no parser").0, "yaml");
    }
}
