//! Namespaces: what goes with one, what holds it, and which stay.

use kube::api::DeleteParams;
use serde_json::json;

use super::place::{Place, config_map, delete, edit, get, gone};
use fleetcast_tests::harness::eventually;

/// A namespace takes its content along, waits for finalizers inside, and takes nothing new meanwhile.
pub(crate) async fn take_their_content_along_and_wait_for_finalizers(place: &Place) {
    if place.lacks_controllers() {
        return;
    }
    let (maps, spaces) = (place.maps(), place.all("v1", "Namespace"));
    place
        .create(config_map("plain", &json!({})))
        .await
        .expect("created");
    let mut held = config_map("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    place.create(&held).await.expect("created");

    let deleted = delete(&spaces, &place.namespace).await.expect("it waits");
    assert_eq!(deleted["status"]["phase"], "Terminating");
    assert!(deleted["metadata"]["deletionTimestamp"].is_string());
    gone(&maps, "plain").await;
    eventually("what is held is being deleted", async || {
        let held = get(&maps, "held").await.expect("held");
        held["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    for late in [
        place.create(config_map("late", &json!({}))).await,
        place
            .apply("fleetcast", config_map("late", &json!({})))
            .await,
    ] {
        let status = late.expect_err("nothing new");
        assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
        let words = format!(
            "configmaps \"late\" is forbidden: unable to create new content in namespace {} because it is being terminated",
            place.namespace
        );
        assert_eq!(status.message, words);
        let cause = &status.details.expect("details").causes[0];
        assert_eq!(cause.reason, "NamespaceTerminating");
    }
    edit(
        &maps,
        "x",
        "held",
        &json!({"metadata": {"finalizers": null}}),
    )
    .await
    .expect("let go");
    gone(&spaces, &place.namespace).await;
}

/// The namespaces that every cluster has are there and stay.
pub(crate) async fn those_of_the_system_stay(place: &Place) {
    let spaces = place.all("v1", "Namespace");
    for name in ["default", "kube-system", "kube-public"] {
        get(&spaces, name).await.expect("every cluster has it");
        let refused = spaces.delete(name, &DeleteParams::default()).await;
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403
                && status.message == format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted")),
            "{refused:?}"
        );
    }
    get(&spaces, "kube-node-lease")
        .await
        .expect("every cluster has it");
}
