//! `fleetcast confirm`: lets a bulk removal go that waits, or keeps the copies; and asks the person at the terminal, for every command that has to.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::held::{Held, Removals};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::confirmation::{Confirmation, Ruling};
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::request::{Accepted, Answer};
use serde_json::json;

use crate::args::{BusArgs, ConfirmArgs, Lines};
use crate::command::{service, wait};
use crate::failure::Failure;
use crate::output::{self, Paint, Table, age};
use crate::submit;

/// How many objects, clusters or namespaces a person is shown.
const SHOWN: usize = 10;

/// Whether the person says yes; where there is no terminal the answer is no.
pub(super) fn agreed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut out = std::io::stderr();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(crate) async fn run(bus: &BusArgs, args: &ConfirmArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    let held: Held = client::query(&bus, "held", None, &Request::default()).await?;
    let Some(id) = args.id.as_ref().filter(|_| !args.list) else {
        return match args.output {
            Lines::Json => output::print_json(&held),
            Lines::Table => output::print(&list(&held.removals)),
        };
    };
    let found = held.removals.iter().find(|removals| removals.id == *id);
    let removals = found.ok_or_else(|| unknown(id, &held.removals))?;
    if args.output == Lines::Table {
        output::print(&describe(removals))?;
    }
    let (ruling, question) = match args.reject {
        false => (Ruling::Remove, "remove these copies?"),
        true => (
            Ruling::Keep,
            "keep these copies, and take Fleetcast's marks off them?",
        ),
    };
    if !args.yes && !agreed(question)? {
        return Err(Failure::Refused(
            "nothing is confirmed; to confirm without being asked, say --yes".to_owned(),
        ));
    }
    let confirmation = Confirmation {
        id: id.clone(),
        upto: held.as_of.log,
        ruling,
    };
    let accepted = hand_in(&bus, &confirmation).await?;
    tell(&confirmation, removals, &accepted, args.output)?;
    if args.wait.wait {
        let objects: Vec<ObjectKey> = removals.objects.keys().cloned().collect();
        let (sequence, timeout) = (accepted.sequence, args.wait.timeout);
        wait::until_gone(&bus, &objects, sequence, timeout, args.output, id).await?;
    }
    Ok(())
}

fn unknown(id: &str, known: &[Removals]) -> Failure {
    let known: Vec<&str> = known.iter().map(|removals| removals.id.as_str()).collect();
    Failure::Refused(match known.is_empty() {
        true => format!("no removal waits for {id}: none waits at all"),
        false => format!("no removal waits for {id}; there are {}", known.join(", ")),
    })
}

async fn hand_in(bus: &Bus, confirmation: &Confirmation) -> Result<Accepted, Failure> {
    let refused = |refusal: fleetcast_core::Refusal| Failure::Refused(refusal.to_string());
    let key = Confirmation::key(&confirmation.id).map_err(refused)?;
    match submit::apply(bus, &key, &confirmation.document()).await? {
        Answer::Accepted(accepted) => Ok(accepted),
        Answer::Refused { refusal } => Err(Failure::Refused(refusal.message)),
    }
}

fn tell(
    confirmation: &Confirmation,
    removals: &Removals,
    accepted: &Accepted,
    format: Lines,
) -> Result<(), Failure> {
    let Confirmation { id, upto, ruling } = confirmation;
    let (copies, objects) = (removals.copies, removals.objects.len());
    if format == Lines::Json {
        return output::print_json_line(&json!({
            "id": id, "ruling": ruling, "up_to": upto, "copies": copies, "objects": objects, "clusters": removals.clusters,
            "namespaces": removals.namespaces, "revision": accepted.revision, "sequence": accepted.sequence,
        }));
    }
    let paint = Paint::stdout();
    let what = match ruling {
        Ruling::Remove => format!("{copies} copies of {objects} objects go now"),
        Ruling::Keep => {
            format!("{copies} copies of {objects} objects stay, without Fleetcast's marks")
        }
    };
    output::print(&format!(
        "{} {what}\nnext: fleetcast get --min-seq {}\n",
        paint.good("confirmed:"),
        accepted.sequence
    ))
}

/// One line an id.
fn list(all: &[Removals]) -> String {
    if all.is_empty() {
        return "no removal waits for a confirmation\n".to_owned();
    }
    let mut table = Table::new(&[
        "ID",
        "OBJECTS",
        "COPIES",
        "CLUSTERS",
        "NAMESPACES",
        "AGE",
        "CAUSED BY",
        "WOULD GO",
    ]);
    for removals in all {
        table.row(vec![
            removals.id.clone(),
            removals.objects.len().to_string(),
            removals.copies.to_string(),
            names(&removals.clusters),
            names(&removals.namespaces),
            age(removals.since),
            removals.by.clone(),
            removals.limit.clone(),
        ]);
    }
    let next = "next: fleetcast confirm ID, or fleetcast confirm ID --reject; what is declared again no longer waits\n";
    table.text("") + next
}

fn names<T: ToString>(counts: &BTreeMap<T, u64>) -> String {
    let name = |name: &T| match name.to_string() {
        name if name.is_empty() => "(none)".to_owned(),
        name => name,
    };
    let mut names: Vec<String> = counts.keys().take(3).map(name).collect();
    if counts.len() > names.len() {
        names.push(format!("and {} more", counts.len() - names.len()));
    }
    names.join(", ")
}

/// What would go.
fn describe(removals: &Removals) -> String {
    let paint = Paint::stdout();
    let Removals {
        id,
        by,
        reason,
        limit,
        since,
        copies,
        clusters,
        namespaces,
        objects,
    } = removals;
    let mut text = format!(
        "{}  caused by {by}, held for {}: {reason}\n{limit} would have gone when the first of them was held\n",
        paint.bold(id),
        age(*since)
    );
    text += &format!(
        "{} of {} objects are to go\n",
        paint.bad(&format!("{copies} copies")),
        objects.len()
    );
    let mut table = Table::new(&["FROM", "COPIES"]);
    let clusters_told = clusters.iter().take(SHOWN);
    for (cluster, count) in clusters_told {
        table.row(vec![format!("cluster {cluster}"), count.to_string()]);
    }
    for (namespace, count) in namespaces.iter().take(SHOWN) {
        let place = match namespace.as_str() {
            "" => "no namespace".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        table.row(vec![place, count.to_string()]);
    }
    text += &table.text("  ");
    for object in objects.keys().take(SHOWN) {
        text += &format!("  {}\n", object.for_people());
    }
    if objects.len() > SHOWN {
        let more = objects.len() - SHOWN;
        text +=
            &format!("  … and {more} more objects (fleetcast confirm --list -o json has all)\n");
    }
    text
}
