//! `fleetcast delete`: withdraws objects.

use fleetcast_aggregator::answer::Request;
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::request::Answer;

use crate::args::{BusArgs, DeleteArgs, Lines};
use crate::command::apply::{Tally, refused};
use crate::command::{service, wait};
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::select;
use crate::submit::{self, Announcement};

pub(crate) async fn run(bus: &BusArgs, args: &DeleteArgs) -> Result<(), Failure> {
    let bus = service::bus(bus).await?;
    if args.filename.is_empty() {
        return by_name(&bus, args).await;
    }
    let mut tally = Tally::default();
    let documents = submit::read(&args.filename, &[])?;
    let keys = documents.iter().filter_map(|document| {
        let (key, _) = document.content.as_ref().ok()?;
        Some(key)
    });
    let all = Announcement::of(keys);
    for document in documents {
        let answer = match &document.content {
            Ok((key, _)) => withdraw(&bus, key, args, &all).await?,
            Err(refusal) => refused(&document, refusal.field.clone(), refusal.message.clone()),
        };
        tally.note(&document, answer, args.output)?;
    }
    tally.finish(&bus, &args.wait, args.output).await
}

/// Withdraws an object, one of `all`.
async fn withdraw(
    bus: &fleetcast_bus::Bus,
    key: &ObjectKey,
    args: &DeleteArgs,
    all: &Announcement,
) -> Result<Answer, fleetcast_bus::Error> {
    match args.orphan {
        // What stays needs no confirmation.
        true => submit::delete(bus, key, true).await,
        false => submit::delete_together(bus, key, all).await,
    }
}

async fn by_name(bus: &fleetcast_bus::Bus, args: &DeleteArgs) -> Result<(), Failure> {
    let mut withdrawn = Vec::new();
    let mut sequence = 0;
    let mut keys = Vec::new();
    for text in &args.objects {
        keys.push(select::one(bus, text, &Request::default()).await?);
    }
    let all = Announcement::of(keys.iter());
    for (text, key) in args.objects.iter().zip(keys) {
        let answer = withdraw(bus, &key, args, &all).await?;
        if args.output == Lines::Json {
            output::print_json_line(&answer)?;
        }
        match answer {
            Answer::Refused { refusal } => {
                return Err(Failure::Refused(format!("{text}: {}", refusal.message)));
            }
            Answer::Accepted(accepted) => {
                if args.output == Lines::Table {
                    let paint = Paint::stdout();
                    output::print(&format!(
                        "{} withdrawn in revision {}\n",
                        paint.bold(&key.for_people()),
                        accepted.revision
                    ))?;
                }
                sequence = sequence.max(accepted.sequence);
                withdrawn.push(key);
            }
        }
    }
    if args.wait.wait {
        wait::until_settled(bus, &withdrawn, sequence, args.wait.timeout, args.output).await?;
    }
    Ok(())
}
