//! Rows as the contract of `plan -o json` has them, from documents of each dialect.

mod hostile;

use serde_json::{Value, json};

use super::*;
use crate::model::Cluster;

fn documents(values: &[Value]) -> Vec<Document> {
    values
        .iter()
        .enumerate()
        .map(|(index, value)| Document {
            file: "a.yaml".to_owned(),
            index,
            value: Ok(value.clone()),
        })
        .collect()
}

/// Three clusters: a and b with tier prod, c with tier test.
fn fleet() -> Fleet {
    Fleet::of(["a", "b", "c"].map(|name| {
        Cluster {
            labels: [(
                "tier".to_owned(),
                if name == "c" { "test" } else { "prod" }.to_owned(),
            )]
            .into(),
            region: Some(format!("r-{name}")),
            ..Cluster::named(ClusterName::parse(name).expect("valid"))
        }
    }))
}

fn observed(rows: Value) -> Vec<Observed> {
    serde_json::from_value(rows).expect("observed rows")
}

/// Each row in short: `Kind/name: a=3 b | c:Reason` or `Kind/name: refused field`, and then what is no object: `document 1: field`.
fn story_with(values: &[Value], rows: Value) -> Vec<String> {
    let report = plan(&documents(values), fleet(), &observed(rows));
    let objects = report.objects.iter().map(|row| {
        let name = format!("{}/{}", row.object.kind, row.object.name);
        if let Some(refusal) = &row.refusal {
            return format!("{name}: refused {}", refusal.field);
        }
        let placed = row.clusters.iter().map(|planned| match planned.replicas {
            Some(replicas) => format!(" {}={replicas}", planned.cluster),
            None => format!(" {}", planned.cluster),
        });
        let excluded = row
            .excluded
            .iter()
            .filter(|excluded| excluded.reason != crate::placement::Exclusion::NotSelected)
            .map(|excluded| format!(" {}:{:?}", excluded.cluster, excluded.reason));
        let excluded: String = excluded.collect();
        let mut text = format!("{name}:{}", placed.collect::<String>());
        if !excluded.is_empty() {
            text += &format!(" |{excluded}");
        }
        if row.unplaced_replicas > 0 {
            text += &format!(" | {} unplaced", row.unplaced_replicas);
        }
        text
    });
    let refusals = report
        .refusals
        .iter()
        .map(|refused| format!("document {}: {}", refused.document, refused.field));
    objects.chain(refusals).collect()
}

fn story(values: &[Value]) -> Vec<String> {
    story_with(values, json!([]))
}

fn federated(kind: &str, spec: Value) -> Value {
    let name = if kind == "FederatedNamespace" {
        "shop"
    } else {
        "web"
    };
    json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": kind,
        "metadata": {"namespace": "shop", "name": name}, "spec": spec,
    })
}

fn preference(spec: Value) -> Value {
    json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
        "metadata": {"namespace": "shop", "name": "web"}, "spec": spec,
    })
}

fn namespace(placement: Value) -> Value {
    federated("FederatedNamespace", json!({"placement": placement}))
}

fn deployment(placement: Value) -> Value {
    federated(
        "FederatedDeployment",
        json!({"template": {"spec": {"replicas": 3}}, "placement": placement}),
    )
}

fn native(spec: Value) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"namespace": "shop", "name": "web"}, "spec": spec,
    })
}

fn web() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 6}})
}

#[test]
fn an_object_of_kubefeds_goes_no_further_than_its_namespace() {
    let all = || json!({"clusterSelector": {}});
    for (documents, expected) in [
        (
            vec![deployment(all())],
            vec!["Deployment/web: | a:Namespace b:Namespace c:Namespace"],
        ),
        (
            vec![
                deployment(all()),
                namespace(json!({"clusters": [{"name": "a"}, {"name": "z"}]})),
            ],
            vec![
                "Deployment/web: a=3 | b:Namespace c:Namespace",
                "Namespace/shop: a | z:Unknown",
            ],
        ),
        (
            vec![
                namespace(json!({"clusterSelector": {"matchLabels": {"tier": "prod"}}})),
                deployment(json!({"clusters": [{"name": "b"}, {"name": "c"}]})),
            ],
            vec!["Namespace/shop: a b", "Deployment/web: b=3 | c:Namespace"],
        ),
        (
            vec![namespace(json!({})), deployment(all())],
            vec![
                "Namespace/shop:",
                "Deployment/web: | a:Namespace b:Namespace c:Namespace",
            ],
        ),
        (
            vec![
                deployment(json!({"clusters": [], "clusterSelector": {}})),
                namespace(all()),
            ],
            vec!["Deployment/web:", "Namespace/shop: a b c"],
        ),
    ] {
        assert_eq!(story(&documents), expected);
    }
}

