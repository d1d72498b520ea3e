//! `fleetcast diff`: two revisions of an object field by field, or what they became in one cluster.

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::past::{Comparison, Side};
use fleetcast_aggregator::client;
use fleetcast_core::diff::Difference;
use fleetcast_schemas::envelope::format_time;
use serde_json::Value;

use crate::args::{BusArgs, DiffArgs, Document};
use crate::command::service;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::select;

pub(crate) async fn run(bus: &BusArgs, args: &DiffArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let object = select::one(&bus, &args.object, &Request::default()).await?;
    let request = Request {
        from: args.from,
        to: args.to,
        cluster: args.cluster.clone(),
        ..Request::default()
    };
    let compared: Comparison = client::query(&bus, "diff", Some(&object), &request).await?;
    match args.output {
        Document::Json => output::print_json(&compared)?,
        Document::Yaml => output::print_yaml(&compared)?,
        Document::Table => output::print(&describe(&compared))?,
    }
    if compared.differences.is_empty() {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

fn describe(compared: &Comparison) -> String {
    let paint = Paint::stdout();
    let within = compared
        .cluster
        .as_ref()
        .map(|cluster| format!(" in {cluster}"))
        .unwrap_or_default();
    let side = |side: &Side| {
        let why = match side.exists {
            true => String::new(),
            false => format!(" (nothing: {})", side.why),
        };
        format!(
            "revision {} of {}{why}",
            side.revision,
            format_time(side.time)
        )
    };
    let mut text = format!("{}{within}\n", paint.bold(&compared.name));
    text += &format!("{}\n", paint.bad(&format!("--- {}", side(&compared.from))));
    text += &format!("{}\n", paint.good(&format!("+++ {}", side(&compared.to))));
    for Difference { field, from, to } in &compared.differences {
        let field = match field.as_str() {
            "" => "(everything)",
            field => field,
        };
        text += &format!("{field}\n");
        if let Some(from) = from {
            text += &format!("  {}\n", paint.bad(&format!("- {}", short(from))));
        }
        if let Some(to) = to {
            text += &format!("  {}\n", paint.good(&format!("+ {}", short(to))));
        }
    }
    if compared.differences.is_empty() {
        text += "nothing differs\n";
    }
    text
}

/// A value on one line.
fn short(value: &Value) -> String {
    const LONGEST: usize = 500;
    let text = match value {
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} … (-o json has all)", &text[..end]),
        None => text,
    }
}
