//! What goes with a Namespace: Kubernetes deletes everything in it, so what is ours in it goes, too, and counts.

use std::collections::{BTreeMap, BTreeSet};

use super::object::Object;
use crate::model::{ClusterName, ObjectKey};

/// Whether `object` is a namespace of Kubernetes, and which.
pub(super) fn namespace_of(object: &ObjectKey) -> Option<&str> {
    (object.kind() == "Namespace" && object.group().is_empty()).then(|| object.name())
}

/// The copies that go with `object` from `clusters`, those of the objects in it; none where it is no Namespace.
pub(super) fn along(
    objects: &BTreeMap<ObjectKey, Object>,
    object: &ObjectKey,
    clusters: &BTreeSet<ClusterName>,
) -> Vec<(ObjectKey, ClusterName)> {
    let Some(namespace) = namespace_of(object) else {
        return Vec::new();
    };
    let inside = objects
        .iter()
        .filter(|(key, _)| key.namespace() == Some(namespace));
    let copies = inside.flat_map(|(key, inside)| {
        let held = clusters
            .iter()
            .filter(|cluster| inside.standings.holds(cluster));
        held.map(|cluster| (key.clone(), cluster.clone()))
    });
    copies.collect()
}
