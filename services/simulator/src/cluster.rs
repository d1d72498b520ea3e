//! One API server in memory.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::sync::watch;

use crate::faults::Faults;
use crate::http::HttpServer;
use crate::requests::Requests;
use crate::server::Server;
use crate::service::Service;
use crate::store::{ImportError, Store};

/// A Kubernetes API server in memory. Clones share one content; nothing runs in the background while nobody asks.
#[derive(Debug, Clone)]
pub struct Cluster {
    server: Server,
}

impl Cluster {
    /// Makes a cluster that holds only the namespaces that every cluster has.
    pub fn new(name: impl Into<String>) -> Self {
        Cluster {
            server: Server::new(name.into()),
        }
    }

    /// Makes a cluster from what [`Cluster::export`] gave, with the same resource versions and uids.
    ///
    /// # Errors
    ///
    /// When the document is not such an export; trying again does not help.
    pub fn import(name: impl Into<String>, content: Value) -> Result<Self, ImportError> {
        Ok(Cluster {
            server: Server::of(name.into(), Store::import(content)?),
        })
    }

    /// The name that the owner gave; the API does not know it.
    pub fn name(&self) -> &str {
        self.server.name()
    }

    /// A stock client without sockets. Must be called within a Tokio runtime: the client has a task of its own, which ends with it.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(Service::new(self.server.clone()), "default")
    }

    /// Serves HTTP/1.1 on an address; port 0 takes a free one. The server stops when it is dropped. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub fn serve_http(&self, address: SocketAddr) -> io::Result<HttpServer> {
        HttpServer::start(self.server.clone(), address)
    }

    /// What can be made to go wrong.
    pub fn faults(&self) -> Faults {
        Faults::of(self.server.clone())
    }

    /// The whole content: `{"resourceVersion": 12, "objects": {"deployments.apps": [<without apiVersion and kind>, …]}}`.
    pub fn export(&self) -> Value {
        self.server.store().export()
    }

    /// How many changes the content has seen; equal to the newest resource version. A write that changes nothing does not count.
    pub fn change_count(&self) -> u64 {
        self.server.store().version()
    }

    /// Tells when the content changed; the value is [`Cluster::change_count`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.server.changes()
    }

    /// The requests so far.
    pub fn requests(&self) -> Requests {
        self.server.counters().read()
    }

    /// How many objects there are, the namespaces included.
    pub fn object_count(&self) -> usize {
        self.server.store().object_count()
    }

    /// How many watches are open.
    pub fn watch_count(&self) -> usize {
        self.server.store().watch_count()
    }
}
