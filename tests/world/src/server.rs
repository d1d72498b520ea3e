//! A simulated API server of one cluster, and what the agent decides about it.
//!
//! The decision mirrors `services/agent/src/cluster/decide.rs` (which speaks JSON, not objects): what changes there changes here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fleetcast_core::ack::{Observed, Outcome};
use fleetcast_core::decision::Place;
use fleetcast_core::drift::{Drift, Field};
use fleetcast_core::health::Health;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::federated::{Adopt, OnDelete};
use fleetcast_core::reconcile::{Copied, Sight};
use fleetcast_core::work::{Body, Work};

/// One object as it stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    /// What it says.
    pub(super) content: String,
    /// What our annotations say; none where it is not ours.
    pub(super) marks: Option<Place>,
    version: u64,
    deleting: bool,
    /// Whether somebody else changed a field of it.
    drifted: bool,
}

impl Live {
    /// Whether it says what a manifest with this digest does.
    pub(super) fn says(&self, digest: &str) -> bool {
        self.content == digest && !self.drifted
    }
}

/// One write of an agent.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) object: ObjectKey,
    pub(super) place: Place,
    /// Whether something was taken away, or lost our marks.
    pub(super) removal: bool,
}

impl std::fmt::Display for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.removal { "takes away" } else { "writes" };
        write!(f, "{verb} {} for {}", self.object, self.place)
    }
}

/// What an attempt found and will do.
#[derive(Debug, Clone)]
pub(super) enum Looked {
    Answer(Outcome, String),
    /// Over this state; none where there was nothing.
    Apply(Option<u64>),
    Delete(u64),
    Release(u64),
}

/// A simulated API server.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) objects: BTreeMap<ObjectKey, Live>,
    /// Objects that the server says no to.
    pub(super) refuses: BTreeSet<ObjectKey>,
    /// Objects that stay a while after they were deleted.
    pub(super) lingering: BTreeSet<ObjectKey>,
    /// Whether it does not answer.
    pub(super) cut: bool,
    pub(super) writes: Vec<Write>,
    pub(super) wrongs: Vec<String>,
    newest: BTreeMap<ObjectKey, Place>,
    /// Removals of a history that is lost: nothing in the cluster tells of them once they are carried out.
    pub(super) lost_removals: BTreeSet<(ObjectKey, Place)>,
    /// Copies that somebody else deleted.
    pub(super) deleted: BTreeSet<(ObjectKey, Place)>,
    version: u64,
    /// What became of copies, as a watch by our label tells it, in order.
    pub(super) events: VecDeque<(ObjectKey, Sight)>,
}

/// Why what is there must not be written by `work`.
fn ahead(live: &Place, work: &Place) -> Option<String> {
    live.is_ahead_of(work)
        .then(|| format!("the cluster holds {live}; this work carries out {work}"))
}

impl Server {
    /// Decides what `work` needs, from what stands under its name.
    pub(super) fn look(&self, work: &Work) -> Looked {
        let live = self.objects.get(&work.object);
        let answer = |outcome, text: &str| Looked::Answer(outcome, text.to_owned());
        match &work.body {
            Body::Apply { policy, .. } => {
                let Some(live) = live else {
                    return Looked::Apply(None);
                };
                if live.deleting {
                    return answer(Outcome::Retrying, "is being deleted");
                }
                let says_the_same = work.digest.as_deref() == Some(live.content.as_str());
                match &live.marks {
                    Some(found) => {
                        if let Some(message) = ahead(found, &work.place()) {
                            return Looked::Answer(Outcome::Ahead, message);
                        }
                        if says_the_same && !live.drifted {
                            return answer(Outcome::Applied, "");
                        }
                    }
                    None => {
                        let adopts = match policy.adopt {
                            Adopt::Always => true,
                            Adopt::Never => false,
                            Adopt::IfSame => says_the_same,
                        };
                        if !adopts {
                            return answer(Outcome::Refused, "it exists and is not ours");
                        }
                    }
                }
                Looked::Apply(Some(live.version))
            }
            Body::Remove { mode, .. } => {
                let Some(live) = live else {
                    return answer(Outcome::Removed, "");
                };
                let Some(found) = &live.marks else {
                    return answer(Outcome::Orphaned, "changed hands: left alone");
                };
                if let Some(message) = ahead(found, &work.place()) {
                    return Looked::Answer(Outcome::Ahead, message);
                }
                if live.deleting {
                    return answer(Outcome::Retrying, "is being deleted");
                }
                match mode {
                    OnDelete::Delete => Looked::Delete(live.version),
                    OnDelete::Orphan => Looked::Release(live.version),
                }
            }
        }
    }

