//! One plain object of the log decided under the policies of the log: the way that `plan` goes, with what the log knows in place of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Refusal;
use crate::dialect::group_of;
use crate::dialect::kinds::{self, Scope};
use crate::field::Field;
use crate::model::{ApplyPolicy, ClusterName, ObjectKey};
use crate::placement::Exclusion;
use crate::report::ObjectPlan;

use super::dependencies::Needs;
use super::draft::{Around, Draft, follow};
use super::member::Member;
use super::observed::ObservedRows;
use super::overriders::OverridePolicy;
use super::policy::PropagationPolicy;
use super::resource::{Object, ResourceSelector, best_fit, scopes};
use super::schedule::{Schedule, Target, Telling};
use super::set::Set;

/// A plain object of the log.
#[derive(Debug, Clone)]
pub struct Plain<'a> {
    /// Which object it is.
    pub key: &'a ObjectKey,
    /// As handed in.
    pub document: &'a Value,
    /// Since when it is there, in RFC 3339; a document that says so itself wins.
    pub created: &'a str,
    /// Where it was placed, with how many replicas (0 for kinds without).
    pub held: &'a BTreeMap<ClusterName, i64>,
    /// How many more replicas clusters could take; absent where no limit is known.
    pub available: &'a BTreeMap<ClusterName, i64>,
}

/// What was decided about it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Where it goes and as what.
    pub plan: ObjectPlan,
    /// How it is applied there.
    pub apply: ApplyPolicy,
    /// The policies that it goes by: the one that places it, then those whose overrides concern it.
    pub policies: Vec<ObjectKey>,
}

/// What files that are handed in together say about the scope of kinds that nobody knows: their definitions, and namespaced policies that
/// select them.
#[derive(Debug, Clone, Default)]
pub struct Scopes(BTreeMap<(String, String), Scope>);

impl Scopes {
    /// What `documents` say.
    pub fn of<'a>(documents: impl Iterator<Item = &'a Value> + Clone) -> Self {
        let mut known = scopes(documents.clone());
        for concern in documents.filter_map(Concern::of) {
            for selector in concern
                .selectors
                .iter()
                .filter(|_| concern.namespace.is_some())
            {
                let kind = (
                    group_of(&selector.api_version).to_owned(),
                    selector.kind.clone(),
                );
                known.entry(kind).or_insert(Scope::Namespaced);
            }
        }
        Self(known)
    }
}

/// The object that a plain document is: where nobody knows its kind and it names no namespace, it lives in none.
///
/// # Errors
/// What is no object, or whose name is none.
pub fn identify(document: &Value, scopes: &Scopes) -> Result<ObjectKey, Refusal> {
    Object::read(document, &scopes.0, |_, _| false).map(|object| object.key)
}

/// Whether a plain document may be `key`: its scope is its publisher's to say where nobody here knows its kind.
pub fn may_be(document: &Value, key: &ObjectKey) -> bool {
    let is_known = kinds::find(key.kind(), Some(key.group())).is_some();
    let plain = Plain {
        key,
        document,
        created: "",
        held: &BTreeMap::new(),
        available: &BTreeMap::new(),
    };
    let scopes = match is_known {
        true => BTreeMap::new(),
        false => scope(&plain),
    };
    Object::read(document, &scopes, |_, _| false).is_ok_and(|object| object.key == *key)
}

impl Plain<'_> {
    fn draft<'a>(&'a self, around: Around<'a>) -> Draft<'a> {
        Draft::of(self.document, Some(self.created), &scope(self), around)
    }

    /// What `ask` finds out about the object by itself.
    fn alone<T>(
        &self,
        set: &Set,
        members: &BTreeMap<ClusterName, Member>,
        telling: Telling,
        ask: impl FnOnce(Draft<'_>) -> T,
    ) -> T {
        let mut observed = ObservedRows::default();
        observed.hold(self.key, self.held, self.available);
        ask(self.draft(Around {
            set,
            members,
            observed: &observed,
            telling,
        }))
    }
}

