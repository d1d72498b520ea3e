//! What differs in one cluster: operations on the rendered object, in order, all or nothing.
//!
//! | operation | file |
//! |---|---|
//! | RFC 6902 patch | [`patch`] |
//! | KubeFed's variant of it | [`kubefed`] |
//! | image components | [`image`] |
//! | command, arguments and environment of a container | [`container`] |
//! | labels and annotations | here |
//!
//! A new operation is a variant of [`Operation`], a `read_…` and an arm in [`Operation::apply`].

mod container;
mod image;
mod kubefed;
mod patch;

use serde_json::{Map, Value};

use crate::Refusal;
use crate::field::Field;

pub use image::ImageComponent;

/// One change to a rendered object.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Where in the document it stands, for refusals.
    field: String,
    action: Action,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Patch(json_patch::PatchOperation),
    Kubefed(kubefed::Patch),
    Image {
        component: ImageComponent,
        op: Op,
        value: String,
    },
    Words {
        /// `command` or `args`.
        list: &'static str,
        container: String,
        op: Op,
        words: Vec<String>,
    },
    Env {
        container: String,
        op: Op,
        variables: Map<String, Value>,
    },
    Metadata {
        /// `labels` or `annotations`.
        map: &'static str,
        op: Op,
        value: Map<String, Value>,
    },
}

/// On behalf of which field KubeFed's scheduler writes.
const SCHEDULED: &str = "spec.totalReplicas";

/// What an operation does with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

impl Op {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match field.string()? {
            "add" => Ok(Self::Add),
            "replace" => Ok(Self::Replace),
            "remove" => Ok(Self::Remove),
            other => Err(field.refuse(format!("{other:?} is none of add, replace, remove"))),
        }
    }
}

impl Operation {
    /// Reads an RFC 6902 operation `{op, path, value | from}`.
    ///
    /// # Errors
    /// Refuses an operation that does not exist and a path that is no JSON pointer.
    pub fn read_patch(field: &Field<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Patch(patch::read(field)?),
        })
    }

    /// Reads KubeFed's `{op: add|remove|replace|"", path, value}`; no `op` means replace.
    ///
    /// # Errors
    /// Refuses an operation that does not exist and a path that is no string.
    pub fn read_kubefed_patch(field: &Field<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Kubefed(kubefed::Patch::read(field)?),
        })
    }

    /// KubeFed's override of the replicas: what its scheduler writes.
    pub fn kubefed_replicas(replicas: i64) -> Self {
        Self {
            field: SCHEDULED.to_owned(),
            action: Action::Kubefed(kubefed::Patch::replicas(replicas)),
        }
    }

    /// Whether it stands in no document: KubeFed's scheduler wrote it.
    pub fn is_scheduled(&self) -> bool {
        self.field == SCHEDULED
    }

    /// Whether it is an override of KubeFed's that names the replicas.
    pub fn is_kubefed_replicas(&self) -> bool {
        matches!(&self.action, Action::Kubefed(patch) if patch.is_of_replicas())
    }

    /// Reads an image operation `{component: registry|repository|tag|digest, op, value}`.
    ///
    /// # Errors
    /// Refuses a component or an operation that does not exist, and a missing value.
    pub fn read_image(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["component", "op", "value"])?;
        let op = Op::read(&field.get("op"))?;
        let value = match op {
            Op::Remove => field.get("value").optional_string()?.unwrap_or_default(),
            Op::Add | Op::Replace => field.get("value").string()?,
        };
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Image {
                component: ImageComponent::read(&field.get("component"))?,
                op,
                value: value.to_owned(),
            },
        })
    }

    /// Reads an operation on a container's command or args `{container, op, value: [word]}`; `list` is `command` or `args`.
    ///
    /// # Errors
    /// Refuses an operation that does not exist, a container without a name and words that are no strings.
    pub fn read_words(list: &str, field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["container", "op", "value"])?;
        let value = field.get("value");
        let words = value.list()?;
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Words {
                list: if list == "command" { "command" } else { "args" },
                container: field.get("container").string()?.to_owned(),
                op: Op::read(&field.get("op"))?,
                words: words
                    .iter()
                    .map(|word| word.string().map(str::to_owned))
                    .collect::<Result<_, _>>()?,
            },
        })
    }

    /// Reads an operation on a container's environment `{container, op, value: {NAME: value}}`.
    ///
    /// # Errors
    /// Refuses an operation that does not exist, a container without a name and values that are no strings.
    pub fn read_env(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["container", "op", "value"])?;
        let variables = field.get("value").strings()?;
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Env {
                container: field.get("container").string()?.to_owned(),
                op: Op::read(&field.get("op"))?,
                variables: variables
                    .into_iter()
                    .map(|(name, value)| (name, Value::from(value)))
                    .collect(),
            },
        })
    }

    /// Reads an operation on labels or annotations `{op, value: {key: value}}`.
    ///
    /// # Errors
    /// Refuses an operation that does not exist and values that are no strings.
    pub fn read_metadata(map: &str, field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["op", "value"])?;
        let value = field
            .get("value")
            .strings()?
            .into_iter()
            .map(|(key, value)| (key, Value::from(value)));
        Ok(Self {
            field: field.path().to_owned(),
            action: Action::Metadata {
                map: if map == "labels" {
                    "labels"
                } else {
                    "annotations"
                },
                op: Op::read(&field.get("op"))?,
                value: value.collect(),
            },
        })
    }

    /// Changes `object`.
    ///
    /// # Errors
    /// A refusal that names the operation's field (its `path` where the path is what fails); `object` is then in no defined state.
    pub fn apply(&self, object: &mut Value) -> Result<(), Refusal> {
        match &self.action {
            Action::Patch(operation) => {
                patch::apply(operation, object).map_err(|message| self.refuse("path", message))
            }
            Action::Kubefed(patch) => patch
                .apply(object)
                .map_err(|message| self.refuse("path", message)),
            Action::Words {
                list,
                container,
                op,
                words,
            } => container::apply_words(list, container, *op, words, object)
                .map_err(|message| self.refuse("container", message)),
            Action::Env {
                container,
                op,
                variables,
            } => container::apply_env(container, *op, variables, object)
                .map_err(|message| self.refuse("container", message)),
            Action::Image {
                component,
                op,
                value,
            } => image::apply(*component, *op, value, object)
                .map_err(|message| self.refuse("component", message)),
            Action::Metadata { map, op, value } => apply_metadata(map, *op, value, object),
        }
    }

    fn refuse(&self, member: &str, message: String) -> Refusal {
        Refusal::new(format!("{}.{member}", self.field), message)
    }
}

