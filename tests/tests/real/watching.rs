//! An agent's watches: their lives end, their bookmarks carry them on, and versions that the server forgot are listed anew; on the simulator and on a real server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, config_map, control_planes, eventually, nats_server};
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use serde_json::json;

use super::fleet::of;

/// How long watches live here, seconds: an agent asks for 285.
const LIFE: &str = "timeoutSeconds=5";

/// What an agent asks about its ConfigMaps, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    List,
    /// From this version on.
    Watch(u64),
}

/// What was asked, and whether the next watch begins long ago.
#[derive(Default)]
struct Record {
    asked: Mutex<Vec<Asked>>,
    begins_long_ago: AtomicBool,
}

impl Record {
    fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a request about our copies, and answers the path that is asked instead.
    fn note(&self, path: &str) -> String {
        let is_ours = path.contains("/configmaps?") && path.contains("labelSelector=");
        if !is_ours {
            return path.to_owned();
        }
        let mut path = path.replace("timeoutSeconds=285", LIFE);
        let version = path.split('&').find_map(|field| {
            let version = field.split_once("resourceVersion=")?.1;
            version.parse().ok()
        });
        let asked = match version.filter(|_| path.contains("watch=")) {
            Some(version) if self.begins_long_ago.swap(false, Ordering::SeqCst) => {
                let from = format!("resourceVersion={version}");
                path = path.replace(&from, "resourceVersion=1");
                Asked::Watch(1)
            }
            Some(version) => Asked::Watch(version),
            None => Asked::List,
        };
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
        path
    }
}

/// The same cluster, with watches that live shortly.
fn short_lived(client: &kube::Client) -> (kube::Client, Arc<Record>) {
    let record = Arc::new(Record::default());
    let (client, noted) = (client.clone(), Arc::clone(&record));
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        *request.uri_mut() = noted.note(path).parse().expect("a path");
        let client = client.clone();
        async move { client.send(request).await }
    });
    (kube::Client::new(service, "default"), record)
}

/// An agent's watch outlives its end and a version that is gone; `forgets` makes the cluster forget how it came about.
async fn watches_on(test: &str, client: &kube::Client, forgets: impl AsyncFnOnce()) {
    let Some(server) = nats_server(test) else {
        return;
    };
    let bed = Bed::new(server);
    let services = [bed.ingest("one"), bed.aggregator()];
    let (short, record) = short_lived(client);
    let agent = bed.agent_of("c1", short);
    let bus = bed.bus().await;
    bed.register(&bus, &["c1"]).await;
    bed.accept(&bus, &config_map("ours", &["c1"], "1")).await;
    bed.settled(&bus, "ConfigMap/default/ours", 1).await;

    let maps = of(client, "v1", "ConfigMap");
    let params = PatchParams {
        field_manager: Some("by-hand".to_owned()),
        ..PatchParams::default()
    };
    let heals = async |when: &str| {
        let edit = Patch::Merge(json!({"data": {"text": when}}));
        maps.patch("ours", &params, &edit).await.expect("edited");
        eventually(&format!("it is put right {when}"), async || {
            let live = maps.get("ours").await.expect("there");
            live.data["data"]["text"] == "1"
        })
        .await;
    };
    heals("while its first watch lives").await;

    let mut count = 0;
    let lives = |asked: &[Asked]| -> Vec<u64> {
        let watches = asked.iter().filter_map(|asked| match asked {
            Asked::Watch(version) => Some(*version),
            Asked::List => None,
        });
        watches.collect()
    };
    eventually("watches end and are taken up", async || {
        // What nobody watches moves versions on: only a bookmark tells.
        count += 1;
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {"count": count.to_string()}});
        let apply = PatchParams::apply("by-hand");
        maps.patch("other", &apply, &Patch::Apply(other)).await.expect("applied");
        lives(&record.asked()).len() >= 4
    })
    .await;
    let asked = record.asked();
    assert_eq!(asked[0], Asked::List, "{asked:?}");
    assert!(
        !asked[1..].contains(&Asked::List),
        "nothing is listed again: {asked:?}"
    );
    let versions = lives(&asked);
    assert!(
        versions.windows(2).skip(1).all(|pair| pair[0] < pair[1]),
        "each begins where the bookmark before it stood: {asked:?}"
    );
    heals("after bookmarks carried it on").await;

    forgets().await;
    let before = record.asked().len();
    record.begins_long_ago.store(true, Ordering::SeqCst);
    eventually("what is gone is listed anew", async || {
        let asked = record.asked();
        let gone = asked
            .iter()
            .skip(before)
            .position(|asked| *asked == Asked::Watch(1));
        gone.is_some_and(|gone| asked.get(before + gone + 1) == Some(&Asked::List))
    })
    .await;
    heals("after it was listed anew").await;
    agent.kill().await;
    for service in services {
        service.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_a_simulated_server_outlive_their_end_and_a_version_that_is_gone() {
    let client = Cluster::new("c1").client();
    let test = "watches_of_a_simulated_server_outlive_their_end_and_a_version_that_is_gone";
    watches_on(test, &client, async || {
        let maps = of(&client, "v1", "ConfigMap");
        for count in 0..1_100 {
            let edit = Patch::Merge(json!({"data": {"count": count.to_string()}}));
            let edited = maps.patch("other", &PatchParams::default(), &edit).await;
            edited.expect("edited");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_a_real_server_outlive_their_end_and_a_version_that_is_gone() {
    let test = "watches_of_a_real_server_outlive_their_end_and_a_version_that_is_gone";
    let Some(planes) = control_planes(test, 1).await else {
        return;
    };
    let [plane] = &planes[..] else {
        panic!("one was asked for");
    };
    let client = plane.client().await;
    watches_on(test, &client, async || {
        // A server that starts again remembers what is, not how it came.
        plane.kill();
        plane.start().await;
    })
    .await;
}
