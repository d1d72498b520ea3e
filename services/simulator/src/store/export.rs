//! The whole content as one document, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Store;
use crate::kind::Kind;
use crate::kinds::DEFINITIONS;
use crate::object::Stored;

/// Why a document is not the content of a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A part of the document is missing or has another form.
    #[error("the exported cluster has no usable {0}")]
    Malformed(&'static str),
    /// An object's kind is neither built in nor defined in the same document.
    #[error("the exported cluster holds {object} of the unknown kind {resource}")]
    UnknownKind {
        /// `widgets.example.com`
        resource: String,
        /// The object's name.
        object: String,
    },
}

impl Store {
    /// `{"resourceVersion": 12, "objects": {"<resource>": [<object without apiVersion and kind>, …]}}`
    pub(crate) fn export(&self) -> Value {
        let objects: BTreeMap<&str, Vec<Value>> = self
            .objects
            .iter()
            .map(|(resource, objects)| {
                (
                    &**resource,
                    objects.values().map(|stored| stored.read()).collect(),
                )
            })
            .collect();
        json!({"resourceVersion": self.version, "objects": objects})
    }

    /// Reads what [`Store::export`] wrote. Older watches have to start anew.
    pub(crate) fn import(document: Value) -> Result<Self, ImportError> {
        let Value::Object(mut document) = document else {
            return Err(ImportError::Malformed("content"));
        };
        let version = document
            .get("resourceVersion")
            .and_then(Value::as_u64)
            .ok_or(ImportError::Malformed("resourceVersion"))?;
        let Some(Value::Object(mut objects)) = document.remove("objects") else {
            return Err(ImportError::Malformed("objects"));
        };
        let mut store = Store::empty(version);
        // The definitions first, for they make the other kinds known.
        let definitions = objects
            .remove(DEFINITIONS)
            .map(|list| (DEFINITIONS.to_owned(), list));
        for (resource, list) in definitions.into_iter().chain(objects) {
            let Value::Array(list) = list else {
                return Err(ImportError::Malformed("list of objects"));
            };
            for object in list {
                store.import_one(&resource, object)?;
            }
        }
        Ok(store)
    }

    fn import_one(&mut self, resource: &str, object: Value) -> Result<(), ImportError> {
        let version = object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        let version = version
            .filter(|version| *version <= self.version)
            .ok_or(ImportError::Malformed("resourceVersion of an object"))?;
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .ok_or(ImportError::Malformed("name of an object"))?
            .to_owned();
        let kind: Option<Arc<Kind>> = self.kind_of(resource).cloned();
        let kind = kind.ok_or_else(|| ImportError::UnknownKind {
            resource: resource.to_owned(),
            object: name,
        })?;
        if resource == DEFINITIONS {
            self.define(&object);
        }
        let stored = Arc::new(Stored::encode(object, version));
        self.objects
            .entry(Arc::clone(&kind.resource))
            .or_default()
            .insert(stored.key(), stored);
        Ok(())
    }
}
