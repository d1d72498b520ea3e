//! `fleetcast demo`: one change travels through a fleet of simulated clusters, told as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use fleetcast_aggregator::answer::{
    AsOf, ClusterSummary, Clusters, ObjectSummary, Objects, Request,
};
use fleetcast_aggregator::client;
use fleetcast_bus::read::Stored;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_ingest::documents;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::subject::{self, Parsed};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::args::{BusArgs, DemoArgs};
use crate::command::{cluster, get, up, wait, watch};
use crate::connection;
use crate::failure::Failure;
use crate::fleet::Fleet;
use crate::output::{self, Paint};
use crate::submit;
use crate::workspace::Workspace;

/// The shop that is handed in, relative to the workspace.
const SHOP: &str = "examples/shop.yaml";
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how much silence the view is looked at.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) async fn run(bus: &BusArgs, args: &DemoArgs) -> Result<(), Failure> {
    let workspace = Workspace::read(&args.workspace)?;
    // Each demonstration begins with an empty fleet; the one of `fleetcast up` is another.
    let old = workspace.directory.join(".run/demo");
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    let begin = Instant::now();
    let fleet = if args.attach {
        let connect = connection::options(bus, "demo");
        Fleet::attach(&workspace, "demo", connect).await?
    } else {
        Fleet::start(&workspace, "demo", false).await?
    };
    let mut demo = Demo::new(&fleet).await?;
    let runs_on = if args.attach {
        format!("the services at {}", fleet.connect.url)
    } else {
        "a real NATS server with JetStream".to_owned()
    };
    demo.say(&format!(
        "A fleet of {} simulated clusters is up on {runs_on}, {:.1} s after the start.",
        fleet.members.len(),
        begin.elapsed().as_secs_f64()
    ))?;
    let told = demo.tell(&fleet, &workspace).await;
    if told.is_err() || !args.keep {
        fleet.stop().await?;
        told?;
        return output::print(&farewell(begin.elapsed()));
    }
    if args.attach {
        demo.say("The clusters go on until they are stopped.")?;
    } else {
        output::print(&up::describe(&fleet))?;
    }
    up::run_until_asked(fleet).await
}

struct Demo {
    bus: Bus,
    happening: mpsc::Receiver<Stored>,
    told: Told,
    paint: Paint,
}

/// Up to which sequence each stream is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    log: u64,
    acks: BTreeMap<String, u64>,
}

impl Told {
    fn note(&mut self, stored: &Stored) {
        let told = match subject::parse(&stored.message.subject) {
            Some(Parsed::Ack(lane)) => {
                let token = subject::partition_token(lane.partition);
                self.acks.entry(token).or_default()
            }
            _ => &mut self.log,
        };
        *told = stored.sequence.max(*told);
    }

    /// Whether everything is told that a view was folded from.
    fn is_up_to(&self, view: &AsOf) -> bool {
        let told = |partition| self.acks.get(partition).copied().unwrap_or(0);
        let mut acks = view.acks.iter();
        self.log >= view.log && acks.all(|(partition, sequence)| told(partition) >= *sequence)
    }
}

