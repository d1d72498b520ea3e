//! What a workload names and cannot run without: ConfigMaps, Secrets, ServiceAccounts and PersistentVolumeClaims of its namespace.
//!
//! With `dependencies: true` they go where the workload goes, whatever their own placement says beyond that, and no longer once nobody
//! there names them. What a ServiceAccount names does not follow by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::{ClusterName, ObjectKey};

/// Where pods are described in the built-in workloads.
const POD_SPECS: &[&str] = &[
    "/spec",
    "/spec/template/spec",
    "/spec/jobTemplate/spec/template/spec",
];

/// In which clusters objects are needed, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed(BTreeMap<ObjectKey, BTreeMap<ClusterName, String>>);

impl Needed {
    /// Takes note that `dependent` names `object` and lands in `clusters`.
    pub fn add(&mut self, object: ObjectKey, dependent: &ObjectKey, clusters: &[&ClusterName]) {
        let needed = self.0.entry(object).or_default();
        for cluster in clusters {
            needed
                .entry((*cluster).clone())
                .or_insert_with(|| dependent.for_people());
        }
    }

    /// Where `object` is needed, and by whom first.
    pub fn of(&self, object: &ObjectKey) -> Option<&BTreeMap<ClusterName, String>> {
        self.0.get(object)
    }
}

/// What the pods of `template` name in `namespace`, each once.
pub fn of(template: &Value, namespace: &str) -> BTreeSet<ObjectKey> {
    let mut named = BTreeSet::new();
    let mut add = |kind: &str, name: &Value| {
        if let Some(name) = name.as_str()
            && let Ok(key) = ObjectKey::new(kind, "", Some(namespace), name)
        {
            named.insert(key);
        }
    };
    let kind = template["kind"].as_str().unwrap_or_default();
    for pointer in POD_SPECS {
        // A workload's own spec is no pod's, even where it has fields of the same names.
        if *pointer == "/spec" && kind != "Pod" {
            continue;
        }
        let Some(pod) = template.pointer(pointer) else {
            continue;
        };
        add("ServiceAccount", &pod["serviceAccountName"]);
        for secret in list(&pod["imagePullSecrets"]) {
            add("Secret", &secret["name"]);
        }
        for volume in list(&pod["volumes"]) {
            add("ConfigMap", &volume["configMap"]["name"]);
            add("Secret", &volume["secret"]["secretName"]);
            add(
                "PersistentVolumeClaim",
                &volume["persistentVolumeClaim"]["claimName"],
            );
            add("Secret", &volume["csi"]["nodePublishSecretRef"]["name"]);
            for source in list(&volume["projected"]["sources"]) {
                add("ConfigMap", &source["configMap"]["name"]);
                add("Secret", &source["secret"]["name"]);
            }
        }
        for container in ["containers", "initContainers"]
            .iter()
            .flat_map(|key| list(&pod[key]))
        {
            for from in list(&container["envFrom"]) {
                add("ConfigMap", &from["configMapRef"]["name"]);
                add("Secret", &from["secretRef"]["name"]);
            }
            for variable in list(&container["env"]) {
                add(
                    "ConfigMap",
                    &variable["valueFrom"]["configMapKeyRef"]["name"],
                );
                add("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
            }
        }
    }
    named
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_a_pod_names_is_found() {
        let pod = json!({
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"configMap": {"name": "conf"}}, {"secret": {"secretName": "tls"}}, {"emptyDir": {}},
                {"persistentVolumeClaim": {"claimName": "data"}},
                {"projected": {"sources": [{"configMap": {"name": "p1"}}, {"secret": {"name": "p2"}}]}},
            ],
            "initContainers": [{"envFrom": [{"secretRef": {"name": "init"}}]}],
            "containers": [{"env": [
                {"valueFrom": {"configMapKeyRef": {"name": "e1"}}}, {"valueFrom": {"secretKeyRef": {"name": "e2"}}}, {"value": "x"},
            ]}],
        });
        let expected = [
            "ConfigMap/shop/conf",
            "ConfigMap/shop/e1",
            "ConfigMap/shop/p1",
            "PersistentVolumeClaim/shop/data",
            "Secret/shop/e2",
            "Secret/shop/init",
            "Secret/shop/p2",
            "Secret/shop/pull",
            "Secret/shop/tls",
            "ServiceAccount/shop/sa",
        ];
        for template in [
            json!({"kind": "Pod", "spec": pod}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
        ] {
            let named: Vec<String> = of(&template, "shop")
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(named, expected, "{template}");
        }
        let ingress = json!({"kind": "Ingress", "spec": {"serviceAccountName": "no pod"}});
        assert!(of(&ingress, "shop").is_empty());
    }
}
