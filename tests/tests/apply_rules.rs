//! Each apply rule in each starting situation, against the simulator and against a real API server: the rows of the table in `docs/operating.md`.
//!
//! A row is a function over a [`Place`]; its name is in the table and in the list of [`both!`] below.

mod apply_rules {
    pub(crate) mod place;
    pub(crate) mod removal;
    pub(crate) mod rows;
}

use apply_rules::place::Place;
use apply_rules::{removal, rows};

/// Makes of each row a test against the simulator and one against a real server, and checks that the table in the docs names it.
macro_rules! both {
    ($($of:ident: $($row:ident),+;)+) => {
        mod simulator {
            $($(#[tokio::test]
            async fn $row() {
                super::$of::$row(&super::Place::simulated().await).await;
            })+)+
        }
        mod real {
            $($(#[tokio::test]
            async fn $row() {
                if let Some(place) = super::Place::real(concat!("real::", stringify!($row))).await {
                    super::$of::$row(&place).await;
                }
            })+)+
        }
        const ROWS: &[&str] = &[$($(stringify!($row)),+),+];
    };
}

both! {
    rows: absent_is_created,
        ours_and_equal_is_not_written,
        ours_and_different_is_changed,
        ours_and_newer_is_left_alone,
        being_deleted_is_waited_for,
        ours_being_deleted_is_waited_for,
        theirs_and_same_is_taken_over,
        theirs_and_different_is_left,
        what_lost_our_label_is_theirs,
        adopt_never_leaves_what_is_the_same,
        adopt_if_same_takes_what_is_the_same,
        adopt_if_same_leaves_what_is_different,
        adopt_always_takes_what_is_the_same,
        adopt_always_without_force_names_the_conflict,
        adopt_always_with_force_takes_what_is_different,
        conflict_fail_names_manager_and_field,
        conflict_force_takes_the_field,
        drift_heal_takes_a_field_back,
        drift_heal_takes_a_field_back_with_the_next_decision,
        drift_heal_creates_what_was_deleted,
        drift_report_names_the_field_and_leaves_it,
        drift_report_leaves_what_was_deleted,
        drift_ignore_says_nothing,
        drift_ignore_leaves_what_was_deleted,
        ignored_fields_are_set_once_and_left,
        ignored_fields_do_not_hinder_adoption,
        create_only_creates,
        create_only_leaves_what_is_ours,
        create_only_takes_over_as_adopt_says,
        immutable_fields_are_refused,
        immutable_fields_recreate_what_is_ours,
        immutable_fields_do_not_recreate_what_was_not_ours,
        a_secrets_texts_are_watched_over;
    removal: remove_absent_is_removed,
        remove_ours_goes,
        remove_ours_waits_for_its_finalizer,
        remove_theirs_stays,
        remove_newer_is_left_alone,
        remove_what_lost_our_label_stays,
        orphan_ours_stays_without_our_marks,
        orphan_theirs_stays;
}

/// Every cell of the table in the docs names a test, and every test is named there.
#[test]
fn the_docs_name_a_test_in_every_cell() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let docs = std::fs::read_to_string(docs).expect("the docs are there");
    let begin = docs.find("## What applying does").expect("the section");
    let section = docs[begin + 3..].split("\n## ").next().expect("a section");
    let rules: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule "))
        .collect();
    assert!(rules.len() > 10, "{section}");
    let mut named = std::collections::BTreeSet::new();
    for rule in rules {
        let cells: Vec<&str> = rule.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 6, "{rule}");
        for cell in &cells[1..] {
            let tests: Vec<&str> = cell.split('`').filter(|text| ROWS.contains(text)).collect();
            assert!(!tests.is_empty(), "no test: {cell:?} in {rule}");
            named.extend(tests);
        }
    }
    let unnamed: Vec<_> = ROWS.iter().filter(|row| !named.contains(*row)).collect();
    assert_eq!(unnamed, [""; 0].iter().collect::<Vec<_>>());
}
