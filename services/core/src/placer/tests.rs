//! Scenarios of one placer: change → decision → work, and what must not be written.

use serde_json::{Value, json};

use super::*;
use crate::change::{Change, Content, Origin};
use crate::document::Document;
use crate::log::ClusterEvent;
use crate::model::Dialect;
use crate::placement::Exclusion;

const WEB: &str = "ConfigMap/shop/web";

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn key(text: &str) -> ObjectKey {
    text.parse().expect("valid")
}

fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        hub: "hub".to_owned(),
    }
}

/// A placer with a log and a work stream that take whatever is expected rightly.
struct Scene {
    placer: Placer,
    log: Vec<Entry>,
    /// The newest decision about each object: its sequence.
    decisions: BTreeMap<ObjectKey, u64>,
    /// The work stream: sequences of work, fences and ends of rewriting.
    stream: Vec<Option<Work>>,
    told: Vec<String>,
    now: i64,
}

impl Scene {
    /// A log with an epoch and clusters, and a placer that leads.
    fn with(clusters: &[&str]) -> Self {
        let mut scene = Self {
            placer: Placer::default(),
            log: Vec::new(),
            decisions: BTreeMap::new(),
            stream: Vec::new(),
            told: Vec::new(),
            now: 0,
        };
        scene.log(Event::Epoch(Beginning {
            epoch: epoch(1),
            partitions: 1,
        }));
        for cluster in clusters {
            scene.register(cluster);
        }
        scene.lead("x", 1);
        scene.told();
        scene
    }

    /// Writes a fence and leads behind it in a new making of the stream.
    fn lead(&mut self, incarnation: &str, term: u64) {
        self.stream.push(None);
        let lane = Lane::new(incarnation.to_owned(), self.end());
        self.placer.take_over(0, term, lane);
        self.poll();
    }

    /// Writes a fence and leads behind it in the stream as it is known.
    fn lead_on(&mut self, term: u64) {
        let known = self.placer.lane(0).expect("known").clone();
        let before = known.sequence;
        self.stream.push(None);
        self.placer.take_over(0, term, known);
        for at in before..self.end() {
            let at = usize::try_from(at).expect("small");
            if let Some(work) = self.stream[at].clone() {
                let found = Found {
                    decision: work.decision,
                    sequence: u64::try_from(at).expect("small") + 1,
                };
                self.placer
                    .found(&work.object, &work.cluster, found, work.stamp.n);
            }
        }
        self.placer.reached(0, self.end());
        self.poll();
    }

    fn end(&self) -> u64 {
        u64::try_from(self.stream.len()).expect("small")
    }

    fn log(&mut self, event: Event) -> u64 {
        let sequence = u64::try_from(self.log.len()).expect("small") + 1;
        if let Event::Decision(decision) = &event {
            self.decisions.insert(decision.object.clone(), sequence);
        }
        let entry = Entry {
            sequence,
            id: format!("event-{sequence}"),
            event,
        };
        self.placer.logged(&entry);
        self.log.push(entry);
        sequence
    }

    fn news(&mut self, cluster: &str, news: ClusterNews) {
        self.log(Event::Cluster(ClusterEvent {
            cluster: name(cluster),
            time: Time(0),
            news,
        }));
        self.poll();
    }

    fn register(&mut self, cluster: &str) {
        self.news(cluster, registered(cluster, false));
    }

    fn change(&mut self, object: &str, revision: u64, content: Content) {
        self.log(Event::Change(Change {
            object: key(object),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: revision.to_string(),
            },
            time: Time(0),
            content,
        }));
    }

    fn declare(&mut self, object: &str, revision: u64, spec: Value) {
        self.change(object, revision, declared(object, spec));
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(effect) = self.next() {
            self.carry_out(effect);
        }
    }

    fn next(&mut self) -> Option<Effect> {
        self.now += 1;
        self.placer.poll(Time(self.now))
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { decision, expected } => {
                let stands = self.decisions.get(&decision.object).copied().unwrap_or(0);
                assert_eq!(
                    expected, stands,
                    "the expected sequence of the decision before"
                );
                self.told.push(told(&decision));
                self.log(Event::Decision(decision));
            }
            Effect::Write {
                work,
                partition,
                expected,
            } => {
                assert_eq!((partition, expected), (0, self.end()));
                self.told.push(format!(
                    "{} {} {} n{}",
                    if work.digest.is_some() {
                        "write"
                    } else {
                        "remove"
                    },
                    work.cluster,
                    work.decision,
                    work.stamp.n
                ));
                self.stream.push(Some(*work));
            }
            Effect::Complete { expected, .. } => {
                assert_eq!(expected, self.end());
                self.told.push("complete".to_owned());
                self.stream.push(None);
            }
            Effect::Forget {
                cluster, sequence, ..
            } => self.told.push(format!("forget {cluster} {sequence}")),
            Effect::Stuck { message, .. } => self.told.push(format!("stuck {message}")),
        }
    }

    /// What was done since it was looked at last.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// As if the process had ended here: what its checkpoint keeps.
    fn restart(&mut self) {
        let kept = rmp_serde::to_vec_named(&self.placer).expect("it serializes");
        self.placer = rmp_serde::from_slice(&kept).expect("it reads back");
        self.placer.lose();
    }

    fn work(&self, cluster: &str) -> &Work {
        let works = self.stream.iter().flatten();
        works
            .filter(|work| work.cluster == name(cluster))
            .next_back()
            .expect("it has work")
    }
}

