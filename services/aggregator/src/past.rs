//! The view as it was: folded from the newest archived view before a moment, and what stands in the streams up to it.
//!
//! A moment is a place in each stream. Log and acknowledgements fold in any order against each other, so the fold is the same as the live one.
//! Archived views are never the truth: without them folding takes longer, and leaves new ones on its way.

pub(crate) mod archive;
mod documents;
mod history;
mod reading;
mod rebuild;

use std::collections::BTreeMap;
use std::sync::Arc;

use fleetcast_bus::base::Found;
use fleetcast_bus::range::{Dated, Part};
use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::Refusal;
use fleetcast_core::fold::View;
use fleetcast_core::time::Time;
use fleetcast_schemas::envelope::format_time;
use fleetcast_schemas::subject;
use tokio::sync::Mutex;

use crate::answer::past::{At, Places};
use crate::shared::VIEW;
use archive::{Archive, Position};

pub(crate) use documents::documents;
pub(crate) use history::stands;

/// How far a moment may lie in the future before that is taken for a mistake, milliseconds: clocks differ.
const FUTURE_MS: i64 = 5_000;

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// The question is refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The streams cannot be read now.
    #[error(transparent)]
    Bus(#[from] Error),
}

impl From<Untold> for Refusal {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Refused(refusal) => refusal,
            Untold::Bus(error) => Refusal::new(
                "",
                format!("the streams cannot be read: {error}; ask again"),
            ),
        }
    }
}

/// The view as it was at some moment.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// What it was.
    pub(crate) view: Arc<View>,
    /// Whether every acknowledgement up to then is folded: older ones than `FC_ACK` keeps may be missing.
    pub(crate) acks_known: bool,
}

/// A moment as a place in each stream.
struct Moment {
    position: Position,
    /// When it ends; none where that is now, or where the places are exact.
    until: Option<Time>,
}

/// Tells the past.
pub(crate) struct Historian {
    bus: Bus,
    archive: Arc<Archive>,
    /// The last view that was folded: one fold at a time, since a view may be large.
    last: Mutex<Option<(Position, Past)>>,
}

impl Historian {
    /// Reads the streams of `bus`, from what `archive` holds.
    pub(crate) fn new(bus: Bus, archive: Arc<Archive>) -> Self {
        Self {
            bus,
            archive,
            last: Mutex::new(None),
        }
    }

    /// The bus whose streams are read.
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The view at `at`; `now` is how far the live view is folded.
    pub(crate) async fn view(&self, at: &At, now: &Position) -> Result<Past, Untold> {
        let Moment {
            position: wanted,
            until,
        } = self.place(at, now).await?;
        let mut last = self.last.lock().await;
        if let Some((position, past)) = &*last
            && *position == wanted
        {
            return Ok(past.clone());
        }
        let cached = last
            .take()
            .filter(|(position, _)| position.is_before(&wanted));
        let past = self.fold(cached, &wanted, until).await?;
        *last = Some((wanted, past.clone()));
        Ok(past)
    }

    /// Fills the archive wherever it holds no view for more than a step, so that no question need wait for that. A view that was folded quickly, from
    /// nothing, left few on its way.
    pub(crate) async fn prepare(&self, now: &Position) -> Result<(), Untold> {
        if let Some(epoch) = &now.epoch {
            self.archive.belongs_to(epoch);
        }
        let mut after = self.base().await?.map_or(0, |base| base.head.log);
        while let Some(gap) = self.archive.gap(after, now.log) {
            // The view at its end, where there is one, is not what is wanted: it would be taken as it is.
            let last = gap.end.saturating_sub(1);
            let moment = self.place(&At::Sequence(last), now).await?;
            self.fold(None, &moment.position, moment.until).await?;
            after = gap.end;
        }
        Ok(())
    }

    /// The base, where the log was cut: nothing before it can be told.
    pub(crate) async fn base(&self) -> Result<Option<Found>, Untold> {
        let base = self.bus.base().await?;
        if let Some(base) = &base {
            self.archive.forget_before(base.head.log);
        }
        Ok(base)
    }

