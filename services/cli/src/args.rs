//! What can be typed: commands, arguments, examples.

mod agent;
pub(crate) mod auth;
pub(crate) mod bench;
mod bus;
mod cluster;
pub(crate) mod http;
mod hub;
pub(crate) mod limits;
mod plan;
mod recovery;
mod sealing;
pub(crate) mod tls;
pub(crate) mod ttl;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use fleetcast_aggregator::answer::past::At;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_core::model::{ClusterName, is_dns_label};
use fleetcast_hub::Address;
use fleetcast_schemas::envelope::parse_time;

pub(crate) use agent::AgentArgs;
pub(crate) use bus::BusArgs;
pub(crate) use cluster::{AgentCertificateArgs, ClusterCommand, JoinArgs, MemberArgs, RemoveArgs};
pub(crate) use http::{HealthArgs, HttpArgs};
pub(crate) use hub::{HubCommand, HubDiffArgs, ImportArgs, ImportCommand};
pub(crate) use plan::PlanArgs;
pub(crate) use recovery::{
    BackupArgs, ConfirmArgs, MirrorArgs, PromoteArgs, Rebuild, ReplayArgs, RestoreArgs, RetainArgs,
};

pub(crate) use sealing::{
    AgentSealingArgs, ClusterSealingArgs, OutgoingArgs, SealingArgs, SealingCommand,
};

