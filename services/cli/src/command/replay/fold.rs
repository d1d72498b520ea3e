//! Reads log and acknowledgements, from the base where the log was cut, checks each event, and folds view and placer from them.

use std::collections::BTreeMap;

use fleetcast_aggregator::VIEW;
use fleetcast_bus::base::Found;
use fleetcast_bus::range::{Dated, Part};
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::audit::{Audit, Finding};
use fleetcast_core::fold::View;
use fleetcast_core::hub::Logged;
use fleetcast_core::placer::Placer;
use fleetcast_hub::state;
use fleetcast_ingest::{INGEST, REMOVALS, State};
use fleetcast_schemas::{event, evidence};

use crate::failure::Failure;
use crate::progress::Progress;

/// The section of a base that holds what an audit goes on from.
pub(crate) const AUDIT: &str = "audit";

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

/// Everything that can be folded from the truth, as far as it is read.
pub(crate) struct Folding {
    /// The view.
    pub(crate) view: View,
    /// What ingest knows of the log; of answered removals only when all is read.
    pub(crate) ingest: State,
    /// What a watch of a hub knows of the log.
    pub(crate) hub: Logged,
    /// The log's own consistency.
    pub(crate) audit: Audit,
    /// What does not fit in the log.
    pub(crate) findings: Vec<Finding>,
    /// The log sequence up to which it is read.
    pub(crate) log: u64,
}

impl Folding {
    /// Begins with nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            view: View::default(),
            ingest: State::default().equipped(),
            hub: Logged::default(),
            audit: Audit::default(),
            findings: Vec::new(),
            log: 0,
        }
    }

    /// Begins at a base.
    pub(crate) async fn of_base(bus: &Bus, base: &Found) -> Result<Self, Error> {
        let ingest: State = bus.base_section(base, INGEST).await?;
        let removals = bus.base_section(base, REMOVALS).await?;
        Ok(Self {
            view: bus.base_section(base, VIEW).await?,
            ingest: ingest.answered(removals).equipped(),
            hub: state::of_base(bus, base).await?,
            audit: bus.base_section(base, AUDIT).await?,
            findings: Vec::new(),
            log: base.head.log,
        })
    }

    /// Begins at the newest base, else with nothing.
    pub(crate) async fn begin(bus: &Bus) -> Result<Self, Error> {
        match bus.base().await? {
            Some(base) => Self::of_base(bus, &base).await,
            None => Ok(Self::nothing()),
        }
    }

    /// Reads the log up to `log`; `step` hears of every message.
    pub(crate) async fn read_log(
        &mut self,
        bus: &Bus,
        log: u64,
        mut step: impl FnMut(&Dated),
    ) -> Result<(), Failure> {
        while self.log < log {
            let part = Part {
                from: self.log + 1,
                upto: Some(log),
                ..Part::default()
            };
            let mut events = bus.range(streams::LOG, part).await?;
            loop {
                let dated = match events.next().await {
                    Ok(Some(dated)) => dated,
                    Ok(None) => {
                        if self.log < log {
                            self.findings.extend(self.audit.met(log + 1));
                        }
                        self.log = log;
                        break;
                    }
                    // A body that is not what its digest says: its event stands right behind the last one.
                    Err(Error::Unreadable(error)) => {
                        let sequence = self.log + 1;
                        self.findings.extend(self.audit.met(sequence));
                        self.findings.push(unreadable(sequence, &error.to_string()));
                        self.log = sequence;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                step(&dated);
                if dated.stored.sequence > self.log + 1 {
                    self.refuse_cut(bus, dated.stored.sequence).await?;
                }
                self.take(dated);
            }
        }
        Ok(())
    }

    /// Refuses to go on where the events before `sequence` were cut away before they were read.
    async fn refuse_cut(&self, bus: &Bus, sequence: u64) -> Result<(), Failure> {
        match bus.base().await? {
            Some(base) if base.head.log + 1 >= sequence => Err(Failure::Refused(
                "the log was cut while it was read: run it again".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn take(&mut self, dated: Dated) {
        let stored = dated.stored;
        self.log = stored.sequence;
        self.findings.extend(self.audit.met(stored.sequence));
        match event::log_entry(&stored.message, stored.sequence) {
            Ok(entry) => {
                let object = stored.message.headers.get("ce-subject");
                let object = object.and_then(|object| object.parse().ok());
                let contradictions = evidence::contradictions(&stored.message, &entry);
                let contradictions = contradictions.into_iter().map(|message| Finding {
                    sequence: stored.sequence,
                    object: object.clone(),
                    message,
                });
                self.findings.extend(contradictions);
                self.findings.extend(self.audit.logged(&entry));
                self.view.logged(&entry);
                self.ingest.logged(&entry);
                self.hub.logged(&entry);
            }
            Err(error) => {
                let finding = unreadable(stored.sequence, &error.to_string());
                self.findings.push(finding);
            }
        }
    }

    /// Reads acknowledgements up to these places; `step` hears of every message.
    pub(crate) async fn read_acks(
        &mut self,
        bus: &Bus,
        acks: &BTreeMap<u16, u64>,
        mut step: impl FnMut(),
    ) -> Result<(), Failure> {
        for (partition, upto) in acks {
            let folded = self.view.acks.get(partition).copied().unwrap_or(0);
            let part = Part {
                from: folded + 1,
                upto: Some(*upto),
                bodies_stay: true,
                ..Part::default()
            };
            let mut batches = bus.range(&streams::acks(*partition), part).await?;
            while let Some(dated) = batches.next().await? {
                step();
                let stored = dated.stored;
                if let Ok((_, batch)) = event::read_acks(&stored.message) {
                    self.view.acknowledged(*partition, stored.sequence, batch);
                }
            }
        }
        Ok(())
    }

    /// Takes note of the removals that were answered, when all is read.
    pub(crate) fn settle(&mut self) {
        self.ingest.settle_removals();
        for (object, cluster, answer) in self.view.answers() {
            if answer.outcome.is_final() {
                self.ingest.removal_answered(object, cluster, &answer.place);
            }
        }
    }
}

/// Folds everything up to these places.
pub(super) async fn fold(
    bus: &Bus,
    log: u64,
    acks: &BTreeMap<u16, u64>,
) -> Result<Folded, Failure> {
    let mut folding = Folding::begin(bus).await?;
    let known = folding.view.acks.values().sum::<u64>() + folding.log;
    let of = (log + acks.values().sum::<u64>()).saturating_sub(known);
    let mut progress = Progress::new("reading", of);
    folding.read_log(bus, log, |_| progress.step()).await?;
    folding.read_acks(bus, acks, || progress.step()).await?;
    folding.settle();
    let (read, took) = progress.end();
    let Folding {
        view,
        ingest,
        hub: _,
        audit: _,
        findings,
        log: _,
    } = folding;
    Ok(Folded {
        view,
        placer: ingest.into_placer(),
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
