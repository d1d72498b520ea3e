//! Deleting: at once, behind finalizers, under preconditions, with dependents, by selector.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Preconditions};
use serde_json::{Value, json};

use super::place::{Place, answer, config_map, delete, edit, get, gone, names, version};

/// Without finalizers an object goes at once, with a status that says which it was.
pub(crate) async fn without_finalizers_it_goes_at_once(place: &Place) {
    let maps = place.maps();
    let made = place
        .create(config_map("a", &json!({})))
        .await
        .expect("created");
    let deleted = maps.delete("a", &DeleteParams::default()).await;
    let status = deleted.expect("deleted").right().expect("a status");
    assert_eq!(
        json!(status.details.expect("details").uid),
        made["metadata"]["uid"]
    );
    let again = maps.delete("a", &DeleteParams::default()).await;
    let again = again.expect_err("gone");
    assert!(matches!(again, kube::Error::Api(status) if status.code == 404));
}

/// A finalizer holds an object back until it is taken off; no other is added meanwhile, and asking again changes nothing.
pub(crate) async fn a_finalizer_holds_it_until_it_is_taken_off(place: &Place) {
    let maps = place.maps();
    let mut map = config_map("a", &json!({"k": "1"}));
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    place.create(&map).await.expect("created");
    let waiting = delete(&maps, "a").await.expect("it waits");
    assert!(
        waiting["metadata"]["deletionTimestamp"].is_string(),
        "{waiting}"
    );
    assert_eq!(waiting["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = delete(&maps, "a").await.expect("it still waits");
    assert_eq!(version(&again), version(&waiting));

    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/other"]}});
    let status = edit(&maps, "x", "a", &more).await.expect_err("no more");
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert_eq!(
        status.details.expect("details").causes[0].field,
        "metadata.finalizers"
    );
    let status = place
        .apply("fleetcast", config_map("a", &json!({"l": "2"})))
        .await;
    let applied = status.expect("what is being deleted can be written to");
    assert!(
        applied["metadata"]["deletionTimestamp"].is_string(),
        "{applied}"
    );

    edit(&maps, "x", "a", &json!({"metadata": {"finalizers": null}}))
        .await
        .expect("let go");
    assert_eq!(get(&maps, "a").await.expect_err("gone").code, 404);
}

/// A deletion that names uid and version spares what came in between.
pub(crate) async fn preconditions_are_kept(place: &Place) {
    let maps = place.maps();
    let made = place
        .create(config_map("a", &json!({})))
        .await
        .expect("created");
    let with = |uid: Option<&str>, version: Option<&str>| DeleteParams {
        preconditions: Some(Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    for params in [with(Some("other"), None), with(None, Some("1"))] {
        let refused = maps.delete("a", &params).await.expect_err("another");
        assert!(
            matches!(&refused, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
            "{refused:?}"
        );
    }
    let uid = made["metadata"]["uid"].as_str();
    let params = with(uid, Some(&version(&made)));
    maps.delete("a", &params).await.expect("the very one");
}

fn owned_by(name: &str, owners: &[&Value]) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}))
        .collect();
    let mut map = config_map(name, &json!({}));
    map["metadata"]["ownerReferences"] = json!(references);
    map
}

/// Dependents go with their last owner, and theirs with them.
pub(crate) async fn dependents_go_with_their_last_owner(place: &Place) {
    if place.lacks_controllers() {
        return;
    }
    let maps = place.maps();
    let make = async |map: Value| place.create(&map).await.expect("created");
    let one = make(config_map("one", &json!({}))).await;
    let two = make(config_map("two", &json!({}))).await;
    let child = make(owned_by("child", &[&one])).await;
    make(owned_by("grandchild", &[&child])).await;
    make(owned_by("shared", &[&one, &two])).await;
    assert!(delete(&maps, "one").await.is_none());
    gone(&maps, "grandchild").await;
    assert_eq!(names(&maps).await, ["shared", "two"]);
    assert!(delete(&maps, "two").await.is_none());
    gone(&maps, "shared").await;
}

/// Orphans stay when their owner goes, and lose the reference to it.
pub(crate) async fn orphans_stay(place: &Place) {
    if place.lacks_controllers() {
        return;
    }
    let maps = place.maps();
    let owner = place
        .create(config_map("owner", &json!({})))
        .await
        .expect("created");
    place
        .create(owned_by("child", &[&owner]))
        .await
        .expect("created");
    if place.is_real {
        // The collector must have seen the child, or it cannot tell that there is one.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    maps.delete("owner", &DeleteParams::orphan())
        .await
        .expect("deleted");
    gone(&maps, "owner").await;
    let child = get(&maps, "child").await.expect("it stays");
    assert_eq!(child["metadata"].get("ownerReferences"), None, "{child}");
}

/// A collection goes by selector.
pub(crate) async fn a_collection_goes_by_selector(place: &Place) {
    let maps = place.maps();
    for name in ["a", "b", "c"] {
        let mut map = config_map(name, &json!({}));
        map["metadata"]["labels"] = json!({"keep": (name == "b").to_string()});
        place.create(&map).await.expect("created");
    }
    let chosen = ListParams::default().labels("keep=false");
    let deleted = maps
        .delete_collection(&DeleteParams::default(), &chosen)
        .await;
    deleted.expect("deleted");
    assert_eq!(names(&maps).await, ["b"]);
    let refused = answer(maps.get("a").await).expect_err("gone");
    assert_eq!(refused.code, 404);
}
