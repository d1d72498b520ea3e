//! `fleetcast cluster`: the members of the fleet.

mod certificate;
mod join;
mod kinds;
mod manifest;
mod member;
mod remove;

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

pub(crate) async fn run(arguments: &BusArgs, command: &ClusterCommand) -> Result<(), Failure> {
    let bus = match command {
        // It says what it would do without a bus.
        ClusterCommand::Join(args) => return join::run(arguments, args).await,
        _ => service::bus(arguments).await?,
    };
    match command {
        ClusterCommand::Join(_) => Ok(()),
        ClusterCommand::List { output } => list(&bus, *output).await,
        ClusterCommand::Register {
            name,
            registration,
            sealing: ClusterSealingArgs { sealing_key },
        } => {
            let cluster = match sealing_key {
                Some(key) if registration.is_empty() => sealing::keyed(&bus, name, key).await?,
                key => Cluster {
                    sealing_key: key.clone(),
                    ..registration.of(name)
                },
            };
            register(&bus, &cluster, "registered").await?;
            output::print(&format!(
                "next: fleetcast cluster join {name} | kubectl apply -f -\n"
            ))
        }
        ClusterCommand::Cordon { name } => set_cordoned(&bus, name, true).await,
        ClusterCommand::Uncordon { name } => set_cordoned(&bus, name, false).await,
        ClusterCommand::Remove(args) => remove::run(arguments, &bus, args).await,
    }
}

async fn list(bus: &Bus, format: Format) -> Result<(), Failure> {
    let answer: Clusters = client::query(bus, "clusters", None, &Request::default()).await?;
    match format {
        Format::Json => output::print_json(&answer),
        Format::Yaml => output::print_yaml(&answer),
        Format::Table | Format::Wide if answer.clusters.is_empty() => output::print(
            "no cluster is registered yet; next: fleetcast cluster join NAME | kubectl apply -f -\n",
        ),
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
    let sequence = hand_in(bus, cluster).await?;
    output::print(&format!("{} {what} (log {sequence})\n", cluster.name))
}

/// Registers a cluster: where that stands in the log.
async fn hand_in(bus: &Bus, cluster: &Cluster) -> Result<u64, Failure> {
    let key = ObjectKey::of_cluster(&cluster.name);
    match submit::apply(bus, &key, &cluster.document()).await? {
        Answer::Accepted(accepted) => Ok(accepted.sequence),
        Answer::Refused { refusal } => Err(Failure::Refused(format!(
            "{}: {}",
            refusal.field, refusal.message
        ))),
    }
}

/// What the view says of a cluster; none where it knows of none.
async fn summary(bus: &Bus, name: &ClusterName) -> Result<Option<ClusterSummary>, Failure> {
    summary_with(bus, name, &Request::default()).await
}

/// The same, of a view as `request` wants it.
async fn summary_with(
    bus: &Bus,
    name: &ClusterName,
    request: &Request,
) -> Result<Option<ClusterSummary>, Failure> {
    let answer: Clusters = client::query(bus, "clusters", None, request).await?;
    let mut all = answer.clusters.into_iter();
    Ok(all.find(|summary| summary.cluster == *name))
}

async fn set_cordoned(bus: &Bus, name: &ClusterName, cordoned: bool) -> Result<(), Failure> {
    let summary = summary(bus, name).await?;
    let Some(summary) = summary.filter(|summary| summary.registered) else {
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
