//! What is ours in the cluster and in nobody's work: told, and never touched.
//!
//! It is told only of kinds that are watched, once a list of them was complete, and once all work is known: what was not shown, or not heard of yet, is no
//! stray.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{WatchNews, WatchedKind};
use crate::model::ObjectKey;

/// How many are kept of a kind; of more only that there are more is known.
const KEPT: usize = 1_000;
/// How many are told by name.
const TOLD: usize = 20;

/// What is ours in a cluster and in nobody's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Strays {
    /// How many there are, or at least so many.
    pub count: u64,
    /// Whether there may be more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The first of them by name.
    pub objects: Vec<ObjectKey>,
}

/// What was shown that is in nobody's work, by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    kinds: BTreeMap<WatchedKind, Kind>,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    complete: bool,
    objects: BTreeSet<ObjectKey>,
    more: bool,
}

impl Known {
    /// A copy was shown that is ours.
    pub(super) fn shown(&mut self, object: &ObjectKey) {
        let kind = self.kinds.entry(WatchedKind::of(object)).or_default();
        match kind.objects.len() < KEPT {
            true => drop(kind.objects.insert(object.clone())),
            false => kind.more |= !kind.objects.contains(object),
        }
    }

    /// It is gone, or lost our label.
    pub(super) fn gone(&mut self, object: &ObjectKey) {
        if let Some(kind) = self.kinds.get_mut(&WatchedKind::of(object)) {
            kind.objects.remove(object);
        }
    }

    /// The watch of a kind goes on in another way.
    pub(super) fn watch(&mut self, kind: &WatchedKind, news: &WatchNews) {
        let kind = self.kinds.entry(kind.clone()).or_default();
        match news {
            WatchNews::Begins => *kind = Kind::default(),
            WatchNews::Complete => kind.complete = true,
            WatchNews::Fails(_) => {}
        }
    }

    /// The kind is not watched any more.
    pub(super) fn unwatch(&mut self, kind: &WatchedKind) {
        self.kinds.remove(kind);
    }

    /// What is to be told; none where there is nothing. `in_work` is whether an object is in the cluster's work.
    pub(super) fn tell(&self, in_work: impl Fn(&ObjectKey) -> bool) -> Option<Strays> {
        let complete = || self.kinds.values().filter(|kind| kind.complete);
        let objects = complete().flat_map(|kind| &kind.objects);
        let objects: Vec<&ObjectKey> = objects.filter(|object| !in_work(object)).collect();
        (!objects.is_empty()).then(|| Strays {
            count: objects.len() as u64,
            more: complete().any(|kind| kind.more),
            objects: objects.into_iter().take(TOLD).cloned().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ObjectKey {
        let text = format!("ConfigMap/shop/c{number:04}");
        text.parse().expect("valid")
    }

    fn kind() -> WatchedKind {
        WatchedKind::of(&key(0))
    }

    #[test]
    fn strays_are_told_once_the_list_is_complete_and_until_they_are_gone() {
        let mut seen = Known::default();
        seen.watch(&kind(), &WatchNews::Begins);
        seen.shown(&key(1));
        seen.shown(&key(2));
        let nothing = |_: &ObjectKey| false;
        assert_eq!(seen.tell(nothing), None, "the list may go on");
        seen.watch(&kind(), &WatchNews::Complete);
        let told = seen.tell(nothing).expect("two");
        assert_eq!((told.count, told.objects), (2, vec![key(1), key(2)]));
        let told = seen
            .tell(|object| *object == key(1))
            .expect("one is in work");
        assert_eq!(told.objects, [key(2)]);
        seen.watch(&kind(), &WatchNews::Fails("it breaks off".to_owned()));
        assert_eq!(seen.tell(nothing).map(|told| told.count), Some(2));
        seen.gone(&key(2));
        assert_eq!(seen.tell(nothing).map(|told| told.count), Some(1));
        seen.watch(&kind(), &WatchNews::Begins);
        assert_eq!(seen.tell(nothing), None, "listed anew");
        seen.watch(&kind(), &WatchNews::Complete);
        assert_eq!(seen.tell(nothing), None, "and not there any more");
        seen.shown(&key(3));
        seen.unwatch(&kind());
        assert_eq!(seen.tell(nothing), None);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let mut seen = Known::default();
        seen.watch(&kind(), &WatchNews::Complete);
        for number in 0..KEPT + 5 {
            seen.shown(&key(number));
        }
        let told = seen.tell(|_| false).expect("many");
        assert_eq!((told.count, told.more), (KEPT as u64, true));
        assert_eq!(told.objects.len(), TOLD);
    }
}
