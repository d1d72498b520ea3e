//! Going back: an earlier revision or moment is handed in again, after a look at what that comes to.

use fleetcast_aggregator::answer::Request;
use fleetcast_aggregator::answer::past::{History, Revision};
use fleetcast_aggregator::client;
use fleetcast_bus::streams;
use fleetcast_core::model::ObjectKey;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, eventually, held, nats_server};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_shown_first_and_then_appended() {
    let Some(server) = nats_server("going_back_is_shown_first_and_then_appended") else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    let object = |name: &str| format!("ConfigMap/default/{name}");
    let text = async |cluster: &Cluster, name: &str| {
        let held = held(cluster, "v1", "ConfigMap", Some("default"), name).await?;
        Some(held["data"]["text"].as_str().unwrap_or_default().to_owned())
    };

    // Then: web in both clusters, api in one.
    bed.accept(&bus, &config_map("web", &["c1", "c2"], "one"))
        .await;
    bed.accept(&bus, &config_map("api", &["c1"], "one")).await;
    bed.settled(&bus, &object("web"), 1).await;
    bed.settled(&bus, &object("api"), 1).await;
    let then = bus
        .last_sequence(streams::LOG)
        .await
        .expect("a log")
        .to_string();
    // Now: web is another one in one cluster, api is withdrawn, and there is something new.
    bed.accept(&bus, &config_map("web", &["c1"], "two")).await;
    bed.withdraw(&bus, &object("api")).await;
    bed.accept(&bus, &config_map("new", &["c1", "c2"], "one"))
        .await;
    bed.settled(&bus, &object("web"), 2).await;
    bed.settled(&bus, &object("api"), 2).await;
    bed.settled(&bus, &object("new"), 1).await;

    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let run = |args: &[&str]| {
        let mut all = vec!["--nats", url, "rollback"];
        all.extend(args);
        fleetcast.run(&all)
    };
    // Without a terminal and without --yes it only shows.
    let shown = run(&["--all", "--at", &then]);
    assert_eq!(shown.status, 1, "{shown:?}");
    for part in [
        "configmap/default/web",
        "2 → as 1",
        "new did not exist then; it stays",
        "2 objects change, 0 are as they were, no copy is deleted",
    ] {
        assert!(shown.out.contains(part), "{part:?} in {}", shown.out);
    }
    assert!(shown.err.contains("nothing is changed"), "{}", shown.err);
    assert_eq!(
        bed.summary(&bus, &object("web"))
            .await
            .expect("known")
            .revision,
        2
    );

    let pruned = run(&["--all", "--at", &then, "--prune", "-o", "json"]);
    let preview = &pruned.json_lines()[0];
    assert_eq!(
        (
            &preview["deletes"],
            preview["changes"].as_array().map(Vec::len)
        ),
        (&2.into(), Some(3))
    );

    // One object to a revision: a new revision that says the same.
    let done = run(&[&object("web"), "--to", "1", "--yes"]);
    assert!(
        done.status == 0 && done.out.contains("as revision 1 is revision 3"),
        "{done:?}"
    );
    bed.settled(&bus, &object("web"), 3).await;
    for cluster in &clusters {
        assert_eq!(text(cluster, "web").await.as_deref(), Some("one"));
    }
    let wrong = run(&[&object("web"), "--to", "9", "--yes"]);
    assert!(
        wrong.status == 1 && wrong.err.contains("there are 1 to 3"),
        "{wrong:?}"
    );

    // A namespace, then everything with what was not there.
    let done = run(&["--namespace", "default", "--at", &then, "--yes"]);
    assert_eq!(done.status, 0, "{done:?}");
    bed.settled(&bus, &object("api"), 3).await;
    assert_eq!(text(&clusters[0], "api").await.as_deref(), Some("one"));
    assert_eq!(text(&clusters[0], "new").await.as_deref(), Some("one"));
    let done = run(&["--all", "--at", &then, "--prune", "--yes"]);
    assert_eq!(done.status, 0, "{done:?}");
    eventually("what was not there then is gone", async || {
        text(&clusters[0], "new").await.is_none()
    })
    .await;
    let nothing = run(&["--all", "--at", &then, "--prune"]);
    assert!(
        nothing.status == 0 && nothing.out.contains("nothing to do"),
        "{nothing:?}"
    );

    // Nothing was rewritten.
    let key: ObjectKey = object("web").parse().expect("an object");
    let history: History = client::query(&bus, "history", Some(&key), &Request::default())
        .await
        .expect("told");
    let numbers: Vec<u64> = history
        .revisions
        .iter()
        .map(|one: &Revision| one.revision)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// Shows that a policy goes back as an object does, and takes along what it places.
#[tokio::test(flavor = "multi_thread")]
async fn one_policy_goes_back_to_a_revision_with_what_it_places() {
    let Some(server) = nats_server("one_policy_goes_back_to_a_revision_with_what_it_places") else {
        return;
    };
    let bed = Bed::new(server);
    let clusters = [Cluster::new("c1"), Cluster::new("c2")];
    let bus = bed.bus().await;
    let _services = (bed.ingest("a"), bed.aggregator());
    let _agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
    bed.register(&bus, &["c1", "c2"]).await;
    let there = async |cluster: &Cluster| {
        let copy = held(cluster, "v1", "ConfigMap", Some("default"), "web").await;
        copy.is_some()
    };
    let policy = |clusters: &[&str]| {
        json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "web"}],
                "placement": {"clusterAffinity": {"clusterNames": clusters}}}})
    };
    let web = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"text": "one"}});
    let folder = tempfile::tempdir().expect("a folder");
    let fleetcast = bed.binary(folder.path());
    let url = bed.connect.url.as_str();
    let apply = |document: &Value| {
        let file = folder.path().join("it.json");
        std::fs::write(file, document.to_string()).expect("written");
        fleetcast.done(&["--nats", url, "apply", "-f", "it.json"]);
    };
    apply(&policy(&["c1"]));
    apply(&web);
    eventually("it is where the policy says", async || {
        there(&clusters[0]).await && !there(&clusters[1]).await
    })
    .await;
    apply(&policy(&["c2"]));
    eventually("and goes where it says next", async || {
        there(&clusters[1]).await
    })
    .await;
    bed.settled(&bus, "ConfigMap/default/web", 1).await;

    let named = "propagationpolicy.policy.karmada.io/default/web";
    let run = |more: &[&str]| {
        let args = ["--nats", url, "rollback", named, "--to"];
        fleetcast.run(&[&args[..], more].concat())
    };
    let shown = run(&["1"]);
    assert_eq!(shown.status, 1, "{shown:?}");
    for part in ["2 → as 1", "configmap/default/web", "by its policy"] {
        assert!(shown.out.contains(part), "{part:?} in {}", shown.out);
    }
    assert!(shown.err.contains("nothing is changed"), "{}", shown.err);
    let wrong = run(&["9", "--yes"]);
    assert!(
        wrong.status == 1 && wrong.err.contains("there are 1 to 2"),
        "{wrong:?}"
    );
    let done = run(&["1", "--yes"]);
    assert!(
        done.status == 0 && done.out.contains("as revision 1 is revision 3"),
        "{done:?}"
    );
    eventually("it is where the policy said first", async || {
        there(&clusters[0]).await
    })
    .await;
}
