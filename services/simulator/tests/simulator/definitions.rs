//! Kinds from CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{SHOP, cluster, refused, resource};

fn definition() -> CustomResourceDefinition {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object"}}}}}}});
    let column = json!({"name": "Size", "type": "integer", "jsonPath": ".spec.size"});
    serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wg"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}, "additionalPrinterColumns": [column]},
                {"name": "v1beta1", "served": true, "storage": false, "schema": schema}]}
    }))
    .unwrap()
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

/// A kind is served as soon as its definition is there, in every version, and gone with it.
#[tokio::test]
async fn from_creation_to_deletion() {
    let cluster = cluster().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let widgets: Api<DynamicObject> = Api::namespaced_with(
        cluster.client(),
        SHOP,
        &resource("example.com", "v1", "Widget"),
    );
    assert_eq!(
        refused(widgets.list(&ListParams::default()).await).code,
        404
    );

    let made = definitions
        .create(&PostParams::default(), &definition())
        .await
        .unwrap();
    let conditions = made.status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "Established" && condition.status == "True")
    );
    let discovery = kube::Discovery::new(cluster.client())
        .run_aggregated()
        .await
        .unwrap();
    let (found, _) = discovery
        .resolve_gvk(&kube::core::GroupVersionKind::gvk(
            "example.com",
            "v1",
            "Widget",
        ))
        .unwrap();
    assert_eq!(found.plural, "widgets");

    let params = PatchParams::apply("fleetcast");
    let applied = widgets
        .patch("w", &params, &Patch::Apply(widget(json!({"size": 1}))))
        .await
        .unwrap();
    assert_eq!(applied.metadata.generation, Some(1));
    let older: Api<DynamicObject> = Api::namespaced_with(
        cluster.client(),
        SHOP,
        &resource("example.com", "v1beta1", "Widget"),
    );
    let seen = older.get("w").await.unwrap();
    assert_eq!(
        (
            seen.types.unwrap().api_version.as_str(),
            &seen.data["spec"]["size"]
        ),
        ("example.com/v1beta1", &json!(1))
    );
    let listed = widgets.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].types.as_ref().unwrap().kind, "Widget");

    definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        definitions
            .get_opt("widgets.example.com")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(refused(widgets.get("w").await).code, 404);
    assert_eq!(cluster.object_count(), 5);
}

/// Its lists merge as its schema says, and status has its endpoint.
#[tokio::test]
async fn apply() {
    let cluster = cluster().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    definitions
        .create(&PostParams::default(), &definition())
        .await
        .unwrap();
    let widgets: Api<DynamicObject> = Api::namespaced_with(
        cluster.client(),
        SHOP,
        &resource("example.com", "v1", "Widget"),
    );
    let part = |name: &str| widget(json!({"parts": [{"name": name}]}));
    widgets
        .patch("w", &PatchParams::apply("a"), &Patch::Apply(part("one")))
        .await
        .unwrap();
    let both = widgets
        .patch("w", &PatchParams::apply("b"), &Patch::Apply(part("two")))
        .await
        .unwrap();
    assert_eq!(
        both.data["spec"]["parts"],
        json!([{"name": "one"}, {"name": "two"}])
    );
    let status = Patch::Merge(json!({"status": {"ready": true}}));
    let changed = widgets
        .patch_status("w", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(
        (
            changed.metadata.generation,
            &changed.data["status"]["ready"]
        ),
        (both.metadata.generation, &json!(true))
    );
    assert_eq!(
        refused(
            widgets
                .patch("w", &PatchParams::default(), &Patch::Strategic(part("x")))
                .await
        )
        .code,
        415
    );
}

/// A custom object is only replaced by somebody who says what.
#[tokio::test]
async fn update_needs_a_version() {
    let cluster = cluster().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    definitions
        .create(&PostParams::default(), &definition())
        .await
        .unwrap();
    let widgets: Api<DynamicObject> = Api::namespaced_with(
        cluster.client(),
        SHOP,
        &resource("example.com", "v1", "Widget"),
    );
    let mut object: DynamicObject = serde_json::from_value(widget(json!({"size": 1}))).unwrap();
    let made = widgets
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    let status = refused(widgets.replace("w", &PostParams::default(), &object).await);
    assert_eq!(
        (status.code, &*status.details.unwrap().causes[0].field),
        (422, "metadata.resourceVersion")
    );
    object.metadata.resource_version = made.metadata.resource_version;
    widgets
        .replace("w", &PostParams::default(), &object)
        .await
        .unwrap();
}

/// A definition that makes no sense is refused, with the field to blame.
#[tokio::test]
async fn refused_definitions() {
    let cluster = cluster().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let mut definition = definition();
    definition.metadata.name = Some("gadgets.example.com".into());
    let status = refused(
        definitions
            .create(&PostParams::default(), &definition)
            .await,
    );
    assert_eq!(
        (status.code, &*status.details.unwrap().causes[0].field),
        (422, "metadata.name")
    );
}
