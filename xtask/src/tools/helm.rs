//! Helm for the test of the charts: from `FLEETCAST_HELM`, from `PATH` if it is not too old, else built once from its Go module into the user's cache.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Result, bail};

use super::cache;
use super::control_plane::{cache_folder, find_go};
use super::version::Version;
use crate::command_line::{first_line, status};
use crate::workspace::Workspace;

/// Names the program to use; what we run finds it there, and a person may set it. `none` skips what needs it.
pub(crate) const VARIABLE: &str = "FLEETCAST_HELM";
/// The first that checks values against a JSON schema of our draft without another program.
const OLDEST: Version = Version(3, 14, 0);
/// What is built where there is none.
const BUILT: Version = Version(3, 22, 0);
const BINARY: &str = "helm";

/// Answers Helm, or the reason why there is none.
///
/// # Errors
/// If a variable names what is not there, or Go is there and the build fails.
pub(crate) fn bring(workspace: &Workspace) -> Result<Result<PathBuf, String>> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        if named == "none" {
            return Ok(Err(format!("{VARIABLE} is `none`")));
        }
        let program = std::path::absolute(&named)?;
        if !program.is_file() {
            bail!("{VARIABLE} names {}, which is not there", program.display());
        }
        return Ok(Ok(program));
    }
    let printed = first_line(Command::new(BINARY).args(["version", "--short"]));
    if printed
        .and_then(|printed| Version::found_in(&printed))
        .is_some_and(|found| found.reaches(OLDEST))
    {
        return Ok(Ok(PathBuf::from(BINARY)));
    }
    let go = match find_go() {
        Ok((go, _)) => go,
        Err(reason) => {
            return Ok(Err(format!(
                "{reason}; install Helm, or Go, which builds it"
            )));
        }
    };
    let cache = cache_folder(workspace);
    let folder = cache::filled_once(&cache, &format!("helm-{BUILT}"), |folder| {
        eprintln!(
            "tools: building helm {BUILT} from its Go module, once (1 to 2 minutes on 2 cores)"
        );
        let mut install = Command::new(&go);
        install
            .current_dir(folder)
            .args(["install", "-trimpath", "-ldflags=-s -w"])
            .arg(format!("helm.sh/helm/v3/cmd/helm@v{BUILT}"))
            .env("GOBIN", fs::canonicalize(folder)?)
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0");
        if !status(&mut install)?.success() {
            bail!(
                "helm {BUILT} cannot be built: see the message above; {VARIABLE}=none goes on without it"
            );
        }
        Ok(())
    });
    // A machine that cannot reach the modules has no Helm, which is no fault of the program.
    Ok(folder
        .map(|folder| folder.join(BINARY))
        .map_err(|error| format!("{error:#}")))
}
