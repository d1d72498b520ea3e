//! Withdrawals that were announced together: how many of them are still to come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Together;
use crate::model::ObjectKey;
use crate::time::Time;

/// What came of withdrawals that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announced {
    /// How many objects are withdrawn together.
    objects: u64,
    /// How many of them came.
    came: u64,
    /// The same by namespace: how many are withdrawn, and how many of them came.
    namespaces: BTreeMap<String, (u64, u64)>,
    /// When the last of them came.
    at: Time,
}

impl Announced {
    /// Takes note of one, about `object`, that came at `at`.
    pub(super) fn note(&mut self, object: &ObjectKey, together: &Together, at: Time) {
        self.objects = together.objects;
        self.came += 1;
        let name = object.namespace().unwrap_or_default().to_owned();
        let (of, came) = self.namespaces.entry(name).or_default();
        *of = together.in_namespace;
        *came += 1;
        self.at = self.at.max(at);
    }

    /// How many are still to come.
    pub(super) fn to_come(&self) -> u64 {
        self.objects.saturating_sub(self.came)
    }

    /// How many are still to come in a namespace; empty for objects without one.
    pub(super) fn to_come_in(&self, namespace: &str) -> u64 {
        let counts = self.namespaces.get(namespace);
        counts.map_or(0, |(of, came)| of.saturating_sub(*came))
    }

    /// Whether the last of them came less than `ms` before `now`.
    pub(super) fn is_of_now(&self, now: Time, ms: i64) -> bool {
        now.0 - self.at.0 < ms
    }
}
