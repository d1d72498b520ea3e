//! Every place where a Secret's value could stand, searched for it as text, in base64 and in URL-safe base64; where it is said in the open, it is found.

use std::io::Write;
use std::sync::{Arc, Mutex};

use fleetcast_agent::Options;
use fleetcast_bus::credentials::write_secret;
use fleetcast_bus::streams;
use fleetcast_core::fold::Condition;
use fleetcast_core::model::ClusterName;
use fleetcast_core::sealed;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, keys, nats_server};
use serde_json::json;
use tokio::sync::watch;

use super::scene::{MARK, OPEN, holding, holds, is_in, messages, secret};

/// What everything in this process logs, at TRACE.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn agent(bed: &Bed, cluster: &Cluster) -> (watch::Sender<bool>, std::path::PathBuf) {
    let (stop, stopped) = watch::channel(false);
    let state = bed
        .directory
        .path()
        .join(format!("agent-{}", cluster.name()));
    let options = Options {
        cluster: ClusterName::parse(cluster.name()).expect("a name"),
        partitions: 1,
        bus: bed.connect_as(Role::Agent, cluster.name()),
        client: cluster.client(),
        reporting: fleetcast_agent::cluster::Reporting::default(),
        state: Some(state.clone()),
        measure_every: None,
        sealing_keys: Arc::new(keys(cluster.name())),
        identity: "test".to_owned(),
        health: Default::default(),
        namespace: fleetcast_agent::cluster::NAMESPACE.to_owned(),
        creds_secret: None,
    };
    tokio::spawn(fleetcast_agent::run(options, stopped));
    (stop, state)
}

