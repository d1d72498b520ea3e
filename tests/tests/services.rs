//! Each service alone, as a process of its own, against a NATS server that somebody else runs; clusters behind kubeconfigs.

use std::time::{Duration, Instant};

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Binary, config_map, held, nats_server};

/// Waits until a file of the folder holds `text`.
fn wait_for(binary: &Binary, file: &str, text: &str) -> String {
    let begin = Instant::now();
    loop {
        let found = std::fs::read_to_string(binary.directory.join(file)).unwrap_or_default();
        if found.contains(text) {
            return found;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(40),
            "{text:?} does not come in {file}:\n{found}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_runs_alone_and_clusters_are_reached_by_kubeconfig() {
    let Some(server) =
        nats_server("each_service_runs_alone_and_clusters_are_reached_by_kubeconfig")
    else {
        return;
    };
    let bed = Bed::new(server);
    let url = bed.connect.url.clone();
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().to_owned();
    let cluster = Cluster::new("c1");
    let http = cluster
        .serve_http(([127, 0, 0, 1], 0).into())
        .expect("it listens");
    std::fs::write(path.join("c1.kubeconfig"), http.kubeconfig()).expect("written");
    std::fs::write(
        path.join("web.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n",
    )
    .expect("written");

    let fleetcast = tokio::task::block_in_place(|| bed.binary(&path));
    // The commands block: they have a thread of their own, the cluster's server has the runtime.
    tokio::task::spawn_blocking(move || {
        let with = |args: &[&'static str]| -> Vec<String> {
            let nats = ["--nats".to_owned(), url.clone()];
            args.iter().map(ToString::to_string).chain(nats).collect()
        };
        let start = |name: &str, all: Vec<String>| {
            fleetcast.start(name, &all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let done =
            |all: Vec<String>| fleetcast.done(&all.iter().map(String::as_str).collect::<Vec<_>>());

        // In any order: they wait for each other.
        let _agent = start(
            "agent",
            with(&["agent", "--cluster", "c1", "--kubeconfig", "c1.kubeconfig"]),
        );
        let _aggregator = start("aggregator", with(&["aggregator"]));
        let _ingest = start("ingest", with(&["ingest"]));
        wait_for(&fleetcast, "ingest.log", "leading");
        done(with(&[
            "cluster",
            "register",
            "c1",
            "--labels",
            "tier=prod",
            "--region",
            "eu",
        ]));
        let _watch = start("watch", with(&["watch", "-o", "json"]));
        std::thread::sleep(Duration::from_millis(500));
        let applied = done(with(&[
            "apply",
            "-f",
            "web.yaml",
            "--clusters",
            "c1",
            "--wait",
        ]))
        .out;
        assert!(
            applied.contains("configmap/default/web accepted as revision 1"),
            "{applied}"
        );
        let watched = wait_for(&fleetcast, "watch.log", "\"outcome\":\"applied\"");
        assert!(
            watched.contains("\"type\":\"change\"") && watched.contains("\"type\":\"decision\""),
            "{watched}"
        );
        let listed = done(with(&["cluster", "list", "-o", "json"])).json();
        assert_eq!(listed["clusters"][0]["region"], "eu", "{listed}");

        done(with(&["cluster", "cordon", "c1"]));
        std::fs::write(
            path.join("next.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: next}\n",
        )
        .expect("written");
        let cordoned = done(with(&["apply", "-f", "next.yaml", "--clusters", "c1"])).out;
        assert!(cordoned.contains("not on c1 Cordoned"), "{cordoned}");
        done(with(&["cluster", "uncordon", "c1"]));
        done(with(&[
            "delete",
            "configmap/default/web",
            "--orphan",
            "--wait",
        ]));
    })
    .await
    .expect("the commands end well");

    let kept = held(&cluster, "v1", "ConfigMap", Some("default"), "web")
        .await
        .expect("an orphan stays");
    assert_eq!(
        kept["metadata"]["labels"]["fleetcast.dev/managed"],
        serde_json::Value::Null,
        "without our marks: {kept}"
    );
    assert!(
        held(&cluster, "v1", "ConfigMap", Some("default"), "next")
            .await
            .is_some(),
        "uncordoned: it is placed"
    );
}

/// The one test on servers that ask nobody who he is: such a bus works, too, from `up` without `--auth` and without credentials anywhere. All others have them.
#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_asks_for_no_credentials_needs_none() {
    let Some(server) = nats_server("a_bus_that_asks_for_no_credentials_needs_none") else {
        return;
    };
    let bed = Bed::open(server);
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let cluster = Cluster::new("c1");
    let _agent = bed.agent(&cluster);
    bed.register(&bus, &["c1"]).await;
    bed.accept(&bus, &config_map("web", &["c1"], "text")).await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    let url = bed.connect.url.as_str();
    let fleetcast = tokio::task::block_in_place(|| bed.binary(bed.directory.path()));
    let got = tokio::task::block_in_place(|| fleetcast.done(&["get", "--nats", url]));
    assert!(got.out.contains("configmap/default/web"), "{got:?}");
}
