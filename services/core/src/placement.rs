//! Which clusters an object may go to, and why each other one does not; [`choose`] then picks among them by spread and preference.
//!
//! A new rule is an arm in [`judge`] (it looks at a placement and a cluster) or in [`judge_all`] (it looks at more), and its word in
//! [`Exclusion`] where the contract has one.

pub mod choose;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::model::{
    Cluster, ClusterName, Dialect, FederatedObject, Placement, TaintEffect, Toleration,
};

/// Why a cluster does not get an object (the words of the `plan` contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Exclusion {
    /// Neither named nor selected.
    NotSelected,
    /// Left out by name.
    Excluded,
    /// Named, but not registered.
    Unknown,
    /// It has a taint that is not tolerated.
    Tainted,
    /// It is not ready.
    NotReady,
    /// It takes nothing new.
    Cordoned,
    /// It does not serve the kind.
    ApiMissing,
    /// It has no room.
    NoCapacity,
    /// Division gave it no replicas.
    ZeroReplicas,
    /// A spread rule left it out.
    Spread,
    /// The object's namespace is not there.
    Namespace,
    /// An override cannot be applied.
    Refused,
    /// No policy selects the object.
    NoPolicy,
    /// Propagation rests.
    Suspended,
}

impl Exclusion {
    /// Whether a copy that is there stays as it is: the newest change cannot be carried out, but nobody asked to take the old one away.
    pub fn keeps_what_is_there(self) -> bool {
        match self {
            Self::Refused | Self::Suspended => true,
            Self::NotSelected
            | Self::Excluded
            | Self::Unknown
            | Self::Tainted
            | Self::NotReady
            | Self::Cordoned
            | Self::ApiMissing
            | Self::NoCapacity
            | Self::ZeroReplicas
            | Self::Spread
            | Self::Namespace
            | Self::NoPolicy => false,
        }
    }
}

/// Why a cluster gets an object, shared by all clusters that get it for the same reasons; or which rule keeps it away.
pub type Judgement = Result<Reasons, (Exclusion, Refusal)>;

/// Reasons in their order, cheap to give to many clusters.
pub type Reasons = Arc<[String]>;

/// `reasons` and one more.
fn with(reasons: &Reasons, more: &str) -> Reasons {
    reasons
        .iter()
        .cloned()
        .chain([more.to_owned()])
        .collect::<Vec<_>>()
        .into()
}

/// The namespaces that KubeFed never propagates.
const KUBEFED_SYSTEM_NAMESPACES: &[&str] = &["kube-system", "kube-public", "default"];

/// What a cluster is known to hold of an object; what is absent is unknown, which means no limit known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// Whether it holds it.
    pub holds: bool,
    /// The replicas that it is asked for there.
    pub replicas: Option<i64>,
    /// Those of them that are ready.
    pub ready: Option<i64>,
    /// How many replicas the cluster could hold in all.
    pub capacity: Option<i64>,
    /// How many more it could take.
    pub available: Option<i64>,
}

/// The federated namespace that an object of KubeFed's lies in: it goes nowhere where its namespace does not.
#[derive(Debug, Clone, Copy, Default)]
pub enum Containment<'a> {
    /// Nothing contains it.
    #[default]
    None,
    /// It should be contained, and its namespace is not federated.
    Missing,
    /// It goes where this goes.
    Within(&'a Placement),
}

/// What surrounds an object when it is placed.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The registered clusters.
    pub clusters: &'a BTreeMap<ClusterName, Cluster>,
    /// What each of them holds of the object.
    pub holding: &'a dyn Fn(&ClusterName) -> Holding,
    /// What contains it; looked at for KubeFed's objects in a namespace.
    pub containment: Containment<'a>,
    /// Clusters that get it because an object there names it, and which one.
    pub needed: &'a BTreeMap<ClusterName, String>,
    /// Whether clusters that nobody meant get a judgement, too.
    pub all: bool,
}

impl Holding {
    /// How many replicas there is room for in all, what is there included; none where no limit is known.
    pub fn room(&self) -> Option<i64> {
        let more = self
            .available
            .map(|more| more.saturating_add(self.replicas.unwrap_or(0)));
        self.capacity.or(more).map(|room| room.max(0))
    }
}

