//! What is to be done about each object of a Kubernetes hub: facts in, effects out, without IO.
//!
//! Two things are compared for each object: how it was seen last, and the newest change that this hub made of it in the log ([`HubOrigin`]). So nothing depends on
//! what was seen in between: watches may break, processes may start again, and two of them may overlap.
//!
//! | seen on the hub | in the log | what is done |
//! |---|---|---|
//! | an object that we do not hold | anything | our finalizer is put on it |
//! | another document than the hub's newest change | older than what is seen | it is handed in |
//! | another document than the hub's newest change | made of a newer state | nothing: the hub went back, a person settles it |
//! | the same document | the newest change is somebody else's | nothing: a rollback stays, and is shown |
//! | being deleted, held by us | declared | withdrawn |
//! | being deleted, held by us | declared, and its kind's definition is being deleted too | let go, and nothing is withdrawn |
//! | being deleted, held by us | withdrawn | let go once the clusters that can be reached have answered |
//! | nothing | declared by the hub | nothing: it vanished, a person settles it |
//!
//! | what | file |
//! |---|---|
//! | which state a change was made of | [`origin`] |
//! | what a live object declares | [`sighting`] |
//! | what the log says | [`logged`] |
//! | what is to be done about one object | `hub/step.rs` |
//! | which federated kinds of KubeFed's are propagated | `hub/types.rs` |
//! | which objects others take along (Karmada's `propagateDeps`) | `hub/along.rs` |
//!
//! **Invariant**: only an object that is being deleted and that we hold is ever withdrawn.

mod along;
pub mod logged;
pub mod origin;
pub mod sighting;
mod step;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Refusal;
use crate::change::Origin;
use crate::dialect::karmada::live::Concern;
use crate::dialect::{is_plain, karmada};
use crate::document::Document;
use crate::log::Entry;
use crate::model::ObjectKey;

use self::along::Along;
pub use self::logged::Logged;
pub use self::origin::HubOrigin;
pub use self::sighting::{Seal, Sighting, What};
pub use self::step::Standing;
use self::step::{Step, step};
use self::types::Types;

/// What is known about a hub, and what is to be done.
#[derive(Debug, Clone)]
pub struct Hub {
    id: String,
    rows: BTreeMap<ObjectKey, Row>,
    logged: Logged,
    /// Karmada's policies by place: which plain objects are handed in.
    policies: BTreeMap<ObjectKey, Concern>,
    /// Plain objects that others take along.
    along: Along,
    /// KubeFed's FederatedTypeConfigs.
    types: Types,
    /// Plain kinds to be watched, or to be listed again because a policy changed.
    to_watch: BTreeSet<(String, String)>,
    /// Kinds whose definition is being deleted.
    leaving: BTreeSet<(String, String)>,
    dirty: BTreeSet<ObjectKey>,
}

/// What is known of one object of the hub.
#[derive(Debug, Clone, Default)]
struct Row {
    seen: Option<Sighting>,
    /// Not shown yet by the list that is under way.
    unlisted: bool,
    /// Something is being done about it.
    busy: bool,
    /// The digest of the document that was answered last, with the refusal, where it was none.
    answered: Option<(String, Option<Refusal>)>,
    /// Where its withdrawal stands in the log, which may not have been read that far.
    withdrawn: Option<u64>,
    /// Whether all clusters that can be reached have answered its withdrawal.
    removed: bool,
    /// The digest of what was once seen to be older than the log: whatever raises its version does not make it newer.
    older: Option<String>,
    /// What was reported last.
    reported: Option<Report>,
}

