//! What processes tell of themselves: ready or not, and metrics, which are those that the documentation lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fleetcast_bus::streams::PLACER;
use fleetcast_endpoint::Health;
use fleetcast_endpoint::health::LAG;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Http, config_map, door_within, eventually, nats_server, telling, token_file,
};
use serde_json::{Value, json};

const TOKEN: &str = "the token of somebody who looks";

/// A process that tells of itself, and where.
fn tells(labels: &[(&'static str, String)]) -> (Health, Http) {
    let health = Health::new(LAG, labels);
    let http = telling(&health);
    (health, http)
}

async fn ready(http: &Http) -> (u16, Value) {
    http.call("GET", "/readyz").await
}

async fn is_ready(http: &Http, part: &str) {
    eventually(&format!("ready, {part}"), async || {
        let (status, told) = ready(http).await;
        status == 200 && told["part"] == part
    })
    .await;
}

/// One row of the table: what it is, which labels it has, who exports it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    who: BTreeSet<String>,
}

/// The metrics that `docs/operating.md` lists.
fn documented() -> BTreeMap<String, Metric> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `fleetcast_"));
    let words = |cell: &str| -> BTreeSet<String> {
        cell.split(',')
            .map(|word| word.trim().trim_matches('`').to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, who, meaning] = cells[..] else {
            panic!("five cells: {row}");
        };
        assert!(!meaning.is_empty(), "{row}");
        let metric = Metric {
            kind: kind.to_owned(),
            labels: words(labels),
            who: words(who),
        };
        (name.trim_matches('`').to_owned(), metric)
    })
    .collect()
}

