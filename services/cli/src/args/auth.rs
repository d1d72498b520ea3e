//! `fleetcast auth`: what can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_auth::authority::Key;
use fleetcast_schemas::role::Role;

use super::http::TokenCommand;
use super::limits::PublisherLimits;
use super::ttl::{Ttl, ttl};
use super::{Document, duration};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuthCommand {
    /// Make a NATS operator, an account and a signing key per role in a folder, with the configuration that the NATS servers include
    #[command(
        after_help = "Examples:\n  fleetcast auth init                               for one machine\n  fleetcast auth init --dir /secure/fleet --partitions 16\n\nKeep the folder where nobody else reads it: whoever has it can issue everything. The NATS servers need nats-auth.conf only, which holds no secret."
    )]
    Init(AuthInitArgs),
    /// Issue credentials of a role
    #[command(
        after_help = "Examples:\n  fleetcast auth issue ingest a\n  fleetcast auth issue agent eu-1                   it renews itself before it ends\n  fleetcast auth issue publisher ci --namespaces shop --kinds Deployment.apps,ConfigMap --ttl 90d\n  fleetcast auth issue reader kim --out kim.creds\n\nRoles: agent (NAME is its cluster), ingest, aggregator, publisher, reader, operator. docs/permissions.md has what each may do.\nA name that has credentials already gets others beside them; `fleetcast auth revoke NAME` ends all of them."
    )]
    Issue(AuthIssueArgs),
    /// List what was issued
    List {
        #[command(flatten)]
        folder: AuthFolder,
        /// How it is printed
        #[arg(short, long, default_value = "table")]
        output: Document,
    },
    /// Revoke every credential of a name: whoever is connected with one is thrown out
    #[command(
        after_help = "Examples:\n  fleetcast auth revoke eu-1\n  fleetcast auth revoke kim --role reader\n\nWhere the NATS servers cannot be reached, `fleetcast auth push` tells them later."
    )]
    Revoke {
        #[command(flatten)]
        folder: AuthFolder,
        /// Whose
        name: String,
        /// Only those of this role
        #[arg(long, value_parser = role)]
        role: Option<Role>,
    },
    /// Renew credentials in their files: the same user and rights, as long again, with the keys as they are now
    #[command(
        after_help = "Examples:\n  fleetcast auth renew auth/ingest-a.creds auth/aggregator-a.creds\n  fleetcast auth renew kim.creds --ttl 90d\n\nA process that runs takes its file up within seconds: put the renewed one in the place of the old one. Agents renew theirs by themselves."
    )]
    Renew(AuthRenewArgs),
    /// Make another key in the place of one: the earlier one counts beside it until everybody has followed, or a time has come
    #[command(
        after_help = "Examples:\n  fleetcast auth rotate work                     the master key that the keys of work are derived from\n  fleetcast auth rotate agent --keep 7d          the key that signs agents' credentials, and the master key with it\n  fleetcast auth rotate work agent ingest aggregator publisher reader operator\n\nThen: bring each ingest its renewed file before the newest key is handed out (--begin-in), look with `fleetcast auth keys` who has followed, and\n`fleetcast auth retire` takes the earlier keys away. Agents follow by themselves within minutes.\nWhere a key is stolen: --begin-in 0s, and `fleetcast auth retire --force` as soon as those count that matter."
    )]
    Rotate(AuthRotateArgs),
    /// List the keys of the operator: the newest, those that count beside them, and who has not followed
    Keys {
        #[command(flatten)]
        folder: AuthFolder,
        /// How it is printed
        #[arg(short, long, default_value = "table")]
        output: Document,
    },
    /// Take earlier keys away: what was made with them is refused from then on
    #[command(
        after_help = "Examples:\n  fleetcast auth retire --creds auth/operator-me.creds     all of them, where everybody has followed\n  fleetcast auth retire work --force                       whoever has not followed\n\nWho has followed is read from the credentials that were issued and, for agents, from their heartbeats, which the operator's role may read."
    )]
    Retire(AuthRetireArgs),
    /// Say who may ask over HTTP: tokens, which are kept by their hash
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tell the NATS servers what was revoked, and what the roles of this version may do
    #[command(
        after_help = "Example:\n  fleetcast auth push --nats tls://nats:4222     after an upgrade, or a revocation that did not reach the servers"
    )]
    Push {
        #[command(flatten)]
        folder: AuthFolder,
    },
}

/// Where the operator's keys are.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthFolder {
    /// The folder of the operator
    #[arg(
        long,
        env = "FLEETCAST_AUTH",
        default_value = "auth",
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthInitArgs {
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    /// The name of the operator and of its account
    #[arg(long, default_value = "fleetcast")]
    pub(crate) name: String,
    /// Over how many partitions the bus spreads work: as `fleetcast ingest --partitions`
    #[arg(long, env = "FLEETCAST_PARTITIONS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) partitions: u16,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthIssueArgs {
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    /// agent, ingest, aggregator, publisher, reader or operator
    #[arg(value_parser = role)]
    pub(crate) role: Role,
    /// The name; an agent's is its cluster's
    pub(crate) name: String,
    /// How long they count: 12h, 30d, or never for no end [default: 30d for an agent, which renews them; 365d for others]
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub(crate) ttl: Option<Ttl>,
    #[command(flatten)]
    pub(crate) limits: PublisherLimits,
    /// Where they are written [default: ROLE-NAME.creds in the folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthRenewArgs {
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    /// The files, written anew in one step
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How long they count from now on: 12h, 30d, or never for no end [default: as long as before]
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub(crate) ttl: Option<Ttl>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthRotateArgs {
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    /// work, agent, ingest, aggregator, publisher, reader or operator
    #[arg(required = true, value_parser = key, value_name = "KEY")]
    pub(crate) keys: Vec<Key>,
    /// When what is made with the newest master key is handed out: by then each ingest is to have its renewed file
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub(crate) begin_in: Duration,
    /// How long the earlier key counts at most; 30 days are what agents' credentials count that nobody renews
    #[arg(long, default_value = "30d", value_parser = duration, value_name = "TIME")]
    pub(crate) keep: Duration,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AuthRetireArgs {
    #[command(flatten)]
    pub(crate) folder: AuthFolder,
    /// work, agent, ingest, aggregator, publisher, reader or operator [default: all that have an earlier one]
    #[arg(value_parser = key, value_name = "KEY")]
    pub(crate) keys: Vec<Key>,
    /// Whoever has not followed is shut out
    #[arg(long)]
    pub(crate) force: bool,
}

fn key(text: &str) -> Result<Key, String> {
    Key::of(text).ok_or_else(|| {
        "a key is work, agent, ingest, aggregator, publisher, reader or operator".to_owned()
    })
}

fn role(text: &str) -> Result<Role, String> {
    Role::of(text).ok_or_else(|| {
        "a role is agent, ingest, aggregator, publisher, reader or operator".to_owned()
    })
}
