//! `cargo xtask fuzz`: every decoder that meets the network, with many more inputs than a test run tries.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command_line::{shown, status};
use crate::workspace::Workspace;

/// Names how many inputs of each target are tried.
const INPUTS_VARIABLE: &str = "FLEETCAST_FUZZ";

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                              every target
  cargo xtask fuzz handed_in --inputs 5000000   one, for a long break

The targets are in tests/tests/decoders/targets.rs. What fails is written to target/fuzz; docs/testing.md says what to do with it.")]
pub(crate) struct Arguments {
    /// Only this target
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// How many inputs of each
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    inputs: u64,
}

/// Builds the targets in release and runs them; the exit status is theirs.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { target, inputs } = arguments;
    let mut command = workspace.cargo();
    command.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "fleetcast-tests",
        "--test",
        "decoders",
        "--",
        "--nocapture",
    ]);
    if let Some(target) = target {
        command.args(["--exact", target]);
    }
    command.env(INPUTS_VARIABLE, inputs.to_string());
    eprintln!("fuzz: {} (the first build takes minutes)", shown(&command));
    Ok(if status(&mut command)?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
