//! A policy's placement: groups of clusters, tolerations, spread constraints and the way replicas are divided.

use crate::Refusal;
use crate::dialect::karmada::affinity::ClusterAffinity;
use crate::field::Field;
use crate::model::{Taint, TaintEffect};

use super::{integer, word};

/// Where the objects of a policy go.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dialect::karmada) struct Placement {
    /// Groups of clusters, the first that can be used wins; at least one.
    pub(in crate::dialect::karmada) groups: Vec<Group>,
    pub(in crate::dialect::karmada) tolerations: Vec<Toleration>,
    pub(in crate::dialect::karmada) spread: Vec<SpreadConstraint>,
    pub(in crate::dialect::karmada) strategy: Strategy,
}

/// A group of clusters: tiers that overflow into the next; at least one.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dialect::karmada) struct Group {
    /// Its name; none for the one `clusterAffinity`.
    pub(in crate::dialect::karmada) name: Option<String>,
    pub(in crate::dialect::karmada) tiers: Vec<ClusterAffinity>,
}

/// A toleration, with the meaning of Kubernetes' `ToleratesTaint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dialect::karmada) struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: Option<TaintEffect>,
}

/// How many groups of clusters there must and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dialect::karmada) struct SpreadConstraint {
    pub(in crate::dialect::karmada) by: SpreadBy,
    /// At least 1.
    pub(in crate::dialect::karmada) min: usize,
    /// 0 where none is given, which Karmada reads as none at all.
    pub(in crate::dialect::karmada) max: usize,
}

/// What makes clusters a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dialect::karmada) enum SpreadBy {
    Cluster,
    Region,
    Zone,
    Provider,
    Label(String),
}

/// How replicas are divided.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::dialect::karmada) enum Strategy {
    /// Every cluster gets all of them.
    Duplicated,
    /// By weights that the policy gives.
    Static {
        /// None where the policy has no weightPreference at all.
        weights: Vec<(ClusterAffinity, i64)>,
        /// Whether spread constraints are ignored (Karmada does, except for an empty weightPreference).
        ignores_spread: bool,
    },
    /// By what the clusters can take.
    Dynamic,
    /// Into as few clusters as possible.
    Aggregated,
}

impl Placement {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.optional_object()?;
        let strategy = Strategy::read(&field.get("replicaScheduling"))?;
        let tolerations = field.get("clusterTolerations").list()?;
        let spread = field.get("spreadConstraints").list()?;
        Ok(Self {
            groups: read_groups(field, &strategy)?,
            tolerations: tolerations
                .iter()
                .map(Toleration::read)
                .collect::<Result<_, _>>()?,
            spread: spread
                .iter()
                .map(SpreadConstraint::read)
                .collect::<Result<_, _>>()?,
            strategy,
        })
    }
}

fn read_groups(placement: &Field<'_>, strategy: &Strategy) -> Result<Vec<Group>, Refusal> {
    let one = placement.get("clusterAffinity");
    let many = placement.get("clusterAffinities");
    let list = many.list()?;
    if list.is_empty() {
        one.optional_object()?;
        return Ok(vec![Group {
            name: None,
            tiers: vec![ClusterAffinity::read(&one)?],
        }]);
    }
    if one.is_present() {
        return Err(many.refuse("cannot stand together with clusterAffinity"));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut groups = Vec::new();
    for entry in &list {
        let name = entry.get("affinityName");
        let text = name.string()?;
        if text.is_empty() || text.len() > 32 {
            return Err(name.refuse("must have 1 to 32 characters"));
        }
        if names.contains(&text) {
            return Err(name.refuse(format!("{text:?} names two groups")));
        }
        names.push(text);
        let mut tiers = vec![ClusterAffinity::read(entry)?];
        let overflow = entry.get("overflowAffinities");
        for tier in overflow.list()? {
            tiers.push(ClusterAffinity::read(&tier)?);
        }
        if tiers.len() > 1 && !matches!(strategy, Strategy::Dynamic | Strategy::Aggregated) {
            return Err(overflow
                .refuse("can only stand together with dynamic weight or aggregated scheduling"));
        }
        groups.push(Group {
            name: Some(text.to_owned()),
            tiers,
        });
    }
    Ok(groups)
}

impl Strategy {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        if field.optional_object()?.is_none() {
            return Ok(Self::Duplicated);
        }
        let kind = word(
            &field.get("replicaSchedulingType"),
            &["Duplicated", "Divided"],
        )?;
        let preference = word(
            &field.get("replicaDivisionPreference"),
            &["Aggregated", "Weighted"],
        )?;
        let weights = field.get("weightPreference");
        let dynamic = word(&weights.get("dynamicWeight"), &["AvailableReplicas"])?.is_some();
        let mut list = Vec::new();
        for entry in weights.get("staticWeightList").list()? {
            let weight = entry.get("weight");
            let value = integer(&weight)?.ok_or_else(|| weight.refuse("is required"))?;
            if value < 0 {
                return Err(weight.refuse("must not be negative"));
            }
            list.push((ClusterAffinity::read(&entry.get("targetCluster"))?, value));
        }
        Ok(match (kind, preference) {
            (Some("Duplicated"), _) => Self::Duplicated,
            (_, Some("Aggregated")) => Self::Aggregated,
            _ if dynamic => Self::Dynamic,
            _ => Self::Static {
                ignores_spread: !weights.is_present() || !list.is_empty(),
                weights: list,
            },
        })
    }

    /// Whether the count is divided, not repeated.
    pub(in crate::dialect::karmada) fn divides(&self) -> bool {
        !matches!(self, Self::Duplicated)
    }
}

