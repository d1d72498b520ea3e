//! A lost hub comes back from its backup, identical; a backup that is damaged restores nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use fleetcast_aggregator::answer::{Objects, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::range::Part;
use fleetcast_bus::server::{self, Server};
use fleetcast_bus::{Bus, streams};
use fleetcast_core::fold::Condition;
use fleetcast_schemas::request::Answer;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Output, config_map, eventually, nats_server};
use futures::StreamExt;
use serde_json::{Value, json};

const OBJECTS: usize = 200;
const CHANGES: usize = 1_000;
const CLUSTERS: [&str; 3] = ["c1", "c2", "c3"];

/// Everything that a cluster holds, by place, with its resource version; without what an agent writes for itself.
fn versions(cluster: &Cluster) -> BTreeMap<String, String> {
    let content = serde_json::to_value(cluster.export()).expect("it serializes");
    let mut versions = BTreeMap::new();
    gather(&content, &mut versions);
    versions
}

fn gather(value: &Value, versions: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            let metadata = value.get("metadata");
            let text = |name: &str| metadata?.get(name)?.as_str().map(str::to_owned);
            if let (Some(name), Some(version)) = (text("name"), text("resourceVersion")) {
                let namespace = text("namespace").unwrap_or_default();
                if namespace != "fleetcast-system" {
                    let kind = value["kind"].as_str().unwrap_or_default();
                    versions.insert(format!("{kind}/{namespace}/{name}"), version);
                }
            }
            members.values().for_each(|value| gather(value, versions));
        }
        Value::Array(elements) => elements.iter().for_each(|value| gather(value, versions)),
        _ => {}
    }
}

