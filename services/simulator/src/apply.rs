//! Server-side apply: field ownership, conflicts, and what an object looks like afterwards.
//!
//! The rules are those of `sigs.k8s.io/structured-merge-diff`, which a real API server uses. Objects come in without
//! `apiVersion`, `kind`, `metadata.managedFields` and the metadata that the server itself keeps up.

mod compare;
mod managers;
mod merge;
mod prune;
mod set;
mod shape;

use serde_json::{Map, Value};

pub(crate) use compare::AlwaysThere;
pub(crate) use managers::{Manager, Operation, read, write};
pub(crate) use set::{BadItem, FieldSet};
pub(crate) use shape::{Fields, Key, Keyed, Shape, builtin, object_meta};

use compare::compare;
use merge::merge;
use prune::prune;

use crate::object::drop_nulls;

/// Owns what was in an object before anybody was written down as its manager.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// An object and who states what in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Owned {
    pub(crate) object: Value,
    pub(crate) managers: Vec<Manager>,
}

impl Owned {
    /// An object that does not exist yet.
    pub(crate) fn absent() -> Self {
        Owned {
            object: Value::Object(Map::new()),
            managers: Vec::new(),
        }
    }

    fn is_absent(&self) -> bool {
        self.object.as_object().is_some_and(Map::is_empty)
    }
}

/// How a kind's objects merge.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) always_there: AlwaysThere,
}

/// Who writes, in which version, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    /// Empty for the object itself, or `status`.
    pub(crate) subresource: &'a str,
    /// RFC 3339 with seconds.
    pub(crate) time: &'a str,
}

impl Writer<'_> {
    fn entry(&self, operation: Operation, fields: FieldSet) -> Manager {
        Manager {
            name: self.name.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: self.time.to_owned(),
            fields,
        }
    }
}

/// Why a configuration was not applied.
#[derive(Debug, PartialEq)]
pub(crate) enum NotApplied {
    /// Others state other values for these fields: the manager's description and the field, in the managers' order.
    Conflicts(Vec<Conflict>),
    /// A list's items cannot be told apart.
    BadItem(BadItem),
}

/// One field that another manager states with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// `"kubectl" using apps/v1`.
    pub(crate) manager: String,
    /// `.spec.replicas`.
    pub(crate) field: String,
}

/// Applies a configuration over a live object.
pub(crate) fn apply(
    live: &Owned,
    config: Value,
    rules: Rules<'_>,
    writer: Writer<'_>,
    force: bool,
) -> Result<Owned, NotApplied> {
    let stated = FieldSet::stated_by(&config, rules.shape).map_err(NotApplied::BadItem)?;
    let mut managers = live.managers.clone();
    if managers.is_empty() && !live.is_absent() {
        managers.push(before_first_apply(&live.object, rules, writer));
    }

    let mut object = live.object.clone();
    merge(&mut object, config, rules.shape);

    let entry = writer.entry(Operation::Apply, stated);
    let before = take_entry(&mut managers, &entry);
    let dropping = |before: &&Manager| !entry.fields.covers(&before.fields);
    if let Some(before) = before.as_ref().filter(dropping) {
        let mut owned = entry.fields.clone();
        for manager in &managers {
            owned.add(manager.fields.clone());
        }
        prune(&mut object, rules.shape, &before.fields, &owned);
    }

    let difference = compare(&live.object, &object, rules.shape, rules.always_there);
    drop_nulls(&mut object);
    let conflicts = conflicts(&managers, &difference.changed);
    if !force && !conflicts.is_empty() {
        return Err(NotApplied::Conflicts(conflicts));
    }
    for manager in &mut managers {
        manager.fields.subtract(&difference.changed);
        manager.fields.subtract(&difference.removed);
    }
    managers.push(match before {
        Some(before)
            if before.fields == entry.fields
                && before.api_version == entry.api_version
                && live.object == object =>
        {
            before
        }
        _ => entry,
    });
    managers.retain(|manager| !manager.fields.is_empty());
    Ok(Owned { object, managers })
}

/// Writes down who owns what after a write that is not an apply: whatever changed is the writer's now.
pub(crate) fn update(
    live: &Value,
    object: &Value,
    mut managers: Vec<Manager>,
    rules: Rules<'_>,
    writer: Writer<'_>,
) -> Vec<Manager> {
    let mut difference = compare(live, object, rules.shape, rules.always_there);
    strip_server_metadata(&mut difference.changed);
    for manager in &mut managers {
        manager.fields.subtract(&difference.changed);
        manager.fields.subtract(&difference.removed);
    }
    if !difference.changed.is_empty() {
        let mut entry = writer.entry(Operation::Update, difference.changed);
        if let Some(before) = take_entry(&mut managers, &entry) {
            entry.fields.add(before.fields);
        }
        managers.push(entry);
    }
    managers.retain(|manager| !manager.fields.is_empty());
    managers
}

fn take_entry(managers: &mut Vec<Manager>, entry: &Manager) -> Option<Manager> {
    let index = managers.iter().position(|manager| manager.is(entry))?;
    Some(managers.remove(index))
}

fn before_first_apply(live: &Value, rules: Rules<'_>, writer: Writer<'_>) -> Manager {
    let mut all = compare(
        &Owned::absent().object,
        live,
        rules.shape,
        rules.always_there,
    )
    .changed;
    strip_server_metadata(&mut all);
    let writer = Writer {
        name: BEFORE_FIRST_APPLY,
        subresource: "",
        ..writer
    };
    writer.entry(Operation::Update, all)
}

fn conflicts(managers: &[Manager], changed: &FieldSet) -> Vec<Conflict> {
    let mut conflicts: Vec<_> = managers
        .iter()
        .flat_map(|manager| {
            let fields = manager.fields.intersect(changed).paths();
            fields.into_iter().map(|field| Conflict {
                manager: manager.describe(),
                field,
            })
        })
        .collect();
    conflicts.sort_by(|a, b| (&a.manager, &a.field).cmp(&(&b.manager, &b.field)));
    conflicts
}

/// Metadata that the server keeps up: nobody owns it.
pub(crate) const SERVER_METADATA: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

fn strip_server_metadata(set: &mut FieldSet) {
    for field in SERVER_METADATA {
        set.remove(&["metadata", field]);
    }
    if let Some(metadata) = set.below.get_mut("f:metadata") {
        metadata.own = false;
        if metadata.is_empty() {
            set.below.remove("f:metadata");
        }
    }
}

#[cfg(test)]
mod tests;
