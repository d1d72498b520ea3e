//! Removals that wait in the world: which, and what somebody says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fleetcast_core::change::{Content, Origin};
use fleetcast_core::confirmation::{Confirmation, Ruling};
use fleetcast_core::decision::Standings;
use fleetcast_core::document::Document;
use fleetcast_core::intake::Submission;
use fleetcast_core::log::Event;
use fleetcast_core::model::{Dialect, ObjectKey};

use super::bus::Log;
use super::hub::declared_by;

/// What waits by the log.
pub(super) fn waiting(log: &Log) -> BTreeSet<String> {
    let mut standings: BTreeMap<&ObjectKey, Standings> = BTreeMap::new();
    for entry in log.entries() {
        if let Event::Decision(decision) = &entry.event {
            let standings = standings.entry(&decision.object).or_default();
            standings.apply(decision);
        }
    }
    let held = standings.values().flat_map(Standings::held);
    held.map(|(_, hold)| hold.id.clone()).collect()
}

/// Somebody rules about what waits as `id` and has read the log up to `upto`.
pub(super) fn confirmation(id: &str, upto: u64, ruling: Ruling, count: u32) -> Rc<Submission> {
    let confirmation = Confirmation {
        id: id.to_owned(),
        upto,
        ruling,
    };
    let object = Confirmation::key(id).expect("an id is a name");
    let content = Content::Declared {
        dialect: Dialect::Native,
        document: Document::from_value(&confirmation.document()),
    };
    Rc::new(Submission {
        origin: Origin {
            source: "operator".to_owned(),
            id: format!("confirm {count:08x}"),
        },
        declared_by: declared_by(&object, &content),
        object,
        anew: false,
        content,
    })
}
