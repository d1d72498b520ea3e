//! A hub's truth copied to another region by JetStream mirrors, and promoted there when the hub is lost.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use fleetcast_bus::server::{self, Server};
use fleetcast_bus::{Bus, Credentials, streams};
use fleetcast_schemas::role::Role;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use serde_json::{Value, json};

const CLUSTERS: [&str; 2] = ["c1", "c2"];
const OBJECTS: usize = 20;

/// A server in a JetStream domain of its own, with more configuration; as docs/operating.md has it.
fn start(binary: &Path, directory: PathBuf, domain: &str, more: &str) -> Server {
    let store = directory.join("store");
    let configuration = format!(
        "server_name: {domain}\njetstream {{ store_dir: {store:?}, domain: {domain}, sync_interval: always }}\n{more}\n"
    );
    let options = server::Options {
        binary: Some(binary.to_owned()),
        directory,
        port: 0,
        tls: None,
        configuration,
    };
    Server::start(&options).expect("the server starts")
}

/// The bed on a server of that kind instead of its own.
fn replace(bed: &mut Bed, binary: &Path, domain: &str, more: &str) {
    bed.kill_server();
    let directory = bed.directory.path().join("nats");
    let more = format!("{more}\n{}", bed.configuration(&directory));
    let server = start(binary, directory, domain, &more);
    bed.connect.url = server.url();
    bed.server = Some(server);
}

async fn versions(cluster: &Cluster) -> Vec<String> {
    let mut versions = Vec::new();
    for index in 0..OBJECTS {
        let name = format!("o{index}");
        let copy = held(cluster, "v1", "ConfigMap", Some("default"), &name).await;
        let copy = copy.expect("it is there");
        versions.push(copy["metadata"]["resourceVersion"].to_string());
    }
    versions
}