/// `decide 2: + eu-1, eu-2; - us-1 Delete; ! ap-1 Unknown; forget eu-9`.
fn told(decision: &Decision) -> String {
    let list = |clusters: &[ClusterName]| {
        clusters
            .iter()
            .map(ClusterName::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut parts = Vec::new();
    for group in &decision.body.assigned {
        parts.push(format!("+ {}", list(&group.clusters)));
    }
    for group in &decision.body.removed {
        parts.push(format!("- {} {:?}", list(&group.clusters), group.mode));
    }
    for group in &decision.body.excluded {
        parts.push(format!("! {} {:?}", list(&group.clusters), group.reason));
    }
    if !decision.body.dropped.is_empty() {
        parts.push(format!("drop {}", list(&decision.body.dropped)));
    }
    format!(
        "decide {} of {}: {}",
        decision.number,
        decision.revision,
        parts.join("; ")
    )
}

fn registered(cluster: &str, cordoned: bool) -> ClusterNews {
    let mut registered = Cluster::named(name(cluster));
    registered.cordoned = cordoned;
    registered.labels = [("region".to_owned(), cluster[..2].to_owned())].into();
    ClusterNews::Registered(registered)
}

/// `spec` with a ConfigMap as template, unless it has one.
fn declared(object: &str, mut spec: Value) -> Content {
    if spec.get("template").is_none() {
        spec["template"] =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "1"}});
    }
    Content::Declared {
        dialect: Dialect::Native,
        document: Document::from_value(&json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": key(object).name(), "namespace": "shop"}, "spec": spec,
        })),
    }
}

fn everywhere() -> Value {
    json!({"placement": {"clusterSelector": {}}})
}

fn at(clusters: &[&str]) -> Value {
    json!({"placement": {"clusters": clusters}})
}

/// Everywhere, with `version` in eu-1 only.
fn overridden(version: &str) -> Value {
    json!({
        "placement": {"clusterSelector": {}},
        "overrides": [{"clusters": ["eu-1"], "patches": [{"op": "replace", "path": "/data/version", "value": version}]}],
    })
}

#[test]
fn a_change_is_decided_and_then_written() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 1 of 1: + eu-1 us-1",
            "write eu-1 1 n1",
            "write us-1 1 n1"
        ]
    );
    assert!(scene.placer.is_idle());
    let work = scene.work("eu-1");
    let work::Body::Apply { manifest, .. } = &work.body else {
        panic!("an apply: {work:?}");
    };
    assert_eq!(manifest.value().expect("JSON")["data"]["version"], "1");
    assert_eq!(
        work.digest.as_deref(),
        Some(digest::of_bytes(manifest.as_bytes()).as_str())
    );
    let Event::Decision(decision) = &scene.log[scene.log.len() - 1].event else {
        panic!("a decision");
    };
    assert_eq!(decision.body.inputs.change_sequence, 4);
    assert_eq!(
        (decision.causation.as_str(), decision.correlation.as_str()),
        ("event-4", "event-4")
    );
    assert_eq!(work.causation, "event-5");
}

#[test]
fn nothing_is_written_where_nothing_differs() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.news("eu-1", ClusterNews::Online {});
    scene.news("us-1", registered("us-1", false));
    scene.news("us-1", registered("us-1", true));
    let told = scene.told();
    assert_eq!(
        told,
        ["decide 2 of 1: + us-1"],
        "a new reason is recorded, and no work written"
    );
    scene.declare(WEB, 2, everywhere());
    assert_eq!(
        scene.told(),
        ["decide 3 of 2: "],
        "the change is carried out, and no work written"
    );
    scene.declare(WEB, 3, overridden("2"));
    assert_eq!(
        scene.told(),
        ["decide 4 of 3: + eu-1", "write eu-1 4 n2"],
        "an override reaches its cluster only"
    );
}