#[test]
fn system_namespaces_are_never_propagated_and_contain_all_the_same() {
    let system = |kind: &str, name: &str| {
        json!({
            "apiVersion": "types.kubefed.io/v1beta1", "kind": kind,
            "metadata": {"namespace": "default", "name": name}, "spec": {"placement": {"clusters": [{"name": "a"}]}},
        })
    };
    let documents = [
        system("FederatedNamespace", "default"),
        system("FederatedSecret", "s"),
    ];
    assert_eq!(
        story(&documents),
        ["Namespace/default: | a:Namespace", "Secret/s: a"]
    );
}

#[test]
fn a_preference_rewrites_placement_and_replicas() {
    let all = || json!({"clusterSelector": {}});
    let wishes = || json!({"a": {"weight": 2}, "b": {"weight": 1}});
    let base =
        json!({"targetKind": "FederatedDeployment", "totalReplicas": 9, "clusters": wishes()});
    let with = |key: &str, value: Value| {
        let mut spec = base.clone();
        spec[key] = value;
        preference(spec)
    };
    for (what, documents, rows, expected) in [
        (
            "considered without a wish is placed with 0",
            vec![
                namespace(all()),
                deployment(json!({})),
                with("rebalance", json!(true)),
            ],
            json!([]),
            vec!["Namespace/shop: a b c", "Deployment/web: a=6 b=3 c=0"],
        ),
        (
            "what is there is kept without rebalance, up to the share",
            vec![
                namespace(all()),
                deployment(all()),
                with("totalReplicas", json!(6)),
            ],
            json!([{"object": "deployment/shop/web", "cluster": "b", "replicas": 2, "ready": 2}]),
            vec!["Namespace/shop: a b c", "Deployment/web: a=4 b=2 c=0"],
        ),
        (
            "a capacity overflows and is placed where nobody else takes it",
            vec![
                namespace(all()),
                deployment(all()),
                with("clusters", json!({"a": {"weight": 1}})),
            ],
            json!([{"object": "deployment/shop/web", "cluster": "a", "capacity": 2}]),
            vec!["Namespace/shop: a b c", "Deployment/web: a=9 b=0 c=0"],
        ),
        (
            "a maximum leaves some over",
            vec![
                namespace(all()),
                deployment(all()),
                with("clusters", json!({"*": {"weight": 1, "maxReplicas": 2}})),
            ],
            json!([]),
            vec![
                "Namespace/shop: a b c",
                "Deployment/web: a=2 b=2 c=2 | 3 unplaced",
            ],
        ),
        (
            "only the selectors of object and namespace together",
            vec![
                namespace(json!({"clusterSelector": {"matchLabels": {"tier": "prod"}}})),
                deployment(json!({"clusters": [{"name": "c"}], "clusterSelector": {}})),
                with("intersectWithClusterSelector", json!(true)),
            ],
            json!([]),
            vec!["Namespace/shop: a b", "Deployment/web: a=6 b=3"],
        ),
        (
            "a namespace placed by names selects nothing there, and the last result stays",
            vec![
                namespace(json!({"clusters": [{"name": "a"}]})),
                deployment(all()),
                with("intersectWithClusterSelector", json!(true)),
            ],
            json!([]),
            vec![
                "Namespace/shop: a",
                "Deployment/web: a=3 | b:Namespace c:Namespace",
            ],
        ),
        (
            "another kind is refused, and one without a target says so",
            vec![
                namespace(all()),
                with("targetKind", json!("FederatedJob")),
                preference(base.clone()),
            ],
            json!([]),
            vec![
                "Namespace/shop: a b c",
                "document 1: spec.targetKind",
                "document 2: metadata.name",
            ],
        ),
    ] {
        assert_eq!(story_with(&documents, rows), expected, "{what}");
    }
}

/// Shows that replica overrides of considered clusters are replaced in their place, that those of others go, and that the rest stays.
#[test]
fn a_preference_keeps_other_overrides() {
    let mut target = deployment(json!({"clusterSelector": {}}));
    target["spec"]["overrides"] = json!([
        {"clusterName": "b", "clusterOverrides": [{"path": "/spec/replicas", "value": 99}, {"path": "/spec/paused", "value": true}]},
        {"clusterName": "z", "clusterOverrides": [{"path": "/spec/replicas", "value": 99}]},
    ]);
    let wished = preference(
        json!({"targetKind": "FederatedDeployment", "totalReplicas": 6, "rebalance": true}),
    );
    let documents = documents(&[namespace(json!({"clusterSelector": {}})), target, wished]);
    let report = plan(&documents, fleet(), &[]);
    let manifests: Vec<&Value> = report.objects[1]
        .clusters
        .iter()
        .map(|c| &*c.manifest)
        .collect();
    assert_eq!(manifests[1]["spec"], json!({"replicas": 2, "paused": true}));
    assert_eq!(manifests[0]["spec"], json!({"replicas": 2}));
    assert!(report.refusals.is_empty());
}

