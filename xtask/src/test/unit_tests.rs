//! `cargo test`, its output shown as it comes and counted on the way.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use anyhow::{Context, Result};

use super::report::Outcome;
use super::tally::Tally;
use crate::command_line::{cannot_start, shown};
use crate::workspace::Workspace;

/// Names the file to which a test that skips itself appends `SKIPPED: <test>: <reason>`, one line a test: what a passing test prints
/// is not shown, so it cannot say so there.
const SKIPPED_FILE_VARIABLE: &str = "FLEETCAST_SKIPPED_FILE";

/// Runs all tests, or those whose name contains a filter, going on after a failure. `brought` are the variables that name tools.
pub(crate) fn run(
    workspace: &Workspace,
    brought: &[(&str, Option<&Path>)],
    filters: &[String],
    rest: &[String],
) -> Result<(Outcome, Tally)> {
    let skipped = SkippedFile::new(workspace)?;
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if !(filters.is_empty() && rest.is_empty()) {
        command.arg("--").args(filters).args(rest);
    }
    command.env(SKIPPED_FILE_VARIABLE, &skipped.0);
    for (variable, path) in brought {
        if let Some(path) = path {
            command.env(variable, path);
        }
    }
    println!("{}", shown(&command));

    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(&command))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        show_and_count(output, &mut tally)?;
    }
    let succeeded = child.wait()?.success();
    tally.add_skipped(&skipped.text());

    let outcome = match (succeeded, tally.failed) {
        (true, _) if tally.ran() == 0 => {
            Outcome::Failed("no test ran: no test's name contains the filter".to_owned())
        }
        (true, _) => Outcome::Passed,
        (false, 0) => Outcome::Failed(
            "something does not compile, or a test program ended early: see above".to_owned(),
        ),
        (false, failed) => Outcome::Failed(format!("{failed} failed: see above")),
    };
    Ok((outcome, tally))
}

fn show_and_count(output: impl io::Read, tally: &mut Tally) -> Result<()> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut shown = io::stdout().lock();
    while output.read_until(b'\n', &mut line)? > 0 {
        shown.write_all(&line)?;
        // A test may print anything, also what is not UTF-8.
        tally.add_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

/// A file of this run's own, removed at its end.
struct SkippedFile(PathBuf);

impl SkippedFile {
    fn new(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("xtask");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let file = folder.join(format!("skipped-{}.txt", process::id()));
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self(file))
    }

    fn text(&self) -> String {
        fs::read(&self.0)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for SkippedFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
