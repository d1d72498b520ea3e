//! `fleetcast bench`: the load generator that the published numbers come from.
//!
//! Each workload is one file with a `run`; it gets a [`rig::Rig`] (NATS server, ingest, aggregator and the simulated members, each a process
//! of its own) and gives a document of figures, printed as a table or as JSON. Simulated members are labelled so.
//!
//! | workload | file |
//! |---|---|
//! | KubeFleet's: many placements to many clusters | [`fanout`] |
//! | Maestro's rounds: bundles to one agent | [`burst`] |
//! | Deployments to three clusters, created and updated | [`apply`] |
//! | a cluster that is away while changes go in | [`away`] |
//! | the status of many objects at once | [`health`] |
//! | one change at a time | [`latency`] |
//! | acknowledgements folded, rows listed | [`status`] |
//! | ingest, aggregator and NATS server killed, and how long until a new change flows | [`restart`] |
//! | a log replayed, asked about its past, backed up, restored, cut | [`replay`], over a [`past`] |
//! | many agents on one bus | [`agents`] |
//! | one agent process, by how much its cluster holds | [`agent`] |
//! | what one copy costs by the size of everything, as curves | [`growth`], [`chart`] |
//! | what the parts can do alone | [`limits`] |

mod agent;
mod agents;
mod apply;
mod away;
mod burst;
mod chart;
mod deployed;
mod documents;
mod fanout;
mod figures;
mod growth;
mod health;
mod hops;
mod latency;
mod limits;
mod load;
mod members;
mod past;
mod replay;
mod restart;
mod rig;
mod settle;
mod status;
mod tracker;

use anyhow::bail;
use serde_json::Value;

use crate::args::BusArgs;
use crate::args::bench::{BenchArgs, Form, Workload};
use crate::command::service;
use crate::connection;
use crate::failure::Failure;
use crate::output;

/// Runs a workload and prints its figures; Ctrl-C and SIGTERM end its processes, too.
pub(crate) async fn run(bus: &BusArgs, args: BenchArgs) -> Result<(), Failure> {
    let mut workload = args.workload;
    if let Some(common) = workload.common_mut() {
        // Only where a bus is named: the run's own asks for nothing.
        let named = common.nats.clone().map(|url| BusArgs {
            nats: Some(url),
            ..bus.clone()
        });
        common.connect = named.map(|bus| connection::options(&bus, "bench"));
    }
    let measured = match workload {
        Workload::Members(members) => return members::run(bus, members).await,
        workload => tokio::select! {
            measured = measure(workload) => measured?,
            () = service::asked_to_stop() => {
                return Err(anyhow::anyhow!("interrupted; its processes were stopped").into());
            }
        },
    };
    match measured {
        (Form::Json, figures) => output::print_json(&figures),
        (Form::Table, figures) => output::print(&figures::table(&figures)),
    }
}

async fn measure(workload: Workload) -> anyhow::Result<(Form, Value)> {
    Ok(match workload {
        Workload::Members(_) => bail!("members measure nothing"),
        Workload::Fanout(args) => (args.common.output, fanout::run(&args).await?),
        Workload::Burst(args) => (args.common.output, burst::run(&args).await?),
        Workload::Apply(args) => (args.common.output, apply::run(&args).await?),
        Workload::Away(args) => (args.common.output, away::run(&args).await?),
        Workload::Health(args) => (args.common.output, health::run(&args).await?),
        Workload::Latency(args) => (args.common.output, latency::run(&args).await?),
        Workload::Status(args) => (args.common.output, status::run(&args).await?),
        Workload::Restart(args) => (args.common.output, restart::run(&args).await?),
        Workload::Replay(args) => (args.common.output, replay::run(&args).await?),
        Workload::Agent(args) => (args.common.output, agent::run(&args).await?),
        Workload::Agents(args) => (args.common.output, agents::run(&args).await?),
        Workload::Growth(args) => (args.common.output, growth::run(&args).await?),
    })
}
