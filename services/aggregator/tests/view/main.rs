//! The aggregator against a real NATS server: folding, confirming, answering, dead letters, restarts, another log.

mod world;

use std::time::Duration;

use fleetcast_aggregator::answer::{Clusters, Digest, Explanation, Objects};
use fleetcast_aggregator::client::{self, Request, query};
use fleetcast_bus::read::From;
use fleetcast_bus::streams::{self};
use fleetcast_core::ack::Seen;
use fleetcast_core::fold::Condition;
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Headers, Message, event};

use world::{World, eu, key};

const WEB: &str = "Deployment.apps/shop/web";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_folded_is_answered_and_confirmed() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let soon = Request {
        wait_ms: Some(500),
        ..Request::default()
    };
    let early = query::<Objects>(&world.bus, "objects", None, &soon).await;
    assert!(
        matches!(&early, Err(client::Error::Refused(refusal)) if refusal.message.contains("no log yet")),
        "before the log is there nothing is answered: {early:?}"
    );

    world.begin_log(1).await;
    let mut seen = world
        .bus
        .subscribe(&Lane::new(eu(), 1).seen())
        .await
        .expect("subscribed");
    let sequence = world.place(WEB, 1).await;
    let pending = world.objects(sequence).await;
    assert_eq!(pending.as_of.log, sequence);
    assert_eq!(pending.objects[0].rows[0].condition, Condition::Pending);

    world.acknowledge(WEB, 1, 1).await;
    let told = seen.next().await.expect("told").message;
    let told = event::read_seen(&told.headers, &told.payload).expect("readable");
    let first = Seen {
        transitions: 1,
        count: 1,
    };
    assert_eq!(told, first);
    let applied = world.all_applied(1).await;
    assert_eq!(applied.as_of.acks["p00"], 1);

    let chain: Explanation = query(&world.bus, "explain", Some(&key(WEB)), &Request::default())
        .await
        .expect("answered");
    assert_eq!((chain.broken_link, chain.change.revision), (None, 1));
    let fleet: Clusters = query(&world.bus, "clusters", None, &Request::default())
        .await
        .expect("answered");
    assert_eq!(
        (fleet.clusters[0].applied, fleet.clusters[0].behind),
        (1, 0)
    );

    let far = Request {
        min_log: Some(1_000),
        wait_ms: Some(10),
        ..Request::default()
    };
    let refused = query::<Objects>(&world.bus, "objects", None, &far).await;
    assert!(matches!(refused, Err(client::Error::Refused(refusal)) if refusal.field == "min_seq"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_read_is_put_aside_and_passed() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.begin_log(1).await;
    let hostile = |subject: &str, payload: &[u8]| Message {
        subject: subject.to_owned(),
        headers: Headers::default().with("ce-type", "dev.fleetcast.change.v9"),
        payload: payload.to_vec(),
    };
    world
        .append(hostile("fc.log.change.Deployment.apps.shop.web", b"\xc1"))
        .await;
    world.append(hostile("fc.log.policy.a.b.c.d", b"{}")).await;
    world
        .publish(hostile(&Lane::new(eu(), 1).ack(), b"\x00"))
        .await;
    let mut bodiless = hostile(&Lane::new(eu(), 1).ack(), b"");
    bodiless.headers.set("ce-dataref", "fc_bodies/none");
    world.publish(bodiless).await;
    let sequence = world.place(WEB, 1).await;
    world.acknowledge(WEB, 1, 1).await;
    world.all_applied(1).await;
    assert_eq!(world.objects(sequence).await.as_of.log, sequence);
    let mut dead = world
        .bus
        .read(streams::DEAD, &[], From::Sequence(1), false)
        .await
        .expect("readable");
    let mut subjects = Vec::new();
    for _ in 0..4 {
        let letter = tokio::time::timeout(Duration::from_secs(5), dead.next())
            .await
            .unwrap_or_else(|_| panic!("only {subjects:?}"))
            .expect("a letter")
            .message;
        let letter = event::read_dead(&letter.headers, &letter.payload).expect("readable");
        assert!(!letter.reason.is_empty() && letter.sequence > 0);
        subjects.push(letter.subject);
    }
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "fc.ack.p00.eu-1",
            "fc.ack.p00.eu-1",
            "fc.log.change.Deployment.apps.shop.web",
            "fc.log.policy.a.b.c.d"
        ]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_and_the_view_is_the_same_without_its_checkpoint() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.begin_log(1).await;
    let mut last = 0;
    for number in 1..=20 {
        let object = format!("ConfigMap/shop/c{number}");
        last = world.place(&object, 1).await;
        world.acknowledge(&object, 1, number).await;
    }
    world.all_applied(20).await;
    assert_eq!(world.objects(last).await.objects.len(), 20);
    let digest = async |world: &World| -> Digest {
        query(&world.bus, "digest", None, &Request::default())
            .await
            .expect("answered")
    };
    let before = digest(&world).await;

    world.stop().await;
    let checkpoint = world.directory.path().join("state").join("view.checkpoint");
    assert!(checkpoint.exists());
    world.start().await;
    assert_eq!(digest(&world).await, before, "from the checkpoint");

    world.stop().await;
    std::fs::write(&checkpoint, "torn").expect("written");
    world.start().await;
    assert_eq!(digest(&world).await, before, "folded anew");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_another_log_is_not_used() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.begin_log(1).await;
    world.place(WEB, 1).await;
    world.acknowledge(WEB, 1, 1).await;
    world.all_applied(1).await;
    world.stop().await;

    let state = world.directory.path().join("state");
    let Some(mut other) = World::begin().await else {
        return;
    };
    other.stop().await;
    std::fs::create_dir_all(other.directory.path().join("state")).expect("made");
    std::fs::copy(
        state.join("view.checkpoint"),
        other.directory.path().join("state").join("view.checkpoint"),
    )
    .expect("copied");
    other.begin_log(2).await;
    other.start().await;
    let all = other.objects(2).await;
    assert_eq!((all.as_of.log, all.objects.len()), (2, 0));
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_to_a_clients_inbox_only() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    world.begin_log(1).await;
    let elsewhere = "fc.work.p00.eu-1.0.abc";
    let mut watch = world.bus.subscribe(elsewhere).await.expect("subscribed");
    let message = Message {
        subject: "fc.query.digest._._._._".to_owned(),
        headers: Headers::default(),
        payload: Vec::new(),
    };
    world
        .bus
        .publish_with_reply(message, elsewhere)
        .await
        .expect("published");
    world.objects(1).await;
    let nothing = tokio::time::timeout(Duration::from_millis(200), watch.next()).await;
    assert!(nothing.is_err(), "nothing is published there");
    world.stop().await;
}
