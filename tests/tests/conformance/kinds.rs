//! Custom kinds and discovery.

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::place::{Place, answer, create_in, delete, dynamic, edit, get, gone, resource, version};
use fleetcast_tests::harness::eventually;

fn definition(group: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
                "type": "object", "required": ["name"], "x-kubernetes-preserve-unknown-fields": true, "properties": {"name": {"type": "string"}}}}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}});
    let column = json!({"name": "Size", "type": "integer", "jsonPath": ".spec.size"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wg"]}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}, "additionalPrinterColumns": [column]},
            {"name": "v1beta1", "served": true, "storage": false, "schema": schema}]},
    })
}

fn definitions(place: &Place) -> Api<DynamicObject> {
    place.all("apiextensions.k8s.io/v1", "CustomResourceDefinition")
}

/// Creates the definition and waits until its kind is served.
async fn define(place: &Place) -> Api<DynamicObject> {
    let definition = definition(&place.group());
    create_in(&definitions(place), &definition)
        .await
        .expect("created");
    let name = format!("widgets.{}", place.group());
    eventually("the definition is established", async || {
        let live = get(&definitions(place), &name).await.expect("there");
        let conditions = live["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    })
    .await;
    let widgets = place.of(&format!("{}/v1", place.group()), "Widget");
    // Established is not yet served, on a real server.
    eventually("the kind is served", async || {
        answer(widgets.list(&ListParams::default()).await).is_ok()
    })
    .await;
    widgets
}

fn widget(place: &Place, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{}/v1", place.group()), "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// A kind is served, in every version, from its definition until that goes, and its objects with it.
pub(crate) async fn a_definition_serves_its_kind_until_it_goes(place: &Place) {
    let before = place.of(&format!("{}/v1", place.group()), "Widget");
    let status = answer(before.list(&ListParams::default()).await).expect_err("not yet");
    assert_eq!(status.code, 404);
    let widgets = define(place).await;
    let applied = place.apply("fleetcast", widget(place, "w", &json!({"size": 1})));
    assert_eq!(applied.await.expect("applied")["metadata"]["generation"], 1);
    let older = place.of(&format!("{}/v1beta1", place.group()), "Widget");
    let seen = get(&older, "w").await.expect("the same object");
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]["size"]),
        (&json!(format!("{}/v1beta1", place.group())), &json!(1))
    );
    let discovery = kube::Discovery::new(place.client.clone())
        .run_aggregated()
        .await;
    let kind = GroupVersionKind::gvk(&place.group(), "v1", "Widget");
    let (found, _) = discovery
        .expect("discovery")
        .resolve_gvk(&kind)
        .expect("the kind");
    assert_eq!(found.plural, "widgets");
    let path = format!(
        "/apis/{}/v1/namespaces/{}/widgets",
        place.group(),
        place.namespace
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = place
        .send("GET", &path, &table, &Value::Null)
        .await
        .expect("a table");
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
    assert_eq!(table["rows"][0]["cells"], json!(["w", 1]));

    let name = format!("widgets.{}", place.group());
    delete(&definitions(place), &name).await;
    gone(&definitions(place), &name).await;
    eventually("the kind is not served any more", async || {
        answer(widgets.get("w").await).is_err_and(|status| status.code == 404)
    })
    .await;
}

/// Its lists merge as its schema says, by the keys of their entries.
pub(crate) async fn its_lists_merge_by_their_schema(place: &Place) {
    define(place).await;
    let part = |name: &str| widget(place, "w", &json!({"parts": [{"name": name}]}));
    place.apply("a", part("one")).await.expect("created");
    let both = place.apply("b", part("two")).await.expect("applied");
    assert_eq!(
        both["spec"]["parts"],
        json!([{"name": "one"}, {"name": "two"}])
    );
    let strategic = Patch::Strategic(part("x"));
    let widgets = place.of(&format!("{}/v1", place.group()), "Widget");
    let refused = answer(
        widgets
            .patch("w", &PatchParams::default(), &strategic)
            .await,
    );
    assert_eq!(refused.expect_err("it has no such patches").code, 415);
}

/// Status of a custom kind has its endpoint and counts no generation; an update names its version.
pub(crate) async fn status_of_a_custom_kind_has_its_endpoint(place: &Place) {
    let widgets = define(place).await;
    let object = widget(place, "w", &json!({"size": 1}));
    let made = place.create(&object).await.expect("created");
    let main = edit(&widgets, "x", "w", &json!({"status": {"ready": false}}))
        .await
        .expect("patched");
    assert_eq!(main.get("status"), None, "{main}");
    let patch = Patch::Merge(json!({"status": {"ready": true}, "spec": {"size": 2}}));
    let changed = widgets
        .patch_status("w", &PatchParams::default(), &patch)
        .await;
    let changed = answer(changed).expect("patched");
    assert_eq!(
        (
            &changed["metadata"]["generation"],
            &changed["status"]["ready"],
            &changed["spec"]["size"]
        ),
        (&json!(1), &json!(true), &json!(1))
    );
    let params = PostParams::default();
    let status = answer(widgets.replace("w", &params, &dynamic(&object)).await);
    let status = status.expect_err("a version is needed");
    assert_eq!(
        (
            status.code,
            &*status.details.expect("details").causes[0].field
        ),
        (422, "metadata.resourceVersion")
    );
    assert_ne!(version(&made), version(&changed));
}

/// A definition that makes no sense is refused, with the field to blame.
pub(crate) async fn definitions_that_make_no_sense_are_refused(place: &Place) {
    let mut misnamed = definition(&place.group());
    misnamed["metadata"]["name"] = json!(format!("gadgets.{}", place.group()));
    let status = create_in(&definitions(place), &misnamed)
        .await
        .expect_err("another name");
    assert_eq!(
        (
            status.code,
            &*status.details.expect("details").causes[0].field
        ),
        (422, "metadata.name")
    );
}

/// Discovery finds a kind both ways, with its scope and what can be done to it.
pub(crate) async fn discovery_finds_a_kind_both_ways(place: &Place) {
    let one_by_one = kube::Discovery::new(place.client.clone()).run().await;
    let at_once = kube::Discovery::new(place.client.clone())
        .run_aggregated()
        .await;
    for discovery in [one_by_one.expect("discovery"), at_once.expect("discovery")] {
        for (api_version, kind, plural, scope) in [
            (
                "v1",
                "ConfigMap",
                "configmaps",
                kube::discovery::Scope::Namespaced,
            ),
            (
                "v1",
                "Namespace",
                "namespaces",
                kube::discovery::Scope::Cluster,
            ),
            (
                "apps/v1",
                "Deployment",
                "deployments",
                kube::discovery::Scope::Namespaced,
            ),
            (
                "batch/v1",
                "CronJob",
                "cronjobs",
                kube::discovery::Scope::Namespaced,
            ),
            (
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "clusterroles",
                kube::discovery::Scope::Cluster,
            ),
            (
                "networking.k8s.io/v1",
                "Ingress",
                "ingresses",
                kube::discovery::Scope::Namespaced,
            ),
        ] {
            let gvk = resource(api_version, kind);
            let gvk = GroupVersionKind::gvk(&gvk.group, &gvk.version, kind);
            let (found, can) = discovery
                .resolve_gvk(&gvk)
                .unwrap_or_else(|| panic!("no {kind}"));
            assert_eq!((&*found.plural, &can.scope), (plural, &scope));
            assert!(can.supports_operation(kube::discovery::verbs::WATCH));
            assert!(can.supports_operation(kube::discovery::verbs::PATCH));
        }
        assert!(!discovery.has_group("nobody.example.com"));
    }
}
