//! What Karmada takes out of an object before it goes to a cluster: everything that belongs to the hub's copy only.

use serde_json::{Map, Value};

/// Takes out of `manifest` what does not travel, and sets its namespace.
pub(super) fn prune(manifest: &mut Value, namespace: Option<&str>) {
    let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
    let Some(object) = manifest.as_object_mut() else {
        return;
    };
    object.remove("status");
    if let Some(metadata) = map_at(object, "metadata") {
        for key in [
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "managedFields",
            "resourceVersion",
            "selfLink",
            "uid",
            "ownerReferences",
            "finalizers",
        ] {
            metadata.remove(key);
        }
        match namespace {
            Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
            None => metadata.remove("namespace"),
        };
    }
    match kind.as_str() {
        "Deployment" => annotations_without(object, |key| {
            key.starts_with("deployment.kubernetes.io/revision")
        }),
        "Service" => prune_service(object),
        "Job" => prune_job(object),
        "Secret"
            if object
                .get("type")
                .is_some_and(|t| t == "kubernetes.io/service-account-token") =>
        {
            object.remove("data");
            annotations_without(object, |key| key == "kubernetes.io/service-account.uid");
        }
        "PersistentVolumeClaim" => {
            annotations_without(object, |key| key == "volume.kubernetes.io/selected-node")
        }
        "ServiceAccount" => prune_service_account(object),
        _ => {}
    }
}

fn map_at<'m>(object: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Map<String, Value>> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

fn annotations_without(object: &mut Map<String, Value>, goes: impl Fn(&str) -> bool) {
    if let Some(annotations) =
        map_at(object, "metadata").and_then(|metadata| map_at(metadata, "annotations"))
    {
        annotations.retain(|key, _| !goes(key));
    }
}

/// Addresses are each cluster's own, except for a headless service.
fn prune_service(object: &mut Map<String, Value>) {
    let Some(spec) = map_at(object, "spec") else {
        return;
    };
    if spec.get("clusterIP").is_some_and(|ip| ip != "None") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
}

/// The selector that the hub made, unless the user made it; and the clean-up that would take the hub's copy away.
fn prune_job(object: &mut Map<String, Value>) {
    const MADE: [&str; 4] = [
        "controller-uid",
        "job-name",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
    ];
    let Some(spec) = map_at(object, "spec") else {
        return;
    };
    spec.remove("ttlSecondsAfterFinished");
    if spec
        .get("manualSelector")
        .is_some_and(|manual| manual == true)
    {
        return;
    }
    let selector = map_at(spec, "selector").and_then(|selector| map_at(selector, "matchLabels"));
    if let Some(labels) = selector {
        labels.retain(|key, _| !MADE.contains(&key.as_str()));
    }
    let labels = map_at(spec, "template")
        .and_then(|template| map_at(template, "metadata"))
        .and_then(|metadata| map_at(metadata, "labels"));
    if let Some(labels) = labels {
        labels.retain(|key, _| !MADE.contains(&key.as_str()));
    }
}

/// The token secrets that the hub made.
fn prune_service_account(object: &mut Map<String, Value>) {
    let name = object
        .get("metadata")
        .and_then(|metadata| metadata["name"].as_str())
        .unwrap_or_default();
    let made = format!("{name}-token-");
    if let Some(secrets) = object.get_mut("secrets").and_then(Value::as_array_mut) {
        secrets.retain(|secret| {
            !secret["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(&made))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_belongs_to_the_hub_does_not_travel() {
        for (before, after) in [
            (
                json!({"kind": "Thing", "metadata": {"name": "x", "uid": "1", "generation": 2, "ownerReferences": [], "finalizers": [],
                    "creationTimestamp": null, "labels": {"a": "b"}, "annotations": {"c": "d"}}, "status": {"e": 1}}),
                json!({"kind": "Thing", "metadata": {"name": "x", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"c": "d"}}}),
            ),
            (
                json!({"kind": "Deployment", "metadata": {"annotations": {"deployment.kubernetes.io/revision": "3", "a": "b"}}}),
                json!({"kind": "Deployment", "metadata": {"namespace": "shop", "annotations": {"a": "b"}}}),
            ),
            (
                json!({"kind": "Service", "metadata": {}, "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": []}}),
                json!({"kind": "Service", "metadata": {"namespace": "shop"}, "spec": {"ports": []}}),
            ),
            (
                json!({"kind": "Service", "metadata": {}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
                json!({"kind": "Service", "metadata": {"namespace": "shop"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
            ),
            (
                json!({"kind": "Job", "metadata": {}, "spec": {"ttlSecondsAfterFinished": 5,
                    "selector": {"matchLabels": {"controller-uid": "1", "mine": "2"}},
                    "template": {"metadata": {"labels": {"job-name": "x", "mine": "2"}}}}}),
                json!({"kind": "Job", "metadata": {"namespace": "shop"}, "spec": {"selector": {"matchLabels": {"mine": "2"}},
                    "template": {"metadata": {"labels": {"mine": "2"}}}}}),
            ),
            (
                json!({"kind": "Job", "metadata": {}, "spec": {"manualSelector": true, "selector": {"matchLabels": {"controller-uid": "1"}}}}),
                json!({"kind": "Job", "metadata": {"namespace": "shop"}, "spec": {"manualSelector": true, "selector": {"matchLabels": {"controller-uid": "1"}}}}),
            ),
            (
                json!({"kind": "Secret", "type": "kubernetes.io/service-account-token", "data": {}, "metadata": {"annotations": {"kubernetes.io/service-account.uid": "1"}}}),
                json!({"kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"namespace": "shop", "annotations": {}}}),
            ),
            (
                json!({"kind": "ServiceAccount", "metadata": {"name": "sa"}, "secrets": [{"name": "sa-token-1"}, {"name": "sa-token-2"}, {"name": "mine"}]}),
                json!({"kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "shop"}, "secrets": [{"name": "mine"}]}),
            ),
        ] {
            let mut manifest = before;
            prune(&mut manifest, Some("shop"));
            assert_eq!(manifest, after);
        }
    }
}
