//! `fleetcast demo`: one change travels through a fleet of simulated clusters, told as it happens.

use std::time::Duration;

use anyhow::{Context, bail};
use fleetcast_aggregator::answer::{ClusterSummary, Clusters, ObjectSummary, Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_bus::read::Stored;
use fleetcast_core::model::ClusterName;
use fleetcast_ingest::documents;
use fleetcast_schemas::request::Answer;
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
/// After how much silence a step is told to its end.
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
    paint: Paint,
}

impl Demo {
    async fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let bus = Bus::connect(&fleet.connect).await?;
        Ok(Self {
            happening: watch::follow(&bus).await?,
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

    /// Tells what happens until the view is as wanted and nothing more comes.
    async fn narrate_until(
        &mut self,
        wanted: impl Fn(&[ObjectSummary]) -> bool,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            while let Ok(Some(stored)) = tokio::time::timeout(QUIET, self.happening.recv()).await {
                for happening in watch::happenings(&stored) {
                    output::print(&format!("  {}\n", happening.line(self.paint)))?;
                }
            }
            if wanted(&self.objects().await?) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                self.view().await?;
                return Err(anyhow::anyhow!("this step did not end within {PATIENCE:?}").into());
            }
        }
    }

    async fn objects(&self) -> Result<Vec<ObjectSummary>, Failure> {
        let objects: Objects =
            client::query(&self.bus, "objects", None, &Request::default()).await?;
        Ok(objects.objects)
    }

    async fn view(&self) -> Result<(), Failure> {
        self.say("The view:")?;
        output::print(&get::table(&self.objects().await?, true))
    }

    async fn deployment(&self) -> Result<(), Failure> {
        let objects: Vec<ObjectSummary> = self
            .objects()
            .await?
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
