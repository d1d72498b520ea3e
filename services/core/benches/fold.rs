//! How fast acknowledgements and decisions are folded into the view on one core.
//!
//! `cargo bench -p fleetcast-core --bench fold`; docs/performance.md has the figures.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fleetcast_core::ack::{Ack, Batch, BatchBody, Observed, Outcome};
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::decision::{Assigned, Body, Decision};
use fleetcast_core::document::Document;
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::fold::View;
use fleetcast_core::log::{Entry, Event};
use fleetcast_core::model::{ClusterName, Dialect, ObjectKey};
use fleetcast_core::time::Time;
use serde_json::json;

fn main() {
    divan::main();
}

const CLUSTERS: usize = 100;
const OBJECTS: usize = 1_000;
/// As many as an agent sends at once under load.
const BATCH: usize = 100;

fn epoch() -> Epoch {
    "1.hub".to_owned().try_into().expect("valid")
}

fn cluster(index: usize) -> ClusterName {
    ClusterName::parse(&format!("cluster-{index:05}")).expect("valid")
}

fn object(index: usize) -> ObjectKey {
    format!("Deployment.apps/shop/web-{index}")
        .parse()
        .expect("valid")
}

/// Every object's change and the decision that assigns it to every cluster.
fn decisions() -> Vec<Entry> {
    let clusters: Vec<ClusterName> = (0..CLUSTERS).map(cluster).collect();
    let mut log = vec![Entry {
        sequence: 1,
        id: "epoch".to_owned(),
        event: Event::Epoch(Beginning {
            epoch: epoch(),
            partitions: 1,
        }),
    }];
    for index in 0..OBJECTS {
        log.push(Entry {
            sequence: log.len() as u64 + 1,
            id: format!("change-{index}"),
            event: Event::Change(Change {
                object: object(index),
                revision: 1,
                origin: Origin {
                    source: "bench".to_owned(),
                    id: format!("{index}"),
                },
                time: Time(1),
                content: Content::Declared {
                    dialect: Dialect::Native,
                    document: Document::from_value(&json!({"kind": "FederatedObject"})),
                },
            }),
        });
        log.push(Entry {
            sequence: log.len() as u64 + 1,
            id: format!("decision-{index}"),
            event: Event::Decision(Decision {
                object: object(index),
                number: 1,
                revision: 1,
                epoch: epoch(),
                term: 1,
                time: Time(1),
                causation: "change".to_owned(),
                correlation: "change".to_owned(),
                body: Body {
                    assigned: vec![Assigned {
                        digest: "d".repeat(64),
                        replicas: Some(3),
                        reasons: vec![
                            "selected by placement.clusterSelector (everything)".to_owned(),
                        ],
                        clusters: clusters.clone(),
                    }],
                    ..Body::default()
                },
            }),
        });
    }
    log
}

/// What every cluster answers about every object, in batches.
fn answers() -> Vec<Batch> {
    let mut batches = Vec::new();
    for first in (0..OBJECTS).step_by(BATCH) {
        for index in 0..CLUSTERS {
            let acks = (first..first + BATCH).map(|number| Ack {
                object: object(number),
                revision: 1,
                decision: 1,
                decision_epoch: None,
                epoch: epoch(),
                count: number as u64 + 1,
                outcome: Outcome::Applied,
                message: String::new(),
                digest: Some("d".repeat(64)),
                attempts: 1,
                work_id: format!("work-{number}"),
                time: Time(2),
                observed: Observed::default(),
                held: None,
            });
            batches.push(Batch {
                cluster: cluster(index),
                body: BatchBody {
                    transitions: 1,
                    confirmed: first as u64,
                    after: first as u64,
                    acks: acks.collect(),
                },
            });
        }
    }
    batches
}

/// Acknowledgements folded, 100 in a batch: 1,000 objects in 100 clusters, each answer the first of its place.
#[divan::bench(sample_count = 10)]
fn acknowledgements(bencher: Bencher<'_, '_>) {
    let batches = answers();
    let mut view = View::default();
    decisions().iter().for_each(|entry| view.logged(entry));
    bencher
        .counter(ItemsCount::new(OBJECTS * CLUSTERS))
        .with_inputs(|| (view.clone(), batches.clone()))
        .bench_local_values(|(mut view, batches)| {
            for (sequence, batch) in batches.into_iter().enumerate() {
                view.acknowledged(0, sequence as u64 + 1, black_box(batch));
            }
            view
        });
}

/// The same, where each answer takes the place of an older one: what a long-running aggregator does.
#[divan::bench(sample_count = 10)]
fn acknowledgements_again(bencher: Bencher<'_, '_>) {
    let batches = answers();
    let mut view = View::default();
    decisions().iter().for_each(|entry| view.logged(entry));
    for (sequence, batch) in batches.iter().enumerate() {
        view.acknowledged(0, sequence as u64 + 1, batch.clone());
    }
    let again: Vec<Batch> = batches
        .into_iter()
        .map(|mut batch| {
            batch.body.acks.iter_mut().for_each(|ack| {
                ack.decision = 2;
                ack.count += OBJECTS as u64;
            });
            batch
        })
        .collect();
    bencher
        .counter(ItemsCount::new(OBJECTS * CLUSTERS))
        .with_inputs(|| (view.clone(), again.clone()))
        .bench_local_values(|(mut view, again)| {
            for (sequence, batch) in again.into_iter().enumerate() {
                view.acknowledged(0, (OBJECTS + sequence) as u64 + 1, black_box(batch));
            }
            view
        });
}

/// Changes folded, each with its decision that assigns the object to 100 clusters.
#[divan::bench(sample_count = 10)]
fn decisions_of_a_hundred_clusters(bencher: Bencher<'_, '_>) {
    let log = decisions();
    bencher
        .counter(ItemsCount::new(OBJECTS))
        .with_inputs(View::default)
        .bench_local_refs(|view| log.iter().for_each(|entry| view.logged(black_box(entry))));
}
