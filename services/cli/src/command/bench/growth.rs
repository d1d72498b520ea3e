//! How costs grow: what one copy costs the hub by how many clusters, objects and changes there are, and how long a restart takes by how much
//! history there is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::chart::{self, Curve};
use super::figures::ms;
use super::rig::{Directory, Rig, machine, round};
use super::tracker::{Acks, Tracker};
use super::{documents, fanout, settle};
use crate::args::bench::{Common, GrowthArgs};
use crate::submit;

/// Clusters that a placement goes to.
const PER_PLACEMENT: usize = 10;
/// What stays the same while something else grows.
const CLUSTERS: usize = 100;
const PLACEMENTS: usize = 100;

pub(super) async fn run(args: &GrowthArgs) -> anyhow::Result<Value> {
    let mut clusters = Curve::new(
        "Cost of a copy by clusters",
        "clusters",
        "hub CPU, µs a copy",
    );
    for &count in &args.clusters {
        let cost = cost(&args.common, count as usize, PLACEMENTS).await?;
        clusters.points.push((f64::from(count), cost));
    }
    let mut objects = Curve::new("Cost of a copy by objects", "objects", "hub CPU, µs a copy");
    for &count in &args.placements {
        let cost = cost(&args.common, CLUSTERS, count as usize).await?;
        let declared = f64::from(count) * fanout::OBJECTS as f64;
        objects.points.push((declared, cost));
    }
    let (changes, restart) = history(args).await?;
    if let Some(folder) = args.common.dir.as_ref().filter(|_| !args.common.keep) {
        std::fs::remove_dir(folder)?;
    }
    let curves = [
        ("clusters", clusters),
        ("objects", objects),
        ("changes", changes),
        ("restart", restart),
    ];
    let mut figures = json!({"bench": "growth", "members": "simulated", "machine": machine()});
    for (name, curve) in &curves {
        if let Some(folder) = &args.svg {
            std::fs::create_dir_all(folder)?;
            chart::draw(curve, &folder.join(format!("{name}.svg")))?;
        }
        figures[name] = json!({"x": curve.x, "y": curve.y, "points": curve.points});
    }
    Ok(figures)
}

/// The folder of one of many fleets: below the one that was asked for.
fn directory(common: &Common, name: &str) -> anyhow::Result<Directory> {
    Directory::new(&Common {
        dir: common.dir.as_ref().map(|dir| dir.join(name)),
        ..common.clone()
    })
}

/// What creating and then changing everything costs the hub, µs of CPU a copy.
async fn cost(common: &Common, clusters: usize, placements: usize) -> anyhow::Result<f64> {
    eprintln!("{placements} placements in {clusters} clusters");
    let directory = directory(common, &format!("{clusters}-{placements}"))?;
    let groups = clusters / PER_PLACEMENT;
    let mut rig = Rig::start(common, directory, clusters, groups).await?;
    let before = rig.hub_cpu();
    let mut copies = 0.0;
    for revision in [1, 2] {
        copies += copies_of(&fanout::phase(&mut rig, placements, groups, revision, None).await?);
    }
    Ok(round((rig.hub_cpu() - before) * 1e6 / copies))
}

fn copies_of(phase: &Value) -> f64 {
    phase["acknowledged"].as_f64().unwrap_or(0.0).max(1.0)
}

/// What changing everything again and again costs, and how long a restart takes in between.
async fn history(args: &GrowthArgs) -> anyhow::Result<(Curve, Curve)> {
    let mut changes = Curve::new(
        "Cost of a copy by changes before it",
        "events in the log",
        "hub CPU, µs a copy",
    );
    let mut restart = Curve::new(
        "Restart of ingest and aggregator by history",
        "events in the log",
        "ms until a new change is everywhere and in the view",
    );
    let directory = directory(&args.common, "history")?;
    let groups = CLUSTERS / PER_PLACEMENT;
    let mut rig = Rig::start(&args.common, directory, CLUSTERS, groups).await?;
    for revision in 1..=u64::from(args.rounds) {
        let before = rig.hub_cpu();
        let phase = fanout::phase(&mut rig, PLACEMENTS, groups, revision, None).await?;
        let cost = round((rig.hub_cpu() - before) * 1e6 / copies_of(&phase));
        changes.points.push((events(&rig).await?, cost));
        if revision.is_power_of_two() {
            // A checkpoint is written every ten seconds; what came after it is folded again.
            tokio::time::sleep(Duration::from_secs(11)).await;
            let took = restarted(&mut rig, revision).await?;
            restart.points.push((events(&rig).await?, round(ms(took))));
        }
    }
    Ok((changes, restart))
}

async fn events(rig: &Rig) -> anyhow::Result<f64> {
    let last = rig.bus.last_sequence(fleetcast_bus::streams::LOG).await?;
    Ok(last as f64)
}

/// Kills ingest and aggregator and starts them again: how long until a new change is everywhere and in the view.
async fn restarted(rig: &mut Rig, round: u64) -> anyhow::Result<Duration> {
    let mut acks = Acks::follow(&rig.bus, rig.partitions).await?;
    let begin = Instant::now();
    for name in ["ingest", "aggregator"] {
        rig.kill(name)?;
        rig.start_again(name)?;
    }
    let everywhere = json!({"clusterSelector": {}});
    let (key, document) = documents::deployment(&format!("new-{round}"), &everywhere, 1);
    let mut tracker = Tracker::default();
    tracker.expect(0, key.clone(), 1, rig.clusters.clone());
    submit::apply(&rig.bus, &key, &document).await?;
    settle::acknowledged(rig, &mut acks, &mut tracker).await?;
    settle::view_reaches(&rig.bus, rig.partitions).await?;
    Ok(begin.elapsed())
}
