//! The operator of a fleet on this machine: made at the first start, with credentials for everything that `fleetcast up` runs.

use std::path::{Path, PathBuf};

use fleetcast_auth::Error;
use fleetcast_auth::authority::{Authority, Issue};
use fleetcast_schemas::role::Role;

/// One machine needs one partition.
const PARTITIONS: u16 = 1;

/// Unix seconds.
pub(crate) fn now() -> i64 {
    fleetcast_bus::now().0.div_euclid(1_000)
}

/// The operator's folder, held while credentials are issued.
pub(crate) struct Local {
    authority: Authority,
    folder: PathBuf,
    resolver: PathBuf,
}

impl Local {
    /// The operator of the fleet that keeps everything under `state`, where credentials are asked for, now or at its first start.
    pub(crate) fn of_fleet(state: &Path, wanted: bool) -> anyhow::Result<Option<Self>> {
        let folder = state.join("auth");
        if !wanted && !Authority::is_there(&folder) {
            return Ok(None);
        }
        // The server keeps streams by account: those of nobody in particular would not be seen any more.
        let open = state.join("nats/store/jetstream/$G");
        if !Authority::is_there(&folder) && open.exists() {
            anyhow::bail!(
                "the fleet in {} has run without credentials, and would begin anew with them; next: take that folder away, or leave --auth out",
                state.display()
            );
        }
        Ok(Some(Self::open(state)?))
    }

    /// Opens the operator of the fleet that keeps everything under `state`, or makes it.
    fn open(state: &Path) -> Result<Self, Error> {
        let folder = state.join("auth");
        let authority = match Authority::is_there(&folder) {
            true => Authority::open(&folder)?,
            false => Authority::init(&folder, "fleetcast", PARTITIONS, now())?,
        };
        Ok(Self {
            authority,
            resolver: state.join("nats").join("jwt"),
            folder,
        })
    }

    /// What the server needs.
    pub(crate) fn configuration(&self) -> Result<String, Error> {
        self.authority.configuration(&self.resolver, now())
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Credentials of a role, issued at the first call: without an end, since this machine is where they are issued.
    pub(crate) fn credentials(&mut self, role: Role, name: &str) -> Result<PathBuf, Error> {
        let path = self.authority.credentials_path(role, name);
        if !path.exists() {
            let issue = Issue {
                role,
                name: name.to_owned(),
                ttl_s: None,
                kinds: Vec::new(),
                namespaces: Vec::new(),
            };
            self.authority.issue(&issue, now())?.write(&path)?;
        }
        Ok(path)
    }
}
