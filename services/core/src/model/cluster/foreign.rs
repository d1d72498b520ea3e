//! Clusters as KubeFed and Karmada describe them: what placement needs of them, the rest is left unread.

use serde_json::Value;

use super::{Cluster, ClusterName, read_apis, read_key, read_taints, ready_condition, texts};
use crate::Refusal;
use crate::field::Field;

pub(crate) const KUBEFED: &str = "core.kubefed.io/v1beta1";
pub(crate) const KARMADA: &str = "cluster.karmada.io/v1alpha1";
/// The annotation with the public key of the cluster's agent.
const SEALING_KEY: &str = "fleetcast.dev/sealing-key";

impl Cluster {
    /// Reads a `KubeFedCluster`: labels, and region and zones from its status. It is ready without a status, else where its condition
    /// `Ready` is True.
    ///
    /// # Errors
    /// Refuses what is malformed in the fields that are read.
    pub fn read_kubefed(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let status = root.get("status");
        Ok(Self {
            labels: root.get("metadata").get("labels").strings()?,
            region: status.get("region").optional_string()?.map(str::to_owned),
            zones: texts(&status.get("zones"))?,
            ready: is_ready(&status)?,
            sealing_key: sealing_key(&root)?,
            ..Self::named(name(&root)?)
        })
    }

    /// Reads a Karmada `Cluster` for objects of other dialects; Karmada's own planning looks at more of it.
    ///
    /// # Errors
    /// Refuses what is malformed in the fields that are read.
    pub fn read_karmada(document: &Value) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let (spec, status) = (root.get("spec"), root.get("status"));
        let text = |key: &str| Ok(spec.get(key).optional_string()?.map(str::to_owned));
        Ok(Self {
            labels: root.get("metadata").get("labels").strings()?,
            region: text("region")?,
            zone: text("zone")?,
            zones: texts(&spec.get("zones"))?,
            provider: text("provider")?,
            taints: read_taints(&spec.get("taints"))?,
            ready: is_ready(&status)?,
            apis: read_apis(
                &status.get("apiEnablements"),
                "groupVersion",
                |resource| resource.get("kind"),
                "resources",
            )?,
            sealing_key: sealing_key(&root)?,
            ..Self::named(name(&root)?)
        })
    }
}

/// Their documents have no field for it.
fn sealing_key(root: &Field<'_>) -> Result<Option<String>, Refusal> {
    let annotations = root.get("metadata").get("annotations");
    read_key(&annotations.get(SEALING_KEY))
}

fn name(root: &Field<'_>) -> Result<ClusterName, Refusal> {
    let name = root.get("metadata").get("name");
    ClusterName::parse(name.string()?).map_err(|refusal| name.refuse(refusal.message))
}

/// No status is ready; a status is where its condition `Ready` is True (KubeFed leaves that condition out where nobody answers).
fn is_ready(status: &Field<'_>) -> Result<bool, Refusal> {
    let conditions = status.get("conditions");
    Ok(!conditions.is_present() || ready_condition(status)? == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kubefed_cluster_is_ready_as_kubefed_says() {
        for (status, ready) in [
            (json!(null), true),
            (
                json!({"conditions": [{"type": "Ready", "status": "True"}]}),
                true,
            ),
            (
                json!({"conditions": [{"type": "Ready", "status": "False"}]}),
                false,
            ),
            (
                json!({"conditions": [{"type": "Offline", "status": "True"}]}),
                false,
            ),
        ] {
            let document = json!({
                "apiVersion": KUBEFED, "kind": "KubeFedCluster",
                "metadata": {"name": "c1", "namespace": "kube-federation-system", "labels": {"tier": "prod"}},
                "spec": {"apiEndpoint": "https://c1"}, "status": status,
            });
            let cluster = Cluster::read_any(&document)
                .expect("a cluster")
                .expect("valid");
            assert_eq!(cluster.ready, ready, "{status}");
            assert_eq!(cluster.labels["tier"], "prod");
        }
    }

    #[test]
    fn a_karmada_cluster_gives_what_placement_needs() {
        let document = json!({
            "apiVersion": KARMADA, "kind": "Cluster", "metadata": {"name": "m1"},
            "spec": {"region": "eu", "zones": ["a"], "taints": [{"key": "k", "effect": "NoExecute", "timeAdded": null}]},
            "status": {"apiEnablements": [{"groupVersion": "apps/v1", "resources": [{"kind": "Deployment", "name": "deployments"}]}]},
        });
        let cluster = Cluster::read_any(&document)
            .expect("a cluster")
            .expect("valid");
        assert_eq!(cluster.region.as_deref(), Some("eu"));
        assert_eq!(cluster.taints.len(), 1);
        assert!(cluster.ready && cluster.serves("apps/v1", "Deployment"));
        assert!(!cluster.serves("v1", "Secret"));
    }
}
