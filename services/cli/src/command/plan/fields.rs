//! What a plan would change field by field: the manifest that a cluster holds, rendered again from the log, against the one that it would get.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleetcast_aggregator::VIEW;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::change::Content;
use fleetcast_core::dialect::karmada::live::{self as karmada_live, Plain};
use fleetcast_core::dialect::{Submitted, karmada};
use fleetcast_core::diff::{self, Difference};
use fleetcast_core::fold::{ChangeView, View};
use fleetcast_core::log::Event;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::report::ObjectPlan;
use fleetcast_core::{digest, history, plan};
use fleetcast_ingest::documents;
use fleetcast_schemas::{event, subject};
use futures::StreamExt;
use serde_json::Value;

use super::compare::Live;
use crate::failure::Failure;
use crate::output::{self, Paint};

/// How many documents are asked for at once.
const AT_ONCE: usize = 64;
/// How many fields of one object a person is shown.
const SHOWN: usize = 30;

/// The newest documents of objects, and the policies, as they stand in the log.
#[derive(Default)]
pub(in crate::command) struct Held {
    documents: BTreeMap<ObjectKey, Value>,
    policies: BTreeMap<ObjectKey, Value>,
}

impl Held {
    /// Reads the policies, and the documents of `objects`.
    pub(in crate::command) async fn read(
        bus: &Bus,
        objects: Vec<ObjectKey>,
    ) -> Result<Self, Failure> {
        let newest = bus
            .newest_of_all(streams::LOG, subject::LOG_POLICIES, None, None)
            .await?;
        let keys = newest.messages.into_iter().filter_map(|stored| {
            match subject::parse(&stored.message.subject) {
                Some(subject::Parsed::Policy(key)) => Some(key),
                _ => None,
            }
        });
        let mut keys: Vec<ObjectKey> = keys.collect();
        // What was declared before the log was cut, and not since, stands in the base.
        let base: Option<View> = match bus.base().await? {
            Some(base) => Some(bus.base_section(&base, VIEW).await?),
            None => None,
        };
        let carried: BTreeMap<&ObjectKey, &ChangeView> = base.iter().flat_map(carried).collect();
        if let Some(base) = &base {
            keys.extend(base.policies().map(|(key, _)| key.clone()));
            keys.sort();
            keys.dedup();
        }
        Ok(Self {
            policies: read_all(bus, keys, &carried).await?,
            documents: read_all(bus, objects, &carried).await?,
        })
    }

    /// The newest document of an object or a policy that was read.
    pub(super) fn document(&self, key: &ObjectKey) -> Option<&Value> {
        self.documents.get(key).or_else(|| self.policies.get(key))
    }

    /// The policies in the log, but for those that `replaced` says are handed in anew.
    pub(in crate::command) fn policies(
        &self,
        replaced: impl Fn(&ObjectKey) -> bool,
    ) -> impl Iterator<Item = &Value> {
        let left = self.policies.iter().filter(move |(key, _)| !replaced(key));
        left.map(|(_, document)| document)
    }

    /// What would change where, by the fields that do; and the clusters of which it cannot be told.
    pub(super) fn describe(&self, row: &ObjectPlan, live: &Live, paint: Paint) -> String {
        let Some(key) = row.object.key() else {
            return String::new();
        };
        let mut groups: BTreeMap<Vec<String>, Vec<&ClusterName>> = BTreeMap::new();
        let mut untold = Vec::new();
        for planned in &row.clusters {
            let Some((cluster, held, replicas)) = live.differs(&key, planned) else {
                continue;
            };
            match self.manifest(&key, cluster, held, replicas, live) {
                Some(manifest) => {
                    let mut fields = diff::fields(&manifest, &planned.manifest);
                    history::hide_secrets(&key, &mut fields);
                    let lines = fields.iter().map(|one| line(one, paint)).collect();
                    groups.entry(lines).or_default().push(&planned.cluster);
                }
                None => untold.push(&planned.cluster),
            }
        }
        let mut text = String::new();
        for (lines, clusters) in groups {
            text += &format!("  in {}:\n", names(&clusters));
            for line in lines.iter().take(SHOWN) {
                text += &format!("    {line}\n");
            }
            if lines.len() > SHOWN {
                text += &format!("    … and {} more fields\n", lines.len() - SHOWN);
            }
        }
        if !untold.is_empty() {
            let untold = format!(
                "in {}: the fields are not known, it holds an earlier revision",
                names(&untold)
            );
            text += &format!("  {}\n", paint.dim(&untold));
        }
        text
    }

