//! Managed fields as drift is read from them: who wrote what, by which operation, and what a hand edit takes away.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::place::{Place, answer, config_map, edit, get, owned, version};

/// A creation and an edit leave entries of their own, with the time; an edit that changes nothing leaves none.
pub(crate) async fn each_write_leaves_its_manager_and_fields(place: &Place) {
    let maps = place.maps();
    let made = place.create(config_map("a", &json!({"k": "1"})));
    let made = made.await.expect("created");
    assert_eq!(
        owned(&made, "creator", "Update", ""),
        Some(&json!({"f:data": {".": {}, "f:k": {}}})),
        "{made}"
    );
    let same = edit(&maps, "kubectl", "a", &json!({"data": {"k": "1"}})).await;
    let same = same.expect("edited");
    assert_eq!(version(&same), version(&made));
    assert_eq!(owned(&same, "kubectl", "Update", ""), None, "{same}");

    let more = edit(&maps, "kubectl", "a", &json!({"data": {"l": "2"}})).await;
    let more = more.expect("edited");
    assert_eq!(
        owned(&more, "kubectl", "Update", ""),
        Some(&json!({"f:data": {"f:l": {}}})),
        "{more}"
    );
    for entry in more["metadata"]["managedFields"]
        .as_array()
        .expect("a list")
    {
        assert_eq!(
            (&entry["apiVersion"], &entry["fieldsType"]),
            (&json!("v1"), &json!("FieldsV1"))
        );
        assert!(
            entry["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{entry}"
        );
    }
}

/// A hand edit of an applied field moves it from the applier to the editor; one back to the same value leaves it with the editor.
pub(crate) async fn an_edit_by_hand_takes_the_field_away(place: &Place) {
    let maps = place.maps();
    let ours = config_map("a", &json!({"k": "1", "l": "1"}));
    place.apply("fleetcast", &ours).await.expect("created");
    for value in ["2", "1"] {
        let edited = edit(&maps, "kubectl-edit", "a", &json!({"data": {"k": value}})).await;
        let edited = edited.expect("edited");
        assert_eq!(
            owned(&edited, "fleetcast", "Apply", ""),
            Some(&json!({"f:data": {"f:l": {}}})),
            "{edited}"
        );
        assert_eq!(
            owned(&edited, "kubectl-edit", "Update", ""),
            Some(&json!({"f:data": {"f:k": {}}})),
            "{edited}"
        );
    }
    let none = json!({"data": {"k": null, "l": null}});
    let gone = edit(&maps, "kubectl-edit", "a", &none).await;
    let gone = gone.expect("edited");
    assert_eq!(owned(&gone, "kubectl-edit", "Update", ""), None, "{gone}");
    let again = place
        .apply("fleetcast", &ours)
        .await
        .expect("nobody else's");
    assert_eq!(again["data"], json!({"k": "1", "l": "1"}));
}

/// Status that is applied, or patched, at its own endpoint has an entry of its own, which the main endpoint does not touch.
pub(crate) async fn status_has_a_manager_of_its_own(place: &Place) {
    let budgets = place.of("policy/v1", "PodDisruptionBudget");
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "nobody"}}},
    });
    place.apply("fleetcast", &budget).await.expect("created");
    let condition = json!({"type": "Test", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "status": {"conditions": [condition]}});
    let applied = budgets
        .patch_status(
            "b",
            &PatchParams::apply("controller"),
            &Patch::Apply(&status),
        )
        .await;
    let applied = answer(applied).expect("applied");
    let fields = owned(&applied, "controller", "Apply", "status").expect("its own");
    assert_eq!(
        fields["f:status"]["f:conditions"]["k:{\"type\":\"Test\"}"]["f:status"],
        json!({}),
        "{applied}"
    );
    assert_eq!(fields.get("f:spec"), None);
    let again = place.apply("fleetcast", &budget).await.expect("applied");
    assert!(
        owned(&again, "controller", "Apply", "status").is_some(),
        "{again}"
    );
    let ours = owned(&again, "fleetcast", "Apply", "").expect("ours");
    assert_eq!(ours.get("f:status"), None, "{again}");
}

/// What was there before anybody was tracked belongs to `before-first-apply`.
pub(crate) async fn what_nobody_tracked_is_a_conflict(place: &Place) {
    place
        .create(config_map("a", &json!({"k": "1"})))
        .await
        .expect("created");
    let untracked = json!({"metadata": {"managedFields": [{}]}});
    let untracked = edit(&place.maps(), "kubectl", "a", &untracked)
        .await
        .expect("edited");
    assert_eq!(untracked["metadata"].get("managedFields"), None);

    let status = place
        .apply("fleetcast", config_map("a", &json!({"k": "2"})))
        .await
        .expect_err("somebody wrote it");
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k"
    );
    let same = place.apply("fleetcast", config_map("a", &json!({"k": "1"})));
    let same = same.await.expect("no conflict over the same value");
    assert!(
        owned(&same, "before-first-apply", "Update", "").is_some(),
        "{same}"
    );
}

/// A label of ours that somebody takes off is gone, and no longer ours: that is how an object changes hands.
pub(crate) async fn labels_of_ours_taken_off_by_another_are_seen(place: &Place) {
    let mut ours = config_map("a", &json!({"k": "1"}));
    ours["metadata"]["labels"] = json!({"fleetcast.dev/managed": "true", "app": "shop"});
    place.apply("fleetcast", &ours).await.expect("created");
    let taken = json!({"metadata": {"labels": {"fleetcast.dev/managed": null}}});
    edit(&place.maps(), "kubectl", "a", &taken)
        .await
        .expect("edited");
    let live = get(&place.maps(), "a").await.expect("there");
    assert_eq!(live["metadata"]["labels"], json!({"app": "shop"}));
    assert_eq!(
        owned(&live, "fleetcast", "Apply", "").expect("ours")["f:metadata"]["f:labels"],
        json!({"f:app": {}}),
        "{live}"
    );
}