/// Hands Secrets in, with overrides and one larger than a message may be, lets them be changed, withdrawn, refused and drift, and then looks everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_values_of_secrets_stand_nowhere_but_in_their_clusters() {
    let test = "the_values_of_secrets_stand_nowhere_but_in_their_clusters";
    let Some(server) = nats_server(test) else {
        return;
    };
    let log = Log::default();
    let writer = log.clone();
    // What the client of a simulated cluster sends is logged nowhere by us; its own log quotes answers, and commands keep it off.
    tracing_subscriber::fmt()
        .with_env_filter("trace,kube_client=info,async_nats::connection=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let ingest = bed.ingest("ingest");
    let aggregator = bed.aggregator();
    bed.register(&bus, &["eu", "us"]).await;
    let nameless = json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": "keyless"}});
    bed.accept(&bus, &nameless).await;
    let (eu, us) = (Cluster::new("eu"), Cluster::new("us"));
    let (stop_eu, local) = agent(&bed, &eu);
    let (stop_us, _) = agent(&bed, &us);

    // Everybody has what he should, and only that.
    let both = &["eu", "us", "keyless"];
    assert_eq!(bed.accept(&bus, &secret("db", both, "one")).await, 1);
    holds(&eu, "db", &format!("{MARK} one")).await;
    holds(&us, "db", &format!("{MARK} one in us")).await;
    let stands = bed.settled(&bus, "Secret/default/db", 1).await;
    assert_eq!(stands["keyless"], Condition::Excluded, "{stands:?}");

    // Handed in again it is no change; changed it is.
    assert_eq!(bed.accept(&bus, &secret("db", both, "one")).await, 1);
    assert_eq!(bed.accept(&bus, &secret("db", both, "two")).await, 2);
    holds(&eu, "db", &format!("{MARK} two")).await;
    let kubefed = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedSecret", "metadata": {"name": "old", "namespace": "default"},
        "spec": {"template": {"stringData": {"text": format!("{MARK} kubefed")}}, "placement": {"clusters": [{"name": "eu"}]}},
    });
    let namespace = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace", "metadata": {"name": "default", "namespace": "default"},
        "spec": {"placement": {"clusters": [{"name": "eu"}]}},
    });
    bed.accept(&bus, &namespace).await;
    bed.accept(&bus, &kubefed).await;
    holds(&eu, "old", &format!("{MARK} kubefed")).await;
    let large = secret("large", &["eu"], &format!("{MARK} ").repeat(12_000));
    bed.accept(&bus, &large).await;
    eventually("the large one lands", async || {
        super::scene::text_in(&eu, "large").await.is_some()
    })
    .await;

    // What is refused quotes nothing.
    let mut wrong = secret("wrong", both, "refused");
    wrong["spec"]["unknown"] = json!(1);
    wrong["spec"]["template"]["data"] = json!(format!("{MARK} no map"));
    let Answer::Refused { refusal } = super::scene::apply(&bus, &wrong, "wrong").await else {
        panic!("it is accepted");
    };
    assert!(
        !is_in(format!("{refusal:?}").as_bytes(), MARK),
        "{refusal:?}"
    );

    // Somebody changes a copy: it is healed, and what is told of that holds no value.
    super::scene::change(&eu, "db", &format!("{MARK} drifted")).await;
    holds(&eu, "db", &format!("{MARK} two")).await;
    bed.accept(&bus, &config_map("open", &["eu", "us"], OPEN))
        .await;
    bed.settled(&bus, "ConfigMap/default/open", 1).await;
    bed.withdraw(&bus, "Secret/default/old").await;
    eventually("it goes", async || {
        super::scene::text_in(&eu, "old").await.is_none()
    })
    .await;

    let long: Vec<String> = (0..40_000).map(|n| format!("{n} said")).collect();
    let long = format!("{} all-that-was-said-at-length", long.join(" "));
    bed.accept(&bus, &config_map("long", &["eu"], &long)).await;
    bed.settled(&bus, "ConfigMap/default/long", 1).await;

    // Messages, as anybody with a reader's rights gets them.
    let streams = [
        streams::LOG.to_owned(),
        streams::work(0),
        streams::acks(0),
        streams::DEAD.to_owned(),
    ];
    let mut found_open = 0;
    for stream in &streams {
        for (headers, body) in messages(&bus, stream).await {
            assert!(!is_in(headers.as_bytes(), MARK), "{stream}: {headers}");
            assert!(!is_in(&body, MARK), "{stream}: {headers}");
            found_open += usize::from(is_in(&body, OPEN));
        }
    }
    assert!(found_open > 2, "the search finds what stands in the open");

    // What is sealed to one cluster is not opened by the agent of another, nor is the log.
    let object = "Secret/default/db".parse().expect("an object");
    let mut opened = 0;
    for (headers, body) in messages(&bus, &streams::work(0)).await {
        let text = String::from_utf8_lossy(&body).into_owned();
        for word in text
            .split('"')
            .filter(|word| word.starts_with(sealed::MARK))
        {
            let parsed = sealed::Sealed::parse(word).expect("a sealed value");
            let by = |cluster: &str| keys(cluster).open(word, &object).is_ok();
            let (of_eu, of_us) = (by("eu"), by("us"));
            assert!(!(of_eu && of_us), "{headers}");
            assert!(keys("nobody").open(word, &object).is_err());
            assert_ne!(Some(parsed.recipient), keys("hub").newest(), "{headers}");
            opened += usize::from(of_eu || of_us);
        }
    }
    assert!(opened > 2, "agents open what is theirs");

    // What commands print.
    let fleetcast = bed.binary(bed.directory.path());
    let url = bed.connect.url.clone();
    std::fs::write(
        bed.directory.path().join("plan.yaml"),
        secret("db", both, "three").to_string(),
    )
    .expect("written");
    let hub_keys = bed.directory.path().join("hub.keys");
    write_secret(&hub_keys, keys("hub").text().as_bytes()).expect("written");
    let told = tokio::task::spawn_blocking(move || {
        let object = "secret/default/db";
        let mut told = Vec::new();
        for args in [
            vec!["get", object, "-o", "json"],
            vec!["get", object, "-o", "yaml"],
            vec!["get", object, "-o", "wide"],
            vec!["explain", object],
            vec!["explain", object, "-o", "json"],
            vec!["history", object],
            vec!["history", object, "-o", "json"],
            vec!["diff", object],
            vec!["diff", object, "-o", "json"],
            vec!["diff", object, "--cluster", "us"],
            vec!["events"],
            vec!["events", "-o", "json"],
            vec!["plan", "-f", "plan.yaml"],
            vec!["plan", "-f", "plan.yaml", "-o", "json"],
            vec!["plan", "-f", "plan.yaml", "-o", "yaml"],
            vec!["plan", "-f", "plan.yaml", "--sealing-keys", "hub.keys"],
            vec![
                "plan",
                "-f",
                "plan.yaml",
                "--sealing-keys",
                "hub.keys",
                "-o",
                "json",
            ],
            vec!["cluster", "list", "-o", "json"],
            vec!["backup", "backup"],
            vec!["retain", "--to", "8", "--backup", "backup", "--yes"],
        ] {
            let all = args.iter().copied().chain(["--nats", &url]);
            let output = fleetcast.run(&all.collect::<Vec<_>>());
            assert!(output.status <= 1, "{args:?}: {output:?}");
            told.push((args.join(" "), output.out + &output.err));
        }
        // The plan's file is ours, and holds what it holds.
        std::fs::remove_file(fleetcast.directory.join("plan.yaml")).expect("gone");
        told
    });
    let told = told.await.expect("they end");
    for (command, text) in &told {
        assert!(!is_in(text.as_bytes(), MARK), "{command}: {text}");
        assert!(!text.contains(sealed::MARK), "{command}: {text}");
    }
    let said = |command: &str| {
        let mut all = told.iter().filter(|(one, _)| one == command);
        let (_, text) = all.next().unwrap_or_else(|| panic!("{command} ran"));
        text.as_str()
    };
    for command in [
        "diff secret/default/db -o json",
        "plan -f plan.yaml --sealing-keys hub.keys -o json",
    ] {
        assert!(
            said(command).contains(sealed::SHOWN),
            "{command}: {}",
            said(command)
        );
    }
    // Who has no keys is told what was not compared, instead of that it changes.
    let (without, with) = (
        said("plan -f plan.yaml"),
        said("plan -f plan.yaml --sealing-keys hub.keys"),
    );
    assert!(
        without.contains("0 changed") && without.contains("not compared with the log"),
        "{without}"
    );
    assert!(
        with.contains("2 changed") && !with.contains("not compared"),
        "{with}"
    );
    assert!(said("plan -f plan.yaml -o json").contains("(not compared)"));

    let base = bus.base().await.expect("it answers");
    assert!(base.is_some(), "a base is in the store");

    // Files: the server's store, checkpoints, the agents' copies, the backup; while all runs, and after it has ended.
    assert!(local.join("work").is_dir());
    stop_eu.send_replace(true);
    stop_us.send_replace(true);
    ingest.stop().await;
    aggregator.stop().await;
    drop(bus);
    let folder = bed.directory.path();
    assert_eq!(holding(folder, MARK), Vec::<std::path::PathBuf>::new());
    for (place, open) in [
        ("nats", OPEN),
        ("backup", OPEN),
        ("ingest", OPEN),
        ("agent-eu", OPEN),
        // What is large is kept beside the log, and compressed.
        ("nats", "all-that-was-said-at-length"),
    ] {
        let found = holding(&folder.join(place), open);
        assert!(!found.is_empty(), "{open} is found in {place}");
    }
    let logged = log.0.lock().expect("whole").clone();
    let text = String::from_utf8_lossy(&logged);
    for line in text.lines() {
        assert!(
            !is_in(line.as_bytes(), MARK),
            "a log at TRACE holds a value: {line}"
        );
    }
    assert!(is_in(&logged, "change accepted"));
}
