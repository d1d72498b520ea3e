//! Any moment of the past is a query: the view as it was, the history of an object, two revisions compared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleetcast_aggregator::answer::past::{At, Comparison, History, Places};
use fleetcast_aggregator::answer::{Explanation, Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::request::Answer;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, nats_server};
use serde_json::json;

/// How many moments are recorded.
const MOMENTS: usize = 1_000;
const OBJECTS: u64 = 12;

async fn objects(bus: &Bus, at: Option<At>) -> Objects {
    let request = Request {
        at,
        ..Request::default()
    };
    client::query(bus, "objects", None, &request)
        .await
        .expect("the view answers")
}

/// Numbers that look drawn, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_moment_of_a_busy_run_is_told_again_as_it_was() {
    let Some(server) = nats_server("every_recorded_moment_of_a_busy_run_is_told_again_as_it_was")
    else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2"), Cluster::new("c3")];
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2", "c3"]).await;

    // The truth is recorded while changes, withdrawals and moves from cluster to cluster go on.
    let done = Arc::new(AtomicBool::new(false));
    let recorder = tokio::spawn({
        let (done, bus) = (Arc::clone(&done), bed.bus().await);
        async move {
            let (mut truth, mut dice) = (Vec::new(), Dice(7));
            while truth.len() < MOMENTS {
                truth.push(objects(&bus, None).await);
                tokio::time::sleep(Duration::from_millis(dice.roll(4))).await;
            }
            done.store(true, Ordering::Relaxed);
            truth
        }
    });
    let mut dice = Dice(1);
    let mut accepted = Vec::new();
    let mut answered = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        let name = format!("o{}", dice.roll(OBJECTS));
        let before = fleetcast_bus::now();
        let answer = if dice.roll(5) == 0 {
            bed.withdraw(&bus, &format!("ConfigMap/default/{name}"))
                .await
        } else {
            let places = [&["c1", "c2", "c3"][..], &["c1"], &["c2", "c3"], &[]];
            let at = usize::try_from(dice.roll(4)).expect("small");
            let text = dice.roll(1_000_000).to_string();
            bed.apply(&bus, &config_map(&name, places[at], &text)).await
        };
        // Withdrawing what is not there is refused, or answered with the withdrawal that was.
        if let Answer::Accepted(change) = answer
            && answered.insert(change.sequence)
        {
            accepted.push((before, change, fleetcast_bus::now()));
        }
    }
    let truth = recorder.await.expect("recorded");
    let distinct = truth.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(distinct > MOMENTS / 4, "a busy run, not {distinct} moments");
    let pending = |objects: &Objects| {
        let rows = objects.objects.iter().flat_map(|object| &object.rows);
        rows.filter(|row| row.condition == Condition::Pending)
            .count()
    };
    assert!(truth.iter().any(|objects| pending(objects) > 0));

    // By the places that each answer names: in order, and a part of them backwards, which takes no help from the moment before.
    let backwards = truth.iter().rev().step_by(20);
    for recorded in truth.iter().chain(backwards) {
        let places = At::Places(Places {
            log: recorded.as_of.log,
            acks: recorded.as_of.acks.clone(),
        });
        let told = objects(&bus, Some(places)).await;
        assert_eq!(&told, recorded);
    }

    // By sequence and by time: a change is there from its own event on, and not before.
    let revision = |objects: &Objects, object: &ObjectKey| {
        let found = objects.objects.iter().find(|row| row.object == *object);
        found.map_or(0, |row| row.revision)
    };
    for (before, change, after) in accepted.iter().step_by(20) {
        let request = |at| Request {
            at: Some(at),
            ..Request::default()
        };
        let told = async |at| {
            let told: Objects = client::query(&bus, "objects", Some(&change.object), &request(at))
                .await
                .expect("the view answers");
            revision(&told, &change.object)
        };
        let (sequence, number) = (change.sequence, change.revision);
        assert_eq!(told(At::Sequence(sequence)).await, number);
        assert_eq!(told(At::Sequence(sequence - 1)).await, number - 1);
        assert_eq!(told(At::Time(before.plus_ms(-1))).await, number - 1);
        // The next change may have come within the same millisecond.
        assert!(told(At::Time(*after)).await >= number);
    }

    // What is long past is empty, what is to come is refused.
    let told = objects(&bus, Some(At::Sequence(0))).await;
    assert!(told.objects.is_empty());
    for at in [
        At::Time(fleetcast_bus::now().plus_ms(3_600_000)),
        At::Sequence(10_000_000),
    ] {
        let request = Request {
            at: Some(at),
            wait_ms: Some(0),
            ..Request::default()
        };
        let told = client::query::<Objects>(&bus, "objects", None, &request).await;
        assert!(matches!(told, Err(client::Error::Refused(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objects_history_tells_each_revision_and_two_of_them_are_compared() {
    let Some(server) =
        nats_server("an_objects_history_tells_each_revision_and_two_of_them_are_compared")
    else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let _agent = bed.agent(&clusters[0]);
    let second = bed.agent(&clusters[1]);
    bed.register(&bus, &["c1", "c2"]).await;
    let object = "ConfigMap/default/web";
    let key: ObjectKey = object.parse().expect("an object");
    let mut document = config_map("web", &["c1", "c2"], "one");
    bed.accept(&bus, &document).await;
    bed.settled(&bus, object, 1).await;
    document["spec"]["template"]["data"]["text"] = json!("two");
    document["spec"]["overrides"] = json!([{"clusters": ["c2"], "patches": [{"op": "add", "path": "/data/extra", "value": "us"}]}]);
    bed.accept(&bus, &document).await;
    bed.settled(&bus, object, 2).await;
    // The third does not reach c2, whose agent is away.
    second.stop().await;
    document["spec"]["template"]["data"]["text"] = json!("three");
    bed.accept(&bus, &document).await;
    eventually("c1 has the third", async || {
        bed.summary(&bus, object).await.is_some_and(|summary| {
            let applied = |row: &fleetcast_aggregator::answer::Row| {
                row.cluster.as_str() == "c1"
                    && row.revision == 3
                    && row.condition == Condition::Applied
            };
            summary.rows.iter().any(applied)
        })
    })
    .await;

    let history: History = client::query(&bus, "history", Some(&key), &Request::default())
        .await
        .expect("told");
    let numbers: Vec<u64> = history.revisions.iter().map(|one| one.revision).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let c2 = ClusterName::parse("c2").expect("a name");
    for (revision, changed) in history.revisions.iter().zip([
        &[][..],
        &["spec.overrides", "spec.template.data.text"],
        &["spec.template.data.text"],
    ]) {
        assert_eq!(revision.source, "test");
        assert_eq!(revision.changed, changed);
        let [decision] = revision.decisions.as_slice() else {
            panic!("one decision a revision: {revision:?}")
        };
        assert_eq!(
            (decision.number, decision.cause.as_str()),
            (revision.revision, "change")
        );
        assert_eq!(decision.clusters.len(), 2);
        if revision.revision < 3 {
            assert!(revision.done_after_ms.is_some() && revision.waiting.is_empty());
        } else {
            assert_eq!(
                (revision.done_after_ms, &revision.waiting),
                (None, &vec![c2.clone()])
            );
        }
    }

    let compare = async |from, to, cluster: Option<&ClusterName>| {
        let request = Request {
            from,
            to,
            cluster: cluster.cloned(),
            ..Request::default()
        };
        client::query::<Comparison>(&bus, "diff", Some(&key), &request).await
    };
    let fields = |compared: &Comparison| -> Vec<(String, Option<serde_json::Value>, Option<serde_json::Value>)> {
        let all = compared.differences.iter().cloned();
        all.map(|one| (one.field, one.from, one.to)).collect()
    };
    let compared = compare(Some(2), Some(3), None).await.expect("compared");
    assert_eq!(
        fields(&compared),
        [(
            "spec.template.data.text".to_owned(),
            Some(json!("two")),
            Some(json!("three"))
        )]
    );
    assert_eq!(compare(None, None, None).await.expect("compared"), compared);
    let compared = compare(Some(1), Some(2), Some(&c2))
        .await
        .expect("compared");
    assert_eq!(
        fields(&compared),
        [
            ("data.extra".to_owned(), None, Some(json!("us"))),
            (
                "data.text".to_owned(),
                Some(json!("one")),
                Some(json!("two"))
            ),
        ]
    );
    let refused = compare(Some(9), None, None).await;
    assert!(matches!(refused, Err(client::Error::Refused(refusal)) if refusal.field == "from"));

    // The chain as it was.
    let request = Request {
        at: Some(At::Sequence(history.revisions[2].sequence - 1)),
        ..Request::default()
    };
    let explained: Explanation = client::query(&bus, "explain", Some(&key), &request)
        .await
        .expect("told");
    assert_eq!(
        (explained.change.revision, explained.broken_link),
        (2, None)
    );

    // And as a person asks.
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let told = fleetcast.done(&["--nats", url, "history", object]);
    for part in [
        "revision 1",
        "revision 3",
        "changed   spec.template.data.text",
        "c2 (no answer)",
        "next: fleetcast diff",
    ] {
        assert!(told.out.contains(part), "{part:?} in {}", told.out);
    }
    let told = fleetcast.run(&[
        "--nats",
        url,
        "diff",
        object,
        "--from",
        "1",
        "--to",
        "2",
        "--cluster",
        "c2",
        "-o",
        "json",
    ]);
    assert_eq!(
        (told.status, told.json()["differences"][0]["field"].as_str()),
        (1, Some("data.extra"))
    );
    let same = fleetcast.done(&["--nats", url, "diff", object, "--from", "2", "--to", "2"]);
    assert!(same.out.contains("nothing differs"), "{}", same.out);
    let sequence = history.revisions[0].sequence.to_string();
    let told = fleetcast.done(&[
        "--nats", url, "get", object, "--at", &sequence, "-o", "json",
    ]);
    assert_eq!(told.json()["objects"][0]["revision"], 1);
    let told = fleetcast.done(&["--nats", url, "explain", object, "--at", &sequence]);
    assert!(told.out.contains("revision 1 declared"), "{}", told.out);
    let wrong = fleetcast.run(&["--nats", url, "get", "--at", "yesterday"]);
    assert_eq!(wrong.status, 2, "{wrong:?}");
}
