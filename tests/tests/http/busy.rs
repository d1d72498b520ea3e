//! One token that asks for everything at once is told to wait, and another one is answered meanwhile.

use std::time::Duration;

use fleetcast_endpoint::access::AT_ONCE;
use fleetcast_endpoint::{Health, listen::Limits};
use fleetcast_tests::harness::{
    Bed, Http, config_map, door_within, eventually, nats_server, token_file,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const GREEDY: &str = "the token of somebody who wants all";
const OTHER: &str = "the token of somebody else";

/// Shows that bodies which do not come hold no more places than one token may have, however many there are of them.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_all_that_he_may_keeps_nobody_else_waiting() {
    let test = "who_holds_all_that_he_may_keeps_nobody_else_waiting";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server);
    let names = [
        ("greedy", "publisher", GREEDY),
        ("other", "publisher", OTHER),
    ];
    let tokens = token_file(bed.directory.path(), &names);
    // Nobody is saved by a body's time being over.
    let limits = Limits {
        body: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let door = door_within(&tokens, limits, 100_000, &Health::default());
    let other = Http {
        address: door.address(),
        token: Some(OTHER.to_owned()),
    };
    let greedy = other.with(Some(GREEDY));
    let _ingest = bed.ingest_listening("a", Some(door));
    let document = config_map("web", &["eu"], "x");
    eventually("somebody leads", async || {
        other.post(&document).await.0 == 200
    })
    .await;

    let hold = async || {
        let mut stream = TcpStream::connect(greedy.address)
            .await
            .expect("it listens");
        let head = format!(
            "POST /v1/objects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {GREEDY}\r\ncontent-length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        stream
    };
    let mut held = Vec::new();
    for _ in 0..AT_ONCE {
        held.push(hold().await);
    }
    let mut refused = None;
    eventually("he is told to wait", async || {
        let (status, head, answer) = greedy.ask("GET", "/v1/clusters", &[], b"").await;
        refused = Some((head, answer));
        if status != 429 {
            // What asks may have had the place of one that was to be held, and that one was refused.
            held.push(hold().await);
        }
        status == 429
    })
    .await;
    let (head, answer) = refused.expect("just said");
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!(answer["refusal"]["field"], "authorization", "{answer}");
    // As many documents as there are places at all, so that some of his still wait for one.
    for text in 0..4 {
        let changed = config_map("web", &["eu"], &format!("{text}"));
        let (status, answer) = other.post(&changed).await;
        assert_eq!(
            (status, &answer["revision"]),
            (200, &json!(text + 2)),
            "{answer}"
        );
    }
    drop(held);
    eventually("he may ask again", async || {
        greedy.call("GET", "/v1/clusters").await.0 != 429
    })
    .await;
}
