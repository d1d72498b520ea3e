//! How far a Go build is: modules as they come, then packages as they are compiled.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command_line::{cannot_start, shown};

/// How often a line comes where nobody looks at a terminal.
const EVERY: Duration = Duration::from_secs(30);

/// Runs `go list -deps`, which brings the modules, and answers how many packages there are.
pub(super) fn listed(mut command: Command) -> Result<usize> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(&command))?;
    let packages = child.stdout.take().context("a pipe")?;
    let packages = thread::spawn(move || BufReader::new(packages).lines().count());
    let mut line = Line::new();
    let mut modules = 0;
    let others = said(child.stderr.take().context("a pipe")?, |said| {
        let is_module = said.starts_with("go: downloading ");
        if is_module {
            modules += 1;
            line.show(&format!("{modules} modules"));
        }
        is_module
    })?;
    line.end();
    if !child.wait()?.success() {
        bail!("`{}` failed:\n{others}", shown(&command));
    }
    Ok(packages.join().unwrap_or_default())
}

/// Runs `go build -v`, which names each package that it compiles; those in Go's own cache are not named.
pub(super) fn built(mut command: Command, packages: usize) -> Result<()> {
    let begin = Instant::now();
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(&command))?;
    let mut line = Line::new();
    let mut compiled = 0;
    let others = said(child.stderr.take().context("a pipe")?, |said| {
        let is_package = !said.contains([' ', '#']);
        if is_package {
            compiled += 1;
            line.show(&format!(
                "{compiled} packages compiled, {packages} with those in Go's cache"
            ));
        }
        is_package
    })?;
    line.end();
    if !child.wait()?.success() {
        bail!("`{}` failed:\n{others}", shown(&command));
    }
    eprintln!("tools: built in {} s", begin.elapsed().as_secs());
    Ok(())
}

/// Gives each line to `is_progress`; answers those that were none.
fn said(pipe: impl Read, mut is_progress: impl FnMut(&str) -> bool) -> Result<String> {
    let mut others = String::new();
    for line in BufReader::new(pipe).lines() {
        let line = line?;
        if !is_progress(&line) {
            others += &line;
            others.push('\n');
        }
    }
    Ok(others)
}

/// One line that changes on a terminal, and comes now and then elsewhere.
struct Line {
    on_terminal: bool,
    shown: Option<Instant>,
}

impl Line {
    fn new() -> Self {
        Self {
            on_terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    fn show(&mut self, text: &str) {
        if self.on_terminal {
            self.shown = Some(Instant::now());
            eprint!("\rtools: {text}\x1b[K");
            let _ = io::stderr().flush();
        } else if self.shown.is_none_or(|shown| shown.elapsed() > EVERY) {
            self.shown = Some(Instant::now());
            eprintln!("tools: {text}");
        }
    }

    fn end(&self) {
        if self.on_terminal && self.shown.is_some() {
            eprintln!();
        }
    }
}
