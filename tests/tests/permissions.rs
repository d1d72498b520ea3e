//! An agent with exactly the permissions of the design: everything it needs is allowed, every other subject is denied, and a forged reply
//! subject achieves nothing.

use std::time::Duration;

use async_nats::ConnectOptions;
use fleetcast_bus::{Connect, Credentials, streams};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::subject::{self, Lane};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use futures::StreamExt;
use tokio::sync::mpsc;

/// The server's configuration: services may do all, each agent what the design lists for it (section 4).
fn configuration(agents: &[&str]) -> String {
    let agent = |name: &&str| {
        let lane = lane(name);
        format!(
            "{{user: {name}, password: secret, permissions: {{\
               publish: {{allow: [\"{}\", \"{}\", \"{}\"]}}, subscribe: {{allow: [\"{}\", \"{}\", \"{}.>\"]}}}}}}",
            lane.ack(),
            lane.heartbeat(),
            lane.sync(),
            lane.live(),
            lane.seen(),
            lane.inbox_prefix(),
        )
    };
    let agents: Vec<String> = agents.iter().map(agent).collect();
    format!(
        "authorization {{ users: [{{user: services, password: secret}}, {}] }}",
        agents.join(", ")
    )
}

fn lane(cluster: &str) -> Lane {
    Lane::new(ClusterName::parse(cluster).expect("valid"), 1)
}

fn password(user: &str) -> Credentials {
    Credentials::Password(user.to_owned(), "secret".to_owned())
}

/// A raw connection of the agent of `eu`, and what the server says about it.
async fn raw(bed: &Bed) -> (async_nats::Client, mpsc::UnboundedReceiver<String>) {
    let (sender, said) = mpsc::unbounded_channel();
    let client = ConnectOptions::with_user_and_password("eu".to_owned(), "secret".to_owned())
        .custom_inbox_prefix("_IN.eu")
        .event_callback(move |event| {
            let _ = sender.send(event.to_string());
            async {}
        })
        .connect(&bed.connect.url)
        .await
        .expect("connected");
    (client, said)
}

/// Whether the server denied something since it was asked last.
async fn was_denied(
    client: &async_nats::Client,
    said: &mut mpsc::UnboundedReceiver<String>,
) -> bool {
    client.flush().await.expect("flushed");
    let mut denied = false;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(100), said.recv()).await
    {
        let event = event.to_lowercase();
        if event.contains("permissions violation") {
            denied = true;
            break;
        }
    }
    denied
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_with_exactly_what_it_is_allowed() {
    let Some(server) = nats_server("an_agent_works_with_exactly_what_it_is_allowed") else {
        return;
    };
    let bed = Bed::with_configuration(server, &configuration(&["eu", "us"]), password("services"));
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let (eu, us) = (Cluster::new("eu"), Cluster::new("us"));
    let as_agent = |name: &str| Connect {
        credentials: password(name),
        ..bed.connect.clone()
    };
    let _agents = [
        bed.agent_through(&eu, as_agent("eu")),
        bed.agent_through(&us, as_agent("us")),
    ];
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
async fn every_other_subject_is_denied() {
    let Some(server) = nats_server("every_other_subject_is_denied") else {
        return;
    };
    let bed = Bed::with_configuration(server, &configuration(&["eu", "us"]), password("services"));
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    bed.register(&bus, &["eu", "us"]).await;
    let (client, mut said) = raw(&bed).await;
    let (eu, us) = (lane("eu"), lane("us"));
    let object = "Secret/shop/db".parse().expect("valid");

    for allowed in [eu.ack(), eu.heartbeat(), eu.sync()] {
        client
            .publish(allowed.clone(), "x".into())
            .await
            .expect("sent");
        assert!(!was_denied(&client, &mut said).await, "publish {allowed}");
    }
    for allowed in [eu.live(), eu.seen(), "_IN.eu.>".to_owned()] {
        let _subscription = client.subscribe(allowed.clone()).await.expect("sent");
        assert!(!was_denied(&client, &mut said).await, "subscribe {allowed}");
    }
    let mut denied_publishes = vec![
        us.ack(),
        us.heartbeat(),
        us.sync(),
        us.seen(),
        eu.seen(),
        eu.work(&object),
        us.work(&object),
        subject::fence(0),
        subject::change(&object),
        subject::decision(&object),
        subject::cluster(&eu.cluster),
        subject::EPOCH.to_owned(),
        subject::BASE_PART.to_owned(),
        subject::BASE_HEAD.to_owned(),
        subject::apply(&object),
        subject::delete(&object),
        subject::query("objects", None),
        subject::dead("agent", "x"),
        eu.live().replace('>', "0.x"),
        "_IN.us.x".to_owned(),
        "_INBOX.x".to_owned(),
        "_IN.eu.x".to_owned(),
        "$KV.fc_leader.placer".to_owned(),
        "$O.fc_bodies.C.x".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
    ];
    for stream in [
        streams::LOG.to_owned(),
        streams::BASE.to_owned(),
        streams::work(0),
        streams::acks(0),
        streams::HEARTBEAT.to_owned(),
        streams::DEAD.to_owned(),
        "KV_fc_leader".to_owned(),
        "OBJ_fc_bodies".to_owned(),
    ] {
        for api in [
            "DIRECT.GET",
            "STREAM.INFO",
            "STREAM.MSG.GET",
            "STREAM.PURGE",
            "STREAM.DELETE",
            "STREAM.UPDATE",
            "CONSUMER.CREATE",
            "CONSUMER.LIST",
        ] {
            denied_publishes.push(format!("$JS.API.{api}.{stream}"));
        }
    }
    for api in ["INFO", "STREAM.LIST", "STREAM.NAMES", "STREAM.CREATE.X"] {
        denied_publishes.push(format!("$JS.API.{api}"));
    }
    for denied in denied_publishes {
        client
            .publish(denied.clone(), "x".into())
            .await
            .expect("sent");
        assert!(was_denied(&client, &mut said).await, "publish {denied}");
    }
    for denied in [
        ">",
        "fc.>",
        "fc.live.>",
        "fc.log.>",
        "fc.work.>",
        "fc.ack.>",
        "fc.in.>",
        "fc.query.>",
        "fc.sync.>",
        "fc.heartbeat.>",
        "_IN.>",
        "_IN.us.>",
        "_INBOX.>",
        "$JS.>",
        "$KV.>",
        "$SYS.>",
        &us.live(),
        &us.seen(),
        &us.ack(),
        &eu.ack(),
        &eu.sync(),
    ] {
        let _subscription = client.subscribe(denied.to_owned()).await.expect("sent");
        assert!(was_denied(&client, &mut said).await, "subscribe {denied}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_reply_subject_achieves_nothing() {
    let Some(server) = nats_server("a_forged_reply_subject_achieves_nothing") else {
        return;
    };
    let bed = Bed::with_configuration(server, &configuration(&["eu", "us"]), password("services"));
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
    let (client, _said) = raw(&bed).await;
    let (eu, us) = (lane("eu"), lane("us"));
    let object = "ConfigMap/default/o0".parse().expect("valid");
    let services = async_nats::ConnectOptions::with_user_and_password(
        "services".to_owned(),
        "secret".to_owned(),
    );
    let spy = services.connect(&bed.connect.url).await.expect("connected");
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
