//! The system's authorities: whoever is signed by one of them is spoken to where nobody names another, and nobody else is.

use std::path::Path;
use std::process::Command;

use fleetcast_bus::server::{self, Server};
use fleetcast_endpoint::{Health, Listener, Options};
use fleetcast_tests::harness::{Binary, control_plane, nats_server, python};
use tokio::sync::watch;

use crate::Authority;

/// What names the system's authorities in the place of the machine's own, as OpenSSL has it.
const ROOTS: &str = "SSL_CERT_FILE";

/// A program that asks over HTTPS with the system's authorities.
const ASK: &str = "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).status)\n";

#[test]
fn a_server_is_let_in_by_the_systems_authorities_and_no_other_is() {
    let Some(binary) = nats_server("a_server_is_let_in_by_the_systems_authorities_and_no_other_is")
    else {
        return;
    };
    let (mut known, other) = (Authority::new(), Authority::new());
    known.issue("nats", &["127.0.0.1"]);
    let store = tempfile::tempdir().expect("a folder");
    let server = Server::start(&server::Options {
        binary: Some(binary.clone()),
        directory: store.path().to_owned(),
        port: 0,
        tls: Some(known.server("nats")),
        configuration: String::new(),
    });
    let server = server.expect("it starts");
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(folder.path(), binary);
    let url = server.url();
    let look = |roots: Option<&Path>| {
        let env = roots.map(|roots| (ROOTS, roots));
        fleetcast.run_with(&["cluster", "list", "--nats", &url], env.as_slice())
    };
    // It is inside: there is no view yet, which is another matter.
    let inside = look(Some(&known.ca()));
    assert!(
        inside.err.contains("the view does not answer"),
        "{inside:?}"
    );
    // A folder of them likewise, under the names that OpenSSL gives them.
    let roots = folder.path().join("roots");
    std::fs::create_dir(&roots).expect("a folder");
    std::fs::copy(known.ca(), roots.join("5ad8a5d6.0")).expect("copied");
    let env: [(&str, &Path); 1] = [("SSL_CERT_DIR", &roots)];
    let inside = fleetcast.run_with(&["cluster", "list", "--nats", &url], &env);
    assert!(
        inside.err.contains("the view does not answer"),
        "{inside:?}"
    );
    // Other authorities, or those of this machine, do not know it.
    for roots in [Some(other.ca()), None] {
        let refused = look(roots.as_deref());
        assert_eq!(refused.status, 3, "{refused:?}");
        assert!(refused.err.contains("--tls-ca FILE"), "{refused:?}");
    }
    // An authority that is named counts alone.
    let ca = other.ca().display().to_string();
    let env: [(&str, &Path); 1] = [(ROOTS, &known.ca())];
    let refused = fleetcast.run_with(&["cluster", "list", "--nats", &url, "--tls-ca", &ca], &env);
    assert_eq!(refused.status, 3, "{refused:?}");
    assert!(
        refused.err.contains("is not signed by the authorities in"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_servers_and_our_own_http_are_known_by_the_systems_authorities() {
    let test = "api_servers_and_our_own_http_are_known_by_the_systems_authorities";
    let (Some(binary), Some(plane)) = (nats_server(test), control_plane(test).await) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(folder.path(), binary);
    let run = |args: &[&str], roots: &Path| {
        tokio::task::block_in_place(|| fleetcast.run_with(args, &[(ROOTS, roots)]))
    };

    // An API server, by a kubeconfig that names no authority.
    let mut other = Authority::new();
    other.issue("http", &["127.0.0.1"]);
    let roots = folder.path().join("api-server.crt");
    std::fs::write(&roots, plane.certificate()).expect("written");
    let kubeconfig: String = plane
        .kubeconfig_of("token: x")
        .lines()
        .filter(|line| !line.contains("certificate-authority"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder.path().join("eu-1.kubeconfig"), kubeconfig).expect("written");
    let init = tokio::task::block_in_place(|| fleetcast.run(&["auth", "init"]));
    assert_eq!(init.status, 0, "{init:?}");
    let join = [
        "cluster",
        "join",
        "eu-1",
        "--dry-run",
        "--kubeconfig",
        "eu-1.kubeconfig",
    ];
    let inside = run(&join, &roots);
    assert!(
        inside.err.contains("Unauthorized"),
        "TLS is there, its token is none: {inside:?}"
    );
    let refused = run(&join, &other.ca());
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(!refused.err.contains("Unauthorized"), "{refused:?}");
    assert!(
        refused.err.to_lowercase().contains("certificate"),
        "{refused:?}"
    );

    // Our own HTTP, asked by a program of somebody else.
    let Some(python) = python(test) else { return };
    let tls = fleetcast_endpoint::tls::Tls {
        cert: other.folder().join("http.crt"),
        key: other.folder().join("http.key"),
        client_ca: None,
    };
    let options = Options {
        tls: Some(tls),
        ..Options::new(([127, 0, 0, 1], 0).into())
    };
    let listener = Listener::bind(&options).expect("it listens");
    let url = format!("https://{}/healthz", listener.address());
    let (_never, stop) = watch::channel(false);
    tokio::spawn(async move { Health::default().serve(listener, stop).await });
    let program = folder.path().join("ask.py");
    std::fs::write(&program, ASK).expect("written");
    let ask = |roots: &Path| {
        let mut command: Command = python.program(&program);
        command.arg(&url).env(ROOTS, roots);
        tokio::task::block_in_place(|| command.output()).expect("python starts")
    };
    let answered = ask(&other.ca());
    assert_eq!(
        String::from_utf8_lossy(&answered.stdout),
        "200\n",
        "{answered:?}"
    );
    let refused = ask(&roots);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("CERTIFICATE_VERIFY_FAILED"),
        "{refused:?}"
    );
}
