//! TLS from the first byte, on a real NATS server: what gets through, what stands in the way and what is said about it, and certificates that are renewed while changes flow.

mod tls {
    mod command;
    mod fleet;
    mod http;
    mod reasons;
    mod roots;
}

use std::path::{Path, PathBuf};

use fleetcast_auth::certificates::Certificates;
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_tests::harness::unix_seconds;

const HOUR_S: u64 = 3_600;

/// A certificate authority of a test's own.
struct Authority {
    certificates: Certificates,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = Certificates::init(folder.path(), unix_seconds()).expect("an authority");
        Self {
            certificates,
            folder,
        }
    }

    /// Issues, or renews.
    fn issue(&mut self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let issued = self
            .certificates
            .issue(name, &hosts, HOUR_S, unix_seconds());
        issued.expect("issued");
    }

    /// Issues what ended an hour ago.
    fn issue_ended(&mut self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let two_hours_ago = unix_seconds() - 7_200;
        let issued = self.certificates.issue(name, &hosts, HOUR_S, two_hours_ago);
        issued.expect("issued");
    }

    fn ca(&self) -> PathBuf {
        self.certificates.authority()
    }

    fn server(&self, name: &str) -> ServerTls {
        ServerTls {
            cert: self.certificates.certificate(name),
            key: self.certificates.key(name),
            client_ca: None,
        }
    }

    /// Whoever trusts this authority, without a certificate of his own.
    fn trusted(&self) -> Tls {
        Tls {
            ca: Some(self.ca()),
            ..Tls::default()
        }
    }

    /// Whoever trusts this authority, with a certificate.
    fn client(&self, name: &str) -> Tls {
        Tls {
            cert: Some(self.certificates.certificate(name)),
            key: Some(self.certificates.key(name)),
            ..self.trusted()
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}