/// Something to do. Each but [`Effect::Watch`] and [`Effect::Report`] is answered: nothing else is asked about that object meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Watch a plain kind, or list it again where it is watched.
    Watch {
        /// Its apiVersion.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// Read the whole object: answer with [`Hub::seen`] or [`Hub::gone`], then [`Hub::done`].
    Fetch {
        /// Which object of the hub.
        place: ObjectKey,
    },
    /// Set these finalizers where the object still has this version: answer with [`Hub::seen`], then [`Hub::done`].
    Finalizers {
        /// Which object of the hub.
        place: ObjectKey,
        /// In which state.
        version: u64,
        /// All of them.
        finalizers: Vec<String>,
    },
    /// Note on a cluster object what was registered: answer with [`Hub::done`].
    Note {
        /// Which object of the hub.
        place: ObjectKey,
        /// What the annotation says.
        digest: String,
    },
    /// Hand a document in: answer with [`Hub::answered`].
    Submit {
        /// Which object of the hub.
        place: ObjectKey,
        /// What the document is about.
        target: ObjectKey,
        /// Which change it is; none for a cluster.
        origin: Origin,
        /// The document.
        document: Document,
        /// Its digest.
        digest: String,
    },
    /// Withdraw what an object declared, unless its definition is being deleted too ([`Hub::leaves`]): answer with [`Hub::withdrawn`], then
    /// [`Hub::done`].
    Withdraw {
        /// Which object of the hub.
        place: ObjectKey,
        /// What is withdrawn.
        target: ObjectKey,
        /// Which change it is.
        origin: Origin,
    },
    /// Wait until all clusters that can be reached have answered: answer with [`Hub::removed`], then [`Hub::done`].
    AwaitRemoval {
        /// Which object of the hub.
        place: ObjectKey,
        /// What was withdrawn.
        target: ObjectKey,
        /// The withdrawal's sequence in the log.
        sequence: u64,
    },
    /// Tell a person.
    Report {
        /// Which object of the hub.
        place: ObjectKey,
        /// Its uid; empty where it vanished.
        uid: String,
        /// Its generation.
        generation: u64,
        /// What is to be told.
        report: Report,
    },
}

/// What a person is told about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is taken in, after it was refused.
    Accepted,
    /// It is refused.
    Refused(Refusal),
    /// It vanished without a withdrawal.
    Vanished,
    /// The log holds a newer state of it: the hub went back.
    Older,
}

/// One object as `hub diff` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which object of the hub.
    pub place: ObjectKey,
    /// What it is about, where that is known.
    pub target: Option<ObjectKey>,
    /// How it stands.
    pub standing: Standing,
}

impl Hub {
    /// Nothing is known yet about the hub `id` (the uid of its namespace `kube-system`) but what the log says.
    pub fn new(id: impl Into<String>, logged: Logged) -> Self {
        Self {
            id: id.into(),
            logged,
            rows: BTreeMap::new(),
            policies: BTreeMap::new(),
            along: Along::default(),
            types: Types::default(),
            to_watch: BTreeSet::new(),
            leaving: BTreeSet::new(),
            dirty: BTreeSet::new(),
        }
    }

    /// What the log says, as far as it was read.
    pub fn log(&self) -> &Logged {
        &self.logged
    }

    /// An event of the log that says nothing here, or that nobody can read.
    pub fn passed(&mut self, sequence: u64) {
        self.logged.passed(sequence);
    }

    /// The next event of the log.
    pub fn logged(&mut self, entry: &Entry) {
        for place in self.logged.logged(entry) {
            // Whoever was in the way may be gone.
            if let Some(row) = self.rows.get_mut(&place)
                && let Some((_, Some(_))) = row.answered
            {
                row.answered = None;
            }
            if let Some(row) = self.rows.get_mut(&place) {
                row.older = None;
            }
            self.dirty.insert(place);
        }
    }

    /// An object was seen as a whole, and what it declares needs no sealing, or nobody hands it in.
    pub fn seen(&mut self, live: &Value) {
        self.seen_sealing(live, &sighting::unsealed);
    }

    /// An object was seen as a whole; what it declares is sealed with `seal`.
    pub fn seen_sealing(&mut self, live: &Value, seal: Seal<'_>) {
        let Some((place, mut sighting)) = Sighting::read_metadata(live) else {
            return;
        };
        let stays = (!sighting.deleting).then_some(live);
        if Types::is_config(place.group(), place.kind()) {
            let kinds = self.types.learn(&place, stays);
            return self.types_changed(&kinds);
        }
        sighting.what = match types::is_federated(&place) {
            true => match self.types.completed(live) {
                Ok(live) => What::of(&live, seal),
                Err(refusal) => What::Refused(refusal),
            },
            false => What::of(live, seal),
        };
        self.learn_policy(&place, stays);
        if self.concerns(&place, live) {
            if is_plain(live["apiVersion"].as_str().unwrap_or_default()) {
                self.learn_along(&place, stays);
            }
            self.note(place, sighting);
        }
    }

