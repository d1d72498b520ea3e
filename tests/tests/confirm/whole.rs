//! What one command withdraws waits as a whole, a namespace counts with what is in it, and a cut of the log takes none of what waits away.

use std::collections::BTreeSet;

use fleetcast_bus::streams;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Binary, Output, Service, config_map, nats_server};
use serde_json::json;

use crate::{LIMIT, fill, object, one_waits, there, waiting};

const COUNT: usize = 10;

/// A fleet of one cluster, of which no more than a few objects may go without a word, and the binary to type with.
struct Scene {
    bed: Bed,
    cluster: Cluster,
    bus: fleetcast_bus::Bus,
    services: Vec<Service>,
    _agent: Service,
    fleetcast: Binary,
    folder: tempfile::TempDir,
}

impl Scene {
    /// None without a NATS server.
    async fn begin(test: &str) -> Option<Self> {
        let bed = Bed::new(nats_server(test)?);
        let services = services(&bed);
        let bus = bed.bus().await;
        bed.register(&bus, &["c1"]).await;
        let cluster = Cluster::new("c1");
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self {
            fleetcast: bed.binary(folder.path()),
            _agent: bed.agent(&cluster),
            services,
            cluster,
            bus,
            bed,
            folder,
        })
    }

    /// Puts services that remember nothing in the place of those that there are.
    async fn forget(&mut self) {
        for service in self.services.drain(..) {
            service.stop().await;
        }
        for folder in ["a", "aggregator"] {
            drop(std::fs::remove_dir_all(
                self.bed.directory.path().join(folder),
            ));
        }
        self.services = services(&self.bed);
    }

    fn done(&self, args: &[&str]) -> Output {
        let all = [&["--nats", self.bed.connect.url.as_str()], args].concat();
        let output = tokio::task::block_in_place(|| self.fleetcast.run(&all));
        assert_eq!(output.status, 0, "{args:?}: {output:?}");
        output
    }

    /// Writes a folder with the first `count` objects, a file each.
    fn write_folder(&self, count: usize) {
        let folder = self.folder.path().join("all");
        std::fs::create_dir_all(&folder).expect("a folder");
        for index in 0..count {
            let document = config_map(&format!("o{index}"), &["c1"], "one").to_string();
            std::fs::write(folder.join(format!("o{index}.json")), document).expect("written");
        }
    }

    async fn there(&self) -> BTreeSet<usize> {
        there(&self.cluster, COUNT).await
    }

    /// Everything that waits is confirmed, and gone when the command ends.
    fn confirm(&self, id: &str) {
        self.done(&["confirm", id, "--yes", "--wait"]);
    }
}

fn services(bed: &Bed) -> Vec<Service> {
    vec![bed.ingest_limited("a", LIMIT), bed.aggregator()]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_command_withdraws_waits_as_a_whole() {
    let test = "what_one_command_withdraws_waits_as_a_whole";
    let Some(scene) = Scene::begin(test).await else {
        return;
    };
    let (bed, bus) = (&scene.bed, &scene.bus);
    let all: BTreeSet<usize> = (0..COUNT).collect();
    fill(bed, bus, 2, &["c1"]).await;
    let early = bus.last_sequence(streams::LOG).await.expect("a log");
    fill(bed, bus, COUNT, &["c1"]).await;

    // A folder: its files are withdrawn one after the other, and the first of them waits already.
    scene.write_folder(8);
    scene.done(&["delete", "-f", "all"]);
    let id = one_waits(bus, 8).await;
    assert_eq!(scene.there().await, all, "nothing went");
    scene.confirm(&id);
    assert_eq!(scene.there().await, [8, 9].into());

    // As many as may go without a word do.
    scene.done(&["apply", "-f", "all"]);
    for index in 0..8 {
        bed.settled(bus, &object(index), 3).await;
    }
    let few = ["configmap/default/o6", "configmap/default/o7"];
    scene.done(&[&["delete"], &few[..], &["--wait"]].concat());
    assert_eq!(scene.there().await, [0, 1, 2, 3, 4, 5, 8, 9].into());

    // What did not exist at a moment, pruned by a rollback: the same.
    let at = early.to_string();
    let rollback = ["rollback", "--all", "--at", &at, "--prune", "--yes"];
    scene.done(&rollback);
    let id = one_waits(bus, 6).await;
    assert_eq!(scene.there().await, [0, 1, 2, 3, 4, 5, 8, 9].into());
    scene.confirm(&id);
    assert_eq!(scene.there().await, [0, 1].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_waits_for_what_is_in_it() {
    let test = "a_namespace_waits_for_what_is_in_it";
    let Some(scene) = Scene::begin(test).await else {
        return;
    };
    let (bed, bus) = (&scene.bed, &scene.bus);
    let namespace = |name: &str| {
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "ClusterFederatedObject",
            "metadata": {"name": name},
            "spec": {
                "template": {"apiVersion": "v1", "kind": "Namespace"},
                "placement": {"clusters": ["c1"]},
            },
        })
    };
    for name in ["default", "empty"] {
        bed.accept(bus, &namespace(name)).await;
        bed.settled(bus, &format!("Namespace/{name}"), 1).await;
    }
    fill(bed, bus, COUNT, &["c1"]).await;
    // One object each; with the one ten others would go.
    bed.withdraw(bus, "Namespace/empty").await;
    bed.settled(bus, "Namespace/empty", 2).await;
    bed.withdraw(bus, "Namespace/default").await;
    one_waits(bus, 1).await;
    let held = waiting(bus).await;
    assert!(
        held.removals[0]
            .limit
            .contains("12 of 12 objects in cluster c1"),
        "{held:?}"
    );
    assert_eq!(scene.there().await.len(), COUNT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_while_removals_wait_takes_none_of_them_away() {
    let test = "a_cut_while_removals_wait_takes_none_of_them_away";
    let Some(mut scene) = Scene::begin(test).await else {
        return;
    };
    fill(&scene.bed, &scene.bus, COUNT, &["c1"]).await;
    scene.write_folder(8);
    scene.done(&["delete", "-f", "all"]);
    let id = one_waits(&scene.bus, 8).await;

    // Everything up to now is cut, the withdrawals and the decisions that hold included.
    let last = scene.bus.last_sequence(streams::LOG).await.expect("a log");
    let to = last.to_string();
    scene.done(&["retain", "--to", &to, "--without-backup", "--yes"]);
    let bounds = scene.bus.bounds(streams::LOG).await.expect("a log");
    assert_eq!(bounds.first, last + 1);

    // Services that remember nothing begin at the base: the same waits, and nothing goes meanwhile.
    scene.forget().await;
    let (bed, bus) = (&scene.bed, &scene.bus);
    assert_eq!(one_waits(bus, 8).await, id);
    // Changes flow, so whoever leads has read everything; what joins waits with the rest.
    let web = config_map("web", &["c1"], "one");
    bed.accept(bus, &web).await;
    bed.settled(bus, "ConfigMap/default/web", 1).await;
    assert_eq!(scene.there().await.len(), COUNT, "nothing went");
    // One of them is taken back, the rest is confirmed.
    scene.done(&["apply", "-f", "all/o0.json"]);
    bed.settled(bus, &object(0), 3).await;
    assert_eq!(one_waits(bus, 7).await, id);
    scene.confirm(&id);
    assert_eq!(scene.there().await, [0, 8, 9].into());
}
