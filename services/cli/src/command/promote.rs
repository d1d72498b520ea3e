//! `fleetcast promote`: a mirror, or one of two hubs, becomes the hub that agents follow, by a new epoch.

use fleetcast_bus::mirror::Standing;
use serde_json::json;
use uuid::Uuid;

use crate::args::{BusArgs, Lines, PromoteArgs};
use crate::command::{mirror, service};
use crate::failure::Failure;
use crate::output::{self, Paint};

pub(crate) async fn run(bus: &BusArgs, args: &PromoteArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let standing = bus.standing().await?;
    if !args.force {
        refuse(&standing)?;
    }
    let hub = Uuid::now_v7().simple().to_string();
    let (epoch, sequence) = bus.promote(hub, args.above).await?;
    if args.output == Lines::Json {
        return output::print_json(&json!({
            "epoch": epoch, "log": sequence, "before": standing.beginning.epoch, "mirror": mirror::document(&standing),
        }));
    }
    let paint = Paint::stdout();
    let mut text = match standing.mirrored.as_slice() {
        [] => String::new(),
        mirrored => mirror::table(mirrored),
    };
    text += &format!(
        "{}: epoch {epoch} begins at log {sequence}, after {}\n",
        paint.good("promoted"),
        standing.beginning.epoch
    );
    text += "next: cut the line to the old hub, start `fleetcast ingest` and `fleetcast aggregator` here and point the agents to this bus;\n      \
             then `fleetcast restore --ahead` for what clusters hold newer than was copied\n";
    output::print(&text)
}

/// Refuses to take over from a hub that lives, or without what it still has.
fn refuse(standing: &Standing) -> Result<(), Failure> {
    let behind = standing.mirrored.iter().find(|one| one.lag > 0);
    if let Some(behind) = behind {
        return Err(Failure::Refused(format!(
            "{} lacks {} messages of the hub's; `fleetcast mirror` tells how far it is. What is not copied is lost: --force promotes all the same",
            behind.stream, behind.lag
        )));
    }
    match standing.mirrored.iter().find(|one| one.hears()) {
        Some(one) => Err(Failure::Refused(format!(
            "{} heard its hub just now: two hubs would tell two histories. Stop that one first, or say --force",
            one.stream
        ))),
        None => Ok(()),
    }
}
