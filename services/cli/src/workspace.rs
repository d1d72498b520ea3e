//! `workspace.toml`: the fleet that runs on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fleetcast_core::model::{Cluster, ClusterName};
use fleetcast_core::placer::Limit;
use serde::Deserialize;

/// What a simulated hub is called, and its kubeconfig (`.run/hub.kubeconfig`).
pub(crate) const HUB: &str = "hub";

/// The fleet that runs on this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workspace {
    /// The NATS server.
    #[serde(default)]
    pub(crate) nats: Nats,
    /// The service that takes changes in.
    #[serde(default)]
    pub(crate) ingest: Ingest,
    /// The Kubernetes API server whose objects are changes; none where there is no such hub.
    pub(crate) hub: Option<Hub>,
    /// The clusters.
    #[serde(rename = "cluster")]
    pub(crate) clusters: Vec<Member>,
    /// The folder that the file stands in; everything that the fleet keeps is in `.run` there.
    #[serde(skip)]
    pub(crate) directory: PathBuf,
}

/// The NATS server of the fleet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nats {
    /// Its port on loopback; 0 for any free one, which is kept from then on.
    #[serde(default)]
    pub(crate) port: u16,
}

/// The service that takes changes in.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ingest {
    /// More removals than this wait for `fleetcast confirm`, as with `fleetcast ingest --bulk-removals`.
    #[serde(default, deserialize_with = "limit")]
    pub(crate) bulk_removals: Limit,
}

fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The hub of the fleet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hub {
    /// Whether it is simulated in this process.
    #[serde(default)]
    pub(crate) simulated: bool,
    /// Else the kubeconfig that leads to it, relative to the workspace.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub(crate) context: Option<String>,
}

/// A cluster of the fleet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: ClusterName,
    /// Whether it is simulated in this process.
    #[serde(default)]
    pub(crate) simulated: bool,
    /// Else the kubeconfig that leads to it, relative to the workspace.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub(crate) context: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Its region.
    pub(crate) region: Option<String>,
    /// Its zone.
    pub(crate) zone: Option<String>,
    /// Its provider.
    pub(crate) provider: Option<String>,
}

impl Member {
    /// What is registered of it.
    pub(crate) fn cluster(&self) -> Cluster {
        Cluster {
            labels: self.labels.clone(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            provider: self.provider.clone(),
            ..Cluster::named(self.name.clone())
        }
    }
}

impl Workspace {
    /// A fleet in this folder whose clusters join it.
    pub(crate) fn without_clusters() -> anyhow::Result<Self> {
        Ok(Self {
            nats: Nats::default(),
            ingest: Ingest::default(),
            hub: None,
            clusters: Vec::new(),
            directory: std::env::current_dir()?,
        })
    }

    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the fleet {}", path.display()))?;
        let mut workspace =
            Self::parse(&text).with_context(|| format!("{} is no fleet", path.display()))?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        workspace.directory = parent.canonicalize()?;
        Ok(workspace)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let workspace: Self = toml::from_str(text)?;
        let mut names = Vec::new();
        for member in &workspace.clusters {
            if names.contains(&&member.name) {
                bail!("cluster {} stands there twice", member.name);
            }
            names.push(&member.name);
            match (member.simulated, &member.kubeconfig) {
                (true, None) | (false, Some(_)) => {}
                (true, Some(_)) => bail!(
                    "cluster {} is both simulated and behind a kubeconfig",
                    member.name
                ),
                (false, None) => bail!(
                    "cluster {} needs `simulated = true` or a `kubeconfig`",
                    member.name
                ),
            }
        }
        if let Some(hub) = &workspace.hub {
            match (hub.simulated, &hub.kubeconfig) {
                (true, None) | (false, Some(_)) => {}
                (true, Some(_)) => bail!("the hub is both simulated and behind a kubeconfig"),
                (false, None) => bail!("the hub needs `simulated = true` or a `kubeconfig`"),
            }
            let has_its_name = |name: &&ClusterName| name.as_str() == HUB;
            if hub.simulated && names.iter().any(has_its_name) {
                bail!("the simulated hub is called {HUB}: no cluster may be");
            }
        }
        if names.is_empty() {
            bail!("there is no [[cluster]]");
        }
        Ok(workspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fleet_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "missing field `cluster`"),
            (
                "[ingest]\nbulk-removals = \"many\"\n[[cluster]]\nname = \"a\"\nsimulated = true",
                "OBJECTS[,PERCENT%] nor off",
            ),
            ("cluster = []", "there is no [[cluster]]"),
            (
                "[[cluster]]\nname = \"A\"\nsimulated = true",
                "no cluster name",
            ),
            ("[[cluster]]\nname = \"a\"", "needs `simulated = true`"),
            (
                "[[cluster]]\nname = \"a\"\nsimulated = true\nregoin = \"eu\"",
                "regoin",
            ),
            (
                "[[cluster]]\nname = \"a\"\nsimulated = true\n[[cluster]]\nname = \"a\"\nsimulated = true",
                "twice",
            ),
            (
                "[[cluster]]\nname = \"a\"\nsimulated = true\nkubeconfig = \"k\"",
                "both",
            ),
            (
                "[hub]\n[[cluster]]\nname = \"a\"\nsimulated = true",
                "the hub needs",
            ),
            (
                "[hub]\nsimulated = true\n[[cluster]]\nname = \"hub\"\nsimulated = true",
                "no cluster may be",
            ),
        ] {
            let error = format!("{:#}", Workspace::parse(text).expect_err(text));
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