    /// What is known of these federated kinds changed: objects that are read by it are read again.
    fn types_changed(&mut self, kinds: &BTreeSet<String>) {
        for (place, row) in &mut self.rows {
            if !types::is_federated(place) {
                continue;
            }
            if let Some(seen) = &mut row.seen
                && kinds.contains(place.kind())
            {
                seen.what = What::Metadata;
            }
            self.dirty.insert(place.clone());
        }
    }

    /// Takes note of what a plain object takes along; none where it is gone.
    fn learn_along(&mut self, place: &ObjectKey, live: Option<&Value>) {
        let takes =
            |policy: &Concern, live: &Value| policy.takes_along() && policy.includes(place, live);
        let live = live.filter(|live| self.policies.values().any(|policy| takes(policy, live)));
        let names = live.map(|live| karmada::live::names(live, place));
        self.along.takes(place, names.unwrap_or_default());
    }

    /// A policy that takes others along came, changed or went: whatever may name others is looked at again.
    fn learn_all_along(&mut self) {
        let read = |(place, row): (&ObjectKey, &Row)| match row.seen.as_ref()?.what {
            What::Change { ref document, .. } if is_plain(&format!("{}/", place.group())) => {
                Some((place.clone(), document.value().ok()?))
            }
            _ => None,
        };
        let all: Vec<(ObjectKey, Value)> = self.rows.iter().filter_map(read).collect();
        for (place, live) in all {
            self.learn_along(&place, Some(&live));
        }
    }

    /// The metadata of a plain object were seen.
    pub fn seen_metadata(&mut self, live: &Value) {
        let Some((place, mut sighting)) = Sighting::read_metadata(live) else {
            return;
        };
        if !self.concerns(&place, live) {
            return;
        }
        let before = self.rows.get(&place).and_then(|row| row.seen.as_ref());
        if let Some(before) = before
            && before.uid == sighting.uid
            && before.metadata == sighting.metadata
            && (before.version == sighting.version
                || (sighting.generation > 0 && before.generation == sighting.generation))
        {
            sighting.what = before.what.clone();
        }
        self.note(place, sighting);
    }

    fn note(&mut self, place: ObjectKey, sighting: Sighting) {
        let row = self.rows.entry(place.clone()).or_default();
        row.unlisted = false;
        if row
            .seen
            .as_ref()
            .is_some_and(|seen| seen.version > sighting.version)
        {
            return;
        }
        if row
            .seen
            .as_ref()
            .is_none_or(|seen| seen.uid != sighting.uid)
        {
            row.removed = false;
            row.answered = None;
        }
        row.seen = Some(sighting);
        self.dirty.insert(place);
    }

    /// An object is gone; `version` is that at which it went, none where it is simply not there.
    pub fn gone(&mut self, place: &ObjectKey, version: Option<u64>) {
        if Types::is_config(place.group(), place.kind()) {
            let kinds = self.types.learn(place, None);
            return self.types_changed(&kinds);
        }
        let Some(row) = self.rows.get_mut(place) else {
            return;
        };
        if let (Some(seen), Some(version)) = (&row.seen, version)
            && seen.version > version
        {
            return;
        }
        row.seen = None;
        row.answered = None;
        self.along.takes(place, Vec::new());
        self.learn_policy(place, None);
        self.dirty.insert(place.clone());
    }

    /// A list of all objects of a kind begins.
    pub fn list_begins(&mut self, group: &str, kind: &str) {
        if Types::is_config(group, kind) {
            self.types.list_begins();
        }
        let rows = self.rows.iter_mut();
        for (_, row) in rows.filter(|(place, _)| is_of(place, group, kind)) {
            row.unlisted = true;
        }
    }

