//! What clusters hold newer than a restored log: listed, never overwritten by itself, and settled either way.

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use serde_json::{Value, json};

const CLUSTERS: [&str; 2] = ["c1", "c2"];

async fn text(cluster: &Cluster, name: &str) -> Value {
    let copy = held(cluster, "v1", "ConfigMap", Some("default"), name).await;
    copy.map(|copy| copy["data"].clone()).unwrap_or_default()
}

fn overridden(name: &str) -> Value {
    let mut document = config_map(name, &CLUSTERS, "two");
    document["spec"]["overrides"] = json!([
        {"clusters": ["c2"], "patches": [{"op": "add", "path": "/data/only", "value": "here"}]},
    ]);
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_hold_newer_than_the_restored_log_is_listed_and_settled_either_way() {
    let Some(nats) = nats_server(
        "what_members_hold_newer_than_the_restored_log_is_listed_and_settled_either_way",
    ) else {
        return;
    };
    let mut bed = Bed::new(nats);
    let clusters = CLUSTERS.map(Cluster::new);
    let bus = bed.bus().await;
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &CLUSTERS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.clone();

    // Four objects are in the backup; three of them change behind it.
    let names = ["kept", "taken", "divided", "undone"];
    for name in names {
        bed.accept(&bus, &config_map(name, &CLUSTERS, "one")).await;
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 1)
            .await;
    }
    fleetcast.done(&["--nats", &url, "backup", "copy"]);
    bed.accept(&bus, &config_map("taken", &CLUSTERS, "two"))
        .await;
    bed.accept(&bus, &overridden("divided")).await;
    bed.accept(&bus, &config_map("undone", &CLUSTERS, "two"))
        .await;
    for name in ["taken", "divided", "undone"] {
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 2)
            .await;
    }

    // The hub is lost, and restored from what is older than its clusters.
    ingest.kill().await;
    aggregator.kill().await;
    for agent in agents {
        agent.kill().await;
    }
    bed.kill_server();
    std::fs::remove_dir_all(bed.directory.path().join("nats")).expect("gone");
    bed.start_server();
    let url = bed.connect.url.clone();
    let restored = fleetcast.done(&["--nats", &url, "restore", "copy"]);
    assert!(restored.out.contains("restore --ahead"), "{}", restored.out);
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));

    // It is listed, with what is held; nothing is overwritten.
    let ahead = || {
        let told = fleetcast.done(&["--nats", &url, "restore", "--ahead", "-o", "json"]);
        told.json_lines().remove(0)
    };
    eventually("all that is ahead is known", async || {
        let told = ahead();
        told["open"] == json!({})
            && told["objects"].as_array().is_some_and(|all| {
                all.len() == 3
                    && all
                        .iter()
                        .all(|one| one["clusters"].as_array().is_some_and(|all| all.len() == 2))
            })
    })
    .await;
    let listed = ahead();
    let listed: Vec<&str> = listed["objects"]
        .as_array()
        .expect("objects")
        .iter()
        .filter_map(|one| one["object"].as_str())
        .collect();
    assert_eq!(
        listed,
        [
            "ConfigMap/default/divided",
            "ConfigMap/default/taken",
            "ConfigMap/default/undone"
        ]
    );
    let told = fleetcast.run(&["--nats", &url, "get"]);
    assert!(told.out.contains("ahead"), "{}", told.out);
    for cluster in &clusters {
        assert_eq!(text(cluster, "taken").await, json!({"text": "two"}));
        assert_eq!(text(cluster, "undone").await, json!({"text": "two"}));
    }
    let unasked = fleetcast.run(&["--nats", &url, "restore", "--reapply"]);
    assert!(
        unasked.status == 1 && unasked.err.contains("nothing is changed"),
        "{unasked:?}"
    );

    // One way: the log says again what it said, and that is written.
    let undone = fleetcast.done(&[
        "--nats",
        &url,
        "restore",
        "--reapply",
        "--object",
        "configmap/default/undone",
        "--yes",
    ]);
    assert!(undone.out.contains("data.text"), "{}", undone.out);
    bed.settled(&bus, "ConfigMap/default/undone", 2).await;
    // The other: the log takes over what the clusters hold, for all alike and for one cluster alone.
    let taken = fleetcast.done(&["--nats", &url, "restore", "--take-members", "--yes"]);
    assert!(
        taken.out.contains("spec.template.data.text"),
        "{}",
        taken.out
    );
    for name in ["taken", "divided"] {
        let conditions = bed
            .settled(&bus, &format!("ConfigMap/default/{name}"), 2)
            .await;
        assert!(
            conditions.values().all(|one| one.word() == "applied"),
            "{name}: {conditions:?}"
        );
    }
    for cluster in &clusters {
        assert_eq!(text(cluster, "kept").await, json!({"text": "one"}));
        assert_eq!(text(cluster, "undone").await, json!({"text": "one"}));
        assert_eq!(text(cluster, "taken").await, json!({"text": "two"}));
    }
    assert_eq!(text(&clusters[0], "divided").await, json!({"text": "two"}));
    assert_eq!(
        text(&clusters[1], "divided").await,
        json!({"text": "two", "only": "here"})
    );
    eventually("nothing is ahead", async || ahead()["objects"] == json!([])).await;
    let verified = fleetcast.done(&["--nats", &url, "replay", "--verify", "-o", "json"]);
    assert_eq!(verified.status, 0);
}

