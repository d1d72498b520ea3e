//! The objects to decide about, each with the id of the event that asks for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::ObjectKey;

/// The objects to decide about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Dirty {
    asked: BTreeMap<ObjectKey, String>,
    /// Those that came since they were taken last.
    #[serde(skip)]
    fresh: BTreeSet<ObjectKey>,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn contains_key(&self, object: &ObjectKey) -> bool {
        self.asked.contains_key(object)
    }

    pub(super) fn insert(&mut self, object: ObjectKey, cause: String) {
        self.fresh.insert(object.clone());
        self.asked.insert(object, cause);
    }

    /// Takes note of `cause` where the object is not marked already.
    pub(super) fn insert_if_absent(&mut self, object: &ObjectKey, cause: &str) {
        if !self.asked.contains_key(object) {
            self.insert(object.clone(), cause.to_owned());
        }
    }

    pub(super) fn remove(&mut self, object: &ObjectKey) {
        self.asked.remove(object);
        self.fresh.insert(object.clone());
    }

    /// Takes the first that `may` be decided about.
    pub(super) fn pop(&mut self, may: impl Fn(&ObjectKey) -> bool) -> Option<(ObjectKey, String)> {
        let object = self.asked.keys().find(|object| may(object))?.clone();
        self.fresh.insert(object.clone());
        self.asked.remove_entry(&object)
    }

    pub(super) fn causes(&self) -> BTreeSet<String> {
        self.asked.values().cloned().collect()
    }

    /// Those that came or went since they were taken last; of one that went the cause is empty.
    pub(super) fn take_fresh(&mut self) -> Vec<(ObjectKey, Option<String>)> {
        let fresh = std::mem::take(&mut self.fresh).into_iter();
        fresh
            .map(|object| {
                let cause = self.asked.get(&object).cloned();
                (object, cause)
            })
            .collect()
    }

    /// All of them.
    pub(super) fn take_all(&mut self) -> Vec<(ObjectKey, Option<String>)> {
        self.fresh.clear();
        let all = self.asked.iter();
        all.map(|(object, cause)| (object.clone(), Some(cause.clone())))
            .collect()
    }
}
