//! The operator of a fleet on this machine, and its certificate authority: made at the first start, with credentials for everything that `fleetcast up` runs.

use std::path::{Path, PathBuf};

use fleetcast_auth::Error;
use fleetcast_auth::authority::{Authority, Issue};
use fleetcast_auth::certificates::Certificates;
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_schemas::role::Role;

use crate::sealing;

/// One machine needs one partition.
const PARTITIONS: u16 = 1;
/// How long the certificate of the NATS server counts.
const CERTIFICATE_S: u64 = 365 * 24 * 60 * 60;
/// It is renewed at a start at which less of that is left.
const LEFT_S: i64 = 90 * 24 * 60 * 60;
/// Whose it is.
const NATS: &str = "nats";

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
        let local = Self::open(state)?;
        let keys = sealing::read_or_create(&state.join("sealing.keys"))?;
        local.authority.keep_sealing_keys(&keys.text())?;
        Ok(Some(local))
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

    /// The certificates of the fleet that keeps everything under `state`: what its NATS server speaks TLS with, and what connects to it.
    pub(crate) fn tls(state: &Path) -> Result<(ServerTls, Tls), Error> {
        let mut authority = Certificates::open_or_init(&state.join("tls"), now())?;
        let left = authority
            .issued()
            .get(NATS)
            .map(|issued| issued.ends_at - now());
        if left.is_none_or(|left| left < LEFT_S) {
            let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            authority.issue(NATS, &hosts, CERTIFICATE_S, now())?;
        }
        let server = ServerTls {
            cert: authority.certificate(NATS),
            key: authority.key(NATS),
            client_ca: None,
        };
        let client = Tls {
            ca: Some(authority.authority()),
            ..Tls::default()
        };
        Ok((server, client))
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
