//! Where the bus is, and how it is spoken to: what every command takes.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::OutgoingArgs;

/// Where the bus is.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BusArgs {
    /// The NATS servers: tls://HOST:PORT, or nats://HOST:PORT for plain text; several with commas [default: what `fleetcast up` runs here, else nats://127.0.0.1:4222]
    #[arg(long, global = true, env = "FLEETCAST_NATS", value_name = "URL")]
    pub(crate) nats: Option<String>,

    /// A NATS credentials file
    #[arg(long, global = true, env = "FLEETCAST_CREDS", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,

    /// The authorities that the NATS servers' certificates may be signed by, PEM, read anew at each connection [default: the system's]
    #[arg(long, global = true, env = "FLEETCAST_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Our own certificate for NATS servers that ask for one, PEM; a file that is replaced counts within seconds
    #[arg(long, global = true, env = "FLEETCAST_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Its key, PEM
    #[arg(long, global = true, env = "FLEETCAST_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Speak to NATS servers beyond this machine in plain text, where their URL is nats:// and not tls://
    #[arg(long, global = true, env = "FLEETCAST_ALLOW_PLAIN_TEXT")]
    pub(crate) allow_plain_text: bool,

    #[command(flatten)]
    pub(crate) outgoing: OutgoingArgs,
}
