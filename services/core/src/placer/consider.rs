//! What a decision about one object says, whoever says where it goes: its own document, a preference beside it, or policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Object, Parsed, Placer};
use crate::Refusal;
use crate::decision::{PolicyUsed, Standings};
use crate::dialect::karmada::live::{self, Plain};
use crate::dialect::kubefed;
use crate::digest;
use crate::document::Document;
use crate::model::federated::OnDelete;
use crate::model::{
    ApplyPolicy, Cluster, ClusterName, Divide, FederatedObject, ObjectKey, Selector,
};
use crate::placement::{Exclusion, Holding};
use crate::plan::{self, Plan, Rendered, Verdict};
use crate::planning::preferences;
use crate::report::ObjectPlan;
use crate::sealed;

/// What a decision says.
pub(super) struct Considered {
    pub(super) verdicts: BTreeMap<ClusterName, Verdict>,
    /// What happens to copies that are to go.
    pub(super) on_delete: OnDelete,
    /// Why those go that nobody means any more.
    pub(super) gone_because: String,
    /// What it went by.
    pub(super) policies: Vec<PolicyUsed>,
    /// How it is applied, as [`crate::model::federated::ApplyPolicy::mark`] tells.
    pub(super) apply: String,
    /// How many more replicas clusters could take, where that was looked at.
    pub(super) available: BTreeMap<ClusterName, i64>,
}

/// A plain object with what is known of it.
struct Known {
    key: ObjectKey,
    document: Arc<Value>,
    created: String,
    held: BTreeMap<ClusterName, i64>,
}

impl Known {
    fn of(key: &ObjectKey, object: &Object, document: &Arc<Value>) -> Self {
        Self {
            key: key.clone(),
            document: document.clone(),
            created: object.born.rfc3339(),
            held: object.standings.replicas(),
        }
    }

    fn plain(&self) -> Plain<'_> {
        Plain {
            key: &self.key,
            document: &self.document,
            created: &self.created,
            held: &self.held,
            available: &NOT_LOOKED_AT,
        }
    }
}

/// Nobody asks how much room there is.
static NOT_LOOKED_AT: BTreeMap<ClusterName, i64> = BTreeMap::new();

impl Placer {
    /// What a decision about `key` says now; none where its document cannot be read.
    pub(super) fn consider(&mut self, key: &ObjectKey) -> Option<Considered> {
        let object = self.objects.get_mut(key)?;
        let parsed = object.parse();
        let (revision, was_placed) = (object.revision, object.is_placed);
        if let Some(orphan) = object.withdrawn {
            let keeps = orphan
                || parsed
                    .as_ref()
                    .is_some_and(|parsed| self.on_delete(key, parsed) == OnDelete::Orphan);
            return Some(Considered {
                verdicts: BTreeMap::new(),
                on_delete: match keeps {
                    true => OnDelete::Orphan,
                    false => OnDelete::Delete,
                },
                gone_because: format!("withdrawn in revision {revision}"),
                policies: Vec::new(),
                apply: String::new(),
                available: BTreeMap::new(),
            });
        }
        let gone_because = format!("NotSelected: no longer meant in revision {revision}");
        Some(match parsed? {
            Parsed::Federated(object) => {
                let (plan, policies) = self.plan_federated(key, &object);
                let available = self.available_for(&object);
                Considered {
                    verdicts: plan.verdicts,
                    on_delete: object.apply.on_delete,
                    gone_because,
                    policies,
                    apply: object.apply.mark(),
                    available,
                }
            }
            Parsed::Plain(document) => {
                let (decided, available) = self.decide_plain(key, &document);
                let no_policy = |plan: &ObjectPlan| {
                    let mut excluded = plan.excluded.iter();
                    excluded.any(|excluded| excluded.reason == Exclusion::NoPolicy)
                };
                Considered {
                    // A policy that goes leaves the copies where they are; what only followed others goes with them.
                    on_delete: match was_placed && no_policy(&decided.plan) {
                        true => OnDelete::Orphan,
                        false => decided.apply.on_delete,
                    },
                    policies: self.policies.used(&decided.policies),
                    apply: decided.apply.mark(),
                    available,
                    verdicts: self.verdicts(key, decided.plan),
                    gone_because,
                }
            }
        })
    }

    /// Plans the plain object that would stand under `key` as a decision about it would now.
    pub fn plan_plain(&mut self, key: &ObjectKey, document: &Value) -> ObjectPlan {
        self.decide_plain(key, &Arc::new(document.clone())).0.plan
    }

    fn on_delete(&mut self, key: &ObjectKey, parsed: &Parsed) -> OnDelete {
        match parsed {
            Parsed::Federated(object) => object.apply.on_delete,
            Parsed::Plain(document) => self.decide_plain(key, document).0.apply.on_delete,
        }
    }

