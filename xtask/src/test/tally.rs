//! How many tests passed, failed and were skipped, added up from what the test programs print.

use std::fmt;

/// The sum over all test programs of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Marked `#[ignore]`.
    pub(crate) ignored: usize,
    /// A line for each test that ended early because the machine lacks something: the test programs count these as passed.
    pub(crate) skipped_by_themselves: Vec<String>,
}

impl Tally {
    /// Adds `test result: ok. 3 passed; 0 failed; 1 ignored; …`; any other line is none of ours.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_verdict, counts)) = line
            .trim_start()
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<usize>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds what the tests wrote about themselves: a line `SKIPPED: <test>: <reason>` for each that did not run.
    pub(crate) fn add_skipped(&mut self, text: &str) {
        let lines = text
            .lines()
            .map(|line| line.strip_prefix("SKIPPED: ").unwrap_or(line).trim());
        self.skipped_by_themselves
            .extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        self.skipped_by_themselves.sort();
    }

    /// How many tests ran at all.
    pub(crate) fn ran(&self) -> usize {
        self.passed + self.failed + self.ignored
    }
}

/// The plain sum; a test that skipped itself is counted as skipped and not as passed.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_themselves = self.skipped_by_themselves.len().min(self.passed);
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed - by_themselves,
            self.failed,
            self.ignored + by_themselves
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that the lines of several test programs add up, and that others are not counted.
    #[test]
    fn lines_of_many_test_programs_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test placement::spread ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.51s",
            "a test that prints 7 passed; 7 failed",
            "test result: ",
        ] {
            tally.add_line(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.ignored), (13, 2, 1));
        assert_eq!(tally.to_string(), "13 passed, 2 failed, 1 skipped");
    }

    /// Shows that a test that skipped itself is not counted as passed.
    #[test]
    fn a_test_that_skipped_itself_has_not_passed() {
        let mut tally = Tally {
            passed: 3,
            ..Tally::default()
        };
        tally.add_skipped(
            "SKIPPED: real_api_server: no KUBEBUILDER_ASSETS\n\nthree_nodes: one core only\n",
        );
        assert_eq!(
            tally.skipped_by_themselves,
            [
                "real_api_server: no KUBEBUILDER_ASSETS",
                "three_nodes: one core only"
            ]
        );
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 2 skipped");
    }
}
