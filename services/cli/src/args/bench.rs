//! What can be typed behind `fleetcast bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fleetcast_bus::Connect;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) workload: Workload,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workload {
    /// Placements (Namespace, ConfigMap of 1 KB, Deployment) to clusters picked by label, created and updated
    Fanout(FanoutArgs),
    /// Rounds of 20, 50 and 100 objects in 30 s to one cluster, and 1,000 a second
    Burst(BurstArgs),
    /// Deployments to three clusters, created and updated, beside direct server-side applies
    Apply(ApplyArgs),
    /// A cluster that is away while changes go in, and how long until it has all of them after its return
    Away(AwayArgs),
    /// The status of many objects in all clusters at once, and how long until the view is right
    Health(HealthArgs),
    /// One change at a time: until it is accepted, and until all clusters have acknowledged it
    Latency(LatencyArgs),
    /// Acknowledgements folded a second, and listing rows
    Status(StatusArgs),
    /// kill -9 of ingest, of the aggregator, of an agent and of the NATS server; time until a new change flows
    Restart(RestartArgs),
    /// A log of a million messages replayed into the view, asked about its past, backed up and restored; no members
    Replay(ReplayArgs),
    /// Agents connected to one bus: time, memory, latency of a change to one, to all, and to the rest when a tenth is stopped
    Agents(AgentsArgs),
    /// One agent process and its memory and CPU, at work and idle, by how much its cluster holds
    Agent(AgentArgs),
    /// What one copy costs by how many clusters, objects, changes and how much history there is; curves as SVG
    Growth(GrowthArgs),
    /// The simulated members of a run, as a process
    #[command(hide = true)]
    Members(MembersArgs),
}

impl Workload {
    /// What it is told as every workload is; none for what is no workload.
    pub(crate) fn common_mut(&mut self) -> Option<&mut Common> {
        match self {
            Self::Fanout(args) => Some(&mut args.common),
            Self::Burst(args) => Some(&mut args.common),
            Self::Apply(args) => Some(&mut args.common),
            Self::Away(args) => Some(&mut args.common),
            Self::Health(args) => Some(&mut args.common),
            Self::Latency(args) => Some(&mut args.common),
            Self::Status(args) => Some(&mut args.common),
            Self::Restart(args) => Some(&mut args.common),
            Self::Replay(args) => Some(&mut args.common),
            Self::Agents(args) => Some(&mut args.common),
            Self::Agent(args) => Some(&mut args.common),
            Self::Growth(args) => Some(&mut args.common),
            Self::Members(_) => None,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: Result<f64, _> = text.parse();
    rate.ok()
        .filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or_else(|| "a number between 0.001 and 1000000 is needed".to_owned())
}

/// What every workload understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// How the figures are printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Form,
    /// Over how many partitions work is spread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) partitions: u16,
    /// A bus that is there, with nothing of Fleetcast on it: what the run puts there is taken away at its end. Where it asks for credentials all connect with those
    /// of --creds, an operator's [default: a NATS server of its own]
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// How that bus is spoken to, as every command is told.
    #[arg(skip)]
    pub(crate) connect: Option<Connect>,
    /// Where the run keeps its files while it lasts [default: a folder under the system's temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Keep the files (logs, streams) when the run has ended
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The clusters of a workload that runs on real ones, too; each has an agent process of its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Clusters {
    /// A real cluster's kubeconfig; may be repeated. Its namespace default is written to, and left as it was [default: simulated clusters]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Vec<PathBuf>,
    /// Simulated clusters, where no kubeconfig is given
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) clusters: u32,
}

impl Clusters {
    pub(crate) fn are_real(&self) -> bool {
        !self.kubeconfig.is_empty()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        match self.kubeconfig.len() {
            0 => self.clusters as usize,
            real => real,
        }
    }

