//! Sorts documents: what is an object and whose, what is a policy, a config or a cluster, and what is none of these.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Document, Fleet, Written};
use crate::Refusal;
use crate::dialect::kinds::Catalog;
use crate::dialect::kubefed::preference::{self, Preference};
use crate::dialect::{self, Identity, Input, karmada};
use crate::model::{ApplyPolicy, Dialect, FederatedObject, ObjectKey};
use crate::report::{ObjectPlan, Observed, RefusedDocument, Target};

use super::dependencies;

/// What becomes a row of the report.
#[derive(Debug)]
pub(super) enum Row {
    /// An object to be planned.
    Object(Box<Read>),
    /// An object that is refused as a whole.
    Refused {
        object: Target,
        dialect: Dialect,
        refusal: Refusal,
    },
    /// An object of Karmada's, with how it is applied: its policies plan all of them together.
    Planned(Box<(ObjectPlan, ApplyPolicy)>),
}

/// An object that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) object: FederatedObject,
    /// The selector of its placement, whatever else that names: KubeFed's scheduler intersects with it. An error selects nothing.
    pub(super) selector: Option<crate::model::Selector>,
    /// The federated kind that it was written as.
    pub(super) kind: String,
    /// What KubeFed's scheduler wrote.
    pub(super) written: Option<Written>,
}

/// Documents by what they are.
pub(super) struct Sorted {
    pub(super) fleet: Fleet,
    /// In input order.
    pub(super) rows: Vec<Row>,
    pub(super) preferences: Vec<(Place, Preference)>,
    /// Each with its place in the input.
    pub(super) refusals: Vec<(usize, RefusedDocument)>,
}

/// Where a document that is no object stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) order: usize,
    pub(super) document: Document,
}

/// What each document is, by its place in the input.
enum Kind<'a> {
    Object(&'a Value),
    Plain(&'a Value),
    Other,
}

pub(super) fn sort(
    documents: &[Document],
    mut fleet: Fleet,
    observed: &[Observed],
    mut policies: karmada::Set,
) -> Sorted {
    let mut catalog = Catalog::default();
    let mut preferences = Vec::new();
    let mut refusals = Vec::new();
    let mut kinds = Vec::with_capacity(documents.len());
    let mut has_policy = false;
    for (order, document) in documents.iter().enumerate() {
        let kind = document
            .value
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|value| {
                if let Some(added) = fleet.add(value) {
                    return added.map(|()| Kind::Other);
                }
                if karmada::Set::is_policy(value) {
                    has_policy = true;
                    return policies.add_policy(value).map(|()| Kind::Other);
                }
                let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
                match (text("apiVersion"), text("kind")) {
                    (preference::API_VERSION, "ReplicaSchedulingPreference") => {
                        let place = Place {
                            order,
                            document: document.clone(),
                        };
                        preferences.push((place, Preference::read(value)?));
                        Ok(Kind::Other)
                    }
                    ("core.kubefed.io/v1beta1", "FederatedTypeConfig") => {
                        catalog.configure(value).map(|()| Kind::Other)
                    }
                    ("", _) | (_, "") => Ok(Kind::Object(value)),
                    (api_version, _) if dialect::is_plain(api_version) => Ok(Kind::Plain(value)),
                    _ => Ok(Kind::Object(value)),
                }
            });
        match kind {
            Ok(kind) => kinds.push(kind),
            Err(refusal) => {
                refusals.push((order, document.refused(refusal)));
                kinds.push(Kind::Other);
            }
        }
    }
    fleet
        .clusters()
        .values()
        .for_each(|cluster| catalog.learn(cluster));

    let mut karmadas = match has_policy {
        true => plan_plain(&kinds, &policies, &fleet, observed),
        false => BTreeMap::new(),
    };
    let followed = match has_policy {
        true => Default::default(),
        false => dependencies::named_by(kinds.iter().filter_map(|kind| match kind {
            Kind::Object(value) => Some(*value),
            Kind::Plain(_) | Kind::Other => None,
        })),
    };
    let mut sources = Sources::default();
    let mut rows = Vec::new();
    for (order, (document, kind)) in documents.iter().zip(&kinds).enumerate() {
        let row = match kind {
            Kind::Other => continue,
            Kind::Plain(value) => match karmadas.remove(&order) {
                Some(plan) => Ok(Row::Planned(Box::new(plan))),
                None => match dependencies::wrap(value, &followed) {
                    Some(wrapped) => read(&wrapped, &catalog),
                    None => read(value, &catalog),
                },
            },
            Kind::Object(value) => read(value, &catalog),
        };
        match row {
            Ok(row) => rows.push(sources.only_first(row, document)),
            Err(refusal) => refusals.push((order, document.refused(refusal))),
        }
    }
    Sorted {
        fleet,
        rows,
        preferences,
        refusals,
    }
}

