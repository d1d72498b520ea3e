//! What a decision looks at besides its object and the clusters: the namespace that contains it, and the objects that take it along.
//!
//! An event about one of those asks for a new decision, and its log sequence is among that decision's inputs: a decision that was under
//! way then is looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Parsed, Placer};
use crate::decision::{Standing, Standings};
use crate::dependencies;
use crate::dialect::karmada;
use crate::log::Entry;
use crate::model::{Cluster, ClusterName, Dialect, FederatedObject, ObjectKey};
use crate::placement::{Containment, Holding, Situation};
use crate::plan::{self, Plan};

/// What surrounds one object.
pub(super) struct Around {
    /// The outer none means that nothing contains it, the inner that its namespace is not federated.
    namespace: Option<Option<Arc<FederatedObject>>>,
    needed: BTreeMap<ClusterName, String>,
}

impl Around {
    pub(super) fn plan(
        &self,
        object: &FederatedObject,
        clusters: &BTreeMap<ClusterName, Cluster>,
        standings: &Standings,
        available: &BTreeMap<ClusterName, i64>,
    ) -> Plan {
        let holding = |cluster: &ClusterName| {
            let available = available.get(cluster).copied();
            let holding = match standings.get(cluster) {
                Some(Standing::Assigned { replicas, .. }) => Holding {
                    holds: true,
                    // What a cluster is left to decide is not known here.
                    replicas: replicas.filter(|_| !object.retain_replicas),
                    ..Holding::default()
                },
                Some(Standing::Removing { .. } | Standing::Excluded { .. }) | None => {
                    Holding::default()
                }
            };
            Holding {
                available,
                ..holding
            }
        };
        let situation = Situation {
            clusters,
            holding: &holding,
            containment: self
                .namespace
                .as_ref()
                .map_or(Containment::None, |namespace| {
                    let placement = namespace.as_deref().map(|namespace| &namespace.placement);
                    placement.map_or(Containment::Missing, Containment::Within)
                }),
            needed: &self.needed,
            all: false,
        };
        plan::plan_in(object, &situation)
    }
}

impl Placer {
    /// Plans `object` as a decision about it would now.
    pub fn plan(&self, object: &FederatedObject) -> Plan {
        let known = self.objects.get(&object.target);
        let standings = known
            .map(|known| known.standings.clone())
            .unwrap_or_default();
        let available = self.available_for(object);
        self.around(object)
            .plan(object, &self.clusters, &standings, &available)
    }

    pub(super) fn around(&self, object: &FederatedObject) -> Around {
        let namespace = object.target.namespace();
        let namespace = namespace.filter(|_| object.dialect == Dialect::Kubefed);
        Around {
            namespace: namespace.map(|name| self.federated_namespace(name)),
            needed: self.needed(&object.target),
        }
    }

    fn federated_namespace(&self, name: &str) -> Option<Arc<FederatedObject>> {
        let key = ObjectKey::new("Namespace", "", None, name).ok()?;
        let known = self.objects.get(&key)?;
        let read = known.read().filter(|_| known.withdrawn.is_none());
        read.as_ref().and_then(Parsed::federated).cloned()
    }

    /// The clusters that hold an object which takes `key` along, and which one.
    fn needed(&self, key: &ObjectKey) -> BTreeMap<ClusterName, String> {
        let mut needed = BTreeMap::new();
        for dependent in self.dependents.get(key).into_iter().flatten() {
            let Some(known) = self.objects.get(dependent) else {
                continue;
            };
            for (cluster, standing) in known.standings.iter() {
                if matches!(standing, Standing::Assigned { .. }) {
                    needed
                        .entry(cluster.clone())
                        .or_insert_with(|| dependent.for_people());
                }
            }
        }
        needed
    }

    /// What the newest document of an object takes along, or may where its policy says so.
    pub(super) fn names(&self, key: &ObjectKey) -> BTreeSet<ObjectKey> {
        let known = self.objects.get(key);
        let read = known
            .filter(|known| {
                let newest = known.documents.values().next_back();
                let says_so = |bytes: &[u8]| bytes.windows(WORD.len()).any(|window| window == WORD);
                known.is_plain || newest.is_some_and(|document| says_so(document.as_bytes()))
            })
            .and_then(|known| known.read());
        match (read, key.namespace()) {
            (Some(Parsed::Federated(object)), Some(namespace)) if object.dependencies => {
                dependencies::of(&object.template, namespace)
            }
            (Some(Parsed::Plain(document)), Some(_)) => {
                karmada::live::names(&document, key).into_iter().collect()
            }
            (Some(_) | None, _) => BTreeSet::new(),
        }
    }

    /// After a change of `key`: who depends on it, or did, is looked at again.
    pub(super) fn relate(&mut self, key: &ObjectKey, before: BTreeSet<ObjectKey>, entry: &Entry) {
        let now = self.names(key);
        for gone in before.difference(&now) {
            if let Some(dependents) = self.dependents.get_mut(gone) {
                dependents.remove(key);
                if dependents.is_empty() {
                    self.dependents.remove(gone);
                }
            }
        }
        for named in &now {
            let dependents = self.dependents.entry(named.clone()).or_default();
            dependents.insert(key.clone());
        }
        for named in before.symmetric_difference(&now) {
            self.look_again_because(named, entry);
        }
        if (key.kind(), key.group()) == ("Namespace", "") {
            let inside: Vec<ObjectKey> = self
                .objects
                .keys()
                .filter(|object| object.namespace() == Some(key.name()))
                .cloned()
                .collect();
            for object in &inside {
                self.look_again_because(object, entry);
            }
        }
    }

    /// After a decision about `key`: what it takes along is looked at again.
    pub(super) fn relatives_look_again(&mut self, key: &ObjectKey, entry: &Entry) {
        for named in &self.names(key) {
            self.look_again_because(named, entry);
        }
    }

    pub(super) fn look_again_because(&mut self, key: &ObjectKey, entry: &Entry) {
        if let Some(object) = self.objects.get_mut(key)
            && object.revision > 0
        {
            object.related_sequence = entry.sequence;
            self.dirty.insert(key.clone(), entry.id.clone());
        }
    }
}

/// A document of ours without this word takes nothing along, and need not be read to know that.
const WORD: &[u8] = b"\"dependencies\"";
