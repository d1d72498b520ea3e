//! `fleetcast replay`: everything read again from the log, to compare it with what is there or to rebuild that.

mod cluster;
pub(crate) mod fold;
pub(crate) mod verify;
mod view;
mod work;

use fleetcast_bus::Bus;

use crate::args::{BusArgs, Rebuild, ReplayArgs};
use crate::command::service;
use crate::failure::Failure;

pub(crate) async fn run(bus: &BusArgs, args: &ReplayArgs) -> Result<(), Failure> {
    let bus: Bus = service::bus(bus).await?;
    if let Some(name) = &args.cluster {
        return cluster::replay(&bus, name, args.output).await;
    }
    match (args.verify, args.rebuild) {
        (_, Some(Rebuild::View)) => view::rebuild(&bus, args.output).await,
        (_, Some(Rebuild::Work)) => work::rebuild(&bus, args.output).await,
        (_, None) => verify::run(&bus, args.output).await,
    }
}
