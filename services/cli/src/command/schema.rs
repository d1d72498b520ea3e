//! `fleetcast schema`: what travels.

use fleetcast_schemas::catalog;

use crate::args::SchemaCommand;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(command: &SchemaCommand) -> Result<(), Failure> {
    let SchemaCommand::Events { name } = command;
    match name {
        None => {
            let all: serde_json::Map<String, serde_json::Value> = catalog::ENTRIES
                .iter()
                .map(|entry| (entry.title(), (entry.schema)().to_value()))
                .collect();
            output::print_json(&all)
        }
        Some(name) => match catalog::ENTRIES
            .iter()
            .find(|entry| entry.title() == *name || entry.name == name)
        {
            Some(entry) => output::print_json(&(entry.schema)()),
            None => {
                let known: Vec<String> =
                    catalog::ENTRIES.iter().map(catalog::Entry::title).collect();
                Err(Failure::Usage(format!(
                    "there is no {name}; known are {}",
                    known.join(", ")
                )))
            }
        },
    }
}
