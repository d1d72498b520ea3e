//! Patches that are not server-side apply.

use serde_json::{Value, json};

use super::place::{Place, config_map, deployment, edit, get, version};

const JSON_PATCH: [(&str, &str); 1] = [("content-type", "application/json-patch+json")];

/// A merge patch replaces lists, removes what is null, and leaves what it does not name.
pub(crate) async fn merge_patches_replace_and_remove(place: &Place) {
    let apps = place.of("apps/v1", "Deployment");
    place
        .create(deployment("web", Some(0), "a"))
        .await
        .expect("created");
    let containers = json!([{"name": "other", "image": "b"}]);
    let patch = json!({
        "metadata": {"labels": {"app": null, "tier": "x"}},
        "spec": {"template": {"spec": {"containers": containers}}},
    });
    let merged = edit(&apps, "kubectl", "web", &patch)
        .await
        .expect("patched");
    assert_eq!(merged["metadata"]["labels"], json!({"tier": "x"}));
    let list = merged["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("a list");
    assert_eq!(list.len(), 1);
    assert_eq!(
        (&list[0]["name"], list[0].get("ports")),
        (&json!("other"), None)
    );
    assert_eq!(merged["spec"]["replicas"], 0);

    let status = edit(&apps, "kubectl", "missing", &patch)
        .await
        .expect_err("nothing to patch");
    assert_eq!(
        (status.code, &*status.message),
        (404, "deployments.apps \"missing\" not found")
    );
}

/// A strategic merge patch finds entries by key and removes them by directive; custom kinds do not know it.
pub(crate) async fn strategic_patches_know_the_keys_of_lists(place: &Place) {
    place
        .create(deployment("web", Some(0), "a"))
        .await
        .expect("created");
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/web",
        place.namespace
    );
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let containers = async |containers: Value| {
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let patched = place.send("PATCH", &path, &strategic, &patch).await;
        patched.expect("patched")["spec"]["template"]["spec"]["containers"].clone()
    };
    let list =
        containers(json!([{"name": "web", "tty": true}, {"name": "side", "image": "s"}])).await;
    let find = |list: &Value, name: &str| {
        let list = list.as_array().expect("a list");
        list.iter()
            .find(|container| container["name"] == name)
            .cloned()
    };
    let web = find(&list, "web").expect("merged");
    assert_eq!((&web["image"], &web["tty"]), (&json!("a"), &json!(true)));
    assert!(find(&list, "side").is_some(), "{list}");
    let list = containers(json!([{"name": "side", "$patch": "delete"}])).await;
    assert!(
        find(&list, "side").is_none() && find(&list, "web").is_some(),
        "{list}"
    );
}

/// A JSON patch whose test fails writes nothing.
pub(crate) async fn json_patches_test_before_they_write(place: &Place) {
    place
        .create(config_map("a", &json!({"k": "1"})))
        .await
        .expect("created");
    let path = format!("/api/v1/namespaces/{}/configmaps/a", place.namespace);
    let patch = json!([
        {"op": "test", "path": "/data/k", "value": "1"},
        {"op": "replace", "path": "/data/k", "value": "2"},
        {"op": "add", "path": "/metadata/annotations", "value": {"a.b/c": "d"}},
    ]);
    let patched = place
        .send("PATCH", &path, &JSON_PATCH, &patch)
        .await
        .expect("patched");
    assert_eq!(patched["data"]["k"], "2");
    assert_eq!(patched["metadata"]["annotations"], json!({"a.b/c": "d"}));
    let status = place.send("PATCH", &path, &JSON_PATCH, &patch).await;
    let status = status.expect_err("the test does not hold any more");
    assert_eq!(
        (status.code, &*status.reason),
        (422, "Invalid"),
        "{status:?}"
    );
    let live = get(&place.maps(), "a").await.expect("there");
    assert_eq!(version(&live), version(&patched));
}

/// A patch that names the version it was made from is refused after another write.
pub(crate) async fn a_patch_with_an_old_version_is_a_conflict(place: &Place) {
    let maps = place.maps();
    let made = place.create(config_map("a", &json!({"k": "1"})));
    let old = version(&made.await.expect("created"));
    let patch = json!({"metadata": {"resourceVersion": old}, "data": {"k": "2"}});
    edit(&maps, "one", "a", &patch).await.expect("patched");
    let status = edit(&maps, "two", "a", &patch)
        .await
        .expect_err("another wrote");
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert!(
        status.message.starts_with(
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified"
        ),
        "{status:?}"
    );
}
