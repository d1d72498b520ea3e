//! Documents as they stood in a view.

use fleetcast_core::fold::View;
use fleetcast_core::model::ObjectKey;

use crate::answer::build::as_of;
use crate::answer::past::{DocumentRow, Documents};

/// The documents of one object, of a namespace, or of the whole fleet.
pub(crate) fn documents(
    view: &View,
    named: Option<&ObjectKey>,
    namespace: Option<&str>,
) -> Documents {
    let is_asked_for = |key: &ObjectKey| {
        named.is_none_or(|named| named == key)
            && namespace.is_none_or(|namespace| key.namespace() == Some(namespace))
    };
    let row = |(key, object): (&ObjectKey, &fleetcast_core::fold::Object)| {
        let change = &object.change;
        let document = change.document.as_ref().filter(|_| !change.withdrawn);
        let holds = object.standings.iter();
        DocumentRow {
            object: key.clone(),
            name: key.for_people(),
            revision: change.revision,
            withdrawn: change.withdrawn,
            document: document.and_then(|document| document.value().ok()),
            clusters: holds
                .filter(|(cluster, _)| object.standings.holds(cluster))
                .map(|(cluster, _)| cluster.clone())
                .collect(),
        }
    };
    Documents {
        as_of: as_of(view),
        objects: view
            .objects()
            .filter(|(key, _)| is_asked_for(key))
            .map(row)
            .collect(),
    }
}
