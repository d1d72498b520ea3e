//! What can be typed behind `confirm`, `replay`, `backup`, `restore`, `retain`, `mirror` and `promote`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use fleetcast_core::model::ClusterName;

use super::{Document, Lines, WaitArgs, cluster_name, duration};

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ConfirmArgs {
    /// What waits, as `fleetcast confirm` lists it
    pub(crate) id: Option<String>,
    /// List what waits
    #[arg(long, conflicts_with = "id")]
    pub(crate) list: bool,
    /// Keep the copies instead, without our marks
    #[arg(long, requires = "id")]
    pub(crate) reject: bool,
    /// Do not ask
    #[arg(short, long, requires = "id")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// How it is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// Check the log for gaps and changed events, and compare view and work with it
    #[arg(long, required_unless_present_any = ["rebuild", "cluster"], conflicts_with_all = ["rebuild", "cluster"])]
    pub(crate) verify: bool,
    /// Make this cluster's agent go through all its work again; what is right is not written
    #[arg(long, value_parser = cluster_name, conflicts_with = "rebuild")]
    pub(crate) cluster: Option<ClusterName>,
    /// What is rebuilt from the log and the acknowledgements
    #[arg(long, value_name = "WHAT")]
    pub(crate) rebuild: Option<Rebuild>,
    /// How the outcome is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Document,
}

/// What can be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rebuild {
    /// The aggregator's view
    View,
    /// Every cluster's work
    Work,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BackupArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Go on with what comes, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// How often what is new is written
    #[arg(long, default_value = "10s", value_parser = duration, requires = "follow", value_name = "TIME")]
    pub(crate) every: Duration,
    /// How the outcome is printed; json is a document a run
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RestoreArgs {
    /// The folder; without one, what is ahead of the running hub's log is settled
    #[arg(value_name = "DIR", required_unless_present_any = ["ahead", "take_members", "reapply"])]
    pub(crate) directory: Option<PathBuf>,
    /// Only read all of it, and say whether it is whole
    #[arg(long, requires = "directory", conflicts_with_all = ["ahead", "take_members", "reapply"])]
    pub(crate) check: bool,
    /// List what clusters hold newer than the log
    #[arg(long, conflicts_with_all = ["take_members", "reapply"])]
    pub(crate) ahead: bool,
    /// Settle what is ahead: the log takes over what the clusters hold
    #[arg(long, conflicts_with = "reapply")]
    pub(crate) take_members: bool,
    /// Settle what is ahead: what the log says is written over it
    #[arg(long)]
    pub(crate) reapply: bool,
    /// Only this object
    #[arg(long, conflicts_with = "directory")]
    pub(crate) object: Option<String>,
    /// Only what is ahead in this cluster
    #[arg(long, value_parser = cluster_name)]
    pub(crate) cluster: Option<ClusterName>,
    /// Settle without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// How long to wait behind a restore for the services and the clusters' answers
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How many NATS servers hold each stream
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    /// How the outcome is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct RetainArgs {
    /// Cut what was logged before so long ago (90d, 12h)
    #[arg(long, value_parser = duration, value_name = "TIME", required_unless_present_any = ["max_size", "to", "acks"], conflicts_with_all = ["max_size", "to"])]
    pub(crate) older_than: Option<Duration>,
    /// Cut so much that the log has at most this size (10GiB, 500MiB)
    #[arg(long, value_parser = size, value_name = "SIZE", conflicts_with = "to")]
    pub(crate) max_size: Option<u64>,
    /// Cut up to this log sequence
    #[arg(long, value_name = "SEQ")]
    pub(crate) to: Option<u64>,
    /// A backup that must hold what is cut; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) backup: Vec<PathBuf>,
    /// Cut although no backup is named
    #[arg(long, conflicts_with = "backup")]
    pub(crate) without_backup: bool,
    /// Keep acknowledgements for so long before they age out; what they said is in the base
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) acks: Option<Duration>,
    /// Only show what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// How preview and outcome are printed; json is a document each
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

/// `10GiB`, `500MiB`, `4096`: bytes.
fn size(text: &str) -> Result<u64, String> {
    let wanted = || format!("{text:?} is no size: 4096, 500MiB or 10GiB");
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wanted()),
    };
    number.checked_mul(1 << shift).ok_or_else(wanted)
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct MirrorArgs {
    /// The JetStream domain of the hub that is copied
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// How many NATS servers hold each copy
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), requires = "domain")]
    pub(crate) replicas: u8,
    /// How the outcome is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct PromoteArgs {
    /// Begin an epoch above this number, where clusters follow another hub that far
    #[arg(long, default_value_t = 0, value_name = "EPOCH", hide_default_value = true, value_parser = clap::value_parser!(u64).range(..1_000_000_000))]
    pub(crate) above: u64,
    /// Also where the hub that is copied still answers, or something of it is not copied yet
    #[arg(long)]
    pub(crate) force: bool,
    /// How the outcome is printed
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Lines,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_others_refused() {
        for (text, expected) in [
            ("4096", Some(4_096)),
            ("500MiB", Some(500 << 20)),
            ("10GiB", Some(10 << 30)),
            ("10GB", None),
            ("GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
