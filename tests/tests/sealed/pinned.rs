//! Credentials that name the hub's keys: whoever runs the bus cannot put one of his own there, nor have anything handed in unsealed.

use fleetcast_bus::Credentials;
use fleetcast_schemas::role::Role;
use fleetcast_tests::harness::{Bed, Binary, Spy, keys, nats_server};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::scene::{MARK, is_in, secret};

/// Answers what the hub wants sealed as somebody would who runs the bus.
async fn forger(bed: &Bed, answer: Value) -> JoinHandle<()> {
    let bus = bed.bus().await;
    let mut asked = bus.subscribe("fc.in.sealing").await.expect("subscribed");
    bus.flush().await.expect("flushed");
    tokio::spawn(async move {
        while let Some(delivery) = asked.next().await {
            let message = fleetcast_schemas::Message {
                subject: String::new(),
                headers: Default::default(),
                payload: answer.to_string().into_bytes(),
            };
            let reply = delivery.reply.expect("a reply subject");
            bus.answer(&reply, message).await.expect("answered");
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_answer_about_the_hubs_key_is_refused() {
    let Some(server) = nats_server("a_forged_answer_about_the_hubs_key_is_refused") else {
        return;
    };
    let bed = Bed::new(server.clone());
    let bus = bed.bus().await;
    let Credentials::File(publisher) = bed.credentials(Role::Publisher, "ci") else {
        panic!("the bed has an operator");
    };
    let spy = Spy::on(&bus).await;
    let home = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(home.path(), server);
    let document = secret("db", &["eu"], "one").to_string();
    std::fs::write(home.path().join("db.json"), document).expect("written");
    let (url, creds) = (bed.connect.url.clone(), publisher.display().to_string());
    let apply = async || {
        let (fleetcast, url, creds) = (fleetcast.clone(), url.clone(), creds.clone());
        let words =
            move || fleetcast.run(&["apply", "-f", "db.json", "--nats", &url, "--creds", &creds]);
        tokio::task::spawn_blocking(words).await.expect("it ends")
    };
    let (evil, hub) = (keys("evil"), keys("hub"));
    let (evil, hub) = (evil.newest().expect("a key"), hub.newest().expect("a key"));
    for (forged, part) in [
        (json!({"key": evil, "plain": false}), evil),
        (json!({"key": null, "plain": true}), "are not sealed"),
    ] {
        let forging = forger(&bed, forged).await;
        let refused = apply().await;
        let said = refused.out + &refused.err;
        assert_eq!(refused.status, 1, "{said}");
        assert!(said.contains(part) && said.contains(hub), "{said}");
        assert!(
            said.contains("auth renew") && said.contains("--seal-to"),
            "{said}"
        );
        assert!(!is_in(said.as_bytes(), MARK), "{said}");
        forging.abort();
        let _ = forging.await;
    }
    for (subject, body) in spy.seen() {
        assert!(
            !subject.starts_with("fc.in.apply"),
            "{subject} was handed in"
        );
        assert!(!is_in(&body, MARK), "{subject}");
    }
    // The hub's own answer counts.
    let _ingest = bed.ingest("a");
    let done = apply().await;
    assert_eq!(done.status, 0, "{done:?}");
}
