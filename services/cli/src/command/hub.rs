//! `fleetcast hub diff`: a Kubernetes hub held against the log, and what they do not agree about settled.

use std::collections::BTreeSet;
use std::sync::Arc;

use fleetcast_bus::Bus;
use fleetcast_core::hub::{Difference, Standing};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_hub::Api;
use fleetcast_hub::survey::{self, Survey};
use fleetcast_schemas::request::Answer;
use fleetcast_sealing::{Sealer, Sealing};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args::{BusArgs, HubCommand, HubDiffArgs, Lines};
use crate::command::service;
use crate::failure::Failure;
use crate::outgoing;
use crate::output::{self, Paint, Table};
use crate::sealing;
use crate::submit;

pub(crate) async fn run(bus: &BusArgs, command: &HubCommand) -> Result<(), Failure> {
    match command {
        HubCommand::Diff(args) => {
            let bus = service::bus(bus).await?;
            diff(&bus, args).await
        }
        HubCommand::Import(args) => super::import::run(args).await,
    }
}

impl From<survey::Error> for Failure {
    fn from(error: survey::Error) -> Self {
        match error {
            survey::Error::Bus(error) => error.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}

async fn survey_of(bus: &Bus, args: &HubDiffArgs) -> Result<Survey, Failure> {
    let client = args.hub.client().await.map_err(anyhow::Error::from)?;
    let keys = args
        .sealing_keys
        .as_deref()
        .map(sealing::read)
        .transpose()?;
    let sealing = keys.map(|keys| {
        let rules = args.sealed_fields.clone();
        Sealing::With(Arc::new(Sealer::new(keys, rules)))
    });
    Ok(survey::survey(bus, Api::new(client), sealing).await?)
}

async fn diff(bus: &Bus, args: &HubDiffArgs) -> Result<(), Failure> {
    let mut survey = survey_of(bus, args).await?;
    let to_withdraw = chosen(&survey.differences, &args.withdraw)?;
    let to_take = match args.take_all {
        true => {
            let takes = |one: &&Difference| can_be_taken(&one.standing);
            survey.differences.iter().filter(takes).cloned().collect()
        }
        false => chosen(&survey.differences, &args.take)?,
    };
    let settles = !to_withdraw.is_empty() || !to_take.is_empty() || args.take_all;
    for one in &to_withdraw {
        let (Standing::Vanished, Some(target)) = (&one.standing, &one.target) else {
            return Err(Failure::Refused(format!(
                "{} stands on the hub: delete it there",
                one.place.for_people()
            )));
        };
        said(
            &one.place,
            "withdrawn",
            submit::delete(bus, target, false).await?,
        )?;
    }
    let once = Uuid::now_v7().simple().to_string();
    for one in &to_take {
        if !can_be_taken(&one.standing) {
            return Err(Failure::Refused(format!(
                "{} cannot be taken from the hub: it {}",
                one.place.for_people(),
                word(&one.standing).1
            )));
        }
        let door = outgoing::door(bus).await?;
        let seal = |document: &mut Value, target: &ObjectKey| door.seal(target, document);
        match survey.take(bus, &one.place, &once, seal).await? {
            Some(answer) => said(&one.place, "taken from the hub", answer)?,
            None => {
                return Err(Failure::Refused(format!(
                    "{} is not on the hub any more",
                    one.place.for_people()
                )));
            }
        }
    }
    if settles {
        survey = survey_of(bus, args).await?;
    }
    match args.output {
        Lines::Json => output::print_json(&document(&survey))?,
        Lines::Table => output::print(&table(&survey))?,
    }
    match survey.differences.is_empty() {
        true => Ok(()),
        false => Err(Failure::Said),
    }
}

/// What the log can take from the hub although it says otherwise.
fn can_be_taken(standing: &Standing) -> bool {
    matches!(
        standing,
        Standing::Older | Standing::Elsewhere(_) | Standing::Changed
    )
}

fn chosen(all: &[Difference], wanted: &[ObjectQuery]) -> Result<Vec<Difference>, Failure> {
    let mut chosen = Vec::new();
    for query in wanted {
        let is_meant = |one: &&Difference| {
            query.matches(&one.place) || one.target.as_ref().is_some_and(|key| query.matches(key))
        };
        let found: Vec<&Difference> = all.iter().filter(is_meant).collect();
        match found.as_slice() {
            [one] => chosen.push((*one).clone()),
            [] => {
                return Err(Failure::Refused(
                    "an object that is to be settled does not differ; `fleetcast hub diff` lists those that do"
                        .to_owned(),
                ));
            }
            several => {
                let names: Vec<String> = several.iter().map(|one| one.place.for_people()).collect();
                return Err(Failure::Refused(format!(
                    "an object that is to be settled is ambiguous: {}",
                    names.join(", ")
                )));
            }
        }
    }
    Ok(chosen)
}

fn said(place: &ObjectKey, what: &str, answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Accepted(accepted) => {
            eprintln!(
                "{}: {what}, revision {}",
                place.for_people(),
                accepted.revision
            );
            Ok(())
        }
        Answer::Refused { refusal } => Err(Failure::Refused(format!(
            "{}: {}: {}",
            place.for_people(),
            refusal.field,
            refusal.message
        ))),
    }
}

/// The first of some objects.
fn names(objects: &BTreeSet<ObjectKey>) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = objects
        .iter()
        .take(SHOWN)
        .map(ObjectKey::for_people)
        .collect();
    match objects.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// One word for programs, and what it means.
fn word(standing: &Standing) -> (&'static str, String) {
    match standing {
        Standing::Taken => ("same", "is as the log has it".to_owned()),
        Standing::Changed => (
            "changed",
            "is not in the log as it stands there: the next ingest that watches the hub takes it"
                .to_owned(),
        ),
        Standing::Rests(why) => ("resting", (*why).to_owned()),
        Standing::Deleting => (
            "deleting",
            "is being deleted; its clusters have not all answered, or nobody watches the hub"
                .to_owned(),
        ),
        Standing::Refused(refusal) if refusal.field.is_empty() => {
            ("refused", format!("is refused: {}", refusal.message))
        }
        Standing::Refused(refusal) => (
            "refused",
            format!("is refused: {}: {}", refusal.field, refusal.message),
        ),
        Standing::Elsewhere(source) => (
            "elsewhere",
            format!("was changed by {source} since the hub said so"),
        ),
        Standing::Older => (
            "older",
            "is older than what the log has of it: the hub was restored, perhaps".to_owned(),
        ),
        Standing::Vanished => (
            "vanished",
            "vanished from the hub without a deletion; its copies stay".to_owned(),
        ),
        Standing::Gone => ("gone", "is gone".to_owned()),
    }
}

fn document(survey: &Survey) -> Value {
    let row = |one: &Difference| {
        let (word, message) = word(&one.standing);
        json!({
            "place": one.place, "object": one.target, "standing": word, "message": message,
        })
    };
    let rows: Vec<Value> = survey.differences.iter().map(row).collect();
    let mut document = json!({"same": survey.same, "differences": rows});
    if !survey.uncompared.is_empty() {
        document["uncompared"] = json!(survey.uncompared);
    }
    document
}

fn table(survey: &Survey) -> String {
    let paint = Paint::stdout();
    let mut same = format!(
        "{} objects of the hub are as the log has them\n",
        survey.same
    );
    if !survey.uncompared.is_empty() {
        same += &format!(
            "the values of {} were not compared: that needs the hub's keys (--sealing-keys)\n",
            names(&survey.uncompared)
        );
    }
    if survey.differences.is_empty() {
        return same;
    }
    let mut table = Table::new(&["ON THE HUB", "STANDING", "WHY"]);
    for one in &survey.differences {
        let (word, why) = word(&one.standing);
        let word = match one.standing {
            Standing::Changed | Standing::Rests(_) | Standing::Deleting => paint.waiting(word),
            _ => paint.bad(word),
        };
        table.row(vec![one.place.for_people(), word, why]);
    }
    format!(
        "{}\n{same}next: --withdraw OBJECT for what vanished and is to go, --take OBJECT for what the hub says rightly\n",
        table.text("")
    )
}
