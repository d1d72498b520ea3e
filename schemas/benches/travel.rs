//! How fast messages are written and read on one core: codec, envelope, subjects.
//!
//! `cargo bench -p fleetcast-schemas`; docs/performance.md has the figures.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use fleetcast_core::document::Document;
use fleetcast_core::model::{ApplyPolicy, ClusterName, ObjectKey};
use fleetcast_core::time::Time;
use fleetcast_core::work::{self, Stamp, Work};
use fleetcast_schemas::subject::{self, Lane};
use fleetcast_schemas::{Headers, codec, event};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

fn object() -> ObjectKey {
    "Deployment.apps/shop/web.example.com"
        .parse()
        .expect("valid")
}

fn cluster() -> ClusterName {
    ClusterName::parse("eu-central-1.example.com").expect("valid")
}

/// A manifest of about `bytes` bytes, as compressible as manifests are.
fn manifest(bytes: usize) -> Document {
    let settings: Vec<Value> = (0..bytes / 48)
        .map(|index| json!({"name": format!("SETTING_{index}"), "value": format!("{}", index * 7919)}))
        .collect();
    Document::from_value(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1", "env": settings}]}}},
    }))
}

fn work(bytes: usize) -> Work {
    Work {
        cluster: cluster(),
        object: object(),
        revision: 7,
        decision: 9,
        decision_epoch: "1.hub".to_owned().try_into().expect("valid"),
        digest: Some("d".repeat(64)),
        stamp: Stamp {
            epoch: "1.hub".to_owned().try_into().expect("valid"),
            term: 1,
            incarnation: "x".to_owned(),
            n: 4,
        },
        time: Time(1),
        causation: "decision".to_owned(),
        correlation: "change".to_owned(),
        body: work::Body::Apply {
            manifest: manifest(bytes),
            policy: ApplyPolicy::default(),
        },
    }
}

/// An item of work as a message: MessagePack, compressed above 1 KB.
#[divan::bench(args = [512, 1_024, 16_384, 262_144])]
fn work_to_message(bencher: Bencher<'_, '_>, bytes: usize) {
    let work = work(bytes);
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::new(bytes))
        .bench_local(|| event::work(black_box(&work), 0));
}

/// A message read back into an item of work.
#[divan::bench(args = [512, 1_024, 16_384, 262_144])]
fn message_to_work(bencher: Bencher<'_, '_>, bytes: usize) {
    let message = event::work(&work(bytes), 0);
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::new(bytes))
        .bench_local(|| {
            event::read_work(
                &cluster(),
                black_box(&message.headers),
                black_box(&message.payload),
            )
            .expect("it was written here")
        });
}

/// The codec alone, both ways, 1 KB.
#[divan::bench]
fn encode_and_decode(bencher: Bencher<'_, '_>) {
    let body = work(1_024).body;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let mut headers = Headers::default();
        let payload = codec::encode(black_box(&body), &mut headers);
        codec::decode::<work::Body>(&payload, &headers).expect("it was written here")
    });
}

/// A subject of work built.
#[divan::bench]
fn subject_built(bencher: Bencher<'_, '_>) {
    let (lane, object) = (Lane::new(cluster(), 16), object());
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| black_box(&lane).work(black_box(&object)));
}

/// A subject of a decision, with escapes in it, taken apart.
#[divan::bench]
fn subject_parsed(bencher: Bencher<'_, '_>) {
    let subject = subject::decision(&object());
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| subject::parse(black_box(&subject)));
}
