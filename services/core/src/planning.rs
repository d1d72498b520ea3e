//! Plans a pile of documents of any dialect over a fleet: what `fleetcast plan` prints, in the form of [`report`](crate::report).
//!
//! | step | file |
//! |---|---|
//! | the fleet, whoever's cluster documents describe it | [`fleet`] |
//! | what is observed, found by object and cluster | [`observed`] |
//! | documents sorted: objects, policies, configs, clusters; two sources for one object | [`sort`] |
//! | KubeFed: what its replica scheduler rewrites | [`preferences`] |
//! | plain objects that others take along | [`dependencies`] |
//!
//! One object at a time becomes its row, so that a caller that prints rows as they come never holds a thousand objects in a thousand
//! clusters. It is the code that the placer runs ([`plan::plan_in`]); what the log knows there comes from files here.

mod dependencies;
pub mod fleet;
pub mod observed;
pub(crate) mod preferences;
mod sort;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;
use crate::dependencies::Needed;
use crate::dialect::karmada;
use crate::model::federated::Dialect;
use crate::model::{ApplyPolicy, ClusterName, FederatedObject, ObjectKey, Placement};
use crate::placement::{Containment, Exclusion, Situation};
use crate::plan::{self, Plan, Verdict};
use crate::report::{
    ExcludedCluster, ObjectPlan, Observed, PlannedCluster, RefusedDocument, Report, Target,
};

pub use fleet::Fleet;

use observed::ObservedIndex;
use sort::{Row, Sorted};

/// A document with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file.
    pub file: String,
    /// Its place in the file, counted from 0.
    pub index: usize,
    /// The document, or why it is none.
    pub value: Result<Value, Refusal>,
}

impl Document {
    /// `shop.yaml document 2`.
    pub fn place(&self) -> String {
        format!("{} document {}", self.file, self.index)
    }

    fn refused(&self, refusal: Refusal) -> RefusedDocument {
        RefusedDocument {
            file: self.file.clone(),
            document: self.index,
            field: refusal.field,
            message: refusal.message,
        }
    }
}

/// Documents made ready to be planned.
#[derive(Debug)]
pub struct Planning<'a> {
    fleet: Fleet,
    observed: ObservedIndex<'a>,
    rows: Vec<Row>,
    refusals: Vec<RefusedDocument>,
    /// Where the federated namespaces stand among the rows, by name.
    namespaces: BTreeMap<String, usize>,
    needed: Needed,
}

/// Plans `documents` over `fleet`, where `observed` is what the clusters hold today.
pub fn plan(documents: &[Document], fleet: Fleet, observed: &[Observed]) -> Report {
    let planning = Planning::new(documents, fleet, observed, karmada::Set::default());
    Report {
        objects: planning.rows().collect(),
        refusals: planning.refusals().to_vec(),
    }
}

impl<'a> Planning<'a> {
    /// Sorts and reads `documents`. `policies` is where Karmada's policies among them go: an empty set, which knows how to read YAML in
    /// strings if it should.
    pub fn new(
        documents: &[Document],
        fleet: Fleet,
        observed: &'a [Observed],
        policies: karmada::Set,
    ) -> Self {
        let Sorted {
            fleet,
            mut rows,
            preferences,
            mut refusals,
        } = sort::sort(documents, fleet, observed, policies);
        let observed = ObservedIndex::of(observed);
        preferences::carry_out(&preferences, &mut rows, &fleet, &observed, &mut refusals);
        refusals.sort_by_key(|(place, _)| *place);
        let namespaces = rows
            .iter()
            .enumerate()
            .filter_map(|(index, row)| {
                let read = sort::namespace_of(row)?;
                Some((read.object.target.name().to_owned(), index))
            })
            .collect();
        let mut planning = Self {
            namespaces,
            fleet,
            observed,
            rows,
            refusals: refusals.into_iter().map(|(_, refused)| refused).collect(),
            needed: Needed::default(),
        };
        planning.needed = planning.follow();
        planning
    }

    /// Documents that are no object at all, in input order.
    pub fn refusals(&self) -> &[RefusedDocument] {
        &self.refusals
    }

    /// One row an object, in input order.
    pub fn rows(&self) -> impl Iterator<Item = ObjectPlan> {
        self.rows.iter().map(|row| self.row(row))
    }

    /// One row an object, in input order, with how it is applied in each of the clusters that it lands in.
    pub fn applied(&self) -> impl Iterator<Item = (ObjectPlan, Vec<ApplyPolicy>)> {
        self.rows.iter().map(|row| {
            let plan = self.row(row);
            let policy = |planned: &PlannedCluster| match row {
                Row::Object(read) => {
                    let cluster = &self.fleet.clusters()[&planned.cluster];
                    plan::policy_for(&read.object, cluster)
                }
                Row::Planned(planned) => planned.1.clone(),
                Row::Refused { .. } => ApplyPolicy::default(),
            };
            let policies = plan.clusters.iter().map(policy).collect();
            (plan, policies)
        })
    }

