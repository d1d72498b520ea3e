//! Steps: what may happen next in a fleet. A step does the same wherever it stands, as far as it can, so that a story can be shortened.

use super::chance::Chance;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Somebody hands something in.
    HandIn,
    /// Somebody repeats what was handed in.
    Repeat,
    /// A cluster joins, leaves or changes.
    News,
    /// An ingest process takes in what was handed in.
    Door,
    /// An ingest process keeps its lease or tries for it.
    Lease,
    /// An ingest process reads the log.
    ReadLog,
    /// An ingest process reads acknowledgements.
    ReadAcks,
    /// Something that an ingest process sent is stored.
    Store,
    /// Work that an ingest process sent is stored.
    StoreWork,
    /// An ingest process learns what was stored.
    Learn,
    /// An ingest process keeps a checkpoint.
    SaveHub,
    /// Work arrives live.
    Live,
    /// An attempt goes on.
    Attempt,
    /// An agent learns how an attempt ended.
    Done,
    /// An agent's watches show it something.
    Shown,
    /// A sync request goes on.
    Sync,
    /// Acknowledgements are stored.
    StoreAcks,
    /// An agent is told what was folded.
    Seen,
    /// An agent's memory is kept in its cluster.
    Remember,
    /// An aggregator folds.
    Fold,
    /// An aggregator keeps a checkpoint.
    SaveView,
    /// Time passes.
    Time,
    /// Everything that is up does all that it can.
    Flow,
    /// An ingest process ends and starts again.
    CrashHub,
    /// An agent ends and starts again.
    CrashAgent,
    /// An aggregator ends and starts again.
    CrashView,
    /// A process rests, or goes on.
    Pause,
    /// An agent's connection to the bus breaks, or is there again.
    Connect,
    /// An API server does not answer, or does again.
    Cut,
    /// An API server begins or ends to say no about an object.
    Refuse,
    /// Somebody else creates an object in a cluster or takes it away, or changes or deletes a copy of ours.
    Foreign,
    /// Objects stay a while after their deletion, or are gone.
    Linger,
    /// The lease ends before its time.
    EndLease,
    /// A work stream falls back to an older state.
    FallBack,
    /// A work stream is lost.
    LoseWork,
    /// The hub is lost and restored from an older backup; only where that is asked for.
    Restore,
}

/// Every step with its weight; the ones behind [`Act::Flow`] are faults.
const WEIGHTS: [(Act, u32); 35] = [
    (Act::HandIn, 30),
    (Act::Repeat, 4),
    (Act::News, 6),
    (Act::Door, 26),
    (Act::Lease, 10),
    (Act::ReadLog, 24),
    (Act::ReadAcks, 8),
    (Act::Store, 26),
    (Act::StoreWork, 20),
    (Act::Learn, 20),
    (Act::SaveHub, 4),
    (Act::Live, 24),
    (Act::Attempt, 50),
    (Act::Done, 24),
    (Act::Shown, 16),
    (Act::Sync, 20),
    (Act::StoreAcks, 20),
    (Act::Seen, 10),
    (Act::Remember, 5),
    (Act::Fold, 14),
    (Act::SaveView, 3),
    (Act::Time, 14),
    (Act::Flow, 8),
    (Act::CrashHub, 4),
    (Act::CrashAgent, 5),
    (Act::CrashView, 3),
    (Act::Pause, 5),
    (Act::Connect, 4),
    (Act::Cut, 4),
    (Act::Refuse, 3),
    (Act::Foreign, 3),
    (Act::Linger, 2),
    (Act::EndLease, 6),
    (Act::FallBack, 2),
    (Act::LoseWork, 1),
];
/// Where the faults begin.
const FAULTS: usize = 23;

/// One step: what happens, and a salt from which it draws all that is left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub act: Act,
    /// Which one, how many, and whether the bus loses it.
    pub salt: u32,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.act, self.salt)
    }
}

impl std::str::FromStr for Step {
    type Err = String;

    /// Reads what [`Step`]'s `Display` wrote.
    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is no step: Flow 593116293");
        let (act, salt) = text.split_once(' ').ok_or_else(unknown)?;
        let acts = WEIGHTS.iter().map(|(act, _)| *act).chain([Act::Restore]);
        Ok(Self {
            act: acts
                .into_iter()
                .find(|known| format!("{known:?}") == act)
                .ok_or_else(unknown)?,
            salt: salt.parse().map_err(|_| unknown())?,
        })
    }
}

/// Draws steps. Each seed has its own mix of faults: a fleet with all of them at once never gets anywhere.
pub(super) struct Steps {
    chance: Chance,
    weights: Vec<(Act, u32)>,
    sum: u32,
}

impl Steps {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let weights: Vec<(Act, u32)> = WEIGHTS
            .into_iter()
            .enumerate()
            .map(|(index, (act, weight))| {
                let times = if index >= FAULTS { chance.below(3) } else { 1 };
                (act, weight * times)
            })
            .collect();
        let sum = weights.iter().map(|(_, weight)| weight).sum();
        Self {
            chance,
            weights,
            sum,
        }
    }

    pub(super) fn draw(&mut self) -> Step {
        let mut at = self.chance.below(self.sum);
        let salt = self.chance.below(u32::MAX);
        for (act, weight) in &self.weights {
            if at < *weight {
                return Step { act: *act, salt };
            }
            at -= weight;
        }
        unreachable!("the draw is below the sum")
    }
}
