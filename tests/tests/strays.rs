//! Strays: what is ours in a cluster and in nobody's work is told, and never touched.

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::strays::Strays;
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

/// A copy of `default/web` under another name, marked as ours.
async fn plant(cluster: &Cluster, name: &str) {
    let mut copy = held(cluster, "v1", "ConfigMap", Some("default"), "web")
        .await
        .expect("web is there");
    let metadata = &mut copy["metadata"];
    metadata["name"] = json!(name);
    metadata["annotations"]["fleetcast.dev/object"] = json!(format!("ConfigMap/default/{name}"));
    for servers in [
        "managedFields",
        "resourceVersion",
        "uid",
        "creationTimestamp",
    ] {
        metadata.as_object_mut().expect("metadata").remove(servers);
    }
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), "default", &resource);
    let copy: DynamicObject = serde_json::from_value(copy).expect("an object");
    api.create(&PostParams::default(), &copy)
        .await
        .expect("created");
}

/// Waits until exactly `names` are told as strays, each in c1.
async fn told(bus: &Bus, names: &[&str]) {
    let mut last = None;
    eventually(&format!("{names:?} are told"), async || {
        let Ok(answer) = client::query::<Strays>(bus, "strays", None, &Request::default()).await
        else {
            return false;
        };
        let found: Vec<String> = answer
            .clusters
            .iter()
            .flat_map(|cluster| &cluster.objects)
            .map(|object| object.name().to_owned())
            .collect();
        let is_it = found == names && answer.clusters.iter().all(|c| c.cluster.as_str() == "c1");
        last = Some(found);
        is_it
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_nobodys_work_is_told_and_stays() {
    let Some(server) = nats_server("what_is_in_nobodys_work_is_told_and_stays") else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _ingest = bed.ingest("a");
    let aggregator = bed.aggregator();
    let [first, _second] = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    bed.accept(&bus, &config_map("web", &["c1", "c2"], "one"))
        .await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;
    told(&bus, &[]).await;

    // Two copies that nobody decided about, and one that only looks like ours.
    plant(&clusters[0], "lost").await;
    plant(&clusters[0], "old").await;
    told(&bus, &["lost", "old"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let shown = fleetcast.run(&["--nats", url, "get", "--strays"]);
    assert!(
        shown.status == 0
            && shown.out.contains("configmap/default/lost")
            && shown.out.contains("does not touch them"),
        "{shown:?}"
    );
    let shown = fleetcast.run(&[
        "--nats",
        url,
        "get",
        "--strays",
        "--cluster",
        "c1",
        "-o",
        "json",
    ]);
    assert_eq!(shown.json()["clusters"][0]["count"], json!(2), "{shown:?}");
    let other = fleetcast.run(&["--nats", url, "get", "--strays", "--cluster", "c2"]);
    assert!(other.out.contains("no cluster tells"), "{other:?}");

    // Whoever starts again tells them again, and nothing is ever removed.
    first.kill().await;
    aggregator.kill().await;
    let _aggregator = bed.aggregator();
    let _first = bed.agent(&clusters[0]);
    told(&bus, &["lost", "old"]).await;
    for name in ["lost", "old", "web"] {
        let there = held(&clusters[0], "v1", "ConfigMap", Some("default"), name).await;
        assert!(there.is_some(), "{name}");
    }

    // One is declared: then it is work. The other one is deleted by hand.
    bed.accept(&bus, &config_map("lost", &["c1"], "one")).await;
    bed.settled(&bus, "ConfigMap/default/lost", 1).await;
    told(&bus, &["old"]).await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: Api<DynamicObject> = Api::namespaced_with(clusters[0].client(), "default", &resource);
    api.delete("old", &kube::api::DeleteParams::default())
        .await
        .expect("deleted");
    told(&bus, &[]).await;
}
