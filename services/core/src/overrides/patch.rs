//! JSON patches as RFC 6902 says.

use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use jsonptr::PointerBuf;
use serde_json::Value;

use crate::Refusal;
use crate::field::Field;

/// Reads `{op, path, value | from}`.
pub(super) fn read(field: &Field<'_>) -> Result<PatchOperation, Refusal> {
    field.only(&["op", "path", "value", "from"])?;
    let path = pointer(&field.get("path"))?;
    let value = || match field.value().and_then(|patch| patch.get("value")) {
        Some(value) => Ok(value.clone()),
        None => Err(field.get("value").refuse("is required")),
    };
    let op = field.get("op");
    Ok(match op.string()? {
        "add" => PatchOperation::Add(AddOperation {
            path,
            value: value()?,
        }),
        "replace" => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value()?,
        }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "test" => PatchOperation::Test(json_patch::TestOperation {
            path,
            value: value()?,
        }),
        "move" => PatchOperation::Move(json_patch::MoveOperation {
            path,
            from: pointer(&field.get("from"))?,
        }),
        "copy" => PatchOperation::Copy(json_patch::CopyOperation {
            path,
            from: pointer(&field.get("from"))?,
        }),
        other => {
            return Err(op.refuse(format!(
                "{other:?} is none of add, replace, remove, move, copy, test"
            )));
        }
    })
}

pub(super) fn apply(operation: &PatchOperation, object: &mut Value) -> Result<(), String> {
    json_patch::patch(object, std::slice::from_ref(operation))
        .map_err(|error| format!("{}: {}", operation.path(), error.kind))
}

fn pointer(field: &Field<'_>) -> Result<PointerBuf, Refusal> {
    let text = field.string()?;
    PointerBuf::parse(text)
        .map_err(|error| field.refuse(format!("{text:?} is no JSON pointer: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;
    use serde_json::json;

    /// What an operation makes of an object; an error as the refusal's text.
    fn outcome(
        read: fn(&Field<'_>) -> Result<Operation, Refusal>,
        op: &Value,
        object: &Value,
    ) -> Result<Value, String> {
        let mut object = object.clone();
        read(&Field::root(op))
            .map_err(|r| r.to_string())?
            .apply(&mut object)
            .map_err(|r| r.field)?;
        Ok(object)
    }

    #[test]
    fn a_path_that_does_not_exist_is_refused_by_rfc_6902() {
        let object = json!({"spec": {"replicas": 1}});
        for (op, expected) in [
            (
                json!({"op": "replace", "path": "/spec/replicas", "value": 2}),
                Ok(json!({"spec": {"replicas": 2}})),
            ),
            (
                json!({"op": "replace", "path": "/spec/paused", "value": true}),
                Err(".path".to_owned()),
            ),
            (
                json!({"op": "remove", "path": "/spec/paused"}),
                Err(".path".to_owned()),
            ),
            (
                json!({"op": "add", "path": "/spec/paused", "value": true}),
                Ok(json!({"spec": {"replicas": 1, "paused": true}})),
            ),
            (
                json!({"op": "add", "path": "/status/x", "value": true}),
                Err(".path".to_owned()),
            ),
        ] {
            assert_eq!(
                outcome(Operation::read_patch, &op, &object),
                expected,
                "{op}"
            );
        }
    }
}
