//! What the log says about the objects that hubs declared, and which clusters are heard: folded from the log, whichever hub asks.
//!
//! It is also the form of the checkpoint of a hub's watch and of the section `hub` of a base: what is added to it needs `#[serde(default)]`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HubOrigin;
use crate::change::{Change, Content, Origin};
use crate::dialect;
use crate::digest;
use crate::epoch::Epoch;
use crate::fold::{ChangeView, View};
use crate::log::{ClusterNews, Entry, Event};
use crate::model::{Cluster, ClusterName, ObjectKey, OnHub};
use crate::readiness::Readiness;

/// What the log says, by target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Logged {
    /// The log sequence up to which it is folded.
    sequence: u64,
    /// Whose history that is.
    epoch: Option<Epoch>,
    targets: BTreeMap<ObjectKey, Newest>,
    /// What declares a target now, or declared it last: the object's place on a hub.
    places: BTreeMap<ObjectKey, ObjectKey>,
    /// Clusters whose agents are heard and can do their work.
    online: BTreeSet<ClusterName>,
    /// What registered each cluster, and is in the fleet still: by its place on which hub.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    clusters: BTreeMap<ClusterName, (String, ObjectKey)>,
}

/// What the log says about one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    /// The digest of what is declared; none where it is withdrawn.
    pub(super) digest: Option<String>,
    /// Who handed the newest change in.
    pub(super) source: String,
    /// Where the document stands that declared it last.
    place: Option<ObjectKey>,
    /// The newest change that each hub made of it, by the hub's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by_hub: BTreeMap<String, ByHub>,
}

/// The newest change that a hub made of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ByHub {
    pub(super) state: HubOrigin,
    /// The digest of what was declared; none for a withdrawal.
    pub(super) digest: Option<String>,
}

impl Newest {
    /// The newest change that the hub `hub` made of it.
    pub(super) fn by_hub(&self, hub: &str) -> Option<&ByHub> {
        self.by_hub.get(hub)
    }
}

impl Logged {
    /// What a view says about it: for a base that has no section of its own for hubs. Such a base was only made where no hub had declared anything.
    pub fn of_view(view: &View) -> Self {
        let mut logged = Self {
            sequence: view.log,
            epoch: view.epoch().cloned(),
            ..Self::default()
        };
        let objects = view.objects().map(|(key, object)| (key, &object.change));
        let policies = view.policies().map(|(key, policy)| (key, &policy.change));
        let mut all: Vec<(&ObjectKey, &ChangeView)> = objects.chain(policies).collect();
        // Where two declared from one place, the last one counts.
        all.sort_by_key(|(_, change)| change.sequence);
        for (object, change) in all {
            let document = change.document.as_ref();
            let place = document.and_then(|document| place_of(document.value().ok().as_ref()?));
            if let Some(place) = &place {
                logged.places.insert(place.clone(), object.clone());
            }
            let declared = document.filter(|_| !change.withdrawn);
            let digest = declared.map(|document| digest::of_bytes(document.as_bytes()));
            let state = HubOrigin::of(&change.origin);
            let by_hub = state.map(|state| {
                let digest = digest.clone();
                (state.hub.clone(), ByHub { state, digest })
            });
            let newest = Newest {
                sequence: change.sequence,
                digest,
                source: change.origin.source.clone(),
                place,
                by_hub: by_hub.into_iter().collect(),
            };
            logged.targets.insert(object.clone(), newest);
        }
        let online = view
            .clusters()
            .filter(|(_, cluster)| cluster.readiness() == Readiness::Ready);
        logged.online = online.map(|(name, _)| name.clone()).collect();
        for (_, cluster) in view.clusters() {
            if let Some(registered) = &cluster.registered {
                logged.registered(registered);
            }
        }
        logged
    }

    /// The log sequence up to which it is folded.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whose history it is a fold of, once known.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// Clusters whose agents are heard and can do their work.
    pub fn online(&self) -> &BTreeSet<ClusterName> {
        &self.online
    }

