//! `fleetcast tls`, as a person sets a bus up with it.

use fleetcast_bus::server::{Options, Server};
use fleetcast_tests::harness::{Binary, nats_server};

#[test]
fn a_bus_is_set_up_with_certificates_of_its_own() {
    let Some(binary) = nats_server("a_bus_is_set_up_with_certificates_of_its_own") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(folder.path(), binary.clone());
    let missing = fleetcast.run(&["tls", "issue", "nats", "--host", "127.0.0.1"]);
    assert_eq!(missing.status, 1, "{missing:?}");
    assert!(
        missing.err.contains("next: fleetcast tls init --dir tls"),
        "{missing:?}"
    );
    let made = fleetcast.done(&["tls", "init"]);
    assert!(made.out.contains("fleetcast tls issue nats"), "{made:?}");
    assert_eq!(
        fleetcast.run(&["tls", "init"]).status,
        1,
        "never over another"
    );
    let wrong = fleetcast.run(&["tls", "issue", "nats", "--host", "nats:4222"]);
    assert!(wrong.err.contains("without a port"), "{wrong:?}");
    fleetcast.done(&["tls", "issue", "nats", "--host", "127.0.0.1,localhost"]);
    fleetcast.done(&["tls", "issue", "kim", "--ttl", "12h"]);
    let listed = fleetcast.done(&["tls", "list", "-o", "json"]).json();
    assert_eq!(listed["certificates"][1]["name"], "nats", "{listed}");
    assert_eq!(
        listed["certificates"][1]["hosts"][1], "localhost",
        "{listed}"
    );
    let table = fleetcast.done(&["tls", "list"]).out;
    assert!(
        table.contains("in 12 hours") && table.contains("127.0.0.1,localhost"),
        "{table}"
    );
    // Again under its name: the hosts stay.
    let renewed = fleetcast.done(&["tls", "issue", "nats"]).out;
    assert!(
        renewed.contains("for 127.0.0.1, localhost") && renewed.contains("kill -HUP"),
        "{renewed}"
    );

    // The NATS server takes the block as it is printed.
    let block = fleetcast
        .done(&["tls", "nats-conf", "nats", "--mutual"])
        .out;
    let store = tempfile::tempdir().expect("a folder");
    let server = Server::start(&Options {
        binary: Some(binary),
        directory: store.path().to_owned(),
        port: 0,
        tls: None,
        configuration: block,
    });
    let server = server.expect("it starts");
    let url = server.url().replace("nats://", "tls://");
    let look = ["cluster", "list", "--nats", &url, "--tls-ca", "tls/ca.crt"];
    let nobody = fleetcast.run(&look);
    assert_eq!(nobody.status, 3, "{nobody:?}");
    assert!(
        nobody.err.contains("--tls-cert FILE --tls-key FILE"),
        "{nobody:?}"
    );
    let with = ["--tls-cert", "tls/kim.crt", "--tls-key", "tls/kim.key"];
    let half = fleetcast.run(&[&look[..], &with[..2]].concat());
    assert!(half.err.contains("go together"), "{half:?}");
    // It gets in: there is no view yet, which is another matter.
    let inside = fleetcast.run(&[&look[..], &with].concat());
    assert!(
        inside.err.contains("the view does not answer"),
        "{inside:?}"
    );
}

#[test]
fn plain_text_beyond_this_machine_must_be_asked_for() {
    let Some(binary) = nats_server("plain_text_beyond_this_machine_must_be_asked_for") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(folder.path(), binary);
    // An address of the documentation's own (RFC 5737): nobody is there.
    let url = "nats://192.0.2.1:4222";
    let commands: [&[&str]; 4] = [&["get"], &["ingest"], &["aggregator"], &["events"]];
    for command in commands {
        let said = fleetcast.run(&[command, &["--nats", url]].concat());
        assert_ne!(said.status, 0, "{said:?}");
        assert!(said.err.contains("plain text"), "{said:?}");
        assert!(said.err.contains("--allow-plain-text"), "{said:?}");
    }
    let tried = fleetcast.run(&["get", "--nats", url, "--allow-plain-text"]);
    assert_eq!(tried.status, 3, "{tried:?}");
    // HTTP likewise; a certificate that cannot be read does not let it listen.
    let issued = ["auth", "token", "issue", "ci", "--file", "tokens"];
    fleetcast.done(&issued);
    let listen = ["ingest", "--http", "0.0.0.0:0", "--http-tokens", "tokens"];
    let said = fleetcast.run(&listen);
    assert_eq!(said.status, 2, "{said:?}");
    assert!(said.err.contains("--http-tls-cert"), "{said:?}");
    let files = [
        "--http-tls-cert",
        "missing.crt",
        "--http-tls-key",
        "missing.key",
    ];
    let said = fleetcast.run(&[&listen[..], &files].concat());
    assert_eq!(said.status, 2, "{said:?}");
    assert!(said.err.contains("TLS of HTTP: missing.crt"), "{said:?}");
    assert_eq!(
        fleetcast.run(&[&listen[..], &files[..2]].concat()).status,
        2
    );
}
