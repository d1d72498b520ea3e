//! How an object's replicas are divided over its clusters.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::name::ClusterName;
use super::selector::{Selector, means};
use crate::Refusal;
use crate::field::Field;

/// The most replicas that a Kubernetes workload can ask for (its field is an int32); weights keep the same limit.
const MOST: i64 = i32::MAX as i64;

/// How replicas are divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// By what.
    pub divide: Divide,
    /// How many there are in all; none means as many as the template asks for.
    pub total: Option<i64>,
    /// The clusters' weights, the first entry that matches; a cluster that none matches has 0, and where there are none all have 1.
    pub weights: Vec<Weight>,
    /// The fewest that a cluster should have.
    pub min: BTreeMap<ClusterName, i64>,
    /// The most that a cluster may have.
    pub max: BTreeMap<ClusterName, i64>,
}

/// By what replicas are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divide {
    /// Not at all: each cluster gets all of them.
    Duplicate,
    /// By weights.
    Weighted,
    /// By the room that the clusters have.
    Available,
    /// Into as few clusters as have room.
    Aggregated,
}

/// The weight of some clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Clusters named.
    pub clusters: Option<Vec<ClusterName>>,
    /// Clusters by label; with names both must hold.
    pub selector: Option<Selector>,
    /// Their weight.
    pub weight: i64,
}

impl Divide {
    const WORDS: &'static str = "duplicate, weighted, available, aggregated";

    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match field.optional_string()? {
            None | Some("duplicate") => Ok(Self::Duplicate),
            Some("weighted") => Ok(Self::Weighted),
            Some("available") => Ok(Self::Available),
            Some("aggregated") => Ok(Self::Aggregated),
            Some(other) => Err(field.refuse(format!("{other:?} is none of {}", Self::WORDS))),
        }
    }

    /// Whether it looks at the room that clusters have.
    pub fn looks_at_room(self) -> bool {
        match self {
            Self::Available | Self::Aggregated => true,
            Self::Duplicate | Self::Weighted => false,
        }
    }
}

impl Division {
    /// Reads `{divide, total, weights: [{clusters, clusterSelector, weight}], min: {cluster: n}, max: {cluster: n}}`.
    ///
    /// # Errors
    /// Numbers that are negative or out of range, a minimum over its maximum, weights that are all zero or that the way of dividing does
    /// not look at, a cluster that is weighed twice.
    pub fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["divide", "total", "weights", "min", "max"])?;
        let divide = Divide::read(&field.get("divide"))?;
        let unused: &[&str] = match divide {
            Divide::Duplicate => &["weights", "min", "max"],
            Divide::Available | Divide::Aggregated => &["weights"],
            Divide::Weighted => &[],
        };
        for key in unused {
            let member = field.get(key);
            if member.is_present() {
                return Err(member.refuse(format!(
                    "says nothing where divide is {}",
                    field
                        .get("divide")
                        .optional_string()?
                        .unwrap_or("duplicate")
                )));
            }
        }
        let (min, max) = (bounds(&field.get("min"))?, bounds(&field.get("max"))?);
        for (cluster, least) in &min {
            if let Some(most) = max.get(cluster).filter(|most| *most < least) {
                return Err(field
                    .get("min")
                    .get(cluster.as_str())
                    .refuse(format!("{least} is over the maximum of {cluster}, {most}")));
            }
        }
        Ok(Self {
            divide,
            total: number(&field.get("total"))?,
            weights: read_weights(&field.get("weights"))?,
            min,
            max,
        })
    }

    /// The weight of `cluster`.
    pub fn weight_of(&self, cluster: &Cluster) -> i64 {
        if self.weights.is_empty() {
            return 1;
        }
        self.weights
            .iter()
            .find(|entry| entry.matches(cluster))
            .map_or(0, |entry| entry.weight)
    }
}

impl Weight {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["clusters", "clusterSelector", "weight"])?;
        let weight = field.get("weight");
        let selector = field.get("clusterSelector");
        let clusters = super::name::read_list(&field.get("clusters"), None)?;
        if clusters.is_none() && !selector.is_present() {
            return Err(field
                .get("clusters")
                .refuse("is required, or clusterSelector"));
        }
        Ok(Self {
            clusters,
            selector: match selector.is_present() {
                true => Some(Selector::read(&selector)?),
                false => None,
            },
            weight: number(&weight)?.ok_or_else(|| weight.refuse("is required"))?,
        })
    }

    fn matches(&self, cluster: &Cluster) -> bool {
        means(self.clusters.as_deref(), self.selector.as_ref(), cluster)
    }
}

