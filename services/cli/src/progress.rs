//! How far long work is, on a terminal: a line that is written over, with rate and time left.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written.
const EVERY: Duration = Duration::from_millis(200);

/// The progress of one piece of work on stderr; nothing is written where that is no terminal.
pub(crate) struct Progress {
    what: String,
    total: u64,
    begin: Instant,
    written: Instant,
    on: bool,
}

impl Progress {
    pub(crate) fn new(what: &str, total: u64) -> Self {
        let begin = Instant::now();
        Self {
            what: what.to_owned(),
            total,
            begin,
            written: begin,
            on: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn at(&mut self, done: u64) {
        if self.on && self.written.elapsed() >= EVERY {
            self.written = Instant::now();
            self.write(done);
        }
    }

    fn write(&self, done: u64) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let rate = done as f64 / seconds.max(0.001);
        let left = match rate {
            rate if rate > 0.0 => format!(
                "{:.0} s left",
                self.total.saturating_sub(done) as f64 / rate
            ),
            _ => String::new(),
        };
        // A terminal that has gone is no reason to stop.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K{}: {done} of {}, {rate:.0} a second, {left}",
            self.what,
            self.total
        );
    }

    /// Takes the line away.
    pub(crate) fn end(self) {
        if self.on {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