/// Judges one registered cluster. `holds` tells whether it has the object already: a cordon or a NoSchedule taint keeps only new ones away.
///
/// # Errors
/// The first rule that keeps the object away, in the order: excluded, not named, not selected, tainted, cordoned.
pub fn judge(placement: &Placement, cluster: &Cluster, holds: bool) -> Judgement {
    let meant = Meant::of(placement);
    meant.judge(cluster)?;
    admitted(&placement.tolerations, cluster, || holds, &meant.reasons)
}

/// Which clusters a placement means, made ready to be asked about many of them.
struct Meant<'a> {
    placement: &'a Placement,
    named: BTreeSet<&'a ClusterName>,
    excluded: BTreeSet<&'a ClusterName>,
    /// Why those that are meant are.
    reasons: Reasons,
}

impl<'a> Meant<'a> {
    fn of(placement: &'a Placement) -> Self {
        let Placement {
            clusters,
            selector,
            exclude,
            tolerations: _,
            spread: _,
            preferences: _,
        } = placement;
        let named = clusters
            .as_ref()
            .map(|_| "named in placement.clusters".to_owned());
        let selected = selector.as_ref().map(|selector| {
            format!(
                "selected by placement.clusterSelector ({})",
                selector.for_people()
            )
        });
        Self {
            placement,
            named: clusters.iter().flatten().collect(),
            excluded: exclude.iter().collect(),
            reasons: named.into_iter().chain(selected).collect::<Vec<_>>().into(),
        }
    }

    /// Whether it is meant, without saying why not.
    fn holds_for(&self, cluster: &Cluster) -> bool {
        let Placement {
            clusters, selector, ..
        } = self.placement;
        (clusters.is_some() || selector.is_some())
            && (clusters.is_none() || self.named.contains(&cluster.name))
            && selector
                .as_ref()
                .is_none_or(|selector| selector.matches(&cluster.labels))
            && !self.excluded.contains(&cluster.name)
    }

    /// Whether it is left out by name.
    fn excludes(&self, cluster: &Cluster) -> bool {
        self.excluded.contains(&cluster.name)
    }

    /// Whether it is meant, and else why not.
    fn judge(&self, cluster: &Cluster) -> Result<(), (Exclusion, Refusal)> {
        let Placement {
            clusters, selector, ..
        } = self.placement;
        if self.excludes(cluster) {
            return no(Exclusion::Excluded, "left out by placement.exclude");
        }
        if clusters.is_none() && selector.is_none() {
            return no(
                Exclusion::NotSelected,
                "the placement names no cluster and selects none",
            );
        }
        if clusters.is_some() && !self.named.contains(&cluster.name) {
            return no(Exclusion::NotSelected, "not named in placement.clusters");
        }
        match selector
            .as_ref()
            .and_then(|selector| selector.unmet(&cluster.labels))
        {
            Some(unmet) => no(
                Exclusion::NotSelected,
                format!("placement.clusterSelector {unmet}"),
            ),
            None => Ok(()),
        }
    }
}

/// Whether the cluster lets the object in, for `reasons` and perhaps one more.
fn admitted(
    tolerations: &[Toleration],
    cluster: &Cluster,
    holds: impl Fn() -> bool,
    reasons: &Reasons,
) -> Judgement {
    for taint in &cluster.taints {
        let keeps_away = match taint.effect {
            TaintEffect::NoExecute => true,
            TaintEffect::NoSchedule => !holds(),
            TaintEffect::PreferNoSchedule => false,
        };
        if keeps_away
            && !tolerations
                .iter()
                .any(|toleration| toleration.tolerates(taint))
        {
            return no(
                Exclusion::Tainted,
                format!(
                    "has the taint {}={}:{:?}, which is not tolerated",
                    taint.key, taint.value, taint.effect
                ),
            );
        }
    }
    if cluster.cordoned {
        if !holds() {
            return no(Exclusion::Cordoned, "is cordoned: it takes nothing new");
        }
        return Ok(with(reasons, "was there before the cluster was cordoned"));
    }
    Ok(Reasons::clone(reasons))
}

fn no<T>(reason: Exclusion, message: impl Into<String>) -> Result<T, (Exclusion, Refusal)> {
    Err((reason, Refusal::new("", message)))
}