    /// All objects of a kind were shown, or the hub does not serve it: what was not shown is not there.
    pub fn listed(&mut self, group: &str, kind: &str) {
        if Types::is_config(group, kind) {
            let kinds = self.types.listed();
            self.types_changed(&kinds);
        }
        let rows = self.rows.iter();
        let unlisted = rows.filter(|(place, row)| row.unlisted && is_of(place, group, kind));
        for place in unlisted.map(|(place, _)| place.clone()).collect::<Vec<_>>() {
            self.gone(&place, None);
        }
        let places = self.logged.places(&self.id);
        for place in places.filter(|place| is_of(place, group, kind)) {
            self.rows.entry(place.clone()).or_default();
            self.dirty.insert(place.clone());
        }
    }

    /// The hub serves no FederatedTypeConfigs: every federated kind is propagated, unless some are listed.
    pub fn serves_no_types(&mut self) {
        if !self.types.are_known() {
            self.listed("core.kubefed.io", "FederatedTypeConfig");
        }
    }

    /// Kinds of which the log holds objects that this hub declared.
    pub fn declared_kinds(&self) -> BTreeSet<(String, String)> {
        let places = self.logged.places(&self.id);
        places
            .map(|place| (place.group().to_owned(), place.kind().to_owned()))
            .collect()
    }

    /// Whether the definition of a kind is being deleted: its objects then go without being withdrawn.
    pub fn leaves(&mut self, group: &str, kind: &str, leaves: bool) {
        let kind = (group.to_owned(), kind.to_owned());
        match leaves {
            true => self.leaving.insert(kind),
            false => self.leaving.remove(&kind),
        };
    }

    /// What was handed in was answered: a refusal, or none.
    pub fn answered(&mut self, place: &ObjectKey, digest: String, refusal: Option<Refusal>) {
        if let Some(row) = self.rows.get_mut(place) {
            row.answered = Some((digest, refusal));
        }
        self.done(place);
    }

    /// A withdrawal stands in the log at `sequence`, or there was nothing to withdraw.
    pub fn withdrawn(&mut self, place: &ObjectKey, sequence: u64) {
        if let Some(row) = self.rows.get_mut(place) {
            row.withdrawn = row.withdrawn.max(Some(sequence));
        }
    }

    /// All clusters that can be reached have answered the withdrawal.
    pub fn removed(&mut self, place: &ObjectKey) {
        if let Some(row) = self.rows.get_mut(place) {
            row.removed = true;
        }
    }

    /// Nothing is being done about an object any more.
    pub fn done(&mut self, place: &ObjectKey) {
        if let Some(row) = self.rows.get_mut(place) {
            row.busy = false;
            self.dirty.insert(place.clone());
        }
    }

    /// The next thing to do; none until there is another fact.
    pub fn poll(&mut self) -> Option<Effect> {
        if let Some((api_version, kind)) = self.to_watch.pop_first() {
            self.along.is_watched(&api_version, &kind);
            return Some(Effect::Watch { api_version, kind });
        }
        if let Some(effect) = self.along.poll() {
            return Some(effect);
        }
        while let Some(place) = self.dirty.pop_first() {
            if let Some(effect) = self.act(place) {
                return Some(effect);
            }
        }
        None
    }

    fn act(&mut self, place: ObjectKey) -> Option<Effect> {
        let row = self.rows.get(&place)?;
        if row.busy {
            return None;
        }
        let leaves = self
            .leaving
            .contains(&(place.group().to_owned(), place.kind().to_owned()));
        let rests = self.types.rests(&place);
        let next = step(&self.id, &place, row, &self.logged, leaves, rests);
        let row = self.rows.get_mut(&place)?;
        match next {
            Step::Do(effect) => {
                row.busy = true;
                Some(effect)
            }
            Step::Rest(standing) => {
                let report = standing.report(row.seen.as_ref(), row.reported.as_ref());
                let (uid, generation) = match &row.seen {
                    Some(seen) => (seen.uid.clone(), seen.generation),
                    None => (String::new(), 0),
                };
                if let (Standing::Older, Some(What::Change { digest, .. })) =
                    (&standing, row.seen.as_ref().map(|seen| &seen.what))
                {
                    row.older = Some(digest.clone());
                }
                // What the log does not show as withdrawn yet is looked at again when it does.
                let is_shown = row.withdrawn <= Some(self.logged.sequence());
                if row.seen.is_none() && standing == Standing::Gone && is_shown {
                    self.rows.remove(&place);
                    return None;
                }
                if report == row.reported {
                    return None;
                }
                row.reported.clone_from(&report);
                Some(Effect::Report {
                    place,
                    uid,
                    generation,
                    report: report?,
                })
            }
        }
    }

