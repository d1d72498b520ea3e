//! `cargo deny`: what the dependencies may be, and which of them are known to be unsafe.
//!
//! Bans, licences and sources need nothing from outside. Advisories need a database that is fetched with git, so they are a step
//! of their own: a database that cannot be fetched skips it, an advisory fails it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::report::{Outcome, Report};
use crate::command_line::{cannot_start, shown, status};
use crate::tools::cargo_deny;
use crate::workspace::Workspace;

/// Fetching takes seconds; a network that swallows packets would hold it for minutes.
const LONGEST_FETCH: Duration = Duration::from_secs(90);

/// Runs both steps.
pub(crate) fn check(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mut tool = None;
    report.step("cargo-deny", || match cargo_deny::bring(workspace) {
        Ok(path) => {
            println!("{}", path.display());
            tool = Some(path);
            Ok(Outcome::Passed)
        }
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    })?;
    let Some(tool) = tool else { return Ok(()) };

    report.step("cargo deny check", || {
        checked(&mut cargo_deny_in(
            workspace,
            &tool,
            &["check", "bans", "licenses", "sources"],
        ))
    })?;
    report.step("cargo deny advisories", || {
        if let Some(reason) = cannot_fetch(workspace, &tool)? {
            return Ok(Outcome::Skipped(format!(
                "database cannot be fetched: {reason}"
            )));
        }
        checked(&mut cargo_deny_in(
            workspace,
            &tool,
            &["check", "--disable-fetch", "advisories"],
        ))
    })
}

fn cargo_deny_in(workspace: &Workspace, tool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool);
    command.current_dir(&workspace.root).args(arguments);
    command
}

fn checked(command: &mut Command) -> Result<Outcome> {
    println!("{}", shown(command));
    Ok(if status(command)?.success() {
        Outcome::Passed
    } else {
        Outcome::Failed("see above; deny.toml has the rules and their reasons".to_owned())
    })
}

/// Fetches the advisories; answers why that did not work, or nothing.
fn cannot_fetch(workspace: &Workspace, tool: &Path) -> Result<Option<String>> {
    // A file, not a pipe: git, which cargo-deny starts, may hold a pipe open after cargo-deny was stopped.
    let folder = workspace.target.join("xtask");
    fs::create_dir_all(&folder)?;
    let said = folder.join("advisories.log");
    let mut fetch = cargo_deny_in(workspace, tool, &["fetch", "db"]);
    // Else git asks at the terminal for a name and a password.
    fetch
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(File::create(&said)?);
    println!("{}", shown(&fetch));

    let mut child = fetch.spawn().with_context(|| cannot_start(&fetch))?;
    let started = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(None),
            Some(_) => {
                return Ok(Some(last_line(
                    &fs::read_to_string(&said).unwrap_or_default(),
                )));
            }
            None if started.elapsed() > LONGEST_FETCH => {
                child.kill()?;
                child.wait()?;
                return Ok(Some(format!("no answer in {} s", LONGEST_FETCH.as_secs())));
            }
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("cargo-deny does not say why")
        .to_owned()
}
