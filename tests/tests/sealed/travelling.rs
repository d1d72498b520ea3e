//! What travels over the bus: nothing in plain text of what our command line and HTTP hand in. What a program of somebody else's hands in is accepted, and stored nowhere as it came.

use std::path::Path;

use fleetcast_bus::{Credentials, streams};
use fleetcast_core::sealed;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_sealing::Sealing;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Binary, Http, Spy, door, keys, nats_server, token_file};

use super::scene::{MARK, apply, holding, holds, is_in, messages, secret};

const TOKEN: &str = "the token of somebody who hands in";

fn written(folder: &Path, name: &str, value: &str) -> String {
    let file = format!("{name}.json");
    std::fs::write(folder.join(&file), secret(name, &["eu"], value).to_string()).expect("written");
    file
}

async fn run(fleetcast: &Binary, args: &[&str]) -> fleetcast_tests::harness::Output {
    let (fleetcast, args) = (fleetcast.clone(), args.iter().map(|arg| (*arg).to_owned()));
    let args: Vec<String> = args.collect();
    let run = tokio::task::spawn_blocking(move || {
        fleetcast.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    });
    run.await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_sealed_before_they_travel() {
    let Some(server) = nats_server("values_are_sealed_before_they_travel") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let door = door(&token_file(
        bed.directory.path(),
        &[("ci", "publisher", TOKEN)],
    ));
    let http = Http {
        address: door.address(),
        token: Some(TOKEN.to_owned()),
    };
    let _ingest = bed.ingest_listening("ingest", Some(door));
    let _aggregator = bed.aggregator();
    bed.register(&bus, &["eu"]).await;
    let eu = Cluster::new("eu");
    let _agent = bed.agent(&eu);
    let spy = Spy::on(&bus).await;
    // The files are a person's own.
    let home = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(home.path());

    let file = written(home.path(), "by-cli", "one");
    let nats = bed.connect.url.clone();
    let apply_file = ["apply", "-f", &file, "--nats", &nats];
    assert_eq!(run(&fleetcast, &apply_file).await.status, 0);
    holds(&eu, "by-cli", &format!("{MARK} one")).await;
    // Sealed by another key each time, it is the same to the hub.
    let again = run(&fleetcast, &apply_file).await;
    assert!(again.out.contains("revision 1"), "{again:?}");
    let named = keys("hub").newest().expect("a key").to_owned();
    let named = [&apply_file[..], &["--seal-to", &named]].concat();
    let again = run(&fleetcast, &named).await;
    assert!(again.out.contains("revision 1"), "{again:?}");
    let foreign = keys("somebody").newest().expect("a key").to_owned();
    let foreign = [&apply_file[..], &["--seal-to", &foreign]].concat();
    let refused = run(&fleetcast, &foreign).await;
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains("not held here") || refused.out.contains("not held here"));

    let body = secret("by-http", &["eu"], "two").to_string();
    let (status, _, answer) = http.ask("POST", "/v1/objects", &[], body.as_bytes()).await;
    assert_eq!(status, 200, "{answer}");
    holds(&eu, "by-http", &format!("{MARK} two")).await;
    let (_, _, answer) = http.ask("POST", "/v1/objects", &[], body.as_bytes()).await;
    assert_eq!(answer["revision"], 1, "{answer}");
    for (subject, body) in spy.seen() {
        assert!(!is_in(&body, MARK), "{subject}");
    }

    // A program of somebody else's that does not seal: it has the answer that it would have, its request is seen by whoever reads along, and stored nowhere.
    let Answer::Accepted(_) = apply(&bus, &secret("foreign", &["eu"], "three"), "1").await else {
        panic!("it is refused");
    };
    holds(&eu, "foreign", &format!("{MARK} three")).await;
    let plain: Vec<String> = spy
        .seen()
        .into_iter()
        .filter(|(_, body)| is_in(body, MARK))
        .map(|(subject, _)| subject)
        .collect();
    assert!(!plain.is_empty(), "the search finds it");
    for subject in plain {
        assert_eq!(subject, "fc.in.apply.Secret._.default.foreign");
    }
    for stream in [streams::LOG.to_owned(), streams::work(0)] {
        for (headers, body) in messages(&bus, &stream).await {
            assert!(!is_in(&body, MARK), "{headers}");
        }
    }
    assert_eq!(
        holding(&bed.directory.path().join("nats"), MARK),
        Vec::<std::path::PathBuf>::new()
    );
}

/// A hub without keys refuses at the door; our command line hands nothing in there.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nothing_is_handed_in() {
    let Some(server) = nats_server("without_keys_nothing_is_handed_in") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _ingest = bed.ingest_sealing("ingest", Sealing::Refused);
    bed.register(&bus, &["eu"]).await;
    let spy = Spy::on(&bus).await;
    let home = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(home.path());
    let file = written(home.path(), "db", "one");
    let nats = bed.connect.url.clone();
    let refused = run(&fleetcast, &["apply", "-f", &file, "--nats", &nats]).await;
    assert_eq!(refused.status, 1, "{refused:?}");
    let said = refused.out + &refused.err;
    assert!(
        said.contains("--sealing-keys") && !is_in(said.as_bytes(), MARK),
        "{said}"
    );
    for (subject, body) in spy.seen() {
        assert!(!is_in(&body, MARK), "{subject}");
    }
}

/// With credentials of each role: who hands in is told what to seal; who reads gets digests, and documents not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_digests_and_nothing_else() {
    let Some(server) = nats_server("a_reader_sees_digests_and_nothing_else") else {
        return;
    };
    let bed = Bed::new(server);
    let bus = bed.bus().await;
    let _ingest = bed.ingest("ingest");
    let _aggregator = bed.aggregator();
    bed.register(&bus, &["eu"]).await;
    let eu = Cluster::new("eu");
    let _agent = bed.agent(&eu);
    let home = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(home.path());
    let creds = |role, name| match bed.credentials(role, name) {
        Credentials::File(path) => path.display().to_string(),
        _ => panic!("there is an operator"),
    };
    let (publisher, reader) = (creds(Role::Publisher, "ci"), creds(Role::Reader, "kim"));
    let nats = bed.connect.url.clone();
    for text in ["one", "two"] {
        let file = written(home.path(), "db", text);
        let apply = ["apply", "-f", &file, "--nats", &nats, "--creds", &publisher];
        let output = run(&fleetcast, &apply).await;
        assert_eq!(output.status, 0, "{output:?}");
        holds(&eu, "db", &format!("{MARK} {text}")).await;
    }
    let object = "secret/default/db";
    let mut digests = 0;
    for (args, may) in [
        (vec!["get", object, "-o", "json"], true),
        (vec!["explain", object, "-o", "json"], true),
        (vec!["history", object, "-o", "json"], true),
        (vec!["diff", object, "-o", "json"], true),
        (vec!["events", "-o", "json"], false),
        (vec!["plan", "-f", "db.json"], false),
        (vec!["rollback", object, "--to", "1"], false),
        (vec!["backup", "backup"], false),
    ] {
        let as_reader = ["--nats", &nats, "--creds", &reader];
        let output = run(&fleetcast, &[&args[..], &as_reader].concat()).await;
        // A difference has an exit status of its own.
        assert_eq!(output.out.starts_with('{'), may, "{args:?}: {output:?}");
        let said = output.out + &output.err;
        assert!(!is_in(said.as_bytes(), MARK), "{args:?}: {said}");
        assert!(!said.contains(sealed::MARK), "{args:?}: {said}");
        digests += usize::from(said.contains(sealed::SHOWN));
    }
    assert!(digests > 0, "the difference is told by digests");
}
