//! What a server keeps up in an object by itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::apply::SERVER_METADATA;
use crate::kind::{Kind, Target};
use crate::kinds::NAMESPACES;
use crate::object::metadata_mut;

pub(super) fn take_managers(object: &mut Value) -> Value {
    metadata_mut(object)
        .remove("managedFields")
        .unwrap_or(Value::Array(Vec::new()))
}

pub(super) fn keep_server_metadata(old: &Value, object: &mut Value) {
    let kept = &old["metadata"];
    let metadata = metadata_mut(object);
    for field in SERVER_METADATA {
        match kept.get(field) {
            Some(value) => {
                metadata.insert(field.to_owned(), value.clone());
            }
            None => {
                metadata.remove(field);
            }
        }
    }
}

pub(super) fn copy(from: &Value, to: &mut Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => remove(to, field),
    }
}

/// Whether what `metadata.generation` counts differs: everything but metadata and, where it has its own endpoint, status.
pub(super) fn wishes_differ(target: &Target, old: &Value, new: &Value) -> bool {
    let has_status = target.version().status;
    let counted = |field: &str| field != "metadata" && !(has_status && field == "status");
    let fields = |object| {
        Value::as_object(object)
            .into_iter()
            .flatten()
            .filter(|(field, _)| counted(field))
    };
    let differs = |(field, value): (&String, &Value)| old.get(field) != Some(value);
    fields(old).count() != fields(new).count() || fields(new).any(differs)
}

/// What a server adds to a new object of a few kinds.
pub(super) fn set_at_start(kind: &Kind, name: &str, object: &mut Value) {
    if kind.is(NAMESPACES) {
        let metadata = metadata_mut(object);
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        labels["kubernetes.io/metadata.name"] = json!(name);
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["status"] = json!({"phase": "Active"});
    }
    if kind.is("pods") {
        object["status"] = json!({"phase": "Pending"});
    }
}

/// Moves a Secret's `stringData` into `data`, as every write does.
pub(super) fn normalize(kind: &Kind, object: &mut Value) {
    if !kind.is("secrets") {
        return;
    }
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(texts)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        for (key, text) in texts {
            data[key] = json!(BASE64.encode(text.as_str().unwrap_or_default()));
        }
    }
    fields.entry("type").or_insert_with(|| json!("Opaque"));
}

pub(super) fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}
