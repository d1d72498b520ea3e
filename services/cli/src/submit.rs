//! Handing in: documents from files, and their answers from the bus.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleetcast_bus::{Bus, Error};
use fleetcast_core::change::Together;
use fleetcast_core::dialect::karmada::live::Scopes;
use fleetcast_core::dialect::{self, Submitted, policies};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::planning;
use fleetcast_core::{Refusal, dialect::native};
use fleetcast_ingest::documents;
use fleetcast_schemas::envelope::{ANEW, DATACONTENTTYPE, Headers, ID, SOURCE};
use fleetcast_schemas::request::{Answer, Withdrawal};
use fleetcast_schemas::{Message, codec, subject};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::Failure;
use crate::outgoing;

/// How long a submission is repeated: long enough for another ingest process to take over.
const PATIENCE: Duration = Duration::from_secs(15);

/// A document with its place.
pub(crate) struct Document {
    /// The file, `-` for standard input.
    pub(crate) file: String,
    /// Its place in the file, counted from 0.
    pub(crate) index: usize,
    /// What it is about and what is handed in, or why it cannot be.
    pub(crate) content: Result<(ObjectKey, Value), Refusal>,
}

impl Document {
    /// `shop.yaml document 2`.
    pub(crate) fn place(&self) -> String {
        format!("{} document {}", self.file, self.index)
    }
}

/// Reads every document of `paths`. Plain objects are wrapped for `clusters`; what declares the same object twice is refused the second time.
pub(crate) fn read(paths: &[PathBuf], clusters: &[ClusterName]) -> Result<Vec<Document>, Failure> {
    let mut seen: BTreeMap<ObjectKey, String> = BTreeMap::new();
    let mut all = Vec::new();
    let raw = read_raw(paths)?;
    let scopes = Scopes::of(raw.iter().filter_map(|raw| raw.value.as_ref().ok()));
    for raw in raw {
        let mut document = Document {
            file: raw.file,
            index: raw.index,
            content: raw
                .value
                .and_then(|value| identify(value, clusters, &scopes)),
        };
        if let Ok((key, _)) = &document.content {
            match seen.get(key) {
                Some(first) => {
                    let message = format!("{} is declared already by {first}", key.for_people());
                    document.content = Err(Refusal::new("metadata.name", message));
                }
                None => drop(seen.insert(key.clone(), document.place())),
            }
        }
        all.push(document);
    }
    Ok(all)
}

/// Reads every document of `paths` as it is, with its place.
pub(crate) fn read_raw(paths: &[PathBuf]) -> Result<Vec<planning::Document>, Failure> {
    let mut all = Vec::new();
    for path in files(paths)? {
        let file = path.display().to_string();
        let read = match text(&path) {
            Ok(text) => documents::read(&text),
            Err(refusal) => vec![(0, Err(refusal))],
        };
        all.extend(read.into_iter().map(|(index, value)| planning::Document {
            file: file.clone(),
            index,
            value,
        }));
    }
    Ok(all)
}

/// The files that `paths` name, those of a folder by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside: Vec<PathBuf> = std::fs::read_dir(path)?
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<_>>()?;
            inside.retain(|file| {
                file.extension().is_some_and(|e| {
                    ["yaml", "yml", "json"]
                        .iter()
                        .any(|wanted| e.eq_ignore_ascii_case(wanted))
                })
            });
            if inside.is_empty() {
                return Err(Failure::Refused(format!(
                    "{} holds no .yaml, .yml or .json file",
                    path.display()
                )));
            }
            inside.sort();
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn text(path: &Path) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    read.map_err(|error| Refusal::new("", format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Refusal::new("", "is no text in UTF-8"))
}

/// A plain object in the native document that places it in `clusters`, where some are given; anything else as it is.
pub(crate) fn wrap(value: Value, clusters: &[ClusterName]) -> Result<Value, Refusal> {
    let api_version = value.get("apiVersion").and_then(Value::as_str);
    if !clusters.is_empty() && api_version.is_some_and(dialect::is_plain) {
        native::wrap(&value, clusters)
    } else {
        Ok(value)
    }
}

/// What a document is about; a plain object is wrapped for `clusters`, where some are given.
fn identify(
    value: Value,
    clusters: &[ClusterName],
    scopes: &Scopes,
) -> Result<(ObjectKey, Value), Refusal> {
    let value = wrap(value, clusters)?;
    let key = Submitted::read_among(&value, scopes)?.key();
    Ok((key, value))
}

/// Hands a document in.
pub(crate) async fn apply(bus: &Bus, key: &ObjectKey, document: &Value) -> Result<Answer, Error> {
    declare(bus, key, document, false).await
}