    /// Does what an attempt decided; none where the object changed in between.
    pub(super) fn write(&mut self, work: &Work, looked: &Looked) -> Option<(Outcome, String)> {
        let object = &work.object;
        let named = match looked {
            Looked::Answer(outcome, message) => return Some((*outcome, message.clone())),
            // Server-side apply knows no "only if it is not there".
            Looked::Apply(None) => self.objects.get(object).map(|live| live.version),
            Looked::Apply(Some(version)) | Looked::Delete(version) | Looked::Release(version) => {
                Some(*version)
            }
        };
        if self.objects.get(object).map(|live| live.version) != named {
            return None;
        }
        if self.refuses.contains(object) && matches!(looked, Looked::Apply(_)) {
            return Some((Outcome::Refused, "admission says no".to_owned()));
        }
        // Where somebody else was faster with the same name, server-side apply finds his fields in the way.
        if let (Looked::Apply(None), Some(before)) = (looked, self.objects.get(object))
            && before.marks.is_none()
            && Some(before.content.as_str()) != work.digest.as_deref()
        {
            return Some((Outcome::Refused, "somebody else owns its fields".to_owned()));
        }
        self.version += 1;
        let version = self.version;
        let removal = !matches!(looked, Looked::Apply(_));
        let outcome = match looked {
            Looked::Apply(_) => {
                let content = work.digest.clone().unwrap_or_default();
                if let Some(before) = self.objects.get(object) {
                    let adopts = matches!(&work.body, Body::Apply { policy, .. } if policy.adopt == Adopt::Always);
                    if before.marks.is_none() && before.content != content && !adopts {
                        self.wrongs
                            .push(format!("{object}: what is not ours was overwritten"));
                    }
                    if before.marks.is_some() && before.content == content && !before.drifted {
                        self.wrongs
                            .push(format!("{object}: was written although nothing changed"));
                    }
                }
                self.objects.insert(
                    object.clone(),
                    Live {
                        content,
                        marks: Some(work.place()),
                        version,
                        deleting: false,
                        drifted: false,
                    },
                );
                Outcome::Applied
            }
            Looked::Delete(_) if self.lingering.contains(object) => {
                if let Some(live) = self.objects.get_mut(object) {
                    (live.deleting, live.version) = (true, version);
                }
                Outcome::Retrying
            }
            Looked::Delete(_) => {
                self.objects.remove(object);
                Outcome::Removed
            }
            Looked::Release(_) => {
                if let Some(live) = self.objects.get_mut(object) {
                    (live.marks, live.version) = (None, version);
                }
                Outcome::Orphaned
            }
            Looked::Answer(..) => unreachable!("answered above"),
        };
        self.record(object, work.place(), removal);
        self.show(object);
        Some((outcome, String::new()))
    }

    /// Watches are told how `object` stands now.
    fn show(&mut self, object: &ObjectKey) {
        let sight = self.sight(object);
        self.events.push_back((object.clone(), sight));
    }

    /// What is seen of `object`: nothing where nothing of ours stands there.
    pub(super) fn sight(&self, object: &ObjectKey) -> Sight {
        let live = self.objects.get(object);
        let copy = live.filter(|live| live.marks.is_some()).map(|live| Copied {
            digest: Some(live.content.clone()),
            observed: Observed {
                health: Some(match live.deleting {
                    false => Health::healthy(""),
                    true => Health::progressing("is being deleted"),
                }),
                drift: live.drifted.then(Server::drift).flatten(),
                status: None,
            },
            unstated: Vec::new(),
        });
        let version = live.map_or(self.version, |live| live.version);
        Sight { version, copy }
    }

