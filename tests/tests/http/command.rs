//! `fleetcast auth token issue | list | revoke`, and what comes of that at an ingest that runs.

use fleetcast_bus::Credentials;
use fleetcast_schemas::role::Role;
use fleetcast_tests::harness::{
    Bed, Binary, Http, config_map, eventually, listens_at, nats_server,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_issued_used_listed_and_revoked_while_ingest_runs() {
    let test = "a_token_is_issued_used_listed_and_revoked_while_ingest_runs";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server.clone());
    let fleetcast = Binary::new(bed.directory.path(), server);
    let token = |args: &[&str]| fleetcast.run(&[&["auth", "token"], args].concat());

    // A service that is to listen needs the file, and says how it comes about.
    let Credentials::File(creds) = bed.credentials(Role::Ingest, "one") else {
        panic!("the bed has an operator");
    };
    let creds = creds.display().to_string();
    let listening = [
        "ingest",
        "--nats",
        &bed.connect.url,
        "--creds",
        &creds,
        "--state",
        "ingest",
        "--http",
        "127.0.0.1:0",
        "--http-tokens",
        "tokens",
    ];
    let without = fleetcast.run(&listening);
    assert_eq!(without.status, 2, "{without:?}");
    let next = "fleetcast auth token issue NAME --file tokens";
    assert!(without.err.contains(next), "{without:?}");

    // Nothing but the token is on stdout.
    let limits = ["--kinds", "ConfigMap", "--namespaces", "default"];
    let issued = token(&[&["issue", "ci", "--ttl", "90d"], &limits[..]].concat());
    assert_eq!(issued.status, 0, "{issued:?}");
    let ci = issued.out.trim().to_owned();
    assert!(ci.starts_with("fleetcast_"), "{issued:?}");
    assert_eq!(issued.out, format!("{ci}\n"));
    assert!(issued.err.contains("--http-tokens tokens"), "{issued:?}");
    let file = std::fs::read_to_string(bed.directory.path().join("tokens")).expect("a file");
    assert!(!file.contains(&ci), "the token itself is kept nowhere");

    let _ingest = fleetcast.start("ingest", &listening);
    let log = bed.directory.path().join("ingest.log");
    let http = Http {
        address: listens_at(&log, "listening for HTTP").await,
        token: Some(ci.clone()),
    };
    let document = config_map("web", &["eu"], "x");
    eventually("somebody leads", async || {
        http.post(&document).await.0 == 200
    })
    .await;
    let mut elsewhere = document.clone();
    elsewhere["metadata"]["namespace"] = json!("bank");
    assert_eq!(http.post(&elsewhere).await.0, 403, "he is limited");
    let unknown = http.with(Some("fleetcast_0000"));
    assert_eq!(unknown.post(&document).await.0, 401);

    // One more for a program that looks: known while all runs.
    let reader = token(&["issue", "prometheus", "--role", "reader", "--ttl", "never"]);
    assert_eq!(reader.status, 0, "{reader:?}");
    let reader = http.with(Some(reader.out.trim()));
    eventually("the reader is known", async || {
        reader.call("GET", "/metrics").await.0 == 200
    })
    .await;
    assert_eq!(reader.post(&document).await.0, 403);

    let listed = token(&["list", "-o", "json"]).json();
    let rows = listed["tokens"].as_array().expect("a list");
    let row = |name: &str| -> &Value {
        let mut rows = rows.iter().filter(|row| row["name"] == name);
        rows.next().expect("it is listed")
    };
    let ci_row = row("ci");
    assert_eq!(ci_row["role"], "publisher");
    assert_eq!(ci_row["standing"], "valid");
    assert_eq!(ci_row["kinds"], json!(["ConfigMap"]));
    assert_eq!(ci_row["namespaces"], json!(["default"]));
    assert!(ci_row["until"].is_string(), "{ci_row}");
    assert_eq!(row("prometheus")["until"], Value::Null);
    let table = token(&["list"]);
    assert!(!table.out.contains(&ci) && table.out.contains("NAME"));

    // The next one of the same name, and both are gone with one word.
    let second = token(&["issue", "ci"]);
    let second = http.with(Some(second.out.trim()));
    eventually("both count", async || {
        second.post(&document).await.0 == 200 && http.post(&document).await.0 == 200
    })
    .await;
    let revoked = token(&["revoke", "ci"]);
    assert_eq!(revoked.status, 0, "{revoked:?}");
    assert!(revoked.out.contains("2 tokens of ci"), "{revoked:?}");
    eventually("neither counts any more", async || {
        second.post(&document).await.0 == 401 && http.post(&document).await.0 == 401
    })
    .await;
    assert_eq!(reader.call("GET", "/metrics").await.0, 200);
    let again = token(&["revoke", "ci"]);
    assert_eq!(again.status, 1, "{again:?}");
    assert!(again.err.contains("ci has no token"), "{again:?}");
}
