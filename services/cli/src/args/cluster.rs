//! `fleetcast cluster`: what can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_core::model::{Cluster, ClusterName};

use super::auth::AuthFolder;
use super::ttl::{Ttl, ttl};
use super::{
    ClusterSealingArgs, Format, Lines, Manifests, cluster_name, duration, label, namespace,
};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClusterCommand {
    /// List the clusters
    List {
        /// How it is printed
        #[arg(short, long, default_value = "table")]
        output: Format,
    },
    /// Register a cluster, issue its agent's credentials, and print the manifest that runs the agent there
    #[command(
        after_help = "Examples:\n  fleetcast cluster join eu-1 --labels tier=prod | kubectl --context eu-1 apply -f -\n  fleetcast cluster join eu-1 --kubeconfig eu-1.kubeconfig --wait       the same without kubectl\n  fleetcast cluster join eu-1 --kinds Deployment.apps,ConfigMap,widgets.example.com\n  fleetcast cluster join eu-1 --dry-run                                 the manifest without credentials; nothing is registered\n  fleetcast cluster join eu-1 --only-certificate | kubectl --context eu-1 apply -f -     before its agent's certificate ends, where NATS servers ask for one\n\nOnly the manifest goes to standard output. Who joins again gets new credentials, and those from before are revoked.\nA kubeconfig is used here and now; nothing of it goes to the bus or to its services."
    )]
    Join(Box<JoinArgs>),
    /// Register a cluster, or change what is registered of it
    #[command(
        after_help = "Example:\n  fleetcast cluster register eu-1 --labels tier=prod,team=shop --region eu"
    )]
    Register {
        /// Its name
        #[arg(value_parser = cluster_name)]
        name: ClusterName,
        #[command(flatten)]
        registration: Registration,
        #[command(flatten)]
        sealing: ClusterSealingArgs,
    },
    /// Let nothing new onto a cluster; what is there stays
    Cordon {
        /// Its name
        #[arg(value_parser = cluster_name)]
        name: ClusterName,
    },
    /// Let new objects onto a cluster again
    Uncordon {
        /// Its name
        #[arg(value_parser = cluster_name)]
        name: ClusterName,
    },
    /// Let a cluster go: its work is withdrawn, its agent's credentials are revoked, and the copies in it stay, unless they are to go, too
    #[command(
        after_help = "Examples:\n  fleetcast cluster remove eu-1 --dry-run                        what would happen\n  fleetcast cluster remove eu-1 --kubeconfig eu-1.kubeconfig     and take the agent out of the cluster\n  fleetcast cluster remove eu-1 --with-copies                    nothing of ours stays in it"
    )]
    Remove(Box<RemoveArgs>),
}

/// What is registered of a cluster beside its name.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct Registration {
    /// Its labels
    #[arg(long, value_delimiter = ',', value_parser = label, value_name = "KEY=VALUE,…")]
    pub(crate) labels: Vec<(String, String)>,
    /// Its region
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Its zone
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// Its provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
}

impl Registration {
    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            labels,
            region,
            zone,
            provider,
        } = self;
        labels.is_empty() && region.is_none() && zone.is_none() && provider.is_none()
    }

    /// The cluster `name` with what was said.
    pub(crate) fn of(&self, name: &ClusterName) -> Cluster {
        Cluster {
            labels: self.labels.iter().cloned().collect(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            provider: self.provider.clone(),
            ..Cluster::named(name.clone())
        }
    }
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct JoinArgs {
    /// Its name
    #[arg(value_parser = cluster_name)]
    pub(crate) name: ClusterName,
    #[command(flatten)]
    pub(crate) registration: Registration,
    /// The kinds that its agent may change: Kind, Kind.group or resource.group; or all [default: the usual ones, as in compose/agent-rbac.yaml]
    #[arg(long, value_delimiter = ',', value_name = "KIND,…|all")]
    pub(crate) kinds: Vec<String>,
    /// The NATS servers as its agent reaches them [default: as this command does]
    #[arg(long, value_name = "URL")]
    pub(crate) agent_nats: Option<String>,
    /// The image of the agent
    #[arg(long, default_value = concat!("fleetcast:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// How many agents run: one acts, the others wait for the cluster's Lease
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) replicas: u8,
    /// How long the credentials count: 12h, 30d, or never for no end; the agent renews them [default: 30d]
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub(crate) ttl: Option<Ttl>,
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    #[command(flatten)]
    pub(crate) certificate: AgentCertificateArgs,
    #[command(flatten)]
    pub(crate) member: MemberArgs,
    /// Wait until its agent is heard
    #[arg(long, requires = "kubeconfig", conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// How long to wait
    #[arg(long, value_parser = duration, default_value = "5m", value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Only print the manifest, without credentials: nothing is registered, issued or applied
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How the manifest is printed: YAML documents, or one JSON List
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: Manifests,
}

/// How the cluster itself is reached from here, where it is.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct MemberArgs {
    /// Do it in the cluster behind this kubeconfig
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig [default: its current one]
    #[arg(long, requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// The namespace that its agent runs in [default: where one runs already, as far as --kubeconfig tells; else fleetcast-system]
    #[arg(long, value_parser = namespace, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

/// The certificate that an agent shows to NATS servers that ask for one.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AgentCertificateArgs {
    /// The folder of the certificate authority that issues its agent's certificate, where the NATS servers ask for one
    #[arg(long, env = "FLEETCAST_TLS", default_value = "tls", value_name = "DIR")]
    pub(crate) tls_dir: PathBuf,
    /// How long that certificate counts
    #[arg(long, default_value = "365d", value_parser = duration, value_name = "TIME")]
    pub(crate) tls_ttl: Duration,
    /// A certificate of another authority for its agent, PEM, in the place of an issued one
    #[arg(long, value_name = "FILE", requires = "agent_tls_key")]
    pub(crate) agent_tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "agent_tls_cert")]
    pub(crate) agent_tls_key: Option<PathBuf>,
    /// Only a new certificate, in its Secret: the agent takes it without a restart, and nothing else changes
    #[arg(long, conflicts_with_all = ["wait", "labels", "region", "zone", "provider", "kinds", "ttl"])]
    pub(crate) only_certificate: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RemoveArgs {
    /// Its name
    #[arg(value_parser = cluster_name)]
    pub(crate) name: ClusterName,
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    #[command(flatten)]
    pub(crate) member: MemberArgs,
    /// Take the copies out of the cluster first; where these are many, that waits for `fleetcast confirm`
    #[arg(long)]
    pub(crate) with_copies: bool,
    /// How long to wait until the copies are gone
    #[arg(long, value_parser = duration, default_value = "10m", value_name = "TIME", requires = "with_copies")]
    pub(crate) timeout: Duration,
    /// Only say what would happen
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}