    /// The places in the streams that stand for `at`.
    async fn place(&self, at: &At, now: &Position) -> Result<Moment, Untold> {
        let base = self.base().await?;
        let refuse_cut = |log: u64| refuse_cut(base.as_ref(), log);
        let (log, until) = match at {
            At::Places(Places { log, acks }) => {
                refuse_ahead("log", *log, now.log)?;
                refuse_cut(*log)?;
                let acks = now.acks.iter().map(|(partition, folded)| {
                    let place = acks.get(&subject::partition_token(*partition));
                    (*partition, place.copied().unwrap_or(0).min(*folded))
                });
                return Ok(Moment {
                    position: now.at(*log, acks.collect()),
                    until: None,
                });
            }
            At::Sequence(log) => {
                refuse_ahead("at", *log, now.log)?;
                refuse_cut(*log)?;
                // The moment ends where the next event begins.
                (*log, self.time_behind(*log, now.log).await?)
            }
            At::Time(time) => {
                let clock = fleetcast_bus::now();
                if *time > clock.plus_ms(FUTURE_MS) {
                    let message = format!(
                        "{} lies in the future: it is {}",
                        format_time(*time),
                        format_time(clock)
                    );
                    return Err(Refusal::new("at", message).into());
                }
                let is_before = |dated: &Dated| event_time(dated).is_none_or(|t| t <= *time);
                let log = self.bus.seek(streams::LOG, is_before).await?;
                if let Some(base) = &base
                    && *time < base.head.time
                {
                    refuse_cut(log.min(base.head.log.saturating_sub(1)))?;
                }
                (log.min(now.log), Some(time.plus_ms(1)))
            }
        };
        let mut acks = now.acks.clone();
        if let Some(until) = until {
            for (partition, place) in &mut acks {
                let stream = streams::acks(*partition);
                let seeked = self.bus.seek(&stream, |dated| dated.time < until).await?;
                *place = seeked.min(*place);
            }
        }
        Ok(Moment {
            position: now.at(log, acks),
            until,
        })
    }

    /// When the event behind `sequence` was logged; none where there is none yet.
    async fn time_behind(&self, sequence: u64, last: u64) -> Result<Option<Time>, Untold> {
        if sequence >= last {
            return Ok(None);
        }
        let part = Part {
            from: sequence + 1,
            upto: Some(last),
            headers_only: true,
            ..Part::default()
        };
        let next = self.bus.range(streams::LOG, part).await?.next().await?;
        Ok(next.and_then(|dated| event_time(&dated)))
    }

    /// Folds up to `wanted` from the nearest view that is at hand, and archives views on the way.
    async fn fold(
        &self,
        cached: Option<(Position, Past)>,
        wanted: &Position,
        until: Option<Time>,
    ) -> Result<Past, Untold> {
        // Nothing before the base goes on any more.
        let base = self.base().await?.map(|base| base.head);
        let (cut, answered_by) =
            base.map_or((0, Time::default()), |base| (base.log, base.answered_by));
        let is_early = until.is_some_and(|until| until <= answered_by);
        let cached = cached.filter(|(at, _)| at.log > cut || (at.log == cut && !is_early));
        let archive = Arc::clone(&self.archive);
        let (after, place) = (
            cached.as_ref().map_or(0, |(position, _)| position.log),
            wanted.clone(),
        );
        let archived = tokio::task::spawn_blocking(move || archive.nearest(&place, after))
            .await
            .ok()
            .flatten();
        let begins_anew = archived.is_none() && cached.is_none();
        let (mut position, mut view, known) = match (archived, cached) {
            (Some((position, view)), _) => (position, view, true),
            (None, Some((position, past))) => (position, View::clone(&past.view), past.acks_known),
            (None, None) => {
                let (position, view) = self.beginning(wanted, until).await?;
                (position, view, true)
            }
        };
        let mut acks_known = known;
        for (partition, place) in &wanted.acks {
            let folded = position.acks.get(partition).copied().unwrap_or(0);
            if folded < *place {
                let bounds = self.bus.bounds(&streams::acks(*partition)).await?;
                acks_known &= bounds.first <= folded + 1;
            }
        }
        while position != *wanted {
            let (step, until) = self.step(&position, wanted).await?;
            reading::fold(&self.bus, &mut view, &step, || ()).await?;
            position = step;
            // A view that lacks acknowledgements would hand its lack on, and one that has the base's may know more than was known then.
            let knows_more = begins_anew && until.is_some_and(|until| until <= answered_by);
            if position != *wanted && acks_known && !knows_more {
                view = self.keep(view, &position).await?;
            }
        }
        // The streams may have had nothing to fold at the very end.
        position.mark(&mut view);
        Ok(Past {
            view: Arc::new(view),
            acks_known,
        })
    }

