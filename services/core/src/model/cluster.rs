//! A member cluster as placement sees it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::name::ClusterName;
use crate::Refusal;
use crate::field::Field;

/// A registered cluster: what placement may look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// Its name, unique in the fleet.
    pub name: ClusterName,
    /// Labels that selectors look at.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Region, for spreading.
    #[serde(default)]
    pub region: Option<String>,
    /// Zone, for spreading.
    #[serde(default)]
    pub zone: Option<String>,
    /// Provider, for spreading.
    #[serde(default)]
    pub provider: Option<String>,
    /// Taints that keep objects away which do not tolerate them.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Whether it takes nothing new; what is there stays.
    #[serde(default)]
    pub cordoned: bool,
}

/// Keeps objects off a cluster that do not tolerate it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taint {
    /// The taint's key.
    pub key: String,
    /// The taint's value; empty where it has none.
    #[serde(default)]
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// What a taint does to objects that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Nothing new is placed; what is there stays.
    NoSchedule,
    /// A wish only: never decides by itself.
    PreferNoSchedule,
    /// What is there is taken away, too.
    NoExecute,
}

impl TaintEffect {
    /// Reads an effect.
    ///
    /// # Errors
    /// Anything but the three that exist.
    pub fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match field.string()? {
            "NoSchedule" => Ok(Self::NoSchedule),
            "PreferNoSchedule" => Ok(Self::PreferNoSchedule),
            "NoExecute" => Ok(Self::NoExecute),
            other => Err(field.refuse(format!(
                "{other:?} is none of NoSchedule, PreferNoSchedule, NoExecute"
            ))),
        }
    }
}

impl Cluster {
    /// A cluster with a name and nothing else.
    pub fn named(name: ClusterName) -> Self {
        Self {
            name,
            labels: BTreeMap::new(),
            region: None,
            zone: None,
            provider: None,
            taints: Vec::new(),
            cordoned: false,
        }
    }

    /// Reads a `MemberCluster` document (`fleetcast.dev/v1alpha1`).
    ///
    /// # Errors
    /// Refuses fields that are malformed or unknown.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        root.only(&["apiVersion", "kind", "metadata", "spec", "status"])?;
        let metadata = root.get("metadata");
        let name = metadata.get("name");
        let name =
            ClusterName::parse(name.string()?).map_err(|refusal| name.refuse(refusal.message))?;
        let spec = root.get("spec");
        spec.only(&["region", "zone", "provider", "taints", "cordoned"])?;
        let taints = spec
            .get("taints")
            .list()?
            .iter()
            .map(|taint| {
                taint.only(&["key", "value", "effect"])?;
                Ok(Taint {
                    key: taint.get("key").string()?.to_owned(),
                    value: taint
                        .get("value")
                        .optional_string()?
                        .unwrap_or_default()
                        .to_owned(),
                    effect: TaintEffect::read(&taint.get("effect"))?,
                })
            })
            .collect::<Result<_, Refusal>>()?;
        Ok(Self {
            name,
            labels: metadata.get("labels").strings()?,
            region: spec.get("region").optional_string()?.map(str::to_owned),
            zone: spec.get("zone").optional_string()?.map(str::to_owned),
            provider: spec.get("provider").optional_string()?.map(str::to_owned),
            taints,
            cordoned: spec.get("cordoned").optional_bool()?.unwrap_or(false),
        })
    }

    /// Writes the `MemberCluster` document that [`Cluster::read`] reads back.
    pub fn document(&self) -> Value {
        let Self {
            name,
            labels,
            region,
            zone,
            provider,
            taints,
            cordoned,
        } = self;
        let mut spec = serde_json::json!({"taints": taints, "cordoned": cordoned});
        for (key, value) in [("region", region), ("zone", zone), ("provider", provider)] {
            if let Some(value) = value {
                spec[key] = Value::from(value.as_str());
            }
        }
        serde_json::json!({
            "apiVersion": "fleetcast.dev/v1alpha1",
            "kind": "MemberCluster",
            "metadata": {"name": name.as_str(), "labels": labels},
            "spec": spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_cluster_reads_back_what_it_writes() {
        let document = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
            "metadata": {"name": "eu-1", "labels": {"tier": "prod"}},
            "spec": {"region": "eu", "cordoned": true, "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
        });
        let cluster = Cluster::read(&document).expect("valid");
        assert_eq!(cluster.region.as_deref(), Some("eu"));
        assert!(cluster.cordoned);
        assert_eq!(Cluster::read(&cluster.document()).expect("valid"), cluster);
    }

    #[test]
    fn a_malformed_member_cluster_is_refused_with_its_field() {
        for (document, field) in [
            (json!({"metadata": {}}), "metadata.name"),
            (json!({"metadata": {"name": "EU"}}), "metadata.name"),
            (
                json!({"metadata": {"name": "eu"}, "spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
                "spec.taints[0].effect",
            ),
            (
                json!({"metadata": {"name": "eu"}, "spec": {"cordoned": "yes"}}),
                "spec.cordoned",
            ),
            (
                json!({"metadata": {"name": "eu"}, "spec": {"zones": "a"}}),
                "spec.zones",
            ),
        ] {
            assert_eq!(Cluster::read(&document).expect_err("refused").field, field);
        }
    }
}
