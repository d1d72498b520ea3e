//! What is left of an object's history where the log was cut: its newest revision there, with its newest decision and the answers to it.

use std::collections::BTreeMap;

use super::{Cause, Decided, History, Revision, Task};
use crate::decision::Standing;
use crate::fold::{ChangeView, Object, View};
use crate::model::ObjectKey;

impl History {
    /// Begins at the cut, where `view` is what was known there.
    pub fn at_cut(view: &View, key: &ObjectKey) -> Self {
        let mut history = Self::default();
        let policy = view.policies().find(|(policy, _)| *policy == key);
        if let Some((_, policy)) = policy {
            history.begin(view.log, &policy.change);
        }
        if let Some(object) = view.object(key) {
            history.begin(view.log, &object.change);
            history.decide(view, key, object);
        }
        history
    }

    fn begin(&mut self, cut: u64, change: &ChangeView) {
        let ChangeView {
            revision,
            sequence,
            id,
            origin,
            time,
            dialect,
            document,
            withdrawn,
        } = change;
        self.cut = Some(cut);
        self.document.clone_from(document);
        self.revisions.push(Revision {
            revision: *revision,
            sequence: *sequence,
            id: id.clone(),
            time: *time,
            origin: origin.clone(),
            dialect: dialect.filter(|_| !withdrawn),
            withdrawn: withdrawn.then_some(false),
            document: document.clone().filter(|_| !withdrawn),
            changed: Vec::new(),
            decisions: Vec::new(),
        });
    }

    fn decide(&mut self, view: &View, key: &ObjectKey, object: &Object) {
        let Object {
            change,
            decision,
            standings,
        } = object;
        self.standings = standings.clone();
        // A decision about an earlier revision has none here that it belongs to.
        let Some(decision) = decision
            .as_ref()
            .filter(|decision| decision.revision == change.revision)
        else {
            return;
        };
        let Some(epoch) = standings.epoch_of(decision.number).or(view.epoch()) else {
            return;
        };
        let mut clusters = BTreeMap::new();
        for (cluster, standing) in standings.iter() {
            if standing
                .due()
                .is_none_or(|(number, _)| number != decision.number)
            {
                continue;
            }
            let answer = view.answer(key, cluster);
            let answer = answer.filter(|answer| {
                answer.place.number == decision.number && answer.place.epoch == *epoch
            });
            let task = Task {
                digest: match standing {
                    Standing::Assigned { digest, .. } => Some(digest.clone()),
                    Standing::Removing { .. } | Standing::Excluded { .. } => None,
                },
                answer: answer.map(|answer| (answer.outcome, answer.message.clone(), answer.time)),
                superseded: None,
            };
            if !task.is_done() {
                self.open.insert((cluster.clone(), decision.number), (0, 0));
            }
            clusters.insert(cluster.clone(), task);
        }
        let is_of_change = decision.inputs.change_sequence == change.sequence;
        self.revisions[0].decisions.push(Decided {
            number: decision.number,
            epoch: epoch.clone(),
            sequence: decision.sequence,
            id: decision.id.clone(),
            time: decision.time,
            cause: match is_of_change {
                true => Cause::Change,
                false => Cause::Other,
            },
            inputs: decision.inputs.clone(),
            clusters,
            excluded: BTreeMap::new(),
            standings: standings.clone(),
        });
    }
}
