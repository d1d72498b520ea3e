//! What a process begins with: its checkpoint where that belongs to this log, else the base, else nothing.

use fleetcast_bus::{Bus, Error, streams};
use fleetcast_core::epoch::Beginning;

use super::RETRY;
use crate::state::State;

/// The section of a base that holds what ingest knows.
pub const INGEST: &str = "ingest";
/// The section of a base that holds the removals that were answered.
pub const REMOVALS: &str = "removals";

/// The state to begin with: `kept` where the log goes on behind it. What passes by itself is waited for.
///
/// # Errors
/// Where a base is needed and missing or damaged.
pub(super) async fn state(
    bus: &Bus,
    kept: Option<State>,
    beginning: &Beginning,
) -> Result<State, Error> {
    loop {
        match look(bus, kept.clone(), beginning).await {
            Err(error) if error.is_worth_retrying() => {
                tracing::warn!(%error, "the log cannot be looked at, trying again");
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

async fn look(bus: &Bus, kept: Option<State>, beginning: &Beginning) -> Result<State, Error> {
    let bounds = bus.bounds(streams::LOG).await?;
    if let Some(mut state) = kept {
        let sequence = state.placer.sequence();
        if state.placer.epoch() != Some(&beginning.epoch) {
            tracing::warn!("the checkpoint belongs to another history: folding anew");
        } else if sequence > bounds.last {
            tracing::warn!("the log is shorter than the checkpoint: folding anew");
        } else if sequence + 1 < bounds.first {
            tracing::warn!(
                sequence,
                first = bounds.first,
                "the log was cut behind the checkpoint: beginning at its base"
            );
        } else {
            for (partition, sequence) in state.confirmed.clone() {
                state.placer.rewind(partition, sequence);
            }
            state.placer.lose();
            return Ok(state);
        }
    }
    of_base(bus).await
}

/// What the base says, where there is one; else nothing.
///
/// # Errors
/// Where a base is needed and missing or damaged; where the bus does not answer.
pub async fn of_base(bus: &Bus) -> Result<State, Error> {
    let Some(base) = bus.base().await? else {
        return Ok(State::default());
    };
    let state: State = bus.base_section(&base, INGEST).await?;
    let removals = bus.base_section(&base, REMOVALS).await?;
    tracing::info!(log = base.head.log, "beginning at the base");
    Ok(state.answered(removals))
}
