//! The native kinds on a real API server: it takes their definitions, shows them well, and refuses what Fleetcast would refuse.

use fleetcast_core::dialect;
use fleetcast_core::dialect::native::crds;
use fleetcast_tests::harness::{ControlPlane, control_plane, eventually};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A client of a cluster that serves the native kinds, and has the namespace `shop`.
async fn defined(test: &str) -> Option<Client> {
    static DEFINED: OnceCell<()> = OnceCell::const_new();
    let plane = control_plane(test).await?;
    DEFINED.get_or_init(|| define(plane)).await;
    Some(plane.client().await)
}

async fn define(plane: &ControlPlane) {
    let client = plane.client().await;
    let definitions = all(
        &client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
    );
    for (name, definition) in crds::definitions() {
        apply(&definitions, &definition)
            .await
            .expect("the definition is taken");
        eventually("the definition is established", async || {
            let live = definitions.get(&name).await.expect("there");
            let holds = |kind: &str| {
                let conditions = live.data["status"]["conditions"].as_array();
                conditions
                    .into_iter()
                    .flatten()
                    .any(|one| one["type"] == kind && one["status"] == "True")
            };
            assert!(!holds("NonStructuralSchema"), "{live:?}");
            holds("Established") && holds("NamesAccepted")
        })
        .await;
    }
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    apply(&all(&client, "v1", "Namespace"), &shop)
        .await
        .expect("made");
    eventually("the kinds are served", async || {
        let objects = all(&client, "fleetcast.dev/v1alpha1", "FederatedObject");
        objects
            .list(&kube::api::ListParams::default())
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_real_api_server_serves_the_native_kinds_with_short_names_and_columns() {
    let test = "a_real_api_server_serves_the_native_kinds_with_short_names_and_columns";
    let Some(client) = defined(test).await else {
        return;
    };
    let served = get(&client, "/apis/fleetcast.dev/v1alpha1", "application/json").await;
    for (plural, short, namespaced) in [
        ("federatedobjects", "fo", true),
        ("clusterfederatedobjects", "cfo", false),
        ("memberclusters", "fmc", false),
    ] {
        let mut resources = served["resources"].as_array().expect("a list").iter();
        let one = resources.find(|one| one["name"] == plural).expect(plural);
        assert_eq!(one["shortNames"], json!([short]), "{one}");
        assert_eq!(one["namespaced"], json!(namespaced), "{one}");
        assert_eq!(one["categories"], json!(["fleetcast"]), "{one}");
        let status = format!("{plural}/status");
        let mut resources = served["resources"].as_array().expect("a list").iter();
        assert!(resources.any(|one| one["name"] == status), "{status}");
    }
    let cluster = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
        "metadata": {"name": "columns", "labels": {"tier": "prod"}}, "spec": {"region": "eu"},
    });
    let clusters = all(&client, "fleetcast.dev/v1alpha1", "MemberCluster");
    apply(&clusters, &cluster).await.expect("taken");
    let ready = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "reason": "Heard", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let params = PatchParams::default();
    let patched = clusters
        .patch_status("columns", &params, &Patch::Merge(&ready))
        .await;
    patched.expect("status has its endpoint");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = get(
        &client,
        "/apis/fleetcast.dev/v1alpha1/memberclusters",
        table,
    )
    .await;
    let columns: Vec<&Value> = table["columnDefinitions"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| &column["name"])
        .collect();
    let shown = columns
        .iter()
        .position(|name| **name == "Ready")
        .expect("a column");
    let row = table["rows"].as_array().expect("rows").iter();
    let mut row = row.filter(|row| row["cells"][0] == "columns");
    assert_eq!(
        row.next().expect("its row")["cells"][shown],
        "True",
        "{table}"
    );
}

#[tokio::test]
async fn a_real_api_server_takes_the_examples_as_they_are() {
    let test = "a_real_api_server_takes_the_examples_as_they_are";
    let Some(client) = defined(test).await else {
        return;
    };
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut taken = 0;
    for file in std::fs::read_dir(examples).expect("the examples") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for (_, document) in fleetcast_ingest::documents::read(&text) {
            let document = document.expect("a document");
            if document["apiVersion"] != "fleetcast.dev/v1alpha1" {
                continue;
            }
            let live = apply(&of(&client, &document), &document).await;
            let live = live.unwrap_or_else(|status| panic!("{}: {document}", status.message));
            let live = serde_json::to_value(live).expect("it serializes");
            assert_eq!(live["spec"], document["spec"], "nothing is pruned");
            // Another example may make something else of the same name.
            let name = document["metadata"]["name"].as_str().expect("a name");
            let api = of(&client, &document);
            let deleted = api.delete(name, &DeleteParams::default()).await;
            deleted.expect("deleted");
            taken += 1;
        }
    }
    assert!(taken >= 5, "{taken} documents of ours in examples/");
}

