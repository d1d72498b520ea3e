//! Answers as tables, over one small fleet.

mod story;

use fleetcast_core::change::Content;
use fleetcast_core::decision::{Body, Excluded, Removed};
use fleetcast_core::log::ClusterNews;
use serde_json::json;

use super::build::{clusters, digest, objects};
use super::explain::explain;
use super::*;

use story::{Story, assigned, key, name};

const WEB: &str = "ConfigMap/shop/web";

/// One object in every condition that one decision can bring about, and clusters in every state.
fn fleet() -> Story {
    let mut story = Story::begin();
    for cluster in ["eu-1", "eu-2", "eu-3", "eu-4", "us-1", "us-9"] {
        story.register(cluster);
    }
    story.cluster("eu-3", ClusterNews::READY);
    story.cluster("eu-4", ClusterNews::Offline {});
    story.cluster("us-9", ClusterNews::Removed {});
    story.declare(
        WEB,
        1,
        &json!({"clusterSelector": {"matchLabels": {"region": "eu"}}}),
    );
    story.decide(
        WEB,
        1,
        Body {
            assigned: vec![assigned(&["eu-1", "eu-2", "eu-3", "eu-4"])],
            excluded: vec![Excluded {
                reason: Exclusion::Unknown,
                field: String::new(),
                message: "is not registered".to_owned(),
                clusters: vec![name("ap-1")],
            }],
            ..Body::default()
        },
    );
    story.answer("eu-1", WEB, 1, Outcome::Applied);
    story.answer("eu-2", WEB, 1, Outcome::Refused);
    story
}

#[test]
fn an_object_is_counted_by_condition() {
    let Objects {
        as_of,
        objects,
        policies,
    } = objects(&fleet().view, None, None, |_| true);
    assert!(policies.is_empty());
    assert_eq!(
        serde_json::to_value(as_of).unwrap(),
        json!({"log": 12, "acks": {"p00": 2}, "time": "1970-01-01T00:00:01.011Z"})
    );
    let [web] = objects.as_slice() else {
        panic!("one object");
    };
    assert_eq!(web.name, "configmap/shop/web");
    assert_eq!(
        (web.revision, web.decision, web.withdrawn),
        (1, Some(1), false)
    );
    assert_eq!(
        web.counts,
        Counts {
            clusters: 4,
            applied: 1,
            pending: 2,
            refused: 1,
            excluded: 1,
            ..Counts::default()
        }
    );
    let conditions: Vec<_> = web
        .rows
        .iter()
        .map(|row| format!("{} {}", row.cluster, row.condition.word()))
        .collect();
    assert_eq!(
        conditions,
        [
            "ap-1 excluded",
            "eu-1 applied",
            "eu-2 refused",
            "eu-3 pending",
            "eu-4 pending"
        ]
    );
}

#[test]
fn answers_are_json_that_reads_back() {
    let view = fleet().view;
    let all = objects(&view, None, None, |_| true);
    let text = serde_json::to_string(&all).unwrap();
    assert!(text.contains(r#""condition":"applied""#) && text.contains(r#""answered_at":"1970"#));
    assert!(!text.contains("apiVersion"), "no documents in lists");
    assert_eq!(serde_json::from_str::<Objects>(&text).unwrap(), all);

    let chain = explain(&view, &key(WEB), None).unwrap();
    let text = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), chain);

    let fleet = clusters(&view, None);
    let text = serde_json::to_string(&fleet).unwrap();
    assert_eq!(serde_json::from_str::<Clusters>(&text).unwrap(), fleet);
}

