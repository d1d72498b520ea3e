//! Two leaders at once: whoever was paused and comes back writes nothing over its successor.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use fleetcast_bus::append::Expected;
use fleetcast_bus::streams::{self, Layout};
use fleetcast_bus::{Bus, Connect, Error, read};
use fleetcast_core::log::Event;
use fleetcast_schemas::{Headers, Message, event, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Binary, Three, Up, config_map, eventually, held, nats_server};

const OBJECTS: usize = 8;

async fn prepared(connect: &Connect, replicas: usize) -> Bus {
    let bus = Bus::connect_patiently(connect).await.expect("it is fit");
    let layout = Layout {
        partitions: 1,
        replicas,
    };
    eventually("the streams are there", async || {
        bus.prepare(layout).await.is_ok()
    })
    .await;
    bus
}

fn message(subject: impl Into<String>) -> Message {
    Message {
        subject: subject.into(),
        headers: Headers::default(),
        payload: b"{}".to_vec(),
    }
}

/// A fence, and what a leader behind it expects before a write at `last`.
async fn fence(bus: &Bus, last: u64, at: u64) -> Result<u64, Error> {
    bus.append(message(subject::fence(0)), behind(last, at))
        .await
}

fn behind(last: u64, at: u64) -> Expected {
    Expected::Behind {
        last,
        fence: subject::fence(0),
        at,
    }
}

fn work(object: u64) -> Message {
    message(format!("fc.work.p00.c1.0.{object}"))
}

