//! Over how many regions, zones, providers or clusters an object is spread, and which groups of clusters it prefers.

use super::cluster::Cluster;
use super::name::{self, ClusterName};
use super::selector::{Selector, means};
use crate::Refusal;
use crate::field::Field;

/// One spread rule: at least `min` and at most `max` different values of `by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// What is counted.
    pub by: Topology,
    /// The fewest.
    pub min: usize,
    /// The most; none means no limit.
    pub max: Option<usize>,
}

/// What a spread rule counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// Clusters.
    Cluster,
    /// Regions.
    Region,
    /// Zones.
    Zone,
    /// Providers.
    Provider,
    /// Values of a label.
    Label(String),
}

/// A group of clusters; of several the first that fits is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// Clusters named.
    pub clusters: Option<Vec<ClusterName>>,
    /// Clusters by label; with names both must hold.
    pub selector: Option<Selector>,
}

impl Topology {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match field.string()? {
            "cluster" => Ok(Self::Cluster),
            "region" => Ok(Self::Region),
            "zone" => Ok(Self::Zone),
            "provider" => Ok(Self::Provider),
            other => match other.strip_prefix("label:") {
                Some(key) if !key.is_empty() => Ok(Self::Label(key.to_owned())),
                _ => Err(field.refuse(format!(
                    "{other:?} is none of cluster, region, zone, provider, label:<key>"
                ))),
            },
        }
    }

    /// The word for it.
    pub fn word(&self) -> String {
        match self {
            Self::Cluster => "cluster".to_owned(),
            Self::Region => "region".to_owned(),
            Self::Zone => "zone".to_owned(),
            Self::Provider => "provider".to_owned(),
            Self::Label(key) => format!("value of the label {key}"),
        }
    }

    /// What `cluster` has there; none where it has nothing.
    pub fn of<'a>(&self, cluster: &'a Cluster) -> Option<&'a str> {
        match self {
            Self::Cluster => Some(cluster.name.as_str()),
            Self::Region => cluster.region.as_deref(),
            Self::Zone => cluster.first_zone(),
            Self::Provider => cluster.provider.as_deref(),
            Self::Label(key) => cluster.labels.get(key).map(String::as_str),
        }
    }
}

impl Spread {
    /// Reads `[{by, min, max}]`; no `min` means 1.
    ///
    /// # Errors
    /// A topology that does not exist or is named twice, a number that is no count, a minimum over its maximum.
    pub fn read_list(field: &Field<'_>) -> Result<Vec<Self>, Refusal> {
        let mut rules: Vec<Self> = Vec::new();
        for entry in field.list()? {
            entry.only(&["by", "min", "max"])?;
            let by = Topology::read(&entry.get("by"))?;
            if rules.iter().any(|rule| rule.by == by) {
                return Err(entry.get("by").refuse("has a rule already"));
            }
            let min = count(&entry.get("min"))?.unwrap_or(1);
            let max = count(&entry.get("max"))?;
            if let Some(max) = max.filter(|max| *max < min) {
                return Err(entry.get("min").refuse(format!("{min} is over max, {max}")));
            }
            rules.push(Self { by, min, max });
        }
        Ok(rules)
    }
}

impl Preference {
    /// Reads `[{clusters, clusterSelector}]`.
    ///
    /// # Errors
    /// A group that says nothing, or whose selector is none.
    pub fn read_list(field: &Field<'_>) -> Result<Vec<Self>, Refusal> {
        let read = |entry: &Field<'_>| {
            entry.only(&["clusters", "clusterSelector"])?;
            let selector = entry.get("clusterSelector");
            let clusters = name::read_list(&entry.get("clusters"), None)?;
            if clusters.is_none() && !selector.is_present() {
                return Err(selector.refuse("is required, or clusters"));
            }
            Ok(Self {
                clusters,
                selector: match selector.is_present() {
                    true => Some(Selector::read(&selector)?),
                    false => None,
                },
            })
        };
        field.list()?.iter().map(read).collect()
    }

    /// Whether `cluster` belongs to the group.
    pub fn matches(&self, cluster: &Cluster) -> bool {
        means(self.clusters.as_deref(), self.selector.as_ref(), cluster)
    }
}

fn count(field: &Field<'_>) -> Result<Option<usize>, Refusal> {
    match field.optional_integer()? {
        None => Ok(None),
        Some(number) => match usize::try_from(number) {
            Ok(0) | Err(_) => Err(field.refuse(format!("{number} is no count: 1 or more"))),
            Ok(number) => Ok(Some(number)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_that_make_no_sense_are_refused_with_their_field() {
        for (rules, field) in [
            (json!([{"by": "rack"}]), "[0].by"),
            (json!([{"by": "label:"}]), "[0].by"),
            (json!([{"min": 1}]), "[0].by"),
            (json!([{"by": "region"}, {"by": "region"}]), "[1].by"),
            (json!([{"by": "region", "min": 3, "max": 2}]), "[0].min"),
            (json!([{"by": "region", "max": 0}]), "[0].max"),
            (json!([{"by": "region", "min": -1}]), "[0].min"),
            (json!([{"by": "region", "most": 1}]), "[0].most"),
        ] {
            let refusal = Spread::read_list(&Field::root(&rules)).expect_err(field);
            assert_eq!(refusal.field, field, "{rules}");
        }
        for (groups, field) in [
            (json!([{}]), "[0].clusterSelector"),
            (json!([{"clusters": ["A"]}]), "[0].clusters[0]"),
            (json!([{"selector": {}}]), "[0].selector"),
        ] {
            let refusal = Preference::read_list(&Field::root(&groups)).expect_err(field);
            assert_eq!(refusal.field, field, "{groups}");
        }
    }
}
