//! `cargo xtask fix`: clippy's own repairs first, since they may leave lines that rustfmt then puts right.

use std::process::ExitCode;

use anyhow::Result;

use crate::command_line::{shown, status};
use crate::tools::component;
use crate::workspace::Workspace;

/// Repairs what can be repaired without a person, also in files that are not committed yet.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let repairs: [(&component::Component, &[&str]); 2] = [
        (
            &component::CLIPPY,
            &[
                "clippy",
                "--fix",
                "--workspace",
                "--all-targets",
                "--allow-dirty",
                "--allow-staged",
            ],
        ),
        (&component::RUSTFMT, &["fmt", "--all"]),
    ];
    let mut whole = true;
    for (component, arguments) in repairs {
        if let Some(reason) = component.missing(workspace) {
            eprintln!("fix: left out: {reason}");
            continue;
        }
        let mut repair = workspace.cargo();
        repair.args(arguments);
        eprintln!("fix: {}", shown(&repair));
        whole &= status(&mut repair)?.success();
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
