//! Which fields an apply stated, in few bytes: so that whoever comes later can tell a field that was ours from one that never was.
//!
//! The API server forgets that a field was ours as soon as somebody else takes it. Each field that a manifest states is kept as 24 bits of FNV-1a-64 of its
//! path; a list item is named by its `name` where it has one, as most lists of Kubernetes are keyed, else by its place. A field that was never ours is taken
//! for one that was with a chance of (number of fields) / 2²⁴.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::digest::fnv1a64;

/// How many fields are kept at most, so that what is kept stays below 16 KiB; of a manifest that states more, nothing is kept.
const LIMIT: usize = 4_096;

/// The fields that a manifest stated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stated(BTreeSet<u32>);

impl Stated {
    /// What `manifest` states; empty where that are more than 4,096 fields.
    pub fn of(manifest: &Value) -> Self {
        let mut fields = BTreeSet::new();
        note(manifest, &mut String::new(), &mut fields);
        match fields.len() {
            0..=LIMIT => Self(fields),
            _ => Self::default(),
        }
    }

    /// Three bytes for each field, in order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self(fields) = self;
        fields
            .iter()
            .flat_map(|field| field.to_be_bytes().into_iter().skip(1))
            .collect()
    }

    /// Reads what [`Stated::to_bytes`] wrote; bytes of anything else mean other fields, or none.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (fields, _) = bytes.as_chunks();
        Self(
            fields
                .iter()
                .take(LIMIT)
                .map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c]))
                .collect(),
        )
    }

    /// Whether it was among them what stands at the JSON pointer `pointer` of `manifest`.
    pub(super) fn has(&self, manifest: &Value, pointer: &str) -> bool {
        let (mut value, mut path) = (manifest, String::new());
        for step in pointer.split('/').skip(1) {
            let below = match value {
                Value::Array(items) => {
                    let index: usize = step.parse().unwrap_or(usize::MAX);
                    let Some(item) = items.get(index) else {
                        return false;
                    };
                    item_step(&mut path, index, item);
                    Some(item)
                }
                value => {
                    let field = step.replace("~1", "/").replace("~0", "~");
                    field_step(&mut path, &field);
                    value.get(&field)
                }
            };
            let Some(below) = below else { return false };
            value = below;
        }
        self.0.contains(&short(&path))
    }
}

/// Notes every scalar, every list and every item of one; what is empty states nothing.
fn note(value: &Value, path: &mut String, fields: &mut BTreeSet<u32>) {
    let end = path.len();
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => drop(fields.insert(short(path))),
        Value::Object(below) => {
            for (field, value) in below {
                field_step(path, field);
                note(value, path, fields);
                path.truncate(end);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            fields.insert(short(path));
            for (index, item) in items.iter().enumerate() {
                item_step(path, index, item);
                fields.insert(short(path));
                note(item, path, fields);
                path.truncate(end);
            }
        }
    }
}

fn field_step(path: &mut String, field: &str) {
    path.push('/');
    path.push_str(&field.replace('~', "~0").replace('/', "~1"));
}

fn item_step(path: &mut String, index: usize, item: &Value) {
    match (item, item.get("name")) {
        (_, Some(name)) => path.push_str(&format!("/name={name}")),
        (Value::String(_) | Value::Number(_), None) => path.push_str(&format!("/{item}")),
        (_, None) => path.push_str(&format!("/{index}")),
    }
}

fn short(path: &str) -> u32 {
    let hash = fnv1a64(path.as_bytes());
    u32::try_from((hash ^ (hash >> 24) ^ (hash >> 48)) & 0x00ff_ffff).expect("24 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A field is found again in another manifest, where its list items stand elsewhere; what was not stated is not found.
    #[test]
    fn what_was_stated_is_told_from_what_was_not() {
        let before = json!({
            "metadata": {"labels": {"app/name": "web"}, "finalizers": ["a", "b"]},
            "spec": {"replicas": 2, "empty": {}, "none": [], "containers": [
                {"name": "web", "image": "web:1", "args": ["x"]}, {"name": "log", "ports": [{"port": 80}]}]},
        });
        let stated = Stated::from_bytes(&Stated::of(&before).to_bytes());
        assert_eq!(stated, Stated::of(&before));
        let now = json!({
            "metadata": {"labels": {"app/name": "api", "new": "x"}, "finalizers": ["b", "c"]},
            "spec": {"replicas": 3, "empty": {"a": 1}, "none": [1], "containers": [
                {"name": "new", "image": "new:1"}, {"name": "log", "ports": [{"port": 81, "name": "p"}]}, {"name": "web", "image": "web:2", "args": ["y"]}]},
        });
        for (pointer, expected) in [
            ("/spec/replicas", true),
            ("/metadata/labels/app~1name", true),
            ("/metadata/labels/new", false),
            ("/metadata/finalizers/0", true),
            ("/metadata/finalizers/1", false),
            ("/spec/empty/a", false),
            ("/spec/none", false),
            ("/spec/none/0", false),
            ("/spec/containers", true),
            ("/spec/containers/0", false),
            ("/spec/containers/0/image", false),
            ("/spec/containers/1", true),
            ("/spec/containers/1/ports/0", false),
            ("/spec/containers/2/image", true),
            ("/spec/containers/2/args", true),
            ("/spec/containers/7/image", false),
            ("/nowhere/at/all", false),
        ] {
            assert_eq!(stated.has(&now, pointer), expected, "{pointer}");
        }
    }

    /// What is kept of a manifest is bounded, and nothing that somebody else writes there breaks the reader.
    #[test]
    fn what_is_kept_is_bounded() {
        let wide = |fields: usize| {
            let data = (0..fields).map(|field| (field.to_string(), json!("x")));
            json!({"data": data.collect::<serde_json::Map<_, _>>()})
        };
        let bytes = Stated::of(&wide(4_000)).to_bytes();
        assert!((11_900..=12_000).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(Stated::of(&wide(10_000)).to_bytes(), [0_u8; 0]);
        let hostile = Stated::from_bytes(&[7; 1_000_001]);
        assert!(!hostile.has(&wide(1), "/data/0"));
    }
}