/// Waits until every row is as it should be for good.
async fn settled(bus: &Bus) {
    let open = async || {
        let answer: Result<Objects, _> =
            client::query(bus, "objects", None, &Request::default()).await;
        let Ok(answer) = answer else {
            return vec!["no answer".to_owned()];
        };
        let rows = answer.objects.iter().flat_map(|object| {
            let rows = object.rows.iter().map(|row| (&object.name, row));
            rows.filter(|(_, row)| row.condition != Condition::Applied)
        });
        let mut open: Vec<String> = rows.map(|(name, row)| format!("{name} {row:?}")).collect();
        if answer.objects.iter().any(|object| object.rows.is_empty()) {
            open.push("an object is nowhere".to_owned());
        }
        open
    };
    let begin = std::time::Instant::now();
    loop {
        let open = open().await;
        if open.is_empty() {
            return;
        }
        assert!(
            begin.elapsed().as_secs() < 120,
            "{} are open: {:?}",
            open.len(),
            open.first()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Every message of the log: sequence, subject, id, and digest of its payload.
async fn log(bus: &Bus, upto: u64) -> Vec<(u64, String, String, Vec<u8>)> {
    let part = Part {
        from: 1,
        upto: Some(upto),
        ..Part::default()
    };
    let range = bus.range(streams::LOG, part).await.expect("a log");
    let all = range.all().await.expect("it can be read").into_iter();
    all.map(|dated| {
        let message = dated.stored.message;
        let id = message.headers.get("ce-id").unwrap_or_default().to_owned();
        (dated.stored.sequence, message.subject, id, message.payload)
    })
    .collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_hub_comes_back_identical_and_the_old_one_is_refused() {
    let Some(nats) = nats_server("a_lost_hub_comes_back_identical_and_the_old_one_is_refused")
    else {
        return;
    };
    let mut bed = Bed::new(nats.clone());
    let clusters = CLUSTERS.map(Cluster::new);
    let bus = bed.bus().await;
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &CLUSTERS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.clone();

    // 1,000 changes of 200 objects in 3 clusters, while a backup follows.
    let following = fleetcast.start(
        "backup",
        &[
            "--nats", &url, "backup", "copy", "--follow", "--every", "200ms",
        ],
    );
    futures::stream::iter(0..OBJECTS)
        .for_each_concurrent(16, |index| {
            let (bed, bus) = (&bed, &bus);
            async move {
                for round in 0..CHANGES / OBJECTS {
                    let text = format!("{round} of {index}");
                    let mut document = config_map(&format!("o{index}"), &CLUSTERS, &text);
                    if index == 0 && round > 2 {
                        // Over the message limit: a body of its own.
                        document["spec"]["template"]["data"]["large"] =
                            json!(noise(u64::try_from(round).expect("small")));
                    }
                    let answer = bed.apply(bus, &document).await;
                    assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
                }
            }
        })
        .await;
    settled(&bus).await;
    drop(following);
    let taken = fleetcast
        .done(&["--nats", &url, "backup", "copy", "-o", "json"])
        .json();
    let end = bus.last_sequence(streams::LOG).await.expect("a log");
    assert_eq!(taken["log"], end);
    let again = fleetcast.done(&["--nats", &url, "backup", "copy"]);
    assert!(again.out.contains("nothing is new"), "{}", again.out);
    let before = fleetcast
        .done(&["--nats", &url, "replay", "--verify", "-o", "json"])
        .json();
    assert_eq!(before["view"]["rows"], 3 * OBJECTS);
    let logged = log(&bus, end).await;
    let held = clusters.each_ref().map(versions);
    assert!(held[0].len() >= OBJECTS, "{}", held[0].len());

    // kill -9 of everything, and the store is gone; a copy of it is kept for the hub that will come back from the dead.
    ingest.kill().await;
    aggregator.kill().await;
    for agent in agents {
        agent.kill().await;
    }
    bed.kill_server();
    let store = bed.directory.path().join("nats");
    let zombie = bed.directory.path().join("zombie");
    copy(&store, &zombie);
    std::fs::remove_dir_all(&store).expect("gone");

    // A new server, the backup into it, and everything starts.
    bed.start_server();
    let url = bed.connect.url.clone();
    let restored = fleetcast
        .done(&["--nats", &url, "restore", "copy", "-o", "json"])
        .json();
    assert_eq!(restored["log"], end + 1);
    let bus = bed.bus().await;
    assert_eq!(log(&bus, end).await, logged);
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    settled(&bus).await;
    let after = fleetcast
        .done(&["--nats", &url, "replay", "--verify", "-o", "json"])
        .json();
    assert_eq!(after["view"]["digest"], before["view"]["digest"]);
    assert_eq!(after["work"]["digest"], before["work"]["digest"]);
    for (cluster, held) in clusters.iter().zip(&held) {
        assert_eq!(versions(cluster), *held, "no write in {}", cluster.name());
    }
    // What was true then is still told, under the same sequences.
    let then = fleetcast.done(&[
        "--nats",
        &url,
        "get",
        "configmap/default/o7",
        "--at",
        &end.to_string(),
        "-o",
        "json",
    ]);
    assert_eq!(then.json()["objects"][0]["counts"]["applied"], 3);

    // New changes flow.
    bed.accept(&bus, &config_map("o1", &CLUSTERS, "after"))
        .await;
    bed.settled(&bus, "ConfigMap/default/o1", 6).await;
    let held = clusters.each_ref().map(versions);

    // The old hub comes back on the old store: its work is refused, and that is said.
    let old = Server::start(&server::Options {
        binary: Some(nats),
        configuration: bed.configuration(&zombie),
        directory: zombie,
        port: 0,
        tls: None,
    })
    .expect("the old server starts");
    let old_url = old.url();
    let _old_ingest = fleetcast.start(
        "old-ingest",
        &["--nats", &old_url, "ingest", "--state", "old"],
    );
    let http = clusters[0]
        .serve_http(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("served");
    std::fs::write(folder.path().join("c1.kubeconfig"), http.kubeconfig()).expect("written");
    // Its agent takes over from the other one.
    let [first, ..] = _agents;
    first.stop().await;
    let _old_agent = fleetcast.agent("old-agent", &old_url, "c1");
    let told = || std::fs::read_to_string(folder.path().join("old-agent.log")).unwrap_or_default();
    eventually("the old hub is refused", async || {
        told().contains("is refused: this cluster follows")
    })
    .await;
    let held_now = versions(&clusters[0]);
    assert_eq!(held_now, held[0], "the old hub writes nothing");
    http.stop();
}

/// A megabyte that does not compress below the message limit, and that an API server still takes.
fn noise(seed: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed;
    let draw = std::iter::repeat_with(|| {
        // Knuth's MMIX constants.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[usize::try_from(state >> 58).expect("6 bits")])
    });
    draw.take(1_040_000).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_named_and_nothing_is_restored() {
    let Some(nats) = nats_server("a_damaged_backup_is_named_and_nothing_is_restored") else {
        return;
    };
    let bed = Bed::new(nats.clone());
    let bus = bed.bus().await;
    let ingest = bed.ingest("a");
    bed.register(&bus, &["c1"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.clone();
    // Three runs, three segments.
    for round in 0..3 {
        bed.accept(&bus, &config_map(&format!("o{round}"), &["c1"], "one"))
            .await;
        let taken = fleetcast
            .done(&["--nats", &url, "backup", "copy", "-o", "json"])
            .json();
        assert_eq!(taken["segments"], 1, "{taken}");
    }
    ingest.stop().await;
    fleetcast.done(&["--nats", &url, "backup", "copy"]);
    let whole = fleetcast.done(&["restore", "copy", "--check"]);
    assert!(whole.out.contains("the backup is whole"), "{}", whole.out);
    let full = fleetcast.run(&["--nats", &url, "restore", "copy"]);
    assert!(
        full.status == 1 && full.err.contains("the bus is not empty"),
        "{full:?}"
    );

    // A backup of another log does not go into the same folder.
    let empty = Bed::new(nats);
    let empty_bus = empty.bus().await;
    let other = Bed::new(nats_server("the same").expect("it was there"));
    let other_bus = other.bus().await;
    let _other = other.ingest("a");
    other.register(&other_bus, &["c1"]).await;
    let there = other.binary(folder.path());
    let foreign = there.run(&["--nats", &other.connect.url, "backup", "copy"]);
    assert!(
        foreign.status == 1 && foreign.err.contains("another log"),
        "{foreign:?}"
    );

    let copy_of = |name: &str| {
        let to = folder.path().join(name);
        let _ = std::fs::remove_dir_all(&to);
        copy(&folder.path().join("copy"), &to);
        to
    };
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).expect("read");
        bytes[at] ^= 1;
        std::fs::write(path, bytes).expect("written");
    };
    let there = empty.binary(folder.path());
    let restore =
        |what: &str| -> Output { there.run(&["--nats", &empty.connect.url, "restore", what]) };
    for (name, file, damage) in [
        ("flipped-first", "000001.fcb", 0),
        ("flipped-middle", "000002.fcb", 1),
        ("truncated", "000002.fcb", 2),
        ("missing", "000002.fcb", 3),
        ("missing-last", "000003.fcb", 3),
        ("flipped-head", "backup.json", 4),
        ("no-head", "backup.json", 3),
    ] {
        let directory = copy_of(name);
        let path = directory.join(file);
        let length = std::fs::metadata(&path).map_or(0, |data| data.len());
        let length = usize::try_from(length).expect("small");
        match damage {
            0 => flip(&path, length - 1),
            1 => flip(&path, length / 2),
            2 => {
                let bytes = std::fs::read(&path).expect("read");
                std::fs::write(&path, &bytes[..length - 7]).expect("written");
            }
            3 => std::fs::remove_file(&path).expect("gone"),
            _ => {
                let text = std::fs::read_to_string(&path).expect("read");
                std::fs::write(&path, text.replacen("\"log\": ", "\"log\": 1", 1))
                    .expect("written");
            }
        }
        let refused = restore(name);
        assert_eq!(refused.status, 1, "{name}: {refused:?}");
        assert!(refused.err.contains(file), "{name}: {refused:?}");
        assert!(
            empty_bus.last_sequence(streams::LOG).await.is_err(),
            "{name}: nothing is there"
        );
    }
    // The whole one goes into the same bus, once.
    let restored = restore("copy");
    assert!(
        restored.status == 0 && restored.out.contains("epoch 2."),
        "{restored:?}"
    );
    let again = restore("copy");
    assert_eq!(again.status, 1, "{again:?}");
    // And the backup goes on from the restored log, in the same folder.
    let on = there
        .done(&["--nats", &empty.connect.url, "backup", "copy", "-o", "json"])
        .json();
    assert_eq!(
        (&on["records"], &on["segments"]),
        (&json!(1), &json!(1)),
        "the new epoch: {on}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_from_one_backup_differ_and_an_agent_stays_with_the_first() {
    let Some(nats) =
        nats_server("two_hubs_from_one_backup_differ_and_an_agent_stays_with_the_first")
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::new("c1");
    {
        let lost = Bed::new(nats.clone());
        let bus = lost.bus().await;
        let (_ingest, _aggregator) = (lost.ingest("a"), lost.aggregator());
        let _agent = lost.agent(&cluster);
        lost.register(&bus, &["c1"]).await;
        lost.accept(&bus, &config_map("web", &["c1"], "one")).await;
        lost.settled(&bus, "ConfigMap/default/web", 1).await;
        let fleetcast = lost.binary(folder.path());
        fleetcast.done(&["--nats", &lost.connect.url, "backup", "copy"]);
    }
    let hubs = [Bed::new(nats.clone()), Bed::new(nats)];
    let restored = hubs.each_ref().map(|hub| {
        let restore = ["--nats", &hub.connect.url, "restore", "copy", "-o", "json"];
        let restored = hub.binary(folder.path()).done(&restore);
        restored.json()["epoch"]
            .as_str()
            .expect("an epoch")
            .to_owned()
    });
    assert!(restored.iter().all(|epoch| epoch.starts_with("2.")));
    assert_ne!(restored[0], restored[1]);

    // The first that it meets.
    let bus = hubs[0].bus().await;
    let _services = (hubs[0].ingest("a"), hubs[0].aggregator());
    let agent = hubs[0].agent(&cluster);
    hubs[0]
        .accept(&bus, &config_map("web", &["c1"], "two"))
        .await;
    hubs[0].settled(&bus, "ConfigMap/default/web", 2).await;
    agent.stop().await;
    let held = versions(&cluster);

    // The other one decides otherwise, and is refused.
    let other = hubs[1].bus().await;
    let other_url = hubs[1].connect.url.clone();
    let fleetcast = hubs[1].binary(folder.path());
    let ingest = [
        "--nats",
        &other_url,
        "ingest",
        "--state",
        "b",
        "--identity",
        "b",
    ];
    let others = fleetcast.start("other-ingest", &ingest);
    let _aggregator = hubs[1].aggregator();
    hubs[1]
        .accept(&other, &config_map("web", &["c1"], "three"))
        .await;
    let http = cluster
        .serve_http(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("served");
    std::fs::write(folder.path().join("c1.kubeconfig"), http.kubeconfig()).expect("written");
    let _agent = fleetcast.agent("agent", &hubs[1].connect.url, "c1");
    let told = || std::fs::read_to_string(folder.path().join("agent.log")).unwrap_or_default();
    let refused = format!(
        "work of epoch {} is refused: this cluster follows {}",
        restored[1], restored[0]
    );
    eventually("the other hub is refused", async || {
        told().contains(&refused)
    })
    .await;
    assert_eq!(versions(&cluster), held);
    // Its own operator is told, too.
    let told =
        || std::fs::read_to_string(folder.path().join("other-ingest.log")).unwrap_or_default();
    eventually("the other hub says that it is refused", async || {
        told().contains("follows another hub")
    })
    .await;

    // Until it is told otherwise: the other hub begins an epoch above all that its clusters follow.
    let promote = || fleetcast.run(&["--nats", &other_url, "promote", "-o", "json"]);
    let early = promote();
    assert!(
        early.status == 1 && early.err.contains("stop it first"),
        "{early:?}"
    );
    drop(others);
    let mut promoted = promote();
    eventually("the lease has ended", async || {
        promoted = match promoted.status {
            0 => return true,
            _ => promote(),
        };
        false
    })
    .await;
    let promoted = promoted.json();
    let epoch = promoted["epoch"].as_str().expect("an epoch");
    assert!(epoch.starts_with("3."), "{promoted}");
    let _others = fleetcast.start("other-ingest", &ingest);
    let ahead = || {
        let told = fleetcast.run(&["--nats", &other_url, "restore", "--ahead", "-o", "json"]);
        told.out.contains("ConfigMap/default/web")
    };
    eventually("what it holds of the first hub is ahead", async || ahead()).await;
    fleetcast.done(&["--nats", &other_url, "restore", "--reapply", "--yes"]);
    eventually("it follows the other hub", async || {
        let summary = hubs[1].summary(&other, "ConfigMap/default/web").await;
        summary.is_some_and(|summary| summary.counts.applied == 1)
    })
    .await;
    let copy = held_now(&cluster).await;
    assert_eq!(copy["data"]["text"], "three");
    http.stop();
}

async fn held_now(cluster: &Cluster) -> Value {
    let copy = fleetcast_tests::harness::held(cluster, "v1", "ConfigMap", Some("default"), "web");
    copy.await.expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_on_a_log_whose_restore_was_killed_and_the_next_one_begins_anew() {
    let Some(nats) = nats_server(
        "nothing_begins_on_a_log_whose_restore_was_killed_and_the_next_one_begins_anew",
    ) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let lost = Bed::new(nats.clone());
    let bus = lost.bus().await;
    let _ingest = lost.ingest("a");
    lost.register(&bus, &["c1"]).await;
    lost.accept(&bus, &config_map("web", &["c1"], "one")).await;
    let fleetcast = lost.binary(folder.path());
    fleetcast.done(&["--nats", &lost.connect.url, "backup", "copy"]);

    // What a restore that was killed after its first messages leaves: a marked log.
    let bed = Bed::new(nats);
    let fleetcast = bed.binary(folder.path());
    let jetstream = async_nats::jetstream::new(bed.raw().await);
    jetstream
        .create_stream(async_nats::jetstream::stream::Config {
            name: streams::LOG.to_owned(),
            subjects: vec!["fc.log.>".to_owned()],
            allow_direct: true,
            metadata: [("fleetcast-restoring".to_owned(), "yes".to_owned())].into(),
            ..Default::default()
        })
        .await
        .expect("made");
    let half = jetstream.publish("fc.log.epoch", "half".into()).await;
    half.expect("sent").await.expect("stored");
    let waiting = fleetcast.start(
        "ingest",
        &["--nats", &bed.connect.url, "ingest", "--state", "waiting"],
    );
    let told = || std::fs::read_to_string(folder.path().join("ingest.log")).unwrap_or_default();
    eventually("ingest waits", async || {
        told().contains("the log is being restored")
    })
    .await;

    let restored = fleetcast
        .done(&["--nats", &bed.connect.url, "restore", "copy", "-o", "json"])
        .json();
    let bus = bed.bus().await;
    let _aggregator = bed.aggregator();
    // The one that waited begins on the restored log.
    bed.accept(&bus, &config_map("web", &["c1"], "two")).await;
    eventually("the change is known", async || {
        let summary = bed.summary(&bus, "ConfigMap/default/web").await;
        summary.is_some_and(|summary| summary.revision == 2)
    })
    .await;
    assert!(
        bus.last_sequence(streams::LOG).await.expect("a log")
            > restored["log"].as_u64().expect("a place")
    );
    drop(waiting);
}
