//! `fleetcast get --strays`: what is ours in clusters and in nobody's work.

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::strays::{ClusterStrays, Strays};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;

use crate::args::{Format, GetArgs};
use crate::failure::Failure;
use crate::output::{self, Paint, Table, age};

pub(super) async fn run(bus: &Bus, args: &GetArgs) -> Result<(), Failure> {
    let request = Request {
        min_log: args.min_seq,
        cluster: args.cluster.clone(),
        ..Request::default()
    };
    let answer: Strays = client::query(bus, "strays", None, &request).await?;
    match args.output {
        Format::Json => output::print_json(&answer),
        Format::Yaml => output::print_yaml(&answer),
        Format::Table | Format::Wide => output::print(&table(&answer.clusters)),
    }
}

/// One line a stray, and what to do about them.
fn table(clusters: &[ClusterStrays]) -> String {
    if clusters.is_empty() {
        return "no cluster tells of a stray\n".to_owned();
    }
    let paint = Paint::stdout();
    let mut table = Table::new(&["CLUSTER", "OBJECT", "TOLD"]);
    for strays in clusters {
        let told = format!("{} ago", age(strays.told));
        for object in &strays.objects {
            let cells = [
                strays.cluster.to_string(),
                object.for_people(),
                told.clone(),
            ];
            table.row(cells.into());
        }
        let unnamed = strays.count.saturating_sub(strays.objects.len() as u64);
        if unnamed > 0 {
            let least = if strays.more { "at least " } else { "" };
            let more = paint.dim(&format!("and {least}{unnamed} more"));
            table.row(vec![strays.cluster.to_string(), more, told]);
        }
    }
    table.text("")
        + "\nThese carry Fleetcast's marks, and no decision puts them there; Fleetcast does not touch them.\n\
           Declare one again to have it managed (fleetcast apply), or delete it in its cluster (kubectl delete).\n"
}
