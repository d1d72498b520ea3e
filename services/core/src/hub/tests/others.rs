//! What is done about clusters that vanish, federated kinds that rest, and objects that others take along.

use super::*;
use crate::log::{ClusterEvent, ClusterNews};
use crate::model::{Cluster, ClusterName};

#[test]
fn a_cluster_that_vanishes_stays_in_the_fleet_and_is_shown() {
    let place = key("KubeFedCluster.core.kubefed.io/kube-federation-system/eu");
    let document = json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
        "metadata": {"name": "eu", "namespace": "kube-federation-system"}});
    let origin = |hub: &str| Origin {
        source: format!("kubernetes/{hub}"),
        id: "c/1/1".into(),
    };
    let news = |sequence: u64, news: ClusterNews| Entry {
        sequence,
        id: sequence.to_string(),
        event: Event::Cluster(ClusterEvent {
            cluster: ClusterName::parse("eu").expect("a name"),
            time: Time(0),
            news,
        }),
    };
    let registered = |hub: &str| {
        let mut cluster = Cluster::named(ClusterName::parse("eu").expect("a name"));
        cluster.declared_on = logged::on_hub(&origin(hub), &document);
        ClusterNews::Registered(Box::new(cluster))
    };
    for (by, expected) in [("h", vec!["Vanished"]), ("another", vec![])] {
        let mut hub = Hub::new("h", Logged::default());
        hub.logged(&news(1, registered(by)));
        hub.list_begins("core.kubefed.io", "KubeFedCluster");
        hub.listed("core.kubefed.io", "KubeFedCluster");
        let told = matches!(
            hub.poll(),
            Some(Effect::Report {
                report: Report::Vanished,
                ..
            })
        );
        assert_eq!(told, !expected.is_empty(), "{by}");
        let shown = hub.differences();
        let standings: Vec<String> = shown
            .iter()
            .map(|one| format!("{:?}", one.standing))
            .collect();
        assert_eq!(standings, expected, "{by}");
        if let [one] = &shown[..] {
            assert_eq!(one.place, place);
            assert_eq!(one.target, Some(key("MemberCluster.fleetcast.dev/eu")));
        }
        // Somebody settles it.
        hub.logged(&news(2, ClusterNews::Removed {}));
        assert_eq!(hub.poll(), None, "{by}");
        assert_eq!(hub.differences(), []);
    }
}

fn type_config(kind: &str, api_version: &str, propagation: &str) -> Value {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "FederatedTypeConfig",
        "metadata": {"name": kind, "namespace": "kube-federation-system", "uid": kind, "resourceVersion": "1"},
        "spec": {"propagation": propagation, "targetType": {"group": group, "version": version, "kind": kind, "scope": "Namespaced"},
            "federatedType": {"group": "types.kubefed.io", "version": "v1beta1", "kind": format!("Federated{kind}")}}})
}

fn federated(kind: &str, version: u64) -> Value {
    json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": format!("Federated{kind}"),
        "metadata": {"name": "one", "namespace": "shop", "uid": "f", "resourceVersion": version.to_string(), "generation": version, "finalizers": [FINALIZER]},
        "spec": {"template": {"spec": {}}, "placement": {"clusters": [{"name": "eu"}]}}})
}

#[test]
fn a_federated_kind_is_propagated_where_its_type_config_says_so() {
    const CONFIG: (&str, &str) = ("core.kubefed.io", "FederatedTypeConfig");
    let place = key("FederatedThing.types.kubefed.io/shop/one");
    let mut scene = Scene::new();
    scene.hub.seen(&federated("Thing", 1));
    assert_eq!(
        scene.run(),
        [""; 0],
        "nobody knows yet whether it is propagated"
    );
    scene.hub.list_begins(CONFIG.0, CONFIG.1);
    scene.hub.seen(&type_config("Thing", "x.io/v2", "Disabled"));
    scene.hub.listed(CONFIG.0, CONFIG.1);
    let fetched = |scene: &mut Scene, version: u64| {
        scene.hub.seen(&federated("Thing", version));
        scene.hub.done(&place);
        scene.run()
    };
    assert_eq!(scene.run(), ["fetch one"]);
    assert_eq!(fetched(&mut scene, 2), [""; 0]);
    assert_eq!(
        scene.standings(),
        ["Rests(\"rests: its FederatedTypeConfig says propagation: Disabled\")"]
    );
    scene.hub.seen(&type_config("Thing", "x.io/v2", "Enabled"));
    assert_eq!(scene.run(), ["fetch one"]);
    assert_eq!(fetched(&mut scene, 2), ["submit f/2/2"]);
    let Content::Declared { document, .. } = &scene.log[0].content else {
        panic!("it was declared");
    };
    // The door knows nothing of configs: what it needs stands in the document.
    assert_eq!(
        document.value().expect("JSON")["spec"]["template"]["apiVersion"],
        "x.io/v2"
    );
    assert_eq!(scene.log[0].object, key("Thing.x.io/shop/one"));
    // Of another kind there is no config.
    scene.hub.seen(&federated("Secret", 1));
    assert_eq!(scene.run(), [""; 0]);
    // KubeFed and its configs go: every kind is propagated.
    scene.hub.list_begins(CONFIG.0, CONFIG.1);
    scene.hub.listed(CONFIG.0, CONFIG.1);
    assert_eq!(scene.run(), ["submit f/1/1", "fetch one"]);
}

