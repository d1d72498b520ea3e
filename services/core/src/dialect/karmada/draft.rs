//! An object on its way to a plan: scheduled first, then joined by what follows it, then rendered for every cluster.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;
use crate::dialect::kinds::Scope;
use crate::health;
use crate::model::federated::{Adopt, Conflict, OnDelete, Predecessor, Reported};
use crate::model::{ApplyPolicy, ClusterName, Dialect, ObjectKey};
use crate::placement::Exclusion;
use crate::report::{ObjectPlan, Target as Identity};

use super::dependencies::Needs;
use super::division::Ties;
use super::member::Member;
use super::observed::ObservedRows;
use super::overriders::{OverridePolicy, policies_for};
use super::policy::{PropagationPolicy, Strategy, Suspension};
use super::precedence::policy_for;
use super::render::{Scheduled, render};
use super::resource::Object;
use super::schedule::{Ask, Schedule, Target, Telling, schedule};
use super::set::Set;
use super::workload::Workload;

/// What objects are scheduled among.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) set: &'a Set,
    pub(super) members: &'a BTreeMap<ClusterName, Member>,
    pub(super) observed: &'a ObservedRows<'a>,
    pub(super) telling: Telling,
}

/// An object, scheduled but not yet rendered.
pub(super) struct Draft<'a> {
    identity: Identity,
    state: Result<Scheduled<'a>, Refusal>,
}

impl<'a> Draft<'a> {
    /// Schedules an object; `created` is since when it is there, where its document does not say so.
    pub(super) fn of(
        document: &'a Value,
        created: Option<&'a str>,
        scopes: &BTreeMap<(String, String), Scope>,
        around: Around<'a>,
    ) -> Self {
        match Object::read(document, scopes, |api_version, kind| {
            around.set.selects_as_namespaced(api_version, kind)
        }) {
            Ok(mut object) => {
                object.created = object.created.or(created);
                Self {
                    identity: identity(&object.key, object.api_version),
                    state: Scheduled::of(object, around),
                }
            }
            Err(refusal) => {
                let text = |pointer: &str| {
                    document
                        .pointer(pointer)
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                };
                let identity = Identity {
                    api_version: text("/apiVersion").unwrap_or_default(),
                    kind: text("/kind").unwrap_or_default(),
                    namespace: text("/metadata/namespace"),
                    name: text("/metadata/name").unwrap_or_default(),
                };
                Self {
                    identity,
                    state: Err(refusal),
                }
            }
        }
    }

    /// How the object is applied in its clusters: Karmada updates what it manages, leaves alone what it does not (unless the policy or,
    /// before it, the object says `Overwrite`), and deletes its copies unless the policy preserves them.
    pub(super) fn apply_policy(&self) -> ApplyPolicy {
        let scheduled = self.state.as_ref().ok();
        let policy = scheduled.and_then(|scheduled| scheduled.policy);
        let stated = scheduled.and_then(|scheduled| {
            let key = "work.karmada.io/conflict-resolution";
            scheduled.object.annotations.get(key)
        });
        let overwrites = match stated.map(String::as_str) {
            Some("overwrite") => true,
            Some("abort") => false,
            _ => policy.is_some_and(|policy| policy.overwrites),
        };
        let retains = scheduled.is_some_and(|scheduled| {
            let key = "resourcetemplate.karmada.io/retain-replicas";
            let label = scheduled.object.labels.get(key);
            scheduled.object.key.kind() == "Deployment"
                && label.is_some_and(|value| value == "true")
        });
        ApplyPolicy {
            conflict: Conflict::Force,
            predecessor: Some(Predecessor::Karmada),
            adopt: if overwrites {
                Adopt::Always
            } else {
                Adopt::Never
            },
            on_delete: if policy.is_some_and(|policy| policy.preserve) {
                OnDelete::Orphan
            } else {
                OnDelete::Delete
            },
            ignore: retains
                .then(|| "/spec/replicas".to_owned())
                .into_iter()
                .collect(),
            report: match scheduled.is_some_and(|scheduled| {
                let key = &scheduled.object.key;
                health::status::is_summed(key.group(), key.kind())
            }) {
                true => Reported::Summed,
                false => Reported::Selected,
            },
            ..ApplyPolicy::default()
        }
    }

    /// How many replicas are divided among its clusters; none where they are not.
    pub(super) fn divides(&self) -> Option<i64> {
        let scheduled = self.state.as_ref().ok()?;
        let strategy = &scheduled.policy?.placement.strategy;
        let workload = scheduled.workload.filter(|_| strategy.divides())?;
        Some(workload.replicas)
    }

