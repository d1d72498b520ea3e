//! Tells what became of the changes that a command appends, one after the other, and what to run next.

use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::request::Answer;

use crate::args::Lines;
use crate::failure::Failure;
use crate::output::{self, Paint};

/// The changes that were appended so far.
pub(crate) struct Appended {
    format: Lines,
    paint: Paint,
    /// The sequence of the last.
    last: u64,
    refused: bool,
}

impl Appended {
    /// None yet; `refused` where something was refused before.
    pub(crate) fn new(format: Lines, refused: bool) -> Self {
        Self {
            format,
            paint: Paint::stdout(),
            last: 0,
            refused,
        }
    }

    /// Tells the answer about `object`: `word` and `what` of its new revision where it was accepted.
    pub(crate) fn tell(
        &mut self,
        object: &ObjectKey,
        answer: Answer,
        word: &str,
        what: impl FnOnce(u64) -> String,
    ) -> Result<(), Failure> {
        if self.format == Lines::Json {
            output::print_json_line(&answer)?;
        }
        let name = object.for_people();
        let line = match answer {
            Answer::Accepted(accepted) => {
                self.last = self.last.max(accepted.sequence);
                let what = what(accepted.revision);
                format!("{name} {} {what}\n", self.paint.good(word))
            }
            Answer::Refused { refusal } => {
                self.refused = true;
                let why = format!("{}: {}", refusal.field, refusal.message);
                format!("{name} {} {why}\n", self.paint.bad("refused:"))
            }
        };
        if self.format == Lines::Table {
            output::print(&line)?;
        }
        Ok(())
    }

    /// Says what to run next; fails where anything was refused.
    pub(crate) fn end(self) -> Result<(), Failure> {
        if self.format == Lines::Table {
            output::print(&format!("next: fleetcast get --min-seq {}\n", self.last))?;
        }
        match self.refused {
            true => Err(Failure::Said),
            false => Ok(()),
        }
    }
}
