//! The simulated members of a run: one process with a cluster in memory and an agent for each.

use std::io::BufRead;

use fleetcast_bus::Connect;
use fleetcast_core::model::ClusterName;
use fleetcast_simulator::Cluster;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::bench::MembersArgs;
use crate::command::service::asked_to_stop;
use crate::failure::Failure;

/// Runs until it is asked to stop or its standard input ends. Each line of standard input names a file into which it writes what its clusters were asked.
pub(crate) async fn run(args: MembersArgs) -> Result<(), Failure> {
    let url = std::env::args()
        .skip_while(|argument| argument != "--nats")
        .nth(1)
        .ok_or_else(|| Failure::Usage("--nats is missing".to_owned()))?;
    let (stop, stopped) = watch::channel(false);
    let mut agents = JoinSet::new();
    let mut clusters = Vec::new();
    let mut served = Vec::new();
    for index in 0..args.clusters {
        let name = format!("bench-{index:05}");
        let cluster = Cluster::new(&name);
        if let Some(directory) = &args.serve {
            let http = cluster.serve_http(([127, 0, 0, 1], 0).into())?;
            std::fs::write(directory.join(&name), http.kubeconfig())?;
            clusters.push(cluster);
            served.push(http);
            continue;
        }
        let options = fleetcast_agent::Options {
            cluster: ClusterName::parse(&name).map_err(anyhow::Error::from)?,
            partitions: args.partitions,
            bus: Connect::new(&url, &name),
            client: cluster.client(),
            reporting: fleetcast_agent::cluster::Reporting::default(),
            state: None,
            identity: "bench".to_owned(),
        };
        clusters.push(cluster);
        agents.spawn(fleetcast_agent::run(options, stopped.clone()));
    }
    let ended = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(path) = line else {
                return;
            };
            let mut sums = [0_u64; 8];
            for cluster in &clusters {
                let of = cluster.requests();
                let counts = [
                    of.get, of.list, of.watch, of.create, of.apply, of.patch, of.update, of.delete,
                ];
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
            let [get, list, watch, create, apply, patch, update, delete] = sums;
            let counted = json!({"get": get, "list": list, "watch": watch, "create": create, "apply": apply, "patch": patch, "update": update, "delete": delete});
            let next = format!("{path}.next");
            if std::fs::write(&next, counted.to_string()).is_ok() {
                let _ = std::fs::rename(&next, &path);
            }
        }
    });
    tokio::select! {
        () = asked_to_stop() => {}
        _ = ended => {}
        Some(outcome) = agents.join_next() => {
            let outcome = outcome.map_err(anyhow::Error::from)?;
            outcome.map_err(anyhow::Error::from)?;
        }
    }
    stop.send_replace(true);
    // A blocked read of standard input must not hold the process.
    std::process::exit(0);
}