/// Hands a document in as a change, also where the newest revision says the same.
pub(crate) async fn apply_anew(
    bus: &Bus,
    key: &ObjectKey,
    document: &Value,
) -> Result<Answer, Error> {
    declare(bus, key, document, true).await
}

async fn declare(
    bus: &Bus,
    key: &ObjectKey,
    document: &Value,
    anew: bool,
) -> Result<Answer, Error> {
    let mut document = document.clone();
    match outgoing::seal(bus, key, &mut document).await? {
        Ok(()) => request(bus, subject::apply(key), bytes(&document), anew).await,
        Err(refusal) => Ok(Answer::refused(refusal)),
    }
}

/// Withdraws an object.
pub(crate) async fn delete(bus: &Bus, key: &ObjectKey, orphan: bool) -> Result<Answer, Error> {
    withdraw(bus, key, orphan, None, false).await
}

/// Withdraws one of several objects that are withdrawn together, so that their copies go.
pub(crate) async fn delete_together(
    bus: &Bus,
    key: &ObjectKey,
    all: &Announcement,
) -> Result<Answer, Error> {
    withdraw(bus, key, false, all.with(key), false).await
}

/// Withdraws an object, also one that is withdrawn.
pub(crate) async fn delete_anew(bus: &Bus, key: &ObjectKey, orphan: bool) -> Result<Answer, Error> {
    withdraw(bus, key, orphan, None, true).await
}

async fn withdraw(
    bus: &Bus,
    key: &ObjectKey,
    orphan: bool,
    together: Option<Together>,
    anew: bool,
) -> Result<Answer, Error> {
    let withdrawal = Withdrawal { orphan, together };
    let payload = serde_json::to_vec(&withdrawal).expect("a withdrawal has only string keys");
    request(bus, subject::delete(key), payload, anew).await
}

/// Objects that one command withdraws: each withdrawal says how many there are, so that the first of too many already waits for a confirmation.
#[derive(Debug)]
pub(crate) struct Announcement {
    id: String,
    objects: u64,
    namespaces: BTreeMap<Option<String>, u64>,
}

impl Announcement {
    /// Of these; policies and clusters have no copies of their own.
    pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a ObjectKey>) -> Self {
        let mut announcement = Self {
            id: Uuid::now_v7().to_string(),
            objects: 0,
            namespaces: BTreeMap::new(),
        };
        for key in keys.filter(|key| has_copies(key)) {
            announcement.objects += 1;
            let namespace = key.namespace().map(str::to_owned);
            *announcement.namespaces.entry(namespace).or_default() += 1;
        }
        announcement
    }

    /// What the withdrawal of `key` says of the others; none where there are none.
    fn with(&self, key: &ObjectKey) -> Option<Together> {
        let in_namespace = self.namespaces.get(&key.namespace().map(str::to_owned));
        (self.objects > 1 && has_copies(key)).then(|| Together {
            id: self.id.clone(),
            objects: self.objects,
            in_namespace: in_namespace.copied().unwrap_or(0),
        })
    }
}

fn has_copies(key: &ObjectKey) -> bool {
    !policies::is_policy(key) && (key.kind(), key.group()) != ("MemberCluster", "fleetcast.dev")
}

fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).expect("a JSON value has only string keys")
}

/// Sends a submission, and the same again where nobody answers: its id makes a repeat harmless.
async fn request(
    bus: &Bus,
    subject: String,
    payload: Vec<u8>,
    anew: bool,
) -> Result<Answer, Error> {
    let mut headers = Headers::default()
        .with(ID, Uuid::now_v7().to_string())
        .with(SOURCE, "fleetcast/cli")
        .with(DATACONTENTTYPE, codec::JSON);
    if anew {
        headers.set(ANEW, "yes");
    }
    let payload = codec::compress(payload, &mut headers);
    let message = Message {
        subject,
        headers,
        payload,
    };
    bus.submit(message, PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_withdrawals_says_how_many_there_are() {
        let keys: Vec<ObjectKey> = [
            "ConfigMap/shop/a",
            "ConfigMap/shop/b",
            "Namespace/shop",
            "PropagationPolicy.policy.karmada.io/shop/p",
            "MemberCluster.fleetcast.dev/eu-1",
        ]
        .iter()
        .map(|text| text.parse().expect("valid"))
        .collect();
        let announcement = Announcement::of(keys.iter());
        let said: Vec<Option<(u64, u64)>> = keys
            .iter()
            .map(|key| announcement.with(key))
            .map(|said| said.map(|said| (said.objects, said.in_namespace)))
            .collect();
        assert_eq!(said, [Some((3, 2)), Some((3, 2)), Some((3, 1)), None, None]);
        let alone = Announcement::of(keys[..1].iter());
        assert_eq!(alone.with(&keys[0]), None, "one is no more than it is");
    }
}
