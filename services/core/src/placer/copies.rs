//! A set of copies, counted by cluster and by namespace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{ClusterName, ObjectKey};

type ByObject<V> = BTreeMap<ObjectKey, BTreeMap<ClusterName, V>>;

/// Copies, each with something that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    from = "ByObject<V>",
    into = "ByObject<V>",
    bound = "V: Clone + Serialize + serde::de::DeserializeOwned"
)]
pub(super) struct Copies<V> {
    by_object: ByObject<V>,
    clusters: BTreeMap<ClusterName, u64>,
    namespaces: BTreeMap<String, Share>,
}

/// How much of a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Objects.
    pub(super) objects: u64,
    /// Their copies.
    pub(super) copies: u64,
}

impl std::ops::Add for Share {
    type Output = Self;

    /// Both, where no copy is in both. An object of which each has copies counts twice.
    fn add(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            copies: self.copies + other.copies,
        }
    }
}

impl<V> Default for Copies<V> {
    fn default() -> Self {
        Self {
            by_object: BTreeMap::new(),
            clusters: BTreeMap::new(),
            namespaces: BTreeMap::new(),
        }
    }
}

impl<V> From<ByObject<V>> for Copies<V> {
    fn from(by_object: ByObject<V>) -> Self {
        let mut copies = Self::default();
        for (object, clusters) in by_object {
            for (cluster, value) in clusters {
                copies.insert(&object, &cluster, value);
            }
        }
        copies
    }
}

impl<V> From<Copies<V>> for ByObject<V> {
    fn from(copies: Copies<V>) -> Self {
        copies.by_object
    }
}

impl<V> Copies<V> {
    pub(super) fn is_empty(&self) -> bool {
        self.by_object.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &ClusterName, &V)> {
        self.by_object.iter().flat_map(|(object, clusters)| {
            let clusters = clusters.iter();
            clusters.map(move |(cluster, value)| (object, cluster, value))
        })
    }

    /// How many of them are in `cluster`.
    pub(super) fn in_cluster(&self, cluster: &ClusterName) -> u64 {
        self.clusters.get(cluster).copied().unwrap_or(0)
    }

    /// How many of them are in `namespace`; empty for objects without one.
    pub(super) fn in_namespace(&self, namespace: &str) -> Share {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    pub(super) fn holds(&self, object: &ObjectKey, cluster: &ClusterName) -> bool {
        let clusters = self.by_object.get(object);
        clusters.is_some_and(|clusters| clusters.contains_key(cluster))
    }

    /// Adds those of `other`.
    pub(super) fn take(&mut self, other: Self) {
        for (object, clusters) in other.by_object {
            for (cluster, value) in clusters {
                self.insert(&object, &cluster, value);
            }
        }
    }

    pub(super) fn insert(&mut self, object: &ObjectKey, cluster: &ClusterName, value: V) {
        if !self.by_object.contains_key(object) {
            self.by_object.insert(object.clone(), BTreeMap::new());
            self.share(object).objects += 1;
        }
        let clusters = self.by_object.get_mut(object).expect("made above");
        if clusters.insert(cluster.clone(), value).is_none() {
            *self.clusters.entry(cluster.clone()).or_default() += 1;
            self.share(object).copies += 1;
        }
    }

    /// Those of `object` that are `meant`.
    pub(super) fn of(&self, object: &ObjectKey, meant: impl Fn(&V) -> bool) -> Vec<ClusterName> {
        let clusters = self.by_object.get(object).into_iter().flatten();
        let meant = clusters.filter(|(_, value)| meant(value));
        meant.map(|(cluster, _)| cluster.clone()).collect()
    }

    pub(super) fn remove(&mut self, object: &ObjectKey, cluster: &ClusterName) {
        self.retain_of(object, |other, _| other != cluster);
    }

    /// Keeps those of `object` that `keep` says.
    pub(super) fn retain_of(
        &mut self,
        object: &ObjectKey,
        keep: impl Fn(&ClusterName, &V) -> bool,
    ) {
        let Some(clusters) = self.by_object.get_mut(object) else {
            return;
        };
        let before = clusters.len();
        clusters.retain(|cluster, value| {
            let keeps = keep(cluster, value);
            if !keeps && let Some(count) = self.clusters.get_mut(cluster) {
                *count -= 1;
                if *count == 0 {
                    self.clusters.remove(cluster);
                }
            }
            keeps
        });
        let (gone, is_gone) = (before - clusters.len(), clusters.is_empty());
        if is_gone {
            self.by_object.remove(object);
        }
        let share = self.share(object);
        share.copies -= gone as u64;
        share.objects -= u64::from(is_gone);
        if *share == Share::default() {
            let namespace = object.namespace().unwrap_or_default();
            self.namespaces.remove(namespace);
        }
    }

    /// Keeps those that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&ObjectKey, &ClusterName, &V) -> bool) {
        let objects: Vec<ObjectKey> = self.by_object.keys().cloned().collect();
        for object in &objects {
            self.retain_of(object, |cluster, value| keep(object, cluster, value));
        }
    }

    fn share(&mut self, object: &ObjectKey) -> &mut Share {
        let namespace = object.namespace().unwrap_or_default().to_owned();
        self.namespaces.entry(namespace).or_default()
    }
}
