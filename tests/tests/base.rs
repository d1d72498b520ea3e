//! What was once written as a base stays readable.

use std::path::Path;

use fleetcast_core::audit::Audit;
use fleetcast_core::change::Origin;
use fleetcast_core::fold::View;
use fleetcast_core::hub::Logged;
use fleetcast_core::log::{ClusterEvent, ClusterNews, Entry, Event};
use fleetcast_core::model::ClusterName;
use fleetcast_ingest::{Answered, State};
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::{Headers, Message, codec, event};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The form of its sections is that of the services' checkpoints; but a base is the truth.
#[test]
fn a_base_of_version_1_stays_readable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/base/1");
    let renewing = std::env::var_os("FLEETCAST_RENEW").is_some_and(|value| value == "1");
    if renewing && !folder.exists() {
        std::fs::create_dir_all(&folder).expect("made");
        let (view, ingest, audit, removals, _) = of_samples();
        for (name, bytes) in [
            ("view", bytes(&view)),
            ("ingest", bytes(&ingest)),
            ("audit", bytes(&audit)),
            ("removals", bytes(&removals)),
        ] {
            let path = folder.join(format!("{name}.msgpack"));
            std::fs::write(path, bytes).expect("written");
        }
    }
    let view: View = section(&folder, "view");
    let ingest: State = section(&folder, "ingest");
    let audit: Audit = section(&folder, "audit");
    let removals: Vec<Answered> = section(&folder, "removals");
    assert_eq!(view.log, ingest.sequence());
    assert_eq!(view.log, audit.last());
    assert!(view.objects().count() > 0 && view.policies().count() > 0);
    assert!(view.answers().count() > 0 && view.clusters().count() > 0);
    assert!(!removals.is_empty());
    // It has no section for the watch of a hub: the view says it.
    let hub = Logged::of_view(&view);
    assert_eq!((hub.sequence(), hub.epoch()), (view.log, view.epoch()));
}

/// What version 2 has beside.
#[test]
fn a_base_of_version_2_stays_readable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/base/2");
    let renewing = std::env::var_os("FLEETCAST_RENEW").is_some_and(|value| value == "1");
    if renewing && !folder.exists() {
        std::fs::create_dir_all(&folder).expect("made");
        let (.., hub) = of_samples();
        std::fs::write(folder.join("hub.msgpack"), bytes(&hub)).expect("written");
    }
    let (view, .., now) = of_samples();
    let hub: Logged = section(&folder, "hub");
    assert!(hub.epoch().is_some() && !hub.online().is_empty());
    assert!(hub.sequence() > 0 && now.sequence() >= view.log);
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut headers = Headers::default();
    let payload = codec::encode(value, &mut headers);
    codec::decompress(&payload, &headers, codec::BODY_LIMIT)
        .expect("just compressed")
        .into_owned()
}

fn section<T: DeserializeOwned>(folder: &Path, name: &str) -> T {
    let bytes = std::fs::read(folder.join(format!("{name}.msgpack"))).unwrap_or_else(|error| {
        panic!("{name}: {error}; FLEETCAST_RENEW=1 writes it, and nobody writes it again")
    });
    let headers = Headers::default().with(DATACONTENTTYPE, codec::MSGPACK);
    codec::decode(&bytes, &headers).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the frozen samples of events come to.
fn of_samples() -> (View, State, Audit, Vec<Answered>, Logged) {
    let mut view = View::default();
    let (mut ingest, mut audit) = (State::default().equipped(), Audit::default());
    let mut hub = Logged::default();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/samples");
    let mut sequence = 0;
    for event in ["epoch", "cluster", "policy", "change", "decision", "ack"] {
        let folder = samples.join(format!("{event}.v1"));
        let files = std::fs::read_dir(folder).expect("samples");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|is| is == "json"))
        {
            let sample = std::fs::read(file).expect("readable");
            let sample: Value = serde_json::from_slice(&sample).expect("JSON");
            let headers = sample["headers"].as_object().expect("headers").iter();
            let message = Message {
                subject: sample["subject"].as_str().expect("a subject").to_owned(),
                headers: headers
                    .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
                    .collect(),
                payload: std::fs::read(file.with_extension("msgpack")).expect("readable"),
            };
            sequence += 1;
            if event == "ack" {
                let (_, batch) = event::read_acks(&message).expect("acks");
                view.acknowledged(0, sequence, batch);
                continue;
            }
            let entry = event::log_entry(&message, sequence).expect("an event");
            audit.met(sequence);
            audit.logged(&entry);
            view.logged(&entry);
            ingest.logged(&entry);
            hub.logged(&by_a_hub(entry));
        }
    }
    let answered = view.answers().map(|(object, cluster, answer)| Answered {
        object: object.clone(),
        cluster: cluster.clone(),
        place: answer.place.clone(),
    });
    let answered = answered.collect();
    hub.logged(&Entry {
        sequence: sequence + 1,
        id: "heard".to_owned(),
        event: Event::Cluster(ClusterEvent {
            cluster: ClusterName::parse("eu-1").expect("a name"),
            time: view.time,
            news: ClusterNews::READY,
        }),
    });
    (view, ingest, audit, answered, hub)
}

/// The same event, where it is a change: as a hub's object would say it.
fn by_a_hub(mut entry: Entry) -> Entry {
    if let Event::Change(change) | Event::Policy(change) = &mut entry.event {
        change.origin = Origin {
            source: "kubernetes/9d2f".to_owned(),
            id: format!("4b1c/{}/1", entry.sequence),
        };
    }
    entry
}
