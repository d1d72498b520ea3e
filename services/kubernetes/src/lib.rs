//! Speaks to Kubernetes API servers, members and hubs alike: what agents and the hub's watcher have in common.
//!
//! | what | file |
//! |---|---|
//! | a client whose credentials may change on disk | [`credentials`] |
//! | which kinds a server serves | [`kinds`] |
//! | the objects of one kind, as they change | [`watch`] |
//!
//! Nothing here decides anything: that is the core's, and its edges'.

pub mod credentials;
pub mod kinds;
pub mod watch;

use std::error::Error as _;
use std::time::Duration;

use kube::{Client, Error};
use serde_json::Value;

/// `apps/v1` as group and version; the core group is empty.
pub fn split(api_version: &str) -> (&str, &str) {
    api_version.rsplit_once('/').unwrap_or(("", api_version))
}

/// An object's resource version as a number (KEP-5504 has them so); 0 where it is none.
pub fn version(live: &Value) -> u64 {
    let text = live["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The text of an error without the server's whole answer, with what is at the bottom of it: why no connection comes about, not only that none does.
pub fn brief(error: &Error) -> String {
    if let Error::Api(status) = error {
        return status.message.clone();
    }
    let text = error.to_string();
    let mut cause = error.source();
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    match last {
        Some(last) if !text.contains(&last) => format!("{text}: {last}"),
        Some(_) | None => text,
    }
}

/// The answer to one request; an error where none comes within `patience`.
///
/// # Errors
/// Where the request cannot be built or sent, or the server refuses it.
pub async fn send(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    patience: Duration,
) -> Result<Value, Error> {
    let answer = client.request(request.map_err(Error::BuildRequest)?);
    tokio::time::timeout(patience, answer)
        .await
        .unwrap_or_else(|_| {
            let late = format!("no answer within {} s", patience.as_secs());
            Err(Error::Service(late.into()))
        })
}

/// `name` as one step of a path: kube writes names into paths as they are.
pub fn path_step(name: &str) -> String {
    let mut step = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            step.push(char::from(byte));
        } else {
            step.push_str(&format!("%{byte:02X}"));
        }
    }
    step
}

/// Whether the server does not serve the kind (any more): it knows neither the object nor what it is.
pub fn is_unserved(error: &Error) -> bool {
    let Error::Api(status) = error else {
        return false;
    };
    let names_an_object = |details: &kube::core::response::StatusDetails| !details.name.is_empty();
    status.code == 404 && !status.details.as_ref().is_some_and(names_an_object)
}