async fn last(bus: &Bus) -> u64 {
    bus.last_sequence(streams::LOG).await.expect("a log")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_in_another_region_is_promoted_and_the_old_hub_is_refused() {
    let Some(nats) =
        nats_server("a_mirror_in_another_region_is_promoted_and_the_old_hub_is_refused")
    else {
        return;
    };
    let leaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let leaf_port = leaf.local_addr().expect("an address").port();
    drop(leaf);
    let listens = format!("leafnodes {{ listen: \"127.0.0.1:{leaf_port}\" }}");
    // Both regions trust one operator: agents find the other hub with the credentials that they have.
    let mut hub = Bed::new(nats.clone());
    let mut standby = hub.beside();
    let Credentials::File(line) = hub.credentials(Role::Operator, "line") else {
        panic!("there is an operator");
    };
    let account = hub.authority().account().to_owned();
    let remote = format!(
        "leafnodes {{ remotes: [ {{ url: \"nats-leaf://127.0.0.1:{leaf_port}\", credentials: {line:?}, account: {account}, \
         deny_imports: [\"fc.>\", \"$KV.>\", \"$O.>\"], deny_exports: [\"fc.>\", \"$KV.>\", \"$O.>\"] }} ] }}"
    );
    replace(&mut hub, &nats, "hub", &listens);
    replace(&mut standby, &nats, "standby", &remote);

    let clusters = CLUSTERS.map(Cluster::new);
    let bus = hub.bus().await;
    let (ingest, aggregator) = (hub.ingest("a"), hub.aggregator());
    let agents = clusters.each_ref().map(|cluster| hub.agent(cluster));
    hub.register(&bus, &CLUSTERS).await;
    let apply = async |text: &str| {
        for index in 0..OBJECTS {
            hub.accept(&bus, &config_map(&format!("o{index}"), &CLUSTERS, text))
                .await;
        }
    };
    apply("one").await;

    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = hub.binary(folder.path());
    let there = standby.connect.url.clone();
    let here = hub.connect.url.clone();
    // The beginning of history is cut away, its epoch too: the mirror has a base to begin at.
    let cut = [
        "--nats",
        &here,
        "retain",
        "--to",
        "4",
        "--without-backup",
        "--yes",
    ];
    eventually("the log is cut", async || fleetcast.run(&cut).status == 0).await;
    eventually("the mirror begins", async || {
        let begun = fleetcast.run(&["--nats", &there, "mirror", "--domain", "hub"]);
        begun.status == 0
    })
    .await;
    // Changes go on, one of them with a body of its own.
    apply("two").await;
    let mut large = config_map("large", &CLUSTERS, "text");
    large["spec"]["template"]["data"]["noise"] = json!(noise());
    hub.accept(&bus, &large).await;
    hub.settled(&bus, "ConfigMap/default/large", 1).await;
    for index in 0..OBJECTS {
        hub.settled(&bus, &format!("ConfigMap/default/o{index}"), 2)
            .await;
    }
    let standby_bus = standby.bus().await;
    let told = || -> Value {
        fleetcast
            .done(&["--nats", &there, "mirror", "-o", "json"])
            .json()
    };
    eventually("everything is copied", async || {
        let streams = told()["streams"].as_array().cloned().unwrap_or_default();
        streams.len() == 4
            && streams.iter().all(|one| one["lag"] == 0)
            && last(&standby_bus).await == last(&bus).await
            && standby_bus.last_sequence(&streams::acks(0)).await.ok()
                == bus.last_sequence(&streams::acks(0)).await.ok()
    })
    .await;
    let before = fleetcast
        .done(&["--nats", &here, "replay", "--verify", "-o", "json"])
        .json();
    let end = last(&bus).await;

    // Nobody begins on a mirror, and it does not take over from a hub that lives.
    let waiting = fleetcast.start(
        "ingest",
        &["--nats", &there, "ingest", "--state", "waiting"],
    );
    let said = || std::fs::read_to_string(folder.path().join("ingest.log")).unwrap_or_default();
    eventually("ingest waits", async || {
        said().contains("is a mirror of another hub")
    })
    .await;
    let early = fleetcast.run(&["--nats", &there, "promote"]);
    assert!(
        early.status == 1 && early.err.contains("heard its hub just now"),
        "{early:?}"
    );

    // The hub is lost.
    ingest.kill().await;
    aggregator.kill().await;
    for agent in agents {
        agent.kill().await;
    }
    hub.kill_server();
    let held_before = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    let promoted = fleetcast
        .done(&["--nats", &there, "promote", "--force", "-o", "json"])
        .json();
    let epoch = promoted["epoch"].as_str().expect("an epoch").to_owned();
    assert!(epoch.starts_with("2."), "{promoted}");
    assert_eq!(promoted["log"], end + 1, "the same log, then the new epoch");

    // The one that waited begins; agents that reach it write nothing.
    let _aggregator = standby.aggregator();
    let [first, _second] = clusters.each_ref().map(|cluster| standby.agent(cluster));
    for index in 0..OBJECTS {
        standby
            .settled(&standby_bus, &format!("ConfigMap/default/o{index}"), 2)
            .await;
    }
    standby
        .settled(&standby_bus, "ConfigMap/default/large", 1)
        .await;
    let after = fleetcast
        .done(&["--nats", &there, "replay", "--verify", "-o", "json"])
        .json();
    assert_eq!(after["view"]["digest"], before["view"]["digest"]);
    assert_eq!(after["work"]["digest"], before["work"]["digest"]);
    let held_after = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    assert_eq!(held_after, held_before, "no write in any member");
    standby
        .accept(&standby_bus, &config_map("o0", &CLUSTERS, "three"))
        .await;
    standby
        .settled(&standby_bus, "ConfigMap/default/o0", 3)
        .await;

    // The old hub comes back, its line to the mirror, too: its work is refused, and nothing of it gets into the new log.
    let directory = hub.directory.path().join("nats");
    let more = format!("{listens}\n{}", hub.configuration(&directory));
    let old = start(&nats, directory, "hub", &more);
    hub.connect.url = old.url();
    hub.server = Some(old);
    let old_bus = hub.bus().await;
    let _old = hub.ingest("a");
    let copied = last(&standby_bus).await;
    hub.accept(&old_bus, &config_map("o1", &CLUSTERS, "stale"))
        .await;
    first.stop().await;
    let http = clusters[0]
        .serve_http(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("served");
    std::fs::write(folder.path().join("c1.kubeconfig"), http.kubeconfig()).expect("written");
    let _old_agent = fleetcast.agent("agent", &hub.connect.url, "c1");
    let said = || std::fs::read_to_string(folder.path().join("agent.log")).unwrap_or_default();
    eventually("the old hub is refused", async || {
        said().contains(&format!("is refused: this cluster follows {epoch}"))
    })
    .await;
    let copy = held(&clusters[0], "v1", "ConfigMap", Some("default"), "o1").await;
    assert_eq!(copy.expect("it is there")["data"]["text"], "two");
    let part = fleetcast_bus::range::Part {
        from: copied + 1,
        ..fleetcast_bus::range::Part::default()
    };
    let since = standby_bus.range(streams::LOG, part).await.expect("a log");
    let since = since.all().await.expect("read");
    assert!(
        since
            .iter()
            .all(|dated| !dated.stored.message.subject.contains("change")),
        "nothing of the old hub: {since:?}"
    );
    drop(waiting);
    http.stop();
}

/// A megabyte that does not compress below the message limit, and that an API server still takes.
fn noise() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 7_u64;
    let draw = std::iter::repeat_with(|| {
        // Knuth's MMIX constants.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[usize::try_from(state >> 58).expect("6 bits")])
    });
    draw.take(1_040_000).collect()
}