    /// Everything that is not as the log has it, by place.
    pub fn differences(&self) -> Vec<Difference> {
        let standings = self.rows.iter().map(|(place, row)| {
            let target = match row.seen.as_ref().map(|seen| &seen.what) {
                Some(What::Change { target, .. } | What::Cluster { target, .. }) => {
                    Some(target.clone())
                }
                _ => {
                    let cluster = self.logged.cluster_at(&self.id, place);
                    let target = self.logged.target_of(place).cloned();
                    target.or_else(|| cluster.map(ObjectKey::of_cluster))
                }
            };
            Difference {
                place: place.clone(),
                target,
                standing: self.standing(place, row),
            }
        });
        standings
            .filter(|one| !matches!(one.standing, Standing::Taken | Standing::Gone))
            .collect()
    }

    /// How many objects of the hub are as the log has them.
    pub fn taken(&self) -> usize {
        let rows = self.rows.iter();
        rows.filter(|(place, row)| self.standing(place, row) == Standing::Taken)
            .count()
    }

    fn standing(&self, place: &ObjectKey, row: &Row) -> Standing {
        let rests = self.types.rests(place);
        Standing::of(&self.id, row, &self.logged, place, rests)
    }

    /// Takes note of one of Karmada's policies, or that it is gone: what it selects is looked at again.
    fn learn_policy(&mut self, place: &ObjectKey, live: Option<&Value>) {
        if place.group() != "policy.karmada.io" {
            return;
        }
        let after = live.and_then(Concern::of);
        let kinds = |concern: &Concern| -> Vec<(String, String)> {
            let kinds = concern.propagates();
            kinds
                .map(|(api_version, kind)| (api_version.to_owned(), kind.to_owned()))
                .collect()
        };
        match after {
            Some(concern) if self.policies.get(place) == Some(&concern) => {}
            Some(concern) => {
                self.to_watch.extend(kinds(&concern));
                let takes = concern.takes_along();
                let before = self.policies.insert(place.clone(), concern);
                if takes || before.is_some_and(|before| before.takes_along()) {
                    self.learn_all_along();
                }
            }
            None => {
                let before = self.policies.remove(place);
                if before.is_some_and(|before| before.takes_along()) {
                    self.learn_all_along();
                }
            }
        }
    }

    /// Whether an object of the hub is handed in: all but plain objects that no policy selects and that were never handed in.
    fn concerns(&self, place: &ObjectKey, live: &Value) -> bool {
        let api_version = live["apiVersion"].as_str().unwrap_or_default();
        if !is_plain(api_version) {
            return true;
        }
        let is_held = |row: &Row| row.seen.as_ref().is_some_and(Sighting::is_held);
        self.rows.get(place).is_some_and(is_held)
            || self.logged.target_of(place).is_some()
            || self.along.includes(place)
            || (!is_reserved(place.namespace().unwrap_or_default())
                && self.policies.values().any(|policy| {
                    policy.propagates().next().is_some() && policy.includes(place, live)
                }))
    }
}

fn is_of(place: &ObjectKey, group: &str, kind: &str) -> bool {
    place.group() == group && place.kind() == kind
}

/// Namespaces of which Karmada propagates nothing (its `--skipped-propagating-namespaces` by default, and its own), and ours.
fn is_reserved(namespace: &str) -> bool {
    ["kube-", "karmada-es-"]
        .iter()
        .any(|prefix| namespace.starts_with(prefix))
        || ["karmada-system", "karmada-cluster", "fleetcast-system"].contains(&namespace)
}

#[cfg(test)]
mod tests;
