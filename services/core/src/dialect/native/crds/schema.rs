//! The words that definitions are written in: an object, a list, a choice, a selector.

use serde_json::{Map, Value, json};

/// An RFC 1123 subdomain: what a cluster may be called.
pub(super) const CLUSTER_NAME: &str =
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// RFC 6901.
pub(super) const JSON_POINTER: &str = "^(/([^/~]|~[01])*)*$";

pub(super) fn column(name: &str, r#type: &str, path: &str, priority: u8) -> Value {
    json!({"name": name, "type": r#type, "jsonPath": path, "priority": priority})
}

pub(super) fn object<const N: usize>(
    about: &str,
    required: &[&str],
    fields: [(&str, Value); N],
) -> Value {
    let fields: Map<String, Value> = fields
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    let mut schema = json!({"type": "object", "description": about, "properties": fields});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

pub(super) fn list(about: &str, items: Value) -> Value {
    json!({"type": "array", "description": about, "items": items})
}

/// A list in which nothing stands twice.
pub(super) fn set(about: &str, items: Value) -> Value {
    json!({"type": "array", "description": about, "items": items, "x-kubernetes-list-type": "set"})
}

pub(super) fn map(about: &str, values: Value) -> Value {
    json!({"type": "object", "description": about, "additionalProperties": values})
}

pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(super) fn flag(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

pub(super) fn words(about: &str, words: &[&str]) -> Value {
    json!({"type": "string", "description": about, "enum": words})
}

pub(super) fn number(about: &str, least: i64) -> Value {
    json!({"type": "integer", "format": "int64", "description": about, "minimum": least})
}

/// A number of replicas or a weight: what Kubernetes' int32 holds.
pub(super) fn replicas_number(about: &str) -> Value {
    let mut number = number(about, 0);
    number["maximum"] = json!(i32::MAX);
    number
}

/// `schema` with rules in CEL: `(rule, message)`.
pub(super) fn with_rules(mut schema: Value, rules: &[(&str, &str)]) -> Value {
    schema["x-kubernetes-validations"] = rules
        .iter()
        .map(|(rule, message)| json!({"rule": rule, "message": message}))
        .collect();
    schema
}

/// `schema` of which one of `alternatives` must hold as well.
pub(super) fn with_any_of(mut schema: Value, alternatives: Value) -> Value {
    schema["anyOf"] = alternatives;
    schema
}

pub(super) fn cluster_names(about: &str) -> Value {
    set(
        about,
        json!({"type": "string", "maxLength": 253, "pattern": CLUSTER_NAME}),
    )
}

pub(super) fn selector(about: &str) -> Value {
    let expression = object(
        "One requirement.",
        &["key", "operator"],
        [
            ("key", text("The label's key.")),
            (
                "operator",
                words(
                    "How the label's value relates to the values.",
                    &["In", "NotIn", "Exists", "DoesNotExist"],
                ),
            ),
            (
                "values",
                list(
                    "The values, for In and NotIn only.",
                    json!({"type": "string"}),
                ),
            ),
        ],
    );
    let expression = with_any_of(
        expression,
        json!([
            {"required": ["values"], "properties": {"operator": {"enum": ["In", "NotIn"]}, "values": {"minItems": 1}}},
            {"properties": {"operator": {"enum": ["Exists", "DoesNotExist"]}, "values": {"maxItems": 0}}},
        ]),
    );
    object(
        about,
        &[],
        [
            (
                "matchLabels",
                map(
                    "Labels that must be there with these values.",
                    json!({"type": "string"}),
                ),
            ),
            (
                "matchExpressions",
                list("Requirements that must all hold.", expression),
            ),
        ],
    )
}

pub(super) const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn conditions() -> Value {
    let mut conditions = list(
        "Conditions.",
        object(
            "One condition.",
            &["type", "status"],
            [
                ("type", text("Its type.")),
                (
                    "status",
                    words("Whether it holds.", &["True", "False", "Unknown"]),
                ),
                ("reason", text("Why, as one word.")),
                ("message", text("Why, as a sentence.")),
                (
                    "lastTransitionTime",
                    json!({"type": "string", "format": "date-time", "description": "Since when."}),
                ),
                (
                    "observedGeneration",
                    number("The generation that it is about.", 0),
                ),
            ],
        ),
    );
    conditions["x-kubernetes-list-type"] = json!("map");
    conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
    conditions
}
