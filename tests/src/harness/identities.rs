//! An operator of a test's own: what its NATS servers trust, and credentials of each role, issued when they are first needed.

use std::path::{Path, PathBuf};

use fleetcast_auth::authority::{Authority, Issue, file_name};
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_schemas::role::Role;

/// How long what is issued counts: longer than any test.
const TTL_S: u64 = 24 * 60 * 60;

/// An operator, by his folder: it is opened for each use, since commands need it, too.
pub(super) struct Identities {
    folder: PathBuf,
}

impl Identities {
    /// Makes an operator in a new folder.
    pub(super) fn make(folder: &Path) -> Self {
        Authority::init(folder, "test", 1, unix_seconds()).expect("an operator");
        Self {
            folder: folder.to_owned(),
        }
    }

    /// His folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The operator himself; whoever else needs the folder waits meanwhile.
    pub(super) fn authority(&self) -> Authority {
        Authority::open(&self.folder).expect("an operator")
    }

    /// What a server needs in its configuration; it keeps accounts in `directory`.
    pub(super) fn configuration(&self, directory: &Path) -> String {
        self.authority()
            .configuration(&directory.join("jwt"), unix_seconds())
            .expect("keys")
    }

    /// Issues what a test asks for.
    pub(super) fn issue(&self, issue: &Issue) -> CredentialsFile {
        let issued = self.authority().issue(issue, unix_seconds());
        issued.expect("issued")
    }

    /// The credentials of a role under a name, issued at the first call.
    pub(super) fn path(&self, role: Role, name: &str) -> PathBuf {
        let path = self.folder.join(file_name(role, name));
        if path.exists() {
            return path;
        }
        let mut authority = self.authority();
        // Another thread may have had the folder before.
        if !path.exists() {
            let issue = Issue {
                role,
                name: name.to_owned(),
                ttl_s: Some(TTL_S),
                kinds: Vec::new(),
                namespaces: Vec::new(),
            };
            let issued = authority.issue(&issue, unix_seconds()).expect("issued");
            issued.write(&path).expect("written");
        }
        path
    }
}

/// The time now, as NATS has it in credentials.
pub fn unix_seconds() -> i64 {
    fleetcast_bus::now().0.div_euclid(1_000)
}
