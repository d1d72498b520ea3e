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

pub(crate) async fn remove_theirs_stays(place: &Place) {
    let map = place.map("1");
    place.create(&map).await;
    let before = place.live(&map).await;
    let left = "changed hands: left alone";
    ended(
        &place.remove(&map, 2, OnDelete::Delete).await,
        Outcome::Orphaned,
        left,
    );
    assert_eq!(place.live(&map).await, before);
}

pub(crate) async fn remove_what_lost_our_label_stays(place: &Place) {
    let map = ours(place).await;
    place
        .edit(
            &map,
            json!({"metadata": {"labels": {"fleetcast.dev/managed": null}}}),
        )
        .await;
    let left = "changed hands: left alone";
    ended(
        &place.remove(&map, 2, OnDelete::Delete).await,
        Outcome::Orphaned,
        left,
    );
    assert_eq!(place.live(&map).await["data"]["a"], "1");
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
    let map = place.map("1");
    place.create(&map).await;
    let left = "changed hands: left alone";
    ended(
        &place.remove(&map, 2, OnDelete::Orphan).await,
        Outcome::Orphaned,
        left,
    );
    assert_eq!(place.live(&map).await["data"]["a"], "1");
}