#[test]
fn a_cluster_that_joins_gets_what_named_or_selects_it() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, at(&["eu-1", "us-1"]));
    scene.declare("ConfigMap/shop/all", 1, everywhere());
    scene.declare("ConfigMap/shop/other", 1, at(&["eu-1"]));
    assert_eq!(
        scene.told(),
        [
            "decide 1 of 1: + eu-1; ! us-1 Unknown",
            "write eu-1 1 n1",
            "decide 1 of 1: + eu-1",
            "write eu-1 1 n2",
            "decide 1 of 1: + eu-1",
            "write eu-1 1 n3"
        ]
    );
    scene.register("us-1");
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: + us-1",
            "decide 2 of 1: + us-1",
            "write us-1 2 n1",
            "write us-1 2 n2"
        ]
    );
}

#[test]
fn a_cluster_that_leaves_keeps_its_copies() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare("ConfigMap/shop/named", 1, at(&["us-1"]));
    scene.told();
    scene.news("us-1", ClusterNews::Removed {});
    assert_eq!(
        scene.told(),
        ["decide 2 of 1: ! us-1 Unknown", "decide 2 of 1: drop us-1"],
        "dropped or unknown, but never removed"
    );
    scene.register("us-1");
    let told = scene.told();
    assert!(told.contains(&"write us-1 3 n3".to_owned()), "{told:?}");
}

#[test]
fn a_withdrawal_removes_and_is_forgotten_when_it_is_answered() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.change(WEB, 2, Content::Withdrawn { orphan: false });
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: - eu-1 us-1 Delete",
            "remove eu-1 2 n2",
            "remove us-1 2 n2"
        ]
    );
    let work = scene.work("eu-1");
    assert!(
        matches!(&work.body, work::Body::Remove { mode: OnDelete::Delete, api_version } if api_version == "v1")
    );
    for (what, epoch, decision, expected) in [
        ("another history's", epoch(2), 2, vec![]),
        ("an older decision's", epoch(1), 1, vec![]),
        ("the answer", epoch(1), 2, vec!["forget eu-1 5"]),
        ("its repeat", epoch(1), 2, vec![]),
    ] {
        scene
            .placer
            .removal_answered(&key(WEB), &name("eu-1"), &epoch, decision);
        scene.poll();
        assert_eq!(scene.told(), expected, "{what}");
    }
    scene.declare(WEB, 3, everywhere());
    assert_eq!(
        scene.told(),
        [
            "decide 3 of 3: + eu-1 us-1",
            "write eu-1 3 n3",
            "write us-1 3 n3"
        ],
        "it comes back, and its decisions count on"
    );
}

#[test]
fn copies_are_orphaned_where_that_is_wanted() {
    for (spec, orphan) in [
        (everywhere(), true),
        (
            json!({"placement": {"clusterSelector": {}}, "apply": {"onDelete": "orphan"}}),
            false,
        ),
    ] {
        let mut scene = Scene::with(&["eu-1"]);
        scene.declare(WEB, 1, spec);
        scene.told();
        scene.change(WEB, 2, Content::Withdrawn { orphan });
        scene.poll();
        assert_eq!(
            scene.told(),
            ["decide 2 of 2: - eu-1 Orphan", "remove eu-1 2 n2"]
        );
    }
}

#[test]
fn a_cluster_that_is_no_longer_meant_loses_its_copy() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.declare(WEB, 2, at(&["eu-1"]));
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1; - us-1 Delete", "remove us-1 2 n2"]
    );
    scene.declare(WEB, 3, everywhere());
    assert_eq!(
        scene.told(),
        ["decide 3 of 3: + eu-1 us-1", "write us-1 3 n3"]
    );
}

#[test]
fn an_override_that_fails_keeps_what_is_there() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    let failing = json!({
        "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "2"}},
        "placement": {"clusterSelector": {}},
        "overrides": [{"clusters": ["eu-1"], "patches": [{"op": "replace", "path": "/spec/none", "value": 1}]}],
    });
    scene.declare(WEB, 2, failing);
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + us-1; ! eu-1 Refused", "write us-1 2 n2"]
    );
    // The stream is made anew: the copy that is kept is written from the older document.
    scene.placer.lose();
    scene.stream.clear();
    scene.lead("y", 2);
    assert_eq!(
        scene.told(),
        ["write eu-1 1 n1", "write us-1 2 n1", "complete"]
    );
    let work::Body::Apply { manifest, .. } = &scene.work("eu-1").body else {
        panic!("an apply");
    };
    assert_eq!(manifest.value().expect("JSON")["data"]["version"], "1");
}

