//! JSON patches as KubeFed's engine understands them (evanphx/json-patch v4.12), which is not quite RFC 6902:
//!
//! - `replace` of a key that is missing in an object that exists inserts it; of an index that is missing in a list it fails;
//! - an index below 0 counts from the end; `add` at `-1` appends, as `-` does;
//! - `add` and `replace` without a value write null;
//! - what stands before a path's first slash is lost: `spec/replicas` addresses the top-level key `replicas`;
//! - a path without a slash leads nowhere, except that `replace` at the empty path replaces the whole object by another.

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;

const REPLICAS: &str = "/spec/replicas";

/// One operation of a list of overrides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patch {
    op: super::Op,
    path: String,
    value: Value,
}

impl Patch {
    /// Reads `{op: add|remove|replace|"", path, value}`; no `op` means replace.
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let op = field.get("op");
        Ok(Self {
            op: match op.optional_string()?.unwrap_or_default() {
                "" | "replace" => super::Op::Replace,
                "add" => super::Op::Add,
                "remove" => super::Op::Remove,
                other => {
                    return Err(op.refuse(format!("{other:?} is none of add, remove, replace")));
                }
            },
            path: field.get("path").string()?.to_owned(),
            value: field.get("value").value().cloned().unwrap_or(Value::Null),
        })
    }

    pub(super) fn replicas(replicas: i64) -> Self {
        Self {
            op: super::Op::Replace,
            path: REPLICAS.to_owned(),
            value: Value::from(replicas),
        }
    }

    pub(super) fn is_of_replicas(&self) -> bool {
        self.path == REPLICAS
    }

    pub(super) fn apply(&self, object: &mut Value) -> Result<(), String> {
        let Self { op, path, value } = self;
        if path.is_empty() && *op == super::Op::Replace {
            if !value.is_object() {
                return Err("the whole object can only be replaced by an object".to_owned());
            }
            object.clone_from(value);
            return Ok(());
        }
        let (_, rest) = path
            .split_once('/')
            .ok_or_else(|| format!("{path:?} leads nowhere: it has no slash"))?;
        let (parents, key) = rest
            .rsplit_once('/')
            .map_or((None, rest), |(parents, key)| (Some(parents), key));
        let mut parent = object;
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            parent = match parent {
                Value::Object(object) => object.get_mut(&decode(part)),
                Value::Array(list) => {
                    index(&decode(part), list.len()).and_then(|at| list.get_mut(at))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            }
            .ok_or_else(|| format!("{path}: {part:?} on the way does not exist"))?;
        }
        let key = decode(key);
        match parent {
            Value::Object(object) => match op {
                super::Op::Add | super::Op::Replace => {
                    object.insert(key, value.clone());
                    Ok(())
                }
                super::Op::Remove => match object.remove(&key) {
                    Some(_) => Ok(()),
                    None => Err(format!("{path}: there is no {key:?} to remove")),
                },
            },
            Value::Array(list) => match op {
                super::Op::Add => {
                    let at = match key.as_str() {
                        "-" => Some(list.len()),
                        key => index(key, list.len() + 1),
                    };
                    let at = at.ok_or_else(|| no_place(path, list.len()))?;
                    list.insert(at, value.clone());
                    Ok(())
                }
                super::Op::Replace | super::Op::Remove => {
                    let at = index(&key, list.len()).ok_or_else(|| no_place(path, list.len()))?;
                    match op {
                        super::Op::Remove => drop(list.remove(at)),
                        _ => list[at] = value.clone(),
                    }
                    Ok(())
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(format!(
                "{path}: what holds {key:?} is neither object nor list"
            )),
        }
    }
}

fn no_place(path: &str, length: usize) -> String {
    format!("{path} is no place in a list of {length}")
}

/// The place that `key` names among `length`; below 0 it counts from the end.
fn index(key: &str, length: usize) -> Option<usize> {
    let at: i64 = key.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let at = if at < 0 { at + length } else { at };
    usize::try_from(at).ok().filter(|_| at < length)
}

/// `~1` is a slash, `~0` a tilde.
fn decode(part: &str) -> String {
    let mut decoded = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        decoded.push_str(&rest[..at]);
        let (character, length) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        decoded.push(character);
        rest = &rest[at + length..];
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Shows what KubeFed's own functions gave for these operations.
    #[test]
    fn operations_do_what_kubefeds_engine_does() {
        let object = || json!({"spec": {"list": [1, 2], "null": null}, "a/b~c": {}});
        for (patch, pointer, expected) in [
            (
                json!({"path": "/spec/replicas", "value": 2}),
                "/spec/replicas",
                Some(json!(2)),
            ),
            (
                json!({"path": "/spec/list/0", "value": 9}),
                "/spec/list",
                Some(json!([9, 2])),
            ),
            (
                json!({"path": "/spec/list/-1", "value": 9}),
                "/spec/list",
                Some(json!([1, 9])),
            ),
            (json!({"path": "/spec/list/2", "value": 9}), "", None),
            (json!({"path": "/spec/list/-3", "value": 9}), "", None),
            (json!({"path": "/spec/list/-", "value": 9}), "", None),
            (json!({"path": "/spec/list/x", "value": 9}), "", None),
            (
                json!({"op": "add", "path": "/spec/list/-", "value": 9}),
                "/spec/list",
                Some(json!([1, 2, 9])),
            ),
            (
                json!({"op": "add", "path": "/spec/list/-1", "value": 9}),
                "/spec/list",
                Some(json!([1, 2, 9])),
            ),
            (
                json!({"op": "add", "path": "/spec/list/-2", "value": 9}),
                "/spec/list",
                Some(json!([1, 9, 2])),
            ),
            (
                json!({"op": "add", "path": "/spec/list/0", "value": 9}),
                "/spec/list",
                Some(json!([9, 1, 2])),
            ),
            (
                json!({"op": "add", "path": "/spec/list/2", "value": 9}),
                "/spec/list",
                Some(json!([1, 2, 9])),
            ),
            (
                json!({"op": "add", "path": "/spec/list/3", "value": 9}),
                "",
                None,
            ),
            (
                json!({"op": "add", "path": "/spec/x"}),
                "/spec/x",
                Some(Value::Null),
            ),
            (
                json!({"path": "/spec/x", "value": null}),
                "/spec/x",
                Some(Value::Null),
            ),
            (
                json!({"op": "remove", "path": "/spec/list/-2"}),
                "/spec/list",
                Some(json!([2])),
            ),
            (
                json!({"op": "remove", "path": "/spec/list"}),
                "/spec/list",
                Some(Value::Null),
            ),
            (json!({"op": "remove", "path": "/spec/x"}), "", None),
            (json!({"op": "remove", "path": "/spec/list/2"}), "", None),
            (json!({"path": "/status/x", "value": 2}), "", None),
            (json!({"path": "/spec/null/x", "value": 2}), "", None),
            (json!({"path": "/spec/list/0/x", "value": 2}), "", None),
            (
                json!({"path": "spec/replicas", "value": 2}),
                "/replicas",
                Some(json!(2)),
            ),
            (json!({"path": "replicas", "value": 2}), "", None),
            (
                json!({"path": "/a~1b~0c/d", "value": 2}),
                "/a~1b~0c/d",
                Some(json!(2)),
            ),
            (json!({"path": "", "value": "text"}), "", None),
            (json!({"op": "add", "path": "", "value": {}}), "", None),
            (json!({"path": "", "value": {"x": 1}}), "/x", Some(json!(1))),
        ] {
            let mut after = object();
            let outcome = Patch::read(&Field::root(&patch))
                .expect("valid")
                .apply(&mut after);
            match expected {
                Some(expected) => {
                    assert_eq!(outcome, Ok(()), "{patch}");
                    let found = after.pointer(pointer).cloned().unwrap_or(Value::Null);
                    assert_eq!(found, expected, "{patch}");
                }
                None => assert!(outcome.is_err(), "{patch} should fail: {after}"),
            }
        }
    }
}
