//! Which clusters an object may go to, and why each other one does not; [`choose`] then picks among them by spread and preference.
//!
//! A new rule is an arm in [`judge`] (it looks at a placement and a cluster) or in [`judge_all`] (it looks at more), and its word in
//! [`Exclusion`] where the contract has one.

pub mod choose;

use std::collections::{BTreeMap, BTreeSet};

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

/// Why a cluster gets an object, or which rule keeps it away.
pub type Judgement = Result<Vec<String>, (Exclusion, Refusal)>;

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
    let is_named = |names: &[ClusterName]| names.contains(&cluster.name);
    let mut reasons = meant(placement, cluster, is_named)?;
    admitted(&placement.tolerations, cluster, holds, &mut reasons)?;
    Ok(reasons)
}

/// Whether the placement means the cluster at all.
fn meant(
    placement: &Placement,
    cluster: &Cluster,
    is_named: impl Fn(&[ClusterName]) -> bool,
) -> Judgement {
    let Placement {
        clusters,
        selector,
        exclude,
        tolerations: _,
        spread: _,
        preferences: _,
    } = placement;
    let mut reasons = Vec::new();

    if exclude.contains(&cluster.name) {
        return no(
            Exclusion::Excluded,
            "left out by placement.exclude".to_owned(),
        );
    }
    if clusters.is_none() && selector.is_none() {
        return no(
            Exclusion::NotSelected,
            "the placement names no cluster and selects none".to_owned(),
        );
    }
    if let Some(names) = clusters {
        if !is_named(names) {
            return no(
                Exclusion::NotSelected,
                "not named in placement.clusters".to_owned(),
            );
        }
        reasons.push("named in placement.clusters".to_owned());
    }
    if let Some(selector) = selector {
        if let Some(unmet) = selector.unmet(&cluster.labels) {
            return no(
                Exclusion::NotSelected,
                format!("placement.clusterSelector {unmet}"),
            );
        }
        reasons.push(format!(
            "selected by placement.clusterSelector ({})",
            selector.for_people()
        ));
    }
    Ok(reasons)
}

/// Whether the cluster lets the object in.
fn admitted(
    tolerations: &[Toleration],
    cluster: &Cluster,
    holds: bool,
    reasons: &mut Vec<String>,
) -> Result<(), (Exclusion, Refusal)> {
    for taint in &cluster.taints {
        let keeps_away = match taint.effect {
            TaintEffect::NoExecute => true,
            TaintEffect::NoSchedule => !holds,
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
        if !holds {
            return no(
                Exclusion::Cordoned,
                "is cordoned: it takes nothing new".to_owned(),
            );
        }
        reasons.push("was there before the cluster was cordoned".to_owned());
    }
    Ok(())
}

fn no<T>(reason: Exclusion, message: impl Into<String>) -> Result<T, (Exclusion, Refusal)> {
    Err((reason, Refusal::new("", message)))
}

/// Judges every cluster that the placement could mean: the named ones where it names some (also those not registered), else all.
///
/// Clusters that are neither named nor selected are left out unless the situation asks for them.
pub fn judge_all(
    object: &FederatedObject,
    situation: &Situation<'_>,
) -> BTreeMap<ClusterName, Judgement> {
    let named = object.placement.clusters.as_deref();
    let judge = Judge {
        object,
        situation,
        named: named.into_iter().flatten().collect(),
    };
    let mut judgements = BTreeMap::new();
    let mut look_at = |name: &ClusterName| {
        let judgement = match situation.clusters.get(name) {
            Some(cluster) => judge.judge(cluster),
            None => no(
                Exclusion::Unknown,
                "is not registered: the object is placed there when it is",
            ),
        };
        let left_out = matches!(judgement, Err((Exclusion::NotSelected, _))) && !situation.all;
        if !left_out {
            judgements.insert(name.clone(), judgement);
        }
    };
    if named.is_none() || situation.all {
        situation.clusters.keys().for_each(&mut look_at);
    }
    let is_left = |name: &&ClusterName| !situation.all || !situation.clusters.contains_key(*name);
    named
        .into_iter()
        .flatten()
        .filter(is_left)
        .for_each(&mut look_at);
    let is_known = |name: &&ClusterName| situation.clusters.contains_key(*name);
    situation.needed.keys().filter(is_known).for_each(look_at);
    judgements
}

/// Judges clusters for one object.
struct Judge<'a> {
    object: &'a FederatedObject,
    situation: &'a Situation<'a>,
    named: BTreeSet<&'a ClusterName>,
}

impl Judge<'_> {
    fn judge(&self, cluster: &Cluster) -> Judgement {
        let FederatedObject {
            target,
            dialect,
            template,
            placement,
            ..
        } = self.object;
        let is_named = |_: &[ClusterName]| self.named.contains(&cluster.name);
        let mut reasons = match (
            meant(placement, cluster, is_named),
            self.situation.needed.get(&cluster.name),
        ) {
            (Err((Exclusion::NotSelected, _)), Some(dependent)) => {
                return Ok(vec![format!("{dependent} is there and needs it")]);
            }
            (judgement, _) => judgement?,
        };
        let holds = (self.situation.holding)(&cluster.name).holds;
        admitted(&placement.tolerations, cluster, holds, &mut reasons)?;
        let is_kubefed = *dialect == Dialect::Kubefed;
        if is_kubefed {
            self.contained(cluster)?;
        }
        // KubeFed places on clusters that are not ready, too.
        if !cluster.ready && !holds && !is_kubefed {
            return no(
                Exclusion::NotReady,
                "is not ready, as its status says: it takes nothing new",
            );
        }
        let api_version = template["apiVersion"].as_str().unwrap_or_default();
        if !holds && !cluster.serves(api_version, target.kind()) {
            return no(
                Exclusion::ApiMissing,
                format!("does not serve {api_version} {}", target.kind()),
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
        match self.situation.containment {
            Containment::None => Ok(()),
            Containment::Missing => no(
                Exclusion::Namespace,
                format!(
                    "NamespaceNotFederated: there is no FederatedNamespace {namespace}/{namespace}"
                ),
            ),
            Containment::Within(placement) => {
                let is_named = |names: &[ClusterName]| names.contains(&cluster.name);
                match meant(placement, cluster, is_named) {
                    Ok(_) => Ok(()),
                    Err((_, refusal)) => no(
                        Exclusion::Namespace,
                        format!(
                            "the FederatedNamespace {namespace} is not placed there: {}",
                            refusal.message
                        ),
                    ),
                }
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
