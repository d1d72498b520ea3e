//! Bulk removals wait for a confirmation: what is held, what goes on meanwhile, who may end it, and what is gone then.

use std::collections::BTreeSet;

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::held::Held;
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_core::fold::Condition;
use fleetcast_core::placer::Limit;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, digest, eventually, held, nats_server};
use serde_json::{Value, json};

mod confirm {
    mod whole;
}

/// More than four objects, and more than a third of what there is, wait.
const LIMIT: Limit = Limit {
    objects: 4,
    percent: 34,
};

fn object(index: usize) -> String {
    format!("ConfigMap/default/o{index}")
}

/// Objects `default/o0` … in `clusters`, all applied.
async fn fill(bed: &Bed, bus: &Bus, count: usize, clusters: &[&str]) {
    for index in 0..count {
        let document = config_map(&format!("o{index}"), clusters, "one");
        bed.accept(bus, &document).await;
    }
    for index in 0..count {
        bed.settled(bus, &object(index), 1).await;
    }
}

/// The names of the ConfigMaps `o0` … that a cluster holds.
async fn there(cluster: &Cluster, count: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for index in 0..count {
        let name = format!("o{index}");
        if held(cluster, "v1", "ConfigMap", Some("default"), &name)
            .await
            .is_some()
        {
            found.insert(index);
        }
    }
    found
}

async fn waiting(bus: &Bus) -> Held {
    let mut answer = None;
    eventually("the view answers", async || {
        answer = client::query(bus, "held", None, &Request::default())
            .await
            .ok();
        answer.is_some()
    })
    .await;
    answer.expect("just answered")
}

