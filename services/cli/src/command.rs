//! What each command does, one file each.

mod appended;
mod apply;
pub(crate) mod auth;
mod backup;
mod bench;
mod cluster;
mod confirm;
mod delete;
mod demo;
mod diff;
mod events;
mod explain;
mod get;
mod history;
mod hub;
mod import;
mod mirror;
mod plan;
mod promote;
mod ready;
mod replay;
mod restore;
mod retain;
mod rollback;
mod schema;
mod sealing;
pub(crate) mod service;
mod tls;
mod up;
mod wait;
mod watch;

use clap::CommandFactory;

use crate::args::{Args, Command};
use crate::failure::Failure;

/// Carries out what was typed.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Args {
        bus,
        log: _,
        log_json: _,
        command,
    } = args;
    if let Some(to) = &bus.outgoing.seal_to {
        crate::outgoing::seal_to(to.clone());
    }
    match command {
        Command::Up(up) => up::run(&up).await,
        Command::Demo(demo) => demo::run(&bus, &demo).await,
        Command::Ingest(ingest) => service::ingest(&bus, ingest).await,
        Command::Agent(agent) => service::agent(&bus, agent).await,
        Command::Aggregator(aggregator) => service::aggregator(&bus, aggregator).await,
        Command::Ready(args) => ready::run(&args).await,
        Command::Apply(apply) => apply::run(&bus, &apply).await,
        Command::Delete(delete) => delete::run(&bus, &delete).await,
        Command::Confirm(confirm) => confirm::run(&bus, &confirm).await,
        Command::Plan(plan) => plan::run(&bus, &plan).await,
        Command::Get(get) => get::run(&bus, &get).await,
        Command::Explain(explain) => explain::run(&bus, &explain).await,
        Command::History(history) => history::run(&bus, &history).await,
        Command::Diff(diff) => diff::run(&bus, &diff).await,
        Command::Rollback(rollback) => rollback::run(&bus, &rollback).await,
        Command::Replay(replay) => replay::run(&bus, &replay).await,
        Command::Backup(backup) => backup::run(&bus, &backup).await,
        Command::Restore(restore) => restore::run(&bus, &restore).await,
        Command::Retain(retain) => retain::run(&bus, &retain).await,
        Command::Mirror(mirror) => mirror::run(&bus, &mirror).await,
        Command::Promote(promote) => promote::run(&bus, &promote).await,
        Command::Watch(watch) => watch::run(&bus, &watch).await,
        Command::Events(events) => events::run(&bus, &events).await,
        Command::Cluster(cluster) => cluster::run(&bus, &cluster).await,
        Command::Auth(auth) => auth::run(&bus, &auth).await,
        Command::Tls(tls) => tls::run(&tls),
        Command::Hub(hub) => hub::run(&bus, &hub).await,
        Command::Import(import) => import::run(&import).await,
        Command::Bench(bench) => bench::run(&bus, *bench).await,
        Command::Sealing { command } => sealing::run(&command),
        Command::Schema(schema) => schema::run(&schema),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Args::command(),
                "fleetcast",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}
