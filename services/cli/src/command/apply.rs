//! `fleetcast apply`: hands in changes.

use std::collections::BTreeSet;

use fleetcast_aggregator::answer::{Clusters, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::dialect::policies;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::placement::Exclusion;
use fleetcast_schemas::request::{Accepted, Answer, DocumentRefusal};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::args::{ApplyArgs, BusArgs, Lines, WaitArgs};
use crate::command::{service, wait};
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::submit::{self, Document};

/// How many documents are under way at the same time.
const AT_ONCE: usize = 64;

pub(crate) async fn run(bus: &BusArgs, args: &ApplyArgs) -> Result<(), Failure> {
    let documents = submit::read(&args.filename, &args.clusters)?;
    if documents.is_empty() {
        return Err(Failure::Refused(
            "there is no document in what was given".to_owned(),
        ));
    }
    let bus = service::bus(bus).await?;
    if !args.clusters.is_empty() {
        refuse_unknown(&bus, &args.clusters).await?;
    }
    let mut tally = Tally::default();
    let answers = documents.into_iter().map(|document| {
        let bus = &bus;
        async move {
            let answer = match &document.content {
                Err(refusal) => Ok(refused(
                    &document,
                    refusal.field.clone(),
                    refusal.message.clone(),
                )),
                Ok((key, value)) => submit::apply(bus, key, value).await,
            };
            (document, answer)
        }
    });
    let mut answers = futures::stream::iter(answers).buffered(AT_ONCE);
    while let Some((document, answer)) = answers.next().await {
        tally.note(&document, answer?, args.output)?;
    }
    tally.finish(&bus, &args.wait, args.output).await
}

/// A cluster named on the command line that is not registered is a slip of the pen: nothing is handed in.
async fn refuse_unknown(bus: &Bus, named: &[ClusterName]) -> Result<(), Failure> {
    let known: Clusters = client::query(bus, "clusters", None, &Request::default()).await?;
    let known: BTreeSet<&ClusterName> = known
        .clusters
        .iter()
        .filter(|cluster| cluster.registered)
        .map(|cluster| &cluster.cluster)
        .collect();
    let unknown: Vec<&str> = named
        .iter()
        .filter(|name| !known.contains(name))
        .map(ClusterName::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
    Err(Failure::Refused(format!(
        "--clusters: {} is not registered; known are {}. Nothing was handed in",
        unknown.join(", "),
        if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        }
    )))
}

pub(crate) fn refused(document: &Document, field: String, message: String) -> Answer {
    Answer::Refused {
        refusal: DocumentRefusal {
            document: document.index,
            field,
            message,
        },
    }
}

/// What became of what was handed in.
#[derive(Default)]
pub(crate) struct Tally {
    accepted: Vec<ObjectKey>,
    sequence: u64,
    refused: usize,
    refused_in_clusters: usize,
}

impl Tally {
    /// Prints one answer and counts it.
    pub(crate) fn note(
        &mut self,
        document: &Document,
        answer: Answer,
        output: Lines,
    ) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let place = document.place();
        if output == Lines::Json {
            let mut line = serde_json::to_value(&answer).map_err(anyhow::Error::from)?;
            line["file"] = Value::from(document.file.clone());
            match line.get_mut("refusal") {
                Some(refusal) => refusal["document"] = json!(document.index),
                None => line["document"] = json!(document.index),
            }
            output::print_json_line(&line)?;
        }
        match answer {
            Answer::Accepted(accepted) => {
                self.sequence = self.sequence.max(accepted.sequence);
                let failing = accepted
                    .warnings
                    .iter()
                    .filter(|warning| warning.reason == Exclusion::Refused)
                    .map(|warning| warning.count)
                    .sum::<usize>();
                self.refused_in_clusters += failing;
                if output == Lines::Table {
                    output::print(&describe(&accepted, paint))?;
                }
                // A policy is nowhere itself: what it places is.
                if accepted.revision > 0 && !policies::is_policy(&accepted.object) {
                    self.accepted.push(accepted.object);
                }
            }
            Answer::Refused { refusal } => {
                self.refused += 1;
                if output == Lines::Table {
                    let field = if refusal.field.is_empty() {
                        String::new()
                    } else {
                        format!("{}: ", refusal.field)
                    };
                    output::print(&format!(
                        "{} {place}: {field}{}\n",
                        paint.bad("refused"),
                        refusal.message
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// Waits if asked, and says what to do next; the command fails if anything was refused.
    pub(crate) async fn finish(
        self,
        bus: &Bus,
        wait: &WaitArgs,
        output: Lines,
    ) -> Result<(), Failure> {
        if wait.wait {
            wait::until_settled(bus, &self.accepted, self.sequence, wait.timeout, output).await?;
        }
        if output == Lines::Table
            && !wait.wait
            && let Some(object) = self.accepted.first()
        {
            let next = if self.accepted.len() == 1 {
                format!("fleetcast get {}", object.for_people())
            } else {
                "fleetcast get".to_owned()
            };
            output::print(&format!(
                "{}\n",
                Paint::stdout().dim(&format!("next: {next}"))
            ))?;
        }
        if self.refused + self.refused_in_clusters > 0 {
            Err(Failure::Said)
        } else {
            Ok(())
        }
    }
}

fn describe(accepted: &Accepted, paint: Paint) -> String {
    let Accepted {
        object,
        revision,
        sequence,
        warnings,
    } = accepted;
    let what = match revision {
        0 => "registered".to_owned(),
        revision => format!("accepted as revision {revision}"),
    };
    let mut text = format!(
        "{} {what} {}\n",
        paint.bold(&object.for_people()),
        paint.dim(&format!("(log {sequence})"))
    );
    for warning in warnings {
        let field = if warning.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", warning.field)
        };
        let line = format!(
            "{} {:?}: {field}{}",
            warning.whom(),
            warning.reason,
            warning.message
        );
        text += &format!(
            "  {} {line}\n",
            if warning.reason == Exclusion::Refused {
                paint.bad("refused for")
            } else {
                paint.waiting("not on")
            }
        );
    }
    text
}