impl SpreadConstraint {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let by_field = field.get("spreadByField");
        let by_label = field.get("spreadByLabel").optional_string()?;
        let by = match (
            word(&by_field, &["cluster", "region", "zone", "provider"])?,
            by_label.filter(|label| !label.is_empty()),
        ) {
            (Some(_), Some(_)) => {
                return Err(by_field.refuse("cannot stand together with spreadByLabel"));
            }
            (None, Some(label)) => SpreadBy::Label(label.to_owned()),
            (Some("region"), None) => SpreadBy::Region,
            (Some("zone"), None) => SpreadBy::Zone,
            (Some("provider"), None) => SpreadBy::Provider,
            (_, None) => SpreadBy::Cluster,
        };
        let count = |key: &str| -> Result<usize, Refusal> {
            let field = field.get(key);
            usize::try_from(integer(&field)?.unwrap_or(0))
                .map_err(|_| field.refuse("must not be negative"))
        };
        let (min, max) = (count("minGroups")?.max(1), count("maxGroups")?);
        if max > 0 && max < min {
            return Err(field
                .get("maxGroups")
                .refuse(format!("{max} is less than minGroups {min}")));
        }
        Ok(Self { by, min, max })
    }
}

impl Toleration {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let text = |key: &str| -> Result<String, Refusal> {
            Ok(field
                .get(key)
                .optional_string()?
                .unwrap_or_default()
                .to_owned())
        };
        let effect = field.get("effect");
        Ok(Self {
            key: text("key")?,
            operator: word(&field.get("operator"), &["Exists", "Equal"])?
                .unwrap_or("Equal")
                .to_owned(),
            value: text("value")?,
            effect: match effect.optional_string()? {
                None | Some("") => None,
                Some(_) => Some(TaintEffect::read(&effect)?),
            },
        })
    }

    /// Whether it lets an object onto a cluster with `taint`; nothing does onto one that is to leave.
    pub(in crate::dialect::karmada) fn tolerates(&self, taint: &Taint) -> bool {
        !taint.is_leaving()
            && (self.key.is_empty() || self.key == taint.key)
            && self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.operator == "Exists" || self.value == taint.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations_tolerate_as_kubernetes_does() {
        let taint = Taint {
            key: "gpu".into(),
            value: "yes".into(),
            effect: TaintEffect::NoExecute,
        };
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}),
                true,
            ),
            (json!({"key": "gpu", "value": "yes"}), true),
            (json!({"key": "gpu", "value": "no"}), false),
            (json!({"key": "gpu"}), false),
            (json!({"value": "yes"}), true),
            (
                json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}),
                false,
            ),
            (
                json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
                true,
            ),
        ] {
            let read = Toleration::read(&Field::root(&toleration)).expect("valid");
            assert_eq!(read.tolerates(&taint), expected, "{toleration}");
        }
    }
}