#[tokio::test]
async fn a_real_api_server_refuses_what_fleetcast_would_refuse_and_names_the_field() {
    let test = "a_real_api_server_refuses_what_fleetcast_would_refuse_and_names_the_field";
    let Some(client) = defined(test).await else {
        return;
    };
    let good = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "bad", "namespace": "shop"},
        "spec": {"template": {"apiVersion": "v1", "kind": "ConfigMap"}, "placement": {"clusters": ["eu-1"]}},
    });
    apply(&of(&client, &good), &good)
        .await
        .expect("without a fault it is taken");
    for (pointer, value, words) in [
        (
            "/spec/apply",
            json!({"drift": "sometimes"}),
            "spec.apply.drift",
        ),
        (
            "/spec/placement/clusters",
            json!("eu-1"),
            "spec.placement.clusters",
        ),
        (
            "/spec/placement/cluster",
            json!("eu-1"),
            "spec.placement.cluster",
        ),
        ("/spec/suspend", json!("yes"), "spec.suspend"),
        ("/spec/template", Value::Null, "spec.template"),
        (
            "/spec/placement/spread",
            json!([{"by": "region", "min": 3, "max": 2}]),
            "min is over max",
        ),
        (
            "/spec/placement/tolerations",
            json!([{"operator": "Equal", "value": "x"}]),
            "key is required for Equal",
        ),
        (
            "/spec/replicas",
            json!({"divide": "weighted", "weights": [{"clusters": ["eu-1"], "weight": 0}]}),
            "weights are all 0",
        ),
        (
            "/spec/replicas",
            json!({"divide": "aggregated", "total": 3, "min": {"eu-1": 2}, "max": {"eu-1": 1}}),
            "a minimum is over",
        ),
        (
            "/spec/overrides",
            json!([{"patches": [{"op": "increase", "path": "/a"}]}]),
            "spec.overrides[0].patches[0].op",
        ),
    ] {
        let mut bad = good.clone();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        let parent = bad.pointer_mut(parent).expect("it is there");
        match value {
            Value::Null => drop(parent.as_object_mut().expect("a mapping").remove(field)),
            value => parent[field] = value,
        }
        assert!(dialect::read(&bad).is_err(), "Fleetcast takes {bad}");
        let refused = apply(&of(&client, &bad), &bad).await;
        let status = refused
            .err()
            .unwrap_or_else(|| panic!("the server takes {bad}"));
        assert!(
            [400, 422, 500].contains(&status.code) && status.message.contains(words),
            "{words}: {status:?}"
        );
    }
}

#[tokio::test]
async fn a_real_api_server_refuses_that_an_object_becomes_another_and_dry_runs_say_so_too() {
    let test = "a_real_api_server_refuses_that_an_object_becomes_another_and_dry_runs_say_so_too";
    let Some(client) = defined(test).await else {
        return;
    };
    let first = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "same", "namespace": "shop"},
        "spec": {"template": {"apiVersion": "apps/v1", "kind": "Deployment"}, "placement": {"clusters": ["eu-1"]}},
    });
    let api = of(&client, &first);
    let dry = PatchParams::apply("test").force().dry_run();
    api.patch("same", &dry, &Patch::Apply(&first))
        .await
        .expect("a dry run is answered");
    let there = api.get_opt("same").await.expect("answered");
    assert!(there.is_none(), "a dry run changes nothing");
    apply(&api, &first).await.expect("taken");
    for (template, refused) in [
        (
            json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"}),
            None,
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "same", "labels": {"a": "b"}}}),
            None,
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet"}),
            Some("spec.template.kind cannot change"),
        ),
        (
            json!({"apiVersion": "v1", "kind": "Deployment"}),
            Some("the group in spec.template.apiVersion cannot change"),
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "other"}}),
            Some("spec.template.metadata.name cannot change"),
        ),
    ] {
        let mut next = first.clone();
        next["spec"]["template"] = template;
        let outcome = api.patch("same", &dry, &Patch::Apply(&next)).await;
        match (outcome, refused) {
            (Ok(_), None) => {}
            (Err(kube::Error::Api(status)), Some(words)) => {
                assert!(status.message.contains(words), "{words}: {status:?}");
            }
            (outcome, expected) => panic!("{next}: {outcome:?}, expected {expected:?}"),
        }
    }
}

/// Applies a document; unknown fields are refused, as kubectl has it.
async fn apply(api: &Api<DynamicObject>, document: &Value) -> Result<DynamicObject, Box<Status>> {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let params = PatchParams::apply("test").force().validation_strict();
    match api.patch(name, &params, &Patch::Apply(document)).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{other} is not an answer of the API"),
    }
}

fn of(client: &Client, document: &Value) -> Api<DynamicObject> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (api_version, kind) = (text(&document["apiVersion"]), text(&document["kind"]));
    match document["metadata"]["namespace"].as_str() {
        Some(namespace) => {
            Api::namespaced_with(client.clone(), namespace, &resource(&api_version, &kind))
        }
        None => all(client, &api_version, &kind),
    }
}

fn all(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(api_version, kind))
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

async fn get(client: &Client, path: &str, accept: &str) -> Value {
    let request = http::Request::get(path).header("accept", accept);
    let request = request.body(Vec::new()).expect("a request");
    client.request(request).await.expect("an answer")
}
