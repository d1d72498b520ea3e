//! `replay --rebuild view`: the aggregator folds the view anew into fresh memory and lets it answer instead.

use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use std::time::Duration;

use crate::args::Document;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::{self, Progress};

pub(super) async fn rebuild(bus: &Bus, format: Document) -> Result<(), Failure> {
    let mut progress = Progress::new("folding", 0);
    let outcome = client::rebuild(bus, |read, of| progress.of(read, of)).await;
    progress.end();
    let rebuilt = outcome?;
    match format {
        Document::Json => return output::print_json(&rebuilt),
        Document::Yaml => return output::print_yaml(&rebuilt),
        Document::Table => {}
    }
    let paint = Paint::stdout();
    let verdict = match &rebuilt.first_difference {
        None => paint.good("equal to what was there"),
        Some(_) => paint.waiting("not what was there"),
    };
    let mut text = format!(
        "view rebuilt, {verdict}: {} rows, digest {}\n",
        rebuilt.rows, rebuilt.digest
    );
    if let Some(difference) = &rebuilt.first_difference {
        text += &format!(
            "  digest before {}\n  first difference: {difference}\n",
            rebuilt.before
        );
    }
    let took = progress::took(rebuilt.read, Duration::from_millis(rebuilt.took_ms));
    text += &format!(
        "{}\n",
        paint.dim(&format!("{} messages in {took}", rebuilt.read))
    );
    output::print(&(text + "next: fleetcast replay --verify\n"))
}
