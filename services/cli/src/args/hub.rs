//! What can be typed behind `hub` and `import`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_core::model::ClusterName;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_hub::Address;

use super::{Document, Lines, cluster_name, object_query};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum HubCommand {
    /// Show what a Kubernetes hub and the log do not agree about, and settle it
    #[command(
        after_help = "Examples:\n  fleetcast hub diff --hub hub.kubeconfig\n  fleetcast hub diff --hub hub.kubeconfig:prod -o json\n  fleetcast hub diff --hub hub.kubeconfig --withdraw deployment/shop/web     it vanished from the hub, and its copies are to go\n  fleetcast hub diff --hub hub.kubeconfig --take deployment/shop/web         what the hub says becomes a new change\n\nNothing is settled without --withdraw or --take. Exit status 1 where something differs and is not settled."
    )]
    Diff(HubDiffArgs),
    /// Rehearse taking another controller's fleet over, as `fleetcast import` does
    #[command(subcommand)]
    Import(ImportCommand),
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct HubDiffArgs {
    /// The hub's kubeconfig, or in-cluster for the one that this pod runs in
    #[arg(long, env = "FLEETCAST_HUB", value_name = "KUBECONFIG[:CONTEXT]")]
    pub(crate) hub: Address,
    /// Withdraw this object, which vanished from the hub; may be repeated
    #[arg(long, value_name = "OBJECT", value_parser = object_query)]
    pub(crate) withdraw: Vec<ObjectQuery>,
    /// Take what the hub says about this object as a new change, whatever the log says; may be repeated
    #[arg(long, value_name = "OBJECT", value_parser = object_query)]
    pub(crate) take: Vec<ObjectQuery>,
    /// Take what the hub says about every object that differs: after a hub was restored
    #[arg(long, conflicts_with = "take")]
    pub(crate) take_all: bool,
    /// The keys of the hub, to compare values of Secrets with those in the log [default: none, and they are not compared]
    #[arg(long, env = "FLEETCAST_SEALING_KEYS", value_name = "FILE")]
    pub(crate) sealing_keys: Option<PathBuf>,
    /// A field of another kind whose values are sealed, as ingest was told
    #[arg(
        long = "sealed-field",
        env = "FLEETCAST_SEALED_FIELDS",
        value_delimiter = ',',
        value_name = "KIND[.GROUP]:/POINTER"
    )]
    pub(crate) sealed_fields: Vec<fleetcast_sealing::Rule>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImportCommand {
    /// KubeFed's federated objects, preferences and clusters
    #[command(
        after_help = "Examples:\n  fleetcast import kubefed --hub hub.kubeconfig                          members by the Secrets that KubeFedClusters name\n  fleetcast import kubefed --hub hub.kubeconfig --members kubeconfigs/    members by <cluster>.kubeconfig in a folder\n  fleetcast import kubefed --hub hub.kubeconfig --no-members -o yaml      no member is asked: what would be rendered\n\nNothing is written, neither to the hub nor to a member (they are asked for dry runs), and no bus is needed. docs/migrating-from-kubefed.md goes on from there.\n\nExit status: 0 nothing would change but marks, 1 something would, or cannot be read or told, 2 wrong usage, 3 the hub cannot be reached."
    )]
    Kubefed(ImportArgs),
    /// Karmada's policies, the plain objects that they select, and clusters
    #[command(
        after_help = "Examples:\n  fleetcast import karmada --hub karmada-apiserver.config                                members by the Secrets that Clusters name\n  fleetcast import karmada --hub karmada-apiserver.config --member edge-1=edge-1.kubeconfig   and one in pull mode, which names none\n  fleetcast import karmada --hub karmada-apiserver.config --members fleet.kubeconfig      members by contexts of their names\n  fleetcast import karmada --hub karmada-apiserver.config --no-members -o yaml            no member is asked: what would be rendered\n\nNothing is written, neither to the hub nor to a member (they are asked for dry runs), and no bus is needed. docs/migrating-from-karmada.md goes on from there.\n\nExit status: 0 nothing would change but marks, 1 something would, or cannot be read or told, 2 wrong usage, 3 the hub cannot be reached."
    )]
    Karmada(ImportArgs),
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ImportArgs {
    /// The hub's kubeconfig (for Karmada that of its API server), or in-cluster for the one that this pod runs in
    #[arg(long, env = "FLEETCAST_HUB", value_name = "KUBECONFIG[:CONTEXT]")]
    pub(crate) hub: Address,
    /// How members are reached: a folder with <cluster>.kubeconfig files, or a kubeconfig with contexts of their names [default: by the Secrets that the hub's
    /// cluster objects name]
    #[arg(long, value_name = "DIR|KUBECONFIG")]
    pub(crate) members: Option<PathBuf>,
    /// How one member is reached; may be repeated
    #[arg(long, value_name = "NAME=KUBECONFIG[:CONTEXT]")]
    pub(crate) member: Vec<MemberAt>,
    /// Ask no member: show what would be rendered
    #[arg(long, conflicts_with_all = ["members", "member"])]
    pub(crate) no_members: bool,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Document,
}

/// How one member is reached.
#[derive(Debug, Clone)]
pub(crate) struct MemberAt {
    /// Its name.
    pub(crate) cluster: ClusterName,
    /// Where it is.
    pub(crate) address: Address,
}

impl FromStr for MemberAt {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.split_once('=');
        let (cluster, address) = split.ok_or("must be NAME=KUBECONFIG[:CONTEXT]")?;
        Ok(Self {
            cluster: cluster_name(cluster)?,
            address: address.parse()?,
        })
    }
}
