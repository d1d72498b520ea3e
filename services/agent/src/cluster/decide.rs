//! Decides what one item of work needs, from the work and from what stands in the cluster under its name. No client is needed here.
//!
//! In this order, the first that holds decides: the object is being deleted; it is ours and newer (*ahead*); it is ours and equal; it is
//! ours and only to be created; the controller before us left it (`takeover.rs`); it is not ours ([`Adopt`]); else it is applied.

use fleetcast_core::ack::{HELD_LIMIT, Outcome};
use fleetcast_core::document::Document;
use fleetcast_core::drift::{self, Drift};
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::model::federated::{self, Adopt, Conflict, Mode, OnDelete, OnImmutable};
use fleetcast_core::reconcile::{Pause, Sight};
use fleetcast_core::work::Work;
use serde_json::Value;

use super::MANAGER;
use super::ignore;
use super::manifest::{self, Manifest};
use super::subset::first_difference;
use super::takeover;

/// The longest pause while something waits for its namespace or its kind: as long as one discovery is worth.
const WAIT_MS: i64 = 30_000;

/// What is to be attempted.
#[derive(Debug, Clone)]
pub struct Task {
    /// The work.
    pub work: Work,
    /// Whether it was carried out before and is looked at again.
    pub again: bool,
}

impl Task {
    /// Work that is carried out for the first time.
    pub fn new(work: Work) -> Self {
        Self { work, again: false }
    }
}

/// How an attempt at work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How.
    pub outcome: Outcome,
    /// The reason; empty where all is well.
    pub message: String,
    /// Whether the cluster was written to.
    pub wrote: bool,
    /// The copy as it was seen last; none where it was not, or is not ours.
    pub sight: Option<Sight>,
    /// What the cluster holds where that is ahead, without our marks; none where it is not known, or too large to be told.
    pub held: Option<Document>,
    /// How long the pause before the next attempt is, where there is one.
    pub pause: Pause,
}

impl Report {
    pub(super) fn unchanged(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            wrote: false,
            sight: None,
            held: None,
            pause: Pause::Ours,
        }
    }

    pub(super) fn wrote(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            wrote: true,
            ..Self::unchanged(outcome, message)
        }
    }

    /// `live` is ahead: what it was last applied as is told.
    fn ahead(message: impl Into<String>, live: &Value) -> Self {
        let held = manifest::held(live).map(|stated| Document::from_value(&stated));
        Self {
            held: held.filter(|held| held.as_bytes().len() <= HELD_LIMIT),
            ..Self::unchanged(Outcome::Ahead, message)
        }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::unchanged(Outcome::Refused, message)
    }

    pub(super) fn retrying(message: impl Into<String>) -> Self {
        Self::unchanged(Outcome::Retrying, message)
    }

    /// It waits for something that may come at any time.
    pub(super) fn waiting(message: impl Into<String>) -> Self {
        Self {
            pause: Pause::AtMost(WAIT_MS),
            ..Self::retrying(message)
        }
    }
}

/// One state of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) uid: String,
    pub(super) resource_version: String,
}

impl Version {
    fn of(live: &Value) -> Self {
        let text = |field: &str| live["metadata"][field].as_str().unwrap_or_default();
        Self {
            uid: text("uid").to_owned(),
            resource_version: text("resourceVersion").to_owned(),
        }
    }
}

/// What an application needs.
#[derive(PartialEq)]
pub(super) enum ToApply {
    /// Nothing: the answer is known.
    Answer(Report),
    /// What the controller before us left is released by this merge patch; then the object is looked at again.
    Release(Value),
    /// Server-side apply.
    Write(ToWrite),
}

/// A server-side apply.
#[derive(PartialEq)]
pub(super) struct ToWrite {
    /// The whole object; over a state that exists it names that state, so that it is refused where that is gone.
    pub(super) object: Value,
    /// Whether fields of other managers are taken over.
    pub(super) force: bool,
    /// What may be deleted and created anew where a field cannot be changed.
    pub(super) recreate: Option<Version>,
    /// Fields that we stated and others took: they may be taken back.
    pub(super) lost: Vec<String>,
    /// What is put right by it.
    pub(super) heals: Option<Drift>,
}

/// What a removal needs.
#[derive(PartialEq)]
pub(super) enum ToRemove {
    /// Nothing: the answer is known.
    Answer(Box<Report>),
    /// Deletion of this state.
    Delete(Version),
    /// Our marks are taken away by a merge patch.
    Release(Value),
}

