//! Publishing over HTTP: the same answers as on the bus, from whichever ingest process is asked; nobody without a token; nothing too large or too slow.

mod http {
    pub(crate) mod busy;
    pub(crate) mod command;
}

use std::path::PathBuf;
use std::time::Duration;

use fleetcast_endpoint::listen::Limits;
use fleetcast_endpoint::tokens::Token;
use fleetcast_endpoint::{Access, Door, Error, Health, Listener, Options};
use fleetcast_schemas::http::openapi;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Http, Service, apply_as, config_map, door, door_within, eventually, nats_server,
    token_file,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PUBLISHER: &str = "the token of somebody who hands in";
const READER: &str = "the token of somebody who looks";

fn tokens(bed: &Bed) -> PathBuf {
    let tokens = [("ci", "publisher", PUBLISHER), ("eye", "reader", READER)];
    token_file(bed.directory.path(), &tokens)
}

/// Requests through `door` by whoever hands in.
fn through(door: &Door) -> Http {
    Http {
        address: door.address(),
        token: Some(PUBLISHER.to_owned()),
    }
}

/// An ingest process that listens.
fn listening(bed: &Bed, identity: &str) -> (Http, Service) {
    let door = door(&tokens(bed));
    (through(&door), bed.ingest_listening(identity, Some(door)))
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

    // The OpenAPI document names what there is, and nothing of it but itself and the probes is open.
    let (status, described) = http.with(None).call("GET", "/openapi.json").await;
    assert_eq!((status, &described), (200, &openapi()));
    for (path, methods) in described["paths"].as_object().expect("paths") {
        let path = path.replace("{object}", "ConfigMap/default/web");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let known = methods.get(method.to_ascii_lowercase()).is_some();
            for token in [None, Some("another"), Some("")] {
                let (status, answer) = http.with(token).call(method, &path).await;
                let expected: &[u16] = match (known, path.as_str()) {
                    (true, "/openapi.json" | "/healthz") => &[200],
                    (true, "/readyz") => &[200, 503],
                    (true, _) => &[401],
                    (false, _) => &[401, 405],
                };
                assert!(
                    expected.contains(&status),
                    "{method} {path}: {status} {answer}"
                );
                assert!(
                    answer["refusal"]["field"].is_string() != matches!(status, 200 | 503),
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
        ("PUT", "/v1/objects", 405, "method"),
        ("GET", "/v1/documents", 404, "path"),
        ("GET", "/metrics", 403, "authorization"),
        ("GET", "/v1/clusters?cluster=E%20U", 400, "query"),
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
    assert!(Access::open(&tokens, 1).is_ok());
    let options = |address: [u8; 4], plain_text| Options {
        plain_text,
        ..Options::new((address, 0).into())
    };
    let refused = Listener::bind(&options([0, 0, 0, 0], false)).expect_err("refused");
    assert!(matches!(refused, Error::PlainText(_)), "{refused}");
    assert!(
        refused.to_string().contains("--http-plain-text"),
        "{refused}"
    );
    assert!(Listener::bind(&options([127, 0, 0, 1], false)).is_ok());
    let nobody = folder.path().join("missing");
    let refused = Access::open(&nobody, 1).expect_err("refused");
    assert!(refused.to_string().contains("missing"), "{refused}");
}

/// Shows that what is too large, malformed or too slow is cut off, and that others are answered meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_slow_is_cut_off() {
    let Some(server) = nats_server("what_is_too_large_or_too_slow_is_cut_off") else {
        return;
    };
    let bed = Bed::new(server);
    let limits = Limits {
        head: Duration::from_secs(1),
        body: Duration::from_secs(2),
        ..Limits::default()
    };
    let door = door_within(&tokens(&bed), limits, 1_000, &Health::default());
    let http = through(&door);
    let _ingest = bed.ingest_listening("a", Some(door));
    let document = config_map("web", &["eu"], "x");
    eventually("somebody leads", async || {
        http.post(&document).await.0 == 200
    })
    .await;

    // A body that never ends is answered, with what it is about.
    let head = format!(
        "POST /v1/objects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {PUBLISHER}\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{{"
    );
    let answer = http.send(head.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("took longer than 2s: send it again"),
        "{answer}"
    );

    // A connection that says nothing after an answer is closed.
    let idle = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let closed = tokio::time::timeout(Duration::from_secs(40), http.send(idle)).await;
    let answer = closed.expect("it is closed");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");

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

/// Shows that a token may ask only so often, that the answer says when again, and that another's is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_to_wait() {
    let Some(server) = nats_server("who_asks_too_often_is_told_to_wait") else {
        return;
    };
    let bed = Bed::new(server);
    let door = door_within(&tokens(&bed), Limits::default(), 1, &Health::default());
    let http = through(&door);
    let _ingest = bed.ingest_listening("a", Some(door));
    let mut refused = None;
    for _ in 0..50 {
        let (status, head, answer) = http.ask("GET", "/metrics", &[], b"").await;
        if status == 429 {
            refused = Some((head, answer));
            break;
        }
    }
    let (head, answer) = refused.expect("fifty at once are too many");
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!(answer["refusal"]["field"], "authorization", "{answer}");
    assert_ne!(http.with(Some(READER)).call("GET", "/metrics").await.0, 429);
    assert_eq!(http.with(None).call("GET", "/healthz").await.0, 200);
    eventually("later it is taken", async || {
        http.call("GET", "/metrics").await.0 != 429
    })
    .await;
}

/// Shows that a token has its role and its limits, as credentials on the bus have them, at both services.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_do_what_its_role_may_on_the_bus() {
    let Some(server) = nats_server("a_token_may_do_what_its_role_may_on_the_bus") else {
        return;
    };
    let bed = Bed::new(server);
    let path = tokens(&bed);
    let (secret, hash) = fleetcast_endpoint::tokens::mint().expect("chance");
    let limited = Token {
        name: "shop".to_owned(),
        role: Role::Publisher,
        hash,
        kinds: vec!["ConfigMap".to_owned()],
        namespaces: vec!["default".to_owned()],
        until: None,
    };
    fleetcast_endpoint::tokens::add(&path, &limited).expect("added");
    let (ingest_door, view_door) = (door(&path), door(&path));
    let ingest = through(&ingest_door);
    let view = through(&view_door);
    let _ingest = bed.ingest_listening("a", Some(ingest_door));
    let _aggregator = bed.aggregator_telling("view", Some(view_door), &Health::default());
    let document = config_map("web", &["eu"], "x");
    let shop = ingest.with(Some(&secret));
    eventually("somebody leads", async || {
        shop.post(&document).await.0 == 200
    })
    .await;

    let mut other = config_map("web", &["eu"], "x");
    other["metadata"]["namespace"] = json!("bank");
    let secret_map = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "default"}});
    for refused in [&other, &secret_map] {
        let (status, answer) = shop.post(refused).await;
        assert_eq!(
            (status, &answer["refusal"]["field"]),
            (403, &json!("authorization")),
            "{answer}"
        );
    }
    assert_eq!(ingest.post(&other).await.0, 200, "who is not limited may");
    eventually("the view answers", async || {
        view.call("GET", "/v1/objects/ConfigMap/bank/web").await.0 == 200
    })
    .await;
    let reader = |http: &Http| http.with(Some(READER));
    for http in [&ingest, &view] {
        let shop = http.with(Some(&secret));
        for (who, asked, status) in [
            (&shop, "/v1/objects/ConfigMap/default/web", 200),
            (&shop, "/v1/objects/configmap/default/web", 403),
            (&shop, "/v1/objects/ConfigMap/bank/web", 403),
            (&shop, "/v1/explain/ConfigMap/default/web", 200),
            (&shop, "/v1/history/ConfigMap/default/web", 200),
            (&shop, "/v1/objects", 403),
            (&shop, "/v1/clusters", 200),
            (&shop, "/v1/held", 403),
            (http, "/v1/objects", 200),
            (http, "/v1/held", 403),
            (&reader(http), "/v1/objects", 200),
            (&reader(http), "/v1/objects/configmap/bank/web", 200),
            (&reader(http), "/v1/history/ConfigMap/bank/web", 200),
            (&reader(http), "/v1/clusters", 200),
            (&reader(http), "/v1/held", 200),
            (&reader(http), "/v1/strays", 200),
            (&reader(http), "/v1/digest", 200),
            (&reader(http), "/metrics", 200),
            (&shop, "/metrics", 403),
        ] {
            let (found, answer) = who.call("GET", asked).await;
            assert_eq!(found, status, "{asked}: {answer}");
        }
    }
    // The aggregator takes nothing in.
    assert_eq!(view.post(&document).await.0, 405);
    let delete = view.call("DELETE", "/v1/objects/ConfigMap/bank/web").await;
    assert_eq!(delete.0, 405);
    let (over_view, over_bus) = (
        reader(&view)
            .call("GET", "/v1/objects/ConfigMap/bank/web")
            .await,
        reader(&ingest)
            .call("GET", "/v1/objects/ConfigMap/bank/web")
            .await,
    );
    assert_eq!(over_view, over_bus, "the same from both");
    // What is taken out is refused without a restart, at both.
    assert_eq!(fleetcast_endpoint::tokens::remove(&path, "shop"), Ok(1));
    for http in [&ingest, &view] {
        eventually("the token is refused", async || {
            let shop = http.with(Some(&secret));
            shop.call("GET", "/v1/clusters").await.0 == 401
        })
        .await;
    }
}
