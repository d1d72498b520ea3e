//! Finding the bus: what was said, what `fleetcast up` runs here, or the usual place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleetcast_bus::tls::Tls;
use fleetcast_bus::{Bus, Connect, Credentials};
use serde::{Deserialize, Serialize};

use crate::args::BusArgs;
use crate::failure::Failure;

/// What a running fleet tells the commands on the same machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Where its bus is.
    pub(crate) nats: String,
    /// The operator's credentials, where it asks for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) creds: Option<PathBuf>,
    /// The authority of its certificate, where it speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// The folder of its operator, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<PathBuf>,
}

impl Running {
    /// The file that tells of the fleet of the workspace in `directory`.
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join(".run").join("fleet.json")
    }

    /// What runs in this directory or in one above.
    pub(crate) fn here() -> Option<Self> {
        let here = std::env::current_dir().ok()?;
        let text = here
            .ancestors()
            .find_map(|directory| std::fs::read(Self::path(directory)).ok())?;
        serde_json::from_slice(&text).ok()
    }
}

/// How to connect, as `name`.
pub(crate) fn options(args: &BusArgs, name: &str) -> Connect {
    let here = Running::here();
    let ca = |here: &Running| here.tls_ca.clone();
    let (url, creds, here_ca) = match (&args.nats, here) {
        (None, Some(here)) => (here.nats.clone(), here.creds.clone(), ca(&here)),
        // The bus that is here, as another user.
        (Some(url), Some(here)) if *url == here.nats => (url.clone(), None, ca(&here)),
        (Some(url), _) => (url.clone(), None, None),
        (None, None) => {
            let wants_tls = args.tls_ca.is_some() || args.tls_cert.is_some();
            let scheme = if wants_tls { "tls" } else { "nats" };
            (format!("{scheme}://127.0.0.1:4222"), None, None)
        }
    };
    Connect {
        tls: Tls {
            ca: args.tls_ca.clone().or(here_ca),
            cert: args.tls_cert.clone(),
            key: args.tls_key.clone(),
        },
        plain_text: args.allow_plain_text,
        credentials: args
            .creds
            .clone()
            .or(creds)
            .map_or(Credentials::None, Credentials::File),
        ..Connect::new(url, name)
    }
}

/// Connects a command that a person waits for: it says so at once where nobody answers.
pub(crate) async fn connect(args: &BusArgs) -> Result<Bus, Failure> {
    let options = Connect {
        timeout: Duration::from_secs(3),
        ..options(args, "fleetcast")
    };
    Bus::connect(&options).await.map_err(|error| match error {
        fleetcast_bus::Error::Unavailable(reason) => Failure::Unreachable(format!(
            "no NATS server answers at {}: {reason}\nstart a fleet here with `fleetcast up`, or name a server with --nats",
            options.url
        )),
        error => error.into(),
    })
}
