//! What can be rebuilt from the log is rebuilt while everything runs, and what does not fit is named.

use fleetcast_bus::append::Expected;
use fleetcast_bus::streams;
use fleetcast_core::change::{Change, Content, Origin};
use fleetcast_core::fold::Condition;
use fleetcast_core::time::Time;
use fleetcast_schemas::{event, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Output, config_map, eventually, held, nats_server};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

const OBJECTS: usize = 12;

/// The resource versions of all objects of the test in a cluster.
async fn versions(cluster: &Cluster) -> Vec<String> {
    let mut versions = Vec::new();
    for index in 0..OBJECTS {
        let name = format!("o{index}");
        let object = held(cluster, "v1", "ConfigMap", Some("default"), &name);
        let object = object.await.expect("it is there");
        versions.push(object["metadata"]["resourceVersion"].to_string());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn view_and_work_are_rebuilt_equal_while_everything_runs_and_members_see_no_write() {
    let Some(server) = nats_server(
        "view_and_work_are_rebuilt_equal_while_everything_runs_and_members_see_no_write",
    ) else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let (ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    for text in ["one", "two"] {
        for index in 0..OBJECTS {
            let document = config_map(&format!("o{index}"), &["c1", "c2"], text);
            bed.accept(&bus, &document).await;
        }
    }
    // One that is gone: its removal is answered, and is not work any more.
    bed.accept(&bus, &config_map("gone", &["c1"], "one")).await;
    bed.settled(&bus, "ConfigMap/default/gone", 1).await;
    bed.withdraw(&bus, "ConfigMap/default/gone").await;
    bed.settled(&bus, "ConfigMap/default/gone", 2).await;
    for index in 0..OBJECTS {
        let object = format!("ConfigMap/default/o{index}");
        let conditions = bed.settled(&bus, &object, 2).await;
        assert!(
            conditions
                .values()
                .all(|condition| *condition == Condition::Applied)
        );
    }
    let before = (versions(&clusters[0]).await, versions(&clusters[1]).await);

    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let run = |args: &[&str]| -> Output {
        let mut all = vec!["--nats", bed.connect.url.as_str(), "replay"];
        all.extend(args);
        fleetcast.run(&all)
    };
    let verified = run(&["--verify", "-o", "json"]);
    assert_eq!(verified.status, 0, "{verified:?}");
    let verified = verified.json();
    assert_eq!(verified["equal"], true);
    assert_eq!(verified["view"]["rows"], 2 * OBJECTS);
    assert_eq!(verified["work"]["rows"], 2 * OBJECTS);

    let rebuilt = run(&["--rebuild", "view", "-o", "json"]);
    assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
    let rebuilt = rebuilt.json();
    assert_eq!(rebuilt["digest"], verified["view"]["digest"]);
    assert_eq!(rebuilt["digest"], rebuilt["before"]);

    let incarnation = async || {
        let newest = bus.newest_of(&streams::work(0), &subject::fence(0)).await;
        let stored = newest.expect("the bus answers").expect("a fence");
        event::read_fence(&stored.message.headers, &stored.message.payload)
            .expect("a fence")
            .incarnation
    };
    let made = incarnation().await;
    let rebuilt = run(&["--rebuild", "work", "-o", "json"]);
    assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
    let rebuilt = rebuilt.json();
    assert_eq!(rebuilt["digest"], verified["work"]["digest"]);
    assert_eq!(
        (&rebuilt["digest"], &rebuilt["items"]),
        (&rebuilt["before"], &(2 * OBJECTS).into())
    );
    assert_ne!(incarnation().await, made);

    let told = run(&["--verify"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(told.out.matches("equal").count(), 2, "{}", told.out);

    // New changes flow in the new incarnation, and nothing else was written.
    bed.accept(&bus, &config_map("o0", &["c1", "c2"], "three"))
        .await;
    bed.settled(&bus, "ConfigMap/default/o0", 3).await;
    for (cluster, before) in clusters.iter().zip([&before.0, &before.1]) {
        let after = versions(cluster).await;
        assert_eq!(after[1..], before[1..], "no write in {}", cluster.name());
        assert_ne!(after[0], before[0]);
    }

    // Without anybody who leads it says so, and whoever leads next writes the work.
    ingest.stop().await;
    let last = bus
        .last_sequence(&streams::work(0))
        .await
        .expect("a stream");
    bus.forget(&streams::work(0), ">", last)
        .await
        .expect("taken away");
    let lost = run(&["--verify", "-o", "json"]);
    assert_eq!(lost.status, 1, "{lost:?}");
    let lost = lost.json();
    assert_eq!(lost["view"]["first_difference"], serde_json::Value::Null);
    assert_eq!(
        lost["work"]["first_difference"]["object"],
        "ConfigMap/default/o0"
    );
    let _ingest = bed.ingest("a");
    let rebuilt = run(&["--rebuild", "work"]);
    assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
}

/// Shows "a lost member": a cluster that comes back empty gets everything by reading its work, nobody else sees a write, and nothing is decided
/// anew; and that an agent goes through its work again without rewriting what is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_member_gets_everything_back_and_a_replayed_one_writes_nothing_that_is_right() {
    let Some(server) = nats_server(
        "a_lost_member_gets_everything_back_and_a_replayed_one_writes_nothing_that_is_right",
    ) else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let [lost, _kept] = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    for text in ["one", "two"] {
        for index in 0..OBJECTS {
            let document = config_map(&format!("o{index}"), &["c1", "c2"], text);
            bed.accept(&bus, &document).await;
        }
    }
    for index in 0..OBJECTS {
        let object = format!("ConfigMap/default/o{index}");
        bed.settled(&bus, &object, 2).await;
    }
    let kept = versions(&clusters[1]).await;
    let decided = async || {
        let mut decided = Vec::new();
        for index in 0..OBJECTS {
            let object = format!("ConfigMap/default/o{index}");
            let summary = bed.summary(&bus, &object).await.expect("known");
            decided.push((summary.revision, summary.decision));
        }
        decided
    };
    let before = decided().await;

    // Wiped clean, and registered again under its name.
    lost.kill().await;
    // A cluster where nobody acted before begins to count with the second that it is.
    let second = fleetcast_bus::now().0 / 1_000;
    eventually("the next second", async || {
        fleetcast_bus::now().0 / 1_000 > second
    })
    .await;
    let wiped = Cluster::new("c1");
    let again = bed.agent(&wiped);
    bed.register(&bus, &["c1"]).await;
    for index in 0..OBJECTS {
        let name = format!("o{index}");
        eventually(&format!("{name} is back"), async || {
            let copy = held(&wiped, "v1", "ConfigMap", Some("default"), &name).await;
            copy.is_some_and(|copy| copy["data"]["text"] == "two")
        })
        .await;
    }
    assert_eq!(versions(&clusters[1]).await, kept, "no write in c2");
    assert_eq!(decided().await, before, "nothing is decided anew");

    // Everything again, and nothing is written that is right.
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    for cluster in [&wiped, &clusters[1]] {
        let versions_before = versions(cluster).await;
        let name = cluster.name();
        let told = fleetcast
            .done(&["--nats", url, "replay", "--cluster", name, "-o", "json"])
            .json();
        assert_eq!(told["answered"], OBJECTS, "{told}");
        assert_eq!(told["not_applied"], serde_json::json!([]), "{told}");
        assert_eq!(
            versions(cluster).await,
            versions_before,
            "no write in {name}"
        );
    }

    // One that was restored from an old backup of its own: its lease has forgotten how often it changed hands, and all the same its new
    // agent's answers count.
    again.kill().await;
    let fallen = Cluster::new("c1");
    let lease = serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "fleetcast-agent", "namespace": "fleetcast-system"},
        "spec": {"leaseTransitions": 1},
    });
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease"));
    let leases: Api<DynamicObject> =
        Api::namespaced_with(fallen.client(), "fleetcast-system", &resource);
    let namespaces: Api<DynamicObject> = Api::all_with(
        fallen.client(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace")),
    );
    let object = |value| serde_json::from_value(value).expect("an object");
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fleetcast-system"}});
    for made in [
        namespaces
            .create(&PostParams::default(), &object(namespace))
            .await,
        leases.create(&PostParams::default(), &object(lease)).await,
    ] {
        made.expect("created");
    }
    let _fallen = bed.agent(&fallen);
    let told = fleetcast
        .done(&["--nats", url, "replay", "--cluster", "c1", "-o", "json"])
        .json();
    assert_eq!(told["answered"], OBJECTS, "{told}");

    let unknown = fleetcast.run(&["--nats", url, "replay", "--cluster", "c9"]);
    assert!(
        unknown.status == 1 && unknown.err.contains("nothing is placed in c9"),
        "{unknown:?}"
    );
}

/// Shows what is known where acknowledgements have aged out: the view that was kept stays right, one that would forget is not rebuilt, the past
/// says what it does not know, and an ingest that knows nothing either writes all work anew, which brings all answers back, removals too.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_have_aged_out_are_not_forgotten_and_can_be_given_again() {
    let Some(server) =
        nats_server("acknowledgements_that_have_aged_out_are_not_forgotten_and_can_be_given_again")
    else {
        return;
    };
    let bed = Bed::new(server);
    let cluster = Cluster::new("c1");
    let bus = bed.bus().await;
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agent = bed.agent(&cluster);
    bed.register(&bus, &["c1"]).await;
    for index in 0..OBJECTS {
        bed.accept(&bus, &config_map(&format!("o{index}"), &["c1"], "one"))
            .await;
    }
    for index in 0..OBJECTS {
        bed.settled(&bus, &format!("ConfigMap/default/o{index}"), 1)
            .await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let run = |args: &[&str]| -> Output {
        let mut all = vec!["--nats", url];
        all.extend(args);
        fleetcast.run(&all)
    };
    let then = bus.last_sequence(streams::LOG).await.expect("a log");
    let digest = run(&["replay", "--verify", "-o", "json"]).json()["view"]["digest"].clone();
    let held_before = versions(&cluster).await;
    bed.accept(&bus, &config_map("later", &["c1"], "one")).await;
    bed.settled(&bus, "ConfigMap/default/later", 1).await;
    bed.withdraw(&bus, "ConfigMap/default/later").await;
    bed.settled(&bus, "ConfigMap/default/later", 2).await;

    // Thirty days later, and the aggregator starts again: what it kept is still right.
    aggregator.stop().await;
    let acks = streams::acks(0);
    let last = bus.last_sequence(&acks).await.expect("a stream");
    bus.forget(&acks, ">", last).await.expect("aged out");
    let aggregator = bed.aggregator();
    for index in 0..OBJECTS {
        let conditions = bed
            .settled(&bus, &format!("ConfigMap/default/o{index}"), 1)
            .await;
        assert_eq!(conditions["c1"], Condition::Applied);
    }
    let refused = run(&["replay", "--rebuild", "view"]);
    assert!(
        refused.status == 1 && refused.err.contains("does not reach back to its beginning"),
        "{refused:?}"
    );
    let past = run(&["get", "--at", &(then - 1).to_string(), "-o", "json"]).json();
    assert_eq!(past["as_of"]["acknowledgements_unknown"], true, "{past}");

    // What it kept is lost, too: nothing is known of what was answered, until the agent answers again. No member is written to.
    aggregator.stop().await;
    std::fs::remove_dir_all(bed.directory.path().join("aggregator")).expect("gone");
    let _aggregator = bed.aggregator();
    eventually("the view answers", async || {
        let summary = bed.summary(&bus, "ConfigMap/default/o0").await;
        summary.is_some_and(|summary| summary.rows[0].condition == Condition::Pending)
    })
    .await;
    ingest.stop().await;
    std::fs::remove_dir_all(bed.directory.path().join("a")).expect("gone");
    let _ingest = bed.ingest("a");
    eventually("everything is known again", async || {
        let now = run(&["replay", "--verify", "-o", "json"]);
        now.status == 0 && now.json()["view"]["digest"] == digest
    })
    .await;
    assert_eq!(versions(&cluster).await, held_before, "no write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_and_a_missing_event_are_named_by_sequence() {
    let Some(server) = nats_server("a_changed_and_a_missing_event_are_named_by_sequence") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let (ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    bed.register(&bus, &["c1"]).await;
    for index in 0..3 {
        bed.accept(&bus, &config_map(&format!("o{index}"), &["c1"], "one"))
            .await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let verify = || fleetcast.run(&["--nats", url, "replay", "--verify", "-o", "json"]);
    let good = verify().json();
    assert_eq!(good["log_findings"], serde_json::json!([]), "{good}");
    ingest.stop().await;

    // Somebody with the keys to the bus writes a change whose content is not what its digest says.
    let mut forged = event::change(&Change {
        object: "ConfigMap/default/o0".parse().expect("valid"),
        revision: 2,
        origin: Origin {
            source: "somebody".to_owned(),
            id: "1".to_owned(),
        },
        time: fleetcast_bus::now(),
        content: Content::withdrawn(false),
    });
    let other = event::change(&Change {
        object: "ConfigMap/default/o0".parse().expect("valid"),
        revision: 2,
        origin: Origin {
            source: "somebody".to_owned(),
            id: "1".to_owned(),
        },
        time: Time(0),
        content: Content::withdrawn(true),
    });
    forged.payload = other.payload;
    let forged = bus
        .append(forged, Expected::Anything)
        .await
        .expect("stored");
    // And takes the first change about another object away.
    let object = "ConfigMap/default/o1".parse().expect("valid");
    let first = bus
        .newest_of(streams::LOG, &subject::change(&object))
        .await
        .expect("the bus answers")
        .expect("it is there");
    bus.forget(streams::LOG, &subject::change(&object), first.sequence)
        .await
        .expect("taken away");

    let found = verify();
    assert_eq!(found.status, 1, "{found:?}");
    let found = found.json();
    let at = |sequence: u64, message: &str| {
        let findings = found["log_findings"].as_array().expect("findings");
        findings.iter().any(|finding| {
            finding["sequence"] == sequence
                && finding["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(message))
        })
    };
    assert!(at(forged, "fleetcast-digest"), "{found}");
    assert!(at(first.sequence, "the event is missing"), "{found}");
    let told = fleetcast.run(&["--nats", url, "replay", "--verify"]);
    assert!(
        told.out
            .contains(&format!("log {}: the event is missing", first.sequence)),
        "{}",
        told.out
    );
}
