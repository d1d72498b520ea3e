//! What the placer knows of one object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lane::Found;
use crate::decision::{Standing, Standings};
use crate::dialect::{self, Input};
use crate::document::Document;
use crate::model::{ClusterName, FederatedObject};
use crate::plan;
use crate::time::Time;

/// What is known of one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) revision: u64,
    pub(super) change_sequence: u64,
    pub(super) change_id: String,
    /// Who handed the newest change in.
    #[serde(default)]
    pub(super) source: String,
    /// The newest document that declared it, also after a withdrawal, and those that clusters still hold, by revision.
    pub(super) documents: BTreeMap<u64, Document>,
    /// Since when it is there: its first revision after the last withdrawal.
    #[serde(default)]
    pub(super) born: Time,
    /// Whether policies say where it goes.
    #[serde(default)]
    pub(super) is_plain: bool,
    /// Whether it is withdrawn, and if so whether copies stay.
    pub(super) withdrawn: Option<bool>,
    pub(super) decision: u64,
    pub(super) decision_sequence: u64,
    pub(super) decision_id: String,
    pub(super) decision_time: Time,
    /// The change that the newest decision in the log carries out.
    pub(super) decided_change_sequence: u64,
    /// Whether a policy placed it, as far as was decided.
    #[serde(default)]
    pub(super) is_placed: bool,
    /// The newest event about another object that this one depends on.
    #[serde(default)]
    pub(super) related_sequence: u64,
    pub(super) standings: Standings,
    /// The newest work in the stream, by cluster.
    pub(super) written: BTreeMap<ClusterName, Found>,
    /// The removals that were answered, by cluster: their standing stays, so that decisions follow from the log alone.
    #[serde(default)]
    pub(super) settled: BTreeMap<ClusterName, u64>,
    #[serde(skip)]
    pub(super) parsed: Option<Parsed>,
    /// Manifests of the last plan, until they are written.
    #[serde(skip)]
    pub(super) rendered: Vec<Arc<plan::Rendered>>,
}

impl Object {
    pub(super) fn new(change_id: &str) -> Self {
        Self {
            revision: 0,
            change_sequence: 0,
            change_id: change_id.to_owned(),
            source: String::new(),
            documents: BTreeMap::new(),
            born: Time::default(),
            is_plain: false,
            is_placed: false,
            withdrawn: None,
            decision: 0,
            decision_sequence: 0,
            decision_id: String::new(),
            decision_time: Time::default(),
            decided_change_sequence: 0,
            related_sequence: 0,
            standings: Standings::default(),
            written: BTreeMap::new(),
            settled: BTreeMap::new(),
            parsed: None,
            rendered: Vec::new(),
        }
    }

    pub(super) fn is_unwritten(&self, cluster: &ClusterName) -> bool {
        let due = self.standings.get(cluster).and_then(Standing::due);
        let written = self.written.get(cluster).map(|found| found.decision);
        due.is_some_and(|(decision, _)| {
            written.is_none_or(|written| written < decision) && !self.is_settled(cluster, decision)
        })
    }

    /// Whether `decision` took it away from `cluster`, and that was answered.
    pub(super) fn is_settled(&self, cluster: &ClusterName, decision: u64) -> bool {
        self.settled.get(cluster) == Some(&decision)
    }

    /// The newest document as what it means.
    pub(super) fn parse(&mut self) -> Option<Parsed> {
        if self.parsed.is_none() {
            self.parsed = self.read();
        }
        self.parsed.clone()
    }

    /// The newest document as what it means, read again where it is not at hand.
    pub(super) fn read(&self) -> Option<Parsed> {
        let newest = || self.documents.values().next_back().and_then(parse);
        self.parsed.clone().or_else(newest)
    }

    /// The document of `revision` as what it means.
    pub(super) fn read_revision(&self, revision: u64) -> Option<Parsed> {
        parse(self.documents.get(&revision)?)
    }

    /// The manifest with `digest` from the last plan.
    pub(super) fn planned(&self, digest: &str) -> Option<Document> {
        let rendered = self.rendered.iter().find(|one| one.digest == digest)?;
        Some(Document::from_value(&rendered.manifest))
    }

    /// Drops the documents that no cluster holds any more and that are not the newest.
    pub(super) fn drop_documents(&mut self) {
        let newest = self.documents.keys().next_back().copied();
        let held: BTreeSet<u64> = self
            .standings
            .iter()
            .filter_map(|(cluster, standing)| Some((cluster, standing.due()?)))
            .filter(|(cluster, (decision, _))| !self.is_settled(cluster, *decision))
            .map(|(_, (_, revision))| revision)
            .collect();
        self.documents
            .retain(|revision, _| Some(*revision) == newest || held.contains(revision));
    }
}

/// What a document means.
#[derive(Debug, Clone)]
pub(super) enum Parsed {
    /// It says itself where it goes.
    Federated(Arc<FederatedObject>),
    /// Policies say where it goes.
    Plain(Arc<Value>),
}

impl Parsed {
    /// The model, where the document says itself where it goes.
    pub(super) fn federated(&self) -> Option<&Arc<FederatedObject>> {
        match self {
            Self::Federated(object) => Some(object),
            Self::Plain(_) => None,
        }
    }

    /// The apiVersion of what it becomes.
    pub(super) fn api_version(&self) -> Option<&str> {
        match self {
            Self::Federated(object) => object.template["apiVersion"].as_str(),
            Self::Plain(document) => document["apiVersion"].as_str(),
        }
    }
}

/// What a document means; none where this version cannot read it.
fn parse(document: &Document) -> Option<Parsed> {
    let value = document.value().ok()?;
    if value["apiVersion"].as_str().is_some_and(dialect::is_plain) {
        return Some(Parsed::Plain(Arc::new(value)));
    }
    match dialect::read(&value) {
        Ok(Input::Object(object)) => Some(Parsed::Federated(object.into())),
        Ok(Input::Cluster(_)) | Err(_) => None,
    }
}