    /// How many more replicas of `object` clusters could take, where it is divided by that.
    pub(super) fn available_for(&self, object: &FederatedObject) -> BTreeMap<ClusterName, i64> {
        let division = object.division.as_ref();
        let is_by_room = division.is_some_and(|division| {
            matches!(division.divide, Divide::Available | Divide::Aggregated)
        });
        match is_by_room {
            true => self.available(&object.template),
            false => BTreeMap::new(),
        }
    }

    /// A decision about a plain object, and how many more replicas clusters could take, where it looked at that.
    fn decide_plain(
        &mut self,
        key: &ObjectKey,
        document: &Arc<Value>,
    ) -> (live::Decided, BTreeMap<ClusterName, i64>) {
        let blank = Object::new("");
        let asked = Known::of(key, self.objects.get(key).unwrap_or(&blank), document);
        let dependents = self.dependents.get(key).cloned().unwrap_or_default();
        let mut others = Vec::new();
        for dependent in dependents {
            if let Some(object) = self.objects.get_mut(&dependent)
                && object.withdrawn.is_none()
                && let Some(Parsed::Plain(document)) = object.parse()
            {
                others.push(Known::of(&dependent, object, &document));
            }
        }
        let others: Vec<Plain<'_>> = others.iter().map(Known::plain).collect();
        let members = self.policies.members(&self.clusters);
        let set = self.policies.set();
        let is_by_room =
            !self.capacities.is_empty() && live::divides_by_room(&set, &asked.plain(), &members);
        let available = match is_by_room {
            true => self.available(document),
            false => BTreeMap::new(),
        };
        let asked = Plain {
            available: &available,
            ..asked.plain()
        };
        (live::decide(&set, &asked, &others, &members), available)
    }

    /// A plan of Karmada's as verdicts: of clusters that nobody meant only those are named that hold the object.
    fn verdicts(&self, key: &ObjectKey, plan: ObjectPlan) -> BTreeMap<ClusterName, Verdict> {
        if let Some(refusal) = plan.refusal {
            let refused = |cluster: &ClusterName| {
                let verdict = Verdict::Excluded {
                    reason: Exclusion::Refused,
                    refusal: refusal.clone(),
                };
                (cluster.clone(), verdict)
            };
            return self.clusters.keys().map(refused).collect();
        }
        let holds = |cluster: &ClusterName| self.holds(key, cluster);
        let excluded = plan.excluded.into_iter();
        let mut verdicts: BTreeMap<ClusterName, Verdict> = excluded
            .filter(|one| one.reason != Exclusion::NotSelected || holds(&one.cluster))
            .map(|one| {
                let field = one.field.unwrap_or_default();
                let verdict = Verdict::Excluded {
                    reason: one.reason,
                    refusal: Refusal::new(field, one.message),
                };
                (one.cluster, verdict)
            })
            .collect();
        // Clusters with the same manifest share it: its digest is taken once.
        let mut shared: BTreeMap<*const Value, Arc<Rendered>> = BTreeMap::new();
        for planned in plan.clusters {
            let rendered = shared
                .entry(Arc::as_ptr(&planned.manifest))
                .or_insert_with(|| {
                    Arc::new(Rendered {
                        digest: digest::of_value(&planned.manifest),
                        replicas: planned.replicas,
                        sealed: sealed::is_in(&planned.manifest),
                        manifest: planned.manifest.clone(),
                    })
                });
            let registered = self.clusters.get(&planned.cluster);
            let has_key = registered.is_some_and(|cluster| cluster.sealing_key.is_some());
            let verdict = match rendered.sealed && !has_key {
                true => Verdict::Excluded {
                    reason: Exclusion::Refused,
                    refusal: plan::without_a_key(&planned.cluster),
                },
                false => Verdict::Assigned {
                    rendered: rendered.clone(),
                    replicas: planned.replicas,
                    reasons: planned.reasons.into(),
                },
            };
            verdicts.insert(planned.cluster, verdict);
        }
        verdicts
    }

    /// Plans an object that says itself where it goes, as a preference beside it may have rewritten it.
    fn plan_federated(&self, key: &ObjectKey, object: &FederatedObject) -> (Plan, Vec<PolicyUsed>) {
        let blank = Object::new("");
        let known = self.objects.get(key).unwrap_or(&blank);
        let around = self.around(object);
        let available = self.available_for(object);
        let plain = || around.plan(object, &self.clusters, &known.standings, &available);
        let Some((used, preference)) = self.policies.preference_of(object, known.change_sequence)
        else {
            return (plain(), Vec::new());
        };
        let mut selectors = Vec::new();
        if preference.intersect_with_cluster_selector {
            let namespace = object.target.namespace().unwrap_or_default();
            let namespace = ObjectKey::new("Namespace", "", None, namespace).ok();
            let namespace = namespace.and_then(|key| self.objects.get(&key));
            let Some(namespace) = namespace.filter(|known| known.withdrawn.is_none()) else {
                return (plain(), Vec::new());
            };
            selectors = vec![selector_of(namespace), selector_of(known)];
        }
        let holding = |cluster: &ClusterName| {
            let held = known.standings.replicas().get(cluster).copied();
            held.map(|replicas| Holding {
                holds: true,
                replicas: Some(replicas),
                ..Holding::default()
            })
        };
        let mut rewritten = object.clone();
        let (clusters, standings) = (&self.clusters, &known.standings);
        let Some(written) =
            preferences::schedule(&preference, &mut rewritten, &selectors, clusters, holding)
        else {
            return (plain(), Vec::new());
        };
        let mut plan = around.plan(&rewritten, clusters, standings, &available);
        for (cluster, verdict) in &mut plan.verdicts {
            if let Verdict::Assigned { reasons, .. } = verdict
                && let Some(why) = written.by_cluster.get(cluster)
            {
                let all = reasons.iter().chain([why]).cloned();
                *reasons = all.collect::<Vec<_>>().into();
            }
        }
        plan.unplaced += written.unplaced;
        (plan, vec![used])
    }