/// Carries Kubernetes objects to every cluster that should have them, and proves that they got there.
#[derive(Debug, Parser)]
#[command(
    name = "fleetcast",
    version,
    propagate_version = true,
    after_help = "Examples:\n  fleetcast up                                   the fleet of workspace.toml on this machine\n  fleetcast apply -f shop.yaml --clusters eu-1,us-1\n  fleetcast get deployment/shop/web              where it is, revision by cluster\n  fleetcast explain deployment/shop/web --cluster us-1\n\nExit status: 0 done, 1 refused or not converged, 2 wrong usage, 3 cannot reach the bus."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) bus: BusArgs,

    /// What is logged on stderr: error, warn, info, debug, trace, or a filter such as fleetcast_ingest=debug
    #[arg(long, global = true, env = "FLEETCAST_LOG", value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    /// Log in JSON, a line each
    #[arg(long, global = true, env = "FLEETCAST_LOG_JSON")]
    pub(crate) log_json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole fleet of a workspace on this machine until Ctrl-C
    Up(UpArgs),
    /// Show a change travel through a fleet of simulated clusters
    Demo(DemoArgs),
    /// Run the service that takes changes in, places them and writes work
    #[command(
        after_help = "Examples:\n  fleetcast ingest --nats nats://127.0.0.1:4222\n  fleetcast ingest --http 127.0.0.1:8480 --http-tokens tokens     and take changes in over HTTP (docs/publishing.md)"
    )]
    Ingest(IngestArgs),
    /// Run the agent of one cluster
    Agent(AgentArgs),
    /// Run the service that folds acknowledgements into the view
    Aggregator(AggregatorArgs),
    /// Ask a process that runs here whether it is ready: exit status 0 where it is
    #[command(after_help = "Example:\n  fleetcast ready --health 127.0.0.1:8481")]
    Ready(http::ReadyArgs),
    /// Hand in changes: federated objects of any dialect, policies with the plain objects that they place, or plain objects with --clusters
    #[command(
        after_help = "Examples:\n  fleetcast apply -f shop.yaml\n  fleetcast apply -f manifests/ --clusters eu-1,us-1 --wait\n  kustomize build . | fleetcast apply -f - --clusters eu-1"
    )]
    Apply(ApplyArgs),
    /// Withdraw objects
    #[command(
        after_help = "Examples:\n  fleetcast delete deployment/shop/web\n  fleetcast delete -f shop.yaml --orphan     the members keep their copies"
    )]
    Delete(DeleteArgs),
    /// Let a held bulk removal go, or keep the copies; without an ID, list what waits
    #[command(
        after_help = "Examples:\n  fleetcast confirm                         which removals wait, and for what\n  fleetcast confirm 3f9c21aa                shows what would go, and asks\n  fleetcast confirm 3f9c21aa --yes --wait\n  fleetcast confirm 3f9c21aa --reject       the copies stay in their clusters, without Fleetcast's marks\n\nRemovals wait where more than 20 objects, and more than 20 % of what a cluster or a namespace holds, would go together\n(fleetcast ingest --bulk-removals). Whoever declares the objects again, or takes the change back, needs no confirmation.\nExit status 1 where nothing waits under ID."
    )]
    Confirm(ConfirmArgs),
    /// Show what would land where, and why, without handing anything in
    #[command(
        after_help = "Examples:\n  fleetcast plan -f shop.yaml                          against the live fleet: which clusters gain, change, lose\n  fleetcast plan -f shop.yaml --fleet clusters.yaml    offline, over cluster documents (MemberCluster, KubeFedCluster, Karmada's Cluster)\n  fleetcast plan -f kubefed/ --fleet clusters.yaml --observed now.json -o json\n\n--observed is a JSON list of what clusters hold today; what a row leaves out is unknown:\n  [{\"object\": \"deployment/shop/web\", \"cluster\": \"eu-1\", \"replicas\": 3, \"ready\": 3, \"capacity\": 5, \"available\": 7}]\n\nExit status 1 where anything was refused."
    )]
    Plan(PlanArgs),
    /// Show where objects are, now or at any moment of the past
    #[command(
        after_help = "Examples:\n  fleetcast get\n  fleetcast get deployment/shop/web -o wide\n  fleetcast get --cluster eu-1 -o json\n  fleetcast get --cluster eu-1 --at 2026-11-01T14:03:00Z     what was there then\n  fleetcast get deployment/shop/web --at 812                 before the event behind log sequence 812\n  fleetcast get --at 10m                                     ten minutes ago\n  fleetcast get --strays                                     copies that nobody decided about"
    )]
    Get(GetArgs),
    /// Show the causal chain of one object: change, decision, work, acknowledgement, and the first broken link
    #[command(
        after_help = "Examples:\n  fleetcast explain deployment/shop/web\n  fleetcast explain deployment/shop/web --cluster us-1\n  fleetcast explain deployment/shop/web --at 2026-11-01T14:03:00Z"
    )]
    Explain(ExplainArgs),
    /// Show every revision of an object: when, by whom, what changed, for which clusters, and how long they took
    #[command(
        after_help = "Examples:\n  fleetcast history deployment/shop/web\n  fleetcast history deployment/shop/web -o json     one document: revisions, their decisions, what each cluster answered"
    )]
    History(HistoryArgs),
    /// Compare two revisions of an object field by field, or what they became in one cluster
    #[command(
        after_help = "Examples:\n  fleetcast diff deployment/shop/web                        the newest revision against the one before\n  fleetcast diff deployment/shop/web --from 3 --to 7\n  fleetcast diff deployment/shop/web --from 3 --to 7 --cluster eu-1     the rendered manifests\n\nValues of Secrets are not shown. Exit status 1 where something differs, as with diff(1)."
    )]
    Diff(DiffArgs),
    /// Go back to an earlier revision or moment, by new changes; shows first what that comes to
    #[command(
        after_help = "Examples:\n  fleetcast rollback deployment/shop/web --to 3\n  fleetcast rollback --namespace shop --at 2026-11-01T14:03:00Z\n  fleetcast rollback --all --at 1h --prune --yes\n\nHistory is not rewritten: each object gets a new revision that says what the old one said. What did not exist then is listed, and\nonly withdrawn with --prune. A terminal asks before anything is changed; scripts say --yes."
    )]
    Rollback(RollbackArgs),
    /// Read everything again from the log: compare with what is there, or rebuild it
    #[command(
        after_help = "Examples:\n  fleetcast replay --verify            log, view and work against each other; touches nothing\n  fleetcast replay --rebuild view      fold the view anew and let it answer\n  fleetcast replay --rebuild work      write every cluster's work anew; members see no write\n  fleetcast replay --cluster eu-1      its agent goes through all its work again, and writes only what is not right\n\nExit status 1 where something does not fit; it is named by object, or by its sequence in the log."
    )]
    Replay(ReplayArgs),
    /// Write the log and the acknowledgements to a folder, while everything runs; a second run writes only what is new
    #[command(
        after_help = "Examples:\n  fleetcast backup /backups/fleet\n  fleetcast backup /backups/fleet --follow     go on, every 10 seconds where there is something new\n\nThe folder holds compressed segments whose checksums are chained, and backup.json, which says what counts."
    )]
    Backup(BackupArgs),
    /// Restore a backup into an empty bus: the same log, a new epoch
    #[command(
        after_help = "Examples:\n  fleetcast restore /backups/fleet --check                        read all of it, and touch no bus\n  fleetcast restore /backups/fleet --nats nats://127.0.0.1:4222     into a NATS server with a new store\n  fleetcast restore --ahead                                       what clusters hold newer than the restored log\n  fleetcast restore --take-members                                keep that: it becomes new changes\n  fleetcast restore --reapply --cluster eu-1                      write what the log says over it\n\nStart ingest and aggregator after it, not before. A backup that is damaged is named by file, and nothing is restored."
    )]
    Restore(RestoreArgs),
    /// Cut old history away: what is known at the cut is kept in a base that everything begins at from then on; shows first what goes
    #[command(
        after_help = "Examples:\n  fleetcast retain --older-than 90d --backup /backups/fleet --dry-run     what would go\n  fleetcast retain --older-than 90d --backup /backups/fleet               refused where that backup does not hold it\n  fleetcast retain --max-size 10GiB --without-backup --yes                the log is at most that large then\n  fleetcast retain --acks 60d                                             how long acknowledgements are kept\n\nNothing in the fleet changes: every object, decision and answer that counts is in the base, which is written, read back and folded from\nbefore anything is cut. Moments before the cut can no longer be asked about. A terminal asks first; scripts say --yes."
    )]
    Retain(RetainArgs),
    /// Copy a hub's truth to this bus by JetStream mirrors, for another region; without --domain, how far the copies are
    #[command(
        after_help = "Examples:\n  fleetcast mirror --domain hub --nats tls://standby:4222     begin to copy, on a leaf node of the hub's server\n  fleetcast mirror --nats tls://standby:4222                  how far the copies are\n\ndocs/operating.md says how to set the servers up. Nothing begins on a mirror until `fleetcast promote`."
    )]
    Mirror(MirrorArgs),
    /// Make this bus the hub's from now on: a mirror of a hub that is lost, or one of two hubs that were restored from one backup
    #[command(
        after_help = "Examples:\n  fleetcast promote --nats tls://standby:4222     a mirror becomes the hub\n  fleetcast promote --above 4                      clusters that follow epoch 4 of another hub follow this one\n\nA new epoch begins: agents that reach this bus follow it, and refuse every earlier one. Start ingest and aggregator after it."
    )]
    Promote(PromoteArgs),
    /// Show acknowledgements as they come
    Watch(WatchArgs),
    /// Show the log: every change, decision, item of work and acknowledgement, with the ids that link them
    #[command(
        after_help = "Examples:\n  fleetcast events\n  fleetcast events --from 120 -o json\n  fleetcast events --from 2026-11-01T12:00:00Z --follow"
    )]
    Events(EventsArgs),
    /// Look at clusters, let them join and leave
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Hold a Kubernetes hub against the log
    #[command(subcommand)]
    Hub(HubCommand),
    /// Say who may do what on the bus: operator, roles, credentials
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Make certificates for the fleet's TLS, where it has no authority of its own
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// Rehearse taking another controller's fleet over: what would be taken, and what would change on each member; nothing is written anywhere
    #[command(subcommand)]
    Import(ImportCommand),
    /// Measure: workloads on a fleet of simulated clusters that the bench starts itself
    #[command(
        after_help = "Examples:\n  fleetcast bench fanout --clusters 100 --placements 100 --per-placement 10\n  fleetcast bench latency -o json\n  fleetcast bench latency --nats tls://nats:4222 --tls-ca ca.crt --creds operator.creds     on a bus that is there\n\nMeasure with a release build: cargo build --release"
    )]
    Bench(Box<bench::BenchArgs>),
    /// Make and rotate the keys that values of Secrets are sealed with
    Sealing {
        #[command(subcommand)]
        command: SealingCommand,
    },
    /// Print the schemas of what travels
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  source <(fleetcast completions bash)")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct UpArgs {
    /// The fleet
    #[arg(long, default_value = "workspace.toml", value_name = "FILE")]
    pub(crate) workspace: PathBuf,
    /// Run it as a fleet is run elsewhere: a NATS operator of its own, credentials by role, TLS, signed work
    #[arg(long, env = "FLEETCAST_UP_AUTH")]
    pub(crate) auth: bool,
    /// Bring no clusters, and need no FILE: they join (`fleetcast cluster join`)
    #[arg(long, conflicts_with = "workspace")]
    pub(crate) no_clusters: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct DemoArgs {
    /// The fleet
    #[arg(long, default_value = "workspace.toml", value_name = "FILE")]
    pub(crate) workspace: PathBuf,
    /// Leave the fleet running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Bring only the clusters and their agents: the bus of --nats and its services run already, as in compose/compose.yaml
    #[arg(long)]
    pub(crate) attach: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct IngestArgs {
    /// Where the checkpoint is kept
    #[arg(
        long,
        env = "FLEETCAST_STATE",
        default_value = ".run/ingest",
        value_name = "DIR"
    )]
    pub(crate) state: PathBuf,
    /// Who holds the lease: a process that comes back under the same identity leads again at once [default: a new one each time]
    #[arg(long, env = "FLEETCAST_IDENTITY")]
    pub(crate) identity: Option<String>,
    /// Over how many partitions work is spread, on a new bus
    #[arg(long, env = "FLEETCAST_PARTITIONS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) partitions: u16,
    /// How many NATS servers hold each stream, on a new bus
    #[arg(long, env = "FLEETCAST_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    /// Within how many seconds it is noticed that a cluster is not heard any more; agents are heard every 5
    #[arg(long, env = "FLEETCAST_OFFLINE_AFTER", default_value_t = fleetcast_ingest::OFFLINE_AFTER.as_secs(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub(crate) offline_after: u64,
    /// Removals wait for `fleetcast confirm` where more objects go together, and a larger share of what a cluster or a namespace holds; off lets all go
    #[arg(
        long,
        env = "FLEETCAST_BULK_REMOVALS",
        default_value_t,
        value_name = "OBJECTS[,PERCENT%]|off"
    )]
    pub(crate) bulk_removals: fleetcast_core::placer::Limit,
    /// A Kubernetes API server whose objects are changes: its kubeconfig, or in-cluster for the one that this pod runs in [default: none]
    #[arg(long, env = "FLEETCAST_HUB", value_name = "KUBECONFIG[:CONTEXT]")]
    pub(crate) hub: Option<Address>,
    #[command(flatten)]
    pub(crate) sealing: SealingArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AggregatorArgs {
    /// Where the checkpoint is kept
    #[arg(
        long,
        env = "FLEETCAST_STATE",
        default_value = ".run/aggregator",
        value_name = "DIR"
    )]
    pub(crate) state: PathBuf,
    /// Write status back to the objects of this hub: KUBECONFIG, KUBECONFIG:CONTEXT, or in-cluster [default: none]
    #[arg(long, env = "FLEETCAST_HUB", value_name = "KUBECONFIG[:CONTEXT]")]
    pub(crate) hub: Option<fleetcast_hub::Address>,
    /// Who writes it, where several aggregators may: the same after a restart [default: a new one]
    #[arg(long, env = "FLEETCAST_IDENTITY")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ApplyArgs {
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub(crate) filename: Vec<PathBuf>,
    /// The clusters that plain objects go to
    #[arg(long, value_delimiter = ',', value_parser = cluster_name, value_name = "NAME,…")]
    pub(crate) clusters: Vec<ClusterName>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// How the answers are printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct WaitArgs {
    /// Wait until every cluster has answered
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, default_value = "60s", value_parser = duration, requires = "wait", value_name = "TIME")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct DeleteArgs {
    /// The objects: kind[.group]/namespace/name, or kind[.group]/name for cluster scope
    #[arg(
        required_unless_present = "filename",
        conflicts_with = "filename",
        value_name = "OBJECT"
    )]
    pub(crate) objects: Vec<String>,
    /// The documents that declared them
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub(crate) filename: Vec<PathBuf>,
    /// Keep the members' copies
    #[arg(long)]
    pub(crate) orphan: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// How the answers are printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct GetArgs {
    /// The object: kind[.group]/namespace/name, or kind[.group]/name for cluster scope
    pub(crate) object: Option<String>,
    /// Only what is in this cluster
    #[arg(long, value_parser = cluster_name)]
    pub(crate) cluster: Option<ClusterName>,
    /// Show what carries Fleetcast's marks in clusters and is in nobody's work
    #[arg(long, conflicts_with_all = ["object", "at"])]
    pub(crate) strays: bool,
    /// Wait until the view is folded up to this log sequence
    #[arg(long, value_name = "SEQ")]
    pub(crate) min_seq: Option<u64>,
    /// As it was at a log sequence, a time (RFC 3339), or so long ago (10m, 2h)
    #[arg(long, value_parser = at, value_name = "TIME|SEQ")]
    pub(crate) at: Option<At>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Format,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The object
    pub(crate) object: String,
    /// Only this cluster
    #[arg(long, value_parser = cluster_name)]
    pub(crate) cluster: Option<ClusterName>,
    /// As it was at a log sequence, a time (RFC 3339), or so long ago (10m, 2h)
    #[arg(long, value_parser = at, value_name = "TIME|SEQ")]
    pub(crate) at: Option<At>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct HistoryArgs {
    /// The object
    pub(crate) object: String,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Document,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct DiffArgs {
    /// The object
    pub(crate) object: String,
    /// The earlier revision [default: the one before --to]
    #[arg(long, value_name = "REVISION")]
    pub(crate) from: Option<u64>,
    /// The later revision [default: the newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,
    /// Compare what they became in this cluster
    #[arg(long, value_parser = cluster_name)]
    pub(crate) cluster: Option<ClusterName>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Document,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RollbackArgs {
    /// The object
    #[arg(required_unless_present_any = ["namespace", "all"], conflicts_with_all = ["namespace", "all"], requires = "to")]
    pub(crate) object: Option<String>,
    /// The revision whose document is handed in again
    #[arg(long, value_name = "REVISION", requires = "object")]
    pub(crate) to: Option<u64>,
    /// Everything in this namespace
    #[arg(long, conflicts_with = "all", requires = "at")]
    pub(crate) namespace: Option<String>,
    /// Everything
    #[arg(long, requires = "at")]
    pub(crate) all: bool,
    /// The moment: a log sequence, a time (RFC 3339), or so long ago (10m, 2h)
    #[arg(long, value_parser = at, value_name = "TIME|SEQ", conflicts_with = "to")]
    pub(crate) at: Option<At>,
    /// Withdraw what did not exist then
    #[arg(long, requires = "at")]
    pub(crate) prune: bool,
    /// Do it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// How preview and outcome are printed; json is a document each
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct WatchArgs {
    /// Only this object
    pub(crate) object: Option<String>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct EventsArgs {
    /// Where to begin: a log sequence, or a time (RFC 3339)
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) from: Option<String>,
    /// Only this object
    #[arg(long)]
    pub(crate) object: Option<String>,
    /// Go on with what comes
    #[arg(long)]
    pub(crate) follow: bool,
    /// How it is printed; json is a document a line
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SchemaCommand {
    /// The JSON Schema of every event and request, or of one
    Events {
        /// `change.v1`, `decision.v1`, …; all where none is named
        name: Option<String>,
    },
    /// The CustomResourceDefinitions of FederatedObject, ClusterFederatedObject and MemberCluster, or of one
    #[command(
        after_help = "Examples:\n  fleetcast schema crds | kubectl apply --server-side -f -\n  fleetcast schema crds fmc -o json"
    )]
    Crds {
        /// `federatedobjects`, `FederatedObject`, `fo`, …; all where none is named
        name: Option<String>,
        /// How they are printed: YAML documents, or one JSON List
        #[arg(short, long, value_enum, default_value = "yaml")]
        output: Manifests,
    },
    /// The OpenAPI document of what `fleetcast ingest --http` serves
    Openapi,
}

/// How manifests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manifests {
    /// One JSON document
    Json,
    /// YAML, many documents
    Yaml,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// One JSON document
    Json,
    /// The same in YAML
    Yaml,
}

/// How a whole answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// The same in YAML
    Yaml,
}

