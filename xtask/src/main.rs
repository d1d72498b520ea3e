//! Brings what a fresh machine lacks, then runs cargo: `cargo xtask demo | test | simulate | fuzz | tools | fix`.
//!
//! A fresh machine is Debian 12 with Rust (cargo, maybe without clippy and rustfmt) and Python 3 with pip. What else is needed
//! lies in `target/tools/` after the first run. A new command is one file beside this one plus one line in [`Command`].

mod command_line;
mod demo;
mod fix;
mod fuzz;
mod simulate;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Fleetcast's own commands: they bring the tools that are missing, then run cargo.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(after_help = "Examples:
  cargo xtask demo                  see one change reach three clusters
  cargo xtask test                  everything that CI checks
  cargo xtask test tidy             only the tests whose name contains `tidy`
  cargo xtask simulate              a thousand fleets by seed, broken and healed
  cargo xtask fuzz                  bytes that nobody wrote, through every decoder
  cargo xtask tools                 bring the tools, say where they are
  cargo xtask fix                   let clippy and rustfmt repair what they can")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds `fleetcast` and runs its demo with a NATS server that is brought if need be
    Demo(demo::Arguments),
    /// Formats, lints, tests and checks the dependencies; with filters only tests
    Test(test::Arguments),
    /// Simulates many fleets by seed, each broken in every way and healed
    Simulate(simulate::Arguments),
    /// Tries every decoder that meets the network with bytes that nobody wrote
    Fuzz(fuzz::Arguments),
    /// Brings the tools and prints where they are
    Tools,
    /// Repairs what clippy and rustfmt can repair by themselves
    Fix,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let workspace = Workspace::of_this_build();
    let ended = match arguments.command {
        Command::Demo(arguments) => demo::run(&workspace, &arguments),
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Simulate(arguments) => simulate::run(&workspace, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Tools => tools::run(&workspace),
        Command::Fix => fix::run(&workspace),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
