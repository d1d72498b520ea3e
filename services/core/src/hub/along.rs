//! Plain objects that others take along: what a workload under a policy with `propagateDeps` names is handed in, too.
//!
//! Whether it then lands anywhere, and where, is decided where every plain object is placed ([`karmada::live`](crate::dialect::karmada::live)); here it only gets into the log.

use std::collections::{BTreeMap, BTreeSet};

use super::Effect;
use crate::model::ObjectKey;

/// Which plain objects are taken along.
#[derive(Debug, Clone, Default)]
pub(super) struct Along {
    /// What each object takes along; only those that do.
    taken: BTreeMap<ObjectKey, Vec<ObjectKey>>,
    /// By how many each is taken along.
    counts: BTreeMap<ObjectKey, usize>,
    /// Kinds that are watched, so that a new one of them is to be read and not listed again.
    watched: BTreeSet<(String, String)>,
    to_read: BTreeSet<ObjectKey>,
}

impl Along {
    /// Whether somebody takes it along.
    pub(super) fn includes(&self, place: &ObjectKey) -> bool {
        self.counts.contains_key(place)
    }

    /// `place` takes `names` along, and nothing else.
    pub(super) fn takes(&mut self, place: &ObjectKey, names: Vec<ObjectKey>) {
        let before = match names.is_empty() {
            true => self.taken.remove(place),
            false => self.taken.insert(place.clone(), names.clone()),
        };
        for name in names {
            let count = self.counts.entry(name.clone()).or_default();
            *count += 1;
            if *count == 1 {
                self.to_read.insert(name);
            }
        }
        for name in before.into_iter().flatten() {
            if let Some(count) = self.counts.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&name);
                }
            }
        }
    }

    /// A kind is being watched, and listed.
    pub(super) fn is_watched(&mut self, api_version: &str, kind: &str) {
        self.watched
            .insert((api_version.to_owned(), kind.to_owned()));
    }

    /// What is to be done so that all of them are known.
    pub(super) fn poll(&mut self) -> Option<Effect> {
        let place = self.to_read.pop_first()?;
        // Whatever is taken along is of the core group.
        let kind = ("v1".to_owned(), place.kind().to_owned());
        if self.watched.contains(&kind) {
            return Some(Effect::Fetch { place });
        }
        let (api_version, kind) = kind;
        self.is_watched(&api_version, &kind);
        Some(Effect::Watch { api_version, kind })
    }
}
