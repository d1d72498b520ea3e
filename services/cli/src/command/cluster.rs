//! `fleetcast cluster`: the members of the fleet.

use fleetcast_aggregator::answer::{ClusterSummary, Clusters, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::capacity::Capacity;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::readiness::Readiness;
use fleetcast_schemas::request::Answer;

use crate::args::{BusArgs, ClusterCommand, ClusterSealingArgs, Format};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, Table, age};
use crate::sealing;
use crate::submit;

pub(crate) async fn run(bus: &BusArgs, command: &ClusterCommand) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    match command {
        ClusterCommand::List { output } => list(&bus, *output).await,
        ClusterCommand::Register {
            name,
            labels,
            region,
            zone,
            provider,
            sealing: ClusterSealingArgs { sealing_key },
        } => {
            let described = Cluster {
                labels: labels.iter().cloned().collect(),
                region: region.clone(),
                zone: zone.clone(),
                provider: provider.clone(),
                ..Cluster::named(name.clone())
            };
            let says_nothing_else = described == Cluster::named(name.clone());
            let cluster = match sealing_key {
                Some(key) if says_nothing_else => sealing::keyed(&bus, name, key).await?,
                key => Cluster {
                    sealing_key: key.clone(),
                    ..described
                },
            };
            register(&bus, &cluster, "registered").await?;
            output::print(&format!(
                "next: fleetcast agent --cluster {name} --kubeconfig FILE\n"
            ))
        }
        ClusterCommand::Cordon { name } => set_cordoned(&bus, name, true).await,
        ClusterCommand::Uncordon { name } => set_cordoned(&bus, name, false).await,
        ClusterCommand::Remove { name } => {
            match submit::delete(&bus, &ObjectKey::of_cluster(name), true).await? {
                Answer::Accepted(_) => {
                    output::print(&format!("{name} left the fleet; the copies in it stay\n"))
                }
                Answer::Refused { refusal } => Err(Failure::Refused(refusal.message)),
            }
        }
    }
}

async fn list(bus: &Bus, format: Format) -> Result<(), Failure> {
    let answer: Clusters = client::query(bus, "clusters", None, &Request::default()).await?;
    match format {
        Format::Json => output::print_json(&answer),
        Format::Yaml => output::print_yaml(&answer),
        Format::Table | Format::Wide if answer.clusters.is_empty() => {
            output::print("no cluster is registered yet; next: fleetcast cluster register NAME\n")
        }
        Format::Table | Format::Wide => {
            output::print(&table(&answer.clusters, format == Format::Wide))
        }
    }
}

/// One line a cluster.
pub(crate) fn table(clusters: &[ClusterSummary], wide: bool) -> String {
    let paint = Paint::stdout();
    let mut header = vec![
        "CLUSTER",
        "STATUS",
        "SINCE",
        "OBJECTS",
        "APPLIED",
        "BEHIND",
        "BEHIND SINCE",
        "REGION",
    ];
    if wide {
        header.extend([
            "ZONE", "PROVIDER", "NODES", "CPU", "MEMORY", "PODS", "LABELS", "TAINTS",
        ]);
    }
    let mut table = Table::new(&header);
    for summary in clusters {
        let agent = match (summary.registered, summary.readiness) {
            (false, _) => paint.dim("not registered"),
            (true, Readiness::Unknown) => paint.waiting("never heard"),
            (true, ready @ Readiness::Ready) => paint.good(ready.word()),
            (true, down @ (Readiness::Degraded | Readiness::Offline)) => paint.bad(down.word()),
        };
        let agent = if summary.cordoned {
            format!("{agent},cordoned")
        } else {
            agent
        };
        let mut cells = vec![
            summary.cluster.to_string(),
            agent,
            age(summary.since),
            summary.objects.to_string(),
            summary.applied.to_string(),
            if summary.behind == 0 {
                "-".to_owned()
            } else {
                paint.waiting(&summary.behind.to_string())
            },
            summary
                .oldest_pending_since
                .map_or_else(|| "-".to_owned(), age),
            summary.region.clone().unwrap_or_default(),
        ];
        if wide {
            let labels: Vec<String> = summary
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let taints: Vec<String> = summary
                .taints
                .iter()
                .map(|taint| format!("{}={}:{:?}", taint.key, taint.value, taint.effect))
                .collect();
            cells.extend([
                summary.zone.clone().unwrap_or_default(),
                summary.provider.clone().unwrap_or_default(),
            ]);
            cells.extend(room(summary.capacity.as_ref()));
            cells.extend([labels.join(","), taints.join(",")]);
        }
        table.row(cells);
    }
    let told = clusters.iter().filter_map(|summary| {
        let trouble = summary.trouble.as_ref()?;
        Some(format!("{} is degraded: {trouble}\n", summary.cluster))
    });
    let told: String = told.collect();
    table.text("") + &told
}

/// Ready nodes of all, and of cores, memory and pods what is used of what may be.
fn room(capacity: Option<&Capacity>) -> [String; 4] {
    let Some(capacity) = capacity else {
        return std::array::from_fn(|_| "-".to_owned());
    };
    let Capacity {
        nodes,
        ready_nodes,
        allocatable,
        allocated,
        kubernetes: _,
    } = capacity;
    [
        format!("{ready_nodes}/{nodes}"),
        format!("{}/{}", allocated.cpu(), allocatable.cpu()),
        format!("{}/{}", allocated.memory(), allocatable.memory()),
        format!("{}/{}", allocated.pods, allocatable.pods),
    ]
}

async fn register(bus: &Bus, cluster: &Cluster, what: &str) -> Result<(), Failure> {
    match submit::apply(
        bus,
        &ObjectKey::of_cluster(&cluster.name),
        &cluster.document(),
    )
    .await?
    {
        Answer::Accepted(accepted) => output::print(&format!(
            "{} {what} (log {})\n",
            cluster.name, accepted.sequence
        )),
        Answer::Refused { refusal } => Err(Failure::Refused(format!(
            "{}: {}",
            refusal.field, refusal.message
        ))),
    }
}

async fn set_cordoned(bus: &Bus, name: &ClusterName, cordoned: bool) -> Result<(), Failure> {
    let answer: Clusters = client::query(bus, "clusters", None, &Request::default()).await?;
    let Some(summary) = answer
        .clusters
        .into_iter()
        .find(|summary| summary.cluster == *name && summary.registered)
    else {
        return Err(Failure::Refused(format!(
            "{name} is not registered; `fleetcast cluster list` lists what there is"
        )));
    };
    let cluster = Cluster {
        cordoned,
        ..Cluster::from(summary)
    };
    register(
        bus,
        &cluster,
        if cordoned {
            "takes nothing new from now on"
        } else {
            "takes new objects again"
        },
    )
    .await
}
