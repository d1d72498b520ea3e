//! `metadata.managedFields`: who states which fields.

use serde_json::{Map, Value, json};

use super::set::FieldSet;

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    /// The version in which the fields are written (`apps/v1`).
    pub(crate) api_version: String,
    /// Empty for the object itself, or `status`.
    pub(crate) subresource: String,
    /// RFC 3339 with seconds; when the set last became another.
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Manager {
    /// Whether both entries are one manager. An applier keeps its entry when it applies another version.
    pub(crate) fn is(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The manager as conflict messages name it.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// Reads `managedFields`; entries that cannot be read are left out.
pub(crate) fn read(entries: &Value) -> Vec<Manager> {
    entries
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(read_one)
        .collect()
}

fn read_one(entry: &Value) -> Option<Manager> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let operation = match entry.get("operation")?.as_str()? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    Some(Manager {
        name: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
        time: text("time"),
        fields: FieldSet::from_json(entry.get("fieldsV1")?),
    })
}

/// Writes `managedFields` in the API server's order.
pub(crate) fn write(managers: &mut [Manager]) -> Value {
    managers.sort_by(|a, b| {
        (
            a.operation,
            &a.time,
            &a.name,
            &a.api_version,
            &a.subresource,
        )
            .cmp(&(
                b.operation,
                &b.time,
                &b.name,
                &b.api_version,
                &b.subresource,
            ))
    });
    managers.iter().map(write_one).collect()
}

fn write_one(manager: &Manager) -> Value {
    let mut entry = Map::new();
    entry.insert("manager".into(), json!(manager.name));
    entry.insert("operation".into(), json!(manager.operation.as_str()));
    entry.insert("apiVersion".into(), json!(manager.api_version));
    if !manager.time.is_empty() {
        entry.insert("time".into(), json!(manager.time));
    }
    entry.insert("fieldsType".into(), json!("FieldsV1"));
    entry.insert("fieldsV1".into(), manager.fields.to_json());
    if !manager.subresource.is_empty() {
        entry.insert("subresource".into(), json!(manager.subresource));
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries survive reading and writing, in the API server's order, and without the unreadable ones.
    #[test]
    fn round_trip() {
        let update = json!({"manager": "b", "operation": "Update", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}, "subresource": "status"});
        let apply = json!({"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": "2024-01-02T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:b": {}}}});
        let mut managers = read(&json!([update, apply, {"operation": "Guess"}, 7]));
        assert_eq!(write(&mut managers), json!([apply, update]));
    }

    /// The description is the one in conflict messages.
    #[test]
    fn described() {
        for (operation, subresource, expected) in [
            (Operation::Apply, "", "\"kubectl\""),
            (Operation::Update, "", "\"kubectl\" using apps/v1"),
            (
                Operation::Update,
                "status",
                "\"kubectl\" with subresource \"status\" using apps/v1",
            ),
        ] {
            let manager = Manager {
                name: "kubectl".into(),
                operation,
                api_version: "apps/v1".into(),
                subresource: subresource.into(),
                time: String::new(),
                fields: FieldSet::default(),
            };
            assert_eq!(manager.describe(), expected);
        }
    }
}
