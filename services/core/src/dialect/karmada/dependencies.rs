//! What a workload names and so follows it: config maps, secrets, service accounts, volume claims, and the like.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dialect::group_of;
use crate::model::ObjectKey;

use super::resource::Object;

/// Objects that another one needs, all in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Group, kind and name.
    named: BTreeSet<(&'static str, &'static str, String)>,
    /// The derived service whose endpoint slices are needed.
    slices_of: Option<String>,
}

impl Needs {
    /// What `object` names.
    pub(super) fn of(object: &Value) -> Self {
        let mut needs = Self::default();
        let group = group_of(object["apiVersion"].as_str().unwrap_or_default());
        let pod = match (group, object["kind"].as_str().unwrap_or_default()) {
            ("", "Pod") => object.get("spec"),
            ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch", "Job") => object.pointer("/spec/template/spec"),
            ("batch", "CronJob") => object.pointer("/spec/jobTemplate/spec/template/spec"),
            ("networking.k8s.io", "Ingress") => {
                for tls in list(&object["spec"], "tls") {
                    needs.add("Secret", &tls["secretName"]);
                }
                None
            }
            ("multicluster.x-k8s.io", "ServiceImport") => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let service = format!("derived-{name}");
                needs.named.insert(("", "Service", service.clone()));
                needs.slices_of = Some(service);
                None
            }
            _ => None,
        };
        if let Some(pod) = pod {
            needs.add_pod(pod);
            for claim in list(&object["spec"], "volumeClaimTemplates") {
                if let Some(name) = claim["metadata"]["name"].as_str() {
                    needs
                        .named
                        .remove(&("", "PersistentVolumeClaim", name.to_owned()));
                }
            }
        }
        needs
    }

    /// Whether `object`, in the same namespace, is among them.
    pub(super) fn include(&self, object: &Object<'_>) -> bool {
        let key = &object.key;
        self.named.iter().any(|(group, kind, name)| {
            (*group, *kind, name.as_str()) == (key.group(), key.kind(), key.name())
        }) || (key.kind() == "EndpointSlice"
            && self.slices_of.is_some()
            && self.slices_of.as_ref() == object.labels.get("kubernetes.io/service-name"))
    }

    /// Those that are known by name, in `namespace`.
    pub(super) fn keys(&self, namespace: Option<&str>) -> Vec<ObjectKey> {
        self.named
            .iter()
            .filter_map(|(group, kind, name)| ObjectKey::new(kind, group, namespace, name).ok())
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.slices_of.is_none()
    }

    fn add(&mut self, kind: &'static str, name: &Value) {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            self.named.insert(("", kind, name.to_owned()));
        }
    }

    fn add_pod(&mut self, pod: &Value) {
        for kind in ["containers", "initContainers", "ephemeralContainers"] {
            for container in list(pod, kind) {
                for env in list(container, "env") {
                    let from = &env["valueFrom"];
                    self.add("ConfigMap", &from["configMapKeyRef"]["name"]);
                    self.add("Secret", &from["secretKeyRef"]["name"]);
                }
                for from in list(container, "envFrom") {
                    self.add("ConfigMap", &from["configMapRef"]["name"]);
                    self.add("Secret", &from["secretRef"]["name"]);
                }
            }
        }
        for secret in list(pod, "imagePullSecrets") {
            self.add("Secret", &secret["name"]);
        }
        let account = &pod["serviceAccountName"];
        if account != "default" {
            self.add("ServiceAccount", account);
        }
        for volume in list(pod, "volumes") {
            self.add_volume(volume);
        }
    }

    fn add_volume(&mut self, volume: &Value) {
        self.add("ConfigMap", &volume["configMap"]["name"]);
        self.add("Secret", &volume["secret"]["secretName"]);
        self.add("Secret", &volume["azureFile"]["secretName"]);
        self.add("Secret", &volume["csi"]["nodePublishSecretRef"]["name"]);
        for kind in [
            "cephfs",
            "cinder",
            "flexVolume",
            "iscsi",
            "rbd",
            "scaleIO",
            "storageos",
        ] {
            self.add("Secret", &volume[kind]["secretRef"]["name"]);
        }
        self.add(
            "PersistentVolumeClaim",
            &volume["persistentVolumeClaim"]["claimName"],
        );
        for source in list(&volume["projected"], "sources") {
            self.add("ConfigMap", &source["configMap"]["name"]);
            self.add("Secret", &source["secret"]["name"]);
        }
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(object: &Value) -> Vec<String> {
        Needs::of(object)
            .named
            .iter()
            .map(|(_, kind, name)| format!("{kind}/{name}"))
            .collect()
    }

    #[test]
    fn everything_that_a_pod_names_is_needed() {
        let pod = json!({
            "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "env-c"}}}, {"valueFrom": {"secretKeyRef": {"name": "env-s"}}}]}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "from-c"}}, {"secretRef": {"name": "from-s"}}]}],
            "volumes": [
                {"configMap": {"name": "vol-c"}}, {"secret": {"secretName": "vol-s"}},
                {"persistentVolumeClaim": {"claimName": "data"}}, {"csi": {"nodePublishSecretRef": {"name": "csi-s"}}},
                {"projected": {"sources": [{"configMap": {"name": "pro-c"}}, {"secret": {"name": "pro-s"}}]}},
            ],
        });
        let expected = [
            "ConfigMap/env-c",
            "ConfigMap/from-c",
            "ConfigMap/pro-c",
            "ConfigMap/vol-c",
            "PersistentVolumeClaim/data",
            "Secret/csi-s",
            "Secret/env-s",
            "Secret/from-s",
            "Secret/pro-s",
            "Secret/pull",
            "Secret/vol-s",
            "ServiceAccount/sa",
        ];
        for object in [
            json!({"apiVersion": "v1", "kind": "Pod", "spec": pod}),
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"template": {"spec": pod}}}),
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
        ] {
            assert_eq!(names(&object), expected, "{}", object["kind"]);
        }
    }

    #[test]
    fn some_names_are_no_needs() {
        let stateful = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "template": {"spec": {"serviceAccountName": "default", "volumes": [
                {"persistentVolumeClaim": {"claimName": "data"}}, {"persistentVolumeClaim": {"claimName": "own"}}]}},
        }});
        assert_eq!(names(&stateful), ["PersistentVolumeClaim/own"]);
        assert!(Needs::of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})).is_empty());
    }

    #[test]
    fn an_ingress_needs_its_secrets_and_an_import_its_service() {
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "spec": {"tls": [{"secretName": "cert"}, {"hosts": ["a"]}]}});
        assert_eq!(names(&ingress), ["Secret/cert"]);
        let import = json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport", "metadata": {"name": "web"}});
        assert_eq!(names(&import), ["Service/derived-web"]);
    }
}