#[test]
fn what_is_gone_is_listed_only_by_name_and_a_cluster_lists_only_its_own() {
    let mut story = fleet();
    story.declare("ConfigMap/shop/old", 1, &json!({"clusters": ["eu-1"]}));
    story.change("ConfigMap/shop/old", 2, Content::withdrawn(false));
    let listed = |named: Option<&str>, cluster: Option<&str>| -> Vec<(String, usize)> {
        objects(
            &story.view,
            named.map(key).as_ref(),
            cluster.map(name).as_ref(),
            |_| true,
        )
        .objects
        .into_iter()
        .map(|object| (object.object.to_string(), object.rows.len()))
        .collect()
    };
    for (named, cluster, expected) in [
        (None, None, vec![(WEB, 5)]),
        (None, Some("eu-1"), vec![(WEB, 1)]),
        (None, Some("us-1"), vec![]),
        (
            Some("ConfigMap/shop/old"),
            None,
            vec![("ConfigMap/shop/old", 0)],
        ),
        (Some(WEB), Some("us-1"), vec![(WEB, 0)]),
        (Some("ConfigMap/shop/never"), None, vec![]),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(object, rows)| (object.to_owned(), rows))
            .collect();
        assert_eq!(listed(named, cluster), expected, "{named:?} {cluster:?}");
    }
}

#[test]
fn each_chain_ends_where_it_is_broken() {
    let mut story = fleet();
    story.answer("eu-4", WEB, 1, Outcome::Retrying);
    let chain = explain(&story.view, &key(WEB), None).unwrap();
    let ends: Vec<_> = chain
        .clusters
        .iter()
        .map(|link| (link.cluster.as_str(), link.broken_link.as_deref()))
        .collect();
    assert_eq!(
        ends,
        [
            (
                "ap-1",
                Some("the cluster was not chosen: Unknown: is not registered")
            ),
            ("eu-1", None),
            ("eu-2", Some("the cluster refused: field is immutable")),
            (
                "eu-3",
                Some(
                    "work is due, the cluster has not answered; its agent is online since 1970-01-01T00:00:01.007Z"
                )
            ),
            (
                "eu-4",
                Some("the cluster tries again, 1 times so far: timed out")
            ),
        ]
    );
    assert_eq!(
        chain.broken_link.as_deref(),
        Some("eu-2: the cluster refused: field is immutable"),
        "what is settled by decision comes last"
    );
    let eu1 = &chain.clusters[1];
    let epoch = story.epoch.clone();
    let work_id = fleetcast_core::work::id(&key(WEB), &name("eu-1"), &epoch, 1);
    assert_eq!(eu1.work.as_ref().unwrap().id, work_id);
    assert_eq!(
        eu1.acknowledgement.as_ref().unwrap().outcome,
        Outcome::Applied
    );
}

#[test]
fn an_agent_that_is_offline_or_unheard_is_named() {
    let mut story = fleet();
    let end = |story: &Story, cluster: &str| {
        let chain = explain(&story.view, &key(WEB), Some(&name(cluster))).unwrap();
        assert_eq!(chain.clusters.len(), 1);
        chain.clusters[0].broken_link.clone().unwrap()
    };
    assert!(end(&story, "eu-4").ends_with("its agent is offline since 1970-01-01T00:00:01.008Z"));
    story.decide(
        WEB,
        1,
        Body {
            assigned: vec![assigned(&["us-1"])],
            ..Body::default()
        },
    );
    assert!(end(&story, "us-1").ends_with("its agent was never heard of"));
}

#[test]
fn a_cluster_that_no_decision_names_gets_the_rule() {
    let mut story = fleet();
    let rule = |story: &Story, cluster: &str| {
        let chain = explain(&story.view, &key(WEB), Some(&name(cluster))).unwrap();
        let Standing::Excluded(rule) = chain.clusters[0].standing.clone() else {
            panic!("not decided: {chain:?}");
        };
        (rule.reason, rule.message)
    };
    for (cluster, reason, message) in [
        (
            "us-1",
            Exclusion::NotSelected,
            "placement.clusterSelector wants region=eu, has region=us",
        ),
        ("us-9", Exclusion::Unknown, "is not registered"),
        ("xx", Exclusion::Unknown, "is not registered"),
    ] {
        assert_eq!(
            rule(&story, cluster),
            (reason, message.to_owned()),
            "{cluster}"
        );
    }
    story.register("eu-7");
    let (reason, message) = rule(&story, "eu-7");
    assert_eq!(reason, Exclusion::NotSelected);
    assert!(
        message.starts_with("the newest decision is older than this"),
        "{message}"
    );
}

