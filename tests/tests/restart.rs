//! Whatever ends and begins again: nothing is lost, nothing is written twice, and what is rebuilt is the same.

use std::time::Duration;

use fleetcast_bus::{Bus, streams};
use fleetcast_core::fold::Condition;
use fleetcast_schemas::request::Answer;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, apply_as, config_map, digest, eventually, held, nats_server};

const OBJECTS: usize = 20;

/// Objects `default/o0` … on both clusters, all applied.
async fn fill(bed: &Bed, bus: &Bus, text: &str, revision: u64) {
    for index in 0..OBJECTS {
        assert_eq!(
            bed.accept(bus, &config_map(&format!("o{index}"), &["c1", "c2"], text))
                .await,
            revision
        );
    }
    for index in 0..OBJECTS {
        let conditions = bed
            .settled(bus, &format!("ConfigMap/default/o{index}"), revision)
            .await;
        assert!(
            conditions
                .values()
                .all(|condition| *condition == Condition::Applied),
            "{conditions:?}"
        );
    }
}

/// The resource versions of all objects of the tests in a cluster.
async fn versions(cluster: &Cluster) -> Vec<String> {
    let mut versions = Vec::new();
    for index in 0..OBJECTS {
        let object = held(
            cluster,
            "v1",
            "ConfigMap",
            Some("default"),
            &format!("o{index}"),
        )
        .await
        .expect("it is there");
        versions.push(object["metadata"]["resourceVersion"].to_string());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_agents_that_start_again_write_nothing_and_go_on_at_once() {
    let Some(server) =
        nats_server("services_and_agents_that_start_again_write_nothing_and_go_on_at_once")
    else {
        return;
    };
    let mut bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let agents = [bed.agent(&clusters[0]), bed.agent(&clusters[1])];
    bed.register(&bus, &["c1", "c2"]).await;
    fill(&bed, &bus, "one", 1).await;
    let before = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    let view = digest(&bus).await;
    assert_eq!(view.1, 40);

    // Stopped well, each of them.
    for service in [ingest, aggregator] {
        service.stop().await;
    }
    for agent in agents {
        agent.stop().await;
    }
    let written: Vec<u64> = clusters
        .iter()
        .map(|cluster| cluster.requests().writes())
        .collect();
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let agents = [bed.agent(&clusters[0]), bed.agent(&clusters[1])];
    assert_eq!(
        bed.accept(&bus, &config_map("o0", &["c1", "c2"], "two"))
            .await,
        2
    );
    bed.settled(&bus, "ConfigMap/default/o0", 2).await;
    for (cluster, before) in clusters.iter().zip([&before.0, &before.1]) {
        let after = versions(cluster).await;
        let changed = after
            .iter()
            .zip(before)
            .filter(|(after, before)| after != before)
            .count();
        assert_eq!(
            changed,
            1,
            "only the changed object was written in {}",
            cluster.name()
        );
    }
    for (cluster, written) in clusters.iter().zip(written) {
        let more = cluster.requests().writes() - written;
        assert!(
            more < 10,
            "one object, the lease and the memory, not {more} writes"
        );
    }

    // Killed, the NATS server included, in the middle of work.
    let before = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    for index in 0..OBJECTS {
        bed.accept(
            &bus,
            &config_map(&format!("o{index}"), &["c1", "c2"], "three"),
        )
        .await;
    }
    ingest.kill().await;
    aggregator.kill().await;
    for agent in agents {
        agent.kill().await;
    }
    bed.kill_server();
    bed.start_server();
    let bus = bed.bus().await;
    let _running = (
        bed.ingest("a"),
        bed.aggregator(),
        bed.agent(&clusters[0]),
        bed.agent(&clusters[1]),
    );
    for index in 0..OBJECTS {
        bed.settled(
            &bus,
            &format!("ConfigMap/default/o{index}"),
            if index == 0 { 3 } else { 2 },
        )
        .await;
    }
    for (cluster, before) in clusters.iter().zip([before.0, before.1]) {
        let after = versions(cluster).await;
        assert!(
            after
                .iter()
                .zip(&before)
                .all(|(after, before)| after != before),
            "all of it arrived in {}",
            cluster.name()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_rebuilt_is_rebuilt_the_same_without_one_write_to_a_member() {
    let Some(server) =
        nats_server("what_can_be_rebuilt_is_rebuilt_the_same_without_one_write_to_a_member")
    else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let (ingest, aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agents = [bed.agent(&clusters[0]), bed.agent(&clusters[1])];
    bed.register(&bus, &["c1", "c2"]).await;
    fill(&bed, &bus, "one", 1).await;
    let view = digest(&bus).await;
    let before = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    ingest.stop().await;
    aggregator.stop().await;

    // Every checkpoint and the whole work stream are lost.
    for name in ["a", "aggregator"] {
        std::fs::remove_dir_all(bed.directory.path().join(name)).expect("checkpoints were kept");
    }
    let jetstream = async_nats::jetstream::new(bed.raw().await);
    jetstream
        .delete_stream(streams::work(0))
        .await
        .expect("deleted");
    let (_ingest, _aggregator) = (bed.ingest("b"), bed.aggregator());
    eventually("the work stands in its stream again", async || {
        bus.last_sequence(&streams::work(0))
            .await
            .is_ok_and(|last| last >= 40)
    })
    .await;
    eventually("the view is folded again", async || {
        digest(&bus).await == view
    })
    .await;

    assert_eq!(
        bed.accept(&bus, &config_map("o0", &["c1", "c2"], "two"))
            .await,
        2,
        "revisions go on"
    );
    bed.settled(&bus, "ConfigMap/default/o0", 2).await;
    for (cluster, before) in clusters.iter().zip([before.0, before.1]) {
        let after = versions(cluster).await;
        assert_eq!(
            after[1..],
            before[1..],
            "nothing else was written in {}",
            cluster.name()
        );
    }
}

/// Shows that a leader that has nothing to write misses what it wrote: nobody could be told what it should hold.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_lost_while_somebody_leads_is_written_anew_without_one_write_to_a_member() {
    let Some(server) = nats_server(
        "work_that_is_lost_while_somebody_leads_is_written_anew_without_one_write_to_a_member",
    ) else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let (_ingest, _aggregator) = (bed.ingest("a"), bed.aggregator());
    let _agents = [bed.agent(&clusters[0]), bed.agent(&clusters[1])];
    bed.register(&bus, &["c1", "c2"]).await;
    fill(&bed, &bus, "one", 1).await;
    let before = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    let works = async || {
        let newest = bus
            .newest(&streams::work(0), &["fc.work.>".to_owned()], None, None)
            .await;
        newest.map_or(0, |newest| newest.messages.len())
    };
    let all = works().await;
    assert_eq!(all, 2 * OBJECTS + 1, "with a fence");

    let jetstream = async_nats::jetstream::new(bed.raw().await);
    for _ in 0..2 {
        jetstream
            .delete_stream(streams::work(0))
            .await
            .expect("deleted");
        eventually("all work stands in its stream again", async || {
            works().await == all
        })
        .await;
    }
    let after = (versions(&clusters[0]).await, versions(&clusters[1]).await);
    assert_eq!(after, before, "nothing was written in a cluster");
    assert_eq!(
        bed.accept(&bus, &config_map("o0", &["c1", "c2"], "two"))
            .await,
        2
    );
    bed.settled(&bus, "ConfigMap/default/o0", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ingest_processes_agree_on_one_order_and_one_takes_over_from_the_other() {
    let Some(server) =
        nats_server("two_ingest_processes_agree_on_one_order_and_one_takes_over_from_the_other")
    else {
        return;
    };
    let bed = Bed::new(server);
    let cluster = Cluster::new("c1");
    let bus = bed.bus().await;
    let first = bed.ingest("a");
    let _aggregator = bed.aggregator();
    let _agent = bed.agent(&cluster);
    bed.register(&bus, &["c1"]).await;
    assert_eq!(bed.accept(&bus, &config_map("o0", &["c1"], "one")).await, 1);
    let second = bed.ingest("b");
    tokio::time::sleep(Duration::from_secs(2)).await;

    // The leader is killed: its lease ends, the other takes over, and a repeat of the last submission gets the first answer.
    let document = config_map("o0", &["c1"], "two");
    let answer = apply_as(&bus, &document, "once").await;
    first.kill().await;
    let again = apply_as(&bus, &document, "once").await;
    assert_eq!(answer, again);
    assert_eq!(
        bed.accept(&bus, &config_map("o0", &["c1"], "three")).await,
        3
    );
    bed.settled(&bus, "ConfigMap/default/o0", 3).await;
    let held = held(&cluster, "v1", "ConfigMap", Some("default"), "o0")
        .await
        .expect("it is there");
    assert_eq!(held["data"]["text"], "three");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_object_goes_and_its_work_is_forgotten_once_that_is_answered() {
    let Some(server) =
        nats_server("a_withdrawn_object_goes_and_its_work_is_forgotten_once_that_is_answered")
    else {
        return;
    };
    let bed = Bed::new(server);
    let (here, away) = (Cluster::new("c1"), Cluster::new("c2"));
    let bus = bed.bus().await;
    let (_ingest, _aggregator, _agent) = (bed.ingest("a"), bed.aggregator(), bed.agent(&here));
    let agent = bed.agent(&away);
    bed.register(&bus, &["c1", "c2"]).await;
    bed.accept(&bus, &config_map("o0", &["c1", "c2"], "one"))
        .await;
    bed.settled(&bus, "ConfigMap/default/o0", 1).await;
    agent.stop().await;
    let Answer::Accepted(accepted) = bed.withdraw(&bus, "ConfigMap/default/o0").await else {
        panic!("refused")
    };
    assert_eq!(accepted.revision, 2);
    eventually("the cluster that is there lets go", async || {
        held(&here, "v1", "ConfigMap", Some("default"), "o0")
            .await
            .is_none()
    })
    .await;
    let summary = bed
        .summary(&bus, "ConfigMap/default/o0")
        .await
        .expect("known");
    assert_eq!(
        summary
            .rows
            .iter()
            .map(|row| row.condition)
            .collect::<Vec<_>>(),
        [Condition::Removing],
        "the other one still has to: {summary:?}"
    );
    assert!(
        held(&away, "v1", "ConfigMap", Some("default"), "o0")
            .await
            .is_some()
    );

    let _agent = bed.agent(&away);
    eventually("the other one lets go when it is back", async || {
        held(&away, "v1", "ConfigMap", Some("default"), "o0")
            .await
            .is_none()
    })
    .await;
    bed.settled(&bus, "ConfigMap/default/o0", 2).await;
    // A cluster's newest message stays until there is a newer one: it carries the count.
    bed.accept(&bus, &config_map("o1", &["c1", "c2"], "one"))
        .await;
    bed.settled(&bus, "ConfigMap/default/o1", 1).await;
    eventually("no removal work is left", async || {
        let newest = bus
            .newest(&streams::work(0), &["fc.work.>".to_owned()], None, None)
            .await
            .expect("answers");
        // The fence, and the other object in each of the two clusters.
        newest.messages.len() == 3
    })
    .await;
    assert_eq!(
        bed.accept(&bus, &config_map("o0", &["c1"], "again")).await,
        3,
        "revisions go on across withdrawal"
    );
    bed.settled(&bus, "ConfigMap/default/o0", 3).await;
}
