//! Keys: without any a Secret is refused, to a lost one nothing more is sealed, and what an old one of the hub sealed stays readable to who has it.

use std::sync::Arc;

use fleetcast_agent::Options;
use fleetcast_auth::authority::Issue;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_sealing::{Keys, Sealer, Sealing};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, eventually, keys, nats_server};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::scene::{MARK, apply, holds, secret, text_in};

fn registration(cluster: &str, key: Option<&str>) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": cluster}, "spec": {"sealingKey": key},
    })
}

fn agent(bed: &Bed, cluster: &Cluster, keys: Keys) -> watch::Sender<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(fleetcast_agent::run(options(bed, cluster, keys), stopped));
    stop
}

fn options(bed: &Bed, cluster: &Cluster, keys: Keys) -> Options {
    Options {
        cluster: ClusterName::parse(cluster.name()).expect("a name"),
        partitions: 1,
        bus: bed.connect_as(Role::Agent, cluster.name()),
        client: cluster.client(),
        reporting: fleetcast_agent::cluster::Reporting::default(),
        state: None,
        measure_every: None,
        sealing_keys: Arc::new(keys),
        identity: "test".to_owned(),
        health: Default::default(),
        namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
        creds_secret: None,
    }
}

/// A cluster without a key gets no Secret and is told why; with one it gets it; with another after a loss it gets everything anew, without a write.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_its_key_joins_again_and_has_everything() {
    let Some(server) = nats_server("a_cluster_that_lost_its_key_joins_again_and_has_everything")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let ingest = bed.ingest("ingest");
    let _aggregator = bed.aggregator();
    let eu = Cluster::new("eu");
    bed.accept(&bus, &registration("eu", None)).await;
    let Answer::Accepted(accepted) = apply(&bus, &secret("db", &["eu"], "one"), "1").await else {
        panic!("it is refused");
    };
    let warning = &accepted.warnings[0].message;
    assert!(warning.contains("--sealing-key"), "{warning}");
    let stands = bed.settled(&bus, "Secret/default/db", 1).await;
    assert_eq!(stands["eu"], Condition::Excluded);

    let first = keys("eu");
    bed.accept(&bus, &registration("eu", first.newest())).await;
    let stop = agent(&bed, &eu, first);
    holds(&eu, "db", &format!("{MARK} one")).await;
    // Described anew by somebody who does not know the key: it stays.
    let mut described = registration("eu", None);
    described["spec"]["region"] = json!("west");
    bed.accept(&bus, &described).await;
    bed.accept(&bus, &secret("db", &["eu"], "two")).await;
    holds(&eu, "db", &format!("{MARK} two")).await;
    bed.settled(&bus, "Secret/default/db", 2).await;

    // The key is lost; an agent with another one cannot open what comes, and says so.
    stop.send_replace(true);
    let writes = version_of(&eu, "db").await;
    let second = || keys("eu, joined again");
    let _stop = agent(&bed, &eu, second());
    bed.accept(&bus, &secret("db", &["eu"], "three")).await;
    eventually("the agent says that it has no key", async || {
        let Some(summary) = bed.summary(&bus, "Secret/default/db").await else {
            return false;
        };
        let row = &summary.rows[0];
        row.condition == Condition::Retrying && format!("{row:?}").contains("cannot be opened")
    })
    .await;
    assert_eq!(version_of(&eu, "db").await, writes);
    bed.accept(&bus, &registration("eu", second().newest()))
        .await;
    holds(&eu, "db", &format!("{MARK} three")).await;

    // Once more a new key, with nothing changed meanwhile: another leader seals it anew, too, and the agent has nothing to write.
    bed.settled(&bus, "Secret/default/db", 3).await;
    let writes = version_of(&eu, "db").await;
    ingest.stop().await;
    let _ingest = bed.ingest("another");
    let third = keys("eu, for the third time");
    bed.accept(&bus, &registration("eu", third.newest())).await;
    let object = "Secret/default/db".parse().expect("an object");
    eventually("its work is sealed to the new key", async || {
        let work = super::scene::messages(&bus, &fleetcast_bus::streams::work(0)).await;
        work.iter().any(|(_, body)| {
            let text = String::from_utf8_lossy(body).into_owned();
            text.split('"')
                .any(|word| third.open(word, &object).is_ok())
        })
    })
    .await;
    assert_eq!(version_of(&eu, "db").await, writes);
}

async fn version_of(cluster: &Cluster, name: &str) -> Option<String> {
    let held =
        fleetcast_tests::harness::held(cluster, "v1", "Secret", Some("default"), name).await?;
    held["metadata"]["resourceVersion"]
        .as_str()
        .map(str::to_owned)
}