#[test]
fn what_becomes_a_kind_of_another_name_is_refused_and_what_rests_is_not_withdrawn() {
    let mut scene = Scene::new();
    scene.hub.serves_no_types();
    let place = key("FederatedSecret.types.kubefed.io/shop/one");
    scene.hub.seen(&federated("Secret", 1));
    assert_eq!(scene.run(), ["submit f/1/1"]);
    scene.hub.seen(&type_config("Secret", "v1", "Disabled"));
    assert_eq!(scene.run(), ["fetch one"]);
    let mut going = federated("Secret", 3);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    scene.hub.seen(&going);
    scene.hub.done(&place);
    assert_eq!(
        scene.run(),
        [""; 0],
        "as KubeFed: it waits until its kind is propagated again"
    );
    let mut other = type_config("Secret", "v1", "Enabled");
    other["spec"]["targetType"]["kind"] = json!("Vault");
    scene.hub.seen(&other);
    scene.hub.seen(&federated("Secret", 4));
    assert!(
        scene
            .standings()
            .iter()
            .any(|one| one.contains("makes it a Vault")),
        "{:?}",
        scene.standings()
    );
}

#[test]
fn what_a_workload_names_is_handed_in_with_it_where_the_policy_says_so() {
    let policy = |deps: bool, version: u64| {
        json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "p", "namespace": "shop", "uid": "p", "resourceVersion": version.to_string(), "finalizers": [FINALIZER]},
            "spec": {"propagateDeps": deps, "resourceSelectors": [{"apiVersion": "v1", "kind": "Pod"}],
                "placement": {"clusterAffinity": {"clusterNames": ["eu"]}}}})
    };
    let pod = |version: u64, map: &str| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "pod", "namespace": "shop", "uid": "w", "resourceVersion": version.to_string(), "finalizers": [FINALIZER]},
            "spec": {"containers": [{"envFrom": [{"configMapRef": {"name": map}}]}]}})
    };
    let map = |name: &str, version: u64| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string(), "finalizers": [FINALIZER]}, "data": {"a": "1"}})
    };
    let mut scene = Scene::new();
    scene.hub.seen(&policy(false, 1));
    assert_eq!(scene.run(), ["watch Pod", "submit p/1/0"]);
    scene.hub.seen(&pod(2, "conf"));
    assert_eq!(scene.run(), ["submit w/2/0"]);
    scene.hub.seen_metadata(&map("conf", 3));
    assert_eq!(scene.run(), [""; 0], "nobody takes it along");
    // The policy takes along what its objects name: their kinds are watched.
    scene.hub.seen(&policy(true, 4));
    assert_eq!(
        scene.run(),
        ["watch Pod", "watch ConfigMap", "submit p/4/0"]
    );
    for name in ["conf", "other"] {
        scene.hub.seen_metadata(&map(name, 5));
    }
    assert_eq!(scene.run(), ["fetch conf"]);
    scene.hub.seen(&map("conf", 5));
    scene.hub.done(&key("ConfigMap/shop/conf"));
    assert_eq!(scene.run(), ["submit conf/5/0"]);
    // No generation is counted there: another version with the same content is no change.
    scene.hub.seen_metadata(&map("conf", 6));
    assert_eq!(scene.run(), ["fetch conf"]);
    scene.hub.seen(&map("conf", 6));
    scene.hub.done(&key("ConfigMap/shop/conf"));
    assert_eq!(scene.run(), [""; 0]);
    // Another one is named: it is read, since its kind is watched already.
    scene.hub.seen(&pod(7, "other"));
    assert_eq!(scene.run(), ["fetch other"]);
    scene.hub.seen(&map("other", 7));
    scene.hub.done(&key("ConfigMap/shop/other"));
    let done = scene.run();
    assert!(
        done.contains(&"submit other/7/0".to_owned()) && done.contains(&"submit w/7/0".to_owned()),
        "{done:?}"
    );
}
