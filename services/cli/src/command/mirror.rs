//! `fleetcast mirror`: a hub's truth copied to another region, and how far that is.

use fleetcast_bus::Bus;
use fleetcast_bus::mirror::{Mirrored, Standing};
use serde_json::{Value, json};

use crate::args::{BusArgs, Lines, MirrorArgs};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint, Table};

pub(crate) async fn run(bus: &BusArgs, args: &MirrorArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    match &args.domain {
        Some(domain) => begin(&bus, domain, args).await,
        None => tell(&bus, args.output).await,
    }
}

async fn begin(bus: &Bus, domain: &str, args: &MirrorArgs) -> Result<(), Failure> {
    let beginning = bus.mirror(domain, usize::from(args.replicas)).await?;
    if args.output == Lines::Json {
        return output::print_json(&json!({
            "domain": domain, "epoch": beginning.epoch, "partitions": beginning.partitions,
        }));
    }
    output::print(&format!(
        "{} the log, the acknowledgements and the bodies of {domain} (epoch {})\nnext: fleetcast mirror, until nothing is missing\n",
        Paint::stdout().good("copying"),
        beginning.epoch
    ))
}

async fn tell(bus: &Bus, format: Lines) -> Result<(), Failure> {
    let standing = bus.standing().await?;
    if standing.mirrored.is_empty() {
        return Err(Failure::Refused(
            "this bus is no mirror: `fleetcast mirror --domain NAME` begins one on a server without a hub".to_owned(),
        ));
    }
    match format {
        Lines::Json => output::print_json(&document(&standing)),
        Lines::Table => output::print(
            &(table(&standing.mirrored) + "next: fleetcast promote, when the hub is lost\n"),
        ),
    }
}

/// The copies as JSON.
pub(super) fn document(standing: &Standing) -> Value {
    let streams: Vec<Value> = standing
        .mirrored
        .iter()
        .map(|one| {
            json!({
                "stream": one.stream, "last": one.last, "lag": one.lag,
                "heard_ms_ago": one.heard.map(|heard| u64::try_from(heard.as_millis()).unwrap_or(u64::MAX)),
            })
        })
        .collect();
    json!({"epoch": standing.beginning.epoch, "streams": streams})
}

/// One line a copy.
pub(super) fn table(mirrored: &[Mirrored]) -> String {
    let paint = Paint::stdout();
    let mut table = Table::new(&["STREAM", "UP TO", "MISSING", "HUB HEARD"]);
    for one in mirrored {
        let missing = match one.lag {
            0 => paint.good("-"),
            lag => paint.waiting(&lag.to_string()),
        };
        let heard = match one.heard {
            None => paint.bad("never"),
            Some(heard) if one.hears() => paint.good(&format!("{}s ago", heard.as_secs())),
            Some(heard) => paint.bad(&format!("{}s ago", heard.as_secs())),
        };
        table.row(vec![
            one.stream.clone(),
            one.last.to_string(),
            missing,
            heard,
        ]);
    }
    table.text("")
}
