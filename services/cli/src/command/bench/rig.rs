//! The processes of a run, started, killed and measured.

mod agents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::tls::Tls;
use fleetcast_bus::{Bus, Connect, Credentials, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::subject::{self, Parsed};
use serde_json::{Value, json};

use super::{documents, load};
use crate::args::bench::Common;
use crate::fleet;

/// How long the fleet may take to come up, per thousand clusters.
const PATIENCE: Duration = Duration::from_secs(120);
/// The kernel's clock ticks a second (`getconf CLK_TCK`), in which it counts CPU time on every Linux.
const TICKS: f64 = 100.0;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    /// CPU time of the user and of the system, seconds.
    pub(super) cpu_s: f64,
    /// What is resident.
    pub(super) rss_mib: f64,
    /// Of that, what is its own and not pages of the binary.
    pub(super) own_mib: f64,
    peak_rss_mib: f64,
}

struct Process {
    child: Child,
    arguments: Vec<String>,
}

/// A running fleet of a bench; dropping it ends all of it.
pub(super) struct Rig {
    /// Where its bus is, and how it is spoken to.
    pub(super) connect: Connect,
    /// A connection of the bench's own.
    pub(super) bus: Bus,
    /// Its clusters, in order.
    pub(super) clusters: Vec<ClusterName>,
    /// Their kubeconfigs, where an agent process serves each.
    pub(super) kubeconfigs: Vec<PathBuf>,
    pub(super) partitions: u16,
    server: Option<Server>,
    processes: BTreeMap<String, Process>,
    /// What processes used that are gone.
    gone: BTreeMap<String, Used>,
    directory: Directory,
}

/// The folder of a run.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    keep: bool,
}

