//! What an agent keeps in its cluster: the ConfigMap `fleetcast-agent`.

use std::time::Duration;

use fleetcast_core::reconcile::Memory;
use fleetcast_kubernetes::brief;
use serde_json::{Value, json};

use super::own::{Home, Own};
use crate::trouble::Trouble;

/// The first pause before a write that failed is repeated; doubled each time up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(500);
/// The longest pause before a write that failed is repeated.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where an agent's memory is kept.
#[derive(Clone)]
pub struct Store(Own);

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The memory; the default where there is none that can be read.
    pub memory: Memory,
    /// The lease transitions of the agent that wrote it; 0 where nobody did.
    pub transitions: u64,
}

impl Store {
    /// The store at an agent's home.
    pub fn new(home: &Home) -> Self {
        Self(Own::new(home, "", "ConfigMap", "fleetcast-agent"))
    }

    /// Reads what was kept. A memory that cannot be read counts as none: the agent then asks for everything and writes nothing that is there already.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn load(&self) -> Result<Kept, kube::Error> {
        Ok(self
            .0
            .get()
            .await?
            .map(|map| read(&map))
            .unwrap_or_default())
    }

    /// Keeps `kept` in place of what was kept; what a later agent (of more transitions) keeps stays.
    ///
    /// # Errors
    /// Where the cluster does not answer or does not allow it.
    pub async fn save(&self, kept: &Kept) -> Result<(), kube::Error> {
        loop {
            let before = self.0.get().await?;
            let version = before
                .as_ref()
                .and_then(|map| map["metadata"]["resourceVersion"].as_str());
            if let Some(before) = &before
                && (before["data"] == data(kept) || transitions(before) > kept.transitions)
            {
                return Ok(());
            }
            let content = json!({"data": data(kept)});
            if self.0.put(version, &content).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Reads what was kept, however often that takes.
    pub(crate) async fn load_patiently(&self, trouble: &Trouble) -> Kept {
        let mut pause = RETRY;
        loop {
            match trouble.watch_over(self.load()).await {
                Ok(kept) => return kept,
                Err(error) => {
                    tracing::warn!(
                        error = brief(&error),
                        "cannot read the agent's memory in the cluster, trying again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Keeps `kept`, however often that takes.
    pub(crate) async fn save_patiently(&self, kept: &Kept) {
        self.save_telling(kept, &Trouble::default()).await;
    }

    /// As [`Store::save_patiently`], and tells what hinders it.
    pub(crate) async fn save_telling(&self, kept: &Kept, trouble: &Trouble) {
        let mut pause = RETRY;
        while let Err(error) = trouble.watch_over(self.save(kept)).await {
            tracing::warn!(
                error = brief(&error),
                "cannot write the agent's memory to the cluster, trying again"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

fn data(kept: &Kept) -> Value {
    let Kept {
        memory,
        transitions,
    } = kept;
    let memory = serde_json::to_string(memory).expect("a memory has only string keys");
    json!({"memory": memory, "transitions": transitions.to_string()})
}

fn read(map: &Value) -> Kept {
    let memory = map["data"]["memory"]
        .as_str()
        .map(serde_json::from_str)
        .transpose();
    Kept {
        memory: memory
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "the agent's memory in the cluster cannot be read: it begins anew");
                None
            })
            .unwrap_or_default(),
        transitions: transitions(map),
    }
}

fn transitions(map: &Value) -> u64 {
    map["data"]["transitions"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