    /// What the figures say of them.
    pub(crate) fn label(&self) -> &'static str {
        if self.are_real() { "real" } else { "simulated" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench fanout --clusters 100 --placements 100 --per-placement 10\n  fleetcast bench fanout --rate 12           12 placements a second\n  fleetcast bench fanout -o json > fanout.json"
)]
pub(crate) struct FanoutArgs {
    /// Simulated clusters
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) clusters: u32,
    /// Placements, of three objects each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) placements: u32,
    /// Clusters that a placement goes to
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) per_placement: u32,
    /// Placements handed in a second, so that none waits for all others [default: all at once]
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fleetcast bench burst --seconds 5        shorter rounds")]
pub(crate) struct BurstArgs {
    /// How long a round lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// How long the round of 1,000 objects a second lasts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) fast_seconds: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench apply --objects 200\n  fleetcast bench apply --kubeconfig a.kubeconfig --kubeconfig b.kubeconfig"
)]
pub(crate) struct ApplyArgs {
    /// Deployments
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) objects: u32,
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench away --seconds 10\n  fleetcast bench away --kubeconfig a.kubeconfig --kubeconfig b.kubeconfig --kubeconfig c.kubeconfig"
)]
pub(crate) struct AwayArgs {
    /// How long the first cluster is away
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Deployments, each of which is updated once in that time
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) changes: u32,
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fleetcast bench health --objects 200")]
pub(crate) struct HealthArgs {
    /// Deployments, each in every cluster
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) objects: u32,
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench latency --changes 500 --clusters 3\n  fleetcast bench latency --kubeconfig a.kubeconfig --kubeconfig b.kubeconfig"
)]
pub(crate) struct LatencyArgs {
    /// Changes, one after the other
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) changes: u32,
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  fleetcast bench status --clusters 100 --objects 1000      100,000 rows"
)]
pub(crate) struct StatusArgs {
    /// Simulated clusters
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) clusters: u32,
    /// Objects, each in every cluster
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) objects: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench restart --clusters 1000 --objects 300\n  fleetcast bench restart --objects 1000 --kubeconfig a.kubeconfig --kubeconfig b.kubeconfig"
)]
pub(crate) struct RestartArgs {
    /// A real cluster's kubeconfig; may be repeated. Its namespace default is written to, and left as it was [default: simulated clusters]
    #[arg(long, value_name = "FILE", conflicts_with = "clusters")]
    pub(crate) kubeconfig: Vec<PathBuf>,
    /// Simulated clusters
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) clusters: u32,
    /// Objects, each in every cluster
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) objects: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  fleetcast bench replay --events 100000 --objects 1000 --clusters 50"
)]
pub(crate) struct ReplayArgs {
    /// Messages of the history: changes, decisions, and messages of ten acknowledgements, a third each
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(300..=100_000_000))]
    pub(crate) events: u32,
    /// Objects, each in ten clusters
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) objects: u32,
    /// Clusters
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub(crate) clusters: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fleetcast bench agents --clusters 10000 --partitions 16")]
pub(crate) struct AgentsArgs {
    /// Simulated clusters with an agent each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub(crate) clusters: u32,
    /// Changes to one cluster, and to all
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) changes: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fleetcast bench agent --objects 100,1000,10000")]
pub(crate) struct AgentArgs {
    /// How much the cluster holds, one measurement each, rising
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    pub(crate) objects: Vec<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fleetcast bench growth --svg docs/performance      writes clusters.svg, objects.svg, changes.svg, restart.svg\n  fleetcast bench growth --clusters 10,100 --placements 10,100 --rounds 4"
)]
pub(crate) struct GrowthArgs {
    /// Fleets of how many simulated clusters; what is placed stays the same
    #[arg(long, value_delimiter = ',', default_value = "10,30,100,300,1000", value_parser = clap::value_parser!(u32).range(10..=20_000))]
    pub(crate) clusters: Vec<u32>,
    /// How many placements of three objects; the fleet stays the same
    #[arg(long, value_delimiter = ',', default_value = "10,30,100,300,1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) placements: Vec<u32>,
    /// How often everything is changed; after rounds 1, 2, 4, 8 … the hub is killed and started again
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Draws the curves into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    /// The number of the first
    #[arg(long, default_value_t = 0)]
    pub(crate) first: usize,
    /// Run no agents: serve the clusters over HTTP and write a kubeconfig for each into this folder
    #[arg(long)]
    pub(crate) serve: Option<PathBuf>,
    /// How many clusters
    #[arg(long)]
    pub(crate) clusters: usize,
    #[arg(long)]
    pub(crate) partitions: u16,
}
