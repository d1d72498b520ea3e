//! `fleetcast ingest | agent | aggregator`: one service alone, against any bus.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fleetcast_agent::cluster::Reporting;
use fleetcast_bus::Bus;
use fleetcast_bus::streams::Layout;
use fleetcast_core::health::{Rules, rules};
use fleetcast_endpoint::Listener;
use fleetcast_kubernetes::credentials;
use tokio::sync::watch;
use uuid::Uuid;

use crate::args::{AgentArgs, AggregatorArgs, BusArgs, HttpArgs, IngestArgs};
use crate::connection;
use crate::failure::Failure;
use crate::statuses::write_statuses;

pub(crate) async fn ingest(bus: &BusArgs, args: IngestArgs) -> Result<(), Failure> {
    let http = listen(&args.http)?;
    let options = fleetcast_ingest::Options {
        bus: connection::options(bus, "ingest"),
        directory: args.state,
        identity: args.identity.unwrap_or_else(|| Uuid::now_v7().to_string()),
        layout: Layout {
            partitions: args.partitions,
            replicas: usize::from(args.replicas),
        },
        offline_after: Duration::from_secs(args.offline_after),
        bulk_removals: args.bulk_removals,
        http,
    };
    let stop = stop();
    let Some(address) = args.hub else {
        return Ok(fleetcast_ingest::run(options, stop).await?);
    };
    let client = address.client().await.map_err(anyhow::Error::from)?;
    let hub = fleetcast_hub::Options {
        bus: connection::options(bus, "hub"),
        client,
        directory: options.directory.clone(),
        identity: options.identity.clone(),
    };
    tokio::try_join!(
        fleetcast_ingest::run(options, stop.clone()),
        fleetcast_hub::run(hub, stop)
    )?;
    Ok(())
}

pub(crate) async fn agent(bus: &BusArgs, args: AgentArgs) -> Result<(), Failure> {
    let source = credentials::Source {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
    };
    let client = credentials::client(source)
        .await
        .map_err(anyhow::Error::from)?;
    let reporting = Reporting {
        rules: match &args.health_rules {
            Some(path) => health_rules(path)?,
            None => Rules::default(),
        },
        status_limit_bytes: args.status_limit,
    };
    let options = fleetcast_agent::Options {
        bus: connection::options(bus, &format!("agent {}", args.cluster)),
        cluster: args.cluster,
        partitions: args.partitions,
        client,
        reporting,
        state: args.state,
        measure_every: (args.measure_every > 0).then(|| Duration::from_secs(args.measure_every)),
        identity: args.identity.unwrap_or_else(host_name),
    };
    fleetcast_agent::run(options, stop())
        .await
        .map_err(|error| Failure::Refused(error.to_string()))
}

pub(crate) async fn aggregator(bus: &BusArgs, args: AggregatorArgs) -> Result<(), Failure> {
    let statuses = match &args.hub {
        Some(hub) => {
            let writer = fleetcast_hub::status::Options {
                bus: connection::options(bus, "status"),
                client: hub.client().await.map_err(anyhow::Error::from)?,
                identity: args.identity.unwrap_or_else(|| Uuid::now_v7().to_string()),
            };
            Some(write_statuses(writer))
        }
        None => None,
    };
    let options = fleetcast_aggregator::Options {
        bus: connection::options(bus, "aggregator"),
        directory: args.state,
        statuses,
    };
    fleetcast_aggregator::run(options, stop())
        .await
        .map_err(|error| Failure::Refused(error.to_string()))
}

/// Listens for HTTP, where that is asked for.
fn listen(args: &HttpArgs) -> Result<Option<Arc<Listener>>, Failure> {
    let (Some(address), Some(tokens)) = (args.http, args.http_tokens.clone()) else {
        return Ok(None);
    };
    let options = fleetcast_endpoint::Options {
        address,
        tokens,
        plain_text: args.http_plain_text,
    };
    let listener = Listener::bind(&options).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Some(Arc::new(listener)))
}

/// Reads a file of health rules.
fn health_rules(path: &Path) -> Result<Rules, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the health rules {}", path.display()))?;
    let file: rules::File = serde_saphyr::from_str(&text)
        .with_context(|| format!("the health rules {} cannot be read", path.display()))?;
    Rules::read(&file).map_err(|refusal| Failure::Refused(format!("{}: {refusal}", path.display())))
}

/// Turns true when somebody asks the process to stop.
fn stop() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        asked_to_stop().await;
        tracing::info!("stopping");
        sender.send_replace(true);
        // A second request is an order.
        asked_to_stop().await;
        std::process::exit(130);
    });
    receiver
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(
        |_| Uuid::now_v7().to_string(),
        |name| name.trim().to_owned(),
    )
}

/// Connects a command to the bus.
pub(crate) async fn bus(args: &BusArgs) -> Result<Bus, Failure> {
    connection::connect(args).await
}
