//! The watches of one agent: a list of each kind, then what becomes of its copies, until the connection breaks (as `services/agent/src/cluster/watch.rs`).

use std::collections::{BTreeMap, VecDeque};

use fleetcast_core::model::ObjectKey;
use fleetcast_core::reconcile::{Fact, WatchNews, WatchedKind};

use super::server::Server;

/// The watches of one agent.
#[derive(Default)]
pub(super) struct Watches {
    /// Each kind that is watched, and whether it was listed since its connection broke last.
    kinds: BTreeMap<WatchedKind, Watch>,
    /// What lists showed and the agent has not met.
    shown: VecDeque<Fact>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    ToList,
    Listed,
    /// The server does not answer, and the agent knows.
    Fails,
}

impl Watches {
    pub(super) fn begin(&mut self, object: &ObjectKey) {
        self.kinds.insert(WatchedKind::of(object), Watch::ToList);
    }

    pub(super) fn end(&mut self, kind: &WatchedKind) {
        self.kinds.remove(kind);
    }

    /// All connections break: what was on its way is lost, and everything is listed anew.
    pub(super) fn break_off(&mut self, server: &mut Server) {
        self.shown.clear();
        server.events.clear();
        for watch in self.kinds.values_mut() {
            *watch = Watch::ToList;
        }
    }

    /// What the agent is told next: nothing where nothing is new.
    pub(super) fn next(&mut self, server: &mut Server) -> Option<Fact> {
        if server.cut {
            self.shown.clear();
            server.events.clear();
            let (kind, watch) = self
                .kinds
                .iter_mut()
                .find(|(_, watch)| **watch != Watch::Fails)?;
            *watch = Watch::Fails;
            let news = WatchNews::Fails("it does not answer".to_owned());
            return Some(Fact::Watch(kind.clone(), news));
        }
        loop {
            if let Some(fact) = self.shown.pop_front() {
                return Some(fact);
            }
            let Some((object, sight)) = server.events.pop_front() else {
                break;
            };
            if self.kinds.get(&WatchedKind::of(&object)) == Some(&Watch::Listed) {
                return Some(Fact::Observed { object, sight });
            }
        }
        let (kind, watch) = self
            .kinds
            .iter_mut()
            .find(|(_, watch)| **watch != Watch::Listed)?;
        *watch = Watch::Listed;
        let of_kind = server
            .copies()
            .filter(|object| object.kind() == kind.kind && object.group() == kind.group);
        self.shown.extend(of_kind.map(|object| Fact::Observed {
            object: object.clone(),
            sight: server.sight(object),
        }));
        self.shown
            .push_back(Fact::Watch(kind.clone(), WatchNews::Complete));
        Some(Fact::Watch(kind.clone(), WatchNews::Begins))
    }

    /// Whether the agent was shown everything.
    pub(super) fn are_still(&self, server: &Server) -> bool {
        self.shown.is_empty()
            && server.events.is_empty()
            && self.kinds.values().all(|watch| *watch == Watch::Listed)
    }
}
