//! The patches that are not server-side apply.

use serde_json::{Map, Value};

use crate::apply::{Keyed, Shape};
use crate::kind::{Kind, Origin, Version};
use crate::request::PatchForm;
use crate::status::Failure;

/// Reads a body: JSON, or YAML as hand-written ones are.
pub(crate) fn read_value(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).or_else(|not_json| {
        let text = std::str::from_utf8(body).map_err(|_| {
            Failure::bad_request("the object provided is unrecognized: it is not UTF-8")
        })?;
        serde_saphyr::from_str::<Value>(text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "the object provided is unrecognized: couldn't parse JSON: {not_json}"
                ))
            })
    })
}

/// Changes an object as a patch says. Server-side apply is not a patch of this sort.
pub(crate) fn patch(
    object: &mut Value,
    form: PatchForm,
    body: &[u8],
    kind: &Kind,
    version: &Version,
) -> Result<(), Failure> {
    match form {
        PatchForm::Json => {
            let patch: json_patch::Patch = serde_json::from_slice(body)
                .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(object, &patch).map_err(|error| {
                let message = format!(
                    "the server rejected our request due to an error in our request: {error}"
                );
                Failure::new(422, "Invalid", message)
            })
        }
        PatchForm::Merge => {
            json_patch::merge(object, &read_value(body)?);
            Ok(())
        }
        PatchForm::StrategicMerge if kind.origin == Origin::Custom => {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
                           application/merge-patch+json, application/apply-patch+yaml";
            Err(Failure::new(415, "UnsupportedMediaType", message))
        }
        PatchForm::StrategicMerge => {
            strategic_merge(object, read_value(body)?, &version.shape);
            Ok(())
        }
        PatchForm::Apply => Err(Failure::bad_request(
            "server-side apply is not a patch of this form",
        )),
    }
}

/// Directives of a strategic merge patch.
const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";

/// Merges with the directives of strategic merge patch; lists merge by the first of the keys that server-side apply has for them.
fn strategic_merge(object: &mut Value, patch: Value, shape: &Shape) {
    let Value::Object(mut patch) = patch else {
        *object = patch;
        return;
    };
    if patch
        .remove(PATCH)
        .is_some_and(|directive| directive == "replace")
    {
        *object = Value::Object(patch);
        return;
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(kept)) = patch.remove(RETAIN_KEYS) {
        fields.retain(|field, _| kept.iter().any(|name| name == field));
    }
    for (name, value) in &patch {
        if let Some(field) = name.strip_prefix(DELETE_FROM_PRIMITIVE_LIST)
            && let (Some(Value::Array(list)), Some(gone)) =
                (fields.get_mut(field), value.as_array())
        {
            list.retain(|item| !gone.contains(item));
        }
    }
    for (name, value) in patch {
        if name.starts_with('$') {
            continue;
        }
        let field_shape = shape.field(&name).0;
        match (value, field_shape) {
            (Value::Null, _) => {
                fields.remove(&name);
            }
            (Value::Array(patch), Shape::Keyed(keyed)) => {
                let list = fields
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                merge_items(list, patch, keyed);
            }
            (Value::Array(patch), Shape::Set) => {
                let list = fields
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    let new: Vec<_> = patch
                        .into_iter()
                        .filter(|item| !list.contains(item))
                        .collect();
                    list.extend(new);
                }
            }
            (value @ Value::Object(_), _) => {
                let field = fields
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()));
                strategic_merge(field, value, field_shape);
            }
            (value, _) => {
                fields.insert(name, value);
            }
        }
    }
}

fn merge_items(list: &mut Value, patch: Vec<Value>, keyed: &Keyed) {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let (Some(list), Some(key)) = (list.as_array_mut(), keyed.keys.first()) else {
        return;
    };
    if patch.iter().any(|item| {
        item.get(PATCH)
            .is_some_and(|directive| directive == "replace")
    }) {
        *list = patch
            .into_iter()
            .filter(|item| item.get(PATCH).is_none())
            .collect();
        return;
    }
    for mut item in patch {
        let position = list.iter().position(|existing| {
            existing.get(&key.name).is_some() && existing.get(&key.name) == item.get(&key.name)
        });
        let delete = item
            .get(PATCH)
            .is_some_and(|directive| directive == "delete");
        match position {
            Some(index) if delete => {
                list.remove(index);
            }
            Some(index) => strategic_merge(&mut list[index], item, &keyed.item),
            None if delete => {}
            None => {
                strip_directives(&mut item);
                list.push(item);
            }
        }
    }
}

fn strip_directives(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                name != PATCH && name != RETAIN_KEYS && !name.starts_with(SET_ELEMENT_ORDER)
            });
            fields.values_mut().for_each(strip_directives);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_directives),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::by_resource;

    fn pod(containers: Value) -> Value {
        json!({"spec": {"containers": containers}})
    }

    /// Each form of patch does what it says.
    #[test]
    fn patches() {
        use PatchForm::{Json, Merge, StrategicMerge};
        let before = || pod(json!([{"name": "a", "image": "1"}, {"name": "b"}]));
        for (form, patch_body, expected) in [
            (
                Json,
                json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "2"}]),
                pod(json!([{"name": "a", "image": "2"}, {"name": "b"}])),
            ),
            (
                Merge,
                json!({"spec": {"x": 1}}),
                json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "x": 1}}),
            ),
            (
                Merge,
                json!({"spec": {"containers": null}}),
                json!({"spec": {}}),
            ),
            (
                StrategicMerge,
                pod(json!([{"name": "a", "tty": true}])),
                pod(json!([{"name": "a", "image": "1", "tty": true}, {"name": "b"}])),
            ),
            (
                StrategicMerge,
                pod(json!([{"name": "b", "$patch": "delete"}])),
                pod(json!([{"name": "a", "image": "1"}])),
            ),
            (
                StrategicMerge,
                pod(json!([{"name": "c"}, {"$patch": "replace"}])),
                pod(json!([{"name": "c"}])),
            ),
            (
                StrategicMerge,
                json!({"spec": {"$retainKeys": ["x"], "x": 1}}),
                json!({"spec": {"x": 1}}),
            ),
            (
                StrategicMerge,
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}]}}),
                before(),
            ),
        ] {
            let mut object = before();
            let kind = by_resource("pods").unwrap();
            patch(
                &mut object,
                form,
                patch_body.to_string().as_bytes(),
                kind,
                &kind.versions[0],
            )
            .unwrap();
            assert_eq!(object, expected, "{form:?} {patch_body}");
        }
    }

    /// What cannot be read or carried out is refused.
    #[test]
    fn refusals() {
        let kind = by_resource("pods").unwrap();
        for (form, body, code) in [
            (PatchForm::Json, "{}", 400),
            (
                PatchForm::Json,
                r#"[{"op": "remove", "path": "/nowhere"}]"#,
                422,
            ),
            (PatchForm::Merge, "{", 400),
            (PatchForm::Merge, "just words", 400),
        ] {
            let failure = patch(
                &mut json!({}),
                form,
                body.as_bytes(),
                kind,
                &kind.versions[0],
            )
            .unwrap_err();
            assert_eq!(failure.code, code, "{body}");
        }
    }

    /// Bodies may be YAML.
    #[test]
    fn yaml() {
        assert_eq!(
            read_value(b"metadata:\n  name: web\nspec: {replicas: 2}\n").unwrap(),
            json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}})
        );
    }
}
