//! A fleet over TLS, with certificates that are renewed while changes flow.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_bus::{Bus, Connect};
use fleetcast_core::fold::Condition;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};

use crate::Authority;

const HOSTS: &[&str] = &["127.0.0.1"];

/// A client of the test's own, in a folder of its own: its files are the test's to change.
fn copied(tls: &Tls, folder: &Path) -> Tls {
    let copy = |path: &Option<std::path::PathBuf>| {
        let path = path.as_ref()?;
        let to = folder.join(path.file_name().expect("a file"));
        std::fs::copy(path, &to).expect("copied");
        Some(to)
    };
    Tls {
        ca: copy(&tls.ca),
        cert: copy(&tls.cert),
        key: copy(&tls.key),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_while_changes_flow_and_nothing_is_lost() {
    let test = "certificates_are_renewed_while_changes_flow_and_nothing_is_lost";
    let Some(binary) = nats_server(test) else {
        return;
    };
    let mut old = Authority::new();
    old.issue("nats", HOSTS);
    old.issue("fleet", &[]);
    let files = tempfile::tempdir().expect("a folder");
    // The files that everybody has: first from one authority, then from another.
    let at = |name: &str| files.path().join(name);
    let put = |from: &Authority, names: &[&str]| {
        for name in names {
            std::fs::copy(from.folder().join(name), at(name)).expect("copied");
        }
    };
    put(
        &old,
        &["ca.crt", "nats.crt", "nats.key", "fleet.crt", "fleet.key"],
    );
    std::fs::copy(at("ca.crt"), at("clients.crt")).expect("copied");
    let server = ServerTls {
        cert: at("nats.crt"),
        key: at("nats.key"),
        client_ca: Some(at("clients.crt")),
    };
    let client = Tls {
        ca: Some(at("ca.crt")),
        cert: Some(at("fleet.crt")),
        key: Some(at("fleet.key")),
    };
    let bed = Bed::with_tls(binary, server, client);
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    let _aggregator = bed.aggregator();
    bed.register(&bus, &["eu"]).await;
    let eu = Cluster::new("eu");
    let _agent = bed.agent(&eu);
    let revision = bed.accept(&bus, &config_map("web", &["eu"], "first")).await;
    let settled = bed.settled(&bus, "ConfigMap/default/web", revision).await;
    assert_eq!(settled["eu"], Condition::Applied);

    // From here on changes go in without a pause.
    let stop = AtomicBool::new(false);
    let publishing = async {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            count += 1;
            let document = config_map("busy", &["eu"], &format!("{count}"));
            let revision = bed.accept(&bus, &document).await;
            assert_eq!(revision, count, "one revision a change, none lost or twice");
        }
        count
    };
    let renewing = async {
        renew(&bed, &bus, old, files.path()).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(publishing, renewing);

    assert!(count > 10, "changes did flow: {count}");
    let settled = bed.settled(&bus, "ConfigMap/default/busy", count).await;
    assert_eq!(settled["eu"], Condition::Applied);
    let copy = held(&eu, "v1", "ConfigMap", Some("default"), "busy").await;
    assert_eq!(
        copy.expect("it is there")["data"]["text"],
        format!("{count}")
    );
}

/// Renews the server's certificate, and then takes the whole fleet over to another authority.
async fn renew(bed: &Bed, bus: &Bus, mut old: Authority, files: &Path) {
    let at = |name: &str| files.join(name);
    let put = |from: &Authority, names: &[&str]| {
        for name in names {
            std::fs::copy(from.folder().join(name), at(name)).expect("copied");
        }
    };
    // The server has another certificate of the same authority: who is connected stays, who comes sees it.
    let mut connected = bus.connected();
    connected.mark_unchanged();
    old.issue("nats", HOSTS);
    put(&old, &["nats.crt"]);
    bed.server.as_ref().expect("it runs").reload();
    assert!(!connected.has_changed().expect("it lives"));

    // The fleet gets another authority. First everybody trusts both, then the certificates change, then the old one is taken out.
    let mut new = Authority::new();
    new.issue("nats", HOSTS);
    new.issue("fleet", &[]);
    let read = |path| std::fs::read_to_string(path).expect("read");
    let both = read(old.ca()) + &read(new.ca());
    std::fs::write(at("ca.crt"), &both).expect("written");
    std::fs::write(at("clients.crt"), &both).expect("written");
    bed.server.as_ref().expect("it runs").reload();
    // A changed file counts without a restart: the connection is made anew, by itself.
    connected.changed().await.expect("it lives");
    eventually("it is connected again", async || *bus.connected().borrow()).await;
    put(&new, &["nats.crt", "nats.key"]);
    bed.server.as_ref().expect("it runs").reload();
    eventually("the server shows the new certificate", async || {
        let trusts_new = Connect {
            tls: Tls {
                ca: Some(new.ca()),
                ..bed.connect.tls.clone()
            },
            ..bed.connect.clone()
        };
        Bus::connect(&trusts_new).await.is_ok()
    })
    .await;
    // Half of a pair is not used, and costs no connection.
    connected.mark_unchanged();
    std::fs::copy(new.folder().join("fleet.crt"), at("fleet.crt")).expect("copied");
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert!(
        !connected.has_changed().expect("it lives"),
        "the pair does not fit yet"
    );
    put(&new, &["fleet.key"]);
    connected.changed().await.expect("it lives");
    eventually("it is connected again", async || *bus.connected().borrow()).await;
    for name in ["ca.crt", "clients.crt"] {
        std::fs::copy(new.ca(), at(name)).expect("copied");
    }
    bed.server.as_ref().expect("it runs").reload();
    let outsider = tempfile::tempdir().expect("a folder");
    let outdated = Connect {
        tls: Tls {
            ca: Some(new.ca()),
            ..copied(&old.client("fleet"), outsider.path())
        },
        ..bed.connect.clone()
    };
    eventually("the old authority counts no more", async || {
        Bus::connect(&outdated).await.is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_started_with_the_wrong_authority_gets_in_when_its_file_is_put_right() {
    let test =
        "an_agent_that_is_started_with_the_wrong_authority_gets_in_when_its_file_is_put_right";
    let Some(binary) = nats_server(test) else {
        return;
    };
    let (mut ours, theirs) = (Authority::new(), Authority::new());
    ours.issue("nats", HOSTS);
    let bed = Bed::with_tls(binary, ours.server("nats"), ours.trusted());
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    let _aggregator = bed.aggregator();
    bed.register(&bus, &["eu"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let tls = copied(&theirs.trusted(), folder.path());
    let connect = Connect {
        tls: tls.clone(),
        credentials: bed.credentials(fleetcast_schemas::role::Role::Agent, "eu"),
        ..bed.connect.clone()
    };
    let eu = Cluster::new("eu");
    let _agent = bed.agent_through(&eu, connect);
    let revision = bed.accept(&bus, &config_map("web", &["eu"], "x")).await;
    eventually("the change is placed", async || {
        bed.summary(&bus, "ConfigMap/default/web").await.is_some()
    })
    .await;
    assert!(
        held(&eu, "v1", "ConfigMap", Some("default"), "web")
            .await
            .is_none()
    );
    std::fs::copy(ours.ca(), tls.ca.expect("named")).expect("copied");
    let settled = bed.settled(&bus, "ConfigMap/default/web", revision).await;
    assert_eq!(settled["eu"], Condition::Applied);
}
