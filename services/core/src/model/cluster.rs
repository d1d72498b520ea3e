//! A member cluster as placement sees it, whoever describes it.
//!
//! | document | read by |
//! |---|---|
//! | `fleetcast.dev/v1alpha1 MemberCluster` | [`Cluster::read`] |
//! | `core.kubefed.io/v1beta1 KubeFedCluster` | [`Cluster::read_kubefed`] |
//! | `cluster.karmada.io/v1alpha1 Cluster` | [`Cluster::read_karmada`] |
//!
//! A document without a status is a ready cluster that serves every kind.

mod foreign;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::name::ClusterName;
use crate::Refusal;
use crate::field::Field;
use crate::sealed;

pub(crate) use foreign::{KARMADA, KUBEFED};

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
    /// All its zones, where it spans several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Provider, for spreading.
    #[serde(default)]
    pub provider: Option<String>,
    /// Taints that keep objects away which do not tolerate them.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Whether it takes nothing new; what is there stays.
    #[serde(default)]
    pub cordoned: bool,
    /// Whether its own status says that it is ready; one without a status is.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ready: bool,
    /// What it serves, as `apps/v1/Deployment`; none where that is unknown, which counts as everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apis: Option<BTreeSet<String>>,
    /// How many pods it has room for in all: no object gets more replicas there; none where that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<i64>,
    /// The public key (xkey) of its agent, to which values of Secrets are sealed; none where it has none, and then it gets no Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing_key: Option<String>,
    /// The object of a hub that registered it so; none where nobody's did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_on: Option<OnHub>,
}

/// An object of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnHub {
    /// The hub's id.
    pub hub: String,
    /// Where the object stands: `KubeFedCluster.core.kubefed.io/kube-federation-system/eu-1`.
    pub place: String,
}

fn yes() -> bool {
    true
}

// By reference, as serde calls it.
fn is_yes(ready: &bool) -> bool {
    *ready
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

/// The key of the taint of a cluster that is to leave with its copies: nothing tolerates it (docs/decisions/0042-a-cluster-that-is-let-go-keeps-its-copies.md).
pub const LEAVING: &str = "fleetcast.dev/leaving";

impl Taint {
    /// The taint of a cluster that is to leave with its copies.
    pub fn leaving() -> Self {
        Self {
            key: LEAVING.to_owned(),
            value: String::new(),
            effect: TaintEffect::NoExecute,
        }
    }

    /// Whether it says that the cluster is to leave with its copies.
    pub fn is_leaving(&self) -> bool {
        self.key == LEAVING && self.effect == TaintEffect::NoExecute
    }
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
            zones: Vec::new(),
            provider: None,
            taints: Vec::new(),
            cordoned: false,
            ready: true,
            apis: None,
            pods: None,
            sealing_key: None,
            declared_on: None,
        }
    }

    /// Reads a cluster's document of any dialect; none where it is no cluster's.
    pub fn read_any(document: &Value) -> Option<Result<Self, Refusal>> {
        let text = |key: &str| document.get(key).and_then(Value::as_str);
        match (text("apiVersion")?, text("kind")?) {
            ("fleetcast.dev/v1alpha1", "MemberCluster") => Some(Self::read(document)),
            (foreign::KUBEFED, "KubeFedCluster") => Some(Self::read_kubefed(document)),
            (foreign::KARMADA, "Cluster") => Some(Self::read_karmada(document)),
            _ => None,
        }
    }

    /// Whether `document` is a cluster's in KubeFed's or Karmada's words: those say in their status what ours say in their spec.
    pub fn is_foreign(document: &Value) -> bool {
        [foreign::KUBEFED, foreign::KARMADA]
            .iter()
            .any(|api_version| document["apiVersion"] == *api_version)
    }

    /// Whether it is to leave with its copies.
    pub fn is_leaving(&self) -> bool {
        self.taints.iter().any(Taint::is_leaving)
    }

    /// Whether it serves `kind` in `api_version`, as far as is known.
    pub fn serves(&self, api_version: &str, kind: &str) -> bool {
        self.apis
            .as_ref()
            .is_none_or(|apis| apis.contains(&format!("{api_version}/{kind}")))
    }

    /// Whether it serves `api`, a kind as `apps/v1/Deployment`, as far as is known.
    pub fn serves_api(&self, api: &str) -> bool {
        self.apis.as_ref().is_none_or(|apis| apis.contains(api))
    }

    /// The zone that it counts for: its zone, else the first of its zones.
    pub fn first_zone(&self) -> Option<&str> {
        self.zone
            .as_deref()
            .or_else(|| self.zones.first().map(String::as_str))
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
        spec.only(&[
            "region",
            "zone",
            "zones",
            "provider",
            "taints",
            "cordoned",
            "sealingKey",
        ])?;
        let sealing_key = spec.get("sealingKey");
        let taints = spec.get("taints");
        for taint in taints.list()? {
            taint.only(&["key", "value", "effect"])?;
        }
        let status = root.get("status");
        let pods = status.get("capacity").get("pods");
        if pods.optional_integer()?.is_some_and(|pods| pods < 0) {
            return Err(pods.refuse("must not be negative"));
        }
        Ok(Self {
            name,
            labels: metadata.get("labels").strings()?,
            region: spec.get("region").optional_string()?.map(str::to_owned),
            zone: spec.get("zone").optional_string()?.map(str::to_owned),
            zones: texts(&spec.get("zones"))?,
            provider: spec.get("provider").optional_string()?.map(str::to_owned),
            taints: read_taints(&taints)?,
            cordoned: spec.get("cordoned").optional_bool()?.unwrap_or(false),
            ready: ready_condition(&status)?.unwrap_or(true),
            apis: read_apis(
                &status.get("apis"),
                "apiVersion",
                |kind| kind.clone(),
                "kinds",
            )?,
            pods: pods.optional_integer()?,
            sealing_key: read_key(&sealing_key)?,
            declared_on: None,
        })
    }

    /// Writes the `MemberCluster` document that [`Cluster::read`] reads back.
    pub fn document(&self) -> Value {
        let Self {
            name,
            labels,
            region,
            zone,
            zones,
            provider,
            taints,
            cordoned,
            ready,
            apis,
            pods,
            sealing_key,
            // No document says so: it is found out anew from who hands one in.
            declared_on: _,
        } = self;
        let mut spec = serde_json::json!({"taints": taints, "cordoned": cordoned});
        for (key, value) in [
            ("region", region),
            ("zone", zone),
            ("provider", provider),
            ("sealingKey", sealing_key),
        ] {
            if let Some(value) = value {
                spec[key] = Value::from(value.as_str());
            }
        }
        if !zones.is_empty() {
            spec["zones"] = Value::from(zones.as_slice());
        }
        let mut document = serde_json::json!({
            "apiVersion": "fleetcast.dev/v1alpha1",
            "kind": "MemberCluster",
            "metadata": {"name": name.as_str(), "labels": labels},
            "spec": spec,
        });
        if !ready {
            document["status"]["conditions"] =
                serde_json::json!([{"type": "Ready", "status": "False"}]);
        }
        if let Some(apis) = apis {
            let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (api_version, kind) in apis.iter().filter_map(|api| api.rsplit_once('/')) {
                by_version.entry(api_version).or_default().push(kind);
            }
            document["status"]["apis"] = by_version
                .into_iter()
                .map(|(api_version, kinds)| serde_json::json!({"apiVersion": api_version, "kinds": kinds}))
                .collect();
        }
        if let Some(pods) = pods {
            document["status"]["capacity"] = serde_json::json!({"pods": pods});
        }
        document
    }
}