    /// Whether its replicas are divided by how many more its clusters could take.
    pub(super) fn divides_by_room(&self) -> bool {
        let scheduled = self.state.as_ref().ok();
        scheduled.is_some_and(|scheduled| {
            let strategy = scheduled.policy.map(|policy| &policy.placement.strategy);
            scheduled.workload.is_some()
                && matches!(strategy, Some(Strategy::Dynamic | Strategy::Aggregated))
        })
    }

    /// Why `cluster` does not get it, as far as it was told.
    pub(super) fn why_not(&self, cluster: &ClusterName) -> Option<(Exclusion, Refusal)> {
        match &self.state {
            Err(refusal) => Some((Exclusion::Refused, refusal.clone())),
            Ok(scheduled) => {
                let (reason, text) = scheduled.schedule.excluded.get(cluster)?;
                Some((*reason, Refusal::new("", text.clone())))
            }
        }
    }

    /// The same object where it was scheduled so.
    pub(super) fn with_schedule(self, schedule: Schedule) -> Self {
        Self {
            identity: self.identity,
            state: self.state.map(|scheduled| Scheduled {
                schedule,
                ..scheduled
            }),
        }
    }

    /// The policies that it goes by: the one that places it, then those whose overrides concern it.
    pub(super) fn policies(&self, set: &Set) -> Vec<ObjectKey> {
        let Ok(scheduled) = &self.state else {
            return Vec::new();
        };
        let placing = scheduled.policy.map(PropagationPolicy::key);
        let overriding = policies_for(&set.overrides, &scheduled.object)
            .into_iter()
            .map(OverridePolicy::key);
        placing.into_iter().chain(overriding).collect()
    }

    /// Renders the object for its clusters.
    pub(super) fn finish(self, set: &Set, members: &BTreeMap<ClusterName, Member>) -> ObjectPlan {
        let Self { identity, state } = self;
        let (refusal, unplaced_replicas, (clusters, excluded)) = match state {
            Err(refusal) => (Some(refusal), 0, (Vec::new(), Vec::new())),
            Ok(scheduled) => (
                None,
                scheduled.schedule.unplaced,
                render(scheduled, set, members),
            ),
        };
        ObjectPlan {
            object: identity,
            dialect: Dialect::Karmada,
            refusal,
            clusters,
            excluded,
            unplaced_replicas,
        }
    }
}

fn identity(key: &ObjectKey, api_version: &str) -> Identity {
    Identity {
        api_version: api_version.to_owned(),
        kind: key.kind().to_owned(),
        namespace: key.namespace().map(str::to_owned),
        name: key.name().to_owned(),
    }
}

impl<'a> Scheduled<'a> {
    fn of(object: Object<'a>, around: Around<'a>) -> Result<Self, Refusal> {
        let Around { set, members, .. } = around;
        let workload = Workload::read(object.document);
        if workload.is_some_and(|workload| workload.replicas > i64::from(i32::MAX)) {
            return Err(Refusal::new(
                "spec.replicas",
                "must be an integer of 32 bits",
            ));
        }
        let (policy, schedule) = if is_reserved(&object) {
            let text = "is in a namespace that Karmada never propagates";
            (None, nowhere(members, Exclusion::NoPolicy, text))
        } else if goes_everywhere(&object) {
            (None, everywhere(members))
        } else {
            match policy_for(set, &object) {
                None => {
                    let text =
                        "no PropagationPolicy or ClusterPropagationPolicy selects the object";
                    (None, nowhere(members, Exclusion::NoPolicy, text))
                }
                Some(found) => {
                    let mut schedule = under_policy(&object, found.policy, workload, around);
                    let reason = format!(
                        "{} selects the object {}",
                        found.policy.for_people(),
                        found.fit.for_people()
                    );
                    for target in schedule.targets.values_mut() {
                        target.reasons.insert(0, reason.clone());
                        if found.policy.preserve {
                            target
                                .reasons
                                .push("the copy there survives the deletion of the object".into());
                        }
                    }
                    if let Some(text) = missing_override(set, found.policy) {
                        suspend(&mut schedule, &text, |_| true);
                    }
                    (Some(found.policy), schedule)
                }
            }
        };
        Ok(Self {
            object,
            policy,
            workload,
            schedule,
        })
    }
}

fn under_policy(
    object: &Object<'_>,
    policy: &PropagationPolicy,
    workload: Option<Workload>,
    around: Around<'_>,
) -> Schedule {
    let known = around.observed.known(&object.key);
    let mut schedule = schedule(
        Ask {
            placement: &policy.placement,
            api_version: object.api_version,
            kind: object.key.kind(),
            workload,
            ties: Ties::of(object.uid),
            held: &known.held,
            available: &known.available,
            telling: around.telling,
        },
        around.members,
    );
    let text = format!("{} suspends dispatching", policy.for_people());
    match &policy.suspension {
        Suspension::Everywhere => suspend(&mut schedule, &text, |_| true),
        Suspension::Clusters(names) => suspend(&mut schedule, &text, |cluster| {
            names.iter().any(|name| name == cluster.as_str())
        }),
    }
    schedule
}

