//! Reads log and acknowledgements up to a place, checks each event, and folds view and placer from them.

use std::collections::BTreeMap;

use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::audit::{Audit, Finding};
use fleetcast_core::fold::View;
use fleetcast_core::placer::Placer;
use fleetcast_schemas::{event, evidence};

use crate::failure::Failure;
use crate::progress::Progress;

/// What the streams say.
pub(super) struct Folded {
    /// The view.
    pub(super) view: View,
    /// What the placer knows.
    pub(super) placer: Placer,
    /// What does not fit in the log.
    pub(super) findings: Vec<Finding>,
    /// How many messages were read.
    pub(super) read: u64,
    /// How long that took.
    pub(super) took: std::time::Duration,
}

/// Folds everything up to these places.
pub(super) async fn fold(
    bus: &Bus,
    log: u64,
    acks: &BTreeMap<u16, u64>,
) -> Result<Folded, Failure> {
    let bounds = bus.bounds(streams::LOG).await?;
    let mut progress = Progress::new("reading", log + acks.values().sum::<u64>());
    let mut audit = Audit::default();
    let (mut view, mut placer, mut findings) = (View::default(), Placer::default(), Vec::new());
    let part = |from, upto| Part {
        from,
        upto: Some(upto),
        ..Part::default()
    };
    let mut from = bounds.first;
    while from <= log {
        let mut events = bus.range(streams::LOG, part(from, log)).await?;
        loop {
            let dated = match events.next().await {
                Ok(Some(dated)) => dated,
                Ok(None) => {
                    from = log + 1;
                    break;
                }
                // A body that is not what its digest says: its event stands right behind the last one.
                Err(Error::Unreadable(error)) => {
                    let sequence = audit.last() + 1;
                    findings.extend(audit.met(sequence));
                    findings.push(unreadable(sequence, &error.to_string()));
                    from = sequence + 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            progress.step();
            let stored = dated.stored;
            findings.extend(audit.met(stored.sequence));
            match event::log_entry(&stored.message, stored.sequence) {
                Ok(entry) => {
                    let object = stored.message.headers.get("ce-subject");
                    let object = object.and_then(|object| object.parse().ok());
                    let contradictions = evidence::contradictions(&stored.message, &entry);
                    findings.extend(contradictions.into_iter().map(|message| Finding {
                        sequence: stored.sequence,
                        object: object.clone(),
                        message,
                    }));
                    findings.extend(audit.logged(&entry));
                    view.logged(&entry);
                    placer.logged(&entry);
                }
                Err(error) => findings.push(unreadable(stored.sequence, &error.to_string())),
            }
        }
    }
    if audit.last() < log {
        findings.extend(audit.met(log + 1));
    }
    for (partition, upto) in acks {
        let part = Part {
            bodies_stay: true,
            ..part(1, *upto)
        };
        let mut batches = bus.range(&streams::acks(*partition), part).await?;
        while let Some(dated) = batches.next().await? {
            progress.step();
            let stored = dated.stored;
            let Ok((_, batch)) = event::read_acks(&stored.message) else {
                continue;
            };
            view.acknowledged(*partition, stored.sequence, &batch);
            for ack in batch.body.acks.iter().filter(|ack| ack.outcome.is_final()) {
                placer.removal_answered(&ack.object, &batch.cluster, &ack.place());
            }
        }
    }
    let (read, took) = progress.end();
    Ok(Folded {
        view,
        placer,
        findings,
        read,
        took,
    })
}

fn unreadable(sequence: u64, error: &str) -> Finding {
    Finding {
        sequence,
        object: None,
        message: format!("the event cannot be read: {error}"),
    }
}