/// Waits until `copies` copies wait under one id: that.
async fn one_waits(bus: &Bus, copies: u64) -> String {
    let mut id = String::new();
    eventually(&format!("{copies} copies wait"), async || {
        let held = waiting(bus).await;
        match held.removals.as_slice() {
            [one] if one.copies == copies => {
                id.clone_from(&one.id);
                true
            }
            _ => false,
        }
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_waits_through_crashes_and_goes_when_it_is_confirmed() {
    let Some(server) =
        nats_server("a_namespace_that_goes_waits_through_crashes_and_goes_when_it_is_confirmed")
    else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let ingest = bed.ingest_limited("a", LIMIT);
    let aggregator = bed.aggregator();
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    fill(&bed, &bus, 10, &["c1", "c2"]).await;

    // One publisher withdraws nine of ten, one after the other: four go, the rest waits.
    for index in 0..9 {
        bed.withdraw(&bus, &object(index)).await;
    }
    let id = one_waits(&bus, 10).await;
    for index in 0..4 {
        bed.settled(&bus, &object(index), 2).await;
    }
    let all: BTreeSet<usize> = (4..10).collect();
    for cluster in &clusters {
        assert_eq!(there(cluster, 10).await, all, "{}", cluster.name());
    }

    // Everything else goes on: changes, creations, and a removal that leaves the copies.
    let changed = config_map("o9", &["c1", "c2"], "two");
    assert_eq!(bed.accept(&bus, &changed).await, 2);
    bed.settled(&bus, &object(9), 2).await;
    let created = config_map("o10", &["c1"], "one");
    bed.accept(&bus, &created).await;
    bed.settled(&bus, &object(10), 1).await;

    // The commands show it, and what to type.
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let run = |args: &[&str]| {
        let mut all = vec!["--nats", url];
        all.extend(args);
        fleetcast.run(&all)
    };
    let what_to_type = format!("fleetcast confirm {id}");
    let got = run(&["get", &object(5)]);
    assert!(
        got.out.contains("held") && got.out.contains(&what_to_type),
        "{got:?}"
    );
    let explained = run(&["explain", &object(5)]);
    assert!(explained.out.contains(&what_to_type), "{explained:?}");
    let explained = run(&["explain", &object(5), "--cluster", "c1", "-o", "json"]).json();
    let wait = &explained["clusters"][0]["standing"]["held"];
    assert_eq!(
        (&wait["id"], &wait["by"]),
        (&json!(id), &json!("test")),
        "{explained}"
    );
    let file = folder.path().join("o5.json");
    let nowhere = config_map("o5", &[], "one").to_string();
    std::fs::write(&file, nowhere).expect("written");
    let planned = run(&["plan", "-f", "o5.json"]);
    assert!(planned.out.contains(&what_to_type), "{planned:?}");
    let listed = run(&["confirm"]);
    assert!(
        listed.status == 0 && listed.out.contains(&id) && listed.out.contains("test"),
        "{listed:?}"
    );
    let listed = run(&["confirm", "--list", "-o", "json"]).json();
    let removals = &listed["removals"][0];
    assert_eq!(
        (&removals["copies"], &removals["clusters"]),
        (&json!(10), &json!({"c1": 5, "c2": 5})),
        "{listed}"
    );
    assert_eq!(removals["namespaces"], json!({"default": 10}));
    let events = run(&["events", "-o", "json"]);
    assert!(events.out.contains(&id), "the log says that it is held");
    let waited = run(&["delete", &object(5), "--wait"]);
    assert!(
        waited.status == 1 && waited.err.contains(&what_to_type),
        "{waited:?}"
    );

    // Ingest is killed and another one takes over without a checkpoint; the view is folded anew.
    let before = digest(&bus).await;
    ingest.kill().await;
    aggregator.kill().await;
    let _ingest = bed.ingest_limited("b", LIMIT);
    let _aggregator = bed.aggregator();
    assert_eq!(one_waits(&bus, 10).await, id);
    assert_eq!(digest(&bus).await, before);
    let rebuilt = run(&["replay", "--rebuild", "view"]);
    assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
    let rebuilt = run(&["replay", "--rebuild", "work"]);
    assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
    let verified = run(&["replay", "--verify"]);
    assert_eq!(verified.status, 0, "{verified:?}");
    assert_eq!(digest(&bus).await, before);
    for cluster in &clusters {
        assert!(there(cluster, 10).await.is_superset(&all));
    }

    // Nobody said yes; nothing waits under another id; and then somebody says yes.
    let asked = run(&["confirm", &id]);
    assert!(
        asked.status == 1 && asked.err.contains("--yes"),
        "{asked:?}"
    );
    let unknown = run(&["confirm", "ffffffff", "--yes"]);
    assert!(
        unknown.status == 1 && unknown.err.contains(&id),
        "{unknown:?}"
    );
    assert_eq!(run(&["confirm", "--reject"]).status, 2);
    let nobody = fleetcast.run(&["--nats", "nats://127.0.0.1:1", "confirm", &id, "--yes"]);
    assert_eq!(nobody.status, 3, "{nobody:?}");
    assert_eq!(waiting(&bus).await.removals.len(), 1);
    let confirmed = run(&["confirm", &id, "--yes", "--wait"]);
    assert_eq!(confirmed.status, 0, "{confirmed:?}");
    assert!(
        confirmed.out.contains("10 copies of 5 objects go"),
        "{confirmed:?}"
    );
    for cluster in &clusters {
        assert_eq!(there(cluster, 10).await, BTreeSet::from([9]));
    }
    assert!(waiting(&bus).await.removals.is_empty());
    let held = held(&clusters[0], "v1", "ConfigMap", Some("default"), "o10").await;
    assert!(held.is_some(), "nothing else went");
    let again = run(&["confirm", &id, "--yes"]);
    assert_eq!(again.status, 1, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_no_longer_selected_keeps_its_copies_until_that_is_confirmed() {
    let Some(server) = nats_server(
        "a_cluster_that_is_no_longer_selected_keeps_its_copies_until_that_is_confirmed",
    ) else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _services = (bed.ingest_limited("a", LIMIT), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    let register = async |cluster: &str, tier: &str| {
        let document = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster",
            "metadata": {"name": cluster, "labels": {"tier": tier}},
        });
        bed.accept(&bus, &document).await;
    };
    register("c1", "prod").await;
    register("c2", "prod").await;
    let selected = |index: usize| -> Value {
        let mut document = config_map(&format!("o{index}"), &[], "one");
        document["spec"]["placement"] =
            json!({"clusterSelector": {"matchLabels": {"tier": "prod"}}});
        document
    };
    for index in 0..6 {
        bed.accept(&bus, &selected(index)).await;
    }
    for index in 0..6 {
        bed.settled(&bus, &object(index), 1).await;
    }
    // A label is lost by mistake: all six would go from c2 at once, so all six wait.
    register("c2", "prd").await;
    let first = one_waits(&bus, 6).await;
    let held = waiting(&bus).await;
    assert!(
        held.removals[0]
            .limit
            .contains("6 of 6 objects in cluster c2")
            && held.removals[0].by.contains("cluster c2"),
        "{held:?}"
    );
    let all: BTreeSet<usize> = (0..6).collect();
    assert_eq!(there(&clusters[1], 6).await, all);
    // It is put right: nobody has to confirm anything, and nothing is written.
    let written = clusters[1].requests().writes();
    register("c2", "prod").await;
    eventually("nothing waits", async || {
        waiting(&bus).await.removals.is_empty()
    })
    .await;
    for index in 0..6 {
        let conditions = bed.settled(&bus, &object(index), 1).await;
        assert_eq!(conditions["c2"], Condition::Applied);
    }
    assert_eq!(clusters[1].requests().writes(), written);

    // It leaves for good, and what is there is to stay.
    register("c2", "dev").await;
    let id = one_waits(&bus, 6).await;
    assert_ne!(id, first);
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let rejected = fleetcast.run(&[
        "--nats", url, "confirm", &id, "--reject", "--yes", "--wait", "-o", "json",
    ]);
    assert_eq!(rejected.status, 0, "{rejected:?}");
    let said = &rejected.json_lines()[0];
    assert_eq!(
        (&said["ruling"], &said["copies"]),
        (&json!("keep"), &json!(6)),
        "{said}"
    );
    assert_eq!(there(&clusters[1], 6).await, all, "they stay");
    eventually("they lose our marks", async || {
        let kept =
            fleetcast_tests::harness::held(&clusters[1], "v1", "ConfigMap", Some("default"), "o0")
                .await;
        let kept = kept.expect("it stays");
        !kept["metadata"].to_string().contains("fleetcast.dev")
    })
    .await;
    assert_eq!(there(&clusters[0], 6).await, all, "and c1 has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_leaves_with_its_copies_waits_for_a_confirmation_and_is_empty_then() {
    let Some(server) = nats_server(
        "a_cluster_that_leaves_with_its_copies_waits_for_a_confirmation_and_is_empty_then",
    ) else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _services = (bed.ingest_limited("a", LIMIT), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    fill(&bed, &bus, 6, &["c1", "c2"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.clone();
    let remove = |more: &[&str]| {
        let mut all = vec!["--nats", url.as_str(), "cluster", "remove", "c2"];
        all.extend(more);
        fleetcast.run(&all)
    };
    let all: BTreeSet<usize> = (0..6).collect();
    let preview = remove(&["--with-copies", "--dry-run"]);
    assert!(
        preview.status == 0 && preview.out.contains("taken out of it first: 6"),
        "{preview:?}"
    );
    // Nobody confirms in time: it stays, and so do its copies.
    let early = remove(&["--with-copies", "--timeout", "1s"]);
    assert!(
        early.status == 1 && early.err.contains("stays registered"),
        "{early:?}"
    );
    let id = one_waits(&bus, 6).await;
    assert_eq!(there(&clusters[1], 6).await, all);
    let confirmed = fleetcast.run(&["--nats", &url, "confirm", &id, "--yes", "--wait"]);
    assert_eq!(confirmed.status, 0, "{confirmed:?}");
    let removed = remove(&["--with-copies", "-o", "json"]);
    assert_eq!(removed.status, 0, "{removed:?}");
    assert_eq!(removed.json()["copies_stay"], json!(false));
    assert_eq!(there(&clusters[1], 6).await, BTreeSet::new());
    assert_eq!(there(&clusters[0], 6).await, all, "c1 keeps what it has");
    let again = remove(&[]);
    assert!(
        again.status == 1 && again.err.contains("is not registered"),
        "{again:?}"
    );
}
