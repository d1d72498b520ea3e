//! cargo-deny: from `PATH` if it is not too old, else built from source into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Result, bail};

use super::cache;
use super::version::Version;
use crate::command_line::{first_line, status};
use crate::workspace::Workspace;

/// The first that reads `advisories.unmaintained` in our `deny.toml` as a scope (its changelog, 0.18.2).
const OLDEST: Version = Version(0, 18, 2);
/// What is built where there is none.
const BUILT: Version = Version(0, 20, 2);
const BINARY: &str = "cargo-deny";

/// Answers a program for `cargo-deny …`, after building one if there is none.
///
/// # Errors
/// If it cannot be built, which without a network is the usual case.
pub(crate) fn bring(workspace: &Workspace) -> Result<PathBuf> {
    let on_path = first_line(Command::new(BINARY).arg("--version"))
        .and_then(|printed| Version::found_in(&printed));
    match on_path {
        Some(found) if found.reaches(OLDEST) => return Ok(PathBuf::from(BINARY)),
        Some(found) => {
            eprintln!("tools: not using cargo-deny {found} from PATH: {OLDEST} or newer is needed")
        }
        None => {}
    }
    let folder = cache::filled_once(
        &workspace.tools(),
        &format!("cargo-deny-{BUILT}"),
        |folder| build(workspace, folder),
    )?;
    Ok(folder.join("bin").join(BINARY))
}

/// Builds without optimization: that takes one minute instead of many, and a check still takes one second.
fn build(workspace: &Workspace, folder: &Path) -> Result<()> {
    eprintln!(
        "tools: bringing cargo-deny {BUILT}: building it from source, once (1 to 2 minutes on 2 cores)"
    );
    let scratch = folder.join("build");
    let mut install = workspace.cargo();
    // Outside our workspace, so that its settings do not reach that build.
    install.current_dir(env::temp_dir());
    install
        .args([
            "install",
            BINARY,
            "--version",
            &BUILT.to_string(),
            "--locked",
            "--debug",
            "--quiet",
            "--root",
        ])
        .arg(folder);
    // A target folder of its own: the workspace's may be locked, and this one is thrown away.
    install
        .env("CARGO_TARGET_DIR", &scratch)
        .env("CARGO_INCREMENTAL", "0");
    install
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_PROFILE_DEV_STRIP", "symbols");
    if !status(&mut install)?.success() {
        bail!(
            "cargo cannot build cargo-deny {BUILT}: see its message above, then check the network, or install it yourself (`cargo install cargo-deny --locked`)"
        );
    }
    fs::remove_dir_all(scratch)?;
    Ok(())
}
