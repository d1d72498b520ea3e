//! The programs of `docs/publishing.md`, run as they stand there: they know nothing of our code.

use std::path::Path;

use fleetcast_bus::Credentials;
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Python, Service, door, nats_server, python, python_with_nats, token_file,
};
use serde_json::{Value, json};

const TOKEN: &str = "a long and random token";

/// The program of the documentation that begins with the comment `# <name> `.
fn program(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/publishing.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let begin = format!("```python\n# {name} ");
    let (_, rest) = text.split_once(&begin).expect("the program stands there");
    let (program, _) = rest.split_once("\n```").expect("it ends");
    format!("# {name} {program}\n")
}

/// A fleet of two clusters, its HTTP address, and what keeps it running.
async fn fleet(bed: &Bed) -> (String, Vec<Service>) {
    let tokens = token_file(bed.directory.path(), &[("greeter", "publisher", TOKEN)]);
    let door = door(&tokens);
    let url = format!("http://{}", door.address());
    let mut running = vec![bed.ingest_listening("a", Some(door)), bed.aggregator()];
    for name in ["eu-1", "us-1"] {
        running.push(bed.agent(&Cluster::new(name)));
    }
    bed.register(&bed.bus().await, &["eu-1", "us-1"]).await;
    (url, running)
}

/// What the program prints, by the first word of each line.
async fn run(python: &Python, bed: &Bed, name: &str, variables: &[(&str, &str)]) -> Value {
    let file = bed.directory.path().join(name);
    std::fs::write(&file, program(name)).expect("written");
    let mut command = python.program(&file);
    command
        .args(["eu-1", "us-1"])
        .envs(variables.iter().copied());
    let ended = tokio::task::spawn_blocking(move || command.output());
    let ended = ended.await.expect("it is waited for").expect("it starts");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{text}\n{said}");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(word, rest)| (word.to_owned(), rest.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The document at the end of a line.
fn document(lines: &Value, word: &str) -> Value {
    let line = lines[word]
        .as_str()
        .unwrap_or_else(|| panic!("{word} is missing: {lines}"));
    let begin = line.find('{').expect("a document");
    serde_json::from_str(&line[begin..]).expect("JSON")
}

/// Shows that the program over HTTP publishes, is answered the same again, is refused with the field, sees its change applied, and withdraws it.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_publishes_over_http() {
    let test = "a_program_publishes_over_http";
    let (Some(server), Some(python)) = (nats_server(test), python(test)) else {
        return;
    };
    let bed = Bed::new(server);
    let (url, _running) = fleet(&bed).await;
    let variables = [
        ("FLEETCAST_HTTP_URL", url.as_str()),
        ("FLEETCAST_TOKEN", TOKEN),
    ];
    let lines = run(&python, &bed, "publish_http.py", &variables).await;
    let published = document(&lines, "published");
    assert_eq!(published["object"], "ConfigMap/default/greeting", "{lines}");
    assert_eq!(published["revision"], 1, "{lines}");
    assert_eq!(published, document(&lines, "repeated"), "{lines}");
    let refusal = &document(&lines, "refused")["refusal"];
    assert_eq!(refusal["field"], "spec.placement.clusters", "{lines}");
    assert!(
        lines["refused"]
            .as_str()
            .is_some_and(|line| line.starts_with("422")),
        "{lines}"
    );
    assert_eq!(lines["applied"], "200 eu-1 us-1", "{lines}");
    assert_eq!(document(&lines, "withdrawn")["revision"], 2, "{lines}");
}

/// Shows the same over NATS requests, with a publisher's credentials and a name that a subject has to spell.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_publishes_over_nats() {
    let test = "a_program_publishes_over_nats";
    let (Some(server), Some(python)) = (nats_server(test), python_with_nats(test)) else {
        return;
    };
    let bed = Bed::new(server);
    let (_, _running) = fleet(&bed).await;
    let Credentials::File(creds) = bed.credentials(Role::Publisher, "motd") else {
        panic!("there is an operator");
    };
    let variables = [
        ("FLEETCAST_NATS", bed.connect.url.as_str()),
        ("FLEETCAST_CREDS", creds.to_str().expect("text")),
        ("FLEETCAST_NAME", "motd"),
    ];
    let lines = run(&python, &bed, "publish_nats.py", &variables).await;
    let published = document(&lines, "published");
    assert_eq!(published["object"], "ConfigMap/default/motd.txt", "{lines}");
    assert_eq!(published, document(&lines, "repeated"), "{lines}");
    let refusal = document(&lines, "refused")["refusal"].clone();
    assert_eq!(refusal["field"], json!("subject"), "{lines}");
    assert_eq!(lines["applied"], "eu-1 us-1", "{lines}");
    assert_eq!(document(&lines, "withdrawn")["revision"], 2, "{lines}");
}