    fn drift() -> Option<Drift> {
        Drift::of(vec![Field {
            path: ".data.v".to_owned(),
            manager: Some("somebody else".to_owned()),
            time: None,
        }])
    }

    /// The copies that carry our marks.
    pub(super) fn copies(&self) -> impl Iterator<Item = &ObjectKey> {
        let ours = self.objects.iter().filter(|(_, live)| live.marks.is_some());
        ours.map(|(object, _)| object)
    }

    fn record(&mut self, object: &ObjectKey, place: Place, removal: bool) {
        if let Some(newest) = self.newest.get(object)
            && place < *newest
            && !self
                .lost_removals
                .contains(&(object.clone(), newest.clone()))
        {
            self.wrongs
                .push(format!("{object}: {place} was carried out after {newest}"));
        } else {
            self.newest.insert(object.clone(), place.clone());
        }
        self.writes.push(Write {
            object: object.clone(),
            place,
            removal,
        });
    }

    /// Somebody else creates an object where there is none.
    pub(super) fn create_foreign(&mut self, object: &ObjectKey) -> bool {
        if self.objects.contains_key(object) {
            return false;
        }
        self.version += 1;
        let live = Live {
            content: "somebody else's".to_owned(),
            marks: None,
            version: self.version,
            deleting: false,
            drifted: false,
        };
        self.objects.insert(object.clone(), live);
        true
    }

    /// Somebody else takes away again what is not ours.
    pub(super) fn remove_foreign(&mut self, object: &ObjectKey) -> bool {
        let foreign = self
            .objects
            .get(object)
            .is_some_and(|live| live.marks.is_none());
        foreign && self.objects.remove(object).is_some()
    }

    /// Somebody else deletes a copy of ours.
    pub(super) fn delete_copy(&mut self, object: &ObjectKey) -> bool {
        let Some(place) = self.copy(object).and_then(|live| live.marks.clone()) else {
            return false;
        };
        self.deleted.insert((object.clone(), place));
        self.version += 1;
        self.objects.remove(object);
        self.show(object);
        true
    }

    /// Somebody else changes a field of a copy of ours.
    pub(super) fn change_copy(&mut self, object: &ObjectKey) -> bool {
        let version = self.version + 1;
        let Some(live) = self.copy(object) else {
            return false;
        };
        (live.drifted, live.version) = (true, version);
        self.version = version;
        self.show(object);
        true
    }

    fn copy(&mut self, object: &ObjectKey) -> Option<&mut Live> {
        let live = self.objects.get_mut(object)?;
        (live.marks.is_some() && !live.deleting).then_some(live)
    }

    /// What was being deleted is gone.
    pub(super) fn finish_deletions(&mut self) -> bool {
        let gone = |(object, live): (&ObjectKey, &Live)| live.deleting.then(|| object.clone());
        let gone: Vec<ObjectKey> = self.objects.iter().filter_map(gone).collect();
        for object in &gone {
            self.version += 1;
            self.objects.remove(object);
            self.show(object);
        }
        !gone.is_empty()
    }

    /// What a planted fault does: takes away what is ours and not in `named`, as a write of the agent's or behind everybody's back.
    pub(super) fn remove_strays(&mut self, named: &BTreeSet<ObjectKey>, is_told: bool) {
        let strays: Vec<(ObjectKey, Place)> = self
            .objects
            .iter()
            .filter(|(object, _)| !named.contains(object))
            .filter_map(|(object, live)| Some((object.clone(), live.marks.clone()?)))
            .collect();
        for (object, place) in strays {
            self.version += 1;
            self.objects.remove(&object);
            if is_told {
                self.record(&object, place, true);
            }
            self.show(&object);
        }
    }
}
