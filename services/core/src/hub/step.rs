//! What is to be done about one object of a hub, or how it stands where nothing is.

use super::logged::{Logged, Newest};
use super::{Effect, HubOrigin, Report, Row, Sighting, What};
use crate::Refusal;
use crate::model::ObjectKey;

/// How an object of the hub stands to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The log holds it as it is.
    Taken,
    /// It is not in the log as it is, and will be handed in.
    Changed,
    /// It is not in the log as it is, and rests: why.
    Rests(&'static str),
    /// It is being deleted, and will be withdrawn or let go.
    Deleting,
    /// It is refused.
    Refused(Refusal),
    /// The log holds it as the hub had it, and a newer change that somebody else made.
    Elsewhere(String),
    /// The log holds a newer state of it: the hub went back.
    Older,
    /// The log holds it, and it is not there.
    Vanished,
    /// It is not there, and the log does not want it.
    Gone,
}

impl Standing {
    /// How the object at `place` stands; `rests` says why it is not handed in, where that is so.
    pub(super) fn of(
        hub: &str,
        row: &Row,
        logged: &Logged,
        place: &ObjectKey,
        rests: Option<&'static str>,
    ) -> Self {
        match (Self::by_log(hub, row, logged, place), rests) {
            (Self::Changed | Self::Refused(_), Some(why)) => Self::Rests(why),
            (standing, _) => standing,
        }
    }

    fn by_log(hub: &str, row: &Row, logged: &Logged, place: &ObjectKey) -> Self {
        let Some(seen) = &row.seen else {
            let newest = logged
                .target_of(place)
                .and_then(|target| logged.get(target));
            let is_ours =
                newest.is_some_and(|newest| row.declares(newest) && newest.by_hub(hub).is_some());
            let is_registered = logged.cluster_at(hub, place).is_some();
            return match is_ours || is_registered {
                true => Self::Vanished,
                false => Self::Gone,
            };
        };
        if seen.deleting {
            return Self::Deleting;
        }
        let (target, digest) = match &seen.what {
            What::Refused(refusal) => return Self::Refused(refusal.clone()),
            What::Metadata => return Self::Changed,
            What::Cluster {
                digest, registered, ..
            } => {
                return match &row.answered {
                    Some((answered, Some(refusal))) if answered == digest => {
                        Self::Refused(refusal.clone())
                    }
                    _ if registered.as_ref() == Some(digest) => Self::Taken,
                    _ => Self::Changed,
                };
            }
            What::Change { target, digest, .. } => (target, digest),
        };
        let is_seen =
            |known: Option<&String>| known.is_some_and(|known| seen.what.is_known_as(known));
        if let Some((answered, Some(refusal))) = &row.answered
            && answered == digest
        {
            return Self::Refused(refusal.clone());
        }
        if let Some(before) = logged.target_of(place)
            && before != target
            && logged
                .get(before)
                .is_some_and(|newest| newest.digest.is_some())
        {
            return Self::Refused(Refusal::new(
                "spec.template",
                format!(
                    "it declares {before} already: delete it first, its kind, group and name cannot change"
                ),
            ));
        }
        let newest = logged.get(target);
        let by_hub = newest.and_then(|newest| newest.by_hub(hub));
        match (newest, by_hub) {
            (Some(newest), Some(by_hub)) if is_seen(by_hub.digest.as_ref()) => {
                match is_seen(newest.digest.as_ref()) {
                    true => Self::Taken,
                    false => Self::Elsewhere(newest.source.clone()),
                }
            }
            _ if row
                .answered
                .as_ref()
                .is_some_and(|(answered, _)| answered == digest) =>
            {
                Self::Taken
            }
            (_, Some(_)) if row.older.as_ref() == Some(digest) => Self::Older,
            (_, Some(by_hub)) if state(hub, seen).is_older_than(&by_hub.state) => Self::Older,
            _ => Self::Changed,
        }
    }

    /// What a person is to be told, where there is something to tell: an object that is fine is only told of after it was refused.
    pub(super) fn report(
        &self,
        seen: Option<&Sighting>,
        reported: Option<&Report>,
    ) -> Option<Report> {
        let was_refused = seen.is_some_and(|seen| seen.accepted == Some(false))
            || matches!(reported, Some(Report::Refused(_) | Report::Accepted));
        match self {
            Self::Refused(refusal) => Some(Report::Refused(refusal.clone())),
            Self::Vanished => Some(Report::Vanished),
            Self::Older => Some(Report::Older),
            Self::Taken | Self::Elsewhere(_) if was_refused => Some(Report::Accepted),
            Self::Taken
            | Self::Elsewhere(_)
            | Self::Changed
            | Self::Rests(_)
            | Self::Deleting
            | Self::Gone => None,
        }
    }
}