    /// The manifest with `digest` that `cluster` should hold of `revision`, from the last plan or rendered again, and how it is applied.
    pub(super) fn manifest(
        &mut self,
        key: &ObjectKey,
        cluster: &ClusterName,
        digest: &str,
        replicas: Option<i64>,
        revision: u64,
    ) -> Option<(Document, ApplyPolicy)> {
        let object = self.objects.get_mut(key)?;
        let planned = object.planned(digest);
        match object.parse()? {
            Parsed::Federated(newest) => {
                let older = || object.read_revision(revision);
                let registered = self.clusters.get(cluster);
                let preference = self.policies.preference_of(&newest, object.change_sequence);
                let rewritten = |object: &Arc<FederatedObject>| match (&preference, replicas) {
                    (Some(_), Some(replicas)) => {
                        let mut object = FederatedObject::clone(object);
                        let planned = [(cluster.clone(), replicas)].into();
                        preferences::override_replicas(&mut object.overrides, &planned);
                        Arc::new(object)
                    }
                    _ => object.clone(),
                };
                let again = |object: &Arc<FederatedObject>| {
                    let rendered = plan::render_with(&rewritten(object), registered?, replicas);
                    let rendered = rendered.ok().filter(|one| one.digest == digest)?;
                    Some(Document::from_value(&rendered.manifest))
                };
                let manifest = planned
                    .or_else(|| again(&newest))
                    .or_else(|| again(older()?.federated()?))?;
                let policy = registered.map_or_else(
                    || newest.apply.clone(),
                    |cluster| plan::policy_for(&rewritten(&newest), cluster),
                );
                Some((manifest, policy))
            }
            Parsed::Plain(newest) => {
                let older = object.read_revision(revision);
                let shares = shares(object);
                let known = Known::of(key, object, &newest);
                let (set, members) = (self.policies.set(), self.policies.members(&self.clusters));
                let again = |plain: &Plain<'_>| {
                    let mut manifests = live::render(&set, plain, &shares, &members).into_iter();
                    let found = manifests.find(|manifest| digest::of_value(manifest) == digest)?;
                    Some(Document::from_value(&found))
                };
                let again_older = || match older {
                    Some(Parsed::Plain(document)) => again(&Plain {
                        document: &document,
                        ..known.plain()
                    }),
                    Some(Parsed::Federated(_)) | None => None,
                };
                let manifest = planned
                    .or_else(|| again(&known.plain()))
                    .or_else(again_older)?;
                Some((manifest, live::apply_policy(&set, &known.plain())))
            }
        }
    }
}

/// Takes an object from clusters that are to leave with their copies, whatever it tolerates and whoever placed it.
pub(super) fn take_from<'a>(
    leaving: impl Iterator<Item = &'a Cluster>,
    verdicts: &mut BTreeMap<ClusterName, Verdict>,
    standings: &Standings,
) {
    for cluster in leaving {
        let stays = matches!(verdicts.get(&cluster.name), Some(Verdict::Assigned { .. }));
        if stays || standings.holds(&cluster.name) {
            let verdict = Verdict::Excluded {
                reason: Exclusion::Tainted,
                refusal: Refusal::new("", "is to leave the fleet with its copies"),
            };
            verdicts.insert(cluster.name.clone(), verdict);
        }
    }
}

/// What was decided for each cluster that should hold it.
fn shares(object: &Object) -> BTreeMap<ClusterName, Option<i64>> {
    let standings = object.standings.iter();
    standings
        .filter_map(|(cluster, standing)| match standing {
            crate::decision::Standing::Assigned { replicas, .. } => {
                Some((cluster.clone(), *replicas))
            }
            crate::decision::Standing::Removing { .. }
            | crate::decision::Standing::Excluded { .. } => None,
        })
        .collect()
}

/// The selector alone of an object's newest document: what KubeFed's scheduler intersects with. An error selects nothing.
fn selector_of(object: &Object) -> Option<Selector> {
    let document = object.documents.values().next_back()?.value().ok()?;
    kubefed::selector_alone(&document).ok().flatten()
}
