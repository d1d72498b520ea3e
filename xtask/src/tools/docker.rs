//! A Docker engine for the test of `compose/`: one that answers, else Debian's packages unpacked into `target/tools`, which a test starts for itself.
//!
//! Nothing is installed: apt keeps its lists in that folder too. Debian and root are needed for that; without them, and without an engine, the test says
//! that it was skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cache;
use crate::command_line::first_line;
use crate::workspace::Workspace;

/// Names the folder with the unpacked packages; what we run finds them there. `none` skips what needs them.
pub(crate) const VARIABLE: &str = "FLEETCAST_DOCKER_ENGINE";
/// The engine, what it runs containers and resolves their names with, and Compose.
const PACKAGES: &[&str] = &["docker.io", "iptables", "docker-compose"];
/// Changes when the packages do.
const FOLDER: &str = "docker-engine-debian-1";

/// Where a Docker engine comes from.
pub(crate) enum Source {
    /// One answers already.
    Running,
    /// This folder, with Debian's packages unpacked in it.
    Packages(PathBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

/// Answers where a Docker engine comes from, after unpacking Debian's if none answers.
pub(crate) fn bring(workspace: &Workspace) -> Source {
    match std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        Some(named) if named == "none" => {
            return Source::Missing(format!("{VARIABLE} is `none`"));
        }
        Some(named) => return Source::Packages(PathBuf::from(named)),
        None => {}
    }
    let mut ask = Command::new("docker");
    ask.args(["info", "--format", "{{.ServerVersion}}"])
        .stderr(Stdio::null());
    if first_line(&mut ask).is_some_and(|version| !version.is_empty()) {
        return Source::Running;
    }
    let is_root = first_line(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    let has_apt = first_line(Command::new("apt-get").arg("--version")).is_some();
    if !(is_root && has_apt) {
        return Source::Missing(
            "no Docker engine answers (`docker info`), and none can be unpacked: that needs root and Debian's apt-get"
                .to_owned(),
        );
    }
    match cache::filled_once(&workspace.tools(), FOLDER, unpack) {
        Ok(folder) => Source::Packages(folder),
        Err(error) => Source::Missing(format!(
            "no Docker engine answers, and Debian's cannot be brought: {error:#}"
        )),
    }
}

/// Unpacks the packages, with those of their dependencies that this machine lacks, in `folder`.
fn unpack(folder: &Path) -> Result<()> {
    eprintln!(
        "tools: bringing a Docker engine: Debian's packages, unpacked and not installed (70 MB)"
    );
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part))?;
    }
    let apt_get = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new("apt-get");
        let state = format!("Dir::State::Lists={}", apt.join("lists").display());
        let cache = format!("Dir::Cache={}", apt.join("cache").display());
        command
            .current_dir(&apt)
            .args([
                "-qq",
                "-o",
                &state,
                "-o",
                &cache,
                "-o",
                "APT::Sandbox::User=root",
            ])
            .args(arguments);
        let output = command.output().context("apt-get does not start")?;
        if !output.status.success() {
            bail!(
                "`apt-get {}`: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    apt_get(&["update"])?;
    let simulated = [
        &["install", "--simulate", "--no-install-recommends"],
        PACKAGES,
    ]
    .concat();
    let simulated = apt_get(&simulated)?;
    let lacking = lacking(&simulated);
    apt_get(&[&["download"], lacking.as_slice()].concat())?;
    for entry in fs::read_dir(&apt)? {
        let package = entry?.path();
        if package
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            let unpacked = Command::new("dpkg")
                .arg("-x")
                .arg(&package)
                .arg(folder)
                .status();
            if !unpacked.context("dpkg does not start")?.success() {
                bail!("dpkg cannot unpack {}", package.display());
            }
        }
    }
    fs::remove_dir_all(apt)?;
    if !folder.join("usr/sbin/dockerd").is_file() {
        bail!("there is no dockerd in Debian's packages");
    }
    Ok(())
}

/// What `apt-get install --simulate` would install.
fn lacking(simulated: &str) -> Vec<&str> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_that_are_lacking_are_read() {
        let simulated = "Inst runc (1.1.5 Debian:12 [amd64])\nInst docker.io (20.10 Debian:12 [amd64])\nConf runc (1.1.5 Debian:12 [amd64])\n";
        assert_eq!(lacking(simulated), ["runc", "docker.io"]);
    }
}
