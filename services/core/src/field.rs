//! Reading an untrusted JSON document field by field, so that a refusal names the place.

use serde_json::{Map, Value};

use crate::Refusal;

/// A value inside a document, with the path that leads to it.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// What stands there; `None` where the field is absent or null (Kubernetes treats both alike).
    value: Option<&'a Value>,
    path: String,
}

impl<'a> Field<'a> {
    /// The document as a whole.
    pub fn root(value: &'a Value) -> Self {
        Self {
            value: Some(value),
            path: String::new(),
        }
    }

    /// The path from the document's root: `spec.overrides[0].path`, keys with dots as `["a.b/c"]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands there, if anything.
    pub fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// Whether something stands there.
    pub fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// The member `key`; absent where this is absent or no object.
    pub fn get(&self, key: &str) -> Field<'a> {
        Field {
            value: self.value.and_then(|v| v.get(key)).filter(|v| !v.is_null()),
            path: child_path(&self.path, key),
        }
    }

    /// Refuses this field.
    pub fn refuse(&self, message: impl Into<String>) -> Refusal {
        Refusal::new(self.path.clone(), message)
    }

    /// The string that must stand here.
    pub fn string(&self) -> Result<&'a str, Refusal> {
        self.optional_string()?
            .ok_or_else(|| self.refuse("is required"))
    }

    /// The string that may stand here.
    pub fn optional_string(&self) -> Result<Option<&'a str>, Refusal> {
        self.optional("a string", Value::as_str)
    }

    /// The boolean that may stand here.
    pub fn optional_bool(&self) -> Result<Option<bool>, Refusal> {
        self.optional("true or false", Value::as_bool)
    }

    /// The whole number that may stand here, within 64 bits.
    pub fn optional_integer(&self) -> Result<Option<i64>, Refusal> {
        self.optional("a whole number of at most 64 bits", Value::as_i64)
    }

    /// The object that may stand here.
    pub fn optional_object(&self) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        self.optional("an object", Value::as_object)
    }

    /// The object that must stand here.
    pub fn object(&self) -> Result<&'a Map<String, Value>, Refusal> {
        self.optional_object()?
            .ok_or_else(|| self.refuse("is required"))
    }

    /// The elements of the list that may stand here; none where it is absent.
    pub fn list(&self) -> Result<Vec<Field<'a>>, Refusal> {
        Ok(self
            .optional("a list", Value::as_array)?
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, value)| Field {
                value: Some(value).filter(|v| !v.is_null()),
                path: format!("{}[{index}]", self.path),
            })
            .collect())
    }

    /// The members of the object that may stand here, in key order.
    pub fn entries(&self) -> Result<Vec<(&'a str, Field<'a>)>, Refusal> {
        Ok(self
            .optional_object()?
            .into_iter()
            .flatten()
            .map(|(key, _)| (key.as_str(), self.get(key)))
            .collect())
    }

    /// The map of strings that may stand here.
    pub fn strings(&self) -> Result<std::collections::BTreeMap<String, String>, Refusal> {
        self.entries()?
            .into_iter()
            .map(|(key, field)| Ok((key.to_owned(), field.string()?.to_owned())))
            .collect()
    }

    /// Refuses members that are none of `known`, so that a misspelt field is not silently ignored.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        for (key, field) in self.entries()? {
            if !known.contains(&key) {
                return Err(field.refuse(format!(
                    "is not a field here; known are {}",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn optional<T>(
        &self,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.value {
            None => Ok(None),
            Some(value) => read(value)
                .map(Some)
                .ok_or_else(|| self.refuse(format!("must be {expected}, not {}", kind_of(value)))),
        }
    }
}

/// The path of the member `key` of what stands at `path`: `spec.path`, keys with dots as `["a.b/c"]`.
pub(crate) fn child_path(path: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']', '"', '/']) {
        format!("{path}[{}]", Value::String(key.to_owned()))
    } else if path.is_empty() {
        key.to_owned()
    } else {
        [path, ".", key].concat()
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_name_the_path() {
        let document = json!({"spec": {"overrides": [{"clusters": "eu"}], "labels": {"a.b/c": 1}}});
        let root = Field::root(&document);
        let overrides = root.get("spec").get("overrides").list().expect("a list");
        let table = [
            (
                overrides[0].get("clusters").list().err(),
                "spec.overrides[0].clusters: must be a list, not a string",
            ),
            (
                root.get("spec").get("labels").strings().err(),
                "spec.labels[\"a.b/c\"]: must be a string, not a number",
            ),
            (root.get("kind").string().err(), "kind: is required"),
            (
                root.only(&["kind"]).err(),
                "spec: is not a field here; known are kind",
            ),
        ];
        for (refusal, expected) in table {
            assert_eq!(refusal.expect("refused").to_string(), expected);
        }
    }
}
