//! As much OpenAPI as kubectl needs to see that the server validates by itself: paths and parameters, no schemas.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::kind::{Kind, Version};

/// The index of the documents (`/openapi/v3`).
pub(crate) fn index(kinds: &[Arc<Kind>]) -> Value {
    let versions: BTreeSet<&str> = kinds
        .iter()
        .flat_map(|kind| &kind.versions)
        .map(|version| version.api_version.as_str())
        .collect();
    let paths: Map<_, _> = versions
        .into_iter()
        .map(|api_version| {
            let root = root(api_version);
            (
                root.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{root}")}),
            )
        })
        .collect();
    json!({"paths": paths})
}

/// The document of one group and version.
pub(crate) fn of(resources: &[(&Kind, &Version)]) -> Value {
    let mut paths = Map::new();
    for (kind, version) in resources {
        let root = root(&version.api_version);
        let namespace = if kind.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let parameter =
            |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
        let responses = json!({"200": {"description": "OK"}});
        let operation = |action: &str| {
            json!({
                "parameters": parameters,
                "responses": responses,
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": {"group": kind.group, "version": version.name, "kind": kind.kind},
            })
        };
        let path = format!("/{root}/{namespace}{}", kind.plural);
        paths.insert(path.clone(), json!({"post": operation("post")}));
        paths.insert(
            format!("{path}/{{name}}"),
            json!({"patch": operation("patch"), "put": operation("put")}),
        );
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes API in memory", "version": "unversioned"}, "paths": paths, "components": {}})
}

/// `api/v1`, `apis/apps/v1`.
fn root(api_version: &str) -> String {
    if api_version.contains('/') {
        format!("apis/{api_version}")
    } else {
        format!("api/{api_version}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kinds;

    /// A patch says that it takes `fieldValidation`, which is what kubectl looks for.
    #[test]
    fn patches_validate() {
        assert_eq!(
            index(kinds::all())["paths"]["apis/apps/v1"]["serverRelativeURL"],
            "/openapi/v3/apis/apps/v1"
        );
        let deployments = kinds::by_resource("deployments.apps").unwrap();
        let document = of(&[(deployments, &deployments.versions[0])]);
        let patch =
            &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert!(
            patch["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .any(|parameter| parameter["name"] == "fieldValidation")
        );
        assert_eq!(
            patch["x-kubernetes-group-version-kind"]["kind"],
            "Deployment"
        );
    }
}