/// Decides what an application needs.
pub(super) fn apply(
    task: &Task,
    manifest: &Manifest,
    policy: &ApplyPolicy,
    live: Option<&Value>,
) -> ToApply {
    let Task { work, again } = task;
    let ApplyPolicy {
        conflict,
        adopt,
        drift,
        on_delete: _,
        on_immutable,
        mode,
        ignore,
        report: _,
        predecessor,
    } = policy;
    let force = match conflict {
        Conflict::Fail => false,
        Conflict::Force => true,
    };
    let heals = match drift {
        federated::Drift::Heal => true,
        federated::Drift::Report | federated::Drift::Ignore => false,
    };
    let Some(live) = live else {
        if *again && !heals {
            // Somebody deleted it: that is drift, too.
            return ToApply::Answer(Report::unchanged(Outcome::Applied, ""));
        }
        return ToApply::Write(ToWrite {
            object: manifest.marked(work, None),
            force,
            recreate: None,
            lost: Vec::new(),
            heals: again.then(|| healed(Drift::deletion())),
        });
    };
    if is_deleting(live) {
        return ToApply::Answer(Report::retrying(waits_for(live)));
    }
    let is_ours = manifest::is_ours(live, &work.object);
    let mut drifted = None;
    let mut lost = Vec::new();
    if is_ours {
        if let Some(message) = ahead(live, work) {
            return ToApply::Answer(Report::ahead(message, live));
        }
        let recorded = live["metadata"]["annotations"][manifest::DIGEST].as_str();
        let is_equal = work.digest.is_some() && recorded == work.digest.as_deref();
        if is_equal && heals && *mode == Mode::Sync {
            drifted = Drift::of(drift::find(&manifest.value, live, ignore, MANAGER));
        }
        if (is_equal && drifted.is_none()) || *mode == Mode::CreateOnly {
            return ToApply::Answer(Report::unchanged(Outcome::Applied, ""));
        }
        if heals {
            let before = manifest::stated(live);
            lost = drift::lost(&manifest.value, live, ignore, MANAGER, &before);
        }
    }
    let mut manifest = manifest.clone();
    ignore::leave(&mut manifest.value, live, ignore);
    if !is_ours {
        let left = predecessor.and_then(|before| takeover::left(live, before));
        match left {
            Some(takeover::Left::Kept) => {
                if let Some(patch) =
                    predecessor.and_then(|before| takeover::release(live, &manifest.value, before))
                {
                    return ToApply::Release(patch);
                }
            }
            Some(takeover::Left::KeptAway(message)) => {
                return ToApply::Answer(Report::refused(message));
            }
            None => {
                if let Some(message) = unadoptable(*adopt, &manifest.value, live) {
                    return ToApply::Answer(Report::refused(message));
                }
            }
        }
    }
    let version = Version::of(live);
    ToApply::Write(ToWrite {
        object: manifest.marked(work, Some(&version.resource_version)),
        // All that the manifest states was ours when it was applied.
        force: force || drifted.is_some(),
        recreate: match on_immutable {
            OnImmutable::Recreate if is_ours => Some(version),
            OnImmutable::Recreate | OnImmutable::Fail => None,
        },
        lost,
        heals: drifted.map(healed),
    })
}

fn healed(drift: Drift) -> Drift {
    Drift {
        healed: true,
        ..drift
    }
}

/// Whether all `fields` of a conflict were ours before others took them: our marks, and what is among (or below) `lost`.
pub(super) fn are_ours(fields: &[String], lost: &[String]) -> bool {
    let is_mark = |field: &str| {
        let marks = [
            ".metadata.labels.fleetcast.dev/",
            ".metadata.annotations.fleetcast.dev/",
        ];
        marks.iter().any(|mark| field.starts_with(mark))
    };
    let is_lost = |field: &str| lost.iter().any(|lost| field.starts_with(lost.as_str()));
    !fields.is_empty() && fields.iter().all(|field| is_mark(field) || is_lost(field))
}

/// Decides what a removal needs.
pub(super) fn remove(work: &Work, mode: OnDelete, live: Option<&Value>) -> ToRemove {
    let Some(live) = live else {
        return ToRemove::Answer(Box::new(Report::unchanged(Outcome::Removed, "")));
    };
    if !manifest::is_ours(live, &work.object) {
        return ToRemove::Answer(Box::new(Report::unchanged(
            Outcome::Orphaned,
            "changed hands: left alone",
        )));
    }
    if let Some(message) = ahead(live, work) {
        return ToRemove::Answer(Box::new(Report::ahead(message, live)));
    }
    if is_deleting(live) {
        return ToRemove::Answer(Box::new(Report::retrying(waits_for(live))));
    }
    let version = Version::of(live);
    match mode {
        OnDelete::Delete => ToRemove::Delete(version),
        OnDelete::Orphan => ToRemove::Release(manifest::unmark(&version.resource_version)),
    }
}

/// What a deleted object that is still there waits for.
pub(super) fn waits_for(live: &Value) -> String {
    let finalizers: Vec<&str> = live["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match finalizers.as_slice() {
        [] => "is being deleted".to_owned(),
        [only] => format!("is being deleted: waits for finalizer {only}"),
        many => format!("is being deleted: waits for finalizers {}", many.join(", ")),
    }
}

fn is_deleting(live: &Value) -> bool {
    live["metadata"]["deletionTimestamp"].is_string()
}

/// Why `live`, which is ours, must not be written by `work`: it is newer, or of another hub's history.
fn ahead(live: &Value, work: &Work) -> Option<String> {
    let (held, ours) = (manifest::recorded(live)?, work.place());
    held.is_ahead_of(&ours).then(|| {
        let what = match held.epoch.number == ours.epoch.number && held.epoch.hub != ours.epoch.hub
        {
            true => "(another hub's history)",
            false => "(ahead)",
        };
        format!("the cluster holds {held} {what}; this work carries out {ours}")
    })
}

/// Why what is not ours must not be taken over.
fn unadoptable(adopt: Adopt, manifest: &Value, live: &Value) -> Option<String> {
    let hint = "apply.adopt decides who wins";
    match adopt {
        Adopt::Always => None,
        Adopt::Never => Some(format!("it exists and is not ours (adopt: never); {hint}")),
        Adopt::IfSame => first_difference(manifest, live).map(|path| {
            format!("it exists, is not ours and differs at {path} (adopt: ifSame); {hint}")
        }),
    }
}

#[cfg(test)]
mod tests;
