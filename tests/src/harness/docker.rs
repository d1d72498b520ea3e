//! `compose/` on a Docker engine: one that answers, or one that the test starts for itself from Debian's packages that `cargo xtask` unpacked.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{binary, skip};

/// Names the folder with Debian's packages.
const PACKAGES: &str = "FLEETCAST_DOCKER_ENGINE";
/// How long an engine may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Docker engine, and how its commands are called.
pub struct Engine {
    /// The unpacked packages, where the engine is our own.
    packages: Option<PathBuf>,
    /// Where it answers, where that is not the usual place.
    host: Option<String>,
    /// Compose: a program and its first words.
    compose: Vec<String>,
    // Kept to the end: the folder outlives the engine in it.
    _own: Option<OwnEngine>,
    directory: tempfile::TempDir,
}

/// An engine that ends with the test, however that ends: it stops when its standard input is closed.
struct OwnEngine(Child);

impl Drop for OwnEngine {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A Docker engine with Compose; none (said so) where there is none.
pub fn docker(test: &str) -> Option<Engine> {
    let directory = tempfile::tempdir().expect("a folder");
    match running(directory) {
        Ok(engine) => return Some(engine),
        Err(returned) => match own(returned) {
            Ok(engine) => return Some(engine),
            Err(reason) => skip(test, &reason),
        },
    }
    None
}

fn running(directory: tempfile::TempDir) -> Result<Engine, tempfile::TempDir> {
    let answers = |command: &mut Command| says(command).is_some();
    if !answers(Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"])) {
        return Err(directory);
    }
    let compose = if answers(Command::new("docker").args(["compose", "version"])) {
        ["docker", "compose"].as_slice()
    } else if answers(Command::new("docker-compose").arg("version")) {
        &["docker-compose"]
    } else {
        return Err(directory);
    };
    Ok(Engine {
        packages: None,
        host: None,
        compose: compose.iter().map(|word| (*word).to_owned()).collect(),
        _own: None,
        directory,
    })
}

/// Starts an engine from Debian's packages, without rules in this machine's own tables: containers reach each other, and this machine reaches them.
fn own(directory: tempfile::TempDir) -> Result<Engine, String> {
    let packages = std::env::var_os(PACKAGES)
        .map(PathBuf::from)
        .filter(|folder| folder.join("usr/sbin/dockerd").is_file())
        .ok_or("no Docker engine with Compose answers, and there is none to start: FLEETCAST_DOCKER_ENGINE is not set (`cargo xtask test` brings one where it can)")?;
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("bin")).map_err(|error| error.to_string())?;
    for name in ["iptables", "ip6tables"] {
        let program = packages.join("usr/sbin/xtables-nft-multi");
        if program.is_file() {
            std::os::unix::fs::symlink(program, at("bin").join(name))
                .map_err(|error| error.to_string())?;
        }
    }
    let log = std::fs::File::create(at("dockerd.log")).map_err(|error| error.to_string())?;
    let host = format!("unix://{}", at("docker.sock").display());
    let mut start = Command::new("sh");
    with_packages(&mut start, &packages, Some(&at("bin")));
    let child = start
        .args([
            "-c",
            "dockerd \"$@\" & pid=$!; read _; kill $pid; wait $pid",
            "sh",
        ])
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
        .arg("--data-root")
        .arg(at("data"))
        .arg("--exec-root")
        .arg(at("exec"))
        .arg("--pidfile")
        .arg(at("pid"))
        .args(["--host", &host])
        .stdin(Stdio::piped())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("sh does not start: {error}"))?;
    let script = packages.join("usr/bin/docker-compose");
    let engine = Engine {
        compose: vec!["/usr/bin/python3".to_owned(), script.display().to_string()],
        packages: Some(packages),
        host: Some(host),
        _own: Some(OwnEngine(child)),
        directory,
    };
    let begin = Instant::now();
    while says(
        engine
            .docker()
            .args(["info", "--format", "{{.ServerVersion}}"]),
    )
    .is_none()
    {
        if begin.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(engine.directory.path().join("dockerd.log"));
            let log = log.unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            return Err(format!(
                "a Docker engine does not start on this machine: {}",
                last.join(" | ")
            ));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    if says(engine.compose_command().arg("version")).is_none() {
        return Err("docker-compose from Debian's packages does not start".to_owned());
    }
    Ok(engine)
}

