//! Opens the sealed values of work, in memory and for as long as one look at one object takes; what travels back of them is sealed again.

use std::borrow::Cow;

use fleetcast_core::document::Document;
use fleetcast_core::sealed;
use fleetcast_core::work::{Body, Work};
use fleetcast_sealing::{Error, Keys};

use super::decide::Report;

/// Whether values of what `work` brings are sealed.
pub(super) fn is_sealed(work: &Work) -> bool {
    match &work.body {
        Body::Apply { manifest, .. } => sealed::may_be_in(manifest),
        Body::Remove { .. } => false,
    }
}

/// The manifest that `work` brings, opened.
///
/// # Errors
/// Where a value cannot be opened with `keys`.
pub(super) fn open<'a>(
    keys: &Keys,
    work: &Work,
    manifest: &'a Document,
) -> Result<Cow<'a, Document>, Error> {
    if !sealed::may_be_in(manifest) {
        return Ok(Cow::Borrowed(manifest));
    }
    let Ok(mut value) = manifest.value() else {
        return Ok(Cow::Borrowed(manifest));
    };
    keys.open_all(&mut value, &work.object)?;
    Ok(Cow::Owned(Document::from_value(&value)))
}

/// A report that holds no value that came sealed, or would have: what a Secret holds is sealed to whom its work came from, else it is not told.
pub(super) fn veiled(keys: &Keys, work: &Work, report: Report) -> Report {
    let is_secret = work.object.kind() == "Secret" && work.object.group().is_empty();
    let is_sealed = is_sealed(work);
    if report.held.is_none() || !(is_sealed || is_secret && keys.newest().is_some()) {
        return report;
    }
    let held = report.held.as_ref().filter(|_| is_secret);
    let held = held.and_then(|held| {
        let Body::Apply { manifest, .. } = &work.body else {
            return None;
        };
        let hub = sealed::senders(&manifest.value().ok()?).pop_first()?;
        let mut value = held.value().ok()?;
        keys.seal_secret(&mut value, &work.object, &hub).ok()?;
        Some(Document::from_value(&value))
    });
    Report { held, ..report }
}
