//! What takes the place of something else while everything runs: credentials that are renewed in their files, and keys that are rotated under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fleetcast_auth::authority::Issue;
use fleetcast_bus::Credentials;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_endpoint::Health;
use fleetcast_endpoint::health::LAG;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Binary, config_map, eventually, held, nats_server, unix_seconds,
};

use crate::permissions::revoking::gets_in;

/// How long agents may take to follow: they ask for what they lack every 30 to 60 seconds, and are told then.
const FOLLOWING: Duration = Duration::from_secs(180);

fn file_of(bed: &Bed, role: Role) -> std::path::PathBuf {
    match bed.credentials(role, "test") {
        Credentials::File(path) => path,
        _ => panic!("the bed has an operator"),
    }
}

/// Shows that ingest and aggregator tell of credentials that end soon, take up what is put in their place, and go on behind the end of the first ones; what is of no
/// use is not taken up.
#[tokio::test(flavor = "multi_thread")]
async fn services_take_up_a_replaced_file_without_a_restart() {
    let Some(server) = nats_server("services_take_up_a_replaced_file_without_a_restart") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let mut short = Vec::new();
    for role in [Role::Ingest, Role::Aggregator] {
        let issue = Issue {
            role,
            name: "test".to_owned(),
            ttl_s: Some(30),
            kinds: Vec::new(),
            namespaces: Vec::new(),
        };
        let path = bed.authority().credentials_path(role, "test");
        let file = bed.issue(&issue);
        file.write(&path).expect("written");
        short.push((path, file));
    }
    let (ingest, view) = (Health::new(LAG, &[]), Health::new(LAG, &[]));
    let _services = (
        bed.ingest_telling("a", &ingest),
        bed.aggregator_telling("view", None, &view),
    );
    let eu = Cluster::new("eu");
    let _agent = bed.agent(&eu);
    bed.register(&bus, &["eu"]).await;
    bed.accept(&bus, &config_map("web", &["eu"], "one")).await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;

    // What is of no use costs nothing that there is.
    let (path, good) = &short[0];
    let half = good.text()[..200].to_owned();
    fleetcast_bus::credentials::write_secret(path, half.as_bytes()).expect("written");
    for health in [&ingest, &view] {
        eventually("it tells that they end soon", async || {
            let warnings = health.warnings();
            warnings
                .iter()
                .any(|said| said.contains("the credentials in") && said.contains("end"))
        })
        .await;
    }
    assert!(ingest.missing().is_empty(), "{:?}", ingest.missing());
    for (path, file) in &short {
        let renewed = bed
            .authority()
            .renew(file, Some(Some(24 * 60 * 60)), unix_seconds())
            .expect("renewed");
        assert_eq!(renewed.seed, file.seed, "the same user");
        renewed.write(path).expect("written");
    }
    for health in [&ingest, &view] {
        eventually("they are taken up", async || health.warnings().is_empty()).await;
    }
    let ends = short[1].1.claims().expect("claims").ends_at;
    eventually("the first ones have ended", async || {
        unix_seconds() > ends + 2
    })
    .await;
    assert!(!gets_in(&write(&bed, "old.creds", &short[1].1), &bed.connect.url).await);
    for (revision, text) in [(2, "two"), (3, "three")] {
        bed.accept(&bus, &config_map("web", &["eu"], text)).await;
        bed.settled(&bus, "ConfigMap/default/web", revision).await;
    }
}

fn write(bed: &Bed, name: &str, file: &CredentialsFile) -> std::path::PathBuf {
    let path = bed.directory.path().join(name);
    file.write(&path).expect("written");
    path
}

