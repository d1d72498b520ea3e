//! How much room a cluster has: what its agent measured, and how many more replicas of a workload would fit.
//!
//! The count is that of Karmada's general estimator (`pkg/estimator/client/general.go` of karmada-io/karmada): of each resource what is free divided by what one replica asks
//! for, the fewest of them, and never more than the pods that are free. Nodes are not looked at one by one: a replica may fit into the sum and into no node.

mod quantity;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a cluster has room for; a sum over its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// How many nodes it has.
    pub nodes: u32,
    /// How many of them are ready.
    pub ready_nodes: u32,
    /// What pods may use on nodes that are ready and take new ones.
    pub allocatable: Amounts,
    /// What pods there, and those that wait for a node, ask for.
    pub allocated: Amounts,
    /// The API server's version: `v1.36.0`; empty where it does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kubernetes: String,
}

/// Amounts of what pods use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Pods.
    pub pods: i64,
}

/// Of how many parts of what is allocatable one must have changed hands before that is news.
const NEWS_PARTS: i64 = 50;

impl Amounts {
    fn add(&mut self, other: Self) {
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.pods = self.pods.saturating_add(other.pods);
    }

    fn map2(self, other: Self, of: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            cpu_milli: of(self.cpu_milli, other.cpu_milli),
            memory_bytes: of(self.memory_bytes, other.memory_bytes),
            pods: of(self.pods, other.pods),
        }
    }

    /// What each is greater than in `other`, for each of them.
    fn max(self, other: Self) -> Self {
        self.map2(other, i64::max)
    }

    /// Cores as Kubernetes writes them: `4`, `3250m`.
    pub fn cpu(&self) -> String {
        match self.cpu_milli % 1_000 {
            0 => (self.cpu_milli / 1_000).to_string(),
            _ => format!("{}m", self.cpu_milli),
        }
    }

    /// Memory as Kubernetes writes it, rounded down: `7890Mi`.
    pub fn memory(&self) -> String {
        format!("{}Mi", self.memory_bytes >> 20)
    }

    /// `cpu` and `memory` of a map of quantities; what is absent or no quantity is nothing.
    fn of(quantities: &Value) -> Self {
        let amount = |name: &str| quantity::milli(&quantities[name]).unwrap_or(0);
        Self {
            cpu_milli: amount("cpu"),
            memory_bytes: amount("memory") / 1_000,
            pods: amount("pods") / 1_000,
        }
    }
}

impl Capacity {
    /// What is free.
    pub fn available(&self) -> Amounts {
        let free = |all: i64, used: i64| all.saturating_sub(used).max(0);
        self.allocatable.map2(self.allocated, free)
    }

    /// How many more replicas fit that ask for `each` (its pods are not looked at: a replica is one).
    pub fn fits(&self, each: Amounts) -> i64 {
        let free = self.available();
        let of = |free: i64, each: i64| match each {
            ..=0 => i64::MAX,
            each => free / each,
        };
        let limits = [
            free.pods,
            of(free.cpu_milli, each.cpu_milli),
            of(free.memory_bytes, each.memory_bytes),
        ];
        limits.into_iter().fold(i64::MAX, i64::min).max(0)
    }

    /// Whether it is worth telling after `told`: nodes came or went, or a fiftieth of something is used or free that was not.
    pub fn is_news_after(&self, told: &Self) -> bool {
        let Self {
            nodes,
            ready_nodes,
            allocatable,
            allocated,
            kubernetes,
        } = self;
        let differs = |now: i64, before: i64, all: i64| (now - before).abs() > all / NEWS_PARTS;
        (nodes, ready_nodes, allocatable, kubernetes)
            != (
                &told.nodes,
                &told.ready_nodes,
                &told.allocatable,
                &told.kubernetes,
            )
            || differs(
                allocated.cpu_milli,
                told.allocated.cpu_milli,
                allocatable.cpu_milli,
            )
            || differs(
                allocated.memory_bytes,
                told.allocated.memory_bytes,
                allocatable.memory_bytes,
            )
            || differs(allocated.pods, told.allocated.pods, allocatable.pods)
    }
}

/// A measurement under way: nodes first, then pods; none of them is kept.
#[derive(Debug, Default)]
pub struct Measuring {
    capacity: Capacity,
    /// Nodes that take nothing new: what runs there takes nothing from the others.
    closed: BTreeSet<String>,
}

impl Measuring {
    /// Counts a node.
    pub fn node(&mut self, node: &Value) {
        let conditions = node["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        let mut ready = conditions.filter(|one| one["type"] == "Ready" && one["status"] == "True");
        let is_ready = ready.next().is_some();
        self.capacity.nodes += 1;
        self.capacity.ready_nodes += u32::from(is_ready);
        match is_ready && node["spec"]["unschedulable"] != true {
            true => self
                .capacity
                .allocatable
                .add(Amounts::of(&node["status"]["allocatable"])),
            false => {
                let name = node["metadata"]["name"].as_str().unwrap_or_default();
                self.closed.insert(name.to_owned());
            }
        }
    }

    /// Counts a pod, unless it has ended.
    pub fn pod(&mut self, pod: &Value) {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if !["Succeeded", "Failed"].contains(&phase) && !self.closed.contains(node) {
            self.capacity.allocated.add(Amounts {
                pods: 1,
                ..requests(&pod["spec"])
            });
        }
    }

    /// The sum.
    pub fn end(self, kubernetes: String) -> Capacity {
        Capacity {
            kubernetes,
            ..self.capacity
        }
    }
}

/// What one replica of the workload that `manifest` declares asks for.
pub fn of_replica(manifest: &Value) -> Amounts {
    let pod = match manifest["kind"].as_str() {
        Some("Pod") => manifest.get("spec"),
        _ => manifest.pointer("/spec/template/spec"),
    };
    pod.map(requests).unwrap_or_default()
}

/// What a pod of this spec asks for: its containers together, or one of those that run before them, whichever is more. Where a container only has limits, an API server takes
/// them for requests.
fn requests(pod: &Value) -> Amounts {
    let each = |list: &str| {
        let containers = pod[list].as_array().into_iter().flatten();
        let asks = containers.map(|container| {
            let resources = &container["resources"];
            let (requests, limits) = (&resources["requests"], &resources["limits"]);
            let asked = |name: &str| match &requests[name] {
                Value::Null => limits[name].clone(),
                asked => asked.clone(),
            };
            Amounts::of(&serde_json::json!({"cpu": asked("cpu"), "memory": asked("memory")}))
        });
        asks.collect::<Vec<_>>()
    };
    let mut together = Amounts::default();
    for asked in each("containers") {
        together.add(asked);
    }
    let mut most = together;
    for asked in each("initContainers") {
        most = most.max(asked);
    }
    most.add(Amounts::of(&pod["overhead"]));
    most
}

#[cfg(test)]
mod tests;
