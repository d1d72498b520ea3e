//! Three NATS servers that hold each stream together, on free ports.

use std::net::TcpListener;
use std::path::PathBuf;

use fleetcast_bus::Connect;
use fleetcast_bus::server::{Options, Server};

/// Three servers in one NATS cluster; dropping it stops them.
pub struct Three {
    /// How to connect: any of them.
    pub connect: Connect,
    _servers: Vec<Server>,
    _directory: tempfile::TempDir,
}

impl Three {
    /// Starts them; JetStream answers once they have found each other.
    pub fn start(binary: PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
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
                Server::start(&Options {
                    binary: Some(binary.clone()),
                    directory: directory.path().join(format!("n{index}")),
                    port: 0,
                    tls: None,
                    configuration: format!(
                        "server_name: n{index}\ncluster {{ name: three, listen: \"127.0.0.1:{port}\", routes: [{}] }}",
                        routes.join(", ")
                    ),
                })
                .expect("a server starts")
            })
            .collect();
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        Self {
            connect: Connect::new(urls.join(","), "test"),
            _servers: servers,
            _directory: directory,
        }
    }
}
