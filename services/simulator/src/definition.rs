//! Kinds from CustomResourceDefinitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::apply::{Fields, Key, Keyed, Shape, object_meta};
use crate::kind::{Column, Generation, Kind, NameRule, Origin, Version, resource};
use crate::status::Invalid;

/// Reads the kind that a definition makes.
pub(crate) fn kind(name: &str, definition: &Value) -> Result<Kind, Invalid> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let group = required(spec, "spec", "group")?;
    let names = spec.get("names").unwrap_or(&Value::Null);
    let plural = required(names, "spec.names", "plural")?;
    let kind = required(names, "spec.names", "kind")?;
    if name != resource(&plural, &group) || group.is_empty() {
        return Err(Invalid::value(
            "metadata.name",
            &json!(name),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let namespaced = match spec.get("scope").and_then(Value::as_str) {
        Some("Namespaced") => true,
        Some("Cluster") => false,
        _ => {
            return Err(Invalid::required(
                "spec.scope",
                "must be Namespaced or Cluster",
            ));
        }
    };
    let mut versions = Vec::new();
    for version in
        list(spec, "versions").filter(|version| version.get("served") == Some(&Value::Bool(true)))
    {
        let version_name = required(version, "spec.versions[*]", "name")?;
        let shape = version
            .pointer("/schema/openAPIV3Schema")
            .map_or_else(Shape::deduced, root_shape);
        let status = version.pointer("/subresources/status").is_some();
        versions.push(Version::new(
            &group,
            &version_name,
            &kind,
            shape,
            status,
            list(version, "additionalPrinterColumns")
                .map(column)
                .collect(),
        ));
    }
    if list(spec, "versions")
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .count()
        != 1
    {
        return Err(Invalid::value(
            "spec.versions",
            &Value::Null,
            "must have exactly one version marked as storage version",
        ));
    }
    versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    let singular = names
        .get("singular")
        .and_then(Value::as_str)
        .map_or_else(|| kind.to_lowercase(), str::to_owned);
    Ok(Kind {
        resource: name.into(),
        group,
        plural,
        singular,
        short_names: texts(names, "shortNames"),
        categories: texts(names, "categories"),
        namespaced,
        origin: Origin::Custom,
        generation: Generation::Counted,
        name_rule: NameRule::DnsSubdomain,
        versions,
        kind,
    })
}

/// The status of a definition that is served.
pub(crate) fn established_status(definition: &Value, time: &str) -> Value {
    let condition = |form: &str, reason: &str, message: &str| json!({"type": form, "status": "True", "lastTransitionTime": time, "reason": reason, "message": message});
    let spec = &definition["spec"];
    let names = &spec["names"];
    let kind = names["kind"].as_str().unwrap_or_default();
    let mut accepted = names.clone();
    if accepted.get("singular").is_none() {
        accepted["singular"] = json!(kind.to_lowercase());
    }
    if accepted.get("listKind").is_none() {
        accepted["listKind"] = json!(format!("{kind}List"));
    }
    let stored: Vec<_> = list(spec, "versions")
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": accepted,
        "storedVersions": stored,
    })
}

fn required(parent: &Value, path: &str, field: &str) -> Result<String, Invalid> {
    let text = parent
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| Invalid::required(format!("{path}.{field}"), ""))
}

fn list<'a>(parent: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    parent
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn texts(parent: &Value, field: &str) -> Vec<String> {
    list(parent, field)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn column(column: &Value) -> Column {
    let text = |field: &str| {
        column
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Column {
        name: text("name"),
        form: text("type"),
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
        path: text("jsonPath"),
    }
}

/// How versions are preferred: `v2` before `v1` before `v2beta1` before `v1alpha1` before anything else.
fn priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let Ok(major) = rest[..digits].parse() else {
        return (0, 0, 0);
    };
    let stage = &rest[digits..];
    match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
        _ if stage.is_empty() => (3, major, 0),
        (Some(minor), _) => (2, major, minor.parse().unwrap_or(0)),
        (_, Some(minor)) => (1, major, minor.parse().unwrap_or(0)),
        (None, None) => (0, 0, 0),
    }
}