/// Shows a whole rotation of the master key and of the signing keys of three roles while changes go in: agents follow by themselves, no change is lost, nobody is shut
/// out before he has followed, and then the earlier keys count no more.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_under_load_and_the_earlier_ones_refused_afterwards() {
    let test = "keys_are_rotated_under_load_and_the_earlier_ones_refused_afterwards";
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server.clone());
    let fleetcast = Binary::new(bed.directory.path(), server);
    let bus = bed.bus().await;
    let operator = match &bed.connect.credentials {
        Credentials::File(path) => path.display().to_string(),
        _ => panic!("the bed has an operator"),
    };
    let earlier: Vec<CredentialsFile> = [Role::Ingest, Role::Aggregator]
        .map(|role| CredentialsFile::read(&file_of(&bed, role)).expect("read"))
        .into();
    let _services = (bed.ingest("a"), bed.ingest("b"), bed.aggregator());
    let names = ["eu", "us", "ap"];
    let clusters = names.map(Cluster::new);
    let _agents: Vec<_> = clusters.iter().map(|cluster| bed.agent(cluster)).collect();
    let agent = bed.authority().credentials_path(Role::Agent, "eu");
    let first = CredentialsFile::read(&agent).expect("read");
    bed.register(&bus, &names).await;
    // Nobody changes it: its work stands there under the earlier key until it is signed anew.
    bed.accept(&bus, &config_map("still", &names, "x")).await;
    let url = bed.connect.url.clone();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = async {
        while !stop.load(Ordering::Relaxed) {
            let n = count.load(Ordering::Relaxed) + 1;
            let document = config_map(&format!("o{}", n % 5), &names, &n.to_string());
            bed.accept(&bus, &document).await;
            count.store(n, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let goes_on = async |what: &str| {
        let before = count.load(Ordering::Relaxed);
        eventually(what, async || count.load(Ordering::Relaxed) > before + 5).await;
    };
    let place = ["--nats", &url, "--creds", &operator];
    let run = async |words: &[&str]| {
        let words: Vec<String> = words
            .iter()
            .chain(&place)
            .map(ToString::to_string)
            .collect();
        let fleetcast = fleetcast.clone();
        let ran = tokio::task::spawn_blocking(move || {
            fleetcast.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
        });
        ran.await.expect("it ends")
    };
    let script = async {
        goes_on("changes go in").await;
        let rotate = ["auth", "rotate", "agent", "ingest", "aggregator"];
        let now = ["--begin-in", "0s", "--dir", "auth"];
        let rotated = run(&[&rotate[..], &now].concat()).await;
        assert_eq!(rotated.status, 0, "{rotated:?}");
        for part in [
            "work: the newest is",
            "agent: the newest is",
            "ingest-test.creds",
            "aggregator-test.creds",
        ] {
            assert!(rotated.out.contains(part), "{part}: {rotated:?}");
        }
        let retire = ["auth", "retire", "--dir", "auth"];
        let early = run(&retire).await;
        assert_eq!(early.status, 1, "{early:?}");
        assert!(early.err.contains("agent eu"), "{early:?}");
        goes_on("changes go in meanwhile").await;

        // Agents follow; then what stands in the work stream is signed anew, and nothing hangs on the earlier keys.
        let begin = Instant::now();
        loop {
            let followed = run(&retire).await;
            if followed.err.contains("replay --rebuild work") {
                break;
            }
            assert!(begin.elapsed() < FOLLOWING, "{followed:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        goes_on("changes go in when all have followed").await;
        let rebuilt = run(&["replay", "--rebuild", "work"]).await;
        assert_eq!(rebuilt.status, 0, "{rebuilt:?}");
        let retired = run(&retire).await;
        assert_eq!(retired.status, 0, "{retired:?}");
        assert!(
            retired.out.contains("is retired") && retired.out.contains("know it"),
            "{retired:?}"
        );
        goes_on("changes go in with the newest keys alone").await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, script);

    // Nothing was lost: each object has the newest text everywhere.
    let last = count.load(Ordering::Relaxed);
    for n in last - 4..=last {
        let (name, text) = (format!("o{}", n % 5), n.to_string());
        for cluster in &clusters {
            eventually(
                &format!("{name} is the newest in {}", cluster.name()),
                async || {
                    let held = held(cluster, "v1", "ConfigMap", Some("default"), &name).await;
                    held.is_some_and(|held| held["data"]["text"] == text)
                },
            )
            .await;
        }
    }
    // Whoever has only the earlier ones is refused; whoever followed is not.
    let old = [
        ("agent", &first),
        ("ingest", &earlier[0]),
        ("aggregator", &earlier[1]),
    ];
    for (name, file) in old {
        let path = write(&bed, &format!("old-{name}.creds"), file);
        assert!(!gets_in(&path, &url).await, "{name}");
    }
    let now = CredentialsFile::read(&agent).expect("read");
    assert_eq!(now.seed, first.seed, "the same user");
    assert_ne!(now.work_keys[0], first.work_keys[0]);
    assert!(gets_in(&agent, &url).await);
    let ingest = CredentialsFile::read(&file_of_folder(&bed, "ingest-test.creds")).expect("read");
    assert_eq!(ingest.master_keys.len(), 1, "the earlier one is gone");
    assert_ne!(ingest.master_keys, earlier[0].master_keys);
    assert!(ingest.earlier_signers.is_empty() && ingest.key_times.is_empty());
    // The table of who holds what says so, too.
    let keys = run(&["auth", "keys", "-o", "json", "--dir", "auth"])
        .await
        .json();
    let all = keys["keys"].as_array().expect("a list");
    let of = |key: &str, standing: &str| {
        let is = |row: &&serde_json::Value| row["key"] == key && row["standing"] == standing;
        all.iter().filter(is).count()
    };
    for key in ["work", "agent", "ingest", "aggregator"] {
        assert_eq!(
            (of(key, "newest"), of(key, "retired"), of(key, "counts")),
            (1, 1, 0),
            "{key}: {keys}"
        );
    }
    assert_eq!(of("reader", "retired"), 0);
    let newest = all.iter().filter(|row| row["standing"] == "newest");
    for row in newest {
        assert_eq!(row["not_followed"], serde_json::json!([]), "{keys}");
    }
}

fn file_of_folder(bed: &Bed, name: &str) -> std::path::PathBuf {
    bed.directory.path().join("auth").join(name)
}
