//! From a scheduled object to the manifest of every cluster: what does not travel taken out, the share written in, overrides applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Refusal;
use crate::model::ClusterName;
use crate::placement::Exclusion;
use crate::report::{ExcludedCluster, PlannedCluster};

use super::division::{self, Ties};
use super::member::Member;
use super::overriders::{self, Applied};
use super::policy::PropagationPolicy;
use super::prune::prune;
use super::resource::Object;
use super::schedule::{Schedule, Target};
use super::set::Set;
use super::workload::{self, Workload};

/// Where an object goes, and under which policy.
pub(super) struct Scheduled<'a> {
    pub(super) object: Object<'a>,
    pub(super) policy: Option<&'a PropagationPolicy>,
    pub(super) workload: Option<Workload>,
    pub(super) schedule: Schedule,
}

/// A manifest and how many replicas it asks for.
type Form = (Arc<Value>, Option<i64>);

/// Renders the object for each target; a failing override takes its cluster out.
pub(super) fn render(
    scheduled: Scheduled<'_>,
    set: &Set,
    members: &BTreeMap<ClusterName, Member>,
) -> (Vec<PlannedCluster>, Vec<ExcludedCluster>) {
    let Scheduled {
        object,
        policy,
        workload,
        schedule,
    } = scheduled;
    let mut template = object.document.clone();
    prune(&mut template, object.key.namespace());
    let completions = completions(&object, policy, workload, &schedule);
    let policies = overriders::policies_for(&set.overrides, &object);

    // Clusters with the same rules and the same share have one manifest.
    let mut forms: BTreeMap<_, Result<Form, Refusal>> = BTreeMap::new();
    let mut clusters = Vec::new();
    let mut excluded: BTreeMap<ClusterName, ExcludedCluster> = schedule
        .excluded
        .into_iter()
        .map(|(cluster, (reason, message))| {
            let row = ExcludedCluster {
                cluster: cluster.clone(),
                reason,
                message,
                field: None,
            };
            (cluster, row)
        })
        .collect();
    for (cluster, Target { replicas, reasons }) in schedule.targets {
        let Some(member) = members.get(&cluster) else {
            continue;
        };
        let rules = overriders::rules_for(&policies, member);
        let completions = completions.get(&cluster).copied();
        let form = (
            rules.iter().map(Applied::id).collect::<Vec<_>>(),
            replicas,
            completions,
        );
        let rendered = forms.entry(form).or_insert_with(|| {
            let mut manifest = template.clone();
            if let Some(replicas) = replicas {
                workload::revise(&mut manifest, replicas, completions);
            }
            overriders::apply(&rules, &mut manifest, set.read_yaml())?;
            let asked_for = replicas.map(|share| workload::asked_for(&manifest, share));
            Ok((Arc::new(manifest), asked_for))
        });
        match rendered.clone() {
            Ok((manifest, replicas)) => clusters.push(PlannedCluster {
                cluster,
                replicas,
                reasons: reasons
                    .into_iter()
                    .chain(rules.iter().map(Applied::for_people))
                    .collect(),
                manifest,
            }),
            Err(refusal) => {
                let row = ExcludedCluster {
                    cluster: cluster.clone(),
                    reason: Exclusion::Refused,
                    message: refusal.message,
                    field: Some(refusal.field),
                };
                excluded.insert(cluster, row);
            }
        }
    }
    (clusters, excluded.into_values().collect())
}

/// How a divided Job's completions are shared: by each cluster's parallelism.
fn completions(
    object: &Object<'_>,
    policy: Option<&PropagationPolicy>,
    workload: Option<Workload>,
    schedule: &Schedule,
) -> BTreeMap<ClusterName, i64> {
    let divides = policy.is_some_and(|policy| policy.placement.strategy.divides());
    match workload.and_then(|workload| workload.completions) {
        Some(total) if divides => {
            let weights: Vec<_> = schedule
                .targets
                .iter()
                .map(|(cluster, target)| (cluster.clone(), target.replicas.unwrap_or(0)))
                .collect();
            let shares = division::webster(total, &weights, Ties::of(object.uid));
            weights
                .into_iter()
                .map(|(cluster, _)| {
                    let share = shares.get(&cluster).copied().unwrap_or(0);
                    (cluster, share)
                })
                .collect()
        }
        _ => BTreeMap::new(),
    }
}
