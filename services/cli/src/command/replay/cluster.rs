//! `replay --cluster`: one agent goes through all its work again, and answers for every object of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleetcast_aggregator::answer::{Objects, Request, Row};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::time::Time;
use fleetcast_schemas::event;
use fleetcast_schemas::subject::Lane;
use serde_json::json;
use uuid::Uuid;

use crate::args::Document;
use crate::failure::Failure;
use crate::output::{self, Paint};
use crate::progress::Progress;

/// Between two looks at what was answered.
const LOOK: Duration = Duration::from_millis(200);
/// After so long without an answer the call is repeated: it is stored nowhere.
const REPEAT: Duration = Duration::from_secs(3);
/// After so long without an answer nobody is there.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn replay(
    bus: &Bus,
    cluster: &ClusterName,
    format: Document,
) -> Result<(), Failure> {
    let beginning = bus.beginning().await?.ok_or_else(|| {
        Failure::Refused("the log has no epoch yet: is `fleetcast ingest` running?".to_owned())
    })?;
    let lane = Lane::new(cluster.clone(), beginning.partitions);
    let before = rows(bus, cluster).await?;
    if before.is_empty() {
        return Err(Failure::Refused(format!(
            "nothing is placed in {cluster}: there is no work to go through; `fleetcast cluster list` lists the clusters"
        )));
    }
    let id = Uuid::now_v7().to_string();
    let mut progress = Progress::new("answered", count(before.len()));
    let (mut moved, mut called, mut answered) = (Instant::now(), None::<Instant>, 0);
    let now = loop {
        if called.is_none_or(|called| called.elapsed() > REPEAT && answered == 0) {
            bus.publish(event::replay(id.clone(), &lane, fleetcast_bus::now()))
                .await?;
            bus.flush().await?;
            called = Some(Instant::now());
        }
        tokio::time::sleep(LOOK).await;
        let now = rows(bus, cluster).await?;
        let is_new = |(key, row): &(&ObjectKey, &Row)| {
            let told: Option<Option<Time>> = before.get(*key).map(|row| row.answered_at);
            told != Some(row.answered_at)
        };
        let again = now.iter().filter(is_new).count();
        if again > answered {
            (answered, moved) = (again, Instant::now());
            progress.at(count(answered));
        }
        if answered >= now.len() || moved.elapsed() > PATIENCE {
            break now;
        }
    };
    let (_, took) = progress.end();
    let open: Vec<(&ObjectKey, &Row)> = now
        .iter()
        .filter(|(_, row)| row.condition != Condition::Applied)
        .collect();
    let silent = now.len().saturating_sub(answered);
    match format {
        Document::Json | Document::Yaml => {
            let open: Vec<_> = open
                .iter()
                .map(|(key, row)| {
                    json!({"object": key, "condition": row.condition, "message": row.message})
                })
                .collect();
            let told = json!({
                "cluster": cluster, "objects": now.len(), "answered": answered, "not_applied": open, "took_ms": count(took.as_millis()),
            });
            match format {
                Document::Yaml => output::print_yaml(&told)?,
                Document::Json | Document::Table => output::print_json(&told)?,
            }
        }
        Document::Table => {
            let paint = Paint::stdout();
            let mut text = format!(
                "{cluster} went through its work again: {answered} of {} objects answered, {} applied\n",
                now.len(),
                now.len() - open.len()
            );
            for (key, row) in &open {
                let condition = paint.condition(row.condition);
                text += &format!("  {} {condition}: {}\n", key.for_people(), row.message);
            }
            if silent > 0 {
                let line = format!(
                    "{silent} objects were not answered for: is the agent of {cluster} running?"
                );
                text += &format!("{}\n", paint.bad(&line));
            }
            text += &format!("next: fleetcast get --cluster {cluster}\n");
            output::print(&text)?;
        }
    }
    match silent == 0 && open.is_empty() {
        true => Ok(()),
        false => Err(Failure::Said),
    }
}

/// What the cluster should hold, with what it answered last.
async fn rows(bus: &Bus, cluster: &ClusterName) -> Result<BTreeMap<ObjectKey, Row>, Failure> {
    let request = Request {
        cluster: Some(cluster.clone()),
        ..Request::default()
    };
    let answer: Objects = client::query(bus, "objects", None, &request).await?;
    let rows = answer.objects.into_iter().filter_map(|object| {
        let mut rows = object.rows.into_iter();
        let row = rows.find(|row| row.cluster == *cluster && row.digest.is_some())?;
        Some((object.object, row))
    });
    Ok(rows.collect())
}

fn count<T>(number: T) -> u64
where
    u64: TryFrom<T>,
{
    u64::try_from(number).unwrap_or(u64::MAX)
}