/// How lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lines {
    /// For people
    Table,
    /// For programs
    Json,
}

fn cluster_name(text: &str) -> Result<ClusterName, String> {
    ClusterName::parse(text).map_err(|refusal| refusal.message)
}

fn namespace(text: &str) -> Result<String, String> {
    match is_dns_label(text) {
        true => Ok(text.to_owned()),
        false => Err("is no namespace: at most 63 lower-case letters, digits and '-'".to_owned()),
    }
}

fn object_query(text: &str) -> Result<ObjectQuery, String> {
    text.parse()
        .map_err(|refusal: fleetcast_core::Refusal| refusal.message)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads a log sequence, a time (RFC 3339), how long ago (`10m`), or the `as_of` of an answer (JSON).
pub(crate) fn at(text: &str) -> Result<At, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(At::Sequence(sequence));
    }
    if let Some(time) = parse_time(text) {
        return Ok(At::Time(time));
    }
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let ago = duration(text).map_err(|_| {
        format!("{text:?} is neither a log sequence, nor a time (2026-11-01T14:03:00Z), nor so long ago (10m)")
    })?;
    let ago = i64::try_from(ago.as_millis()).map_err(|_| format!("{text:?} is too long ago"))?;
    Ok(At::Time(fleetcast_bus::now().plus_ms(-ago)))
}

/// Reads `500ms`, `10s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is no time: 500ms, 10s, 5m, 1h or 30d");
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(wanted)?;
    let number: u64 = text[..split].parse().map_err(|_| wanted())?;
    let millis = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wanted()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("5d"), Ok(Duration::from_secs(5 * 86_400)));
        assert_eq!(at("812"), Ok(At::Sequence(812)));
        assert!(
            matches!(at("2026-11-01T14:03:00Z"), Ok(At::Time(time)) if time.0 == 1_793_541_780_000)
        );
        let ago = fleetcast_bus::now().plus_ms(-600_000);
        assert!(matches!(at("10m"), Ok(At::Time(time)) if time.ms_since(ago) < 60_000));
        assert!(matches!(
            at(r#"{"log": 3, "acks": {"p00": 4}}"#),
            Ok(At::Places(_))
        ));
        assert!(at("yesterday").is_err());
        for text in ["", "5", "s", "5w", "-1s", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