/// Add sets every key, replace only those that exist, remove takes them away (whatever their value).
fn apply_metadata(
    map: &str,
    op: Op,
    value: &Map<String, Value>,
    object: &mut Value,
) -> Result<(), Refusal> {
    // Operations before this one may have made anything of it; what it then is not is refused when the object is compared.
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    if op == Op::Add && !metadata.get(map).is_some_and(Value::is_object) {
        metadata.insert(map.to_owned(), Value::Object(Map::new()));
    }
    let Some(existing) = metadata.get_mut(map).and_then(Value::as_object_mut) else {
        return Ok(());
    };
    for (key, value) in value {
        match op {
            Op::Remove => {
                existing.remove(key);
            }
            Op::Replace if !existing.contains_key(key) => {}
            Op::Add | Op::Replace => {
                existing.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_and_annotations_change_as_asked() {
        for (before, op, after) in [
            (
                json!({"a": "1"}),
                json!({"op": "add", "value": {"a": "2", "b": "3"}}),
                json!({"a": "2", "b": "3"}),
            ),
            (
                json!({"a": "1"}),
                json!({"op": "replace", "value": {"a": "2", "b": "3"}}),
                json!({"a": "2"}),
            ),
            (
                json!({"a": "1"}),
                json!({"op": "remove", "value": {"a": ""}}),
                json!({}),
            ),
        ] {
            let mut object = json!({"metadata": {"labels": before}});
            Operation::read_metadata("labels", &Field::root(&op))
                .expect("valid")
                .apply(&mut object)
                .expect("applies");
            assert_eq!(object["metadata"]["labels"], after, "{op}");
        }
        let mut bare = json!({"metadata": {"name": "x"}});
        let op = json!({"op": "add", "value": {"a": "1"}});
        Operation::read_metadata("annotations", &Field::root(&op))
            .expect("valid")
            .apply(&mut bare)
            .expect("applies");
        assert_eq!(bare["metadata"]["annotations"], json!({"a": "1"}));
    }
}
