//! A NATS server as a child process, for one machine: `fleetcast up` and the tests. It syncs every write.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tls::ServerTls;

/// The variable that names the server's binary; else it is looked for in `PATH`.
pub const BINARY: &str = "FLEETCAST_NATS_SERVER";
/// What the server writes into its log when it takes connections.
const READY: &str = "Server is ready";
/// How long the server may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary; none to look in [`BINARY`] and `PATH`.
    pub binary: Option<PathBuf>,
    /// Where it keeps everything: store, configuration, log.
    pub directory: PathBuf,
    /// The port on loopback; 0 for the one that it had last time, or any free one.
    pub port: u16,
    /// TLS from the first byte; none for plain text.
    pub tls: Option<ServerTls>,
    /// More configuration, in the server's own language (authorization).
    pub configuration: String,
}

/// A running server; dropping it stops it.
pub struct Server {
    child: Child,
    port: u16,
    scheme: &'static str,
    directory: PathBuf,
}

impl Server {
    /// Starts a server and waits until it answers. One that an earlier run left behind on the same store is stopped first.
    ///
    /// # Errors
    /// Where there is no binary, it does not come up, or its directory cannot be written; the message says what to do.
    pub fn start(options: &Options) -> io::Result<Self> {
        let Options {
            binary,
            directory,
            port,
            tls,
            configuration,
        } = options;
        let binary = binary
            .clone()
            .or_else(|| std::env::var_os(BINARY).map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("nats-server"));
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        stop_leftover(&directory);
        let port = match port {
            0 => remembered_port(&directory).map_or_else(free_port, Ok)?,
            port => *port,
        };
        let config = directory.join("nats.conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"127.0.0.1:{port}\"\nserver_name: fleetcast\npid_file: {pid:?}\n\
                 jetstream {{ store_dir: {store:?}, sync_interval: always }}\n{tls}{configuration}\n",
                tls = tls.as_ref().map_or_else(String::new, ServerTls::block),
                pid = directory.join("nats.pid"),
                store = directory.join("store"),
            ),
        )?;
        let log = std::fs::File::create(directory.join("nats.log"))?;
        let child = Command::new(&binary)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| {
                let hint = "set FLEETCAST_NATS_SERVER to a nats-server of 2.15.1 or newer, or let `cargo xtask tools` bring one";
                io::Error::new(error.kind(), format!("cannot start {}: {error}; {hint}", binary.display()))
            })?;
        let mut server = Self {
            child,
            port,
            scheme: if tls.is_some() { "tls" } else { "nats" },
            directory,
        };
        server.wait_until_ready()?;
        std::fs::write(server.directory.join("port"), port.to_string())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it read its configuration and the files of TLS again. It goes on with what it has where they are of no use: its log says so.
    pub fn reload(&self) {
        signal(self.child.id(), "-HUP");
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("ended with {status}")));
            }
            // Whoever speaks TLS from the first byte greets nobody before; each start has a log of its own.
            let log = std::fs::read_to_string(self.directory.join("nats.log"))?;
            if log.contains(READY) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(self.failed("did not come up"))
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = std::fs::read_to_string(self.directory.join("nats.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join("\n");
        io::Error::other(format!("nats-server {what}; its last words:\n{tail}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        terminate(self.child.id());
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

/// Asks a process to end.
fn terminate(pid: u32) {
    signal(pid, "-TERM");
}

/// Without `unsafe` that takes the system's own command.
fn signal(pid: u32, signal: &str) {
    let _ = Command::new("kill")
        .arg(signal)
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}

/// Stops the server that an earlier run left on this directory: only one whose command line names our configuration.
fn stop_leftover(directory: &Path) {
    let Some(pid) = std::fs::read_to_string(directory.join("nats.pid"))
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
    else {
        return;
    };
    let is_ours = || {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            String::from_utf8_lossy(&line).contains(&*directory.join("nats.conf").to_string_lossy())
        })
    };
    let begin = Instant::now();
    while is_ours() && begin.elapsed() < PATIENCE {
        terminate(pid);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn remembered_port(directory: &Path) -> Option<u16> {
    let port = std::fs::read_to_string(directory.join("port"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    std::net::TcpListener::bind(("127.0.0.1", port))
        .ok()
        .map(|_| port)
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