    /// What folding towards `wanted` begins with: the base, without acknowledgements where it knows of later ones, or nothing. `until` is when that moment
    /// ends; none where that is now, or where its places are exact.
    async fn beginning(
        &self,
        wanted: &Position,
        until: Option<Time>,
    ) -> Result<(Position, View), Untold> {
        let Some(base) = self.base().await? else {
            return Ok((wanted.beginning(), View::default()));
        };
        refuse_cut(Some(&base), wanted.log)?;
        let view: View = self.bus.base_section(&base, VIEW).await?;
        let position = wanted.at(base.head.log, base.head.acks.clone());
        let knows_more = until.is_some_and(|until| until <= base.head.answered_by);
        match position.is_before(wanted) && !knows_more {
            true => Ok((position, view)),
            false => {
                let acks = wanted.beginning().acks;
                Ok((wanted.at(base.head.log, acks), view.without_answers()))
            }
        }
    }

    /// The view at the cut, with every acknowledgement that the base knows; none where the log was never cut.
    pub(crate) async fn at_cut(&self, now: &Position) -> Result<Option<Arc<View>>, Untold> {
        let Some(base) = self.base().await? else {
            return Ok(None);
        };
        let acks = base.head.acks.iter();
        let at = At::Places(Places {
            log: base.head.log,
            acks: acks
                .map(|(partition, place)| (subject::partition_token(*partition), *place))
                .collect(),
        });
        Ok(Some(self.view(&at, now).await?.view))
    }

    /// The next place at which a view is archived on the way to `wanted`, with when it ends, or `wanted`.
    async fn step(
        &self,
        position: &Position,
        wanted: &Position,
    ) -> Result<(Position, Option<Time>), Untold> {
        let log = self.archive.step_behind(position.log);
        if log >= wanted.log {
            return Ok((wanted.clone(), None));
        }
        let Moment {
            position: step,
            until,
        } = self.place(&At::Sequence(log), wanted).await?;
        let acks = step.acks.iter().map(|(partition, place)| {
            let folded = position.acks.get(partition).copied().unwrap_or(0);
            (*partition, folded.max(*place))
        });
        Ok((wanted.at(log, acks.collect::<BTreeMap<_, _>>()), until))
    }

    async fn keep(&self, mut view: View, position: &Position) -> Result<View, Untold> {
        let (archive, position) = (Arc::clone(&self.archive), position.clone());
        position.mark(&mut view);
        let kept = tokio::task::spawn_blocking(move || {
            archive.keep(&view, &position);
            view
        });
        kept.await
            .map_err(|_| Refusal::new("", "the aggregator ends: ask again").into())
    }
}

/// Refuses a moment before the base.
fn refuse_cut(base: Option<&Found>, log: u64) -> Result<(), Refusal> {
    match base {
        Some(base) if log < base.head.log => Err(Refusal::new(
            "at",
            format!(
                "history before {} ({}) was cut: ask for a later moment, or restore a backup that reaches further back beside this hub",
                base.head.log,
                format_time(base.head.time)
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn refuse_ahead(field: &str, wanted: u64, folded: u64) -> Result<(), Refusal> {
    if wanted > folded {
        return Err(Refusal::new(
            field,
            format!("the log is folded up to {folded}, and {wanted} is asked for"),
        ));
    }
    Ok(())
}

/// The time that an event of the log carries.
fn event_time(dated: &Dated) -> Option<Time> {
    dated.stored.message.headers.time().ok()
}