fn read_weights(field: &Field<'_>) -> Result<Vec<Weight>, Refusal> {
    let mut weights = Vec::new();
    let mut named = std::collections::BTreeSet::new();
    for entry in field.list()? {
        let weight = Weight::read(&entry)?;
        if weight.selector.is_none() {
            for (index, name) in weight.clusters.iter().flatten().enumerate() {
                if !named.insert(name.clone()) {
                    return Err(Refusal::new(
                        format!("{}[{index}]", entry.get("clusters").path()),
                        format!("{name} has a weight already"),
                    ));
                }
            }
        }
        weights.push(weight);
    }
    if !weights.is_empty() && weights.iter().all(|entry| entry.weight == 0) {
        return Err(field.refuse("are all 0: no cluster would get any replicas"));
    }
    Ok(weights)
}

fn bounds(field: &Field<'_>) -> Result<BTreeMap<ClusterName, i64>, Refusal> {
    let mut bounds = BTreeMap::new();
    for (key, bound) in field.entries()? {
        let name = ClusterName::parse(key).map_err(|refusal| bound.refuse(refusal.message))?;
        let number = number(&bound)?.ok_or_else(|| bound.refuse("is required"))?;
        bounds.insert(name, number);
    }
    Ok(bounds)
}

fn number(field: &Field<'_>) -> Result<Option<i64>, Refusal> {
    match field.optional_integer()? {
        Some(number) if number < 0 => Err(field.refuse(format!("{number} is negative"))),
        Some(number) if number > MOST => Err(field.refuse(format!("{number} is over {MOST}"))),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_says_nothing_or_contradicts_itself_is_refused_with_its_field() {
        for (division, field) in [
            (json!({"divide": "evenly"}), "divide"),
            (json!({"divide": "weighted", "total": -1}), "total"),
            (json!({"divide": "weighted", "total": 1.5}), "total"),
            (json!({"divide": "weighted", "total": 1e30}), "total"),
            (
                json!({"divide": "weighted", "total": 4_000_000_000_i64}),
                "total",
            ),
            (
                json!({"divide": "weighted", "weights": [{"clusters": ["a"], "weight": -1}]}),
                "weights[0].weight",
            ),
            (
                json!({"divide": "weighted", "weights": [{"clusters": ["a"]}]}),
                "weights[0].weight",
            ),
            (
                json!({"divide": "weighted", "weights": [{"weight": 1}]}),
                "weights[0].clusters",
            ),
            (
                json!({"divide": "weighted", "weights": [{"clusters": ["a"], "weight": 0}]}),
                "weights",
            ),
            (
                json!({"divide": "weighted", "weights": [{"clusters": ["a"], "weight": 1}, {"clusters": ["a"], "weight": 2}]}),
                "weights[1].clusters[0]",
            ),
            (
                json!({"divide": "weighted", "min": {"a": 3}, "max": {"a": 2}}),
                "min.a",
            ),
            (json!({"divide": "weighted", "min": {"A": 3}}), "min.A"),
            (json!({"divide": "available", "max": {"a": -2}}), "max.a"),
            (json!({"divide": "available", "weights": []}), "weights"),
            (
                json!({"weights": [{"clusters": ["a"], "weight": 1}]}),
                "weights",
            ),
            (json!({"divide": "duplicate", "min": {"a": 1}}), "min"),
            (json!({"by": "weight"}), "by"),
        ] {
            let refusal = Division::read(&Field::root(&division)).expect_err(field);
            assert_eq!(refusal.field, field, "{division}: {refusal}");
        }
    }

    #[test]
    fn a_cluster_that_is_not_listed_weighs_nothing_and_none_listed_weigh_the_same() {
        let cluster = |text: &str| Cluster::named(ClusterName::parse(text).expect("valid"));
        for (weights, expected) in [
            (json!([]), [1, 1]),
            (json!([{"clusters": ["a"], "weight": 2}]), [2, 0]),
            (json!([{"clusterSelector": {}, "weight": 3}]), [3, 3]),
        ] {
            let division = json!({"divide": "weighted", "weights": weights});
            let division = Division::read(&Field::root(&division)).expect("valid");
            assert_eq!(
                ["a", "b"].map(|name| division.weight_of(&cluster(name))),
                expected
            );
        }
    }
}