/// Judges every cluster that the placement could mean: the named ones where it names some (also those not registered), else all. Each
/// cluster stands there once, by name.
///
/// Clusters that are neither named nor selected are left out unless the situation asks for them.
pub fn judge_all(
    object: &FederatedObject,
    situation: &Situation<'_>,
) -> Vec<(ClusterName, Judgement)> {
    let named = object.placement.clusters.as_deref();
    let judge = Judge::new(object, situation);
    let registered = situation.clusters;
    let mut judgements = Vec::new();
    if named.is_none() || situation.all {
        for (name, cluster) in registered {
            if let Some(judgement) = judge.judge(cluster) {
                judgements.push((name.clone(), judgement));
            }
        }
    }
    let in_order = judgements.len();
    let is_left = |name: &&ClusterName| !situation.all || !registered.contains_key(*name);
    for name in named.into_iter().flatten().filter(is_left) {
        let judgement = match registered.get(name) {
            Some(cluster) => judge.judge(cluster),
            None => Some(no(
                Exclusion::Unknown,
                "is not registered: the object is placed there when it is",
            )),
        };
        judgements.extend(judgement.map(|judgement| (name.clone(), judgement)));
    }
    for name in situation.needed.keys() {
        if let Some(cluster) = registered.get(name) {
            let judgement = judge.judge(cluster);
            judgements.extend(judgement.map(|judgement| (name.clone(), judgement)));
        }
    }
    if judgements.len() > in_order {
        judgements.sort_by(|(a, _), (b, _)| a.cmp(b));
        judgements.dedup_by(|(a, _), (b, _)| a == b);
    }
    judgements
}

/// Judges clusters for one object.
struct Judge<'a> {
    object: &'a FederatedObject,
    situation: &'a Situation<'a>,
    meant: Meant<'a>,
    /// What KubeFed's namespace means, where it is known.
    namespace: Option<Meant<'a>>,
    /// What a cluster must serve: `apps/v1/Deployment`.
    api: String,
}

impl<'a> Judge<'a> {
    fn new(object: &'a FederatedObject, situation: &'a Situation<'a>) -> Self {
        let api_version = object.template["apiVersion"].as_str().unwrap_or_default();
        Self {
            object,
            situation,
            meant: Meant::of(&object.placement),
            namespace: match situation.containment {
                Containment::Within(placement) => Some(Meant::of(placement)),
                Containment::None | Containment::Missing => None,
            },
            api: format!("{api_version}/{}", object.target.kind()),
        }
    }

    /// The judgement; none where nobody meant the cluster and nobody asks about such.
    fn judge(&self, cluster: &Cluster) -> Option<Judgement> {
        if self.meant.holds_for(cluster) {
            return Some(self.admit(cluster));
        }
        if !self.meant.excludes(cluster) {
            if let Some(dependent) = self.situation.needed.get(&cluster.name) {
                return Some(Ok([format!("{dependent} is there and needs it")].into()));
            }
            if !self.situation.all {
                return None;
            }
        }
        Some(self.meant.judge(cluster).map(|()| Reasons::default()))
    }

    /// Whether a cluster that is meant gets it.
    fn admit(&self, cluster: &Cluster) -> Judgement {
        let FederatedObject {
            dialect, placement, ..
        } = self.object;
        let holds = || (self.situation.holding)(&cluster.name).holds;
        let reasons = admitted(&placement.tolerations, cluster, holds, &self.meant.reasons)?;
        let is_kubefed = *dialect == Dialect::Kubefed;
        if is_kubefed {
            self.contained(cluster)?;
        }
        // KubeFed places on clusters that are not ready, too.
        if !cluster.ready && !is_kubefed && !holds() {
            return no(
                Exclusion::NotReady,
                "is not ready, as its status says: it takes nothing new",
            );
        }
        if !cluster.serves_api(&self.api) && !holds() {
            let what = self.api.rsplit_once('/');
            let (api_version, kind) = what.unwrap_or(("", &self.api));
            return no(
                Exclusion::ApiMissing,
                format!("does not serve {api_version} {kind}"),
            );
        }
        Ok(reasons)
    }

