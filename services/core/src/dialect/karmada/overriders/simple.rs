//! Overriders that touch a list or a map in place and never fail: commands and arguments of a container, labels, annotations.

use serde_json::{Map, Value};

use crate::Refusal;
use crate::dialect::karmada::member::strings;
use crate::field::Field;

use super::Operator;

/// One of the four.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Simple {
    /// Items of a container's `command` or `args`.
    Container {
        list: &'static str,
        container: String,
        operator: Operator,
        items: Vec<String>,
    },
    /// Entries of `metadata.labels` or `metadata.annotations`.
    Metadata {
        map: &'static str,
        operator: Operator,
        entries: Map<String, Value>,
    },
}

impl Simple {
    pub(super) fn read_command(field: &Field<'_>) -> Result<Self, Refusal> {
        Self::read_container("command", field)
    }

    pub(super) fn read_args(field: &Field<'_>) -> Result<Self, Refusal> {
        Self::read_container("args", field)
    }

    pub(super) fn read_labels(field: &Field<'_>) -> Result<Self, Refusal> {
        Self::read_metadata("labels", field)
    }

    pub(super) fn read_annotations(field: &Field<'_>) -> Result<Self, Refusal> {
        Self::read_metadata("annotations", field)
    }

    fn read_container(list: &'static str, field: &Field<'_>) -> Result<Self, Refusal> {
        let operator = field.get("operator");
        Ok(Self::Container {
            list,
            container: field.get("containerName").string()?.to_owned(),
            operator: match Operator::read(&operator)? {
                Operator::Replace => {
                    return Err(operator.refuse("\"replace\" is none of add, remove"));
                }
                known => known,
            },
            items: strings(&field.get("value"))?,
        })
    }

    fn read_metadata(map: &'static str, field: &Field<'_>) -> Result<Self, Refusal> {
        Ok(Self::Metadata {
            map,
            operator: Operator::read(&field.get("operator"))?,
            entries: field
                .get("value")
                .strings()?
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect(),
        })
    }

    pub(super) fn apply(&self, manifest: &mut Value) {
        match self {
            Self::Container {
                list,
                container,
                operator,
                items,
            } => change_items(manifest, list, container, *operator, items),
            Self::Metadata {
                map,
                operator,
                entries,
            } => change_entries(manifest, map, *operator, entries),
        }
    }
}

/// Where Karmada looks for containers, by kind; init containers are never touched.
pub(super) fn containers_of(manifest: &Value) -> Option<&'static str> {
    match manifest["kind"].as_str()? {
        "Pod" => Some("/spec/containers"),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" | "Job" => {
            Some("/spec/template/spec/containers")
        }
        _ => None,
    }
}

/// Add appends, remove takes equal items away; the list is there afterwards, also where it was absent.
fn change_items(
    manifest: &mut Value,
    list: &str,
    name: &str,
    operator: Operator,
    items: &[String],
) {
    let containers = containers_of(manifest)
        .and_then(|pointer| manifest.pointer_mut(pointer))
        .and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if container["name"] != name {
            continue;
        }
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        let mut new = match container.get(list) {
            Some(Value::Array(old)) => old.clone(),
            _ => Vec::new(),
        };
        match operator {
            Operator::Add | Operator::Replace => {
                new.extend(items.iter().cloned().map(Value::from));
            }
            Operator::Remove => {
                new.retain(|old| !items.iter().any(|item| old == item.as_str()));
            }
        }
        container.insert(list.to_owned(), Value::Array(new));
    }
}

/// Add sets every entry, replace and remove act on keys that exist; remove ignores the value.
fn change_entries(
    manifest: &mut Value,
    map: &str,
    operator: Operator,
    entries: &Map<String, Value>,
) {
    let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if operator == Operator::Add && !entries.is_empty() {
        let present = metadata.entry(map).or_insert(Value::Null);
        if !present.is_object() {
            *present = Value::Object(Map::new());
        }
    }
    let Some(existing) = metadata.get_mut(map).and_then(Value::as_object_mut) else {
        return;
    };
    for (key, value) in entries {
        match operator {
            Operator::Remove => {
                existing.remove(key);
            }
            Operator::Replace if !existing.contains_key(key) => {}
            Operator::Add | Operator::Replace => {
                existing.insert(key.clone(), value.clone());
            }
        }
    }
}