    fn row(&self, row: &Row) -> ObjectPlan {
        match row {
            Row::Planned(planned) => planned.0.clone(),
            Row::Refused {
                object,
                dialect,
                refusal,
            } => ObjectPlan {
                object: object.clone(),
                dialect: *dialect,
                refusal: Some(refusal.clone()),
                clusters: Vec::new(),
                excluded: Vec::new(),
                unplaced_replicas: 0,
            },
            Row::Object(read) => {
                let plan = self.plan(&read.object, true);
                report(&read.object, plan, read.written.as_ref())
            }
        }
    }

    fn plan(&self, object: &FederatedObject, all: bool) -> Plan {
        let none = BTreeMap::new();
        let observed = self.observed.of_object(&object.target);
        let holders = self.fleet.holders(&object.target);
        let holding = |cluster: &ClusterName| {
            let mut holding = observed.get(cluster).copied().unwrap_or_default();
            holding.holds |= holders.is_some_and(|holders| holders.contains(cluster));
            holding
        };
        let namespace = self.namespace(object);
        let situation = Situation {
            clusters: self.fleet.clusters(),
            holding: &holding,
            containment: namespace.as_ref().map_or(Containment::None, |namespace| {
                let placement = namespace.as_deref();
                placement.map_or(Containment::Missing, Containment::Within)
            }),
            needed: self.needed.of(&object.target).unwrap_or(&none),
            all,
        };
        plan::plan_in(object, &situation)
    }

    /// The placement of the federated namespace that an object of KubeFed's lies in, where there is one: from its document, else where it is
    /// known to be. The outer none means that nothing contains the object.
    fn namespace(&self, object: &FederatedObject) -> Option<Option<Cow<'_, Placement>>> {
        let name = object
            .target
            .namespace()
            .filter(|_| object.dialect == Dialect::Kubefed)?;
        let row = self.namespaces.get(name).map(|index| &self.rows[*index]);
        if let Some(namespace) = row.and_then(sort::namespace_of) {
            return Some(Some(Cow::Borrowed(&namespace.object.placement)));
        }
        let key = ObjectKey::new("Namespace", "", None, name).ok();
        let holders = key.and_then(|key| self.fleet.holders(&key));
        Some(holders.map(|holders| {
            Cow::Owned(Placement {
                clusters: Some(holders.iter().cloned().collect()),
                ..Placement::default()
            })
        }))
    }

    /// Where objects that take others along land.
    fn follow(&self) -> Needed {
        let objects = self.rows.iter().filter_map(|row| match row {
            Row::Object(read) if read.object.dependencies => Some(&read.object),
            Row::Object(_) | Row::Refused { .. } | Row::Planned(_) => None,
        });
        let mut needed = Needed::default();
        for object in objects {
            let plan = self.plan(object, false);
            let clusters: Vec<&ClusterName> = plan
                .verdicts
                .iter()
                .filter(|(_, verdict)| matches!(verdict, Verdict::Assigned { .. }))
                .map(|(cluster, _)| cluster)
                .collect();
            let namespace = object.target.namespace().unwrap_or_default();
            for key in crate::dependencies::of(&object.template, namespace) {
                needed.add(key, &object.target, &clusters);
            }
        }
        needed
    }
}

/// What KubeFed's scheduler wrote for an object.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) by_cluster: BTreeMap<ClusterName, String>,
    pub(crate) unplaced: i64,
}

fn target(object: &FederatedObject) -> Target {
    Target {
        api_version: object.template["apiVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        kind: object.target.kind().to_owned(),
        namespace: object.target.namespace().map(str::to_owned),
        name: object.target.name().to_owned(),
    }
}

/// The verdicts in the form of the contract.
fn report(object: &FederatedObject, plan: Plan, written: Option<&Written>) -> ObjectPlan {
    let mut clusters = Vec::new();
    let mut excluded = Vec::new();
    for (cluster, verdict) in plan.verdicts {
        match verdict {
            Verdict::Assigned {
                rendered,
                replicas,
                reasons,
            } => {
                let more = written.and_then(|written| written.by_cluster.get(&cluster));
                clusters.push(PlannedCluster {
                    replicas,
                    reasons: reasons.iter().chain(more).cloned().collect(),
                    manifest: rendered.manifest.clone(),
                    cluster,
                });
            }
            Verdict::Excluded { reason, refusal } => excluded.push(ExcludedCluster {
                cluster,
                reason,
                message: refusal.message,
                field: (reason == Exclusion::Refused).then_some(refusal.field),
            }),
        }
    }
    ObjectPlan {
        object: target(object),
        dialect: object.dialect,
        refusal: None,
        clusters,
        excluded,
        unplaced_replicas: plan.unplaced + written.map_or(0, |written| written.unplaced),
    }
}
