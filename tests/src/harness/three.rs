//! Three NATS servers with one operator that hold each stream together, on free ports.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use fleetcast_bus::server::{Options, Server};
use fleetcast_bus::{Connect, Credentials};
use fleetcast_schemas::role::Role;

use super::identities::Identities;

/// Three servers in one NATS cluster; dropping it stops them.
pub struct Three {
    /// How to connect, as the operator: any of them.
    pub connect: Connect,
    pub(super) identities: Arc<Identities>,
    _servers: Vec<Server>,
    _directory: tempfile::TempDir,
}

impl Three {
    /// Starts them; JetStream answers once they have found each other.
    pub fn start(binary: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let identities = Identities::make(&directory.path().join("auth"));
        let free: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"))
            .collect();
        let ports: Vec<u16> = free
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        drop(free);
        let routes: Vec<String> = ports
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let servers: Vec<Server> = ports
            .iter()
            .enumerate()
            .map(|(index, port)| {
                let own = directory.path().join(format!("n{index}"));
                let trusts = identities.configuration(&own);
                Server::start(&Options {
                    binary: Some(binary.clone()),
                    directory: own,
                    port: 0,
                    tls: None,
                    configuration: format!(
                        "server_name: n{index}\ncluster {{ name: three, listen: \"127.0.0.1:{port}\", routes: [{}] }}\n{trusts}",
                        routes.join(", ")
                    ),
                })
                .expect("a server starts")
            })
            .collect();
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        Self {
            connect: Connect {
                credentials: Credentials::File(identities.path(Role::Operator, "test")),
                ..Connect::new(urls.join(","), "test")
            },
            identities: Arc::new(identities),
            _servers: servers,
            _directory: directory,
        }
    }
}
