//! Decides what one item of work needs, from the work and from what stands in the cluster under its name. No client is needed here.
//!
//! In this order, the first that holds decides: the object is being deleted; it is ours and newer (*ahead*); it is ours and equal; it is
//! ours and only to be created; it is not ours ([`Adopt`]); else it is applied.

use fleetcast_core::ack::Outcome;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::model::federated::{Adopt, Conflict, Mode, OnDelete, OnImmutable};
use fleetcast_core::work::Work;
use serde_json::Value;

use super::ignore;
use super::manifest::{self, Manifest};
use super::subset::first_difference;

/// How an attempt at work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How.
    pub outcome: Outcome,
    /// The reason; empty where all is well.
    pub message: String,
    /// Whether the cluster was written to.
    pub wrote: bool,
}

impl Report {
    pub(super) fn unchanged(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            wrote: false,
        }
    }

    pub(super) fn wrote(outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            wrote: true,
        }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::unchanged(Outcome::Refused, message)
    }

    pub(super) fn retrying(message: impl Into<String>) -> Self {
        Self::unchanged(Outcome::Retrying, message)
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
    /// Server-side apply.
    Write {
        /// The whole object; over a state that exists it names that state, so that it is refused where that is gone.
        object: Value,
        /// Whether fields of other managers are taken over.
        force: bool,
        /// What may be deleted and created anew where a field cannot be changed.
        recreate: Option<Version>,
    },
}

/// What a removal needs.
#[derive(PartialEq)]
pub(super) enum ToRemove {
    /// Nothing: the answer is known.
    Answer(Report),
    /// Deletion of this state.
    Delete(Version),
    /// Our marks are taken away by a merge patch.
    Release(Value),
}

/// Decides what an application needs.
pub(super) fn apply(
    work: &Work,
    manifest: &Manifest,
    policy: &ApplyPolicy,
    live: Option<&Value>,
) -> ToApply {
    let ApplyPolicy {
        conflict,
        adopt,
        drift: _,
        on_delete: _,
        on_immutable,
        mode,
        ignore,
    } = policy;
    let force = match conflict {
        Conflict::Fail => false,
        Conflict::Force => true,
    };
    let Some(live) = live else {
        return ToApply::Write {
            object: manifest.marked(work, None),
            force,
            recreate: None,
        };
    };
    if is_deleting(live) {
        return ToApply::Answer(Report::retrying(waits_for(live)));
    }
    let is_ours = manifest::is_ours(live, &work.object);
    if is_ours {
        if let Some(message) = ahead(live, work) {
            return ToApply::Answer(Report::refused(message));
        }
        let recorded = live["metadata"]["annotations"][manifest::DIGEST].as_str();
        let is_equal = work.digest.is_some() && recorded == work.digest.as_deref();
        if is_equal || *mode == Mode::CreateOnly {
            return ToApply::Answer(Report::unchanged(Outcome::Applied, ""));
        }
    }
    let mut manifest = manifest.clone();
    ignore::leave(&mut manifest.value, live, ignore);
    if !is_ours && let Some(message) = unadoptable(*adopt, &manifest.value, live) {
        return ToApply::Answer(Report::refused(message));
    }
    let version = Version::of(live);
    ToApply::Write {
        object: manifest.marked(work, Some(&version.resource_version)),
        force,
        recreate: match on_immutable {
            OnImmutable::Recreate if is_ours => Some(version),
            OnImmutable::Recreate | OnImmutable::Fail => None,
        },
    }
}

/// Decides what a removal needs.
pub(super) fn remove(work: &Work, mode: OnDelete, live: Option<&Value>) -> ToRemove {
    let Some(live) = live else {
        return ToRemove::Answer(Report::unchanged(Outcome::Removed, ""));
    };
    if !manifest::is_ours(live, &work.object) {
        return ToRemove::Answer(Report::unchanged(
            Outcome::Orphaned,
            "changed hands: left alone",
        ));
    }
    if let Some(message) = ahead(live, work) {
        return ToRemove::Answer(Report::refused(message));
    }
    if is_deleting(live) {
        return ToRemove::Answer(Report::retrying(waits_for(live)));
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
    let (epoch, decision) = manifest::recorded(live)?;
    let ours = &work.stamp.epoch;
    if epoch.number == ours.number && epoch.hub != ours.hub {
        return Some(format!(
            "the cluster holds it from another hub's history: epoch {epoch}, this work is of epoch {ours}"
        ));
    }
    ((epoch.number, decision) > (ours.number, work.decision)).then(|| {
        format!(
            "the cluster holds a newer decision (ahead): {decision} of epoch {epoch}, this work carries out {} of epoch {ours}",
            work.decision
        )
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
