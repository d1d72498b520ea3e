//! Every role with exactly the permissions of its row: what it needs is allowed, every other subject and every other call of the JetStream API is denied by a real
//! server, a forged reply subject achieves nothing, and what is revoked is out at once.

use std::time::Duration;

use fleetcast_bus::{Credentials, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::role::Role;
use fleetcast_schemas::subject::{self, Lane};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use futures::StreamExt;
use tokio::sync::mpsc;

mod permissions {
    pub(crate) mod forging;
    pub(crate) mod local;
    pub(crate) mod page;
    pub(crate) mod revoking;
    pub(crate) mod rotating;
    pub(crate) mod sharing;
    pub(crate) mod table;
}

fn lane(cluster: &str) -> Lane {
    Lane::new(ClusterName::parse(cluster).expect("valid"), 1)
}

/// What the server says about a connection.
type Said = mpsc::UnboundedReceiver<String>;

/// A raw connection with the credentials of a role, and what the server says about it.
async fn raw(bed: &Bed, role: Role, name: &str) -> (async_nats::Client, Said) {
    let Credentials::File(path) = bed.credentials(role, name) else {
        panic!("the bed has an operator");
    };
    let prefix = role.grant().inbox.replace("{name}", name);
    raw_with(bed, &path, &prefix).await
}

/// A raw connection with a credentials file.
async fn raw_with(
    bed: &Bed,
    credentials: &std::path::Path,
    prefix: &str,
) -> (async_nats::Client, Said) {
    let (sender, said) = mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::with_credentials_file(credentials)
        .await
        .expect("credentials")
        .custom_inbox_prefix(prefix)
        .event_callback(move |event| {
            let _ = sender.send(event.to_string());
            async {}
        })
        .connect(&bed.connect.url)
        .await
        .expect("connected");
    (client, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_with_exactly_what_it_is_allowed() {
    let Some(server) = nats_server("an_agent_works_with_exactly_what_it_is_allowed") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let (eu, us) = (Cluster::new("eu"), Cluster::new("us"));
    let _agents = [bed.agent(&eu), bed.agent(&us)];
    bed.register(&bus, &["eu", "us"]).await;
    // Large enough to travel by digest, which an agent may not read from its store.
    let large: String = (0_u64..90_000)
        .map(|n| {
            format!(
                "{:016x}",
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
            )
        })
        .collect();
    for (name, text) in [("small", "x"), ("large", &large[..1_000_000])] {
        bed.accept(&bus, &config_map(name, &["eu", "us"], text))
            .await;
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 1)
            .await;
        for cluster in [&eu, &us] {
            let held = held(cluster, "v1", "ConfigMap", Some("default"), name)
                .await
                .expect("it arrived");
            assert_eq!(
                held["data"]["text"].as_str().map(str::len),
                Some(text.len())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_reply_subject_achieves_nothing() {
    let Some(server) = nats_server("a_forged_reply_subject_achieves_nothing") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    bed.register(&bus, &["eu", "us"]).await;
    bed.accept(&bus, &config_map("o0", &["us"], "x")).await;
    let written = async || {
        bus.last_sequence(&streams::work(0))
            .await
            .is_ok_and(|last| last >= 3)
    };
    eventually("two fences and the work are written", written).await;
    let (client, _said) = raw(&bed, Role::Agent, "eu").await;
    let (eu, us) = (lane("eu"), lane("us"));
    let object = "ConfigMap/default/o0".parse().expect("valid");
    let (spy, _) = raw(&bed, Role::Operator, "spy").await;
    let targets = [
        us.work(&object),
        us.live().replace('>', "0.x"),
        "_IN.us.stolen".to_owned(),
        subject::apply(&object),
        subject::EPOCH.to_owned(),
        us.seen(),
    ];
    let mut seen = Vec::new();
    for target in &targets {
        seen.push(spy.subscribe(target.clone()).await.expect("subscribed"));
    }
    spy.flush().await.expect("flushed");
    let before = (
        bus.last_sequence(&streams::work(0)).await.expect("answers"),
        bus.last_sequence(streams::LOG).await.expect("answers"),
    );
    for from in [eu.ack(), eu.heartbeat(), eu.sync()] {
        for target in &targets {
            client
                .publish_with_reply(from.clone(), target.clone(), "x".into())
                .await
                .expect("sent");
        }
    }
    client.flush().await.expect("flushed");
    for (target, subscription) in targets.iter().zip(&mut seen) {
        let answered = tokio::time::timeout(Duration::from_millis(500), subscription.next()).await;
        assert!(
            answered.is_err(),
            "an answer went to {target}: {answered:?}"
        );
    }
    let after = (
        bus.last_sequence(&streams::work(0)).await.expect("answers"),
        bus.last_sequence(streams::LOG).await.expect("answers"),
    );
    assert_eq!(
        before, after,
        "nothing was stored where the reply subject pointed"
    );
}