/// Takes targets out where propagation rests.
fn suspend(schedule: &mut Schedule, text: &str, rests: impl Fn(&ClusterName) -> bool) {
    let (resting, going) = std::mem::take(&mut schedule.targets)
        .into_iter()
        .partition(|(cluster, _)| rests(cluster));
    schedule.targets = going;
    let resting: BTreeMap<ClusterName, Target> = resting;
    for cluster in resting.into_keys() {
        schedule
            .excluded
            .insert(cluster, (Exclusion::Suspended, text.to_owned()));
    }
}

/// An override policy that must exist before the policy propagates anything, and does not.
fn missing_override(set: &Set, policy: &PropagationPolicy) -> Option<String> {
    let exists = |name: &String| {
        set.overrides
            .iter()
            .any(|found| found.namespace == policy.namespace && found.name == *name)
    };
    let missing = policy
        .dependent_overrides
        .iter()
        .find(|name| !exists(name))?;
    Some(format!(
        "{} waits for the override policy {missing}, which is not there",
        policy.for_people()
    ))
}

fn nowhere(members: &BTreeMap<ClusterName, Member>, reason: Exclusion, text: &str) -> Schedule {
    Schedule {
        excluded: members
            .keys()
            .map(|cluster| (cluster.clone(), (reason, text.to_owned())))
            .collect(),
        ..Schedule::default()
    }
}

fn everywhere(members: &BTreeMap<ClusterName, Member>) -> Schedule {
    let target = Target {
        replicas: None,
        reasons: vec!["Karmada sends every namespace to every cluster".to_owned()],
    };
    let (leaving, staying): (Vec<_>, Vec<_>) = members.values().partition(|member| member.leaving);
    let text = "is being removed from the fleet";
    Schedule {
        targets: staying
            .into_iter()
            .map(|member| (member.name.clone(), target.clone()))
            .collect(),
        excluded: leaving
            .into_iter()
            .map(|member| {
                let row = (Exclusion::Cordoned, text.to_owned());
                (member.name.clone(), row)
            })
            .collect(),
        unplaced: 0,
    }
}

/// Whether nothing of the namespace is ever propagated.
fn is_reserved(object: &Object<'_>) -> bool {
    let namespace = match object.key.namespace() {
        None if is_namespace(object) => object.key.name(),
        None => return false,
        Some(namespace) => namespace,
    };
    matches!(namespace, "karmada-system" | "karmada-cluster")
        || namespace.starts_with("karmada-es-")
        || namespace.starts_with("kube-")
}

fn is_namespace(object: &Object<'_>) -> bool {
    object.key.kind() == "Namespace" && object.key.group().is_empty()
}

/// Namespaces need no policy, except for `default` and those that say so.
fn goes_everywhere(object: &Object<'_>) -> bool {
    is_namespace(object)
        && object.key.name() != "default"
        && object
            .labels
            .get("namespace.karmada.io/skip-auto-propagation")
            .is_none_or(|skip| skip != "true")
}

/// Lets what workloads name follow them, where their policies say `propagateDeps`: to its own clusters and all of theirs.
pub(super) fn follow(drafts: &mut [Draft<'_>]) {
    let followed: Vec<_> = drafts
        .iter()
        .filter_map(|draft| draft.state.as_ref().ok())
        .filter(|scheduled| scheduled.policy.is_some_and(|policy| policy.propagate_deps))
        .map(|scheduled| {
            let clusters: Vec<ClusterName> = scheduled.schedule.targets.keys().cloned().collect();
            (
                scheduled.object.key.clone(),
                Needs::of(scheduled.object.document),
                clusters,
            )
        })
        .filter(|(_, needs, _)| !needs.is_empty())
        .collect();
    if followed.is_empty() {
        return;
    }
    for scheduled in drafts
        .iter_mut()
        .filter_map(|draft| draft.state.as_mut().ok())
    {
        for (key, needs, clusters) in &followed {
            if key.namespace() != scheduled.object.key.namespace()
                || !needs.include(&scheduled.object)
            {
                continue;
            }
            let schedule = &mut scheduled.schedule;
            for cluster in clusters {
                if schedule
                    .excluded
                    .get(cluster)
                    .is_some_and(|(reason, _)| *reason == Exclusion::Suspended)
                {
                    continue;
                }
                schedule.excluded.remove(cluster);
                schedule
                    .targets
                    .entry(cluster.clone())
                    .or_insert_with(|| Target {
                        replicas: None,
                        reasons: Vec::new(),
                    })
                    .reasons
                    .push(format!("follows {}, which names it", key.for_people()));
            }
        }
    }
}
