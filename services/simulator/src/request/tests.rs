//! Shows how URLs, queries and headers are read.
#![allow(clippy::unwrap_used)]

use super::*;

fn read(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Result<Request, Failure> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    parse(&method.parse().unwrap(), &uri.parse().unwrap(), &headers)
}

fn objects(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> ObjectsRequest {
    match read(method, uri, headers).unwrap() {
        Request::Objects(request) => *request,
        other => panic!("{other:?} is not about objects"),
    }
}

/// Paths name the kind, the namespace, the object and the part.
#[test]
fn paths() {
    for (uri, group, plural, namespace, name, subresource) in [
        (
            "/api/v1/namespaces",
            "",
            "namespaces",
            "",
            None,
            Subresource::Main,
        ),
        (
            "/api/v1/namespaces/shop",
            "",
            "namespaces",
            "",
            Some("shop"),
            Subresource::Main,
        ),
        (
            "/api/v1/namespaces/shop/status",
            "",
            "namespaces",
            "",
            Some("shop"),
            Subresource::Status,
        ),
        (
            "/api/v1/namespaces/shop/pods",
            "",
            "pods",
            "shop",
            None,
            Subresource::Main,
        ),
        (
            "/api/v1/pods?limit=5",
            "",
            "pods",
            "",
            None,
            Subresource::Main,
        ),
        (
            "/apis/apps/v1/namespaces/shop/deployments/web",
            "apps",
            "deployments",
            "shop",
            Some("web"),
            Subresource::Main,
        ),
        (
            "/apis/apps/v1/namespaces/shop/deployments/web/status",
            "apps",
            "deployments",
            "shop",
            Some("web"),
            Subresource::Status,
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%3Ab",
            "rbac.authorization.k8s.io",
            "clusterroles",
            "",
            Some("a:b"),
            Subresource::Main,
        ),
    ] {
        let request = objects("GET", uri, &[]);
        assert_eq!(
            (
                &*request.group,
                &*request.plural,
                &*request.namespace,
                request.subresource
            ),
            (group, plural, namespace, subresource),
            "{uri}"
        );
        match (request.verb, name) {
            (Verb::Get { name: read }, Some(name)) => assert_eq!(read, name),
            (Verb::List(_), None) => {}
            (verb, name) => panic!("{uri} is {verb:?}, not about {name:?}"),
        }
    }
}

/// The method, the query and the content type say what to do.
#[test]
fn verbs() {
    let one = "/api/v1/namespaces/shop/pods/web";
    let many = "/api/v1/namespaces/shop/pods";
    let patch = |form| Verb::Patch {
        name: "web".into(),
        form,
        force: false,
    };
    for (method, uri, content_type, verb) in [
        ("POST", many, "application/json", Verb::Create),
        (
            "PUT",
            one,
            "application/json",
            Verb::Update { name: "web".into() },
        ),
        (
            "PATCH",
            one,
            "application/json-patch+json",
            patch(PatchForm::Json),
        ),
        (
            "PATCH",
            one,
            "application/merge-patch+json",
            patch(PatchForm::Merge),
        ),
        (
            "PATCH",
            one,
            "application/strategic-merge-patch+json; charset=utf-8",
            patch(PatchForm::StrategicMerge),
        ),
        (
            "PATCH",
            one,
            "application/apply-patch+yaml",
            patch(PatchForm::Apply),
        ),
        (
            "DELETE",
            one,
            "",
            Verb::Delete {
                name: "web".into(),
                propagation: None,
            },
        ),
        (
            "DELETE",
            many,
            "",
            Verb::DeleteCollection {
                list: List::default(),
                propagation: None,
            },
        ),
    ] {
        assert_eq!(
            objects(method, uri, &[("content-type", content_type)]).verb,
            verb
        );
    }
    let watch = objects(
        "GET",
        "/api/v1/pods?watch=1&resourceVersion=7&allowWatchBookmarks=true&timeoutSeconds=9",
        &[],
    );
    let expected = Watch {
        resource_version: Some(7),
        bookmarks: true,
        timeout_seconds: Some(9),
        ..Watch::default()
    };
    assert_eq!(watch.verb, Verb::Watch(expected));
}

/// The manager is what the client states, or calls itself.
#[test]
fn managers() {
    for (query, agent, manager) in [
        ("?fieldManager=me", "curl/8", "me"),
        ("", "kubectl/v1.36 (linux)", "kubectl"),
        ("", "", "unknown"),
    ] {
        let request = objects(
            "POST",
            &format!("/api/v1/namespaces{query}"),
            &[("user-agent", agent)],
        );
        assert_eq!(request.manager, manager);
    }
}

/// The form comes from `Accept`.
#[test]
fn views() {
    for (accept, view) in [
        ("", View::Object),
        ("application/json", View::Object),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            View::Table,
        ),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            View::Metadata,
        ),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            View::Metadata,
        ),
    ] {
        assert_eq!(
            objects("GET", "/api/v1/pods", &[("accept", accept)]).view,
            view
        );
    }
}

/// What cannot be read gets the code of a real server.
#[test]
fn refusals() {
    for (method, uri, content_type, code) in [
        ("GET", "/nowhere", "", 404),
        ("GET", "/api/v1/namespaces/a/pods/b/status/c", "", 404),
        ("GET", "/api/v1/namespaces/a/pods/b/log", "", 404),
        ("POST", "/api/v1/namespaces/a/pods/b", "", 405),
        ("POST", "/version", "", 405),
        ("POST", "/api/v1/namespaces", "application/cbor", 415),
        (
            "PATCH",
            "/api/v1/namespaces/a/pods/b",
            "application/json",
            415,
        ),
        (
            "PATCH",
            "/api/v1/namespaces/a/pods/b?force=true",
            "application/merge-patch+json",
            422,
        ),
        ("GET", "/api/v1/pods?labelSelector=a%20b", "", 400),
        ("GET", "/api/v1/pods?limit=many", "", 400),
        (
            "DELETE",
            "/api/v1/namespaces/a/pods/b?propagationPolicy=Maybe",
            "",
            400,
        ),
    ] {
        let failure = read(method, uri, &[("content-type", content_type)]).unwrap_err();
        assert_eq!(failure.code, code, "{method} {uri}: {failure:?}");
    }
}
