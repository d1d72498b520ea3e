//! What is malformed, huge or hostile gets a clear refusal or goes to the dead letters, and nothing else stops or is lost.

use fleetcast_bus::append::Expected;
use fleetcast_bus::parts::split;
use fleetcast_bus::read::From;
use fleetcast_bus::streams;
use fleetcast_core::fold::Condition;
use fleetcast_schemas::envelope::{DATACONTENTTYPE, TYPE};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{Headers, Message, codec, event};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server, request};
use serde_json::{Value, json};

/// Text that does not compress: what a counter looks like after mixing (splitmix64, by Steele, Lea and Flood).
fn noise(length: usize) -> String {
    let mut text = String::with_capacity(length + 8);
    let mut state = 0_u64;
    while text.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        for shift in (0..60).step_by(6) {
            let digit = (mixed >> shift) & 63;
            text.push(char::from(
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                    [usize::try_from(digit).expect("6 bits")],
            ));
        }
    }
    text.truncate(length);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_of_1_mib_and_a_crd_of_800_kib_travel() {
    let Some(server) = nats_server("a_config_map_of_1_mib_and_a_crd_of_800_kib_travel") else {
        return;
    };
    let bed = Bed::new(server);
    let cluster = Cluster::new("c1");
    let bus = bed.bus().await;
    let (_ingest, _aggregator, agent) = (bed.ingest("a"), bed.aggregator(), bed.agent(&cluster));
    bed.register(&bus, &["c1"]).await;
    // 1 MiB is what an API server takes as the data of one ConfigMap.
    let text = noise(1_048_576 - 4);
    bed.accept(&bus, &config_map("big", &["c1"], &text)).await;
    let definition: Value = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "ClusterFederatedObject", "metadata": {"name": "things.example.org"},
        "spec": {
            "placement": {"clusterSelector": {}},
            "template": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {
                "group": "example.org", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "description": noise(800 * 1024)}}}],
            }},
        },
    });
    bed.accept(&bus, &definition).await;
    for object in [
        "ConfigMap/default/big",
        "CustomResourceDefinition.apiextensions.k8s.io/things.example.org",
    ] {
        let conditions = bed.settled(&bus, object, 1).await;
        assert_eq!(
            conditions.get("c1"),
            Some(&Condition::Applied),
            "{object}: {:?}",
            bed.summary(&bus, object).await.map(|summary| summary.rows)
        );
    }
    let found = held(&cluster, "v1", "ConfigMap", Some("default"), "big")
        .await
        .expect("it arrived");
    assert_eq!(found["data"]["text"].as_str(), Some(text.as_str()));

    // An agent that starts from nothing gets them by its own reading, too.
    agent.kill().await;
    let fresh = Cluster::new("c1");
    let _agent = bed.agent(&fresh);
    eventually("the new cluster holds both", async || {
        held(&fresh, "v1", "ConfigMap", Some("default"), "big")
            .await
            .is_some()
            && held(
                &fresh,
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                None,
                "things.example.org",
            )
            .await
            .is_some()
    })
    .await;
}

