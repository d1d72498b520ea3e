//! Work that ingest did not write is not carried out, whoever puts it on the bus; and keys and credentials are renewed while work goes on.

use std::time::Duration;

use fleetcast_auth::authority::Issue;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::{Connect, Credentials, streams};
use fleetcast_schemas::Headers;
use fleetcast_schemas::envelope::{MAC, N};
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};

use crate::{lane, raw};

fn nats_headers(headers: &Headers) -> async_nats::HeaderMap {
    let mut map = async_nats::HeaderMap::new();
    for (name, value) in headers.iter() {
        map.insert(name, value);
    }
    map
}

async fn text(cluster: &Cluster, name: &str) -> Option<String> {
    let held = held(cluster, "v1", "ConfigMap", Some("default"), name).await?;
    held["data"]["text"].as_str().map(str::to_owned)
}

/// The bus's operator may write whatever he likes to every subject and stream; he has no work key.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_ingest_did_not_write_is_refused_and_told() {
    let Some(server) = nats_server("work_that_ingest_did_not_write_is_refused_and_told") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let eu = Cluster::new("eu");
    bed.register(&bus, &["eu"]).await;
    // Placed before the agent was ever heard: signed with a key that it does not have, and anew when it asks.
    bed.accept(&bus, &config_map("early", &["eu"], "early"))
        .await;
    eventually("the early work is written", async || {
        bus.last_sequence(&streams::work(0))
            .await
            .is_ok_and(|last| last >= 3)
    })
    .await;
    let agent = bed.agent(&eu);
    bed.settled(&bus, "ConfigMap/default/early", 1).await;
    bed.accept(&bus, &config_map("web", &["eu"], "genuine"))
        .await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    assert_eq!(text(&eu, "web").await.as_deref(), Some("genuine"));

    let lane = lane("eu");
    let web = "ConfigMap/default/web".parse().expect("valid");
    let genuine = bus
        .newest_of(&streams::work(0), &lane.work(&web))
        .await
        .expect("answers")
        .expect("stands there")
        .message;
    let body = String::from_utf8_lossy(&genuine.payload).contains("genuine");
    assert!(body, "small bodies travel as they are");
    let mut forged = genuine.clone();
    forged.payload = {
        // As long as before: MessagePack and JSON inside stay well-formed.
        let at = forged
            .payload
            .windows(7)
            .position(|window| window == b"genuine")
            .expect("there");
        forged.payload[at..at + 7].copy_from_slice(b"planted");
        forged.payload
    };
    let n: u64 = genuine.headers.parsed(N).expect("a count");
    forged.headers.set(N, (n + 1).to_string());
    let without = {
        let mut headers = forged.headers.clone();
        headers.remove(MAC);
        headers
    };
    let (operator, _) = raw(&bed, Role::Operator, "thief").await;
    let live = lane.work(&web).replace("fc.work.", "fc.live.");
    for headers in [&forged.headers, &without] {
        let headers = nats_headers(&headers.clone().with("Nats-Sequence", "99"));
        let sent =
            operator.publish_with_headers(live.clone(), headers, forged.payload.clone().into());
        sent.await.expect("sent");
    }
    operator.flush().await.expect("flushed");
    eventually("the agent tells of it", async || {
        let asked = fleetcast_aggregator::answer::Request::default();
        let clusters: Result<fleetcast_aggregator::answer::Clusters, _> =
            fleetcast_aggregator::client::query(&bus, "clusters", None, &asked).await;
        clusters.is_ok_and(|all| {
            let trouble = all
                .clusters
                .iter()
                .find_map(|cluster| cluster.trouble.clone());
            trouble.is_some_and(|trouble| trouble.contains("keyed digest"))
        })
    })
    .await;
    assert_eq!(text(&eu, "web").await.as_deref(), Some("genuine"));

    // Into the stream itself: an agent that asks for all of its work refuses the answer, and ingest does not sign it either.
    agent.stop().await;
    let planted = operator.publish_with_headers(
        lane.work(&web),
        nats_headers(&forged.headers),
        forged.payload.clone().into(),
    );
    planted.await.expect("sent");
    operator.flush().await.expect("flushed");
    let us_to_be = bed.agent(&eu);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(text(&eu, "web").await.as_deref(), Some("genuine"));
    us_to_be.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_renews_its_credentials_before_they_end_and_works_on() {
    let Some(server) = nats_server("an_agent_renews_its_credentials_before_they_end_and_works_on")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let eu = Cluster::new("eu");
    bed.register(&bus, &["eu"]).await;
    let issue = Issue {
        role: Role::Agent,
        name: "eu".to_owned(),
        ttl_s: Some(12),
        kinds: Vec::new(),
        namespaces: Vec::new(),
    };
    let path = bed.directory.path().join("eu.creds");
    bed.issue(&issue).write(&path).expect("written");
    let first = CredentialsFile::read(&path).expect("read");
    let connect = Connect {
        credentials: Credentials::File(path.clone()),
        ..bed.connect.clone()
    };
    let _agent = bed.agent_through(&eu, connect);
    bed.accept(&bus, &config_map("web", &["eu"], "one")).await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    let ends = first.claims().expect("claims").ends_at;
    eventually("twice as long has passed", async || {
        let now = fleetcast_bus::now().0.div_euclid(1_000);
        now > ends + 6
    })
    .await;
    let renewed = CredentialsFile::read(&path).expect("read");
    assert!(renewed.claims().expect("claims").ends_at > ends);
    assert_eq!(
        renewed.seed, first.seed,
        "the same user: a revocation still finds it"
    );
    assert_ne!(renewed.work_keys[0], first.work_keys[0]);
    for (revision, text_now) in [(2, "two"), (3, "three")] {
        bed.accept(&bus, &config_map("web", &["eu"], text_now))
            .await;
        bed.settled(&bus, "ConfigMap/default/web", revision).await;
        assert_eq!(text(&eu, "web").await.as_deref(), Some(text_now));
    }
}
