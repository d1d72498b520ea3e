//! The tools that a fresh machine lacks, one file each, and `cargo xtask tools`, which brings them all.
//!
//! Each has `bring(&Workspace)`: one that is there and new enough is taken, else one is brought into
//! `target/tools/<name>-<version>/` (the control plane into the user's cache) by [`cache`]. A new tool is one file here plus one line in [`run`].

mod cache;
pub(crate) mod cargo_deny;
pub(crate) mod component;
pub(crate) mod control_plane;
pub(crate) mod docker;
pub(crate) mod helm;
pub(crate) mod nats_server;
mod version;

use std::process::ExitCode;

use anyhow::Result;

use self::control_plane::Source;
use crate::workspace::Workspace;

/// Brings every tool and prints where each is; fails if one of them cannot be had.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut whole = true;
    for (name, tool) in [
        ("nats-server", nats_server::bring(workspace)),
        ("cargo-deny", cargo_deny::bring(workspace)),
    ] {
        match tool {
            Ok(path) => println!("{name:<13} {}", path.display()),
            Err(error) => {
                whole = false;
                println!("{name:<13} missing: {error:#}");
            }
        }
    }
    match control_plane::bring(workspace) {
        Ok(Source::Binary(path) | Source::Assets(path)) => {
            println!("{:<13} {}", "control-plane", path.display());
        }
        // Only the tests with real API servers need it.
        Ok(Source::Missing(reason)) => println!("{:<13} missing: {reason}", "control-plane"),
        Err(error) => {
            whole = false;
            println!("{:<13} missing: {error:#}", "control-plane");
        }
    }
    match helm::bring(workspace)? {
        Ok(path) => println!("{:<13} {}", "helm", path.display()),
        // Only the test of the charts needs it.
        Err(reason) => println!("{:<13} missing: {reason}", "helm"),
    }
    match docker::bring(workspace) {
        docker::Source::Running => println!("{:<13} one answers", "docker"),
        docker::Source::Packages(folder) => println!("{:<13} {}", "docker", folder.display()),
        // Only the test of compose/ needs it.
        docker::Source::Missing(reason) => println!("{:<13} missing: {reason}", "docker"),
    }
    for component in [&component::RUSTFMT, &component::CLIPPY] {
        match component.missing(workspace) {
            None => println!("{:<13} with cargo", component.name),
            Some(reason) => println!("{:<13} missing: {reason}", component.name),
        }
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
