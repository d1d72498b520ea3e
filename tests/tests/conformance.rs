//! What an agent relies on in a Kubernetes API server, each scenario once, held against the simulator and against a real server.
//!
//! So the simulator cannot drift from the truth: a scenario is a function over a [`Place`], which has a stock client and a namespace. A new one is a
//! function in a file of `conformance/` plus its name in the list of [`both!`] below. Where the two differ on purpose, the scenario says so by asking
//! `is_real`, and `services/simulator/src/lib.rs` has it in its table.

mod conformance {
    pub(crate) mod apply;
    pub(crate) mod delete;
    pub(crate) mod kinds;
    pub(crate) mod managers;
    pub(crate) mod namespaces;
    pub(crate) mod objects;
    pub(crate) mod patch;
    pub(crate) mod place;
    pub(crate) mod watch;
}

use conformance::place::Place;
use conformance::{apply, delete, kinds, managers, namespaces, objects, patch, watch};
use fleetcast_tests::harness::control_planes;
use serde_json::json;

/// Makes of each scenario a test against the simulator and one against a real server.
macro_rules! both {
    ($($of:ident: $($scenario:ident),+;)+) => {
        mod simulator {
            $(mod $of {
                $(#[tokio::test]
                async fn $scenario() {
                    super::super::$of::$scenario(&super::super::Place::simulated().await).await;
                })+
            })+
        }
        mod real {
            $(mod $of {
                $(#[tokio::test]
                async fn $scenario() {
                    let test = concat!("real::", stringify!($of), "::", stringify!($scenario));
                    if let Some(place) = super::super::Place::real(test).await {
                        super::super::$of::$scenario(&place).await;
                    }
                })+
            })+
        }
    };
}

both! {
    apply: creates_and_a_repeat_writes_nothing,
        anothers_field_is_a_conflict_and_force_takes_it,
        what_two_apply_alike_they_own_together,
        dropped_fields_go_unless_another_owns_them,
        lists_merge_by_their_keys,
        what_an_apply_must_not_say_is_refused,
        a_version_alone_does_not_hold_back_a_creation,
        a_dry_run_answers_and_writes_nothing,
        a_namespace_that_is_not_there_is_named;
    managers: each_write_leaves_its_manager_and_fields,
        an_edit_by_hand_takes_the_field_away,
        status_has_a_manager_of_its_own,
        what_nobody_tracked_is_a_conflict,
        labels_of_ours_taken_off_by_another_are_seen;
    patch: merge_patches_replace_and_remove,
        strategic_patches_know_the_keys_of_lists,
        json_patches_test_before_they_write,
        a_patch_with_an_old_version_is_a_conflict;
    objects: exist_once_and_have_metadata,
        what_cannot_be_made_is_refused,
        an_update_with_an_old_version_is_a_conflict,
        what_never_changes_is_refused_with_its_field,
        status_changes_at_its_own_endpoint_and_counts_no_generation,
        lists_choose_and_come_in_pages,
        metadata_alone_comes_when_asked_for;
    delete: without_finalizers_it_goes_at_once,
        a_finalizer_holds_it_until_it_is_taken_off,
        preconditions_are_kept,
        dependents_go_with_their_last_owner,
        orphans_stay,
        a_collection_goes_by_selector;
    namespaces: take_their_content_along_and_wait_for_finalizers,
        those_of_the_system_stay;
    watch: from_a_version_tells_all_after_it,
        from_the_start_tells_what_is_there_first,
        ends_when_its_time_is_up,
        a_bookmark_comes_before_the_end,
        what_is_no_version_is_refused;
    kinds: a_definition_serves_its_kind_until_it_goes,
        its_lists_merge_by_their_schema,
        status_of_a_custom_kind_has_its_endpoint,
        definitions_that_make_no_sense_are_refused,
        discovery_finds_a_kind_both_ways;
}

/// A simulated server remembers a thousand changes.
#[tokio::test]
async fn the_simulator_forgets_what_is_long_ago() {
    let place = Place::simulated().await;
    for round in 0..1_100 {
        let map = conformance::place::config_map("a", &json!({"k": round.to_string()}));
        place.apply("fleetcast", map).await.expect("applied");
    }
    watch::a_version_from_before_the_window_is_gone(&place).await;
}

/// A real server that was started again remembers what it stored, and not how that came about.
#[tokio::test]
async fn a_real_server_that_starts_again_holds_the_same_and_forgets_how_it_came() {
    let test = "a_real_server_that_starts_again_holds_the_same_and_forgets_how_it_came";
    let Some(planes) = control_planes(test, 1).await else {
        return;
    };
    let [plane] = &planes[..] else {
        panic!("one was asked for");
    };
    let place = Place::in_cluster(test, plane).await;
    let map = conformance::place::config_map("a", &json!({"k": "1"}));
    let made = place.apply("fleetcast", &map).await.expect("applied");
    plane.kill();
    plane.start().await;
    let again = place.apply("fleetcast", &map).await.expect("applied");
    assert_eq!(again, made, "nothing was written");
    watch::a_version_from_before_the_window_is_gone(&place).await;
}
