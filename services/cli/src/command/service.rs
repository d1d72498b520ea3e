//! `fleetcast ingest | agent | aggregator`: one service alone, against any bus.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fleetcast_agent::cluster::Reporting;
use fleetcast_bus::Bus;
use fleetcast_bus::streams::Layout;
use fleetcast_core::health::{Rules, rules};
use fleetcast_endpoint::{Access, Door, Health, Listener};
use fleetcast_kubernetes::credentials;
use tokio::sync::watch;
use uuid::Uuid;

use crate::args::{AgentArgs, AggregatorArgs, BusArgs, HealthArgs, HttpArgs, IngestArgs};
use crate::connection;
use crate::failure::Failure;
use crate::sealing;
use crate::statuses::write_statuses;

pub(crate) async fn ingest(bus: &BusArgs, args: IngestArgs) -> Result<(), Failure> {
    let health = health(&args.health, &[])?;
    let http = listen(&args.http, &health)?;
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
        sealing: sealing::of_ingest(&args.sealing, bus)?,
        http,
        health: health.clone(),
    };
    let stop = stop(&health);
    let Some(address) = args.hub else {
        return Ok(fleetcast_ingest::run(options, stop).await?);
    };
    let client = address.client().await.map_err(anyhow::Error::from)?;
    let hub = fleetcast_hub::Options {
        bus: connection::options(bus, "hub"),
        client,
        directory: options.directory.clone(),
        identity: options.identity.clone(),
        sealing: options.sealing.clone(),
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
    let labels = [("cluster", args.cluster.to_string())];
    let health = health(&args.health, &labels)?;
    let options = fleetcast_agent::Options {
        bus: connection::options(bus, &format!("agent {}", args.cluster)),
        cluster: args.cluster,
        partitions: args.partitions,
        client,
        reporting,
        state: args.state,
        measure_every: (args.measure_every > 0).then(|| Duration::from_secs(args.measure_every)),
        sealing_keys: Arc::new(sealing::of_agent(args.sealing.sealing_key.as_deref(), bus)?),
        identity: args.identity.unwrap_or_else(host_name),
        health: health.clone(),
        namespace: args.namespace,
        creds_secret: args.creds_secret,
    };
    fleetcast_agent::run(options, stop(&health))
        .await
        .map_err(|error| Failure::Refused(error.to_string()))
}

pub(crate) async fn aggregator(bus: &BusArgs, args: AggregatorArgs) -> Result<(), Failure> {
    let health = health(&args.health, &[])?;
    let http = listen(&args.http, &health)?;
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
        http,
        health: health.clone(),
    };
    fleetcast_aggregator::run(options, stop(&health))
        .await
        .map_err(|error| Failure::Refused(error.to_string()))
}

/// Tells how the process does, where that is asked for: until it ends, also while it stops.
fn health(args: &HealthArgs, labels: &[(&'static str, String)]) -> Result<Health, Failure> {
    let health = Health::new(args.ready_lag, labels);
    if let Some(address) = args.health {
        let options = fleetcast_endpoint::Options {
            // Nothing here is a secret, and probes and Prometheus ask in plain text.
            plain_text: true,
            ..fleetcast_endpoint::Options::new(address)
        };
        let listener =
            Listener::bind(&options).map_err(|error| Failure::Usage(error.to_string()))?;
        tracing::info!(address = %listener.address(), "telling how it does: /healthz, /readyz, /metrics");
        let told = health.clone();
        tokio::spawn(async move {
            let (_never, stop) = watch::channel(false);
            told.serve(listener, stop).await;
        });
    }
    Ok(health)
}

/// Listens for HTTP, where that is asked for.
fn listen(args: &HttpArgs, health: &Health) -> Result<Option<Arc<Door>>, Failure> {
    let (Some(address), Some(tokens)) = (args.http, args.http_tokens.clone()) else {
        return Ok(None);
    };
    let files = args.http_tls_cert.clone().zip(args.http_tls_key.clone());
    let tls = files.map(|(cert, key)| fleetcast_endpoint::tls::Tls {
        cert,
        key,
        client_ca: args.http_tls_client_ca.clone(),
    });
    let options = fleetcast_endpoint::Options {
        plain_text: args.http_plain_text,
        tls,
        ..fleetcast_endpoint::Options::new(address)
    };
    let access = Access::open(&tokens, args.http_rate).map_err(|error| {
        Failure::Usage(format!(
            "{error}\nnext: fleetcast auth token issue NAME --file {}",
            tokens.display()
        ))
    })?;
    let listener = Listener::bind(&options).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Some(Arc::new(Door::new(listener, access, health.clone()))))
}

/// Reads a file of health rules.
fn health_rules(path: &Path) -> Result<Rules, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the health rules {}", path.display()))?;
    let file: rules::File = serde_saphyr::from_str(&text)
        .with_context(|| format!("the health rules {} cannot be read", path.display()))?;
    Rules::read(&file).map_err(|refusal| Failure::Refused(format!("{}: {refusal}", path.display())))
}

/// Turns true when somebody asks the process to stop; then it is not ready any more.
fn stop(health: &Health) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let health = health.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        tracing::info!("stopping");
        health.stops();
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