impl Directory {
    pub(super) fn new(common: &Common) -> anyhow::Result<Self> {
        let path = common.dir.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("fleetcast-bench-{}", std::process::id()))
        });
        if path.exists() && path.read_dir()?.next().is_some() {
            bail!("{} is not empty: name another folder", path.display());
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self {
            path,
            keep: common.keep,
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

impl Rig {
    async fn start_hub(
        common: &Common,
        directory: Directory,
        count: usize,
        groups: usize,
    ) -> anyhow::Result<Self> {
        let (server, connect, bus) = bus(common, &directory.path.join("nats")).await?;
        let clusters: Vec<ClusterName> = (0..count)
            .map(|index| ClusterName::parse(&format!("bench-{index:05}")))
            .collect::<Result<_, _>>()?;
        let mut rig = Self {
            connect,
            bus,
            clusters,
            kubeconfigs: Vec::new(),
            partitions: common.partitions,
            server,
            processes: BTreeMap::new(),
            gone: BTreeMap::new(),
            directory,
        };
        rig.spawn(
            "ingest",
            &["ingest", "--identity", "bench", "--state"],
            true,
        )?;
        rig.spawn("aggregator", &["aggregator", "--state"], true)?;
        rig.wait_for_streams().await?;
        let register =
            |(index, cluster)| documents::cluster(cluster, &format!("g{}", index % groups));
        let registrations = rig.clusters.iter().enumerate().map(register).collect();
        load::hand_in(&rig.bus, registrations, 64, |_, _| {}).await?;
        Ok(rig)
    }

    /// Only the bus, empty and prepared. Its server leaves syncing to the system: a history is written before anything is measured.
    pub(super) async fn start_bus(common: &Common, directory: Directory) -> anyhow::Result<Self> {
        let files = directory.path.join("nats");
        let server = Server::start(&server::Options {
            binary: fleet::brought_server(),
            tls: None,
            configuration: format!("jetstream {{ store_dir: {:?} }}", files.join("store")),
            directory: files,
            port: 0,
        })?;
        let connect = Connect::new(server.url(), "bench");
        let bus = Bus::connect_patiently(&connect).await?;
        bus.prepare(streams::Layout {
            partitions: 1,
            replicas: 1,
        })
        .await?;
        Ok(Self {
            connect,
            bus,
            clusters: Vec::new(),
            kubeconfigs: Vec::new(),
            partitions: common.partitions,
            server: Some(server),
            processes: BTreeMap::new(),
            gone: BTreeMap::new(),
            directory,
        })
    }

    /// Starts the aggregator, on what it kept.
    pub(super) fn start_aggregator(&mut self) -> anyhow::Result<()> {
        self.spawn("aggregator", &["aggregator", "--state"], true)
    }

    /// What a process uses now.
    pub(super) fn now(&self, name: &str) -> anyhow::Result<Used> {
        let process = self.processes.get(name).context("it runs")?;
        Ok(used(process.child.id()))
    }

    /// Waits until a process does nothing for a while, or for two minutes.
    pub(super) async fn idle(&self, name: &str) -> anyhow::Result<()> {
        for _ in 0..120 {
            let before = self.now(name)?.cpu_s;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.now(name)?.cpu_s - before < 0.1 {
                break;
            }
        }
        Ok(())
    }

    /// The CPU seconds that ingest, aggregator and NATS server have used, together.
    pub(super) fn hub_cpu(&self) -> f64 {
        let server = self.server.iter().map(Server::pid);
        let services = ["ingest", "aggregator"].into_iter();
        let services = services.filter_map(|name| Some(self.processes.get(name)?.child.id()));
        let gone = self.gone.values().map(|used| used.cpu_s).sum::<f64>();
        gone + server
            .chain(services)
            .map(|pid| used(pid).cpu_s)
            .sum::<f64>()
    }

    /// The CPU seconds that the bench itself has used, and those together.
    pub(super) fn all_cpu(&self) -> f64 {
        self.hub_cpu() + used(std::process::id()).cpu_s
    }

    /// Removes what a process keeps besides the streams.
    pub(super) fn forget_state(&self, name: &str) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(self.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn spawn(&mut self, name: &str, arguments: &[&str], with_state: bool) -> anyhow::Result<()> {
        let url = self.connect.url.clone();
        self.spawn_on(&url, name, arguments, with_state)
    }

    fn spawn_on(
        &mut self,
        url: &str,
        name: &str,
        arguments: &[&str],
        with_state: bool,
    ) -> anyhow::Result<()> {
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        if with_state {
            arguments.push(self.path(name).display().to_string());
        }
        if name != "aggregator" {
            arguments.extend(["--partitions".to_owned(), self.partitions.to_string()]);
        }
        arguments.extend(spoken_to(&self.connect, url));
        self.start_process(name, arguments)
    }

    fn start_process(&mut self, name: &str, arguments: Vec<String>) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(&format!("{name}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        // All that there is to say about the bus is among the arguments.
        let bus = [
            "NATS",
            "CREDS",
            "TLS_CA",
            "TLS_CERT",
            "TLS_KEY",
            "ALLOW_PLAIN_TEXT",
        ];
        for name in bus {
            command.env_remove(format!("FLEETCAST_{name}"));
        }
        let child = command
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.processes
            .insert(name.to_owned(), Process { child, arguments });
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path.join(name)
    }

    async fn wait_for_streams(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while self.bus.last_sequence(streams::HEARTBEAT).await.is_err() {
            self.check(begin, PATIENCE, "the streams")?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until that many agents are heard: how long it took.
    pub(super) async fn wait_for_heartbeats(&mut self, count: usize) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let patience = PATIENCE * u32::try_from(count / 1_000 + 1)?;
        let mut heartbeats = self.bus.follow(streams::HEARTBEAT, &[], 0);
        let mut heard = std::collections::BTreeSet::new();
        while heard.len() < count {
            let next = tokio::time::timeout(Duration::from_secs(1), heartbeats.recv()).await;
            if let Ok(Some(stored)) = next
                && let Some(Parsed::Heartbeat(lane)) = subject::parse(&stored.message.subject)
            {
                heard.insert(lane.cluster);
            }
            self.check(
                begin,
                patience,
                &format!("{} of {count} agents", heard.len()),
            )?;
        }
        Ok(begin.elapsed())
    }

    /// Fails where a process ended or it takes too long.
    pub(super) fn check(
        &mut self,
        begin: Instant,
        patience: Duration,
        what: &str,
    ) -> anyhow::Result<()> {
        for (name, process) in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                let log = std::fs::read_to_string(self.directory.path.join(format!("{name}.log")));
                let log = log.unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(5)..].join("\n");
                bail!("{name} ended ({status}); its last words:\n{tail}");
            }
        }
        if begin.elapsed() > patience {
            bail!("still waiting after {patience:?} for {what}");
        }
        Ok(())
    }

    /// Kills a process at once (`kill -9`).
    pub(super) fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let used = match name {
            "nats" => {
                let server = self.server.as_mut();
                let server = server.context("the server is the run's own")?;
                let used = used(server.pid());
                server.kill();
                used
            }
            _ => {
                let process = self.processes.get_mut(name).context("it runs")?;
                let used = used(process.child.id());
                process.child.kill()?;
                process.child.wait()?;
                used
            }
        };
        let gone = self.gone.entry(name.to_owned()).or_default();
        gone.cpu_s += used.cpu_s;
        gone.peak_rss_mib = gone.peak_rss_mib.max(used.peak_rss_mib);
        Ok(())
    }

    /// Starts a process again that was killed.
    pub(super) fn start_again(&mut self, name: &str) -> anyhow::Result<()> {
        if name == "nats" {
            self.server.take().context("the server is the run's own")?;
            self.server = Some(Server::start(&server::Options {
                binary: fleet::brought_server(),
                directory: self.path("nats"),
                port: 0,
                tls: None,
                configuration: String::new(),
            })?);
            return Ok(());
        }
        let process = self.processes.remove(name).context("it ran")?;
        self.start_process(name, process.arguments)
    }

    /// Asks the members' process to stop as a person would, and waits for its end.
    pub(super) fn stop(&mut self, name: &str) {
        if let Some(mut process) = self.processes.remove(name) {
            drop(process.child.stdin.take());
            let _ = Command::new("kill")
                .args(["-TERM", &process.child.id().to_string()])
                .status();
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(10)
                && matches!(process.child.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    /// CPU seconds, peak memory by process, and what stands on the disk.
    pub(super) fn usage(&self) -> Value {
        let mut all = self.gone.clone();
        let mut add = |name: &str, pid: u32| {
            let used = used(pid);
            let all = all.entry(name.to_owned()).or_default();
            all.cpu_s += used.cpu_s;
            all.peak_rss_mib = all.peak_rss_mib.max(used.peak_rss_mib);
        };
        if let Some(server) = &self.server {
            add("nats", server.pid());
        }
        for (name, process) in &self.processes {
            add(name, process.child.id());
        }
        add("bench", std::process::id());
        let part = |value: fn(&Used) -> f64| -> BTreeMap<&str, f64> {
            all.iter()
                .map(|(name, used)| (name.as_str(), round(value(used))))
                .collect()
        };
        json!({
            "cpu_s": part(|used| used.cpu_s),
            "peak_rss_mib": part(|used| used.peak_rss_mib),
            "disk_mib": round(disk_bytes(&self.path("nats/store")) as f64 / 1_048_576.0),
        })
    }

    /// What the members in the process `name` were asked so far, by verb.
    pub(super) async fn requests(&mut self, name: &str) -> anyhow::Result<Value> {
        let file = self.path(&format!("{name}.requests"));
        let _ = std::fs::remove_file(&file);
        self.ask_members(name, &format!("requests {}", file.display()))?;
        let begin = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                return Ok(serde_json::from_str(&text)?);
            }
            self.check(begin, PATIENCE, "the members' counts")?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        for name in names {
            self.stop(&name);
        }
        if self.server.take().is_none() {
            let (bus, partitions) = (self.bus.clone(), self.partitions);
            let removed = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(remove(&bus, partitions))
            });
            if let Err(error) = removed {
                eprintln!(
                    "the streams of this run stay on {}: {error}",
                    self.connect.url
                );
            }
        }
    }
}

/// How a process is told where the bus is, at `url`, and how it is spoken to.
fn spoken_to(connect: &Connect, url: &str) -> Vec<String> {
    let Tls { ca, cert, key } = &connect.tls;
    let creds = match &connect.credentials {
        Credentials::File(path) => Some(path),
        Credentials::None | Credentials::Password(..) => None,
    };
    let files = [
        ("--creds", creds),
        ("--tls-ca", ca.as_ref()),
        ("--tls-cert", cert.as_ref()),
        ("--tls-key", key.as_ref()),
    ];
    let files = files.into_iter().filter_map(|(name, path)| {
        let path = path?.display().to_string();
        Some([name.to_owned(), path])
    });
    let plain = connect.plain_text.then(|| "--allow-plain-text".to_owned());
    ["--nats".to_owned(), url.to_owned()]
        .into_iter()
        .chain(files.flatten())
        .chain(plain)
        .collect()
}

/// A server of the run's own, or none with the bus that was named: one that has nothing of ours.
pub(super) async fn bus(
    common: &Common,
    directory: &Path,
) -> anyhow::Result<(Option<Server>, Connect, Bus)> {
    let (server, connect) = match &common.connect {
        Some(named) => (None, named.clone()),
        None => {
            let server = Server::start(&server::Options {
                binary: fleet::brought_server(),
                directory: directory.to_owned(),
                port: 0,
                tls: None,
                configuration: String::new(),
            })?;
            let connect = Connect::new(server.url(), "bench");
            (Some(server), connect)
        }
    };
    let bus = match &server {
        Some(_) => Bus::connect_patiently(&connect).await?,
        // Whoever names one is told at once what is wrong with that.
        None => Bus::connect(&connect).await?,
    };
    if server.is_none() && bus.last_sequence(streams::LOG).await.is_ok() {
        bail!(
            "{} has a log already: a bench needs a bus with nothing of Fleetcast on it",
            connect.url
        );
    }
    Ok((server, connect, bus))
}

/// Takes away what a run put on a bus that outlives it.
pub(super) async fn remove(bus: &Bus, partitions: u16) -> anyhow::Result<()> {
    let layout = streams::Layout {
        partitions,
        replicas: 1,
    };
    Ok(bus.remove(layout).await?)
}

/// Two digits behind the point.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn used(pid: u32) -> Used {
    let read =
        |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let stat = read("stat");
    // Behind the name, which may hold anything: utime and stime are fields 14 and 15 of proc(5).
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let status = read("status");
    let mib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        number.unwrap_or(0.0) / 1024.0
    };
    Used {
        cpu_s: (ticks(11) + ticks(12)) / TICKS,
        rss_mib: mib("VmRSS:"),
        own_mib: mib("RssAnon:"),
        peak_rss_mib: mib("VmHWM:"),
    }
}

pub(super) fn disk_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The machine, as far as it tells.
pub(super) fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    json!({
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "model": line(&read("/proc/cpuinfo"), "model name"),
        "memory": line(&read("/proc/meminfo"), "MemTotal"),
        "system": read("/proc/sys/kernel/osrelease").trim(),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}