/// What a scrape holds: by the name under which Prometheus stores it, its kind and labels.
fn exported(text: &str, who: &str, all: &mut BTreeMap<String, Metric>) {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut kinds = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let words: Vec<&str> = line.split(' ').collect();
        kinds.insert(words[2], words[3]);
    }
    for (family, kind) in kinds {
        let name = match kind {
            "counter" => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.to_owned(),
        };
        let metric = all.entry(name.clone()).or_default();
        metric.kind = kind.to_owned();
        metric.who.insert(who.to_owned());
        let sample = match kind {
            "histogram" => format!("{family}_count"),
            _ => name,
        };
        let samples = text.lines().filter(|line| {
            line.strip_prefix(sample.as_str())
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        for line in samples {
            let labels = line
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            for label in labels.map_or("", |(labels, _)| labels).split("\",") {
                if let Some((label, _)) = label.split_once('=') {
                    metric.labels.insert(label.to_owned());
                }
            }
        }
    }
}

/// The value of one sample.
fn value(text: &str, sample: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is not in\n{text}"))
        .parse()
        .expect("a number")
}

/// Shows that a running fleet exports what the documentation lists, no more and no less, under one scheme; that it counts what happened; and that nothing in it
/// grows with objects.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_exports_what_the_documentation_lists() {
    let Some(server) = nats_server("a_fleet_exports_what_the_documentation_lists") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let (ingest, ingest_http) = tells(&[]);
    let (view, view_http) = tells(&[]);
    let (agent, agent_http) = tells(&[("cluster", "eu".to_owned())]);
    let tokens = token_file(bed.directory.path(), &[("eye", "reader", TOKEN)]);
    let door = |health: &Health| {
        door_within(
            &tokens,
            fleetcast_endpoint::listen::Limits::default(),
            1_000,
            health,
        )
    };
    let (ingest_door, view_door) = (door(&ingest), door(&view));
    let doors = [ingest_door.address(), view_door.address()];
    let _ingest = bed.ingest_listening_telling("a", ingest_door, &ingest);
    let _view = bed.aggregator_telling("view", Some(view_door), &view);
    let _agent = bed.agent_telling(&Cluster::new("eu"), "a", &agent);
    bed.register(&bus, &["eu"]).await;
    for name in ["web-of-one", "web-of-two"] {
        bed.accept(&bus, &config_map(name, &["eu"], "x")).await;
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 1)
            .await;
    }
    for address in doors {
        let http = Http {
            address,
            token: Some(TOKEN.to_owned()),
        };
        assert_eq!(http.call("GET", "/v1/objects").await.0, 200);
        assert!(http.text("/metrics").await.contains("fleetcast_ready"));
    }
    let scraped = async || {
        [
            ("ingest", ingest_http.text("/metrics").await),
            ("aggregator", view_http.text("/metrics").await),
            ("agent", agent_http.text("/metrics").await),
        ]
    };
    // Positions are told every few seconds; confirmations are sent behind the answers.
    eventually("all is told", async || {
        let [(_, ingest), (_, view), (_, agent)] = scraped().await;
        value(&ingest, "fleetcast_ingest_fold_position") > 4.0
            && value(&ingest, "fleetcast_ingest_heartbeats_total") > 0.0
            && value(&ingest, "fleetcast_ingest_clusters{readiness=\"ready\"}") == 1.0
            && value(&view, "fleetcast_aggregator_fold_position") > 4.0
            && view.contains("fleetcast_aggregator_ack_lag_messages{partition=\"p00\"} 0")
            && value(&view, "fleetcast_aggregator_heartbeats_total") > 0.0
            && value(&view, "fleetcast_lag_messages") == 0.0
            && value(&agent, "fleetcast_agent_heartbeats_total{cluster=\"eu\"}") > 0.0
            && value(&agent, "fleetcast_agent_work_position{cluster=\"eu\"}") >= 2.0
            && value(&agent, "fleetcast_lag_messages{cluster=\"eu\"}") == 0.0
    })
    .await;
    let scraped = scraped().await;
    let mut found = BTreeMap::new();
    for (who, text) in &scraped {
        exported(text, who, &mut found);
        assert!(
            !text.contains("web-of"),
            "no metric is of an object\n{text}"
        );
        assert!(value(text, &own(who, "fleetcast_ready")) == 1.0, "{text}");
        assert!(
            value(text, &own(who, "fleetcast_bus_connected")) == 1.0,
            "{text}"
        );
    }
    for (name, metric) in &mut found {
        if metric.who.contains("agent") {
            // Its one process has one cluster, so its label stands beside each.
            assert!(metric.labels.remove("cluster"), "{name}");
        }
        assert!(metric.labels.len() <= 1, "{name}: {metric:?}");
        let service = name.split('_').nth(1).expect("a second word");
        if ["ingest", "aggregator", "agent"].contains(&service) {
            let only = BTreeSet::from([service.to_owned()]);
            assert_eq!(metric.who, only, "{name}");
        }
    }
    let documented = documented();
    assert!(documented.len() > 25, "the table is read");
    for name in documented.keys().chain(found.keys()) {
        assert_eq!(
            found.get(name),
            documented.get(name),
            "{name}: what is exported, and what docs/operating.md says"
        );
    }
    let [(_, ingest), (_, view), (_, agent)] = &scraped;
    for (text, sample, least) in [
        (
            ingest,
            "fleetcast_ingest_submissions_total{outcome=\"accepted\"}",
            2.0,
        ),
        (
            ingest,
            "fleetcast_ingest_events_total{event=\"decision\"}",
            2.0,
        ),
        (ingest, "fleetcast_ingest_work_total", 2.0),
        (ingest, "fleetcast_ingest_syncs_total{asked=\"since\"}", 1.0),
        (ingest, "fleetcast_ingest_term", 1.0),
        (ingest, "fleetcast_leading", 1.0),
        (ingest, "fleetcast_hop_lag_seconds_count{hop=\"log\"}", 2.0),
        (
            ingest,
            "fleetcast_hop_lag_seconds_count{hop=\"decide\"}",
            2.0,
        ),
        (ingest, "fleetcast_hop_lag_seconds_count{hop=\"work\"}", 2.0),
        (ingest, "fleetcast_http_requests_total{status=\"200\"}", 1.0),
        (
            view,
            "fleetcast_aggregator_acknowledgements_total{outcome=\"applied\"}",
            2.0,
        ),
        (
            view,
            "fleetcast_aggregator_queries_total{outcome=\"answered\"}",
            1.0,
        ),
        (view, "fleetcast_aggregator_confirmations_total", 1.0),
        (
            view,
            "fleetcast_hop_lag_seconds_count{hop=\"acknowledge\"}",
            1.0,
        ),
        (view, "fleetcast_hop_lag_seconds_count{hop=\"fold\"}", 1.0),
        (
            agent,
            "fleetcast_agent_attempts_total{cluster=\"eu\",outcome=\"applied\"}",
            2.0,
        ),
        (agent, "fleetcast_agent_work_position{cluster=\"eu\"}", 2.0),
        (
            agent,
            "fleetcast_agent_acknowledgements_total{cluster=\"eu\"}",
            1.0,
        ),
        (
            agent,
            "fleetcast_hop_lag_seconds_count{cluster=\"eu\",hop=\"apply\"}",
            2.0,
        ),
    ] {
        assert!(value(text, sample) >= least, "{sample}\n{text}");
    }
}