impl Engine {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(packages) = &self.packages {
            with_packages(&mut command, packages, None);
        }
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        // Either builder takes these files; this one needs no plugin.
        command.env("DOCKER_BUILDKIT", "0");
        command
    }

    fn docker(&self) -> Command {
        self.command("docker")
    }

    fn compose_command(&self) -> Command {
        let mut command = self.command(&self.compose[0]);
        command.args(&self.compose[1..]);
        command
    }

    /// Builds `compose/`'s images from the binaries of this build, pulling nothing, and answers `compose/compose.yaml` with them.
    pub fn fleet(&self, nats_server: &Path) -> Compose<'_> {
        let tag = format!("test-{}", std::process::id());
        let (fleetcast, nats) = (format!("fleetcast:{tag}"), format!("fleetcast-nats:{tag}"));
        let at = |name: &str| self.directory.path().join(name);

        let context = at("fleetcast");
        std::fs::create_dir_all(context.join("data")).expect("a folder");
        let binary = context.join("fleetcast");
        std::fs::copy(binary::path(), &binary).expect("copied");
        // Smaller where that can be had: it is packed and unpacked.
        let _ = Command::new("strip").arg(&binary).status();

        // The shipped image holds nothing but a static binary; this build's needs its libraries.
        let base = format!("fleetcast-base:{tag}");
        let libraries = at("base");
        for library in libraries_of(&binary) {
            let copy = libraries.join(library.strip_prefix("/").expect("an absolute path"));
            std::fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            std::fs::copy(&library, copy).expect("copied");
        }
        let tar = at("base.tar");
        done(
            Command::new("tar")
                .arg("-C")
                .arg(&libraries)
                .arg("-cf")
                .arg(&tar)
                .arg("."),
        );
        done(self.docker().arg("import").arg(&tar).arg(&base));
        let compose = folder();
        done(
            self.docker()
                .args(["build", "--tag", &fleetcast])
                .args(["--build-arg", &format!("BASE={base}"), "--file"])
                .arg(compose.join("prebuilt.Dockerfile"))
                .arg(&context),
        );
        let context = at("nats");
        std::fs::create_dir_all(&context).expect("a folder");
        std::fs::copy(nats_server, context.join("nats-server")).expect("copied");
        done(
            self.docker()
                .args(["build", "--tag", &nats, "--file"])
                .arg(compose.join("nats/Dockerfile"))
                .arg(&context),
        );
        Compose {
            engine: self,
            project: format!("fleetcast-{tag}"),
            images: [fleetcast, nats, base],
        }
    }
}

/// The services of `compose/compose.yaml` on an engine; dropping it removes them, their volumes and their images.
pub struct Compose<'a> {
    engine: &'a Engine,
    project: String,
    images: [String; 3],
}

impl Compose<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.engine.compose_command();
        command
            .args(["--project-name", &self.project, "--file"])
            .arg(folder().join("compose.yaml"))
            .args(args)
            .env("FLEETCAST_IMAGE", &self.images[0])
            .env("NATS_IMAGE", &self.images[1]);
        command
    }

    /// Starts every service.
    pub fn up(&self) {
        done(&mut self.command(&["up", "--detach", "--no-build"]));
    }

    /// Copies a file out of a service's container.
    pub fn copy(&self, service: &str, path: &str, to: &Path) {
        let id = done(&mut self.command(&["ps", "-q", service]));
        let from = format!("{}:{path}", id.trim());
        done(self.engine.docker().arg("cp").arg(from).arg(to));
    }

    /// What the engine says of each container: its name, its status, and its health (none where nobody asks it).
    pub fn standing(&self) -> Vec<(String, String, Option<String>)> {
        let ids = done(&mut self.command(&["ps", "-q"]));
        let form =
            "{{.Name}} {{.State.Status}}{{if .State.Health}} {{.State.Health.Status}}{{end}}";
        let mut inspect = self.engine.docker();
        inspect.args(["inspect", "--format", form]);
        let said = done(inspect.args(ids.split_whitespace()));
        let of = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let mut word = || words.next();
            let (name, status) = (word().unwrap_or_default(), word().unwrap_or_default());
            (name, status, word())
        };
        said.lines().map(of).collect()
    }

    /// What a service said.
    pub fn logs(&self, service: &str) -> String {
        done(&mut self.command(&["logs", "--no-color", service]))
    }

    /// Runs a command of `fleetcast` in a container of its own, as a person would.
    pub fn fleetcast(&self, args: &[&str]) -> String {
        done(&mut self.command(&[&["run", "--rm", "-T", "fleetcast"], args].concat()))
    }

    /// Kills a service, at once.
    pub fn kill(&self, service: &str) {
        done(&mut self.command(&["kill", service]));
    }

    /// Starts a service again.
    pub fn start(&self, service: &str) {
        done(&mut self.command(&["start", service]));
    }

    /// The address of a service that this machine reaches it under.
    pub fn address(&self, service: &str) -> String {
        let id = done(&mut self.command(&["ps", "-q", service]));
        let form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let mut inspect = self.engine.docker();
        done(inspect.args(["inspect", "--format", form, id.trim()]))
            .trim()
            .to_owned()
    }
}

impl Drop for Compose<'_> {
    fn drop(&mut self) {
        let _ = says(&mut self.command(&["down", "--volumes", "--remove-orphans"]));
        let _ = says(self.engine.docker().arg("rmi").args(&self.images));
    }
}

/// `compose/` of the project.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose")
}

fn with_packages(command: &mut Command, packages: &Path, before: Option<&Path>) {
    let at = |name: &str| packages.join(name);
    let mut path: Vec<PathBuf> = before.map(Path::to_owned).into_iter().collect();
    path.extend([at("usr/sbin"), at("usr/bin")]);
    if let Some(own) = std::env::var_os("PATH") {
        path.extend(std::env::split_paths(&own));
    }
    let libraries = at(&format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    command
        .env("PATH", std::env::join_paths(path).expect("no colon in it"))
        .env("XTABLES_LIBDIR", libraries.join("xtables"))
        .env("LD_LIBRARY_PATH", libraries)
        .env("PYTHONPATH", at("usr/lib/python3/dist-packages"));
}

/// The shared libraries of a program, as this machine's linker finds them.
fn libraries_of(binary: &Path) -> Vec<PathBuf> {
    done(Command::new("ldd").arg(binary))
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// What a command prints, where it ends well.
fn says(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(out)
}

/// Runs a command that should end well.
fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
