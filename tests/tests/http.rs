//! Publishing over HTTP: the same answers as on the bus, from whichever ingest process is asked; nobody without a token; nothing too large or too slow.

use std::sync::Arc;
use std::time::Duration;

use fleetcast_endpoint::{Error, Listener, Options};
use fleetcast_schemas::http::openapi;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Http, Service, apply_as, config_map, eventually, nats_server, token_file,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PUBLISHER: &str = "the token of somebody who hands in";
const READER: &str = "the token of somebody who looks";

fn options(bed: &Bed) -> Options {
    let tokens = [("ci", "publisher", PUBLISHER), ("eye", "reader", READER)];
    Options {
        address: ([127, 0, 0, 1], 0).into(),
        tokens: token_file(bed.directory.path(), &tokens),
        plain_text: false,
    }
}

/// An ingest process that listens.
fn listening(bed: &Bed, identity: &str) -> (Http, Service) {
    let listener = Arc::new(Listener::bind(&options(bed)).expect("it listens"));
    let http = Http {
        address: listener.address(),
        token: Some(PUBLISHER.to_owned()),
    };
    (http, bed.ingest_listening(identity, Some(listener)))
}

/// Shows that HTTP answers what the bus answers, through a process that stands by, also when the leader is gone.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_bus_whoever_leads() {
    let Some(server) = nats_server("answers_are_those_of_the_bus_whoever_leads") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let leader = bed.ingest("a");
    let _aggregator = bed.aggregator();
    bed.register(&bus, &["eu"]).await;
    let _agent = bed.agent(&Cluster::new("eu"));
    let (http, _standby) = listening(&bed, "b");

    let document = config_map("web", &["eu", "us"], "x");
    let headers = [
        "content-type: application/json",
        "ce-specversion: 1.0",
        "ce-type: t",
        "ce-source: test",
        "ce-id: web-1",
    ];
    let body = document.to_string();
    let (status, _, over_http) = http
        .ask("POST", "/v1/objects", &headers, body.as_bytes())
        .await;
    assert_eq!(status, 200, "{over_http}");
    assert_eq!(over_http["revision"], 1, "{over_http}");
    assert_eq!(over_http["warnings"][0]["reason"], "Unknown", "{over_http}");
    let over_nats = apply_as(&bus, &document, "web-1").await;
    assert_eq!(serde_json::to_value(over_nats).expect("JSON"), over_http);

    let path = "/v1/objects/ConfigMap/default/web";
    let sequence = &over_http["sequence"];
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    let (status, seen) = http
        .call("GET", &format!("{path}?min_seq={sequence}"))
        .await;
    assert_eq!(
        (status, &seen["object"]),
        (200, &json!("ConfigMap/default/web")),
        "{seen}"
    );
    assert!(seen["as_of"]["log"].as_u64() >= sequence.as_u64(), "{seen}");
    let described = &openapi()["components"]["schemas"]["Object"];
    for field in described["properties"].as_object().expect("fields").keys() {
        assert!(seen.get(field).is_some(), "{field} is described: {seen}");
    }
    let row = &described["properties"]["rows"]["items"]["properties"];
    for field in row.as_object().expect("fields").keys() {
        assert!(
            seen["rows"][0].get(field).is_some(),
            "{field} is described: {seen}"
        );
    }
    let short = http.call("GET", "/v1/objects/configmap/default/web").await;
    assert_eq!(short.1["revision"], 1, "{short:?}");
    let cluster = http
        .call("GET", "/v1/objects/MemberCluster.fleetcast.dev/eu")
        .await;
    assert_eq!(
        (cluster.0, &cluster.1["cluster"]),
        (200, &json!("eu")),
        "{cluster:?}"
    );

    let mut other = document.clone();
    other["spec"]["placement"]["clusters"] = json!("everywhere");
    let refused = http.post(&other).await;
    let refusal = json!({"refusal": {"document": 0, "field": "spec.placement.clusters", "message": refused.1["refusal"]["message"]}});
    assert_eq!(refused, (422, refusal));

    leader.kill().await;
    let changed = http.post(&config_map("web", &["eu"], "y")).await;
    assert_eq!(
        (changed.0, &changed.1["revision"]),
        (200, &json!(2)),
        "{changed:?}"
    );
    let plain = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}});
    let (status, _, placed) = http
        .ask(
            "POST",
            "/v1/objects?clusters=eu",
            &[],
            plain.to_string().as_bytes(),
        )
        .await;
    assert_eq!(
        (status, &placed["object"]),
        (200, &json!("ConfigMap/default/plain")),
        "{placed}"
    );
    // From one content to another and back, without ids: three changes.
    for (text, revision) in [("a", 3), ("b", 4), ("a", 5), ("a", 5)] {
        let (_, answer) = http.post(&config_map("web", &["eu"], text)).await;
        assert_eq!(answer["revision"], revision, "{text}: {answer}");
    }

    let withdrawn = http.call("DELETE", &format!("{path}?orphan=true")).await;
    assert_eq!(
        (withdrawn.0, &withdrawn.1["revision"]),
        (200, &json!(6)),
        "{withdrawn:?}"
    );
    let (status, seen) = http
        .call(
            "GET",
            &format!("{path}?min_seq={}", withdrawn.1["sequence"]),
        )
        .await;
    assert_eq!((status, &seen["withdrawn"]), (200, &json!(true)), "{seen}");
}

