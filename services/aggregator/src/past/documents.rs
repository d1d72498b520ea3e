//! Documents as they stood in a view: of objects, and of the policies that place them.

use fleetcast_core::fold::{ChangeView, View};
use fleetcast_core::model::ObjectKey;

use crate::answer::build::as_of;
use crate::answer::past::{DocumentRow, Documents};

/// The documents of one object, of a namespace, or of the whole fleet; behind the objects the policies.
pub(crate) fn documents(
    view: &View,
    named: Option<&ObjectKey>,
    namespace: Option<&str>,
) -> Documents {
    let is_asked_for = |key: &ObjectKey| {
        named.is_none_or(|named| named == key)
            && namespace.is_none_or(|namespace| key.namespace() == Some(namespace))
    };
    let row = |key: &ObjectKey, change: &ChangeView, clusters| DocumentRow {
        object: key.clone(),
        name: key.for_people(),
        revision: change.revision,
        withdrawn: change.withdrawn,
        document: change
            .document
            .as_ref()
            .filter(|_| !change.withdrawn)
            .and_then(|document| document.value().ok()),
        clusters,
    };
    let policies = view
        .policies()
        .filter(|(key, _)| is_asked_for(key))
        .map(|(key, policy)| row(key, &policy.change, Vec::new()));
    let objects = view.objects().filter(|(key, _)| is_asked_for(key));
    let objects = objects.map(|(key, object)| {
        let holds = object.standings.iter();
        let holds = holds.filter(|(cluster, _)| object.standings.holds(cluster));
        let clusters = holds.map(|(cluster, _)| cluster.clone()).collect();
        row(key, &object.change, clusters)
    });
    Documents {
        as_of: as_of(view),
        objects: objects.chain(policies).collect(),
    }
}
