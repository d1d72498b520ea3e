//! `fleetcast auth`: what can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_schemas::role::Role;

use super::Document;
use super::http::TokenCommand;
use super::ttl::{Ttl, ttl};

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
    /// The kinds that a publisher is limited to: Kind or Kind.group [default: all]
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) kinds: Vec<String>,
    /// The namespaces that a publisher is limited to, _ for objects that are in none [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE,…")]
    pub(crate) namespaces: Vec<String>,
    /// Where they are written [default: ROLE-NAME.creds in the folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn role(text: &str) -> Result<Role, String> {
    Role::of(text).ok_or_else(|| {
        "a role is agent, ingest, aggregator, publisher, reader or operator".to_owned()
    })
}
