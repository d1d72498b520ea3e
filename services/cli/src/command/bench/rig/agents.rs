//! The clusters of a run and who serves them: many simulated ones in one process, or an agent process for each, simulated or real.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use fleetcast_core::model::ClusterName;

use super::{Directory, PATIENCE, Rig};
use crate::args::bench::{Clusters, Common};
use crate::command::bench::{documents, load};
use crate::fleet;

/// The process that serves simulated clusters to agents which are processes of their own.
const SERVED: &str = "members";

impl Rig {
    /// Starts everything and registers `count` simulated clusters, cluster i with the label `group: g<i mod groups>`, in one process with their
    /// agents; all agents are heard when it returns.
    pub(in super::super) async fn start(
        common: &Common,
        directory: Directory,
        count: usize,
        groups: usize,
    ) -> anyhow::Result<Self> {
        let mut rig = Self::start_hub(common, directory, count, groups).await?;
        rig.start_members()?;
        rig.wait_for_heartbeats(count).await?;
        Ok(rig)
    }

    /// As [`Rig::start`], with an agent process for each cluster: the real ones that are named, or as many simulated ones as asked for, whose API
    /// servers share a process.
    pub(in super::super) async fn start_agents(
        common: &Common,
        directory: Directory,
        clusters: &Clusters,
    ) -> anyhow::Result<Self> {
        let mut rig = Self::start_with_clusters(common, directory, clusters).await?;
        let url = rig.connect.url.clone();
        for index in 0..rig.clusters.len() {
            let kubeconfig = rig.kubeconfigs[index].clone();
            rig.start_agent(index, &kubeconfig, &url)?;
        }
        rig.wait_for_heartbeats(rig.clusters.len()).await?;
        Ok(rig)
    }

    /// As [`Rig::start_agents`], without the agents.
    pub(in super::super) async fn start_with_clusters(
        common: &Common,
        directory: Directory,
        clusters: &Clusters,
    ) -> anyhow::Result<Self> {
        let mut rig = Self::start_hub(common, directory, clusters.count(), 1).await?;
        rig.kubeconfigs.clone_from(&clusters.kubeconfig);
        if !clusters.are_real() {
            rig.kubeconfigs = rig.serve(SERVED, 0, clusters.count()).await?;
        }
        Ok(rig)
    }

    /// Starts the agent of the cluster at `index`, which reaches its API server by `kubeconfig` and the bus at `url`.
    pub(in super::super) fn start_agent(
        &mut self,
        index: usize,
        kubeconfig: &Path,
        url: &str,
    ) -> anyhow::Result<()> {
        let cluster = self.clusters[index].to_string();
        let kubeconfig = kubeconfig.display().to_string();
        let arguments = ["agent", "--cluster", &cluster, "--kubeconfig", &kubeconfig];
        self.spawn_on(url, &format!("agent of {cluster}"), &arguments, false)
    }

    /// A client of each cluster.
    pub(in super::super) async fn clients(&self) -> anyhow::Result<Vec<kube::Client>> {
        let mut clients = Vec::new();
        for path in &self.kubeconfigs {
            clients.push(fleet::client_of(path, None).await?);
        }
        Ok(clients)
    }

    /// The CPU seconds that the agents used, where each is a process of its own.
    pub(in super::super) fn agents_cpu(&self) -> f64 {
        let agents = self.processes.iter();
        let agents = agents.filter(|(name, _)| name.starts_with("agent of "));
        agents
            .map(|(_, process)| super::used(process.child.id()).cpu_s)
            .sum()
    }

    /// As [`Rig::start_agents`], with one simulated cluster; its agent is the process `agent`.
    pub(in super::super) async fn start_one_agent(
        common: &Common,
        directory: Directory,
    ) -> anyhow::Result<Self> {
        let mut rig = Self::start_hub(common, directory, 0, 1).await?;
        rig.add_agent("member", "agent").await?;
        Ok(rig)
    }

    /// Registers one more simulated cluster, in a process `member` of its own, with an agent in a process `agent` of its own.
    pub(in super::super) async fn add_agent(
        &mut self,
        member: &str,
        agent: &str,
    ) -> anyhow::Result<()> {
        let first = self.clusters.len();
        let cluster = ClusterName::parse(&format!("bench-{first:05}"))?;
        let registration = documents::cluster(&cluster, "g0");
        load::hand_in(&self.bus, vec![registration], 1, |_, _| {}).await?;
        let kubeconfig = self.serve(member, first, 1).await?.remove(0);
        let kubeconfig = kubeconfig.display().to_string();
        let name = cluster.to_string();
        let arguments = ["agent", "--cluster", &name, "--kubeconfig", &kubeconfig];
        self.spawn(agent, &arguments, false)?;
        self.clusters.push(cluster);
        self.wait_for_heartbeats(self.clusters.len()).await?;
        Ok(())
    }

    /// Serves `count` simulated clusters over HTTP in the process `name`: their kubeconfigs.
    async fn serve(
        &mut self,
        name: &str,
        first: usize,
        count: usize,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.directory.path.display().to_string();
        let (from, clusters) = (first.to_string(), count.to_string());
        let arguments = [
            "bench",
            "members",
            "--first",
            &from,
            "--clusters",
            &clusters,
            "--serve",
            &folder,
        ];
        self.spawn(name, &arguments, false)?;
        let names = (first..first + count).map(|index| format!("bench-{index:05}"));
        let kubeconfigs: Vec<PathBuf> = names.map(|name| self.path(&name)).collect();
        let begin = Instant::now();
        while !kubeconfigs.iter().all(|path| path.exists()) {
            self.check(begin, PATIENCE, "the clusters")?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(kubeconfigs)
    }

    /// Stops the first `count` of the members' agents; their clusters stay.
    pub(in super::super) fn stop_agents(&mut self, count: usize) -> anyhow::Result<()> {
        self.ask_members(SERVED, &format!("stop {count}"))
    }

    pub(super) fn ask_members(&mut self, name: &str, what: &str) -> anyhow::Result<()> {
        let process = self.processes.get_mut(name).context("they run")?;
        let input = process.child.stdin.as_mut().context("it listens")?;
        Ok(std::io::Write::write_all(
            input,
            format!("{what}\n").as_bytes(),
        )?)
    }

    /// Starts the simulated members with their agents.
    pub(in super::super) fn start_members(&mut self) -> anyhow::Result<()> {
        let count = self.clusters.len().to_string();
        self.spawn(SERVED, &["bench", "members", "--clusters", &count], false)
    }
}
