//! An object's history told from a log and acknowledgements that are written down here.

use serde_json::json;

use super::*;
use crate::decision::{Assigned, Body, Removed};
use crate::epoch::Epoch;
use crate::fold::View;
use crate::model::federated::OnDelete;

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn key() -> ObjectKey {
    "ConfigMap/shop/web".parse().expect("valid")
}

fn epoch() -> Epoch {
    Epoch {
        number: 1,
        hub: "hub".to_owned(),
    }
}

/// A change of the object at a place in the log; no text withdraws it.
fn change(sequence: u64, revision: u64, text: Option<&str>) -> Entry {
    let content = match text {
        Some(text) => Content::Declared {
            dialect: Dialect::Native,
            document: Document::from_value(&json!({
                "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text}}, "placement": {"clusters": ["a", "b"]}},
            })),
        },
        None => Content::withdrawn(false),
    };
    Entry {
        sequence,
        id: format!("event-{sequence}"),
        event: Event::Change(Change {
            object: key(),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: sequence.to_string(),
            },
            time: at(sequence),
            content,
        }),
    }
}

/// A decision at a place in the log that gives clusters the manifest `digest`, or takes it away where there is none.
fn decision(
    sequence: u64,
    number: u64,
    revision: u64,
    cluster_sequence: u64,
    clusters: &[&str],
    digest: Option<&str>,
) -> Entry {
    let clusters: Vec<ClusterName> = clusters.iter().map(|text| name(text)).collect();
    let mut body = Body {
        inputs: Inputs {
            change_sequence: revision,
            cluster_sequence,
            ..Inputs::default()
        },
        ..Body::default()
    };
    match digest {
        Some(digest) => body.assigned.push(Assigned {
            digest: digest.to_owned(),
            replicas: None,
            reasons: Vec::new(),
            clusters,
        }),
        None => body.removed.push(Removed {
            mode: OnDelete::Delete,
            reason: "withdrawn".to_owned(),
            clusters,
        }),
    }
    Entry {
        sequence,
        id: format!("event-{sequence}"),
        event: Event::Decision(Decision {
            object: key(),
            number,
            revision,
            epoch: epoch(),
            term: 1,
            time: at(sequence),
            causation: String::new(),
            correlation: String::new(),
            body,
        }),
    }
}

fn at(sequence: u64) -> Time {
    Time(i64::try_from(sequence).expect("small") * 1_000)
}

fn answer(history: &mut History, cluster: &str, decision: u64, outcome: Outcome, ms: i64) {
    let ack: Ack = serde_json::from_value(json!({
        "object": key(), "epoch": epoch(), "decision": decision, "revision": 1, "count": 1, "outcome": outcome, "attempts": 1,
        "work_id": "w", "time": 0,
    }))
    .expect("an acknowledgement");
    history.acknowledged(&name(cluster), &ack, Time(ms));
}

/// `revision: fields changed; decision(cause) cluster=digest:answer …; done after`, a line each.
fn story(history: &History) -> Vec<String> {
    let tell = |revision: &Revision| {
        let changed: Vec<&str> = revision
            .changed
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        let decisions: Vec<String> = revision
            .decisions
            .iter()
            .map(|decided| {
                let tasks: Vec<String> = decided
                    .clusters
                    .iter()
                    .map(|(cluster, task)| {
                        let digest = task.digest.as_deref().unwrap_or("gone");
                        let answer = task.answer.as_ref().map(|(outcome, _, _)| outcome.word());
                        let superseded = task.superseded.map(|by| format!("superseded by {by}"));
                        format!(
                            "{cluster}={digest}:{}",
                            superseded.as_deref().or(answer).unwrap_or("open")
                        )
                    })
                    .collect();
                format!(
                    "{}({:?}) {}",
                    decided.number,
                    decided.cause,
                    tasks.join(" ")
                )
            })
            .collect();
        let done = revision.done_at().map_or("-".to_owned(), |time| {
            time.ms_since(revision.time).to_string()
        });
        format!(
            "{}: {}; {}; {done}",
            revision.revision,
            changed.join(" "),
            decisions.join(", ")
        )
    };
    history.revisions.iter().map(tell).collect()
}

#[test]
fn each_revision_tells_what_changed_who_was_to_get_it_and_how_long_that_took() {
    let mut history = History::default();
    for entry in [
        change(1, 1, Some("one")),
        decision(2, 1, 1, 7, &["a", "b"], Some("d1")),
        change(3, 2, Some("two")),
        decision(4, 2, 2, 7, &["a", "b"], Some("d2")),
        decision(5, 3, 2, 9, &["c"], Some("d2")),
        change(6, 3, None),
        decision(7, 4, 3, 9, &["a", "b", "c"], None),
    ] {
        history.logged(&entry);
    }
    assert_eq!(history.open().count(), 8);
    assert_eq!(history.open_since_in(&[name("a")]), Some(at(2)));
    assert_eq!(history.open_since_in(&[name("c")]), Some(at(5)));
    answer(&mut history, "a", 1, Outcome::Applied, 2_300);
    answer(&mut history, "b", 1, Outcome::Retrying, 2_500);
    answer(&mut history, "a", 2, Outcome::Applied, 4_100);
    // Never answered finally about the first: what came later took its place.
    answer(&mut history, "b", 2, Outcome::Applied, 4_900);
    answer(&mut history, "a", 4, Outcome::Removed, 8_000);
    answer(&mut history, "b", 4, Outcome::Removed, 7_500);
    history.stands(&name("c"), None);
    assert_eq!(
        story(&history),
        [
            "1: ; 1(Change) a=d1:applied b=d1:superseded by 2; 1300",
            "2: spec.template.data.text; 2(Change) a=d2:applied b=d2:applied, 3(Cluster(9)) c=d2:open; -",
            "3: ; 4(Change) a=gone:removed b=gone:removed c=gone:open; -",
        ]
    );
    assert_eq!(history.open().count(), 0);
    let waiting = history.revision(3).expect("known").waiting();
    assert_eq!(waiting, [&name("c")]);
    assert!(history.document(3).is_none() && history.document(2).is_some());
}