/// Shows that a publisher who begins messages in parts and never ends them keeps no place from another one.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_and_never_ends_keeps_no_place_from_others() {
    let Some(server) = nats_server("whoever_begins_and_never_ends_keeps_no_place_from_others")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    bed.register(&bus, &["c1"]).await;
    for round in 0..3 {
        for id in 0..100 {
            let subject = format!("fc.in.apply.ConfigMap._.default.begun-{round}-{id}");
            let message = Message {
                subject,
                headers: Headers::default(),
                payload: vec![b' '; 200],
            };
            let parts = split(message, 100, &format!("begun-{round}-{id}"));
            let first = parts.into_iter().next().expect("two parts");
            let inbox = format!("_INBOX.hostile.{id}");
            bus.publish_with_reply(first, &inbox).await.expect("sent");
        }
        let text = noise(1_048_576 - 4);
        let name = format!("big-{round}");
        let large = config_map(&name, &["c1"], &text);
        assert_eq!(bed.accept(&bus, &large).await, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_goes_to_the_dead_letters_and_the_rest_goes_on() {
    let Some(server) =
        nats_server("what_is_no_event_goes_to_the_dead_letters_and_the_rest_goes_on")
    else {
        return;
    };
    let bed = Bed::new(server);
    let cluster = Cluster::new("c1");
    let bus = bed.bus().await;
    let _running = (bed.ingest("a"), bed.aggregator(), bed.agent(&cluster));
    bed.register(&bus, &["c1"]).await;
    let garbage = [
        (
            "fc.log.change.Secret._.shop.db",
            Headers::default(),
            &b"not an event"[..],
        ),
        (
            "fc.log.decision.Secret._.shop.db",
            Headers::default().with(TYPE, "dev.fleetcast.decision.v99"),
            b"\xff",
        ),
        (
            "fc.log.nonsense",
            Headers::default().with(TYPE, "com.example.other"),
            b"",
        ),
        (
            "fc.ack.p00.c1",
            Headers::default()
                .with(TYPE, "dev.fleetcast.ack.v1")
                .with(DATACONTENTTYPE, codec::MSGPACK),
            b"\xc1",
        ),
        ("fc.work.p00.c1.0.x", Headers::default(), b"no work"),
    ];
    for (subject, headers, payload) in garbage {
        let message = Message {
            subject: subject.to_owned(),
            headers,
            payload: payload.to_vec(),
        };
        // Streams that agents write to answer nothing.
        if subject.starts_with("fc.ack") {
            bus.publish(message).await.expect("sent");
        } else {
            bus.append(message, Expected::Anything)
                .await
                .expect("stored");
        }
    }
    assert_eq!(bed.accept(&bus, &config_map("o0", &["c1"], "x")).await, 1);
    let conditions = bed.settled(&bus, "ConfigMap/default/o0", 1).await;
    assert_eq!(conditions.get("c1"), Some(&Condition::Applied));

    let mut dead = Vec::new();
    let mut reader = bus
        .read(streams::DEAD, &[], From::Sequence(1), false)
        .await
        .expect("readable");
    while let Ok(Ok(stored)) =
        tokio::time::timeout(std::time::Duration::from_secs(2), reader.next()).await
    {
        dead.push(
            event::read_dead(&stored.message.headers, &stored.message.payload)
                .expect("a dead letter"),
        );
    }
    for (subject, reason) in [
        (
            "fc.log.change.Secret._.shop.db",
            "header ce-type is missing",
        ),
        ("fc.log.decision.Secret._.shop.db", "schema version 99"),
        ("fc.log.nonsense", "subject"),
        ("fc.ack.p00.c1", "malformed"),
    ] {
        assert!(
            dead.iter()
                .any(|letter| letter.subject == subject && letter.reason.contains(reason)),
            "{subject}: {dead:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_sends_wrongly_is_refused_with_the_field() {
    let Some(server) = nats_server("what_a_publisher_sends_wrongly_is_refused_with_the_field")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    let good = config_map("o0", &["c1"], "x");
    for (subject, body, field) in [
        (
            "fc.in.apply.ConfigMap._.default.other",
            good.clone(),
            "subject",
        ),
        ("fc.in.apply.nonsense", good.clone(), "subject"),
        ("fc.in.apply.ConfigMap._.default.o0", json!([]), ""),
        (
            "fc.in.apply.ConfigMap._.default.o0",
            json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "o0"}}),
            "spec",
        ),
        ("fc.in.delete.ConfigMap._.default.o0", json!({}), ""),
        (
            "fc.in.delete.MemberCluster.fleetcast=2Edev._.mars",
            json!({}),
            "metadata.name",
        ),
    ] {
        match request(&bus, subject.to_owned(), &body, "1").await {
            Answer::Refused { refusal } => {
                assert_eq!(refusal.field, field, "{subject}: {refusal:?}")
            }
            Answer::Accepted(accepted) => panic!("{subject}: {accepted:?}"),
        }
    }
    assert_eq!(bed.accept(&bus, &good).await, 1, "and a good one is taken");
}