/// A metric without a label of its own, as `who` has it.
fn own(who: &str, name: &str) -> String {
    match who {
        "agent" => format!("{name}{{cluster=\"eu\"}}"),
        _ => name.to_owned(),
    }
}

/// Shows that each process says when it is ready and as what, that it is not while the bus is away, and that who stops says so before it gives up what it holds.
#[tokio::test(flavor = "multi_thread")]
async fn ready_means_connected_leading_or_standing_by_and_not_behind() {
    let Some(server) = nats_server("ready_means_connected_leading_or_standing_by_and_not_behind")
    else {
        return;
    };
    let mut bed = Bed::new(server);
    let (health, http): (Vec<Health>, Vec<Http>) = (0..5).map(|_| tells(&[])).unzip();
    for one in &http {
        assert_eq!(ready(one).await.0, 503, "nothing runs yet");
        assert_eq!(one.call("GET", "/healthz").await.0, 200);
    }
    let cluster = Cluster::new("eu");
    let first = bed.ingest_telling("a", &health[0]);
    is_ready(&http[0], "leader").await;
    let _second = bed.ingest_telling("b", &health[1]);
    is_ready(&http[1], "standby").await;
    let _view = bed.aggregator_telling("view", None, &health[2]);
    is_ready(&http[2], "serving").await;
    let acting = bed.agent_telling(&cluster, "a", &health[3]);
    is_ready(&http[3], "leader").await;
    let _waiting = bed.agent_telling(&cluster, "b", &health[4]);
    is_ready(&http[4], "standby").await;

    bed.kill_server();
    for one in &http {
        eventually("not ready without the bus", async || {
            let (status, told) = ready(one).await;
            let missing = told["missing"].as_array().cloned().unwrap_or_default();
            status == 503 && missing.contains(&json!("the bus is not connected"))
        })
        .await;
        assert_eq!(one.call("GET", "/healthz").await.0, 200, "it lives");
    }
    bed.start_server();
    for (one, part) in http.iter().zip(["", "", "serving", "leader", "standby"]) {
        eventually("ready again", async || {
            let (status, told) = ready(one).await;
            status == 200 && (part.is_empty() || told["part"] == part)
        })
        .await;
    }

    // The lease is given up, not left to end: as soon as the process has ended nobody holds it, or the other one.
    let bus = bed.bus().await;
    let (leader, follower) = match ready(&http[0]).await.1["part"].as_str() {
        Some("leader") => (0, 1),
        _ => (1, 0),
    };
    if leader == 0 {
        first.stop().await;
        assert_eq!(ready(&http[leader]).await.0, 503);
        let holder = bus.lease_holder(PLACER).await.expect("the bus answers");
        assert_ne!(holder.as_deref(), Some("a"));
        is_ready(&http[follower], "leader").await;
    }
    acting.stop().await;
    assert_eq!(ready(&http[3]).await.0, 503);
    is_ready(&http[4], "leader").await;
}
