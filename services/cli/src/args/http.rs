//! Where a process listens: its API, and what it tells of itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_endpoint::tokens;
use fleetcast_schemas::role::Role;

use super::limits::PublisherLimits;
use super::ttl::{Ttl, ttl};
use super::{Document, duration};

/// Where a service listens for HTTP, and who may ask.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct HttpArgs {
    /// Listen for HTTP here, such as 127.0.0.1:8480 (docs/publishing.md) [default: not at all]
    #[arg(
        long,
        env = "FLEETCAST_HTTP",
        value_name = "ADDRESS",
        requires = "http_tokens"
    )]
    pub(crate) http: Option<SocketAddr>,
    /// Who may ask over HTTP, as `fleetcast auth token` writes it; read again when it changes
    #[arg(long, env = "FLEETCAST_HTTP_TOKENS", value_name = "FILE")]
    pub(crate) http_tokens: Option<PathBuf>,
    /// How many requests a second each name of the tokens may make on average; twice as many may come at once
    #[arg(long, env = "FLEETCAST_HTTP_RATE", default_value_t = fleetcast_endpoint::access::RATE, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) http_rate: u32,
    /// Its certificate, PEM: TLS from then on; read again when it changes
    #[arg(long, env = "FLEETCAST_HTTP_TLS_CERT", value_name = "FILE", requires_all = ["http", "http_tls_key"])]
    pub(crate) http_tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(
        long,
        env = "FLEETCAST_HTTP_TLS_KEY",
        value_name = "FILE",
        requires = "http_tls_cert"
    )]
    pub(crate) http_tls_key: Option<PathBuf>,
    /// Whoever asks must have a certificate of these authorities, PEM, beside his token
    #[arg(
        long,
        env = "FLEETCAST_HTTP_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "http_tls_cert"
    )]
    pub(crate) http_tls_client_ca: Option<PathBuf>,
    /// Listen for HTTP beyond this machine although it is not encrypted: behind a proxy that speaks TLS, or in a network that is
    #[arg(long, env = "FLEETCAST_HTTP_PLAIN_TEXT")]
    pub(crate) http_plain_text: bool,
}

/// Where a process tells how it does.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct HealthArgs {
    /// Answer /healthz, /readyz and /metrics here, in plain text and without a token, such as 0.0.0.0:8481 [default: not at all]
    #[arg(long, env = "FLEETCAST_HEALTH", value_name = "ADDRESS")]
    pub(crate) health: Option<SocketAddr>,
    /// How many messages it may be behind and be ready
    #[arg(long, env = "FLEETCAST_READY_LAG", default_value_t = fleetcast_endpoint::health::LAG, value_name = "MESSAGES")]
    pub(crate) ready_lag: u64,
}

/// Which process is asked whether it is ready.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ReadyArgs {
    /// Where the process answers (its --health); 0.0.0.0 is this machine
    #[arg(
        long,
        env = "FLEETCAST_HEALTH",
        default_value = "127.0.0.1:8481",
        value_name = "ADDRESS"
    )]
    pub(crate) health: SocketAddr,
    /// How long it may take to answer
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once: the file keeps its hash only
    #[command(
        after_help = "Examples:\n  fleetcast auth token issue ci --kinds Deployment.apps,ConfigMap --namespaces shop --ttl 90d\n  fleetcast auth token issue prometheus --role reader\n  token=$(fleetcast auth token issue ci)      the token alone is on stdout\n\nThe service that reads the file (--http-tokens) knows it a second later. A name may have several, so that one can be changed for the next without a gap."
    )]
    Issue(TokenIssueArgs),
    /// List the tokens by name
    List {
        #[command(flatten)]
        file: TokenFile,
        /// How it is printed
        #[arg(short, long, default_value = "table")]
        output: Document,
    },
    /// Take every token of a name out: it is refused a second later
    #[command(after_help = "Example:\n  fleetcast auth token revoke ci")]
    Revoke {
        #[command(flatten)]
        file: TokenFile,
        /// Whose
        name: String,
    },
}

/// The file of tokens.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct TokenFile {
    /// The file that the services read
    #[arg(
        long,
        env = "FLEETCAST_HTTP_TOKENS",
        default_value = "tokens",
        value_name = "FILE"
    )]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct TokenIssueArgs {
    #[command(flatten)]
    pub(crate) file: TokenFile,
    /// Whose it is
    #[arg(value_parser = name)]
    pub(crate) name: String,
    /// publisher, reader or operator: as on the bus (docs/permissions.md)
    #[arg(long, default_value = "publisher", value_parser = tokens::role_of)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) limits: PublisherLimits,
    /// How long it counts: 12h, 30d, or never for no end
    #[arg(long, value_parser = ttl, default_value = "365d", value_name = "TIME")]
    pub(crate) ttl: Ttl,
}

fn name(text: &str) -> Result<String, String> {
    match tokens::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, '-', '_' and '.', at most 63".to_owned()),
    }
}
