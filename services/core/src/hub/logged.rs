//! What the log says about the objects that hubs declared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::HubOrigin;
use crate::change::{Change, Content};
use crate::dialect;
use crate::digest;
use crate::model::ObjectKey;

/// What the log says, by target.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    hub: String,
    targets: BTreeMap<ObjectKey, Newest>,
    /// What declares a target now, or declared it last: the object's place on a hub.
    places: BTreeMap<ObjectKey, ObjectKey>,
}

/// What the log says about one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    /// The digest of what is declared; none where it is withdrawn.
    pub(super) digest: Option<String>,
    /// Who handed the newest change in.
    pub(super) source: String,
    /// Where the document stands that declared it last.
    place: Option<ObjectKey>,
    /// The newest change that the hub made of it.
    pub(super) by_hub: Option<ByHub>,
}

/// The newest change that the hub made of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ByHub {
    pub(super) state: HubOrigin,
    /// The digest of what was declared; none for a withdrawal.
    pub(super) digest: Option<String>,
}

impl Logged {
    pub(super) fn new(hub: String) -> Self {
        Self {
            hub,
            targets: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Takes note of a change, and answers the places that it concerns.
    pub(super) fn take(&mut self, sequence: u64, change: &Change) -> Vec<ObjectKey> {
        let before = self.targets.get(&change.object);
        if before.is_some_and(|before| before.sequence >= sequence) {
            return Vec::new();
        }
        let declared = match &change.content {
            Content::Declared { document, .. } => Some(document),
            Content::Withdrawn { .. } => None,
        };
        let digest = declared.map(|document| digest::of_bytes(document.as_bytes()));
        let place_before = before.and_then(|before| before.place.clone());
        let place = match declared {
            Some(document) => document.value().ok().as_ref().and_then(place_of),
            None => place_before.clone(),
        };
        let by_hub = match HubOrigin::of(&change.origin).filter(|origin| origin.hub == self.hub) {
            Some(origin) => Some(ByHub {
                state: origin,
                digest: digest.clone(),
            }),
            None => before.and_then(|before| before.by_hub.clone()),
        };
        let concerned = [&place_before, &place]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if place_before != place
            && let Some(place) = &place_before
        {
            self.places.remove(place);
        }
        if let Some(place) = &place {
            self.places.insert(place.clone(), change.object.clone());
        }
        self.targets.insert(
            change.object.clone(),
            Newest {
                sequence,
                digest,
                source: change.origin.source.clone(),
                place,
                by_hub,
            },
        );
        concerned
    }

    /// The withdrawal of what stands at `place` is in the log, before the log itself says so.
    pub(super) fn withdrawn(&mut self, place: &ObjectKey, sequence: u64) {
        let target = self.places.get(place);
        if let Some(newest) = target.and_then(|target| self.targets.get_mut(target)) {
            newest.digest = None;
            newest.sequence = newest.sequence.max(sequence);
        }
    }

    /// What the log says about a target.
    pub(super) fn get(&self, target: &ObjectKey) -> Option<&Newest> {
        self.targets.get(target)
    }

    /// What the object at a place declares, or declared last.
    pub(super) fn target_of(&self, place: &ObjectKey) -> Option<&ObjectKey> {
        self.places.get(place)
    }

    /// The places that declare something now, and that the hub handed in.
    pub(super) fn places(&self) -> impl Iterator<Item = &ObjectKey> {
        let declares = |target: &ObjectKey| {
            let newest = self.targets.get(target);
            newest.is_some_and(|newest| newest.digest.is_some() && newest.by_hub.is_some())
        };
        let places = self.places.iter();
        places
            .filter(move |(_, target)| declares(target))
            .map(|(place, _)| place)
    }
}

/// Where a document's object stands on a hub.
fn place_of(document: &Value) -> Option<ObjectKey> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let group = dialect::group_of(text("/apiVersion")?);
    let namespace = text("/metadata/namespace");
    ObjectKey::new(text("/kind")?, group, namespace, text("/metadata/name")?).ok()
}