/// Shows who gets in, and that what is not understood is answered with a status and a field.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_token_and_a_no_names_its_field() {
    let Some(server) = nats_server("nobody_gets_in_without_a_token_and_a_no_names_its_field")
    else {
        return;
    };
    let bed = Bed::new(server);
    let (http, ingest) = listening(&bed, "a");
    let _aggregator = bed.aggregator();
    let document = config_map("web", &["eu"], "x");
    eventually("somebody leads", async || {
        http.post(&document).await.0 == 200
    })
    .await;

    // The OpenAPI document names what there is, and nothing of it but itself is open.
    let (status, described) = http.with(None).call("GET", "/openapi.json").await;
    assert_eq!((status, &described), (200, &openapi()));
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let path = path.replace("{object}", "ConfigMap/default/web");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let known = methods.get(method.to_ascii_lowercase()).is_some();
            for token in [None, Some("another"), Some("")] {
                let (status, answer) = http.with(token).call(method, &path).await;
                let expected: &[u16] = match (known, path.as_str()) {
                    (true, "/openapi.json") => &[200],
                    (true, _) => &[401],
                    (false, _) => &[401, 405],
                };
                assert!(
                    expected.contains(&status),
                    "{method} {path}: {status} {answer}"
                );
                assert!(
                    status == 200 || answer["refusal"]["field"].is_string(),
                    "{answer}"
                );
            }
        }
    }
    let reader = http.with(Some(READER));
    assert_eq!(
        reader
            .call("GET", "/v1/objects/ConfigMap/default/web")
            .await
            .0,
        200
    );
    assert_eq!(reader.post(&document).await.0, 403);
    assert_eq!(
        reader
            .call("DELETE", "/v1/objects/ConfigMap/default/web")
            .await
            .0,
        403
    );

    for (method, path, status, field) in [
        ("GET", "/v1/objects/ConfigMap/default/other", 404, "object"),
        ("GET", "/v1/objects/configmap/default/other", 404, "object"),
        (
            "DELETE",
            "/v1/objects/ConfigMap/default/other",
            404,
            "object",
        ),
        ("GET", "/v1/objects/ConfigMap", 400, "object"),
        ("GET", "/v1/objects/Config%00Map/a", 400, "object"),
        (
            "GET",
            "/v1/objects/ConfigMap/default/web?cluster=E%20U",
            400,
            "query",
        ),
        (
            "GET",
            "/v1/objects/ConfigMap/default/web?at=yesterday",
            400,
            "at",
        ),
        (
            "GET",
            "/v1/objects/ConfigMap/default/web?hostile=1",
            400,
            "query",
        ),
        (
            "DELETE",
            "/v1/objects/ConfigMap/default/web?orphan=perhaps",
            400,
            "query",
        ),
        ("PUT", "/v1/objects/ConfigMap/default/web", 405, "method"),
        ("GET", "/v1/objects", 405, "method"),
        ("GET", "/v2", 404, "path"),
    ] {
        let (found, answer) = http.call(method, path).await;
        assert_eq!(
            (found, &answer["refusal"]["field"]),
            (status, &json!(field)),
            "{method} {path}: {answer}"
        );
    }

    // A token that is taken out, without a restart.
    token_file(
        bed.directory.path(),
        &[("ci", "publisher", "the next token")],
    );
    eventually("the old token is refused", async || {
        http.post(&document).await.0 == 401
    })
    .await;
    assert_eq!(
        http.with(Some("the next token")).post(&document).await.0,
        200
    );
    ingest.stop().await;
}

