//! How much room the cluster has, measured now and then: nodes and pods are listed in pages, summed up by the core, and not kept.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleetcast_core::capacity::{Capacity, Measuring};
use fleetcast_core::digest::fnv1a64;
use fleetcast_core::model::ClusterName;
use fleetcast_kubernetes::brief;
use kube::api::ListParams;
use kube::core::Request;
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::Instant;

/// Between two measurements, where nothing else is wanted.
pub const EVERY: Duration = Duration::from_secs(60);
/// How many objects one page has: a page of pods is some megabytes.
const PAGE: u32 = 500;
/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// At most one part in so many of the time is spent on it, however large the cluster is.
const DUTY: u32 = 20;
/// After how many measurements what differs little is told all the same.
const RETELL: u32 = 10;
/// The longest version of an API server that is told, bytes.
const VERSION_LIMIT: usize = 64;

/// What was measured and is to be told; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured(Arc<Mutex<Option<Capacity>>>);

impl Measured {
    /// What is told now; none before the first measurement.
    pub(crate) fn get(&self) -> Option<Capacity> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    /// Tells it from now on where that is news, or `anyway`.
    fn take(&self, capacity: Capacity, anyway: bool) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told
            .as_ref()
            .is_none_or(|told| capacity.is_news_after(told));
        if is_news || anyway {
            *told = Some(capacity);
        }
    }
}

/// Measures for ever, clusters not all at once. What the agent may not see, or what does not answer, leaves what was told as it is.
pub(crate) async fn measure(
    client: &Client,
    cluster: &ClusterName,
    every: Duration,
    measured: &Measured,
) -> Infallible {
    let quarter = u64::try_from(every.as_millis() / 4)
        .unwrap_or(u64::MAX)
        .max(1);
    let jitter = Duration::from_millis(fnv1a64(cluster.as_str().as_bytes()) % quarter);
    let mut said = String::new();
    let mut pause = jitter;
    for count in 1_u32.. {
        tokio::time::sleep(pause).await;
        let begin = Instant::now();
        match look(client).await {
            Ok(capacity) => {
                measured.take(capacity, count % RETELL == 0);
                said.clear();
            }
            Err(error) => {
                let reason = brief(&error);
                if reason != said {
                    tracing::warn!(%cluster, reason, "what the cluster has room for is not known");
                    said = reason;
                }
            }
        }
        pause = every.max(begin.elapsed() * DUTY) + jitter;
    }
    std::future::pending().await
}

async fn look(client: &Client) -> Result<Capacity, Error> {
    let mut measuring = Measuring::default();
    each(client, "nodes", None, |node| measuring.node(node)).await?;
    // What has ended takes no room.
    let running = "status.phase!=Succeeded,status.phase!=Failed";
    each(client, "pods", Some(running), |pod| measuring.pod(pod)).await?;
    let version = client.apiserver_version().await;
    let mut version = version.map_or_else(|_| String::new(), |version| version.git_version);
    if version.len() > VERSION_LIMIT {
        version.clear();
    }
    Ok(measuring.end(version))
}

/// Shows each object of a kind of the core group, over all namespaces.
async fn each(
    client: &Client,
    plural: &str,
    fields: Option<&str>,
    mut show: impl FnMut(&Value),
) -> Result<(), Error> {
    let requests = Request::new(format!("/api/v1/{plural}"));
    let mut params = ListParams {
        limit: Some(PAGE),
        field_selector: fields.map(str::to_owned),
        ..ListParams::default()
    };
    loop {
        let page = fleetcast_kubernetes::send(client, requests.list(&params), PATIENCE).await?;
        page["items"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(&mut show);
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => params.continue_token = Some(next.to_owned()),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_little_is_told_now_and_then() {
        let pods = |pods: i64| {
            let mut capacity = Capacity::default();
            capacity.allocatable.pods = 100;
            capacity.allocated.pods = pods;
            capacity
        };
        let measured = Measured::default();
        for (capacity, anyway, told) in [
            (pods(10), false, pods(10)),
            (pods(11), false, pods(10)),
            (pods(11), true, pods(11)),
            (pods(14), false, pods(14)),
        ] {
            measured.take(capacity, anyway);
            assert_eq!(measured.get(), Some(told));
        }
    }
}
