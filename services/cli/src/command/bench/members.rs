//! The simulated members of a run: one process with a cluster in memory and an agent for each.

use std::io::BufRead;
use std::sync::Arc;

use fleetcast_bus::Connect;
use fleetcast_core::model::ClusterName;
use fleetcast_simulator::Cluster;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::BusArgs;
use crate::args::bench::MembersArgs;
use crate::command::service::asked_to_stop;
use crate::connection;
use crate::failure::Failure;

/// Runs until it is asked to stop or its standard input ends. Lines of standard input ask for something: `requests FILE` for what the clusters were
/// asked, `stop COUNT` to stop the first agents.
pub(crate) async fn run(bus: &BusArgs, args: MembersArgs) -> Result<(), Failure> {
    let connect = connection::options(bus, "bench");
    let mut stops = Vec::new();
    let mut agents = JoinSet::new();
    let mut clusters = Vec::new();
    let mut served = Vec::new();
    for index in args.first..args.first + args.clusters {
        let name = format!("bench-{index:05}");
        let cluster = Cluster::new(&name);
        if let Some(directory) = &args.serve {
            let http = cluster.serve_http(([127, 0, 0, 1], 0).into())?;
            let unfinished = directory.join(format!("{name}.next"));
            std::fs::write(&unfinished, http.kubeconfig())?;
            std::fs::rename(unfinished, directory.join(&name))?;
            clusters.push(cluster);
            served.push(http);
            continue;
        }
        let options = fleetcast_agent::Options {
            cluster: ClusterName::parse(&name).map_err(anyhow::Error::from)?,
            partitions: args.partitions,
            bus: Connect {
                name: name.clone(),
                ..connect.clone()
            },
            client: cluster.client(),
            reporting: fleetcast_agent::cluster::Reporting::default(),
            state: None,
            measure_every: Some(fleetcast_agent::measure::EVERY),
            sealing_keys: Arc::default(),
            identity: "bench".to_owned(),
            health: fleetcast_endpoint::Health::default(),
            namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
            creds_secret: None,
        };
        clusters.push(cluster);
        let (stop, stopped) = watch::channel(false);
        stops.push(stop);
        agents.spawn(fleetcast_agent::run(options, stopped));
    }
    let asked_to_stop_some = stops.clone();
    let ended = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else {
                return;
            };
            match line.split_once(' ') {
                Some(("requests", file)) => count(&clusters, file),
                Some(("stop", some)) => {
                    let some = some.parse().unwrap_or(0);
                    for stop in asked_to_stop_some.iter().take(some) {
                        stop.send_replace(true);
                    }
                }
                _ => tracing::warn!(line, "nobody knows what is asked for"),
            }
        }
    });
    let ends = async {
        while let Some(outcome) = agents.join_next().await {
            outcome.map_err(anyhow::Error::from)??;
        }
        // Those that were stopped ended well; the clusters stay.
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        () = asked_to_stop() => {}
        _ = ended => {}
        outcome = ends => outcome?,
    }
    for stop in stops {
        stop.send_replace(true);
    }
    // A blocked read of standard input must not hold the process.
    std::process::exit(0);
}

/// Writes what the clusters were asked so far, by verb, into `file`.
fn count(clusters: &[Cluster], file: &str) {
    let mut sums = [0_u64; 8];
    for cluster in clusters {
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
    let next = format!("{file}.next");
    if std::fs::write(&next, counted.to_string()).is_ok() {
        let _ = std::fs::rename(&next, file);
    }
}
