//! `cargo xtask demo`: a NATS server, a fresh build, and then `fleetcast demo` in our place.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use crate::command_line::{cannot_start, shown, status};
use crate::tools::nats_server;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo --keep           leave the fleet running to look around in it
  cargo xtask demo -- --help        what `fleetcast demo` itself can do")]
pub(crate) struct Arguments {
    /// Leave the fleet running at the end
    #[arg(long)]
    keep: bool,
    /// More arguments for `fleetcast demo`
    #[arg(last = true, value_name = "ARGUMENT")]
    rest: Vec<String>,
}

/// Becomes `fleetcast demo`, so that its exit status and Ctrl-C are the demo's own; returns only if it could not.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let server = nats_server::bring(workspace)?;

    let mut build = workspace.cargo();
    build.args(["build", "--package", "fleetcast-cli", "--bin", "fleetcast"]);
    eprintln!(
        "demo: building fleetcast with `{}` (the first time takes a few minutes)",
        shown(&build)
    );
    if !status(&mut build)?.success() {
        bail!("fleetcast does not build; the compiler's message is above");
    }

    let mut demo = Command::new(workspace.target.join("debug/fleetcast"));
    demo.arg("demo")
        .args(arguments.keep.then_some("--keep"))
        .args(&arguments.rest);
    demo.env(nats_server::VARIABLE, server);
    eprintln!("demo: running `{}`", shown(&demo));
    let error = demo.exec();
    Err(anyhow::Error::new(error).context(cannot_start(&demo)))
}
