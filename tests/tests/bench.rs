//! `fleetcast bench`: each workload in small, through real processes; the figures have the documented form.

use fleetcast_bus::Credentials;
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_schemas::role::Role;
use fleetcast_tests::harness::{Bed, Binary, nats_server};
use serde_json::Value;

fn bench(test: &str, args: &[&str]) -> Option<Value> {
    let server = nats_server(test)?;
    let directory = tempfile::tempdir().expect("a folder");
    let binary = Binary::new(directory.path(), server);
    let files = directory.path().join("run");
    let files = files.to_str().expect("a path in UTF-8");
    let all = [&["bench"], args, &["-o", "json", "--dir", files]].concat();
    let figures = binary.done(&all).json();
    assert!(!directory.path().join("run").exists(), "it cleans up");
    Some(figures)
}

fn has(figures: &Value, pointers: &[&str]) {
    for pointer in pointers {
        assert!(
            figures.pointer(pointer).is_some_and(Value::is_number),
            "{pointer} in {figures:#}"
        );
    }
}

#[test]
fn fanout_acknowledges_everything_created_and_updated() {
    let arguments = [
        "fanout",
        "--clusters",
        "6",
        "--placements",
        "4",
        "--per-placement",
        "3",
    ];
    let Some(figures) = bench(
        "fanout_acknowledges_everything_created_and_updated",
        &arguments,
    ) else {
        return;
    };
    assert_eq!(figures["members"], "simulated");
    for phase in [&figures, &figures["update"]] {
        assert_eq!(
            phase["acknowledged"],
            4 * 3 * 3,
            "placements, objects, clusters"
        );
        has(
            phase,
            &[
                "/elapsed_s",
                "/rate_per_s",
                "/latency_ms/p50",
                "/latency_ms/p90",
                "/latency_ms/p99",
                "/latency_ms/max",
                "/hops_ms/change_to_decision/p50",
                "/hops_ms/decision_to_work/p50",
                "/hops_ms/work_to_applied/p50",
                "/hops_ms/applied_to_acknowledged/p50",
            ],
        );
    }
    has(
        &figures,
        &[
            "/limits/publish_per_s",
            "/limits/publish_in_batches_per_s",
            "/limits/read_per_s",
            "/limits/simulated_apply_per_s",
            "/share_of_limit/simulated_apply",
            "/cpu_s/ingest",
            "/cpu_s/nats",
            "/peak_rss_mib/aggregator",
            "/disk_mib",
        ],
    );
}

#[test]
fn a_restart_asks_members_for_no_more_than_the_new_change() {
    let arguments = ["restart", "--clusters", "3", "--objects", "5"];
    let Some(figures) = bench(
        "a_restart_asks_members_for_no_more_than_the_new_change",
        &arguments,
    ) else {
        return;
    };
    for process in ["ingest", "aggregator", "agent", "nats"] {
        let of = &figures[process];
        has(of, &["/new_change_everywhere_ms", "/view_up_to_date_ms"]);
        assert_eq!(
            of["requests_to_members"]["apply"], 4,
            "one for each cluster, that of the killed agent included: {figures:#}"
        );
    }
}

#[test]
fn the_other_workloads_come_to_their_end() {
    let test = "the_other_workloads_come_to_their_end";
    let Some(latency) = bench(test, &["latency", "--changes", "5"]) else {
        return;
    };
    assert_eq!(latency["latency_ms"]["count"], 5);
    has(&latency, &["/times_direct/at_p50", "/times_direct/at_p99"]);
    let status = bench(test, &["status", "--clusters", "3", "--objects", "10"]).expect("a server");
    assert_eq!(status["rows"], 30);
    let apply = bench(test, &["apply", "--objects", "10"]).expect("a server");
    has(
        &apply,
        &[
            "/create/ratio",
            "/update/ratio",
            "/create/hub_cpu_s_per_object",
        ],
    );
    let agent = bench(test, &["agent", "--objects", "5,10"]).expect("a server");
    has(
        &agent,
        &["/steps/1/agent_rss_mib", "/steps/1/agent_idle_cpu_percent"],
    );
    let burst = bench(test, &["burst", "--seconds", "1", "--fast-seconds", "1"]).expect("a server");
    assert_eq!(burst["rounds"][3]["objects"], 1_000);
    let agents = bench(test, &["agents", "--clusters", "4", "--changes", "2"]).expect("a server");
    assert_eq!(agents["to_all"]["count"], 2);
}

#[test]
fn a_cluster_that_was_away_gets_all_and_the_view_learns_every_status() {
    let test = "a_cluster_that_was_away_gets_all_and_the_view_learns_every_status";
    let Some(away) = bench(test, &["away", "--seconds", "2", "--changes", "5"]) else {
        return;
    };
    for line in ["away_from_the_bus", "away_api_server"] {
        has(&away[line], &["/all_there_after_ms"]);
    }
    let health = bench(test, &["health", "--objects", "5"]).expect("a server");
    assert_eq!(health["statuses"], 15);
    has(&health, &["/view_right_after_the_last_ms"]);
}