    /// The manifest with the digest `held`, rendered again for `cluster`.
    fn manifest(
        &self,
        key: &ObjectKey,
        cluster: &Cluster,
        held: &str,
        replicas: Option<i64>,
        live: &Live,
    ) -> Option<Arc<Value>> {
        let document = self.documents.get(key)?;
        match Submitted::read(document).ok()? {
            Submitted::Object(object) => {
                let rendered = plan::render_with(&object, cluster, replicas).ok()?;
                (rendered.digest == held).then_some(rendered.manifest)
            }
            Submitted::Plain(_) => {
                let mut set = karmada::Set::with_yaml(documents::yaml_in_text);
                for policy in self
                    .policies
                    .values()
                    .filter(|p| karmada::Set::is_policy(p))
                {
                    // What this version cannot read selects nothing here either.
                    drop(set.add_policy(policy));
                }
                let nowhere = BTreeMap::new();
                let plain = Plain {
                    key,
                    document,
                    created: "",
                    held: &nowhere,
                    available: &nowhere,
                };
                let manifests =
                    karmada_live::render(&set, &plain, &live.shares(key), &live.fleet().members());
                let mut manifests = manifests.into_iter();
                manifests.find(|manifest| digest::of_value(manifest) == held)
            }
            Submitted::Policy(..) | Submitted::Cluster(_) => None,
        }
    }
}

/// The newest change of every object and policy at the cut.
fn carried(base: &View) -> impl Iterator<Item = (&ObjectKey, &ChangeView)> {
    let policies = base.policies().map(|(key, policy)| (key, &policy.change));
    let objects = base.objects().map(|(key, object)| (key, &object.change));
    policies.chain(objects)
}

/// The documents of `keys` as they are declared now; `carried` is what was declared before the log begins.
async fn read_all(
    bus: &Bus,
    keys: Vec<ObjectKey>,
    carried: &BTreeMap<&ObjectKey, &ChangeView>,
) -> Result<BTreeMap<ObjectKey, Value>, Failure> {
    let mut read = futures::stream::iter(keys.into_iter().map(|key| async move {
        let subject = subject::change_of(&key);
        let stored = bus.newest_of(streams::LOG, &subject).await?;
        if stored.is_none() {
            let change = carried.get(&key).filter(|change| !change.withdrawn);
            let document = change.and_then(|change| change.document.as_ref());
            let document = document.and_then(|document| document.value().ok());
            return Ok((key, document));
        }
        let entry =
            stored.and_then(|stored| event::log_entry(&stored.message, stored.sequence).ok());
        let content = match entry.map(|entry| entry.event) {
            Some(Event::Change(change) | Event::Policy(change)) => Some(change.content),
            Some(Event::Decision(_) | Event::Cluster(_) | Event::Epoch(_)) | None => None,
        };
        let document = match content {
            Some(Content::Declared { document, .. }) => document.value().ok(),
            Some(Content::Withdrawn { .. }) | None => None,
        };
        Ok::<_, Failure>((key, document))
    }))
    .buffer_unordered(AT_ONCE);
    let mut documents = BTreeMap::new();
    while let Some(one) = read.next().await {
        if let (key, Some(document)) = one? {
            documents.insert(key, document);
        }
    }
    Ok(documents)
}

fn names(clusters: &[&ClusterName]) -> String {
    let shown: Vec<&str> = clusters
        .iter()
        .take(super::SHOWN)
        .map(|name| name.as_str())
        .collect();
    match clusters.len().saturating_sub(super::SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn line(difference: &Difference, paint: Paint) -> String {
    let Difference { field, from, to } = difference;
    output::difference(field, from.as_ref(), to.as_ref(), paint)
}
