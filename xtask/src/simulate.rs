//! `cargo xtask simulate`: many fleets by seed, each broken in every way and healed, as fast as one core goes.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::command_line::{shown, status};
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask simulate                      a thousand fleets
  cargo xtask simulate --seeds 100000       for a long break
  cargo xtask simulate --seed 348 --trace   one fleet, with its story
  cargo xtask simulate --seeds 2000 --restore   each loses its hub once and gets it back from an older backup

  cargo xtask simulate --plant remove-strays    a planted fault, found and shrunk

docs/testing.md says what is simulated and how to read a story.")]
pub(crate) struct Arguments {
    /// How many fleets; 1,000, or 1 where a seed is given
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many steps each fleet takes before it heals
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Lose each hub once and restore it from an older backup
    #[arg(long)]
    restore: bool,
    /// Add faults that are known not to be survived
    #[arg(long)]
    beyond: bool,
    /// Plant a fault, and stop at the first fleet that finds it; a wrong name lists them
    #[arg(long, value_name = "FAULT")]
    plant: Option<String>,
    /// Add the first failing seed and its shortest story to those that every test run tries
    #[arg(long)]
    keep: bool,
    /// Tell each story step by step
    #[arg(long)]
    trace: bool,
}

/// Builds the simulation in release and runs it; its exit status is ours.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments {
        seeds,
        seed,
        steps,
        restore,
        beyond,
        plant,
        keep,
        trace,
    } = arguments;
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "fleetcast-world",
        "--example",
        "simulate",
        "--",
    ]);
    for (name, number) in [("--seeds", seeds), ("--seed", seed), ("--steps", steps)] {
        if let Some(number) = number {
            command.args([name, &number.to_string()]);
        }
    }
    if let Some(plant) = plant {
        command.args(["--plant", plant]);
    }
    for (name, is_set) in [
        ("--restore", restore),
        ("--beyond", beyond),
        ("--trace", trace),
        ("--keep", keep),
    ] {
        command.args(is_set.then_some(name));
    }
    eprintln!(
        "simulate: {} (the first build takes a minute or two)",
        shown(&command)
    );
    Ok(if status(&mut command)?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
