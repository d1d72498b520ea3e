//! A member cluster as Karmada's scheduler sees it: `cluster.karmada.io/v1alpha1` `Cluster`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::model::{Cluster, ClusterName, Taint, TaintEffect};

/// A member cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: ClusterName,
    /// Labels that affinities look at.
    pub labels: BTreeMap<String, String>,
    /// Its provider, where one is known.
    pub provider: Option<String>,
    /// Its region, where one is known.
    pub region: Option<String>,
    /// Its zones, perhaps none.
    pub zones: Vec<String>,
    /// Taints that keep objects away which do not tolerate them.
    pub taints: Vec<Taint>,
    /// Whether it is ready. Karmada places on clusters that are not: only taints keep work away.
    pub ready: bool,
    /// Whether it takes nothing new (Fleetcast's cordon; Karmada's is a taint).
    pub cordoned: bool,
    /// Whether it is being removed from the fleet.
    pub leaving: bool,
    /// What it serves, as `apps/v1/Deployment`; none where that is unknown, which means everything.
    pub apis: Option<BTreeSet<String>>,
}

impl Member {
    /// A cluster with a name and nothing else: ready, and serving every kind.
    pub fn named(name: ClusterName) -> Self {
        Self {
            name,
            labels: BTreeMap::new(),
            provider: None,
            region: None,
            zones: Vec::new(),
            taints: Vec::new(),
            ready: true,
            cordoned: false,
            leaving: false,
            apis: None,
        }
    }

    /// Reads a `Cluster` document. Without a status it is ready and serves every kind.
    ///
    /// The deprecated `spec.zone` counts where `spec.zones` is empty, since Karmada's webhook copies it there.
    ///
    /// # Errors
    /// Refuses fields of the wrong type, a name that is none, and a taint with an effect that does not exist.
    pub fn read(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let metadata = root.get("metadata");
        let name = metadata.get("name");
        let name =
            ClusterName::parse(name.string()?).map_err(|refusal| name.refuse(refusal.message))?;
        let spec = root.get("spec");
        let text = |key: &str| -> Result<Option<String>, Refusal> {
            Ok(spec
                .get(key)
                .optional_string()?
                .filter(|text| !text.is_empty())
                .map(str::to_owned))
        };
        let mut zones = strings(&spec.get("zones"))?;
        if zones.is_empty() {
            zones.extend(text("zone")?);
        }
        let taints = spec
            .get("taints")
            .list()?
            .iter()
            .map(read_taint)
            .collect::<Result<_, Refusal>>()?;
        let status = root.get("status");
        Ok(Self {
            name,
            labels: metadata.get("labels").strings()?,
            provider: text("provider")?,
            region: text("region")?,
            zones,
            taints,
            ready: read_ready(&status)?,
            cordoned: false,
            leaving: metadata.get("deletionTimestamp").is_present(),
            apis: read_apis(&status.get("apiEnablements"))?,
        })
    }

    /// The member that a cluster of ours is in Karmada's words.
    pub fn from_cluster(cluster: &Cluster) -> Self {
        Self {
            name: cluster.name.clone(),
            labels: cluster.labels.clone(),
            provider: cluster.provider.clone(),
            region: cluster.region.clone(),
            zones: match cluster.zones.as_slice() {
                [] => cluster.zone.iter().cloned().collect(),
                zones => zones.to_vec(),
            },
            taints: cluster.taints.clone(),
            ready: cluster.ready,
            cordoned: cluster.cordoned,
            leaving: cluster.is_leaving(),
            apis: cluster.apis.clone(),
        }
    }

    /// Whether it serves a kind, as far as is known.
    pub(super) fn serves(&self, api_version: &str, kind: &str) -> bool {
        self.apis
            .as_ref()
            .is_none_or(|apis| apis.contains(&format!("{api_version}/{kind}")))
    }
}