    /// Passes an event by that says nothing about hubs, or that nobody can read.
    pub fn passed(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// Folds the next event of the log, and answers the places that it concerns; one already folded is ignored.
    pub fn logged(&mut self, entry: &Entry) -> Vec<ObjectKey> {
        if entry.sequence <= self.sequence {
            return Vec::new();
        }
        self.sequence = entry.sequence;
        match &entry.event {
            Event::Change(change) | Event::Policy(change) => self.take(entry.sequence, change),
            Event::Decision(_) => Vec::new(),
            Event::Cluster(event) => {
                match event.news {
                    ClusterNews::Online { trouble: None } => {
                        self.online.insert(event.cluster.clone());
                    }
                    // Of a cluster whose API server does not answer nothing can be asked either.
                    ClusterNews::Online { trouble: Some(_) } | ClusterNews::Offline {} => {
                        self.online.remove(&event.cluster);
                    }
                    ClusterNews::Removed {} => {
                        self.online.remove(&event.cluster);
                        let on_hub = self.clusters.remove(&event.cluster);
                        return on_hub.into_iter().map(|(_, place)| place).collect();
                    }
                    ClusterNews::Registered(ref cluster) => self.registered(cluster),
                }
                Vec::new()
            }
            Event::Epoch(beginning) => {
                self.epoch = Some(beginning.epoch.clone());
                Vec::new()
            }
        }
    }

    /// A cluster is registered. Where somebody else changed it since (it is cordoned), it is still the hub's object that declared it.
    fn registered(&mut self, cluster: &Cluster) {
        let Some(on_hub) = &cluster.declared_on else {
            return;
        };
        if let Ok(place) = on_hub.place.parse() {
            let hub = on_hub.hub.clone();
            self.clusters.insert(cluster.name.clone(), (hub, place));
        }
    }

    /// The cluster that the object at a place of the hub `hub` registered, while it is in the fleet.
    pub(super) fn cluster_at(&self, hub: &str, place: &ObjectKey) -> Option<&ClusterName> {
        let mut clusters = self.clusters.iter();
        clusters
            .find(|(_, (on, at))| on == hub && at == place)
            .map(|(name, _)| name)
    }

    fn take(&mut self, sequence: u64, change: &Change) -> Vec<ObjectKey> {
        let before = self.targets.get(&change.object);
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
        let mut by_hub = before
            .map(|before| before.by_hub.clone())
            .unwrap_or_default();
        if let Some(state) = HubOrigin::of(&change.origin) {
            let digest = digest.clone();
            by_hub.insert(state.hub.clone(), ByHub { state, digest });
        }
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

    /// What the log says about a target.
    pub(super) fn get(&self, target: &ObjectKey) -> Option<&Newest> {
        self.targets.get(target)
    }

    /// What the object at a place declares, or declared last.
    pub(super) fn target_of(&self, place: &ObjectKey) -> Option<&ObjectKey> {
        self.places.get(place)
    }

    /// Whether what stands at a place declares something now.
    pub(super) fn declares(&self, place: &ObjectKey) -> bool {
        let newest = self.target_of(place).and_then(|target| self.get(target));
        newest.is_some_and(|newest| newest.digest.is_some())
    }

    /// The places that declare something now, and that the hub `hub` handed in.
    pub(super) fn places<'a>(&'a self, hub: &'a str) -> impl Iterator<Item = &'a ObjectKey> {
        let declares = move |target: &ObjectKey| {
            let newest = self.targets.get(target);
            newest.is_some_and(|newest| newest.digest.is_some() && newest.by_hub(hub).is_some())
        };
        let places = self.places.iter();
        let clusters = self.clusters.values();
        let clusters = clusters.filter(move |(on, _)| on == hub);
        places
            .filter(move |(_, target)| declares(target))
            .map(|(place, _)| place)
            .chain(clusters.map(|(_, place)| place))
    }
}

/// Which object of a hub a document was handed in as; none where somebody else is the publisher.
pub fn on_hub(origin: &Origin, document: &Value) -> Option<OnHub> {
    let state = HubOrigin::of(origin)?;
    Some(OnHub {
        hub: state.hub,
        place: place_of(document)?.to_string(),
    })
}

/// Where a document's object stands on a hub.
fn place_of(document: &Value) -> Option<ObjectKey> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let group = dialect::group_of(text("/apiVersion")?);
    let namespace = text("/metadata/namespace");
    ObjectKey::new(text("/kind")?, group, namespace, text("/metadata/name")?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Origin;
    use crate::document::Document;
    use crate::epoch::Beginning;
    use crate::log::ClusterEvent;
    use crate::model::Dialect;
    use crate::time::Time;

    fn key(text: &str) -> ObjectKey {
        text.parse().expect(text)
    }

    fn origin(source: &str, id: &str) -> Origin {
        Origin {
            source: source.to_owned(),
            id: id.to_owned(),
        }
    }

    /// Declares `Secret/shop/<name>` as `text`; nothing withdraws it.
    fn change(name: &str, revision: u64, origin: Origin, text: Option<&str>) -> Event {
        let document = |text: &str| {
            json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"template": {"apiVersion": "v1", "kind": "Secret", "stringData": {"text": text}}}})
        };
        Event::Change(Change {
            object: key(&format!("Secret/shop/{name}")),
            revision,
            origin,
            time: Time(0),
            content: match text {
                Some(text) => Content::Declared {
                    dialect: Dialect::Native,
                    document: Document::from_value(&document(text)),
                },
                None => Content::withdrawn(false),
            },
        })
    }

    fn cluster(name: &str, news: ClusterNews) -> Event {
        Event::Cluster(ClusterEvent {
            cluster: ClusterName::parse(name).expect(name),
            time: Time(0),
            news,
        })
    }

    fn epoch() -> Event {
        let epoch = Epoch {
            number: 1,
            hub: "first".to_owned(),
        };
        Event::Epoch(Beginning {
            epoch,
            partitions: 1,
        })
    }

    fn entries(events: Vec<Event>) -> Vec<Entry> {
        let events = events.into_iter().zip(1..);
        let entry = |(event, sequence): (Event, u64)| Entry {
            sequence,
            id: sequence.to_string(),
            event,
        };
        events.map(entry).collect()
    }

    /// Folded in one go, and in two with what was known in between written and read back.
    fn folded(entries: &[Entry], cut: usize) -> Logged {
        let mut whole = Logged::default();
        for entry in entries {
            whole.logged(entry);
        }
        let mut first = Logged::default();
        for entry in &entries[..cut] {
            first.logged(entry);
        }
        let kept = serde_json::to_vec(&first).expect("it serializes");
        let mut second: Logged = serde_json::from_slice(&kept).expect("it is read back");
        for entry in entries {
            second.logged(entry);
        }
        assert_eq!(second, whole, "cut at {cut}");
        whole
    }

    #[test]
    fn what_two_hubs_and_others_declared_is_the_same_from_any_cut() {
        let events = entries(vec![
            epoch(),
            cluster("eu", ClusterNews::READY),
            change("a", 1, origin("kubernetes/h", "u/2/1"), Some("one")),
            change("a", 2, origin("kubernetes/i", "v/9/1"), Some("two")),
            change("b", 1, origin("fleetcast/cli", "1"), Some("one")),
            change("a", 3, origin("fleetcast/cli", "2"), Some("three")),
            change("c", 1, origin("kubernetes/h", "w/3/1"), Some("one")),
            change("c", 2, origin("kubernetes/h", "w/4/1/withdrawn"), None),
            cluster("us", ClusterNews::READY),
            cluster("eu", ClusterNews::Offline {}),
        ]);
        for cut in 0..=events.len() {
            let logged = folded(&events, cut);
            assert_eq!(logged.sequence(), 10);
            let online: Vec<&str> = logged.online().iter().map(ClusterName::as_str).collect();
            assert_eq!(online, ["us"]);
            let a = logged.get(&key("Secret/shop/a")).expect("known");
            assert_eq!(a.source, "fleetcast/cli");
            for (hub, version) in [("h", Some(2)), ("i", Some(9)), ("k", None)] {
                let state = a.by_hub(hub).map(|by_hub| by_hub.state.version);
                assert_eq!(state, version, "{hub}");
            }
            let places = |hub| logged.places(hub).map(ObjectKey::to_string).collect();
            let of_a = "FederatedObject.fleetcast.dev/shop/a".to_owned();
            for (hub, expected) in [("h", vec![of_a.clone()]), ("i", vec![of_a]), ("k", vec![])] {
                let found: Vec<String> = places(hub);
                assert_eq!(found, expected, "{hub}: what is withdrawn is not declared");
            }
        }
    }

    #[test]
    fn a_view_says_the_same_where_no_hub_declared_anything() {
        let events = entries(vec![
            epoch(),
            cluster("eu", ClusterNews::READY),
            change("a", 1, origin("fleetcast/cli", "1"), Some("one")),
            change("b", 1, origin("fleetcast/cli", "2"), Some("one")),
            change("a", 2, origin("fleetcast/cli", "3"), Some("two")),
            change("b", 2, origin("fleetcast/cli", "4"), None),
        ]);
        let mut view = View::default();
        for entry in &events {
            view.logged(entry);
        }
        assert_eq!(Logged::of_view(&view), folded(&events, 0));
    }
}