#[test]
fn a_restart_goes_on_without_writing_anything_again() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.restart();
    assert_eq!(scene.next(), None, "it does not lead");
    scene.lead_on(2);
    assert_eq!(scene.told(), [""; 0]);
    scene.declare(WEB, 2, overridden("2"));
    assert_eq!(scene.told(), ["decide 2 of 2: + eu-1", "write eu-1 2 n2"]);
    assert_eq!(scene.work("eu-1").stamp.term, 2);
}

#[test]
fn a_crash_anywhere_loses_nothing_and_repeats_nothing() {
    // Without a crash.
    let expected = {
        let mut scene = Scene::with(&["eu-1", "us-1"]);
        scene.declare(WEB, 1, everywhere());
        scene.declare(WEB, 2, overridden("2"));
        scene.told()
    };
    // The checkpoint is of before each effect, or of after it; the effect is carried out, or lost.
    for crash_at in 0..expected.len() {
        for (kept_after, lost) in [(false, false), (false, true), (true, false), (true, true)] {
            let what = format!("crash at {crash_at}, kept after: {kept_after}, lost: {lost}");
            let mut scene = Scene::with(&["eu-1", "us-1"]);
            scene.change(WEB, 1, declared(WEB, everywhere()));
            let mut second = false;
            let mut effects = 0;
            let mut term = 1;
            loop {
                let confirmed = scene.end();
                let kept = (scene.placer.clone(), scene.placer.sequence());
                let Some(effect) = scene.next() else {
                    if second {
                        break;
                    }
                    second = true;
                    scene.change(WEB, 2, declared(WEB, overridden("2")));
                    continue;
                };
                if effects != crash_at || term > 1 {
                    effects += 1;
                    scene.carry_out(effect);
                    continue;
                }
                let unsent = scene.placer.clone();
                if !lost {
                    scene.carry_out(effect);
                }
                scene.placer = if kept_after { unsent } else { kept.0 };
                scene.restart();
                scene.placer.rewind(0, confirmed);
                for entry in scene.log.clone() {
                    scene.placer.logged(&entry);
                }
                effects += 1;
                term += 1;
                scene.lead_on(term);
            }
            // A write that was lost leaves its count out: a gap is closed by a sync, a count twice would not be noticed.
            let mut counts = BTreeMap::new();
            for work in scene.stream.iter().flatten() {
                let before = counts.insert(work.cluster.clone(), work.stamp.n);
                assert!(before.unwrap_or(0) < work.stamp.n, "{what}");
            }
            let sorted = |told: &[String]| {
                let without_count = told
                    .iter()
                    .map(|told| told.split(" n").next().unwrap_or_default().to_owned());
                let mut told: Vec<String> = without_count.collect();
                told.sort();
                told
            };
            assert_eq!(sorted(&scene.told()), sorted(&expected), "{what}");
            assert!(scene.placer.is_idle(), "{what}");
        }
    }
}

#[test]
fn a_new_making_of_the_stream_is_written_whole_with_counts_from_one() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.declare(WEB, 2, overridden("2"));
    scene.change(
        "ConfigMap/shop/old",
        1,
        declared("ConfigMap/shop/old", at(&["eu-1"])),
    );
    scene.poll();
    scene.change(
        "ConfigMap/shop/old",
        2,
        Content::Withdrawn { orphan: false },
    );
    scene.poll();
    scene.told();
    scene.restart();
    scene.stream.clear();
    scene.stream.push(None);
    let lane = Lane::new("y".to_owned(), 1);
    scene.placer.take_over(0, 2, lane);
    assert!(scene.placer.is_rebuilding(0));
    scene.poll();
    assert!(!scene.placer.is_rebuilding(0));
    assert_eq!(
        scene.told(),
        [
            "remove eu-1 2 n1",
            "write eu-1 2 n2",
            "write us-1 1 n1",
            "complete"
        ],
        "the newest of everything, no new decisions, and then word that it is whole"
    );
    assert!(
        scene
            .stream
            .iter()
            .flatten()
            .all(|work| work.stamp.incarnation == "y" && work.stamp.term == 2)
    );
}