#[test]
fn a_change_without_decision_breaks_every_chain() {
    let mut story = fleet();
    story.declare(WEB, 2, &json!({"clusters": ["eu-1"]}));
    let chain = explain(&story.view, &key(WEB), None).unwrap();
    let broken = Some("revision 2: the change has no decision yet");
    assert_eq!(chain.broken_link.as_deref(), broken);
    assert_eq!(chain.clusters[1].broken_link.as_deref(), broken);
    assert_eq!(chain.clusters[1].condition, Some(Condition::Deciding));
    let refusal = explain(&story.view, &key("ConfigMap/shop/never"), None).unwrap_err();
    assert_eq!(refusal.field, "object");
}

#[test]
fn a_removal_is_a_chain_of_its_own() {
    let mut story = fleet();
    story.change(WEB, 2, Content::withdrawn(false));
    story.decide(
        WEB,
        2,
        Body {
            removed: vec![Removed {
                mode: OnDelete::Delete,
                reason: "withdrawn in revision 2".to_owned(),
                clusters: ["eu-1", "eu-2"].map(name).into(),
            }],
            dropped: ["ap-1", "eu-3", "eu-4"].map(name).into(),
            ..Body::default()
        },
    );
    story.answer("eu-1", WEB, 2, Outcome::Removed);
    let chain = explain(&story.view, &key(WEB), None).unwrap();
    assert_eq!(chain.clusters.len(), 2);
    assert_eq!(
        (chain.clusters[0].condition, &chain.clusters[0].broken_link),
        (None, &None)
    );
    assert_eq!(chain.clusters[1].condition, Some(Condition::Removing));
    assert!(
        chain
            .broken_link
            .unwrap()
            .starts_with("eu-2: removal is due")
    );
    assert_eq!(
        objects(&story.view, None, None, |_| true).objects[0]
            .counts
            .removing,
        1
    );
    story.answer("eu-2", WEB, 2, Outcome::Removed);
    assert!(
        objects(&story.view, None, None, |_| true)
            .objects
            .is_empty()
    );
}

#[test]
fn clusters_tell_how_far_they_are_behind() {
    let Clusters { clusters, .. } = clusters(&fleet().view, None);
    let told: Vec<_> = clusters
        .iter()
        .map(|c| {
            (
                c.cluster.as_str(),
                c.registered,
                c.online,
                [c.objects, c.applied, c.pending, c.refused, c.behind],
                c.oldest_pending_since.is_some(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("eu-1", true, None, [1, 1, 0, 0, 0], false),
            ("eu-2", true, None, [1, 0, 0, 1, 1], true),
            ("eu-3", true, Some(true), [1, 0, 1, 0, 1], true),
            ("eu-4", true, Some(false), [1, 0, 1, 0, 1], true),
            ("us-1", true, None, [0, 0, 0, 0, 0], false),
            ("us-9", false, None, [0, 0, 0, 0, 0], false),
        ]
    );
    assert_eq!(clusters[0].labels["region"], "eu");
}

#[test]
fn the_digest_counts_its_rows() {
    let view = fleet().view;
    let answer = digest(&view);
    assert_eq!((answer.rows, answer.digest), (5, view.digest()));
}

#[test]
fn a_clock_beyond_reason_is_still_written_so_that_it_reads_back() {
    for time in [i64::MIN, i64::MAX] {
        let as_of = AsOf {
            log: 1,
            acks: BTreeMap::new(),
            time: Time(time),
            acknowledgements_unknown: false,
        };
        let text = serde_json::to_string(&as_of).unwrap();
        assert!(serde_json::from_str::<AsOf>(&text).is_ok(), "{text}");
    }
}
