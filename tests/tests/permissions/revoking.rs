//! What ends: a credential that is revoked, and one whose time is over.

use std::path::Path;
use std::time::Duration;

use fleetcast_auth::authority::Issue;
use fleetcast_schemas::role::Role;
use fleetcast_tests::harness::{Bed, Binary, eventually, nats_server};

use crate::{raw, raw_with};

/// Whether a server lets somebody in with these credentials.
pub(crate) async fn gets_in(credentials: &Path, url: &str) -> bool {
    let options = async_nats::ConnectOptions::with_credentials_file(credentials);
    let connected = options.await.expect("a file").connect(url).await;
    connected.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_revoked_is_out_within_seconds_and_others_stay() {
    let Some(server) = nats_server("whoever_is_revoked_is_out_within_seconds_and_others_stay")
    else {
        return;
    };
    let mut bed = Bed::new(server.clone());
    let fleetcast = Binary::new(bed.directory.path(), server);
    let (eu, _) = raw(&bed, Role::Agent, "eu").await;
    let (us, _) = raw(&bed, Role::Agent, "us").await;
    let url = bed.connect.url.clone();
    let revoke = ["auth", "revoke", "eu", "--dir", "auth", "--nats", &url];
    let said = tokio::task::block_in_place(|| fleetcast.done(&revoke));
    assert!(
        said.out.contains("1 credential of eu revoked") && said.out.contains("know it"),
        "{said:?}"
    );
    eventually("the agent of eu is out", async || {
        eu.connection_state() != async_nats::connection::State::Connected
    })
    .await;
    let path = bed.directory.path().join("auth/agent-eu.creds");
    assert!(!gets_in(&path, &url).await, "it does not get in again");
    us.flush().await.expect("the agent of us stays");

    // Over a restart of the server, too: it keeps the newest account, whatever its configuration says.
    bed.kill_server();
    bed.start_server();
    assert!(!gets_in(&path, &bed.connect.url).await);
    let list = tokio::task::block_in_place(|| {
        fleetcast.done(&["auth", "list", "-o", "json", "--dir", "auth"])
    })
    .json();
    let standing = |name: &str| {
        let all = list["credentials"].as_array().expect("a list");
        let one = all
            .iter()
            .find(|one| one["name"] == name)
            .expect("it was issued");
        one["standing"].clone()
    };
    assert_eq!(
        (standing("eu"), standing("us")),
        ("revoked".into(), "valid".into())
    );
    let unreachable = [
        "auth",
        "revoke",
        "us",
        "--dir",
        "auth",
        "--nats",
        "nats://127.0.0.1:1",
    ];
    let said = tokio::task::block_in_place(|| fleetcast.run(&unreachable));
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.err.contains("fleetcast auth push"), "{said:?}");
    let push = ["auth", "push", "--dir", "auth", "--nats", &bed.connect.url];
    tokio::task::block_in_place(|| fleetcast.done(&push));
    eventually("the agent of us is out, too", async || {
        us.connection_state() != async_nats::connection::State::Connected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_time_is_over_is_out() {
    let Some(server) = nats_server("whose_time_is_over_is_out") else {
        return;
    };
    let bed = Bed::new(server);
    let issue = Issue {
        role: Role::Reader,
        name: "short".to_owned(),
        ttl_s: Some(4),
        kinds: Vec::new(),
        namespaces: Vec::new(),
    };
    let path = bed.directory.path().join("short.creds");
    bed.issue(&issue).write(&path).expect("written");
    let (client, _) = raw_with(&bed, &path, "_INBOX.short").await;
    eventually("the credential ends", async || {
        client.connection_state() != async_nats::connection::State::Connected
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!gets_in(&path, &bed.connect.url).await);
}
