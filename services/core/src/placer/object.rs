//! What the placer knows of one object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lane::Found;
use crate::decision::{Standing, Standings};
use crate::dialect::{self, Input};
use crate::document::Document;
use crate::model::{Cluster, ClusterName, FederatedObject};
use crate::plan;
use crate::time::Time;

/// What is known of one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) revision: u64,
    pub(super) change_sequence: u64,
    pub(super) change_id: String,
    /// The newest document that declared it, also after a withdrawal, and those that clusters still hold, by revision.
    pub(super) documents: BTreeMap<u64, Document>,
    /// Whether it is withdrawn, and if so whether copies stay.
    pub(super) withdrawn: Option<bool>,
    pub(super) decision: u64,
    pub(super) decision_sequence: u64,
    pub(super) decision_id: String,
    pub(super) decision_time: Time,
    /// The change that the newest decision in the log carries out.
    pub(super) decided_change_sequence: u64,
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
    pub(super) parsed: Option<Arc<FederatedObject>>,
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
            documents: BTreeMap::new(),
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

    /// The newest document as the model.
    pub(super) fn parse(&mut self) -> Option<Arc<FederatedObject>> {
        if self.parsed.is_none() {
            self.parsed = self.read();
        }
        self.parsed.clone()
    }

    /// The newest document as the model, read again where it is not at hand.
    pub(super) fn read(&self) -> Option<Arc<FederatedObject>> {
        let newest = || self.documents.values().next_back().and_then(parse);
        self.parsed.clone().or_else(|| newest().map(Arc::new))
    }

    /// The manifest with `digest`: from the last plan, or rendered again from the newest document or from that of `revision`.
    pub(super) fn manifest(
        &self,
        digest: &str,
        replicas: Option<i64>,
        revision: u64,
        newest: &FederatedObject,
        cluster: Option<&Cluster>,
    ) -> Option<Document> {
        let is_it = |rendered: &plan::Rendered| rendered.digest == digest;
        if let Some(rendered) = self.rendered.iter().find(|rendered| is_it(rendered)) {
            return Some(Document::from_value(&rendered.manifest));
        }
        let again = |object: &FederatedObject| {
            let rendered = plan::render_with(object, cluster?, replicas);
            rendered.ok().filter(is_it)
        };
        let older = || {
            parse(self.documents.get(&revision)?)
                .as_ref()
                .and_then(again)
        };
        again(newest)
            .or_else(older)
            .map(|rendered| Document::from_value(&rendered.manifest))
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

/// The document as the model; none where this version cannot read it.
fn parse(document: &Document) -> Option<FederatedObject> {
    match dialect::read(&document.value().ok()?) {
        Ok(Input::Object(object)) => Some(*object),
        Ok(Input::Cluster(_)) | Err(_) => None,
    }
}