impl What {
    /// Whether a digest in the log is that of the document, sealed with whichever key.
    fn is_known_as(&self, known: &str) -> bool {
        match self {
            Self::Change { digest, before, .. } => {
                digest == known || before.iter().any(|before| before == known)
            }
            Self::Cluster { .. } | Self::Metadata | Self::Refused(_) => false,
        }
    }
}

impl Row {
    /// Whether what it declares, or declared last, is declared: not where the log says that it is withdrawn, or is known to say so further on.
    fn declares(&self, newest: &Newest) -> bool {
        newest.digest.is_some() && self.withdrawn <= Some(newest.sequence)
    }
}

/// What is to be done about an object, or how it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Do(Effect),
    Rest(Standing),
}

/// What is to be done about the object at `place` of `hub`; its kind's definition may be being deleted (`leaves`), and its kind may rest (`rests`).
pub(super) fn step(
    hub: &str,
    place: &ObjectKey,
    row: &Row,
    logged: &Logged,
    leaves: bool,
    rests: Option<&'static str>,
) -> Step {
    let Some(seen) = &row.seen else {
        return Step::Rest(Standing::of(hub, row, logged, place, rests));
    };
    if seen.deleting {
        return match seen.is_held() {
            true if rests.is_some() && !seen.let_go && logged.declares(place) => {
                Step::Rest(Standing::Deleting)
            }
            true => delete(hub, place, row, seen, logged, leaves || rests.is_some()),
            false => Step::Rest(Standing::Deleting),
        };
    }
    let standing = Standing::of(hub, row, logged, place, rests);
    match (&standing, &seen.what) {
        (Standing::Changed | Standing::Rests(_), What::Metadata) => Step::Do(Effect::Fetch {
            place: place.clone(),
        }),
        // Also what is in the log already: a finalizer may have been taken off.
        (Standing::Taken | Standing::Changed | Standing::Elsewhere(_), _) if !seen.is_held() => {
            Step::Do(finalizers(place, seen, true))
        }
        (
            Standing::Changed,
            What::Change {
                target,
                document,
                digest,
                ..
            },
        ) => Step::Do(Effect::Submit {
            place: place.clone(),
            target: target.clone(),
            origin: state(hub, seen).declared(),
            document: document.clone(),
            digest: digest.clone(),
        }),
        (
            Standing::Changed,
            What::Cluster {
                target,
                document,
                digest,
                ..
            },
        ) => Step::Do(match row.answered.as_ref() {
            Some((answered, None)) if answered == digest => Effect::Note {
                place: place.clone(),
                digest: digest.clone(),
            },
            _ => Effect::Submit {
                place: place.clone(),
                target: target.clone(),
                origin: state(hub, seen).declared(),
                document: document.clone(),
                digest: digest.clone(),
            },
        }),
        _ => Step::Rest(standing),
    }
}

/// What is to be done about an object that is being deleted and that we hold.
fn delete(
    hub: &str,
    place: &ObjectKey,
    row: &Row,
    seen: &Sighting,
    logged: &Logged,
    leaves: bool,
) -> Step {
    let let_go = || Step::Do(finalizers(place, seen, false));
    let withdraw = |target: &ObjectKey| {
        Step::Do(Effect::Withdraw {
            place: place.clone(),
            target: target.clone(),
            origin: state(hub, seen).withdrawn(),
        })
    };
    if let What::Cluster { target, .. } = &seen.what {
        return match row.removed || leaves {
            true => let_go(),
            false => withdraw(target),
        };
    }
    let target = logged.target_of(place);
    let Some((target, newest)) = target.and_then(|target| Some((target, logged.get(target)?)))
    else {
        return let_go();
    };
    let waits = !matches!(seen.what, What::Change { waits: false, .. });
    let is_older = newest
        .by_hub(hub)
        .is_some_and(|by_hub| state(hub, seen).is_older_than(&by_hub.state));
    match row.declares(newest) {
        true if leaves => let_go(),
        // Only a person knows whether the hub that went back is right.
        true if is_older && seen.let_go => let_go(),
        true if is_older => Step::Rest(Standing::Older),
        true => withdraw(target),
        false if row.removed || seen.let_go || !waits => let_go(),
        false => Step::Do(Effect::AwaitRemoval {
            place: place.clone(),
            target: target.clone(),
            sequence: row.withdrawn.unwrap_or(0).max(newest.sequence),
        }),
    }
}

fn finalizers(place: &ObjectKey, seen: &Sighting, held: bool) -> Effect {
    Effect::Finalizers {
        place: place.clone(),
        version: seen.version,
        finalizers: seen.finalizers_with_ours(held),
    }
}

fn state(hub: &str, seen: &Sighting) -> HubOrigin {
    HubOrigin {
        hub: hub.to_owned(),
        uid: seen.uid.clone(),
        version: seen.version,
        generation: seen.generation,
    }
}