/// Decides about `asked`; `others` are plain objects that may take it along. Of clusters that nobody meant only those are told why that hold
/// the object.
pub fn decide(
    set: &Set,
    asked: &Plain<'_>,
    others: &[Plain<'_>],
    members: &BTreeMap<ClusterName, Member>,
) -> Decided {
    let mut observed = ObservedRows::default();
    for plain in others.iter().chain([asked]) {
        observed.hold(plain.key, plain.held, plain.available);
    }
    let around = Around {
        set,
        members,
        observed: &observed,
        telling: Telling::Concerned,
    };
    let mut drafts: Vec<Draft<'_>> = [asked]
        .into_iter()
        .chain(others)
        .map(|plain| plain.draft(around))
        .collect();
    follow(&mut drafts);
    let draft = drafts.swap_remove(0);
    Decided {
        apply: draft.apply_policy(),
        policies: draft.policies(set),
        plan: draft.finish(set, members),
    }
}

/// Renders an object again for the clusters and with the `shares` that were decided; where an override fails there is no manifest.
pub fn render(
    set: &Set,
    plain: &Plain<'_>,
    shares: &BTreeMap<ClusterName, Option<i64>>,
    members: &BTreeMap<ClusterName, Member>,
) -> Vec<Arc<Value>> {
    let targets = shares.iter().map(|(cluster, replicas)| {
        let target = Target {
            replicas: *replicas,
            reasons: Vec::new(),
        };
        (cluster.clone(), target)
    });
    let schedule = Schedule {
        targets: targets.collect(),
        ..Schedule::default()
    };
    let plan = plain.alone(set, members, Telling::Concerned, |draft| {
        draft.with_schedule(schedule).finish(set, members)
    });
    plan.clusters
        .into_iter()
        .map(|planned| planned.manifest)
        .collect()
}

/// Why `cluster` does not get an object; none where nothing is in its way.
pub fn why_not(
    set: &Set,
    plain: &Plain<'_>,
    members: &BTreeMap<ClusterName, Member>,
    cluster: &ClusterName,
) -> Option<(Exclusion, Refusal)> {
    plain.alone(set, members, Telling::All, |draft| draft.why_not(cluster))
}

/// How an object is applied where it lands.
pub fn apply_policy(set: &Set, plain: &Plain<'_>) -> ApplyPolicy {
    plain.alone(set, &BTreeMap::new(), Telling::Concerned, |draft| {
        draft.apply_policy()
    })
}

/// Whether it stays as it is whatever becomes of clusters where it is not: Karmada divides a workload anew only where its policy, its replicas
/// or one of its clusters changed, or where not all of its replicas are placed.
pub fn rests(set: &Set, plain: &Plain<'_>) -> bool {
    let divides = plain.alone(set, &BTreeMap::new(), Telling::Concerned, |draft| {
        draft.divides()
    });
    divides.is_some_and(|replicas| {
        !plain.held.is_empty() && plain.held.values().sum::<i64>() == replicas
    })
}

/// Whether it is divided by how much its clusters could take.
pub fn divides_by_room(
    set: &Set,
    plain: &Plain<'_>,
    members: &BTreeMap<ClusterName, Member>,
) -> bool {
    plain.alone(set, members, Telling::Concerned, |draft| {
        draft.divides_by_room()
    })
}

/// The objects of its namespace that an object names, as those of the kinds that can follow it.
pub fn names(document: &Value, key: &ObjectKey) -> Vec<ObjectKey> {
    let needs = Needs::of(document);
    needs.keys(key.namespace())
}

/// The scope that the log has settled for the kind.
fn scope(plain: &Plain<'_>) -> BTreeMap<(String, String), Scope> {
    let api_version = plain.document["apiVersion"].as_str().unwrap_or_default();
    let kind = (
        group_of(api_version).to_owned(),
        plain.key.kind().to_owned(),
    );
    let scope = match plain.key.namespace() {
        Some(_) => Scope::Namespaced,
        None => Scope::Cluster,
    };
    [(kind, scope)].into()
}

/// Which plain objects a policy may change something for.
#[derive(Debug, Clone, PartialEq)]
pub struct Concern {
    namespace: Option<String>,
    /// Whether it concerns objects of every kind where it selects none.
    or_all: bool,
    selectors: Vec<ResourceSelector>,
    /// Whether what the objects name follows them.
    takes_along: bool,
    /// The override policies that it waits for.
    waits_for: Vec<String>,
}

impl Concern {
    /// Of the policy in `document`; none where that is no policy of Karmada's.
    pub fn of(document: &Value) -> Option<Self> {
        let kind = Field::root(document).get("kind").string().ok()?;
        match kind {
            "PropagationPolicy" | "ClusterPropagationPolicy" => {
                let policy = PropagationPolicy::read(document, kind == "PropagationPolicy").ok()?;
                Some(Self {
                    namespace: policy.namespace,
                    or_all: false,
                    selectors: policy.selectors,
                    takes_along: policy.propagate_deps,
                    waits_for: policy.dependent_overrides,
                })
            }
            "OverridePolicy" | "ClusterOverridePolicy" => {
                let policy = OverridePolicy::read(document, kind == "OverridePolicy").ok()?;
                Some(Self {
                    namespace: policy.namespace,
                    or_all: true,
                    selectors: policy.selectors,
                    takes_along: false,
                    waits_for: Vec::new(),
                })
            }
            _ => None,
        }
    }

    /// The kinds that it propagates, each with its apiVersion; none of an override policy.
    pub fn propagates(&self) -> impl Iterator<Item = (&str, &str)> {
        let selectors = self.selectors.iter().filter(|_| !self.or_all);
        selectors.map(|selector| (selector.api_version.as_str(), selector.kind.as_str()))
    }

    /// Whether what the objects that it propagates name follows them.
    pub fn takes_along(&self) -> bool {
        self.takes_along
    }

    /// Whether it waits for the override policy `key` before it propagates anything.
    pub fn waits_for(&self, key: &ObjectKey) -> bool {
        key.kind().ends_with("OverridePolicy")
            && key.namespace() == self.namespace.as_deref()
            && self.waits_for.iter().any(|name| name == key.name())
    }

    /// Whether it concerns the object `key` with `document`.
    pub fn includes(&self, key: &ObjectKey, document: &Value) -> bool {
        if self.namespace.is_some() && self.namespace.as_deref() != key.namespace() {
            return false;
        }
        if self.selectors.is_empty() {
            return self.or_all;
        }
        let plain = Plain {
            key,
            document,
            created: "",
            held: &BTreeMap::new(),
            available: &BTreeMap::new(),
        };
        let object = Object::read(document, &scope(&plain), |_, _| false);
        object.is_ok_and(|object| best_fit(&self.selectors, &object).is_some())
    }
}
