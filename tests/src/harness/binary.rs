//! `fleetcast` itself, run as a person would.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fleetcast_schemas::role::Role;
use serde_json::Value;

use super::identities::Identities;

/// How long a command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The binary, working in a folder. One of a [`super::Bed`] runs each command with the credentials of the role that docs/operating.md names for it, unless it
/// names others.
#[derive(Clone)]
pub struct Binary {
    /// The folder that it works in.
    pub directory: PathBuf,
    nats_server: PathBuf,
    identities: Option<Arc<Identities>>,
}

/// Who runs a command: the role, and the name of its user.
fn runs(args: &[&str]) -> (Role, String) {
    let mut words = args.iter().copied();
    let mut command = Vec::new();
    let mut cluster = None;
    while let Some(word) = words.next() {
        match word {
            "--nats" => drop(words.next()),
            "--cluster" => cluster = words.next(),
            word => command.push(word),
        }
    }
    let role = match command.as_slice() {
        ["agent", ..] => Role::Agent,
        ["ingest", ..] => Role::Ingest,
        ["aggregator", ..] => Role::Aggregator,
        ["apply" | "delete", ..] => Role::Publisher,
        ["get" | "explain" | "history" | "diff", ..] | ["cluster", "list" | "lag", ..] => {
            Role::Reader
        }
        _ => Role::Operator,
    };
    let name = match (role, cluster) {
        (Role::Agent, Some(cluster)) => cluster,
        _ => role.word(),
    };
    (role, name.to_owned())
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub out: String,
    /// What it said on stderr.
    pub err: String,
}

impl Output {
    /// What it printed as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// What it printed as JSON documents, one a line.
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
        });
        lines.collect()
    }
}

impl Binary {
    /// The binary in `directory`, built if it is not up to date.
    pub fn new(directory: &Path, nats_server: PathBuf) -> Self {
        path();
        Self {
            directory: directory.to_owned(),
            nats_server,
            identities: None,
        }
    }

    pub(super) fn with_identities(self, identities: Option<Arc<Identities>>) -> Self {
        Self { identities, ..self }
    }

    /// Where the binary itself is.
    pub fn path() -> &'static Path {
        path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(path());
        command
            .args(args)
            .current_dir(&self.directory)
            .env("FLEETCAST_NATS_SERVER", &self.nats_server)
            .env_remove("FLEETCAST_NATS")
            .env_remove("FLEETCAST_CREDS")
            .env_remove("FLEETCAST_AUTH")
            .stdin(Stdio::null());
        if let Some(identities) = &self.identities {
            let (role, name) = runs(args);
            command
                .env("FLEETCAST_CREDS", identities.path(role, &name))
                .env("FLEETCAST_AUTH", identities.folder());
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    /// The same with more environment variables.
    pub fn run_with(&self, args: &[&str], env: &[(&str, &Path)]) -> Output {
        let mut child = self
            .command(args)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("it can be asked") {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("{args:?} did not end in {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Output {
            status: status.code().unwrap_or(-1),
            out: out.join().expect("read"),
            err: err.join().expect("read"),
        }
    }

    /// Runs a command that should end well.
    pub fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.status, 0, "{args:?}: {output:?}");
        output
    }

    /// Starts a command that goes on until it is asked to stop; what it prints goes to `<name>.log` in the folder.
    pub fn start(&self, name: &str, args: &[&str]) -> Up {
        self.start_with(name, args, &[])
    }

    /// The same with more environment variables.
    pub fn start_with(&self, name: &str, args: &[&str], env: &[(String, String)]) -> Up {
        let path = self.directory.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("a log");
        let child = self
            .command(args)
            .envs(env.iter().cloned())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        Up { child }
    }

    /// Starts an agent of the bus at `url` for a cluster behind `<cluster>.kubeconfig`, under the identity of agents in tests.
    pub fn agent(&self, name: &str, url: &str, cluster: &str) -> Up {
        let kubeconfig = format!("{cluster}.kubeconfig");
        let who = ["agent", "--cluster", cluster, "--identity", "test"];
        let place = ["--nats", url, "--kubeconfig", &kubeconfig];
        self.start(name, &[&who[..], &place].concat())
    }

    /// Starts `fleetcast up --auth` and waits until it is up.
    pub fn up(&self) -> Up {
        self.up_with(&["--auth"])
    }

    /// The same with `up` and these arguments alone.
    pub fn up_with(&self, more: &[&str]) -> Up {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.directory.join("up.log"))
            .expect("a log");
        let fleet = self.directory.join(".run/fleet.json");
        let _ = std::fs::remove_file(&fleet);
        let log_level = "debug,async_nats=info,hyper=info,kube=info,tower=info";
        let child = self
            .command(&[&["up", "--log", log_level], more].concat())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut up = Up { child };
        let begin = Instant::now();
        while !fleet.exists() {
            let ended = up.child.try_wait().expect("it can be asked");
            let log = || std::fs::read_to_string(self.directory.join("up.log")).unwrap_or_default();
            assert!(
                ended.is_none() && begin.elapsed() < PATIENCE,
                "the fleet does not come up ({ended:?}):\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        up
    }
}

/// A running command; dropping it asks it to stop.
pub struct Up {
    child: Child,
}

impl Up {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and does not wait.
    pub fn terminate(&self) {
        let told = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status();
        assert!(told.is_ok_and(|told| told.success()), "it runs");
    }

    /// Its exit status; none while it runs.
    pub fn status(&mut self) -> Option<i32> {
        let ended = self.child.try_wait().expect("it can be asked")?;
        Some(ended.code().unwrap_or(-1))
    }

    /// Kills it at once; the NATS server, a process of its own, goes on.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = Command::new("kill")
                .arg("-TERM")
                .arg(self.child.id().to_string())
                .status();
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(20)
                && matches!(self.child.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn drain(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_string(&mut text);
        }
        text
    })
}

/// The binary, built once a run: Cargo does not build it for tests of another crate.
/// Where the binary is, built if it is not up to date.
pub(super) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--package",
                "fleetcast-cli",
                "--bin",
                "fleetcast",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo starts");
        assert!(built.success(), "the binary builds");
        let test = std::env::current_exe().expect("a test has a path");
        let target = test.parent().and_then(Path::parent).expect("target/debug");
        target.join("fleetcast")
    })
}

/// What a simulated cluster of the fleet that runs in `directory` holds at an API path, by `kubectl`'s own way: over HTTP.
pub fn held_at(directory: &Path, cluster: &str, path: &str) -> Option<Value> {
    let kubeconfig = std::fs::read_to_string(directory.join(format!(".run/{cluster}.kubeconfig")))
        .expect("a kubeconfig");
    let server = kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("server:"))
        .expect("a server")
        .trim()
        .trim_matches('"')
        .to_owned();
    let address = server.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    head.contains(" 200 ")
        .then(|| serde_json::from_str(body).expect("JSON"))
}
