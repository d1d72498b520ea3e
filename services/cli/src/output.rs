//! What people read: tables, colours on a terminal, ages, the log.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use fleetcast_core::drift::Drift;
use fleetcast_core::fold::Condition;
use fleetcast_core::health::State;
use fleetcast_core::sealed;
use fleetcast_core::time::Time;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::failure::Failure;

/// Sends the log to stderr: for services from INFO on, for commands from WARN on.
pub(crate) fn start_logging(args: &Args) {
    let default = match args.command {
        Command::Up(_) | Command::Ingest(_) | Command::Agent(_) | Command::Aggregator(_) => {
            "info,async_nats=warn"
        }
        _ => "error,async_nats=off",
    };
    let filter = args.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
    // kube logs what an API server answers at DEBUG, and the client of the bus whole messages at TRACE: either may hold a Secret.
    let quiet = ["kube_client=info", "async_nats::connection=debug"];
    let quiet = quiet.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if args.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init();
    }
}

/// Colours, where a person looks at a terminal that has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output: off where it is no terminal, or `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            on: wanted && std::io::stdout().is_terminal(),
        }
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default(), text)
    }

    pub(crate) fn waiting(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    /// A text about how a copy does, in the state's colour.
    pub(crate) fn health(self, state: State, text: &str) -> String {
        match state {
            State::Healthy => self.good(text),
            State::Progressing | State::Unknown => self.waiting(text),
            State::Degraded => self.bad(text),
        }
    }

    /// A condition in its colour.
    pub(crate) fn condition(self, condition: Condition) -> String {
        let word = condition.word();
        match condition {
            Condition::Applied => self.good(word),
            Condition::Refused | Condition::Ahead => self.bad(word),
            Condition::Deciding
            | Condition::Pending
            | Condition::Retrying
            | Condition::Held
            | Condition::Removing => self.waiting(word),
            Condition::Excluded => self.dim(word),
        }
    }
}

/// What somebody else changed, in one line.
pub(crate) fn drift(drift: &Drift) -> String {
    match (drift.healed, drift.heals) {
        (false, _) => drift.summary(),
        (true, 0..=1) => format!("put right: {}", drift.summary()),
        (true, heals) => format!("put right {heals} times: {}", drift.summary()),
    }
}

/// Columns, as wide as what stands in them.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(ToString::to_string).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table, each line behind `indent`.
    pub(crate) fn text(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (cell, wide) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(wide - width(cell) + 3));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How many characters of `cell` a terminal shows: colours take no room.
fn width(cell: &str) -> usize {
    let mut shown = 0;
    let mut in_escape = false;
    for character in cell.chars() {
        match (in_escape, character) {
            (false, '\u{1b}') => in_escape = true,
            (true, 'm') => in_escape = false,
            (true, _) => {}
            (false, _) => shown += 1,
        }
    }
    shown
}

/// Prints text to standard output, digests in place of sealed values; a reader that has gone ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(sealed::shown_in(text).as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints one JSON document.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    text.push('\n');
    print(&text)
}

/// Prints one JSON document on a line.
pub(crate) fn print_json_line<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(anyhow::Error::from)?;
    text.push('\n');
    print(&text)
}

/// Prints one YAML document.
pub(crate) fn print_yaml<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    print(&serde_saphyr::to_string(value).map_err(anyhow::Error::from)?)
}

/// How long ago `time` was: `5s`, `3m`, `2h`, `4d`.
pub(crate) fn age(time: Time) -> String {
    let seconds = fleetcast_bus::now().ms_since(time) / 1_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// One field that differs: `~ field: from → to`, `+` where it is new, `-` where it goes.
pub(crate) fn difference<T: std::fmt::Display>(
    field: &str,
    from: Option<T>,
    to: Option<T>,
    paint: Paint,
) -> String {
    match (from, to) {
        (Some(from), Some(to)) => paint.waiting(&format!("~ {field}: {from} → {to}")),
        (None, Some(to)) => paint.good(&format!("+ {field}: {to}")),
        (Some(from), None) => paint.bad(&format!("- {field}: {from}")),
        (None, None) => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_with_colours() {
        let paint = Paint { on: true };
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![paint.good("applied"), "1".to_owned()]);
        table.row(vec!["x".to_owned(), "2".to_owned()]);
        let text = table.text("");
        let columns: Vec<usize> = text
            .lines()
            .map(|line| width(&line[..line.rfind(['B', '1', '2']).expect("a cell")]))
            .collect();
        assert_eq!(columns, [10, 10, 10]);
    }
}
