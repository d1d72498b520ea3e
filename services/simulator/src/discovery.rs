//! What a server tells about itself: its version, its groups, and its kinds.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::{Kind, Version};
use crate::openapi;
use crate::request::Discovery;
use crate::status::Failure;

/// The version that the server claims: the one that its built-in kinds were taken from.
const MINOR: &str = "36";
const GIT_VERSION: &str = "v1.36.0+simulator";

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The content type of aggregated discovery.
pub(crate) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What the server answers, and whether it is aggregated discovery.
pub(crate) struct Told {
    pub(crate) body: Value,
    pub(crate) aggregated: bool,
}

/// Answers a question about the server. `kinds` are all that it serves, the built-in ones first.
pub(crate) fn tell(question: &Discovery, kinds: &[Arc<Kind>]) -> Result<Told, Failure> {
    let plain = |body| {
        Ok(Told {
            body,
            aggregated: false,
        })
    };
    match question {
        Discovery::Version => plain(json!({
            "major": "1", "minor": MINOR, "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "simulator",
        })),
        Discovery::Health => plain(json!("ok")),
        Discovery::Core { aggregated: true } => Ok(Told {
            body: aggregated(kinds, |group| group.is_empty()),
            aggregated: true,
        }),
        Discovery::Groups { aggregated: true } => Ok(Told {
            body: aggregated(kinds, |group| !group.is_empty()),
            aggregated: true,
        }),
        Discovery::Core { aggregated: false } => plain(json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
        })),
        Discovery::Groups { aggregated: false } => {
            let groups: Vec<_> = groups(kinds)
                .into_iter()
                .filter(|group| !group.is_empty())
                .map(|name| group(name, kinds))
                .collect();
            plain(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        Discovery::Group(name) => {
            if name.is_empty() || !kinds.iter().any(|kind| kind.group == *name) {
                return Err(Failure::unknown_path());
            }
            let mut body = group(name, kinds);
            body["kind"] = json!("APIGroup");
            body["apiVersion"] = json!("v1");
            plain(body)
        }
        Discovery::Resources { group, version } => {
            let resources = served(kinds, group, version);
            if resources.is_empty() {
                return Err(Failure::unknown_path());
            }
            let group_version = resources[0].1.api_version.clone();
            let resources: Vec<_> = resources
                .into_iter()
                .flat_map(|(kind, version)| legacy_resources(kind, version))
                .collect();
            plain(
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}),
            )
        }
        Discovery::OpenApi => plain(openapi::index(kinds)),
        Discovery::OpenApiOf { group, version } => {
            let resources = served(kinds, group, version);
            if resources.is_empty() {
                Err(Failure::unknown_path())
            } else {
                plain(openapi::of(&resources))
            }
        }
    }
}

/// The groups in the order of their kinds.
fn groups(kinds: &[Arc<Kind>]) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for kind in kinds {
        if !groups.contains(&kind.group.as_str()) {
            groups.push(&kind.group);
        }
    }
    groups
}

/// The versions of a group, the preferred one first.
fn versions<'a>(group: &str, kinds: &'a [Arc<Kind>]) -> Vec<&'a Version> {
    let mut versions: Vec<&Version> = Vec::new();
    for version in kinds
        .iter()
        .filter(|kind| kind.group == group)
        .flat_map(|kind| &kind.versions)
    {
        if !versions.iter().any(|known| known.name == version.name) {
            versions.push(version);
        }
    }
    versions
}

fn served<'a>(kinds: &'a [Arc<Kind>], group: &str, version: &str) -> Vec<(&'a Kind, &'a Version)> {
    kinds
        .iter()
        .filter(|kind| kind.group == group)
        .filter_map(|kind| Some((&**kind, kind.version(version)?)))
        .collect()
}

fn group(name: &str, kinds: &[Arc<Kind>]) -> Value {
    let versions: Vec<_> = versions(name, kinds)
        .iter()
        .map(|version| json!({"groupVersion": version.api_version, "version": version.name}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

fn legacy_resources(kind: &Kind, version: &Version) -> Vec<Value> {
    let mut resource = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": VERBS,
        "storageVersionHash": "",
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let mut resources = vec![resource];
    if version.status {
        let name = format!("{}/status", kind.plural);
        resources.push(json!({"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind, "verbs": STATUS_VERBS}));
    }
    resources
}

fn aggregated(kinds: &[Arc<Kind>], chosen: impl Fn(&str) -> bool) -> Value {
    let items: Vec<_> = groups(kinds)
        .into_iter()
        .filter(|group| chosen(group))
        .map(|group| {
            let of = |version: &&Version| {
                let resources: Vec<_> = served(kinds, group, &version.name)
                    .into_iter()
                    .map(|(kind, served)| aggregated_resource(kind, served))
                    .collect();
                json!({"version": version.name, "resources": resources, "freshness": "Current"})
            };
            let versions: Vec<_> = versions(group, kinds).iter().map(of).collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(kind: &Kind, version: &Version) -> Value {
    let response = json!({"group": kind.group, "version": version.name, "kind": kind.kind});
    let mut resource = json!({
        "resource": kind.plural, "responseKind": response, "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular, "verbs": VERBS,
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    if version.status {
        resource["subresources"] =
            json!([{"subresource": "status", "responseKind": response, "verbs": STATUS_VERBS}]);
    }
    resource
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kinds;

    fn body(question: &Discovery) -> Value {
        tell(question, kinds::all()).unwrap().body
    }

    /// Both ways of asking name the same kinds.
    #[test]
    fn legacy_and_aggregated() {
        let legacy = body(&Discovery::Resources {
            group: "apps".into(),
            version: "v1".into(),
        });
        let names: Vec<_> = legacy["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|resource| resource["name"].as_str().unwrap())
            .collect();
        assert!(
            names.contains(&"deployments") && names.contains(&"deployments/status"),
            "{names:?}"
        );

        let aggregated = body(&Discovery::Groups { aggregated: true });
        let apps = aggregated["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["metadata"]["name"] == "apps")
            .unwrap();
        let deployments = apps["versions"][0]["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|resource| resource["resource"] == "deployments");
        assert_eq!(
            deployments.unwrap()["subresources"][0]["subresource"],
            "status"
        );

        let groups = body(&Discovery::Groups { aggregated: false });
        assert!(
            groups["groups"]
                .as_array()
                .unwrap()
                .iter()
                .any(|group| group["preferredVersion"]["groupVersion"] == "autoscaling/v2")
        );
    }

    /// What is not served is not found.
    #[test]
    fn unknown() {
        for question in [
            Discovery::Group("example.com".into()),
            Discovery::Resources {
                group: "apps".into(),
                version: "v9".into(),
            },
            Discovery::OpenApiOf {
                group: "example.com".into(),
                version: "v1".into(),
            },
        ] {
            assert_eq!(
                tell(&question, kinds::all())
                    .err()
                    .map(|failure| failure.code),
                Some(404),
                "{question:?}"
            );
        }
    }
}
