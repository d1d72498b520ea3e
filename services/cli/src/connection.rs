//! Finding the bus: what was said, what `fleetcast up` runs here, or the usual place.

use std::path::{Path, PathBuf};
use std::time::Duration;

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
}

impl Running {
    /// The file that tells of the fleet of the workspace in `directory`.
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join(".run").join("fleet.json")
    }

    /// What runs in this directory or in one above.
    fn here() -> Option<Self> {
        let here = std::env::current_dir().ok()?;
        let text = here
            .ancestors()
            .find_map(|directory| std::fs::read(Self::path(directory)).ok())?;
        serde_json::from_slice(&text).ok()
    }
}

/// How to connect, as `name`.
pub(crate) fn options(args: &BusArgs, name: &str) -> Connect {
    // What is said names another bus than the one here, or another user.
    let here = match args.nats {
        Some(_) => None,
        None => Running::here(),
    };
    let (nats, creds) = here.map(|here| (here.nats, here.creds)).unzip();
    let url = args
        .nats
        .clone()
        .or(nats)
        .unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    Connect {
        credentials: args
            .creds
            .clone()
            .or(creds.flatten())
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