#[test]
fn retained_replicas_are_the_members_unless_an_override_says_otherwise() {
    let mut target = deployment(json!({"clusterSelector": {}}));
    target["spec"]["retainReplicas"] = json!(true);
    target["spec"]["overrides"] =
        json!([{"clusterName": "b", "clusterOverrides": [{"path": "/spec/replicas", "value": 9}]}]);
    let rows = json!([
        {"object": "Deployment.apps/shop/web", "cluster": "a", "replicas": 7},
        {"object": "deployment/shop/web", "cluster": "b", "replicas": 7},
    ]);
    let all = namespace(json!({"clusterSelector": {}}));
    assert_eq!(
        story_with(&[all, target], rows),
        ["Namespace/shop: a b c", "Deployment/web: a=7 b=9 c=3"]
    );
}

#[test]
fn one_bad_override_refuses_an_object_of_kubefeds_and_the_row_stays() {
    let mut target = deployment(json!({"clusterSelector": {}}));
    target["spec"]["overrides"] = json!([
        {"clusterName": "a", "clusterOverrides": [{"path": "/spec/paused", "value": true}]},
        {"clusterName": "a", "clusterOverrides": []},
    ]);
    assert_eq!(
        story(&[target]),
        ["Deployment/web: refused spec.overrides[1].clusterName"]
    );
}

#[test]
fn kinds_are_learnt_from_configs_and_from_what_clusters_serve() {
    let thing = federated(
        "FederatedThing",
        json!({"placement": {"clusterSelector": {}}}),
    );
    let config = json!({
        "apiVersion": "core.kubefed.io/v1beta1", "kind": "FederatedTypeConfig", "metadata": {"name": "things.x.io"},
        "spec": {
            "targetType": {"group": "x.io", "version": "v1", "kind": "Thing", "pluralName": "things", "scope": "Namespaced"},
            "federatedType": {"group": "types.kubefed.io", "version": "v1beta1", "kind": "FederatedThing"},
        },
    });
    let serves = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": "d"},
        "status": {"apis": [{"apiVersion": "x.io/v2", "kinds": ["Thing"]}, {"apiVersion": "v1", "kinds": ["Namespace"]}]},
    });
    let all = || namespace(json!({"clusterSelector": {}}));
    assert_eq!(
        story(std::slice::from_ref(&thing)),
        ["document 0: spec.template.apiVersion"]
    );
    assert_eq!(
        story(&[thing.clone(), config, all()])[0],
        "Thing/web: a b c"
    );
    let known = story(&[thing, serves, all()]);
    assert_eq!(known, ["Thing/web: a b c d", "Namespace/shop: a b c d"]);
}

#[test]
fn native_replicas_are_divided_among_the_clusters_that_are_fit() {
    let with = |placement: Value, replicas: Value| {
        native(json!({"template": web(), "placement": placement, "replicas": replicas}))
    };
    let all = || json!({"clusterSelector": {}});
    for (what, document, rows, expected) in [
        (
            "weights",
            with(
                all(),
                json!({"divide": "weighted", "weights": [{"clusters": ["a"], "weight": 2}, {"clusters": ["b"], "weight": 1}]}),
            ),
            json!([]),
            "Deployment/web: a=4 b=2 | c:ZeroReplicas",
        ),
        (
            "none listed are alike",
            with(all(), json!({"divide": "weighted"})),
            json!([]),
            "Deployment/web: a=2 b=2 c=2",
        ),
        (
            "a total of its own",
            with(all(), json!({"divide": "duplicate", "total": 4})),
            json!([]),
            "Deployment/web: a=4 b=4 c=4",
        ),
        (
            "a maximum leaves over",
            with(
                json!({"clusters": ["a"]}),
                json!({"divide": "weighted", "max": {"a": 4}}),
            ),
            json!([]),
            "Deployment/web: a=4 | 2 unplaced",
        ),
        (
            "room",
            with(all(), json!({"divide": "available"})),
            json!([
                {"object": "deployment/shop/web", "cluster": "a", "capacity": 2},
                {"object": "deployment/shop/web", "cluster": "b", "available": 1},
                {"object": "deployment/shop/web", "cluster": "c", "capacity": 0},
            ]),
            "Deployment/web: a=2 b=1 | c:NoCapacity | 3 unplaced",
        ),
        (
            "into few, where it is already",
            with(all(), json!({"divide": "aggregated"})),
            json!([
                {"object": "deployment/shop/web", "cluster": "a", "available": 9},
                {"object": "deployment/shop/web", "cluster": "b", "replicas": 1, "available": 9},
            ]),
            "Deployment/web: b=6 | a:ZeroReplicas c:ZeroReplicas",
        ),
        (
            "spread",
            with(
                json!({"clusterSelector": {}, "spread": [{"by": "cluster", "max": 2}]}),
                json!({"divide": "weighted"}),
            ),
            json!([
                {"object": "deployment/shop/web", "cluster": "b", "replicas": 3},
                {"object": "deployment/shop/web", "cluster": "c", "replicas": 3},
            ]),
            "Deployment/web: b=3 c=3 | a:Spread",
        ),
        (
            "a spread that cannot be",
            with(
                json!({"clusterSelector": {}, "spread": [{"by": "region", "min": 4}]}),
                json!({"divide": "weighted"}),
            ),
            json!([]),
            "Deployment/web: | a:Spread b:Spread c:Spread | 6 unplaced",
        ),
        (
            "the first group that fits",
            with(
                json!({"clusterSelector": {}, "preferences": [{"clusterSelector": {"matchLabels": {"tier": "test"}}}, {"clusterSelector": {"matchLabels": {"tier": "prod"}}}]}),
                json!({"divide": "available"}),
            ),
            json!([{"object": "deployment/shop/web", "cluster": "c", "capacity": 5}]),
            "Deployment/web: a=3 b=3",
        ),
    ] {
        assert_eq!(story_with(&[document], rows), [expected], "{what}");
    }
}

