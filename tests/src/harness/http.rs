//! Plain requests to a service that listens for HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use fleetcast_core::digest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

    /// Asks for a path without a body.
    pub async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let (status, _, answer) = self.ask(method, path, &[], b"").await;
        (status, answer)
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
