//! The steps as they run, and what is printed when all have.

use std::env;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::tally::Tally;

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran, and all is well.
    Passed,
    /// It ran, or should have run, and all is not well; what to do or where to look.
    Failed(String),
    /// It could not run for want of something that a machine may lack; what that is.
    Skipped(String),
}

/// The steps so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    elapsed: Duration,
}

impl Report {
    /// Runs a step under its heading and keeps what became of it.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> Result<Outcome>,
    ) -> Result<()> {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = run()?;
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(what) => println!("{name}: failed: {what}"),
            Outcome::Skipped(why) => println!("{name}: skipped ({why})"),
        }
        self.steps.push(Step {
            name,
            outcome,
            elapsed: started.elapsed(),
        });
        Ok(())
    }

    /// Whether a step failed; one that was skipped did not.
    pub(crate) fn has_failed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// Prints the table, all that was skipped and why, and the sum as the last line.
    pub(crate) fn print(&self, tally: &Tally) {
        let in_ci = env::var_os("CI").is_some_and(|value| value == "true");
        print!("{}", self.text(tally, in_ci));
    }

    fn text(&self, tally: &Tally, in_ci: bool) -> String {
        let mut text = format!("\n{:<24} {:<8} {:>7}\n", "step", "result", "seconds");
        for Step {
            name,
            outcome,
            elapsed,
        } in &self.steps
        {
            let result = match outcome {
                Outcome::Passed => "passed",
                Outcome::Failed(_) => "FAILED",
                Outcome::Skipped(_) => "skipped",
            };
            text += &format!("{name:<24} {result:<8} {:>7.1}\n", elapsed.as_secs_f64());
        }

        let skipped_steps = self.steps.iter().filter_map(|step| match &step.outcome {
            Outcome::Skipped(why) => Some(format!("{}: {why}", step.name)),
            Outcome::Passed | Outcome::Failed(_) => None,
        });
        let skipped: Vec<String> = skipped_steps
            .chain(tally.skipped_by_themselves.iter().cloned())
            .collect();
        if !skipped.is_empty() {
            // What CI skips, nobody checks: there it is said so that it is found when one searches a log for trouble.
            text += if in_ci {
                "\nWARNING: CI skipped, so nobody checks:\n"
            } else {
                "\nskipped:\n"
            };
            skipped
                .iter()
                .for_each(|line| text += &format!("  {line}\n"));
        }
        text + &format!("\n{tally}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<(&'static str, Outcome)>) -> Report {
        let elapsed = Duration::from_millis(1_234);
        Report {
            steps: outcomes
                .into_iter()
                .map(|(name, outcome)| Step {
                    name,
                    outcome,
                    elapsed,
                })
                .collect(),
        }
    }

    /// Shows the whole text of a run with one of each outcome.
    #[test]
    fn the_text_has_a_table_the_skipped_and_the_sum_last() {
        let report = report(vec![
            ("cargo fmt", Outcome::Passed),
            ("cargo clippy", Outcome::Failed("look above".to_owned())),
            ("cargo deny", Outcome::Skipped("no network".to_owned())),
        ]);
        let tally = Tally {
            passed: 5,
            failed: 0,
            ignored: 1,
            skipped_by_themselves: vec!["real_api_server: no KUBEBUILDER_ASSETS".to_owned()],
        };
        assert!(report.has_failed());
        let expected = "
step                     result   seconds
cargo fmt                passed       1.2
cargo clippy             FAILED       1.2
cargo deny               skipped      1.2

skipped:
  cargo deny: no network
  real_api_server: no KUBEBUILDER_ASSETS

4 passed, 0 failed, 2 skipped
";
        assert_eq!(report.text(&tally, false), expected);
        assert!(report.text(&tally, true).contains("WARNING: CI skipped"));
    }

    /// Shows that a step that was skipped does not fail the run.
    #[test]
    fn a_skipped_step_fails_nothing() {
        assert!(
            !report(vec![(
                "cargo deny",
                Outcome::Skipped("no network".to_owned())
            )])
            .has_failed()
        );
    }
}
