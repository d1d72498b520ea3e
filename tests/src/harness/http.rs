//! Plain requests to a service that listens for HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleetcast_core::digest;
use fleetcast_endpoint::listen::Limits;
use fleetcast_endpoint::{Access, Door, Health, Listener, Options};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::eventually;

/// Where a service listens, and the token that requests bear.
#[derive(Debug, Clone)]
pub struct Http {
    /// The address.
    pub address: SocketAddr,
    /// The token; none where the request bears none.
    pub token: Option<String>,
}

impl Http {
    /// With another token.
    pub fn with(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Sends a request, with `headers` as lines; its answer's status, head and document.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> (u16, String, Value) {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.address
        );
        if let Some(token) = &self.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for header in headers {
            head.push_str(&format!("{header}\r\n"));
        }
        let has_length = headers.iter().any(|header| {
            header.starts_with("content-length") || header.starts_with("transfer-encoding")
        });
        if !has_length {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let answer = self.send(&[head.as_bytes(), body].concat()).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no HTTP answer to {method} {path}: {text:?}"));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {head}"));
        (
            status,
            head.to_ascii_lowercase(),
            serde_json::from_str(body).unwrap_or(Value::Null),
        )
    }

    /// Sends bytes and reads until the server closes; it may close before it has read them all.
    pub async fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    /// The same where the server may go away at any moment: what it said until then.
    pub async fn try_send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        if let Ok(mut stream) = TcpStream::connect(self.address).await {
            let _ = stream.write_all(bytes).await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        answer
    }

    /// Hands a document in.
    pub async fn post(&self, document: &Value) -> (u16, Value) {
        let headers = ["content-type: application/json"];
        let (status, _, answer) = self
            .ask(
                "POST",
                "/v1/objects",
                &headers,
                document.to_string().as_bytes(),
            )
            .await;
        (status, answer)
    }

    /// The body of a path, as it is.
    pub async fn text(&self, path: &str) -> String {
        let token = self.token.as_ref().map_or_else(String::new, |token| {
            format!("authorization: Bearer {token}\r\n")
        });
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}\r\n");
        let answer = String::from_utf8_lossy(&self.send(request.as_bytes()).await).into_owned();
        answer
            .split_once("\r\n\r\n")
            .expect("an answer")
            .1
            .to_owned()
    }

    /// Asks for a path without a body.
    pub async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let (status, _, answer) = self.ask(method, path, &[], b"").await;
        (status, answer)
    }
}

/// Where a process says in its log that it listens, on the line that holds `what`, once it does.
pub async fn listens_at(log: &Path, what: &str) -> SocketAddr {
    let mut address = None;
    eventually(&format!("{} says {what:?}", log.display()), async || {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let mut lines = said.lines().filter(|line| line.contains(what));
        address = lines.find_map(|line| {
            let (_, rest) = line.split_once("address=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        address.is_some()
    })
    .await;
    address.expect("just found")
}

/// Lets whoever `tokens` names in on a free port of this machine, within `limits`.
pub fn door_within(tokens: &Path, limits: Limits, per_second: u32, health: &Health) -> Arc<Door> {
    let access = Access::open(tokens, per_second).expect("tokens");
    let options = Options {
        limits,
        ..Options::new(([127, 0, 0, 1], 0).into())
    };
    let listener = Listener::bind(&options).expect("it listens");
    Arc::new(Door::new(listener, access, health.clone()))
}

/// Lets whoever `tokens` names in on a free port of this machine.
pub fn door(tokens: &Path) -> Arc<Door> {
    let often = 1_000_000;
    door_within(tokens, Limits::default(), often, &Health::default())
}

/// Tells how a process does on a free port of this machine, for as long as the test lasts.
pub fn telling(health: &Health) -> Http {
    let listener = Listener::bind(&Options::new(([127, 0, 0, 1], 0).into())).expect("it listens");
    let address = listener.address();
    let health = health.clone();
    tokio::spawn(async move {
        let (_never, stop) = watch::channel(false);
        health.serve(listener, stop).await;
    });
    Http {
        address,
        token: None,
    }
}

/// Writes a file of tokens into `folder`: name, role and token of each.
pub fn token_file(folder: &Path, tokens: &[(&str, &str, &str)]) -> PathBuf {
    let lines = tokens.iter().map(|(name, role, token)| {
        let hash = digest::of_bytes(token.as_bytes());
        format!("{name} {role} sha256:{hash}\n")
    });
    let path = folder.join("tokens");
    std::fs::write(&path, lines.collect::<String>()).expect("written");
    path
}