/// The strings that may stand in a list.
pub(super) fn strings(field: &Field<'_>) -> Result<Vec<String>, Refusal> {
    field
        .list()?
        .iter()
        .map(|element| element.string().map(str::to_owned))
        .collect()
}

fn read_taint(field: &Field<'_>) -> Result<Taint, Refusal> {
    Ok(Taint {
        key: field.get("key").string()?.to_owned(),
        value: field
            .get("value")
            .optional_string()?
            .unwrap_or_default()
            .to_owned(),
        effect: TaintEffect::read(&field.get("effect"))?,
    })
}

/// Ready unless a condition `Ready` says otherwise.
fn read_ready(status: &Field<'_>) -> Result<bool, Refusal> {
    for condition in status.get("conditions").list()? {
        if condition.get("type").optional_string()? == Some("Ready") {
            return Ok(condition.get("status").optional_string()? == Some("True"));
        }
    }
    Ok(true)
}

fn read_apis(field: &Field<'_>) -> Result<Option<BTreeSet<String>>, Refusal> {
    if !field.is_present() {
        return Ok(None);
    }
    let mut apis = BTreeSet::new();
    for group in field.list()? {
        let version = group.get("groupVersion").string()?;
        for resource in group.get("resources").list()? {
            apis.insert(format!("{version}/{}", resource.get("kind").string()?));
        }
    }
    Ok(Some(apis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: Value, status: Value) -> Result<Member, Refusal> {
        Member::read(&json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "m1", "labels": {"tier": "prod"}}, "spec": spec, "status": status,
        }))
    }

    #[test]
    fn a_cluster_without_status_is_ready_and_serves_every_kind() {
        let member = read(
            json!({"syncMode": "Push", "region": "eu"}),
            serde_json::Value::Null,
        )
        .expect("valid");
        assert!(member.ready);
        assert!(member.serves("any.example/v1", "Thing"));
        assert_eq!(member.region.as_deref(), Some("eu"));
    }

    #[test]
    fn a_status_says_what_is_served_and_whether_it_is_ready() {
        let member = read(
            json!({}),
            json!({"conditions": [{"type": "Ready", "status": "False"}],
                "apiEnablements": [{"groupVersion": "apps/v1", "resources": [{"name": "deployments", "kind": "Deployment"}]}]}),
        )
        .expect("valid");
        assert!(!member.ready);
        assert!(member.serves("apps/v1", "Deployment"));
        assert!(!member.serves("v1", "ConfigMap"));
    }

    #[test]
    fn the_deprecated_zone_counts_only_without_zones() {
        let zones = |spec| read(spec, Value::Null).expect("valid").zones;
        assert_eq!(zones(json!({"zone": "a"})), ["a"]);
        assert_eq!(zones(json!({"zone": "a", "zones": ["b", "c"]})), ["b", "c"]);
        assert!(zones(json!({"zone": ""})).is_empty());
    }

    #[test]
    fn a_cluster_of_ours_becomes_a_member_with_all_that_placement_looks_at() {
        let ours = Cluster {
            zone: Some("a".to_owned()),
            cordoned: true,
            ready: false,
            apis: Some(["v1/Secret".to_owned()].into()),
            ..Cluster::named(ClusterName::parse("c1").expect("valid"))
        };
        let member = Member::from_cluster(&ours);
        assert_eq!(member.zones, ["a"]);
        assert!(member.cordoned && !member.ready && member.serves("v1", "Secret"));
        assert!(!member.serves("v1", "ConfigMap"));
        let zones = vec!["b".to_owned()];
        let spread = Cluster { zones, ..ours };
        assert_eq!(Member::from_cluster(&spread).zones, ["b"]);
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_field() {
        for (spec, field) in [
            (
                json!({"taints": [{"key": "a", "effect": "Never"}]}),
                "spec.taints[0].effect",
            ),
            (json!({"zones": "a"}), "spec.zones"),
            (json!({"region": 1}), "spec.region"),
        ] {
            assert_eq!(read(spec, Value::Null).expect_err("refused").field, field);
        }
    }
}
