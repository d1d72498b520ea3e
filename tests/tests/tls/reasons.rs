//! What stands in the way, and what is said to do about it.

use std::time::Duration;

use fleetcast_bus::server::{Options, Server};
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_bus::{Bus, Connect, Error};
use fleetcast_tests::harness::nats_server;

use crate::Authority;

struct Running {
    server: Server,
    _folder: tempfile::TempDir,
}

fn start(binary: &std::path::Path, tls: Option<ServerTls>, configuration: &str) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&Options {
        binary: Some(binary.to_owned()),
        directory: folder.path().to_owned(),
        port: 0,
        tls,
        configuration: configuration.to_owned(),
    });
    Running {
        server: server.expect("it starts"),
        _folder: folder,
    }
}

async fn connect(url: &str, tls: &Tls) -> Result<Bus, Error> {
    let connect = Connect {
        tls: tls.clone(),
        ..Connect::new(url, "test")
    };
    Bus::connect(&connect).await
}

/// What is said where no connection comes about.
async fn refused(url: &str, tls: &Tls) -> String {
    match connect(url, tls).await {
        Ok(_) => panic!("{url} with {tls:?} gets in"),
        Err(error) => {
            assert!(matches!(error, Error::Tls(_)), "{error:?}");
            assert!(
                error.is_worth_retrying(),
                "certificates are renewed meanwhile"
            );
            error.to_string()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said_with_what_to_do() {
    let Some(binary) = nats_server("what_stands_in_the_way_is_said_with_what_to_do") else {
        return;
    };
    let (mut ours, mut theirs) = (Authority::new(), Authority::new());
    ours.issue("nats", &["127.0.0.1"]);
    ours.issue("client", &[]);
    ours.issue_ended("late", &["127.0.0.1"]);
    theirs.issue("client", &[]);

    let open = start(&binary, Some(ours.server("nats")), "");
    let url = open.server.url();
    connect(&url, &ours.trusted()).await.expect("it gets in");
    let said = refused(&url, &theirs.trusted()).await;
    assert!(
        said.contains("is not signed by the authorities in"),
        "{said}"
    );
    // The system's authorities do not know ours; where there are none that is said at once.
    let unknown = connect(&url, &Tls::default()).await.err().expect("refused");
    assert!(unknown.to_string().contains("--tls-ca FILE"), "{unknown}");
    let said = refused(&url.replace("127.0.0.1", "localhost"), &ours.trusted()).await;
    assert!(said.contains("is for other names than localhost"), "{said}");
    assert!(said.contains("--host localhost"), "{said}");
    let plain = refused(&url.replace("tls://", "nats://"), &Tls::default()).await;
    assert!(plain.contains("write tls://"), "{plain}");

    let late = start(&binary, Some(ours.server("late")), "");
    let said = refused(&late.server.url(), &ours.trusted()).await;
    assert!(said.contains("has ended at "), "{said}");

    // Also one that speaks TLS after its greeting.
    let files = ours.server("nats").block();
    let after_greeting = files.replace("handshake_first: true", "");
    assert_ne!(files, after_greeting);
    for configuration in ["", &after_greeting] {
        let plain = start(&binary, None, configuration);
        let url = plain.server.url().replace("nats://", "tls://");
        let said = refused(&url, &ours.trusted()).await;
        assert!(said.contains("`handshake_first: true`"), "{said}");
    }

    let mutual = ServerTls {
        client_ca: Some(ours.ca()),
        ..ours.server("nats")
    };
    let mutual = start(&binary, Some(mutual), "");
    let url = mutual.server.url();
    connect(&url, &ours.client("client"))
        .await
        .expect("it gets in");
    let said = refused(&url, &ours.trusted()).await;
    assert!(said.contains("--tls-cert FILE --tls-key FILE"), "{said}");
    let foreign = Tls {
        ca: Some(ours.ca()),
        ..theirs.client("client")
    };
    let said = refused(&url, &foreign).await;
    assert!(said.contains("refuses our certificate"), "{said}");
    assert!(said.contains("client.crt"), "{said}");
    let said = refused(&url, &ours.client("late")).await;
    assert!(said.contains("it has ended; renew it"), "{said}");

    // What is not TLS's own is told as it was.
    let gone = connect("tls://127.0.0.1:1", &ours.trusted()).await;
    assert!(matches!(gone.err(), Some(Error::Unavailable(_))));
    // One good server is enough.
    let several = format!("tls://127.0.0.1:1,{},{url}", late.server.url());
    connect(&several, &ours.client("client"))
        .await
        .expect("it gets in");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_nothing_in_plain_text() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some(binary) = nats_server("the_server_says_nothing_in_plain_text") else {
        return;
    };
    let mut authority = Authority::new();
    authority.issue("nats", &["127.0.0.1"]);
    let running = start(&binary, Some(authority.server("nats")), "");
    let address = running.server.url().replace("tls://", "");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let mut said = Vec::new();
    let listening = stream.read_to_end(&mut said);
    let heard = tokio::time::timeout(Duration::from_secs(2), listening).await;
    assert!(heard.is_err() && said.is_empty(), "it waits: {said:?}");
    stream
        .write_all(b"CONNECT {}\r\nPING\r\n")
        .await
        .expect("written");
    // At most an alert of TLS comes back.
    let _ = stream.read_to_end(&mut said).await;
    let text = String::from_utf8_lossy(&said);
    assert!(!text.contains("INFO") && !text.contains("PONG"), "{text:?}");
}