fn root_shape(schema: &Value) -> Arc<Shape> {
    let mut listed = properties(schema);
    listed.insert("metadata".into(), object_meta());
    listed.entry("spec".into()).or_insert_with(Shape::deduced);
    listed.entry("status".into()).or_insert_with(Shape::deduced);
    Arc::new(Shape::Fields(Fields {
        listed,
        rest: None,
        struct_by_default: false,
    }))
}

fn properties(schema: &Value) -> BTreeMap<String, Arc<Shape>> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), shape(schema)))
        .collect()
}

/// Reads `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type`.
fn shape(schema: &Value) -> Arc<Shape> {
    let text = |field: &str| {
        schema
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let items = || schema.get("items").map_or_else(Shape::deduced, shape);
    match (
        text("type"),
        text("x-kubernetes-list-type"),
        text("x-kubernetes-map-type"),
    ) {
        ("array", "set", _) => Arc::new(Shape::Set),
        ("array", "map", _) => {
            let mut keys: Vec<_> = texts(schema, "x-kubernetes-list-map-keys")
                .into_iter()
                .map(|name| Key {
                    default: schema
                        .pointer("/items/properties")
                        .and_then(|fields| fields.get(&name)?.get("default"))
                        .cloned(),
                    name,
                })
                .collect();
            keys.sort_by(|a, b| a.name.cmp(&b.name));
            Arc::new(Shape::Keyed(Keyed {
                keys,
                item: items(),
            }))
        }
        (_, _, "atomic") => Arc::new(Shape::Atomic),
        _ => {
            let rest = schema
                .get("additionalProperties")
                .filter(|rest| rest.is_object())
                .map(shape);
            Arc::new(Shape::Fields(Fields {
                listed: properties(schema),
                rest,
                struct_by_default: false,
            }))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn widget() -> Value {
        json!({"spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wg"]},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {
                        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object"}},
                        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}}}}},
                {"name": "v0", "served": false, "storage": false}]}})
    }

    /// Names, versions, subresources and list types are read.
    #[test]
    fn a_kind() {
        let kind = kind("widgets.example.com", &widget()).unwrap();
        let versions: Vec<_> = kind
            .versions
            .iter()
            .map(|version| (&*version.api_version, version.status))
            .collect();
        assert_eq!(
            versions,
            [("example.com/v1", true), ("example.com/v1beta1", false)]
        );
        assert_eq!(
            (&*kind.singular, kind.short_names.as_slice()),
            ("widget", ["wg".to_owned()].as_slice())
        );
        let (spec, is_struct_field) = kind.versions[0].shape.field("spec");
        assert!(is_struct_field);
        assert!(
            matches!(spec.field("parts").0, Shape::Keyed(keyed) if keyed.keys[0].name == "name")
        );
        assert!(matches!(spec.field("tags").0, Shape::Set));
    }

    /// What is missing or wrong is named.
    #[test]
    fn refusals() {
        let edited = |pointer: &str, value: Value| {
            let mut definition = widget();
            *definition.pointer_mut(pointer).unwrap() = value;
            definition
        };
        for (name, definition, field) in [
            ("gadgets.example.com", widget(), "metadata.name"),
            (
                "widgets.example.com",
                edited("/spec/scope", json!("Galaxy")),
                "spec.scope",
            ),
            (
                "widgets.example.com",
                edited("/spec/names/kind", json!("")),
                "spec.names.kind",
            ),
            (
                "widgets.example.com",
                edited("/spec/versions/1/storage", json!(false)),
                "spec.versions",
            ),
            ("widgets.example.com", json!({}), "spec.group"),
        ] {
            assert_eq!(kind(name, &definition).unwrap_err().field, field);
        }
    }

    /// Versions are preferred as Kubernetes documents it.
    #[test]
    fn version_priority() {
        let mut versions = ["v1alpha1", "other", "v2beta1", "v1", "v10", "v2", "v2beta3"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v2beta3", "v2beta1", "v1alpha1", "other"]
        );
    }
}
