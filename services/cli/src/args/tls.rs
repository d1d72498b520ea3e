//! `fleetcast tls`: what can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Document, duration};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make a certificate authority in a folder
    #[command(
        after_help = "Examples:\n  fleetcast tls init --dir /secure/tls\n\nca.crt is for everybody who connects (--tls-ca); ca.key is needed to issue, and by nothing that runs: keep it where nobody else reads it.\nA fleet that has an authority already (cert-manager, a company's own) needs none of this: any PEM files will do."
    )]
    Init {
        #[command(flatten)]
        folder: TlsFolder,
    },
    /// Issue a certificate, for servers and for whoever connects; under the same name again it is renewed
    #[command(
        after_help = "Examples:\n  fleetcast tls issue nats --host nats-1.example.com,nats-2.example.com,10.0.0.7\n  fleetcast tls issue http --host fleet.example.com --ttl 90d\n  fleetcast tls issue eu-1                     an agent's, for NATS servers that ask for one\n  fleetcast tls issue nats                     renews it: the same key, the same hosts; then kill -HUP the NATS servers\n\nServices of Fleetcast read renewed files by themselves, within seconds."
    )]
    Issue(TlsIssueArgs),
    /// List what was issued
    List {
        #[command(flatten)]
        folder: TlsFolder,
        /// How it is printed
        #[arg(short, long, default_value = "table")]
        output: Document,
    },
    /// Print the tls block of the NATS servers' configuration: TLS from the first byte
    #[command(
        after_help = "Examples:\n  fleetcast tls nats-conf nats > nats-tls.conf\n  fleetcast tls nats-conf nats --at /etc/nats/tls --mutual > nats-tls.conf     whoever connects must have a certificate\n\nIn the servers' own configuration: include \"nats-tls.conf\""
    )]
    NatsConf {
        #[command(flatten)]
        folder: TlsFolder,
        /// Whose certificate
        name: String,
        /// Where the servers find the files [default: the folder]
        #[arg(long, value_name = "DIR")]
        at: Option<PathBuf>,
        /// Whoever connects must have a certificate of this authority
        #[arg(long)]
        mutual: bool,
    },
}

/// Where the authority is.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct TlsFolder {
    /// The folder of the certificate authority
    #[arg(long, env = "FLEETCAST_TLS", default_value = "tls", value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct TlsIssueArgs {
    #[command(flatten)]
    pub(crate) folder: TlsFolder,
    /// What the files are called
    pub(crate) name: String,
    /// The DNS names and addresses that a server is reached under [default: those it had]
    #[arg(long = "host", value_delimiter = ',', value_name = "HOST,…")]
    pub(crate) hosts: Vec<String>,
    /// How long it counts
    #[arg(long, default_value = "365d", value_parser = duration, value_name = "TIME")]
    pub(crate) ttl: Duration,
    /// Make the authority first, where there is none
    #[arg(long)]
    pub(crate) init: bool,
}
