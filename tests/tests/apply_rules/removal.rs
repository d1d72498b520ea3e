//! Removal: what happens to a copy that is absent, ours, held by a finalizer, or somebody else's.

use fleetcast_core::ack::Outcome;
use fleetcast_core::model::ApplyPolicy;
use fleetcast_core::model::federated::OnDelete;
use serde_json::{Value, json};

use super::place::{Ended, Place};

#[track_caller]
fn ended(ended: &Ended, outcome: Outcome, message: &str) {
    assert_eq!((ended.outcome, ended.message.as_str()), (outcome, message));
}

async fn ours(place: &Place) -> Value {
    let map = place.map("1");
    let applied = place.apply(&map, 1, &ApplyPolicy::default()).await;
    ended(&applied, Outcome::Applied, "");
    map
}

pub(crate) async fn remove_absent_is_removed(place: &Place) {
    for mode in [OnDelete::Delete, OnDelete::Orphan] {
        ended(
            &place.remove(&place.map("1"), 2, mode).await,
            Outcome::Removed,
            "",
        );
    }
}

pub(crate) async fn remove_ours_goes(place: &Place) {
    let map = ours(place).await;
    ended(
        &place.remove(&map, 2, OnDelete::Delete).await,
        Outcome::Removed,
        "",
    );
    assert_eq!(place.live(&map).await, Value::Null);
}

pub(crate) async fn remove_ours_waits_for_its_finalizer(place: &Place) {
    let map = ours(place).await;
    place
        .edit(
            &map,
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        )
        .await;
    for mode in [OnDelete::Delete, OnDelete::Delete, OnDelete::Orphan] {
        let waits = "is being deleted: waits for finalizer example.com/hold";
        ended(&place.remove(&map, 2, mode).await, Outcome::Retrying, waits);
    }
    place
        .edit(&map, json!({"metadata": {"finalizers": null}}))
        .await;
    ended(
        &place.remove(&map, 2, OnDelete::Delete).await,
        Outcome::Removed,
        "",
    );
}

const LEFT: &str = "changed hands: left alone";

/// What is somebody else's stays as it is: the same as ours, different, or being deleted.
async fn theirs_stays(place: &Place, mode: OnDelete) {
    for value in ["1", "2"] {
        let mut map = place.map(value);
        map["metadata"]["finalizers"] = json!(["example.com/hold"]);
        place.create(&map).await;
        let before = place.live(&map).await;
        let left = place.remove(&place.map("1"), 2, mode).await;
        ended(&left, Outcome::Orphaned, LEFT);
        assert_eq!(place.live(&map).await, before);

        place.delete(&map).await;
        let before = place.live(&map).await;
        let left = place.remove(&place.map("1"), 2, mode).await;
        ended(&left, Outcome::Orphaned, LEFT);
        assert_eq!(place.live(&map).await, before, "being deleted");
        let none = json!({"metadata": {"finalizers": null}});
        place.edit(&map, none).await;
    }
}

pub(crate) async fn remove_theirs_stays(place: &Place) {
    theirs_stays(place, OnDelete::Delete).await;
}

pub(crate) async fn remove_newer_is_left_alone(place: &Place) {
    let map = place.map("2");
    let applied = place.apply(&map, 2, &ApplyPolicy::default()).await;
    ended(&applied, Outcome::Applied, "");
    let before = place.live(&map).await;
    for mode in [OnDelete::Delete, OnDelete::Orphan] {
        let older = place.remove(&map, 1, mode).await;
        assert_eq!(older.outcome, Outcome::Ahead, "{}", older.message);
        assert_eq!(place.live(&map).await, before);
    }
}

pub(crate) async fn remove_what_lost_our_label_stays(place: &Place) {
    for mode in [OnDelete::Delete, OnDelete::Orphan] {
        let map = ours(place).await;
        let labels = json!({"fleetcast.dev/managed": null});
        place
            .edit(&map, json!({"metadata": {"labels": labels}}))
            .await;
        let before = place.live(&map).await;
        ended(&place.remove(&map, 2, mode).await, Outcome::Orphaned, LEFT);
        assert_eq!(place.live(&map).await, before);
        place.delete(&map).await;
    }
}

pub(crate) async fn orphan_ours_stays_without_our_marks(place: &Place) {
    let map = ours(place).await;
    ended(
        &place.remove(&map, 2, OnDelete::Orphan).await,
        Outcome::Orphaned,
        "",
    );
    let live = place.live(&map).await;
    assert_eq!(live["data"]["a"], "1");
    let marks = live["metadata"].to_string();
    assert!(
        !marks.contains("\"fleetcast.dev/managed\":")
            && !marks.contains("\"fleetcast.dev/object\":"),
        "{marks}"
    );
}

pub(crate) async fn orphan_theirs_stays(place: &Place) {
    theirs_stays(place, OnDelete::Orphan).await;
}
