//! `fleetcast schema`: what travels, and what a hub's API server must know.

use fleetcast_core::dialect::native::crds;
use fleetcast_schemas::{catalog, http};
use serde_json::{Value, json};

use crate::args::{Manifests, SchemaCommand};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(command: &SchemaCommand) -> Result<(), Failure> {
    match command {
        SchemaCommand::Events { name } => events(name.as_deref()),
        SchemaCommand::Crds { name, output } => definitions(name.as_deref(), *output),
        SchemaCommand::Openapi => output::print_json(&http::openapi()),
    }
}

fn events(name: Option<&str>) -> Result<(), Failure> {
    match name {
        None => {
            let all: serde_json::Map<String, Value> = catalog::ENTRIES
                .iter()
                .map(|entry| (entry.title(), (entry.schema)().to_value()))
                .collect();
            output::print_json(&all)
        }
        Some(name) => match catalog::ENTRIES
            .iter()
            .find(|entry| entry.title() == name || entry.name == name)
        {
            Some(entry) => output::print_json(&(entry.schema)()),
            None => Err(unknown(
                name,
                catalog::ENTRIES.iter().map(catalog::Entry::title),
            )),
        },
    }
}

fn definitions(name: Option<&str>, output: Manifests) -> Result<(), Failure> {
    let all = crds::definitions();
    let known: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    let wanted: Vec<Value> = all
        .into_iter()
        .filter(|(own, definition)| name.is_none_or(|name| is_named(name, own, definition)))
        .map(|(_, definition)| definition)
        .collect();
    match (wanted.as_slice(), name, output) {
        ([], Some(name), _) => Err(unknown(name, known.into_iter())),
        ([one], Some(_), Manifests::Json) => output::print_json(one),
        (all, _, Manifests::Json) => {
            output::print_json(&json!({"apiVersion": "v1", "kind": "List", "items": all}))
        }
        (all, _, Manifests::Yaml) => {
            for (index, definition) in all.iter().enumerate() {
                if index > 0 {
                    output::print("---\n")?;
                }
                output::print_yaml(definition)?;
            }
            Ok(())
        }
    }
}

/// Whether `name` is a definition's own, or one of those that kubectl would take, in any case.
fn is_named(name: &str, own: &str, definition: &Value) -> bool {
    let names = &definition["spec"]["names"];
    let name = name.to_ascii_lowercase();
    let one = |key: &str| {
        names[key]
            .as_str()
            .is_some_and(|known| known.to_ascii_lowercase() == name)
    };
    let short = names["shortNames"].as_array();
    own == name
        || ["plural", "singular", "kind"].into_iter().any(one)
        || short.is_some_and(|short| short.iter().any(|short| *short == name))
}

fn unknown(name: &str, known: impl Iterator<Item = String>) -> Failure {
    let known: Vec<String> = known.collect();
    Failure::Usage(format!(
        "there is no {name}; known are {}",
        known.join(", ")
    ))
}
