//! One agent process: its memory and CPU at work and idle, by how much its cluster holds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::figures::merge;
use super::rig::{Directory, Rig, machine, round};
use super::tracker::Acks;
use super::{documents, settle};
use crate::args::bench::AgentArgs;

/// How long an idle agent is watched.
const IDLE: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &AgentArgs) -> anyhow::Result<Value> {
    let directory = Directory::new(&args.common)?;
    let mut rig = Rig::start_one_agent(&args.common, directory).await?;
    let everywhere = json!({"clusterSelector": {}});
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let mut held = 0;
    let mut steps = Vec::new();
    for wanted in &args.objects {
        let wanted = *wanted as usize;
        let handed_in: Vec<_> = (held..wanted)
            .map(|index| documents::config_map(&format!("held-{index}"), &everywhere, 1))
            .collect();
        let begin = Instant::now();
        let before = rig.now("agent")?.cpu_s;
        settle::everywhere(&mut rig, &mut acks, handed_in, 1).await?;
        held = held.max(wanted);
        let elapsed = begin.elapsed();
        let worked = rig.now("agent")?.cpu_s;
        tokio::time::sleep(IDLE).await;
        let idle = rig.now("agent")?;
        steps.push(json!({
            "objects": held,
            "elapsed_s": round(elapsed.as_secs_f64()),
            "agent_cpu_s": round(worked - before),
            "agent_rss_mib": round(idle.rss_mib),
            "agent_own_mib": round(idle.own_mib),
            "agent_idle_cpu_percent": round((idle.cpu_s - worked) / IDLE.as_secs_f64() * 100.0),
        }));
    }
    let mut figures =
        json!({"bench": "agent", "members": "simulated", "steps": steps, "machine": machine()});
    merge(&mut figures, rig.usage());
    Ok(figures)
}
