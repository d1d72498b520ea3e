//! Arguments of `plan`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use fleetcast_core::model::ClusterName;

use super::{Document, cluster_name};

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct PlanArgs {
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub(crate) filename: Vec<PathBuf>,
    /// The clusters that plain objects go to
    #[arg(long, value_delimiter = ',', value_parser = cluster_name, value_name = "NAME,…")]
    pub(crate) clusters: Vec<ClusterName>,
    /// Documents of the clusters to plan over, offline; may be repeated [default: the live fleet]
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) fleet: Vec<PathBuf>,
    /// What the clusters hold today, in JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) observed: Option<PathBuf>,
    /// The keys of the hub, to compare values of Secrets with those in the log [default: none, and they are not compared]
    #[arg(long, env = "FLEETCAST_SEALING_KEYS", value_name = "FILE")]
    pub(crate) sealing_keys: Option<PathBuf>,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Document,
}