/// Shows that a bus that is there is measured with TLS and credentials as any command speaks to it, and left as it was.
#[test]
fn a_bus_that_asks_for_tls_and_credentials_is_measured_and_left_empty() {
    let test = "a_bus_that_asks_for_tls_and_credentials_is_measured_and_left_empty";
    let Some(server) = nats_server(test) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(folder.path(), server.clone());
    fleetcast.done(&["tls", "init", "--dir", "."]);
    fleetcast.done(&["tls", "issue", "nats", "--host", "127.0.0.1", "--dir", "."]);
    let at = |name: &str| folder.path().join(name);
    let of_server = ServerTls {
        cert: at("nats.crt"),
        key: at("nats.key"),
        client_ca: None,
    };
    let of_clients = Tls {
        ca: Some(at("ca.crt")),
        ..Tls::default()
    };
    let bed = Bed::with_tls(server, of_server, of_clients);
    let Credentials::File(creds) = bed.credentials(Role::Operator, "bench") else {
        panic!("the bed has an operator");
    };
    let creds = creds.display().to_string();
    let url = ["--nats", &bed.connect.url, "--tls-ca", "ca.crt"];
    let who = ["--creds", &creds, "-o", "json", "--dir", "run"];
    // What is left behind by one would be refused by the next.
    for workload in [
        &["latency", "--changes", "2", "--clusters", "2"][..],
        &[
            "away",
            "--seconds",
            "1",
            "--changes",
            "2",
            "--clusters",
            "2",
        ],
        &["status", "--clusters", "2", "--objects", "3"],
    ] {
        let all = [&["bench"], workload, &url, &who].concat();
        let figures = fleetcast.done(&all).json();
        assert_eq!(figures["bench"], workload[0], "{figures:#}");
    }
    let latency = ["bench", "latency", "--changes", "2", "--dir", "run"];
    let nobody = fleetcast.run(&[&latency[..], &url].concat());
    assert_ne!(nobody.status, 0, "nobody is let in without: {nobody:?}");
    let replay = ["bench", "replay", "--events", "300", "--dir", "run"];
    let refused = fleetcast.run(&[&replay[..], &url, &who[..2]].concat());
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(refused.err.contains("leave --nats away"), "{refused:?}");
}

#[test]
fn growth_draws_a_curve_for_each_thing_that_grows() {
    let test = "growth_draws_a_curve_for_each_thing_that_grows";
    let svg = tempfile::tempdir().expect("a folder");
    let folder = svg.path().to_str().expect("a path in UTF-8");
    let arguments = [
        "growth",
        "--clusters",
        "10",
        "--placements",
        "2,4",
        "--rounds",
        "1",
        "--svg",
        folder,
    ];
    let Some(figures) = bench(test, &arguments) else {
        return;
    };
    for (name, points) in [
        ("clusters", 1),
        ("objects", 2),
        ("changes", 1),
        ("restart", 1),
    ] {
        let found = figures[name]["points"].as_array().expect("a list");
        assert_eq!(found.len(), points, "{figures:#}");
        assert!(svg.path().join(format!("{name}.svg")).exists());
    }
}

/// The guard against getting slow: a share of what the parts alone do in the same run and build, with a wide margin (a debug build alone on
/// two cores shows about ten times as much).
#[test]
fn fanout_keeps_its_share_of_what_the_parts_can_do() {
    let test = "fanout_keeps_its_share_of_what_the_parts_can_do";
    let arguments = [
        "fanout",
        "--clusters",
        "20",
        "--placements",
        "40",
        "--per-placement",
        "10",
    ];
    let Some(figures) = bench(test, &arguments) else {
        return;
    };
    for (limit, least) in [("publish_in_batches", 0.003), ("simulated_apply", 0.014)] {
        let share = figures["share_of_limit"][limit].as_f64().expect("a number");
        assert!(share >= least, "{limit}: {share} of {figures:#}");
    }
}

#[test]
fn replay_tells_what_folding_starting_asking_and_restoring_cost() {
    let arguments = [
        "replay",
        "--events",
        "3000",
        "--objects",
        "50",
        "--clusters",
        "20",
    ];
    let Some(figures) = bench(
        "replay_tells_what_folding_starting_asking_and_restoring_cost",
        &arguments,
    ) else {
        return;
    };
    assert_eq!(figures["members"], "none");
    assert_eq!(figures["object_clusters"], 50 * 10);
    has(
        &figures,
        &[
            "/fold/read_alone_per_s",
            "/fold/folded_per_s",
            "/fold/share",
            "/start/took_ms",
            "/get_at/first_ms",
            "/get_at/then_ms/p99",
            "/backup/per_s",
            "/restore/per_s",
            "/restore/stored_per_s",
            "/retain/base_mib",
            "/retain/start_from_base_s",
            "/fold/cpu_share",
            "/limits/publish_in_batches_per_s",
            "/disk_mib_per_s",
            "/per_million_changes_mib/log",
            "/per_million_changes_mib/backup",
        ],
    );
}