/// Plans what Karmada's policies place, by its place in the input.
fn plan_plain(
    kinds: &[Kind<'_>],
    policies: &karmada::Set,
    fleet: &Fleet,
    observed: &[Observed],
) -> BTreeMap<usize, (ObjectPlan, ApplyPolicy)> {
    let plain: Vec<(usize, &Value)> = kinds
        .iter()
        .enumerate()
        .filter_map(|(order, kind)| match kind {
            Kind::Plain(value) => Some((order, *value)),
            Kind::Object(_) | Kind::Other => None,
        })
        .collect();
    let plans = karmada::plan_all(policies, &plain, &fleet.members(), observed);
    plain
        .into_iter()
        .map(|(order, _)| order)
        .zip(plans)
        .collect()
}

/// Reads a document of ours or KubeFed's: one that names its object keeps its row, also where it is refused.
fn read(value: &Value, catalog: &Catalog) -> Result<Row, Refusal> {
    match dialect::read_with(value, catalog) {
        Ok(Input::Object(object)) => Ok(Row::Object(Box::new(Read {
            selector: dialect::kubefed::selector_alone(value).ok().flatten(),
            kind: value["kind"].as_str().unwrap_or_default().to_owned(),
            object: *object,
            written: None,
        }))),
        Ok(Input::Cluster(_)) => Err(Refusal::new("kind", "is a cluster, no object")),
        Err(refusal) => match dialect::identify(value, catalog) {
            Some((dialect, identity)) => Ok(Row::Refused {
                object: identity.into(),
                dialect,
                refusal,
            }),
            None => Err(refusal),
        },
    }
}

impl From<Identity> for Target {
    fn from(identity: Identity) -> Self {
        let Identity {
            api_version,
            kind,
            namespace,
            name,
        } = identity;
        Self {
            api_version,
            kind,
            namespace,
            name,
        }
    }
}

/// Where each object was declared first.
#[derive(Default)]
struct Sources(BTreeMap<ObjectKey, String>);

impl Sources {
    /// The row, or its refusal where another document declared the same object before.
    fn only_first(&mut self, row: Row, document: &Document) -> Row {
        let (object, dialect) = match &row {
            Row::Object(read) => (super::target(&read.object), read.object.dialect),
            Row::Planned(planned) => (planned.0.object.clone(), planned.0.dialect),
            Row::Refused { .. } => return row,
        };
        let Some(key) = object.key() else {
            return row;
        };
        match self.0.get(&key) {
            Some(first) => Row::Refused {
                object,
                dialect,
                refusal: Refusal::new(
                    "metadata.name",
                    format!("{} is declared already by {first}", key.for_people()),
                ),
            },
            None => {
                self.0.insert(key, document.place());
                row
            }
        }
    }
}

/// The federated object that is the namespace `name`.
pub(super) fn namespace<'a>(rows: &'a [Row], name: &str) -> Option<&'a Read> {
    let mut namespaces = rows.iter().filter_map(namespace_of);
    namespaces.find(|read| read.object.target.name() == name)
}

/// The federated object of a row, where it is a namespace.
pub(super) fn namespace_of(row: &Row) -> Option<&Read> {
    match row {
        Row::Object(read) => {
            let target = &read.object.target;
            ((target.kind(), target.group()) == ("Namespace", "")).then_some(&**read)
        }
        Row::Refused { .. } | Row::Planned(_) => None,
    }
}
