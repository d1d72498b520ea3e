//! The contract of everything that travels: generated JSON Schemas, and frozen samples that every later build must read.
//!
//! `FLEETCAST_RENEW=1 cargo test -p fleetcast-schemas --test contract` writes the schemas anew and adds samples that do not exist yet.
//! It never rewrites a sample: what was once written must stay readable.

mod contract {
    pub(crate) mod made;
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fleetcast_core::ack::{Batch, Seen};
use fleetcast_core::log::Entry;
use fleetcast_core::placer::Fence;
use fleetcast_core::work::Work;
use fleetcast_schemas::catalog::ENTRIES;
use fleetcast_schemas::codec::{JSON, MSGPACK};
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::event::{self, Base, DeadLetter, Heartbeat};
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{DecodeError, Headers, Message};
use serde_json::{Value, json};

use contract::made;

const HOW_TO_RENEW: &str =
    "if this is meant, run FLEETCAST_RENEW=1 cargo test -p fleetcast-schemas --test contract";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn renewing() -> bool {
    std::env::var_os("FLEETCAST_RENEW").is_some_and(|value| value == "1")
}

/// The names in a folder, without hidden ones.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.starts_with('.'))
        .collect()
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it serializes") + "\n"
}

#[test]
fn schemas_are_those_of_the_types() {
    let folder = folder("json");
    let mut expected = BTreeSet::new();
    for entry in ENTRIES {
        let file = format!("{}.json", entry.title());
        let text = pretty(&(entry.schema)());
        let path = folder.join(&file);
        if renewing() {
            fs::create_dir_all(&folder).expect("made");
            fs::write(&path, &text).expect("written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "schemas/json/{file} is not what the types say; {HOW_TO_RENEW}"
        );
        expected.insert(file);
    }
    assert_eq!(
        names(&folder),
        expected,
        "every file belongs to an entry of the catalog"
    );
}

/// What a message was read as.
#[derive(Debug, PartialEq)]
enum Read {
    Log(Box<Entry>),
    Work(Box<Work>),
    Fence(Fence),
    Acks(u16, Batch),
    Heartbeat(Heartbeat),
    Seen(Seen),
    Replay(String),
    Dead(DeadLetter),
    Base(Base),
}

fn read(event: &str, message: &Message) -> Result<Read, DecodeError> {
    let Message {
        subject,
        headers,
        payload,
    } = message;
    Ok(match event {
        "change" | "policy" | "decision" | "cluster" | "epoch" => {
            Read::Log(Box::new(event::log_entry(message, 7)?))
        }
        "work" => match subject::parse(subject) {
            Some(Parsed::Work(lane, _)) => {
                Read::Work(Box::new(event::read_work(&lane.cluster, headers, payload)?))
            }
            _ => return Err(DecodeError::Subject(subject.clone())),
        },
        "fence" => Read::Fence(event::read_fence(headers, payload)?),
        "ack" => {
            let (partition, batch) = event::read_acks(message)?;
            Read::Acks(partition, batch)
        }
        "heartbeat" => Read::Heartbeat(event::read_heartbeat(headers, payload)?),
        "seen" => Read::Seen(event::read_seen(headers, payload)?),
        "replay" => Read::Replay(event::read_replay(headers, payload)?),
        "base" => Read::Base(event::read_base(headers, payload)?),
        "dead" => Read::Dead(event::read_dead(headers, payload)?),
        other => panic!("{other}: no decoder is listed here"),
    })
}

/// Adds the samples that do not exist yet.
fn add_samples() {
    for sample in made::samples() {
        let folder = folder("samples").join(format!("{}.v1", sample.event));
        let path = |extension: &str| folder.join(format!("{}.{extension}", sample.name));
        if path("json").exists() {
            continue;
        }
        fs::create_dir_all(&folder).expect("made");
        let Message {
            subject,
            headers,
            payload,
        } = sample.message;
        let headers: serde_json::Map<String, Value> = headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let readable = json!({"subject": subject, "headers": headers, "body": sample.body});
        fs::write(path("json"), pretty(&readable)).expect("written");
        fs::write(path("msgpack"), payload).expect("written");
    }
}

#[test]
fn every_sample_is_read_the_same_both_ways() {
    if renewing() {
        add_samples();
    }
    let mut events = BTreeSet::new();
    for title in names(&folder("samples")) {
        let entry = ENTRIES
            .iter()
            .find(|entry| entry.is_event && entry.title() == title)
            .unwrap_or_else(|| panic!("schemas/samples/{title} is no event of the catalog"));
        events.insert(title.clone());
        let folder = folder("samples").join(&title);
        let files = names(&folder);
        for name in files.iter().filter_map(|file| file.strip_suffix(".json")) {
            let what = format!("schemas/samples/{title}/{name}");
            let text = fs::read(folder.join(format!("{name}.json"))).expect("readable");
            let sample: Value = serde_json::from_slice(&text).expect("JSON");
            let headers: Headers = sample["headers"]
                .as_object()
                .expect("headers")
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
                .collect();
            let message = |content_type: &str, payload| Message {
                subject: sample["subject"].as_str().expect("a subject").to_owned(),
                headers: headers.clone().with(DATACONTENTTYPE, content_type),
                payload,
            };
            let binary = fs::read(folder.join(format!("{name}.msgpack"))).expect("readable");
            let binary = read(entry.name, &message(MSGPACK, binary));
            let binary = binary.unwrap_or_else(|error| panic!("{what}.msgpack: {error}"));
            let body = serde_json::to_vec(&sample["body"]).expect("it serializes");
            let readable = read(entry.name, &message(JSON, body));
            let readable = readable.unwrap_or_else(|error| panic!("{what}.json: {error}"));
            assert_eq!(binary, readable, "{what}");
        }
        let json = files.iter().filter(|file| file.ends_with(".json")).count();
        assert_eq!(
            files.len(),
            json * 2,
            "schemas/samples/{title}: each sample in both forms, and nothing else"
        );
        assert!(json > 0, "schemas/samples/{title} is empty");
    }
    let expected: BTreeSet<String> = ENTRIES
        .iter()
        .filter(|entry| entry.is_event)
        .map(|entry| entry.title())
        .collect();
    assert_eq!(
        events, expected,
        "every event has a sample; to add it to contract/made.rs and {HOW_TO_RENEW}"
    );
}

#[test]
fn what_is_made_today_is_among_the_samples() {
    for sample in made::samples() {
        let path = folder("samples")
            .join(format!("{}.v1", sample.event))
            .join(format!("{}.msgpack", sample.name));
        assert!(
            renewing() || path.exists(),
            "{} is missing; {HOW_TO_RENEW}",
            path.display()
        );
    }
}
