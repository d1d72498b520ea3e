//! HTTP over TLS: certificates that are renewed under open connections, and clients that must have one.

use std::sync::Arc;

use fleetcast_endpoint::tls::Tls;
use fleetcast_endpoint::{Access, Door, Error, Health, Listener, Options};
use fleetcast_tests::harness::{Bed, config_map, eventually, nats_server, token_file};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Authority;

const TOKEN: &str = "the token of somebody who hands in";

/// Shakes hands as a client that trusts `authority` and shows the certificate of `name`.
async fn shake_hands(
    address: std::net::SocketAddr,
    authority: &Authority,
    name: Option<(&Authority, &str)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match name {
        None => builder.with_no_client_auth(),
        Some((from, name)) => {
            let at = |end: &str| from.folder().join(format!("{name}.{end}"));
            let cert = CertificateDer::from_pem_file(at("crt")).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(at("key")).expect("a key");
            builder
                .with_client_auth_cert(vec![cert], key)
                .expect("a pair")
        }
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Asks on a connection that stays open: the answer's status and document.
async fn ask<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    stream: &mut S,
    head: &str,
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let request = format!(
        "{head} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nauthorization: Bearer {TOKEN}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                (name == "content-length").then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
                let document = serde_json::from_str(body).unwrap_or(Value::Null);
                return Ok((status.unwrap_or(0), document));
            }
        }
        let mut more = [0; 4_096];
        match stream.read(&mut more).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => read.extend_from_slice(&more[..length]),
        }
    }
}

fn door(bed: &Bed, tls: Tls) -> Arc<Door> {
    let tokens = token_file(bed.directory.path(), &[("ci", "publisher", TOKEN)]);
    let options = Options {
        tls: Some(tls),
        ..Options::new(([127, 0, 0, 1], 0).into())
    };
    let access = Access::open(&tokens, 1_000_000).expect("tokens");
    let listener = Listener::bind(&options).expect("it listens");
    Arc::new(Door::new(listener, access, Health::default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_encrypted_and_its_certificate_is_renewed_under_open_connections() {
    let test = "http_is_encrypted_and_its_certificate_is_renewed_under_open_connections";
    let Some(binary) = nats_server(test) else {
        return;
    };
    let (mut ours, mut theirs) = (Authority::new(), Authority::new());
    for authority in [&mut ours, &mut theirs] {
        authority.issue("http", &["127.0.0.1"]);
    }
    let files = tempfile::tempdir().expect("a folder");
    let at = |name: &str| files.path().join(name);
    let put = |from: &Authority, names: &[&str]| {
        for name in names {
            std::fs::copy(from.folder().join(name), at(name)).expect("copied");
        }
    };
    put(&ours, &["http.crt", "http.key"]);
    let bed = Bed::new(binary);
    let door = door(
        &bed,
        Tls {
            cert: at("http.crt"),
            key: at("http.key"),
            client_ca: None,
        },
    );
    let address = door.address();
    let _ingest = bed.ingest_listening("a", Some(door));
    let document = config_map("web", &["eu"], "x").to_string();
    let mut open = shake_hands(address, &ours, None).await.expect("TLS");
    eventually("somebody leads", async || {
        matches!(ask(&mut open, "POST /v1/objects", &document).await, Ok((200, answer)) if answer["revision"] == 1)
    })
    .await;
    assert!(shake_hands(address, &theirs, None).await.is_err());
    // Plain text gets no answer but TLS's own no.
    let mut plain = TcpStream::connect(address).await.expect("it listens");
    let answer = ask(&mut plain, "POST /v1/objects", &document).await;
    assert!(answer.is_err(), "{answer:?}");

    // While a pair does not fit, the one before counts.
    put(&theirs, &["http.crt"]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    shake_hands(address, &ours, None).await.expect("as it was");
    put(&theirs, &["http.key"]);
    eventually("the new certificate counts", async || {
        shake_hands(address, &theirs, None).await.is_ok()
    })
    .await;
    assert!(shake_hands(address, &ours, None).await.is_err());
    let path = "GET /v1/objects/ConfigMap/default/web";
    let (status, answer) = ask(&mut open, path, "").await.expect("it goes on");
    assert!(status == 200 || status == 503, "{status} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_must_have_a_certificate_where_that_is_wanted_and_a_token_beside_it() {
    let test = "whoever_asks_must_have_a_certificate_where_that_is_wanted_and_a_token_beside_it";
    let Some(binary) = nats_server(test) else {
        return;
    };
    let (mut ours, mut theirs) = (Authority::new(), Authority::new());
    ours.issue("http", &["127.0.0.1"]);
    ours.issue("ci", &[]);
    theirs.issue("ci", &[]);
    let bed = Bed::new(binary);
    let tls = Tls {
        cert: ours.folder().join("http.crt"),
        key: ours.folder().join("http.key"),
        client_ca: Some(ours.ca()),
    };
    let door = door(&bed, tls.clone());
    let address = door.address();
    let _ingest = bed.ingest_listening("a", Some(door));
    let document = config_map("web", &["eu"], "x").to_string();
    for stranger in [None, Some((&theirs, "ci"))] {
        // In TLS 1.3 the no comes with the first answer.
        let refused = match shake_hands(address, &ours, stranger).await {
            Err(_) => true,
            Ok(mut stream) => ask(&mut stream, "GET /openapi.json", "").await.is_err(),
        };
        assert!(refused, "{:?}", stranger.map(|(_, name)| name));
    }
    let known = Some((&ours, "ci"));
    let mut stream = shake_hands(address, &ours, known).await.expect("TLS");
    eventually("somebody leads", async || {
        matches!(
            ask(&mut stream, "POST /v1/objects", &document).await,
            Ok((200, _))
        )
    })
    .await;
    let without = "GET /v1/objects/ConfigMap/default/web HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(without.as_bytes()).await.expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401", "a certificate is no token");

    // Files that are of no use are said at once.
    let wrong = Tls {
        key: ours.folder().join("ci.key"),
        ..tls
    };
    let options = Options {
        tls: Some(wrong),
        ..Options::new(([127, 0, 0, 1], 0).into())
    };
    let refused = Listener::bind(&options).expect_err("refused");
    assert!(matches!(refused, Error::Tls(_)), "{refused}");
    assert!(
        refused.to_string().contains("do not go together"),
        "{refused}"
    );
}
