//! Arguments about the keys that values of Secrets are sealed with.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use fleetcast_sealing::Keys;

use crate::outgoing::SealTo;

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct SealingArgs {
    /// The private keys that values of Secrets are sealed with (`fleetcast sealing new` makes the file); without them Secrets are refused [default: those in --creds]
    #[arg(long, env = "FLEETCAST_SEALING_KEYS", value_name = "FILE")]
    pub(crate) sealing_keys: Option<PathBuf>,
    /// Store Secrets in plain text: whoever reads the bus, its disk or a backup reads them
    #[arg(long, env = "FLEETCAST_PLAIN_SECRETS", conflicts_with = "sealing_keys")]
    pub(crate) plain_secrets: bool,
    /// A field of another kind whose values are sealed, as in Database.example.dev:/spec/users/*/password; may be repeated
    #[arg(
        long = "sealed-field",
        env = "FLEETCAST_SEALED_FIELDS",
        value_delimiter = ',',
        value_name = "KIND[.GROUP]:/POINTER",
        conflicts_with = "plain_secrets"
    )]
    pub(crate) sealed_fields: Vec<fleetcast_sealing::Rule>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct OutgoingArgs {
    /// The hub's public key that values of Secrets are sealed to before they are handed in; any for whatever the bus says, also where the credentials know other keys [default: what the bus says, if the credentials know it or know none]
    #[arg(long, global = true, env = "FLEETCAST_SEAL_TO", value_parser = seal_to, value_name = "KEY|any")]
    pub(crate) seal_to: Option<SealTo>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SealingCommand {
    /// Make a file with a new key
    #[command(
        after_help = "Examples:\n  fleetcast sealing new sealing.keys         for every ingest: --sealing-keys sealing.keys\n  fleetcast sealing new eu-1.key             for an agent: --sealing-key eu-1.key\n\nCredentials of `fleetcast auth issue` for an ingest or an agent have such keys in them."
    )]
    New {
        /// The file, readable by its owner alone
        file: PathBuf,
        /// Leave a file that is there as it is
        #[arg(long)]
        keep: bool,
    },
    /// Add a new key: it seals from now on, the others go on opening
    Rotate {
        /// The file, or a credentials file
        file: PathBuf,
    },
    /// Print the public keys, the one that seals first
    List {
        /// The file, or a credentials file
        file: PathBuf,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct AgentSealingArgs {
    /// The private key that opens the values of Secrets (`fleetcast sealing new` makes the file) [default: those in --creds]
    #[arg(long, env = "FLEETCAST_SEALING_KEY", value_name = "FILE")]
    pub(crate) sealing_key: Option<PathBuf>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ClusterSealingArgs {
    /// The public key of its agent, to which values of Secrets are sealed [default: the one that is registered]
    #[arg(long, value_parser = public_key, value_name = "KEY")]
    pub(crate) sealing_key: Option<String>,
}

fn seal_to(text: &str) -> Result<SealTo, String> {
    match text {
        "any" => Ok(SealTo::Any),
        key => public_key(key).map(SealTo::Key),
    }
}

pub(super) fn public_key(text: &str) -> Result<String, String> {
    match Keys::is_public(text) {
        true => Ok(text.to_owned()),
        false => Err("is no public xkey: `fleetcast sealing list FILE` prints it, X…".to_owned()),
    }
}
