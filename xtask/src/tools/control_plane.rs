//! A real Kubernetes control plane in one binary, built once from `tests/control-plane` (Go): what `FLEETCAST_CONTROL_PLANE` names.
//!
//! It is kept in the user's cache, under a name that changes with its sources, so a second clone or a cleaned `target/` does not build it
//! again. Whoever has `KUBEBUILDER_ASSETS` (a folder with `kube-apiserver` and `etcd`) needs no Go. Without either, the tests that need an
//! API server say that they were skipped.

mod progress;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use super::cache;
use crate::command_line::first_line;
use crate::workspace::Workspace;

/// Names the binary to use; what we run finds it there, and a person may set it. `none` skips what needs it.
pub(crate) const VARIABLE: &str = "FLEETCAST_CONTROL_PLANE";
/// The ecosystem's name for a folder with `kube-apiserver` and `etcd`.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// The program's folder in the workspace.
const SOURCES: &str = "tests/control-plane";
const BINARY: &str = "control-plane";
/// Kubernetes 1.36 does not compile with an older Go, and its OpenAPI comes out wrong with a newer one.
const GO: &str = "go1.26";
/// How to go on without Go.
const REMEDY: &str = "install Go 1.26 (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd";

/// Where API servers for tests come from.
pub(crate) enum Source {
    /// This binary.
    Binary(PathBuf),
    /// This folder with `kube-apiserver` and `etcd`; the tests read the variable themselves.
    Assets(PathBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

/// Answers where API servers come from, after building the binary if there is none.
///
/// # Errors
/// If a variable names what is not there, or Go is there and the build fails.
pub(crate) fn bring(workspace: &Workspace) -> Result<Source> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(named) = named(VARIABLE) {
        if named == "none" {
            return Ok(Source::Missing(format!("{VARIABLE} is `none`")));
        }
        let binary = std::path::absolute(&named)?;
        if !binary.is_file() {
            bail!("{VARIABLE} names {}, which is not there", binary.display());
        }
        return Ok(Source::Binary(binary));
    }
    if let Some(folder) = named(ASSETS).map(PathBuf::from) {
        for program in ["kube-apiserver", "etcd"] {
            if !folder.join(program).is_file() {
                bail!(
                    "{ASSETS} is {}, and there is no {program} in it",
                    folder.display()
                );
            }
        }
        return Ok(Source::Assets(folder));
    }
    match find_go() {
        Ok((go, version)) => built(workspace, &go, &version),
        Err(reason) => Ok(Source::Missing(format!("{reason}; {REMEDY}"))),
    }
}

/// Go and its version, from `PATH` or from where its archive is unpacked by custom; or why there is none that will do.
pub(crate) fn find_go() -> Result<(PathBuf, String), String> {
    let mut unfit = None;
    for go in ["go", "/usr/local/go/bin/go"] {
        let Some(version) = first_line(
            Command::new(go)
                .args(["env", "GOVERSION"])
                .env("GOTOOLCHAIN", "local"),
        ) else {
            continue;
        };
        if fits(&version) {
            return Ok((go.into(), version));
        }
        unfit = Some(format!(
            "{version} cannot build Kubernetes 1.36 right: it needs {GO}"
        ));
    }
    Err(unfit.unwrap_or_else(|| "Go is not installed".to_owned()))
}

/// Whether a version as Go prints it (`go1.26.8`) is a release of the one that is needed.
fn fits(version: &str) -> bool {
    version
        .strip_prefix(GO)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn built(workspace: &Workspace, go: &Path, version: &str) -> Result<Source> {
    let sources = workspace.root.join(SOURCES);
    let folder = format!("control-plane-{:016x}", digest(&sources, version)?);
    let cache = cache_folder(workspace);
    if !cache.join(&folder).join(BINARY).is_file()
        && let Err(reason) = download(&sources, go)
    {
        return Ok(Source::Missing(reason));
    }
    let whole = cache::filled_once(&cache, &folder, |partial| {
        build(&sources, go, &partial.join(BINARY))
    })?;
    Ok(Source::Binary(whole.join(BINARY)))
}

/// Brings the modules: a machine that cannot reach them has no control plane, which is no fault of the program.
fn download(sources: &Path, go: &Path) -> Result<(), String> {
    eprintln!("tools: downloading the Go modules of the control plane for tests");
    let output = Command::new(go)
        .current_dir(sources)
        .args(["mod", "download"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| format!("Go does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("go says nothing");
    Err(format!(
        "the Go modules of the control plane cannot be downloaded: {last}"
    ))
}

/// `$XDG_CACHE_HOME/fleetcast`, `~/.cache/fleetcast`, or `target/tools` where there is neither.
pub(crate) fn cache_folder(workspace: &Workspace) -> PathBuf {
    let named = |variable, below: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(below))
    };
    named("XDG_CACHE_HOME", "fleetcast")
        .or_else(|| named("HOME", ".cache/fleetcast"))
        .unwrap_or_else(|| workspace.tools())
}

/// FNV-1a-64 over everything that the binary is made from: another source, another folder in the cache.
fn digest(sources: &Path, version: &str) -> Result<u64> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| format!("cannot read {}", sources.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| {
        path.extension().is_some_and(|ending| {
            ["go", "mod", "sum"]
                .iter()
                .any(|made_from| ending == *made_from)
        })
    });
    files.sort();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(version.as_bytes());
    for flag in flags("") {
        add(flag.as_bytes());
    }
    for file in files {
        add(file.file_name().unwrap_or_default().as_encoded_bytes());
        add(&fs::read(&file)?);
    }
    Ok(digest)
}

/// Flags of the build: no paths of this machine, no debug information, and the version that the API server says it is.
fn flags(kubernetes: &str) -> Vec<String> {
    let (major, minor) = kubernetes
        .trim_start_matches('v')
        .rsplit_once('.')
        .and_then(|(minor, _)| minor.split_once('.'))
        .unwrap_or_default();
    let of_version = |name: &str, value: &str| {
        [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ]
        .map(|package| format!(" -X {package}.{name}={value}"))
        .concat()
    };
    let link = [
        "-s -w".to_owned(),
        of_version("gitVersion", kubernetes),
        of_version("gitMajor", major),
        of_version("gitMinor", minor),
    ]
    .concat();
    vec!["-trimpath".to_owned(), "-ldflags".to_owned(), link]
}

fn build(sources: &Path, go: &Path, binary: &Path) -> Result<()> {
    let kubernetes = kubernetes_version(&fs::read_to_string(sources.join("go.mod"))?)
        .context("go.mod requires no k8s.io/kubernetes")?;
    eprintln!(
        "tools: building a Kubernetes {kubernetes} control plane for tests, once (minutes, 1 GB of Go modules and cache); \
         {VARIABLE}=none skips it and what needs it"
    );
    let in_sources = |arguments: &[&str]| {
        let mut command = Command::new(go);
        command
            .current_dir(sources)
            .args(arguments)
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly -buildvcs=false")
            // The container libraries that are linked need no C compiler.
            .env("CGO_ENABLED", "0");
        command
    };
    let packages = progress::listed(in_sources(&["list", "-deps", "."]))?;
    let mut command = in_sources(&["build", "-v"]);
    command
        .args(flags(&kubernetes))
        .arg("-o")
        .arg(binary)
        .arg(".");
    progress::built(command, packages)
}

/// The version that a `go.mod` requires of Kubernetes: `v1.36.3`.
fn kubernetes_version(go_mod: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let version = line.trim().strip_prefix("k8s.io/kubernetes ")?;
        Some(version.split_whitespace().next()?.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which versions of Go will do.
    #[test]
    fn one_release_of_go_will_do() {
        for (version, expected) in [
            ("go1.26", true),
            ("go1.26.8", true),
            ("go1.25.4", false),
            ("go1.27.0", false),
            ("go1.260", false),
            ("go1.26rc1", false),
            ("", false),
        ] {
            assert_eq!(fits(version), expected, "{version:?}");
        }
    }

    /// Shows that the version in our go.mod is found, and what the API server is told to answer.
    #[test]
    fn the_api_server_is_told_its_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(SOURCES);
        let version = kubernetes_version(&fs::read_to_string(root.join("go.mod")).expect("ours"))
            .expect("it requires Kubernetes");
        assert!(version.starts_with("v1.36."), "{version}");
        let link = flags("v1.36.3").pop().expect("link flags");
        for part in [
            "version.gitVersion=v1.36.3",
            "version.gitMajor=1 ",
            "version.gitMinor=36 ",
        ] {
            assert!(format!("{link} ").contains(part), "{link:?} lacks {part:?}");
        }
    }

    /// Shows that another source, or another Go, is another binary.
    #[test]
    fn another_source_is_another_binary() {
        let folder = env::temp_dir().join(format!("xtask-digest-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the file system of the tests works");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
        let of = |version| digest(&folder, version).expect("read");
        write("go.mod", "module a");
        let first = of("go1.26.8");
        assert_eq!(first, of("go1.26.8"));
        assert_ne!(first, of("go1.26.9"));
        write("README.md", "not compiled");
        assert_eq!(first, of("go1.26.8"));
        write("main.go", "package main");
        assert_ne!(first, of("go1.26.8"));
        fs::remove_dir_all(folder).expect("removed");
    }
}
