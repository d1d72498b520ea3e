//! An object as it is kept: encoded once, with the few facts that are asked for often beside it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The labels of an object.
pub(crate) type Labels = Arc<[(Box<str>, Box<str>)]>;

/// One state of one object.
#[derive(Debug)]
pub(crate) struct Stored {
    /// `metadata.resourceVersion`.
    pub(crate) version: u64,
    /// Empty for kinds without namespaces.
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) labels: Labels,
    /// The uids in `metadata.ownerReferences`.
    pub(crate) owners: Box<[Box<str>]>,
    /// Whether it has a `deletionTimestamp` and only waits for its finalizers.
    pub(crate) deleting: bool,
    /// The object without `apiVersion` and `kind`, which the kind's version adds: `{"metadata":…}`.
    tail: Bytes,
}

impl Stored {
    /// Encodes an object (without `apiVersion` and `kind`) as of a resource version.
    pub(crate) fn encode(mut object: Value, version: u64) -> Self {
        metadata_mut(&mut object).insert("resourceVersion".into(), json!(version.to_string()));
        let metadata = &object["metadata"];
        let text = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into()
        };
        let labels = metadata.get("labels").and_then(Value::as_object);
        let owners = metadata.get("ownerReferences").and_then(Value::as_array);
        Stored {
            version,
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            labels: labels
                .into_iter()
                .flatten()
                .map(|(key, value)| {
                    (
                        key.as_str().into(),
                        value.as_str().unwrap_or_default().into(),
                    )
                })
                .collect(),
            owners: owners
                .into_iter()
                .flatten()
                .filter_map(|owner| Some(owner.get("uid")?.as_str()?.into()))
                .collect(),
            deleting: metadata.get("deletionTimestamp").is_some(),
            tail: object.to_string().into(),
        }
    }

    /// The object without `apiVersion` and `kind`.
    pub(crate) fn read(&self) -> Value {
        serde_json::from_slice(&self.tail).expect("the tail was encoded from a value")
    }

    /// Appends the object; `head` is its version's, or `{` to leave `apiVersion` and `kind` out.
    pub(crate) fn write(&self, head: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.tail[1..]);
    }

    /// The object as a body of its own.
    pub(crate) fn body(&self, head: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(head.len() + self.tail.len());
        self.write(head, &mut body);
        body
    }

    /// How long the encoded object is.
    pub(crate) fn length_bytes(&self) -> usize {
        self.tail.len()
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }
}

/// Where an object stands among the objects of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Key {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// `metadata`, made if it is not there.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata
        .as_object_mut()
        .expect("it was just made a mapping")
}

/// A text in `metadata`, or nothing.
pub(crate) fn meta_text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get(name)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Whether nothing holds the object back from going away.
pub(crate) fn has_no_finalizers(object: &Value) -> bool {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
}

/// Leaves out fields that are null, as decoding into a typed object does.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is encoded reads back, with its head and its facts.
    #[test]
    fn round_trip() {
        let object = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"a": "b"}}, "spec": {"x": 1}});
        let stored = Stored::encode(object.clone(), 7);
        assert_eq!(
            (
                &*stored.name,
                &*stored.namespace,
                &*stored.uid,
                stored.deleting
            ),
            ("web", "shop", "u", false)
        );
        assert_eq!(*stored.labels, [("a".into(), "b".into())]);
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(stored.read(), expected);
        let body: Value =
            serde_json::from_slice(&stored.body("{\"apiVersion\":\"v1\",\"kind\":\"X\","))
                .unwrap_or_default();
        assert_eq!(
            (&body["apiVersion"], &body["spec"]["x"]),
            (&json!("v1"), &json!(1))
        );
    }

    /// Nulls go at every depth.
    #[test]
    fn nulls() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [{"e": null}]}});
        drop_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}]}}));
    }
}