#[test]
fn what_a_workload_names_follows_it() {
    let mut template = web();
    template["spec"]["template"]["spec"] = json!({
        "volumes": [{"configMap": {"name": "conf"}}, {"secret": {"secretName": "tls"}}], "containers": [],
    });
    let workload = |dependencies: bool| {
        native(
            json!({"template": template, "placement": {"clusters": ["a", "b"]}, "dependencies": dependencies}),
        )
    };
    let conf = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "conf"}});
    let tls = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"namespace": "shop", "name": "tls"},
        "spec": {"template": {"apiVersion": "v1", "kind": "Secret"}, "placement": {"clusters": ["c"]}},
    });
    assert_eq!(
        story(&[conf.clone(), tls.clone(), workload(true)]),
        [
            "ConfigMap/conf: a b",
            "Secret/tls: a b c",
            "Deployment/web: a=6 b=6"
        ]
    );
    assert_eq!(
        story(&[conf, tls, workload(false)]),
        ["Secret/tls: c", "Deployment/web: a=6 b=6", "document 0: "]
    );
}

#[test]
fn the_second_source_of_an_object_is_refused_and_hears_of_the_first() {
    let first = native(json!({"template": web(), "placement": {"clusters": ["a"]}}));
    let report = plan(&documents(&[first, deployment(json!({}))]), fleet(), &[]);
    let refusal = report.objects[1].refusal.as_ref().expect("refused");
    assert_eq!(refusal.field, "metadata.name");
    assert!(refusal.message.contains("a.yaml document 0"), "{refusal}");
    assert!(report.objects[1].clusters.is_empty());
}

#[test]
fn plain_objects_are_karmadas_where_a_policy_is_among_the_documents() {
    let plain = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"replicas": 2},
    });
    let policy = json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"namespace": "shop", "name": "p"},
        "spec": {
            "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
            "placement": {"clusterAffinity": {"clusterNames": ["b"]}},
        },
    });
    assert_eq!(story(std::slice::from_ref(&plain)), ["document 0: "]);
    assert_eq!(story(&[plain, policy]), ["Deployment/web: b=2"]);
}

/// Shows that what the fleet is known to hold counts: a cordoned cluster keeps what it has, also where it has no replicas.
#[test]
fn a_cordoned_cluster_keeps_what_it_is_known_to_hold() {
    let document = native(json!({
        "template": {"apiVersion": "v1", "kind": "Secret"}, "placement": {"clusters": ["a"]},
    }));
    let cordoned = || Cluster {
        cordoned: true,
        ready: false,
        ..Cluster::named(ClusterName::parse("a").expect("valid"))
    };
    let documents = documents(&[document]);
    let empty = plan(&documents, Fleet::of([cordoned()]), &[]);
    assert_eq!(empty.objects[0].clusters.len(), 0);
    let mut fleet = Fleet::of([cordoned()]);
    fleet.hold(&"Secret/shop/web".parse().expect("valid"), &cordoned().name);
    assert_eq!(plan(&documents, fleet, &[]).objects[0].clusters.len(), 1);
}
