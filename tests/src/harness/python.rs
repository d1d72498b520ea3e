//! Programs in Python, as they stand in the documentation.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::skip;

/// The client for NATS in Python that the documentation's programs are run with.
const NATS_PY: &str = "nats-py[nkeys]==2.16.0";

/// Python 3, with or without the client for NATS.
#[derive(Debug, Clone)]
pub struct Python {
    /// Where to look for modules beside its own.
    modules: Option<PathBuf>,
}

/// Python 3; none (said so) where there is none.
pub fn python(test: &str) -> Option<Python> {
    let found = run(Command::new("python3").arg("--version"));
    if !found {
        skip(test, "there is no python3");
        return None;
    }
    Some(Python { modules: None })
}

/// Python 3 with the client for NATS, brought by pip once; none (said so) where that cannot be had.
pub fn python_with_nats(test: &str) -> Option<Python> {
    let plain = python(test)?;
    const IMPORT: [&str; 2] = ["-c", "import nats, nkeys"];
    if run(Command::new("python3").args(IMPORT)) {
        return Some(plain);
    }
    let this = std::env::current_exe().ok()?;
    let target = this.ancestors().nth(3)?;
    let modules = target.join("tools").join(NATS_PY);
    let is_there = |folder: &Path| {
        let mut import = Command::new("python3");
        run(import.args(IMPORT).env("PYTHONPATH", folder))
    };
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"])
        .arg(&modules)
        .arg(NATS_PY);
    let brought = is_there(&modules) || (run(&mut pip) && is_there(&modules));
    if !brought {
        skip(test, "pip does not bring nats-py");
        return None;
    }
    Some(Python {
        modules: Some(modules),
    })
}

impl Python {
    /// A command that runs the program in `file`.
    pub fn program(&self, file: &Path) -> Command {
        let mut command = Command::new("python3");
        command.arg(file).stdin(Stdio::null());
        if let Some(modules) = &self.modules {
            command.env("PYTHONPATH", modules);
        }
        command
    }
}

fn run(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