impl Demo {
    async fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let bus = Bus::connect(&fleet.connect).await?;
        let happening = watch::follow(&bus).await?;
        let mut told = Told {
            log: bus.last_sequence(streams::LOG).await?,
            acks: BTreeMap::new(),
        };
        for partition in 0..watch::partitions(&bus).await? {
            let last = bus.last_sequence(&streams::acks(partition)).await?;
            told.acks.insert(subject::partition_token(partition), last);
        }
        Ok(Self {
            happening,
            told,
            bus,
            paint: Paint::stdout(),
        })
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        output::print(&format!("\n{}\n", self.paint.bold(text)))
    }

    async fn tell(&mut self, fleet: &Fleet, workspace: &Workspace) -> Result<(), Failure> {
        let path = workspace.directory.join(SHOP);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let shop: Vec<Value> = documents::read(&text)
            .into_iter()
            .map(|(index, document)| document.with_context(|| format!("{SHOP} document {index}")))
            .collect::<anyhow::Result<_>>()?;
        let last = fleet.members.last().context("a fleet has clusters")?;

        self.say(&format!("1. A shop of {} objects is handed in: what is accepted, where it goes and why, what each cluster answers.", shop.len()))?;
        for document in &shop {
            self.hand_in(document).await?;
        }
        self.narrate_until(is_done).await?;
        self.view().await?;

        self.say("2. The image changes: a second revision, and only what it changes is written.")?;
        self.hand_in(&with_image(&shop, "nginx:1.29")?).await?;
        self.narrate_until(is_done).await?;

        self.say(&format!("3. {} is cut off from the bus, and the image changes again: the others are done, {} is behind.", last.name, last.name))?;
        last.line.cut();
        self.hand_in(&with_image(&shop, "nginx:1.30")?).await?;
        let away = last.name.clone();
        self.narrate_until(move |objects| is_done_but_for(objects, &away))
            .await?;
        self.deployment().await?;

        self.say(&format!(
            "4. {} is back: it asks for what it lacks, and no more.",
            last.name
        ))?;
        last.line.mend();
        self.narrate_until(is_done).await?;
        self.deployment().await?;

        self.say("The fleet at the end:")?;
        let clusters: Clusters =
            client::query(&self.bus, "clusters", None, &Request::default()).await?;
        output::print(&cluster::table(
            &clusters
                .clusters
                .into_iter()
                .collect::<Vec<ClusterSummary>>(),
            false,
        ))
    }

    async fn hand_in(&self, document: &Value) -> Result<(), Failure> {
        let submitted = fleetcast_core::dialect::Submitted::read(document);
        let key = submitted.map_err(anyhow::Error::from)?.key();
        match submit::apply(&self.bus, &key, document).await? {
            Answer::Accepted(_) => Ok(()),
            Answer::Refused { refusal } => Err(Failure::Refused(format!(
                "{key}: {}: {}",
                refusal.field, refusal.message
            ))),
        }
    }

    /// Tells what happens until the view is as wanted, and all that it was folded from is told.
    async fn narrate_until(
        &mut self,
        wanted: impl Fn(&[ObjectSummary]) -> bool,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            while let Ok(Some(stored)) = tokio::time::timeout(QUIET, self.happening.recv()).await {
                self.told.note(&stored);
                for happening in watch::happenings(&stored) {
                    output::print(&format!("  {}\n", happening.line(self.paint)))?;
                }
            }
            let view = self.objects().await?;
            if wanted(&view.objects) && self.told.is_up_to(&view.as_of) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                self.view().await?;
                return Err(anyhow::anyhow!("this step did not end within {PATIENCE:?}").into());
            }
        }
    }

    async fn objects(&self) -> Result<Objects, Failure> {
        Ok(client::query(&self.bus, "objects", None, &Request::default()).await?)
    }

    async fn view(&self) -> Result<(), Failure> {
        self.say("The view:")?;
        output::print(&get::table(&self.objects().await?.objects, true))
    }

    async fn deployment(&self) -> Result<(), Failure> {
        let objects: Vec<ObjectSummary> = self
            .objects()
            .await?
            .objects
            .into_iter()
            .filter(|summary| summary.object.kind() == "Deployment")
            .collect();
        output::print(&format!("\n{}", get::rows(&objects, false, true)))
    }
}

fn is_done(objects: &[ObjectSummary]) -> bool {
    !objects.is_empty() && objects.iter().all(wait::is_settled)
}

fn is_done_but_for(objects: &[ObjectSummary], away: &ClusterName) -> bool {
    let is_behind = |summary: &ObjectSummary| {
        summary
            .rows
            .iter()
            .any(|row| row.cluster == *away && row.behind > 0)
    };
    let others_done = |summary: &ObjectSummary| {
        summary
            .rows
            .iter()
            .all(|row| row.cluster == *away || row.condition.is_settled())
    };
    objects.iter().any(is_behind) && objects.iter().all(others_done)
}

/// The shop's Deployment with another image.
fn with_image(shop: &[Value], image: &str) -> anyhow::Result<Value> {
    let Some(deployment) = shop
        .iter()
        .find(|document| document["spec"]["template"]["kind"] == "Deployment")
    else {
        bail!("{SHOP} has no Deployment");
    };
    let mut changed = deployment.clone();
    match changed.pointer_mut("/spec/template/spec/template/spec/containers/0/image") {
        Some(found) => *found = json!(image),
        None => bail!("the Deployment in {SHOP} has no container with an image"),
    }
    Ok(changed)
}

fn farewell(took: Duration) -> String {
    format!(
        "\nThat took {:.1} s. Now with your own hands:\n  fleetcast up                                  the same fleet, until Ctrl-C\n  fleetcast apply -f {SHOP} --wait\n  fleetcast get deployment/shop/web -o wide     where it is\n  fleetcast explain deployment/shop/web         why it is there\n  fleetcast events -o json                      everything that happened\n(the binary is target/debug/fleetcast; `cargo xtask demo --keep` leaves this fleet running)\n",
        took.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_schemas::{Headers, Message};

    /// A view may know of an answer that has not come here yet: then the step is not told to its end.
    #[test]
    fn a_step_is_told_to_its_end_where_all_that_the_view_knows_is_told() {
        let mut told = Told {
            log: 4,
            acks: [("p00".to_owned(), 1)].into(),
        };
        let view = |log, acks| AsOf {
            log,
            acks: [("p00".to_owned(), acks)].into(),
            time: fleetcast_core::time::Time::default(),
            acknowledgements_unknown: false,
        };
        let stored = |subject: &str, sequence| Stored {
            sequence,
            stored_at: Duration::ZERO,
            message: Message {
                subject: subject.to_owned(),
                headers: Headers::default(),
                payload: Vec::new(),
            },
        };
        assert!(told.is_up_to(&view(4, 1)) && !told.is_up_to(&view(5, 2)));
        told.note(&stored("fc.log.change.ConfigMap._.default.web", 5));
        assert!(told.is_up_to(&view(5, 1)) && !told.is_up_to(&view(5, 2)));
        told.note(&stored("fc.ack.p00.eu-1", 2));
        assert!(told.is_up_to(&view(5, 2)) && !told.is_up_to(&view(6, 2)));
    }
}