async fn fences_hold(bus: &Bus) {
    let older = fence(bus, 0, 0).await.expect("the first");
    assert_eq!(
        bus.append(work(1), behind(older, older))
            .await
            .expect("it leads"),
        older + 1
    );
    let newer = fence(bus, older + 1, older).await.expect("a take-over");

    // Its place in the stream fits by chance: the fence does not.
    for count in [1, 3] {
        let mut items = vec![(work(1), behind(newer, older))];
        items.extend((1..count).map(|object| (work(object), Expected::Anything)));
        let outcome = bus.append_all(items).await;
        assert!(
            matches!(outcome, Err(Error::Conflict(_))),
            "{count} of an older leader: {outcome:?}"
        );
    }
    let outcome = fence(bus, newer, older).await;
    assert!(
        matches!(outcome, Err(Error::Conflict(_))),
        "a take-over that did not see the newest fence: {outcome:?}"
    );

    // The newer one writes batch behind batch; one that meets a gap stores nothing of it.
    let items = |last, at| {
        let mut items = vec![(work(1), behind(last, at))];
        items.extend((2..=10).map(|object| (work(object), Expected::Anything)));
        items
    };
    let first = bus.append_all(items(newer, newer)).await.expect("it leads");
    assert_eq!(first, newer + 10);
    let outcome = bus.append_all(items(newer, newer)).await;
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
    let second = bus.append_all(items(first, newer)).await.expect("it leads");
    assert_eq!(second, first + 10);
    let last = bus
        .last_sequence(&streams::work(0))
        .await
        .expect("it answers");
    assert_eq!(last, second, "nothing of what was refused is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_fence_no_earlier_leader_writes_though_its_place_fits() {
    let Some(server) = nats_server("behind_a_fence_no_earlier_leader_writes_though_its_place_fits")
    else {
        return;
    };
    let bed = Bed::new(server);
    fences_hold(&prepared(&bed.connect, 1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_fence_no_earlier_leader_writes_on_three_servers_either() {
    let Some(server) =
        nats_server("behind_a_fence_no_earlier_leader_writes_on_three_servers_either")
    else {
        return;
    };
    let three = Three::start(server);
    fences_hold(&prepared(&three.connect, 3).await).await;
}

fn signal(process: &Up, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &process.id().to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

/// How often a process began to lead.
fn takes_over(binary: &Binary, name: &str) -> usize {
    std::fs::read_to_string(binary.directory.join(format!("{name}.log")))
        .unwrap_or_default()
        .matches("leading the work of a partition")
        .count()
}

/// Who holds the lease: either of two that were started at once may be the first.
async fn leader_of(bus: &Bus) -> String {
    let begin = Instant::now();
    loop {
        let holder = bus.lease_holder(streams::PLACER).await;
        if let Some(holder) = holder.expect("it answers") {
            return holder;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "nobody leads");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn changes_of_the_log(bus: &Bus) -> BTreeMap<String, (Vec<u64>, Vec<u64>)> {
    let last = bus.last_sequence(streams::LOG).await.expect("it answers");
    let mut reader = bus
        .read(streams::LOG, &[], read::From::Sequence(1), false)
        .await
        .expect("the log is read");
    let mut found: BTreeMap<String, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    loop {
        let stored = reader.next().await.expect("the log is read");
        let entry = event::log_entry(&stored.message, stored.sequence).expect("readable");
        match entry.event {
            Event::Change(change) | Event::Policy(change) => found
                .entry(change.object.to_string())
                .or_default()
                .0
                .push(change.revision),
            Event::Decision(decision) => found
                .entry(decision.object.to_string())
                .or_default()
                .1
                .push(decision.number),
            Event::Cluster(_) | Event::Epoch(_) => {}
        }
        if stored.sequence >= last {
            return found;
        }
    }
}

/// Shows DESIGN 4: "a leader that was paused and comes back cannot write over its successor", with processes that are really paused in the
/// middle of a flood of changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_and_comes_back_writes_nothing_over_its_successor() {
    let Some(server) =
        nats_server("a_leader_that_was_paused_and_comes_back_writes_nothing_over_its_successor")
    else {
        return;
    };
    let bed = Bed::new(server);
    let cluster = Cluster::new("c1");
    let directory = tempfile::tempdir().expect("a folder");
    let binary = tokio::task::block_in_place(|| bed.binary(directory.path()));
    let start = |name: &str| {
        let args = [
            "ingest",
            "--nats",
            &bed.connect.url,
            "--state",
            name,
            "--identity",
            name,
        ];
        binary.start(name, &args)
    };
    let processes = [("a", start("a")), ("b", start("b"))];
    let bus = bed.bus().await;
    eventually("the streams are there", async || {
        bus.last_sequence(&streams::work(0)).await.is_ok()
    })
    .await;
    let (_aggregator, _agent) = (bed.aggregator(), bed.agent(&cluster));
    bed.register(&bus, &["c1"]).await;

    let mut revision = 0;
    for round in 0..3 {
        let before = ["a", "b"].map(|name| takes_over(&binary, name));
        let leader = usize::from(leader_of(&bus).await == "b");
        // Changes keep coming while the leader stops in the middle of them and the other takes over.
        let flood = async {
            for count in 0..10 {
                revision += 1;
                let text = format!("{round} {count}");
                let all = (0..OBJECTS).map(|object| {
                    let (bed, bus, text) = (&bed, &bus, &text);
                    async move {
                        bed.accept(bus, &config_map(&format!("o{object}"), &["c1"], text))
                            .await
                    }
                });
                let revisions = futures::future::join_all(all).await;
                assert_eq!(revisions, vec![revision; OBJECTS], "each change once");
            }
        };
        let pause = async {
            tokio::time::sleep(Duration::from_millis(40 + 30 * round)).await;
            signal(&processes[leader].1, "-STOP");
            let begin = Instant::now();
            let name = processes[1 - leader].0;
            while takes_over(&binary, name) == before[1 - leader] {
                assert!(
                    begin.elapsed() < Duration::from_secs(40),
                    "{name} does not lead"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            signal(&processes[leader].1, "-CONT");
        };
        futures::future::join(flood, pause).await;
    }

    for object in 0..OBJECTS {
        let name = format!("o{object}");
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), revision)
            .await;
        let copy = held(&cluster, "v1", "ConfigMap", Some("default"), &name)
            .await
            .expect("it is there");
        assert_eq!(copy["data"]["text"], "2 9", "{name} holds the newest");
    }
    let log = changes_of_the_log(&bus).await;
    assert_eq!(log.len(), OBJECTS);
    for (object, (revisions, decisions)) in log {
        let consecutive = |numbers: &[u64]| numbers.iter().copied().eq(1..=numbers.len() as u64);
        assert!(
            revisions.len() as u64 == revision && consecutive(&revisions),
            "{object}: {revisions:?}"
        );
        assert!(consecutive(&decisions), "{object}: {decisions:?}");
    }
}

/// Shows that a whole fleet works where three servers hold each stream, any of which may answer a sync.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_works_on_three_servers() {
    let Some(server) = nats_server("a_fleet_works_on_three_servers") else {
        return;
    };
    let bed = Bed::on_three(server);
    let (cluster, late) = (Cluster::new("c1"), Cluster::new("c2"));
    let bus = bed.bus().await;
    let (_ingest, _aggregator, _agent) = (bed.ingest("a"), bed.aggregator(), bed.agent(&cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    for object in 0..OBJECTS {
        let document = config_map(&format!("o{object}"), &["c1", "c2"], "text");
        assert_eq!(bed.accept(&bus, &document).await, 1);
    }
    // It comes when the work is there: all that it has is from a sync.
    let _late = bed.agent(&late);
    for object in 0..OBJECTS {
        let name = format!("o{object}");
        bed.settled(&bus, &format!("ConfigMap/default/{name}"), 1)
            .await;
        assert!(
            held(&late, "v1", "ConfigMap", Some("default"), &name)
                .await
                .is_some()
        );
    }
}