fn read_taints(taints: &Field<'_>) -> Result<Vec<Taint>, Refusal> {
    let read = |taint: &Field<'_>| {
        let value = taint.get("value").optional_string()?;
        Ok(Taint {
            key: taint.get("key").string()?.to_owned(),
            value: value.unwrap_or_default().to_owned(),
            effect: TaintEffect::read(&taint.get("effect"))?,
        })
    };
    taints.list()?.iter().map(read).collect()
}

/// Reads a public xkey.
fn read_key(field: &Field<'_>) -> Result<Option<String>, Refusal> {
    match field.optional_string()? {
        None => Ok(None),
        Some(key) if sealed::is_key(key) => Ok(Some(key.to_owned())),
        Some(_) => Err(field.refuse(
            "is no public xkey: X and 55 letters and digits, as `fleetcast sealing list FILE` prints it",
        )),
    }
}

fn texts(field: &Field<'_>) -> Result<Vec<String>, Refusal> {
    let text = |field: &Field<'_>| field.string().map(str::to_owned);
    field.list()?.iter().map(text).collect()
}

/// What the condition `Ready` of a status says; none where there is no such condition.
fn ready_condition(status: &Field<'_>) -> Result<Option<bool>, Refusal> {
    for condition in status.get("conditions").list()? {
        if condition.get("type").optional_string()? == Some("Ready") {
            return Ok(Some(
                condition.get("status").optional_string()? == Some("True"),
            ));
        }
    }
    Ok(None)
}

/// Reads `[{<version>: apps/v1, <kinds>: […]}]`, where `kind` leads from an element of the inner list to the kind's name.
fn read_apis<'a>(
    apis: &Field<'a>,
    version: &str,
    kind: impl Fn(&Field<'a>) -> Field<'a>,
    kinds: &str,
) -> Result<Option<BTreeSet<String>>, Refusal> {
    if !apis.is_present() {
        return Ok(None);
    }
    let mut served = BTreeSet::new();
    for api in apis.list()? {
        let api_version = api.get(version).string()?;
        for element in api.get(kinds).list()? {
            served.insert(format!("{api_version}/{}", kind(&element).string()?));
        }
    }
    Ok(Some(served))
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
            "spec": {"region": "eu", "zones": ["a", "b"], "cordoned": true, "sealingKey": "XBUJMZHVOPQ2SK5VD3TY4VNBPVU2YFGRLK6EFPEPSMVDUYEBSROWZCEA", "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "Unknown"}], "capacity": {"pods": 110},
                "apis": [{"apiVersion": "v1", "kinds": ["Secret"]}, {"apiVersion": "apps/v1", "kinds": ["Deployment"]}],
            },
        });
        let cluster = Cluster::read(&document).expect("valid");
        assert_eq!(cluster.region.as_deref(), Some("eu"));
        assert!(cluster.cordoned);
        assert!(!cluster.ready);
        assert_eq!(cluster.first_zone(), Some("a"));
        assert!(cluster.serves("apps/v1", "Deployment"));
        assert!(!cluster.serves("apps/v1", "Secret"));
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
                json!({"metadata": {"name": "eu"}, "spec": {"sealingKey": "SXAKIYZX"}}),
                "spec.sealingKey",
            ),
            (
                json!({"metadata": {"name": "eu"}, "spec": {"zones": "a"}}),
                "spec.zones",
            ),
            (
                json!({"metadata": {"name": "eu"}, "status": {"capacity": {"pods": -1}}}),
                "status.capacity.pods",
            ),
            (
                json!({"metadata": {"name": "eu"}, "status": {"apis": [{"kinds": ["Pod"]}]}}),
                "status.apis[0].apiVersion",
            ),
        ] {
            assert_eq!(Cluster::read(&document).expect_err("refused").field, field);
        }
    }
}
