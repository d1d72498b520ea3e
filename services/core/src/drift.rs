//! What somebody else changed in an applied object: which fields, by which manager, when.
//!
//! The API server keeps in `metadata.managedFields` who states which field. After an apply of ours we state every field of the manifest; a field that
//! we no longer state was set or removed by somebody else since. So values are never compared, and nothing that a server writes in another form
//! (quantities, defaults, encodings) is taken for drift. Fields that others add beside ours are not drift: server-side apply leaves them to their owners.
//!
//! Where no entry names a lost field, it was removed, and nobody records by whom.

mod stated;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use stated::Stated;

/// How many fields are named.
const NAMED: usize = 20;

/// What somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Whether it was put right.
    pub healed: bool,
    /// Whether the whole object was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The fields, at most 20.
    pub fields: Vec<Field>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// How often the object was put right since the decision was carried out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heals: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One field that we set and somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// As API servers name fields in conflicts: `.spec.template.spec.containers[name="web"].image`.
    pub path: String,
    /// The manager that states it now; none where the field was removed, which nobody records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// When, as the API server recorded it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl Drift {
    /// These fields, not put right yet; none where there are none.
    pub fn of(mut fields: Vec<Field>) -> Option<Self> {
        if fields.is_empty() {
            return None;
        }
        let more = fields.len().saturating_sub(NAMED);
        fields.truncate(NAMED);
        Some(Self {
            healed: false,
            deleted: false,
            fields,
            more: u64::try_from(more).expect("a usize fits"),
            heals: 0,
        })
    }

    /// The whole object is gone.
    pub fn deletion() -> Self {
        Self {
            healed: false,
            deleted: true,
            fields: Vec::new(),
            more: 0,
            heals: 0,
        }
    }

    /// Without the fields of these paths; none where nothing is left.
    pub fn without(mut self, paths: &[String]) -> Option<Self> {
        self.fields.retain(|field| !paths.contains(&field.path));
        (self.deleted || !self.fields.is_empty()).then_some(self)
    }

    /// One line for a person: `.spec.replicas by kubectl`.
    pub fn summary(&self) -> String {
        if self.deleted {
            return "deleted by somebody else".to_owned();
        }
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|field| match &field.manager {
                Some(manager) => format!("{} by {manager}", field.path),
                None => format!("{} removed", field.path),
            })
            .collect();
        match self.more {
            0 => fields.join(", "),
            more => format!("{} and {more} more", fields.join(", ")),
        }
    }
}

/// The fields of `desired` that `manager` no longer states in `live`, without those at or below the JSON pointers `ignore`; in the order of `desired`.
pub fn find(desired: &Value, live: &Value, ignore: &[String], manager: &str) -> Vec<Field> {
    let lost = walk(desired, live, ignore, manager).into_iter();
    lost.map(|(_, field)| field).collect()
}

/// Of the fields that `manager` would state with `desired` and does not state in `live`, those that it had stated before; as API servers name them.
pub fn lost(
    desired: &Value,
    live: &Value,
    ignore: &[String],
    manager: &str,
    before: &Stated,
) -> Vec<String> {
    walk(desired, live, ignore, manager)
        .into_iter()
        .filter(|(pointer, _)| before.has(desired, pointer))
        .map(|(_, field)| field.path)
        .collect()
}

/// What [`find`] finds, each with its JSON pointer in `desired`.
fn walk(desired: &Value, live: &Value, ignore: &[String], manager: &str) -> Vec<(String, Field)> {
    let entries: Vec<Entry> = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Entry::read)
        .collect();
    let (ours, theirs): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        // An admission webhook's change to what we apply is recorded as an update of ours.
        .partition(|entry| entry.manager == manager && entry.subresource.is_empty());
    let mut walk = Walk {
        ignore,
        pointer: String::new(),
        path: String::new(),
        found: Vec::new(),
    };
    walk.value(desired, &begin(ours), &begin(theirs));
    walk.found
}

/// One entry of `managedFields` about the object itself.
#[derive(Clone, Copy)]
struct Entry<'a> {
    manager: &'a str,
    subresource: &'a str,
    time: Option<&'a str>,
    fields: &'a Map<String, Value>,
}

impl<'a> Entry<'a> {
    fn read(entry: &'a Value) -> Option<Self> {
        Some(Self {
            manager: entry["manager"].as_str().unwrap_or_default(),
            subresource: entry["subresource"].as_str().unwrap_or_default(),
            time: entry["time"].as_str(),
            fields: entry["fieldsV1"].as_object()?,
        })
    }

    /// The manager as a person names it.
    fn who(&self) -> String {
        match self.subresource {
            "" => self.manager.to_owned(),
            subresource => format!("{} (through {subresource})", self.manager),
        }
    }
}

/// Where in an entry's fields a walk stands.
#[derive(Clone, Copy)]
enum Cursor<'a> {
    /// Everything from here on is stated as one.
    Whole,
    Below(&'a Map<String, Value>),
}

impl<'a> Cursor<'a> {
    fn step(self, key: &str) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Whole),
            Self::Below(fields) => match fields.get(key)?.as_object()? {
                below if below.is_empty() => Some(Self::Whole),
                below => Some(Self::Below(below)),
            },
        }
    }
}

type At<'a> = Vec<(Entry<'a>, Cursor<'a>)>;

fn begin(entries: Vec<Entry<'_>>) -> At<'_> {
    entries
        .into_iter()
        .map(|entry| (entry, Cursor::Below(entry.fields)))
        .collect()
}

fn step<'a>(at: &At<'a>, key: &str) -> At<'a> {
    at.iter()
        .filter_map(|(entry, cursor)| Some((*entry, cursor.step(key)?)))
        .collect()
}