#[test]
fn whoever_takes_over_finds_what_another_wrote() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    scene.placer.lose();
    // Another leader decides and writes for one cluster of two, and then it is gone.
    let mut other = scene.placer.clone();
    other.take_over(0, 2, scene.placer.lane(0).expect("known").clone());
    scene.stream.push(None);
    other.reached(0, scene.end());
    scene.change(WEB, 2, declared(WEB, json!({"placement": {"clusterSelector": {}}, "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"version": "2"}}})));
    other.logged(&scene.log[scene.log.len() - 1].clone());
    assert_eq!(scene.next(), None, "it does not lead any more");
    std::mem::swap(&mut scene.placer, &mut other);
    let decision = scene.next().expect("a decision");
    scene.carry_out(decision);
    let first = scene.next().expect("work");
    scene.carry_out(first);
    std::mem::swap(&mut scene.placer, &mut other);
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1 us-1", "write eu-1 2 n2"]
    );
    scene.placer.logged(&scene.log[scene.log.len() - 1].clone());
    scene.lead_on(3);
    assert_eq!(
        scene.told(),
        ["write us-1 2 n2"],
        "only what the other one did not come to"
    );
    assert_eq!(scene.placer.term(), 3);
}

#[test]
fn a_decision_that_another_made_first_is_taken_as_it_is() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    let Some(Effect::Append {
        decision,
        expected: 0,
    }) = scene.next()
    else {
        panic!("a decision");
    };
    assert_eq!(scene.next(), None, "it waits for the log");
    let others = Decision {
        term: 2,
        ..decision.clone()
    };
    scene.placer.append_failed(&key(WEB));
    scene.log(Event::Decision(others));
    scene.poll();
    assert_eq!(
        scene.told(),
        ["write eu-1 1 n1"],
        "no second decision that says the same"
    );
    assert_eq!(scene.placer.term(), 2);

    // Another's decision on older inputs is looked at again.
    scene.change(WEB, 2, declared(WEB, overridden("2")));
    let Some(Effect::Append { mut decision, .. }) = scene.next() else {
        panic!("a decision");
    };
    scene.placer.append_failed(&key(WEB));
    decision.body = Body {
        inputs: Inputs {
            change_sequence: 3,
            cluster_sequence: 2,
        },
        ..Body::default()
    };
    decision.revision = 1;
    scene.log(Event::Decision(decision));
    scene.poll();
    assert_eq!(scene.told(), ["decide 3 of 2: + eu-1", "write eu-1 3 n2"]);
}

#[test]
fn a_decision_that_was_never_stored_is_made_again_after_leading_was_lost() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    assert!(matches!(scene.next(), Some(Effect::Append { .. })));
    scene.placer.lose();
    assert!(!scene.placer.is_idle());
    scene.lead_on(2);
    assert_eq!(scene.told(), ["decide 1 of 1: + eu-1", "write eu-1 1 n1"]);
}

#[test]
fn suspension_keeps_what_is_there_and_places_nothing_new() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.declare(WEB, 1, everywhere());
    scene.told();
    let mut rests = everywhere();
    rests["suspend"] = json!(true);
    scene.declare(WEB, 2, rests);
    scene.register("us-1");
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 2: ! eu-1 Suspended",
            "decide 3 of 2: ! us-1 Suspended"
        ]
    );
    assert!(Exclusion::Suspended.keeps_what_is_there());
    scene.change(WEB, 3, Content::Withdrawn { orphan: false });
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 4 of 3: - eu-1 Delete; drop us-1",
            "remove eu-1 4 n2"
        ]
    );
}

#[test]
fn a_digest_that_no_manifest_has_is_named_and_not_written() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.change(WEB, 1, declared(WEB, everywhere()));
    let Some(Effect::Append { mut decision, .. }) = scene.next() else {
        panic!("a decision");
    };
    decision.body.assigned[0].digest = "another build's".to_owned();
    scene.log(Event::Decision(decision));
    scene.poll();
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("stuck decision 1 recorded the digest another build's for eu-1"),
        "{told:?}"
    );
    // A stream made anew is not said to be whole without it.
    scene.placer.lose();
    scene.stream.clear();
    scene.lead("y", 2);
    let told = scene.told();
    assert!(!told.contains(&"complete".to_owned()), "{told:?}");
    assert!(scene.placer.is_rebuilding(0));
    // The next change settles it.
    scene.declare(WEB, 2, overridden("2"));
    assert_eq!(
        scene.told(),
        ["decide 2 of 2: + eu-1", "write eu-1 2 n1", "complete"]
    );
}