    /// KubeFed's containment: an object goes no further than its FederatedNamespace, and system namespaces go nowhere.
    fn contained(&self, cluster: &Cluster) -> Result<(), (Exclusion, Refusal)> {
        let target = &self.object.target;
        if (target.kind(), target.group()) == ("Namespace", "")
            && KUBEFED_SYSTEM_NAMESPACES.contains(&target.name())
        {
            return no(
                Exclusion::Namespace,
                format!(
                    "{} is a system namespace: KubeFed never propagates it",
                    target.name()
                ),
            );
        }
        let Some(namespace) = target.namespace() else {
            return Ok(());
        };
        match (self.situation.containment, &self.namespace) {
            (Containment::None, _) | (Containment::Within(_), None) => Ok(()),
            (Containment::Missing, _) => no(
                Exclusion::Namespace,
                format!(
                    "NamespaceNotFederated: there is no FederatedNamespace {namespace}/{namespace}"
                ),
            ),
            (Containment::Within(_), Some(meant)) => {
                meant.judge(cluster).or_else(|(_, refusal)| {
                    no(
                        Exclusion::Namespace,
                        format!(
                            "the FederatedNamespace {namespace} is not placed there: {}",
                            refusal.message
                        ),
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::model::{Selector, Taint};
    use serde_json::json;

    fn name(text: &str) -> ClusterName {
        ClusterName::parse(text).expect("valid")
    }

    fn selector(value: &serde_json::Value) -> Selector {
        Selector::read(&Field::root(value)).expect("valid")
    }

    #[test]
    fn each_rule_keeps_away_what_it_should() {
        let plain = Cluster {
            labels: [("region".to_owned(), "eu".to_owned())].into(),
            ..Cluster::named(name("eu-1"))
        };
        let tainted = |effect| Cluster {
            taints: vec![Taint {
                key: "gpu".into(),
                value: String::new(),
                effect,
            }],
            ..plain.clone()
        };
        let cordoned = Cluster {
            cordoned: true,
            ..plain.clone()
        };
        let all = Placement {
            selector: Some(Selector::default()),
            ..Placement::default()
        };
        let named = |names: &[&str]| Placement {
            clusters: Some(names.iter().copied().map(name).collect()),
            ..Placement::default()
        };
        let tolerant = Placement {
            tolerations: vec![
                Toleration::read(&Field::root(&json!({"operator": "Exists"}))).expect("valid"),
            ],
            ..all.clone()
        };
        let both = Placement {
            selector: Some(selector(&json!({"matchLabels": {"region": "us"}}))),
            ..named(&["eu-1"])
        };
        let without = Placement {
            exclude: vec![name("eu-1")],
            ..all.clone()
        };
        for (what, placement, cluster, holds, expected) in [
            ("empty selector is all", &all, &plain, false, None),
            ("named", &named(&["eu-1"]), &plain, false, None),
            (
                "other named",
                &named(&["us-1"]),
                &plain,
                false,
                Some(Exclusion::NotSelected),
            ),
            (
                "an empty list is nowhere",
                &named(&[]),
                &plain,
                false,
                Some(Exclusion::NotSelected),
            ),
            (
                "neither is nowhere",
                &Placement::default(),
                &plain,
                true,
                Some(Exclusion::NotSelected),
            ),
            (
                "both must hold",
                &both,
                &plain,
                false,
                Some(Exclusion::NotSelected),
            ),
            (
                "excluded",
                &without,
                &plain,
                true,
                Some(Exclusion::Excluded),
            ),
            (
                "tainted",
                &all,
                &tainted(TaintEffect::NoSchedule),
                false,
                Some(Exclusion::Tainted),
            ),
            (
                "a NoSchedule taint leaves what is there",
                &all,
                &tainted(TaintEffect::NoSchedule),
                true,
                None,
            ),
            (
                "a NoExecute taint does not",
                &all,
                &tainted(TaintEffect::NoExecute),
                true,
                Some(Exclusion::Tainted),
            ),
            (
                "a wish decides nothing",
                &all,
                &tainted(TaintEffect::PreferNoSchedule),
                false,
                None,
            ),
            (
                "tolerated",
                &tolerant,
                &tainted(TaintEffect::NoExecute),
                false,
                None,
            ),
            (
                "cordoned",
                &all,
                &cordoned,
                false,
                Some(Exclusion::Cordoned),
            ),
            ("a cordon leaves what is there", &all, &cordoned, true, None),
        ] {
            let judgement = judge(placement, cluster, holds);
            assert_eq!(
                judgement.err().map(|(reason, _)| reason),
                expected,
                "{what}"
            );
        }
    }
}
