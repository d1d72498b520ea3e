//! `cargo xtask test`: every check in turn, each with its time, going on after a failure so that one run shows them all.
//!
//! A new check is one `report.step(…)` in [`everything`]. The last line is the plain sum of the tests: `N passed, N failed, N skipped`.

mod dependencies;
mod report;
mod tally;
mod unit_tests;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use self::report::{Outcome, Report};
use self::tally::Tally;
use crate::command_line::{shown, status};
use crate::tools::component::{self, Component};
use crate::tools::control_plane::Source;
use crate::tools::{control_plane, docker, helm, nats_server};
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test                          format, lints, tests, dependencies: what CI runs
  cargo xtask test placement subjects       only the tests whose name contains one of the two
  cargo xtask test placement -- --nocapture what stands after `--` goes to the test programs")]
pub(crate) struct Arguments {
    /// Run only the tests whose name contains this, and none of the other checks
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Arguments for the test programs
    #[arg(last = true, value_name = "ARGUMENT")]
    rest: Vec<String>,
}

/// Runs the checks and prints the report; the exit status says whether all that ran passed.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let mut report = Report::default();
    let tally = if arguments.filters.is_empty() {
        everything(workspace, arguments, &mut report)?
    } else {
        tests_only(workspace, arguments, &mut report)?
    };
    report.print(&tally);
    Ok(if report.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn everything(workspace: &Workspace, arguments: &Arguments, report: &mut Report) -> Result<Tally> {
    report.step("cargo fmt", || {
        cargo_component(
            workspace,
            &component::RUSTFMT,
            &["fmt", "--all", "--check"],
            "run `cargo xtask fix`",
        )
    })?;
    report.step("cargo clippy", || {
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        cargo_component(
            workspace,
            &component::CLIPPY,
            &lints,
            "`cargo xtask fix` repairs what it can",
        )
    })?;
    let tally = tests_only(workspace, arguments, report)?;
    dependencies::check(workspace, report)?;
    Ok(tally)
}

fn tests_only(workspace: &Workspace, arguments: &Arguments, report: &mut Report) -> Result<Tally> {
    let mut server = None;
    report.step("nats-server", || match nats_server::bring(workspace) {
        Ok(path) => {
            println!("{}", path.display());
            server = Some(path);
            Ok(Outcome::Passed)
        }
        Err(error) => Ok(Outcome::Failed(format!("{error:#}"))),
    })?;
    let mut binary = None;
    // Before `cargo test` and not beside it: either of the two compilers takes all cores.
    report.step("control-plane", || match control_plane::bring(workspace) {
        Ok(Source::Binary(path)) => {
            println!("{}", path.display());
            binary = Some(path);
            Ok(Outcome::Passed)
        }
        Ok(Source::Assets(folder)) => {
            println!("{}", folder.display());
            Ok(Outcome::Passed)
        }
        Ok(Source::Missing(reason)) => Ok(Outcome::Skipped(reason)),
        Err(error) => Ok(Outcome::Failed(format!("{error:#}"))),
    })?;
    let mut charts = None;
    report.step("helm", || match helm::bring(workspace) {
        Ok(Ok(path)) => {
            println!("{}", path.display());
            charts = Some(path);
            Ok(Outcome::Passed)
        }
        Ok(Err(reason)) => Ok(Outcome::Skipped(reason)),
        Err(error) => Ok(Outcome::Failed(format!("{error:#}"))),
    })?;
    let mut engine = None;
    report.step("docker", || {
        Ok(match docker::bring(workspace) {
            docker::Source::Running => Outcome::Passed,
            docker::Source::Packages(folder) => {
                println!("{}", folder.display());
                engine = Some(folder);
                Outcome::Passed
            }
            docker::Source::Missing(reason) => Outcome::Skipped(reason),
        })
    })?;
    let mut tally = Tally::default();
    report.step("cargo test", || {
        let brought = [
            (helm::VARIABLE, charts.as_deref()),
            (docker::VARIABLE, engine.as_deref()),
            (nats_server::VARIABLE, server.as_deref()),
            (control_plane::VARIABLE, binary.as_deref()),
        ];
        let (outcome, counted) =
            unit_tests::run(workspace, &brought, &arguments.filters, &arguments.rest)?;
        tally = counted;
        Ok(outcome)
    })?;
    Ok(tally)
}

/// Runs a part of the toolchain that a machine may lack.
fn cargo_component(
    workspace: &Workspace,
    component: &Component,
    arguments: &[&str],
    remedy: &str,
) -> Result<Outcome> {
    if let Some(reason) = component.missing(workspace) {
        return Ok(Outcome::Skipped(reason));
    }
    let mut command = workspace.cargo();
    command.args(arguments);
    println!("{}", shown(&command));
    Ok(if status(&mut command)?.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(remedy.to_owned())
    })
}