#[test]
fn behind_a_cut_the_story_of_an_object_and_of_a_policy_goes_on() {
    let policy = |entry: Entry| {
        let Event::Change(mut change) = entry.event else {
            unreachable!("a change was made")
        };
        change.object = "PropagationPolicy.policy.karmada.io/shop/web"
            .parse()
            .expect("valid");
        Entry {
            event: Event::Policy(change),
            ..entry
        }
    };
    let changes = [
        change(1, 1, Some("one")),
        change(2, 2, Some("two")),
        change(3, 3, None),
        change(4, 4, Some("four")),
        change(5, 5, Some("five")),
    ];
    for log in [changes.clone(), changes.map(policy)] {
        let (Event::Change(first) | Event::Policy(first)) = &log[0].event else {
            unreachable!("changes only")
        };
        let told = |history: &History| -> Vec<_> {
            let revisions = history.revisions.iter();
            let told = revisions.map(|r| (r.revision, r.sequence, r.changed.clone()));
            told.collect()
        };
        let mut whole = History::default();
        log.iter().for_each(|entry| whole.logged(entry));
        for cut in 1..=log.len() {
            let mut view = View::default();
            log[..cut].iter().for_each(|entry| view.logged(entry));
            let mut rest = History::at_cut(&view, &first.object);
            assert_eq!(rest.cut, Some(cut as u64));
            log[cut..].iter().for_each(|entry| rest.logged(entry));
            let (whole, rest) = (told(&whole), told(&rest));
            assert_eq!(rest[0], (cut as u64, cut as u64, Vec::new()));
            assert_eq!(rest[1..], whole[cut..], "behind {cut}");
        }
    }
}

#[test]
fn an_answer_that_is_not_final_stands_where_it_is_the_last() {
    let mut history = History::default();
    history.logged(&change(1, 1, Some("one")));
    history.logged(&decision(2, 1, 1, 7, &["a"], Some("d1")));
    history.stands(&name("a"), Some((1, Outcome::Refused, "no", Time(2_500))));
    assert_eq!(story(&history), ["1: ; 1(Change) a=d1:refused; -"]);
    assert_eq!(history.open().count(), 0);
}

#[test]
fn a_manifest_is_rendered_again_as_it_was_decided_or_the_difference_is_named() {
    let Event::Change(change) = change(1, 1, Some("one")).event else {
        unreachable!("a change was made")
    };
    let Content::Declared { document, .. } = change.content else {
        unreachable!("it declares")
    };
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}, "data": {"text": "one"}});
    let standing = |digest: String| Standing::Assigned {
        decision: 1,
        revision: 1,
        digest,
        replicas: None,
        reasons: Vec::new(),
        kept: None,
        held: None,
    };
    let cluster = Cluster::named(name("a"));
    let right = standing(crate::digest::of_value(&manifest));
    let found = rendered(&document, &cluster, &right)
        .expect("renders")
        .expect("a manifest");
    assert_eq!(*found.manifest, manifest);
    let refused = rendered(&document, &cluster, &standing("other".to_owned()));
    assert!(refused.is_err_and(|refusal| refusal.field == "digest"));
}

#[test]
fn values_of_secrets_are_hidden_and_others_are_not() {
    let secret: ObjectKey = "Secret/shop/db".parse().expect("valid");
    let before = json!({"spec": {"template": {"data": {"password": "b25l"}}, "placement": {"clusters": ["a"]}}});
    let after = json!({"spec": {"template": {"data": {"password": "dHdv"}}, "placement": {"clusters": ["b"]}}});
    for (object, shown) in [(&secret, "(secret)"), (&key(), "dHdv")] {
        let mut differences = diff::fields(&before, &after);
        hide_secrets(object, &mut differences);
        assert_eq!(differences[0].field, "spec.placement.clusters[0]");
        assert_eq!(differences[0].to, Some(json!("b")));
        assert_eq!(differences[1].to, Some(json!(shown)));
        let mut whole = diff::fields(&Value::Null, &after);
        hide_secrets(object, &mut whole);
        assert_eq!(
            whole[0]
                .to
                .as_ref()
                .and_then(|to| to.pointer("/spec/template/data")),
            Some(&if shown == "(secret)" {
                json!(shown)
            } else {
                json!({"password": "dHdv"})
            })
        );
    }
}