/// Shows that plain text stays on this machine unless somebody says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn plain_text_stays_on_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = token_file(folder.path(), &[("ci", "publisher", PUBLISHER)]);
    let options = |address: [u8; 4], plain_text| Options {
        address: (address, 0).into(),
        tokens: tokens.clone(),
        plain_text,
    };
    let refused = Listener::bind(&options([0, 0, 0, 0], false)).expect_err("refused");
    assert!(matches!(refused, Error::PlainText(_)), "{refused}");
    assert!(
        refused.to_string().contains("--http-plain-text"),
        "{refused}"
    );
    assert!(Listener::bind(&options([127, 0, 0, 1], false)).is_ok());
    let nobody = Options {
        tokens: folder.path().join("missing"),
        ..options([127, 0, 0, 1], false)
    };
    let refused = Listener::bind(&nobody).expect_err("refused");
    assert!(matches!(refused, Error::Tokens(..)), "{refused}");
}

/// Shows that what is too large, malformed or too slow is cut off, and that others are answered meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_slow_is_cut_off() {
    let Some(server) = nats_server("what_is_too_large_or_too_slow_is_cut_off") else {
        return;
    };
    let bed = Bed::new(server);
    let (http, _ingest) = listening(&bed, "a");
    let document = config_map("web", &["eu"], "x");
    eventually("somebody leads", async || {
        http.post(&document).await.0 == 200
    })
    .await;

    // Says nothing, or not to the end, for as long as it is let.
    let mut slow = Vec::new();
    for bytes in [&b""[..], b"POST /v1/objects HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(http.address)
            .await
            .expect("it listens");
        stream.write_all(bytes).await.expect("written");
        slow.push(stream);
    }

    let long = vec![b' '; 4 * 1024 * 1024];
    let (status, _, answer) = http
        .ask(
            "POST",
            "/v1/objects",
            &["content-type: application/json", "expect: 100-continue"],
            &long[..0],
        )
        .await;
    assert_eq!(status, 400, "an empty body is no document: {answer}");
    let (status, _, answer) = http
        .ask("POST", "/v1/objects", &["content-length: 100000000"], b"{")
        .await;
    assert_eq!(status, 413, "{answer}");
    let chunk = [
        format!("{:x}\r\n", long.len()).as_bytes(),
        &long,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let head = format!(
        "POST /v1/objects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {PUBLISHER}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let answer = http.send(&[head.as_bytes(), &chunk].concat()).await;
    // It may close while the rest is still being sent: then the answer may be lost on the way.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    let many = format!(
        "GET /openapi.json HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(64 * 1024)
    );
    let answer = http.send(many.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    let answer = http
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 2"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );

    // A large document goes, in parts on the bus.
    let text: String = (0_u64..150_000)
        .map(|n| {
            format!(
                "{:016x}",
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
            )
        })
        .collect();
    let large = http.post(&config_map("large", &["eu"], &text)).await;
    assert_eq!(
        (large.0, &large.1["revision"]),
        (200, &json!(1)),
        "{large:?}"
    );

    for mut stream in slow {
        let mut said = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut said));
        closed.await.expect("it is closed").ok();
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{said:?}");
    }
    assert_eq!(http.post(&document).await.1["revision"], Value::from(1));
}