/// A hub whose key is replaced seals with the new one, carries out and rolls back what the old one sealed, and without the old one says what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_key_of_the_hub_sealed_stays_readable_to_who_has_it() {
    let Some(server) =
        nats_server("what_an_old_key_of_the_hub_sealed_stays_readable_to_who_has_it")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _aggregator = bed.aggregator();
    let sealing = |keys: Keys| Sealing::With(Arc::new(Sealer::new(keys, Vec::new())));
    let old = || keys("hub");
    let rotated = Keys::parse(&old().text()).expect("keys").rotated();
    let ingest = bed.ingest_sealing("ingest", sealing(old()));
    bed.register(&bus, &["eu", "us"]).await;
    bed.accept(&bus, &secret("db", &["eu"], "one")).await;
    let eu = Cluster::new("eu");
    let _agent = bed.agent(&eu);
    holds(&eu, "db", &format!("{MARK} one")).await;
    let first = document(&bus, "db").await;
    ingest.stop().await;

    // Both keys: the old revision is carried out in a cluster that comes later, and rolled back to.
    let ingest = bed.ingest_sealing(
        "ingest",
        sealing(Keys::parse(&rotated.text()).expect("keys")),
    );
    bed.accept(&bus, &secret("db", &["eu"], "two")).await;
    holds(&eu, "db", &format!("{MARK} two")).await;
    assert_eq!(apply_revision(&bus, &first, "back").await, 3);
    holds(&eu, "db", &format!("{MARK} one")).await;
    let third = document(&bus, "db").await;
    assert_ne!(first, third, "it is sealed by the new key");
    ingest.stop().await;

    // A service that has only the new key cannot hand the old one's on, and nothing goes out in plain text.
    let only_new: String = rotated.text().lines().take(1).collect();
    let _ingest = bed.ingest_sealing("other", sealing(Keys::parse(&only_new).expect("keys")));
    let Answer::Refused { refusal } = apply(&bus, &first, "again").await else {
        panic!("it is accepted");
    };
    assert!(refusal.message.contains("not held"), "{refusal:?}");
    assert_eq!(bed.accept(&bus, &secret("db", &["eu"], "four")).await, 4);
    holds(&eu, "db", &format!("{MARK} four")).await;
}

/// The newest document of a Secret, as it stands in the log.
async fn document(bus: &fleetcast_bus::Bus, name: &str) -> Value {
    let object = format!("Secret/default/{name}").parse().expect("an object");
    let subject = fleetcast_schemas::subject::change_of(&object);
    let newest = bus.newest_of(fleetcast_bus::streams::LOG, &subject).await;
    let stored = newest.expect("it answers").expect("a change");
    let entry = fleetcast_schemas::event::log_entry(&stored.message, stored.sequence);
    let fleetcast_core::log::Event::Change(change) = entry.expect("an event").event else {
        panic!("a change stands there");
    };
    let fleetcast_core::change::Content::Declared { document, .. } = change.content else {
        panic!("a declaration stands there");
    };
    document.value().expect("JSON")
}

async fn apply_revision(bus: &fleetcast_bus::Bus, document: &Value, id: &str) -> u64 {
    match apply(bus, document, id).await {
        Answer::Accepted(accepted) => accepted.revision,
        Answer::Refused { refusal } => panic!("refused: {refusal:?}"),
    }
}

/// A service that was given no keys refuses what it could not seal; one that was told to stores it in plain text.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_secret_is_refused_unless_plain_text_is_asked_for() {
    let Some(server) =
        nats_server("without_keys_a_secret_is_refused_unless_plain_text_is_asked_for")
    else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let ingest = bed.ingest_sealing("ingest", Sealing::Refused);
    bed.accept(&bus, &registration("eu", None)).await;
    let Answer::Refused { refusal } = apply(&bus, &secret("db", &["eu"], "one"), "1").await else {
        panic!("it is accepted");
    };
    assert!(refusal.message.contains("--sealing-keys"), "{refusal:?}");
    assert!(!format!("{refusal:?}").contains(MARK), "{refusal:?}");
    ingest.stop().await;
    let _ingest = bed.ingest_sealing("ingest", Sealing::Plain);
    let eu = Cluster::new("eu");
    let _agent = agent(&bed, &eu, Keys::default());
    assert_eq!(
        apply_revision(&bus, &secret("db", &["eu"], "one"), "2").await,
        1
    );
    eventually("it lands", async || text_in(&eu, "db").await.is_some()).await;
}

/// Credentials of `auth issue` bring the keys along: those of every ingest open what one sealed, and what an agent's cluster is registered with is the public half of its own.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_bring_the_keys_along() {
    let Some(server) = nats_server("credentials_bring_the_keys_along") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let issue = |role, name: &str| {
        let credentials = bed.issue(&Issue {
            role,
            name: name.to_owned(),
            ttl_s: None,
            kinds: Vec::new(),
            namespaces: Vec::new(),
        });
        Keys::parse(&credentials.text()).expect("keys")
    };
    let of_ingest =
        |name| Sealing::With(Arc::new(Sealer::new(issue(Role::Ingest, name), Vec::new())));
    let ingest = bed.ingest_sealing("one", of_ingest("one"));
    let agents_keys = issue(Role::Agent, "eu");
    let public = bed
        .authority()
        .issued()
        .last()
        .and_then(|issued| issued.sealing_key.clone());
    assert_eq!(public.as_deref(), agents_keys.newest());
    bed.accept(&bus, &registration("eu", public.as_deref()))
        .await;
    bed.accept(&bus, &secret("db", &["eu"], "one")).await;
    ingest.stop().await;

    // The other has not sealed it, and hands it on.
    let _ingest = bed.ingest_sealing("two", of_ingest("two"));
    let eu = Cluster::new("eu");
    let options = Options {
        ..options(&bed, &eu, agents_keys)
    };
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(fleetcast_agent::run(options, stopped));
    bed.accept(&bus, &secret("other", &["eu"], "two")).await;
    holds(&eu, "other", &format!("{MARK} two")).await;
    holds(&eu, "db", &format!("{MARK} one")).await;
}
