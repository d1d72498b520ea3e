//! What the view makes of the objects of a hub, told as it changes: gathered for a moment, the newest only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_core::fold::View;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::status::{self, Told};
use tokio::sync::mpsc;

use crate::Statuses;
use crate::shared::Shared;
use crate::touched::What;

/// How long changes gather: a rollout through a hundred clusters is few statuses, not hundreds.
const GATHER: Duration = Duration::from_millis(500);
/// For how many objects the view is held at a time.
const AT_ONCE: usize = 256;

/// Tells while that is wanted, beginning with everything.
pub(crate) async fn tell(shared: &Arc<Shared>, statuses: Option<Statuses>) {
    let (Some(touched), Some(statuses)) = (&shared.touched, statuses) else {
        return std::future::pending().await;
    };
    let Statuses {
        told: listener,
        mut wanted,
    } = statuses;
    loop {
        if !*wanted.borrow_and_update() {
            // Somebody else writes; what changes meanwhile is among everything.
            if wanted.wait_for(|wanted| *wanted).await.is_err() {
                return std::future::pending().await;
            }
            if shared.progress.borrow().is_whole {
                touched.all();
            }
        }
        touched.woken().await;
        tokio::time::sleep(GATHER).await;
        let What {
            objects,
            clusters,
            capacities,
            all,
        } = touched.take();
        let keys = read(shared, move |view| keys(view, objects, &clusters, all)).await;
        let Some((objects, clusters)) = keys else {
            continue;
        };
        for some in objects.chunks(AT_ONCE) {
            let some = some.to_vec();
            let told = read(shared, move |view| -> Vec<Told> {
                let told = some.iter().filter_map(|key| status::of_object(view, key));
                told.collect()
            });
            pass_on(&listener, told.await).await;
        }
        let clusters: BTreeSet<ClusterName> = clusters.into_iter().chain(capacities).collect();
        let known = Arc::clone(shared);
        let told = read(shared, move |view| -> Vec<Told> {
            let told = clusters.iter().flat_map(|name| {
                status::of_cluster(view, name, known.capacities.of(name).as_ref())
            });
            told.collect()
        });
        pass_on(&listener, told.await).await;
    }
}

async fn pass_on(listener: &mpsc::Sender<Told>, told: Option<Vec<Told>>) {
    for one in told.unwrap_or_default() {
        if listener.send(one).await.is_err() {
            return;
        }
    }
}

/// Which objects and clusters are to be told: those that changed, and those in a cluster that changed.
fn keys(
    view: &View,
    objects: BTreeSet<ObjectKey>,
    clusters: &BTreeSet<ClusterName>,
    all: bool,
) -> (Vec<ObjectKey>, Vec<ClusterName>) {
    let mut keys = objects;
    if all || !clusters.is_empty() {
        let is_in = |object: &fleetcast_core::fold::Object| {
            object
                .standings
                .iter()
                .any(|(cluster, _)| clusters.contains(cluster))
        };
        let concerned = view.objects().filter(|(_, object)| all || is_in(object));
        keys.extend(concerned.map(|(key, _)| key.clone()));
    }
    let clusters = match all {
        true => view.clusters().map(|(name, _)| name.clone()).collect(),
        false => clusters.iter().cloned().collect(),
    };
    (keys.into_iter().collect(), clusters)
}

/// What `look` makes of the view, off the async threads.
async fn read<T: Send + 'static>(
    shared: &Arc<Shared>,
    look: impl FnOnce(&View) -> T + Send + 'static,
) -> Option<T> {
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || look(&shared.view.blocking_read()));
    read.await.ok()
}
