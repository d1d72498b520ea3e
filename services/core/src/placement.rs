//! Which clusters an object goes to, and why each other one does not.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::model::{Cluster, ClusterName, FederatedObject, Placement, TaintEffect};

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

/// Judges one registered cluster. `holds` tells whether it has the object already: a cordon or a NoSchedule taint keeps only new ones away.
///
/// # Errors
/// The first rule that keeps the object away, in the order: excluded, not named, not selected, tainted, cordoned.
pub fn judge(placement: &Placement, cluster: &Cluster, holds: bool) -> Judgement {
    let Placement {
        clusters,
        selector,
        exclude,
        tolerations,
    } = placement;
    let no = |reason, message: String| Err((reason, Refusal::new("", message)));
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
        if !names.contains(&cluster.name) {
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
    Ok(reasons)
}

/// Judges every cluster that the placement could mean: the named ones where it names some (also those not registered), else all.
///
/// Clusters that are neither named nor selected are left out unless `all` asks for them.
pub fn judge_all(
    object: &FederatedObject,
    clusters: &BTreeMap<ClusterName, Cluster>,
    holds: impl Fn(&ClusterName) -> bool,
    all: bool,
) -> BTreeMap<ClusterName, Judgement> {
    let mut judgements = BTreeMap::new();
    let named = object.placement.clusters.as_deref();
    let mut look_at = |name: &ClusterName| {
        let judgement = match clusters.get(name) {
            Some(cluster) => judge(&object.placement, cluster, holds(name)),
            None => Err((
                Exclusion::Unknown,
                Refusal::new(
                    "",
                    "is not registered: the object is placed there when it is",
                ),
            )),
        };
        let left_out = matches!(judgement, Err((Exclusion::NotSelected, _))) && !all;
        if !left_out {
            judgements.insert(name.clone(), judgement);
        }
    };
    for name in named.into_iter().flatten() {
        look_at(name);
    }
    if named.is_none() || all {
        clusters.keys().for_each(&mut look_at);
    }
    judgements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use crate::model::{Selector, Taint, Toleration};
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