/// The keys of list items that the entries name, as `k:{…}` or `v:…`.
fn item_keys<'a>(at: &At<'a>) -> Vec<&'a str> {
    let maps = at.iter().filter_map(|(_, cursor)| match cursor {
        Cursor::Whole => None,
        Cursor::Below(fields) => Some(*fields),
    });
    maps.flat_map(|fields| fields.keys())
        .map(String::as_str)
        .filter(|key| key.starts_with("k:") || key.starts_with("v:"))
        .collect()
}

/// What no apply states: it names the object, or only the server writes it.
fn is_stated_by_nobody(path: &str) -> bool {
    matches!(
        path,
        ".apiVersion"
            | ".kind"
            | ".status"
            | ".metadata.name"
            | ".metadata.namespace"
            | ".metadata.generateName"
            | ".metadata.creationTimestamp"
            | ".metadata.resourceVersion"
            | ".metadata.uid"
    )
}

struct Walk<'a> {
    ignore: &'a [String],
    /// Where the walk stands in the manifest, as a JSON pointer.
    pointer: String,
    /// The same as API servers write it.
    path: String,
    found: Vec<(String, Field)>,
}

impl Walk<'_> {
    fn value(&mut self, desired: &Value, ours: &At<'_>, theirs: &At<'_>) {
        if is_stated_by_nobody(&self.path) || self.ignore.contains(&self.pointer) {
            return;
        }
        match desired {
            Value::Null => {}
            Value::Object(fields) => {
                for (field, desired) in fields {
                    let key = format!("f:{field}");
                    let step_pointer = field.replace('~', "~0").replace('/', "~1");
                    self.below(&step_pointer, &format!(".{field}"), |walk| {
                        walk.value(desired, &step(ours, &key), &step(theirs, &key));
                    });
                }
            }
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) => self.list(items, ours, theirs),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if ours.is_empty() {
                    self.lost(theirs);
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], ours: &At<'_>, theirs: &At<'_>) {
        if ours
            .iter()
            .any(|(_, cursor)| matches!(cursor, Cursor::Whole))
        {
            return;
        }
        let mut keys = item_keys(ours);
        keys.extend(item_keys(theirs));
        if keys.is_empty() {
            // A list that is stated as one, by others or by nobody.
            return self.lost(theirs);
        }
        for (index, item) in items.iter().enumerate() {
            let matching: Vec<&str> = keys
                .iter()
                .copied()
                .filter(|key| names(key, item))
                .collect();
            let at = |at: &At<'_>| matching.iter().any(|key| !step(at, key).is_empty());
            let name = match matching.first() {
                Some(key) => label(key),
                None => format!("[{index}]"),
            };
            let (is_ours, key) = (
                at(ours),
                matching.iter().find(|key| !step(ours, key).is_empty()),
            );
            self.below(&index.to_string(), &name, |walk| match (is_ours, key) {
                (true, Some(key)) => {
                    let (ours, theirs) = (step(ours, key), step(theirs, key));
                    if item.is_object() {
                        walk.value(item, &ours, &theirs);
                    }
                }
                _ => {
                    if !walk.ignore.contains(&walk.pointer) {
                        let theirs: At<'_> =
                            matching.iter().flat_map(|key| step(theirs, key)).collect();
                        walk.lost(&theirs);
                    }
                }
            });
        }
    }

    fn below(&mut self, pointer: &str, path: &str, walk: impl FnOnce(&mut Self)) {
        let (pointer_end, path_end) = (self.pointer.len(), self.path.len());
        self.pointer.push('/');
        self.pointer.push_str(pointer);
        self.path.push_str(path);
        walk(self);
        self.pointer.truncate(pointer_end);
        self.path.truncate(path_end);
    }

    /// What stands here is not ours any more; who wrote last of those that state it is to blame.
    fn lost(&mut self, theirs: &At<'_>) {
        let last = theirs.iter().max_by_key(|(entry, _)| entry.time);
        let field = Field {
            path: self.path.clone(),
            manager: last.map(|(entry, _)| entry.who()),
            time: last.and_then(|(entry, _)| entry.time).map(str::to_owned),
        };
        self.found.push((self.pointer.clone(), field));
    }
}

/// Whether an item's key (`k:{"name":"web"}`, `v:"a"`) names `item`; a key field that the item leaves to the server's default is any.
fn names(key: &str, item: &Value) -> bool {
    let Ok(named) = serde_json::from_str::<Value>(&key[2..]) else {
        return false;
    };
    match (named, item) {
        (Value::Object(named), Value::Object(item)) if key.starts_with("k:") => {
            let stated = named.iter().filter(|(field, _)| item.contains_key(*field));
            stated.clone().count() > 0 && stated.clone().all(|(field, value)| item[field] == *value)
        }
        (named, item) => named == *item,
    }
}

/// An item's key as API servers write it in paths: `[name="web"]`, `["a"]`.
fn label(key: &str) -> String {
    match serde_json::from_str::<Value>(&key[2..]) {
        Ok(Value::Object(named)) if key.starts_with("k:") => {
            let parts: Vec<String> = named
                .iter()
                .map(|(field, value)| format!("{field}={value}"))
                .collect();
            format!("[{}]", parts.join(","))
        }
        Ok(named) => format!("[{named}]"),
        Err(_) => "[?]".to_owned(),
    }
}

#[cfg(test)]
mod tests;
