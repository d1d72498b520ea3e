//! The fewest steps that still fail: delta debugging over the steps that were taken (Zeller and Hildebrandt, 2002).

use super::step::Step;
use super::{Options, Outcome, replay};

/// Drops steps as long as the same rule still fails, in ever smaller pieces; the shortest story found.
pub fn shrink(options: Options, outcome: &Outcome) -> Outcome {
    let rule = |outcome: &Outcome| {
        let first = outcome.failures.first()?;
        first.split(':').next().map(str::to_owned)
    };
    let wanted = rule(outcome);
    let mut steps: Vec<Step> = outcome.steps.clone();
    let mut piece = steps.len().div_ceil(2).max(1);
    loop {
        let mut dropped = false;
        let mut at = 0;
        while at < steps.len() {
            let end = (at + piece).min(steps.len());
            let fewer: Vec<Step> = steps[..at].iter().chain(&steps[end..]).copied().collect();
            let tried = replay(options, &fewer);
            if rule(&tried).is_some() && rule(&tried) == wanted {
                steps = tried.steps;
                dropped = true;
            } else {
                at = end;
            }
        }
        if piece == 1 && !dropped {
            break;
        }
        if !dropped {
            piece = piece.div_ceil(2);
        }
    }
    replay(
        Options {
            told: true,
            ..options
        },
        &steps,
    )
}
