//! The store of a control plane: its compaction, which Kubernetes does every five minutes, at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use tokio::net::TcpStream;

use super::ControlPlane;

/// How long one answer of a port may take that may not be the store's.
const PATIENCE: Duration = Duration::from_secs(2);

impl ControlPlane {
    /// Compacts etcd up to `revision`: nobody can begin a watch, or go on with a list, at an older version, unless the API server itself remembers it. False
    /// where the store cannot be found: it listens on a port of its own choice, which Linux tells, and is not ours with `KUBEBUILDER_ASSETS`.
    pub async fn compact(&self, revision: u64) -> bool {
        let mut ports = BTreeSet::new();
        for process in self.processes() {
            ports.extend(listening(process));
        }
        ports.remove(&self.port);
        for port in ports {
            let asked = tokio::time::timeout(PATIENCE, ask_to_compact(port, revision)).await;
            if matches!(asked, Ok(Some(()))) {
                return true;
            }
        }
        false
    }
}

/// The ports on which a process listens, as Linux tells them: `/proc/<pid>/net/tcp` and its open sockets.
fn listening(process: u32) -> Vec<u16> {
    let sockets: BTreeSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let listens = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()?;
        (*state == "0A" && sockets.contains(*inode)).then_some(port)
    };
    table.lines().filter_map(listens).collect()
}

/// `etcdserverpb.KV/Compact` (etcd's `rpc.proto`): revision is field 1, physical field 2.
async fn ask_to_compact(port: u16, revision: u64) -> Option<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (client, connection) = h2::client::handshake(stream).await.ok()?;
    let connection = tokio::spawn(connection);
    let answered = async {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://127.0.0.1:{port}/etcdserverpb.KV/Compact"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .ok()?;
        let mut client = client.ready().await.ok()?;
        let (response, mut body) = client.send_request(request, false).ok()?;
        body.send_data(message(revision), true).ok()?;
        let mut answer = response.await.ok()?.into_body();
        while let Some(data) = answer.data().await {
            let length = data.ok()?.len();
            answer.flow_control().release_capacity(length).ok()?;
        }
        let trailers = answer.trailers().await.ok()??;
        (trailers.get("grpc-status")? == "0").then_some(())
    };
    let answered = answered.await;
    connection.abort();
    answered
}

/// A gRPC message that is not compressed: its length, then protobuf.
fn message(revision: u64) -> Bytes {
    let mut body = vec![0x08];
    let mut rest = revision;
    while rest > 0x7f {
        body.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    body.push(rest as u8);
    body.extend([0x10, 0x01]);
    let length = u32::try_from(body.len()).expect("a few bytes");
    let mut message = vec![0];
    message.extend(length.to_be_bytes());
    message.extend(body);
    Bytes::from(message)
}