/// Shows `restore DIR --reapply`: one command restores, waits for the services and the clusters' answers, and writes what the log says.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_reapplies_waits_for_the_answers_and_settles_in_one_go() {
    let Some(nats) =
        nats_server("a_restore_that_reapplies_waits_for_the_answers_and_settles_in_one_go")
    else {
        return;
    };
    let mut bed = Bed::new(nats);
    let cluster = Cluster::new("c1");
    let bus = bed.bus().await;
    let (ingest, aggregator, agent) = (bed.ingest("a"), bed.aggregator(), bed.agent(&cluster));
    bed.register(&bus, &["c1"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    for name in ["kept", "undone"] {
        bed.accept(&bus, &config_map(name, &["c1"], "one")).await;
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 1)
            .await;
    }
    fleetcast.done(&["--nats", &bed.connect.url, "backup", "copy"]);
    bed.accept(&bus, &config_map("undone", &["c1"], "two"))
        .await;
    bed.settled(&bus, "ConfigMap/default/undone", 2).await;
    let kept = held(&cluster, "v1", "ConfigMap", Some("default"), "kept").await;
    for service in [ingest, aggregator, agent] {
        service.kill().await;
    }
    bed.kill_server();
    std::fs::remove_dir_all(bed.directory.path().join("nats")).expect("gone");
    bed.start_server();

    // It restores, and then waits: nobody runs yet.
    let restoring = {
        let (fleetcast, url) = (fleetcast.clone(), bed.connect.url.clone());
        let restore =
            move || fleetcast.run(&["--nats", &url, "restore", "copy", "--reapply", "--yes"]);
        tokio::task::spawn_blocking(restore)
    };
    let bus = bed.bus().await;
    eventually("the log is restored", async || {
        let beginning = bus.beginning().await.ok().flatten();
        beginning.is_some_and(|beginning| beginning.epoch.number == 2)
    })
    .await;
    assert!(!restoring.is_finished(), "it waits for the clusters");
    let _services = (bed.ingest("a"), bed.aggregator(), bed.agent(&cluster));
    let restored = restoring.await.expect("it ends");
    assert_eq!(restored.status, 0, "{restored:?}");
    for part in [
        "epoch 2.",
        "configmap/default/undone",
        "data.text",
        "settled:",
    ] {
        assert!(restored.out.contains(part), "{part:?} in {}", restored.out);
    }
    bed.settled(&bus, "ConfigMap/default/undone", 2).await;
    assert_eq!(text(&cluster, "undone").await, json!({"text": "one"}));
    let kept_now = held(&cluster, "v1", "ConfigMap", Some("default"), "kept").await;
    assert_eq!(kept_now, kept, "no write to what is right");
}
