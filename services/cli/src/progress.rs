//! How far long work is: on a terminal one line that is written over, with rate and time left; elsewhere nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two words on a terminal.
const TELL: Duration = Duration::from_millis(200);

/// Work whose steps are counted.
pub(crate) struct Progress {
    what: String,
    of: u64,
    done: u64,
    begin: Instant,
    told: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// `what` takes `of` steps.
    pub(crate) fn new(what: impl Into<String>, of: u64) -> Self {
        Self {
            what: what.into(),
            of,
            done: 0,
            begin: Instant::now(),
            told: None,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// One step more.
    pub(crate) fn step(&mut self) {
        self.at(self.done + 1);
    }

    /// So many steps are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.of(done, self.of);
    }

    /// So many steps are done, of so many.
    pub(crate) fn of(&mut self, done: u64, of: u64) {
        (self.done, self.of) = (done, of);
        if !self.is_terminal || self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let line = line(&self.what, self.done, self.of, self.begin.elapsed());
        // Where stderr is gone nobody looks.
        drop(write!(std::io::stderr(), "\r\x1b[K{line}"));
    }

    /// Takes the line away: how many steps were done, and how long they took.
    pub(crate) fn end(self) -> (u64, Duration) {
        if self.told.is_some() {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
        (self.done, self.begin.elapsed())
    }
}

/// `what 412 of 1000, 206/s, 3 s left`.
fn line(what: &str, done: u64, of: u64, elapsed: Duration) -> String {
    let ms = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = done.saturating_mul(1_000) / ms;
    let left = match rate {
        0 => String::new(),
        rate => format!(", {} s left", of.saturating_sub(done).div_ceil(rate)),
    };
    format!("{what} {done} of {of}, {rate}/s{left}")
}

/// `12.3 s, 80,000/s`: how long so many steps took.
pub(crate) fn took(steps: u64, elapsed: Duration) -> String {
    let ms = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    format!(
        "{}.{} s, {}/s",
        ms / 1_000,
        ms % 1_000 / 100,
        steps.saturating_mul(1_000) / ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        for (done, of, ms, expected) in [
            (0, 10, 0, "log 0 of 10, 0/s"),
            (412, 1_000, 2_000, "log 412 of 1000, 206/s, 3 s left"),
            (1_000, 1_000, 500, "log 1000 of 1000, 2000/s, 0 s left"),
        ] {
            assert_eq!(line("log", done, of, Duration::from_millis(ms)), expected);
        }
        assert_eq!(took(1_000, Duration::from_millis(2_340)), "2.3 s, 427/s");
    }
}
