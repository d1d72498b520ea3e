//! `fleetcast agent`: what can be typed.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use fleetcast_core::model::ClusterName;

use super::{AgentSealingArgs, HealthArgs, cluster_name, namespace};

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AgentArgs {
    /// The name that the cluster is registered under
    #[arg(long, env = "FLEETCAST_CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: ClusterName,
    /// The cluster's kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, env = "FLEETCAST_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig [default: its current one]
    #[arg(long, env = "FLEETCAST_CONTEXT", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// Keep a local copy of the cluster's work here, so that it is healed also where the bus is away at the start (docs/operating.md) [default: none]
    #[arg(long, env = "FLEETCAST_STATE", value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Who holds the cluster's lease [default: the host's name]
    #[arg(long, env = "FLEETCAST_IDENTITY")]
    pub(crate) identity: Option<String>,
    /// Over how many partitions the bus spreads work
    #[arg(long, env = "FLEETCAST_PARTITIONS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) partitions: u16,
    /// Health rules in CEL for kinds of yours, asked before the built-in ones (docs/operating.md)
    #[arg(long, env = "FLEETCAST_HEALTH_RULES", value_name = "FILE")]
    pub(crate) health_rules: Option<PathBuf>,
    /// How much selected status travels back per object; 0 for none
    #[arg(long, env = "FLEETCAST_STATUS_LIMIT", default_value_t = fleetcast_core::health::status::LIMIT_BYTES, value_name = "BYTES")]
    pub(crate) status_limit: usize,
    /// How often it is measured how much room the cluster has, seconds; 0 for never
    #[arg(long, env = "FLEETCAST_MEASURE_EVERY", default_value_t = fleetcast_agent::measure::EVERY.as_secs(), value_name = "SECONDS")]
    pub(crate) measure_every: u64,
    /// The namespace in which it keeps its memory, its lease and its credentials: its own, where it runs in a pod
    #[arg(long, env = "FLEETCAST_NAMESPACE", default_value = fleetcast_agent::cluster::NAMESPACE, value_parser = namespace)]
    pub(crate) namespace: String,
    /// The Secret in that namespace that --creds is mounted from: what is renewed is written there, through the cluster's own API server [default: the file itself is written]
    #[arg(long, env = "FLEETCAST_CREDS_SECRET", value_name = "NAME")]
    pub(crate) creds_secret: Option<String>,
    #[command(flatten)]
    pub(crate) sealing: AgentSealingArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
}
