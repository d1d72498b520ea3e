//! Whatever is made of documents, each becomes a row or a refusal, and nothing panics.
//!
//! Good documents of every dialect are changed at random places by a seed: values of other types and extreme numbers, members dropped or
//! copied elsewhere, strings cut and swollen. `FLEETCAST_SEEDS` says how many seeds are run.

use super::*;

/// Numbers from a seed (SplitMix64): the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).expect("31 bits") % end.max(1)
    }
}

fn seeds() -> u64 {
    #[allow(clippy::disallowed_methods)] // How long a test runs is no decision.
    let wanted = std::env::var("FLEETCAST_SEEDS").ok();
    wanted.and_then(|seeds| seeds.parse().ok()).unwrap_or(1_500)
}

fn good() -> Vec<Value> {
    vec![
        namespace(
            json!({"clusterSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["prod"]}]}}),
        ),
        federated(
            "FederatedDeployment",
            json!({
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}},
                "placement": {"clusters": [{"name": "a"}, {"name": "b"}], "clusterSelector": {}},
                "overrides": [{"clusterName": "a", "clusterOverrides": [
                    {"path": "/spec/template/spec/containers/0/image", "value": "web:2"},
                    {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "x"}},
                    {"op": "remove", "path": "/metadata/labels/app"},
                ]}],
                "retainReplicas": true,
            }),
        ),
        preference(json!({
            "targetKind": "FederatedDeployment", "totalReplicas": 9, "rebalance": false, "intersectWithClusterSelector": false,
            "clusters": {"a": {"weight": 2, "minReplicas": 1, "maxReplicas": 5}, "*": {"weight": 1}},
        })),
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"namespace": "shop", "name": "api"},
            "spec": {
                "template": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2, "template": {"spec": {
                    "containers": [{"name": "api", "image": "r.io/api:1@sha256:0", "command": ["sh"], "env": [{"name": "A", "value": "1"}]}],
                    "volumes": [{"configMap": {"name": "conf"}}],
                }}}},
                "placement": {
                    "clusters": ["a", "b", "z"], "clusterSelector": {"matchLabels": {"tier": "prod"}}, "exclude": ["c"],
                    "tolerations": [{"key": "k", "operator": "Exists"}], "spread": [{"by": "region", "min": 1, "max": 2}],
                    "preferences": [{"clusterSelector": {}}],
                },
                "replicas": {"divide": "weighted", "total": 7, "weights": [{"clusters": ["a"], "weight": 2}], "min": {"a": 1}, "max": {"b": 3}},
                "overrides": [{
                    "clusters": ["a"],
                    "patches": [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x"}],
                    "images": [{"component": "registry", "op": "replace", "value": "r.us"}],
                    "command": [{"container": "api", "op": "add", "value": ["-c"]}], "env": [{"container": "api", "op": "add", "value": {"B": "2"}}],
                    "labels": [{"op": "add", "value": {"x": "y"}}], "annotations": [{"op": "remove", "value": {"x": "y"}}],
                }],
                "apply": {"conflict": "force", "ignore": ["/spec/replicas"]}, "dependencies": true, "suspend": false,
            },
        }),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "conf"}, "data": {}}),
        json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": "d", "labels": {"tier": "prod"}},
            "spec": {"region": "r", "zones": ["z"], "taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "apiEnablements": [{"groupVersion": "apps/v1", "resources": [{"kind": "Deployment"}]}]},
        }),
        json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"namespace": "shop", "name": "p"},
            "spec": {
                "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "conf"}],
                "placement": {
                    "clusterAffinity": {"clusterNames": ["a", "d"], "fieldSelector": {"matchExpressions": [{"key": "region", "operator": "In", "values": ["r"]}]}},
                    "spreadConstraints": [{"spreadByField": "cluster", "minGroups": 1, "maxGroups": 2}],
                    "replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
                        "weightPreference": {"staticWeightList": [{"targetCluster": {"clusterNames": ["a"]}, "weight": 2}]}},
                },
                "propagateDeps": true,
            },
        }),
        json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy", "metadata": {"namespace": "shop", "name": "o"},
            "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}], "overrideRules": [{
                "targetCluster": {"clusterNames": ["a"]},
                "overriders": {"plaintext": [{"path": "/data/x", "operator": "add", "value": "y"}], "labelsOverrider": [{"operator": "add", "value": {"a": "b"}}]},
            }]},
        }),
    ]
}

/// How many values lie under `value`, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Object(object) => object.values().map(size).sum(),
        Value::Array(list) => list.iter().map(size).sum(),
        _ => 0,
    }
}

/// The value at place `at`, counted from the root downwards.
fn at(value: &mut Value, mut at: usize) -> Option<&mut Value> {
    if at == 0 {
        return Some(value);
    }
    at -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Object(object) => object.values_mut().collect(),
        Value::Array(list) => list.iter_mut().collect(),
        _ => return None,
    };
    for child in children {
        let below = size(child);
        if at < below {
            return self::at(child, at);
        }
        at -= below;
    }
    None
}

fn change(document: &mut Value, numbers: &mut Numbers) {
    let pick = numbers.below(size(document));
    let other_place = numbers.below(size(document));
    let copied = at(document, other_place).cloned().unwrap_or_default();
    let Some(place) = at(document, pick) else {
        return;
    };
    *place = match numbers.below(14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(i64::MIN),
        5 => json!(u64::MAX),
        6 => json!(1.5e300),
        7 => json!([]),
        8 => json!({}),
        9 => json!(""),
        10 => json!("é".repeat(numbers.below(300))),
        11 => json!([copied.clone(), copied]),
        12 => match place.take() {
            Value::String(text) => json!(text.chars().rev().collect::<String>()),
            other => json!([other]),
        },
        _ => copied,
    };
}

#[test]
fn every_document_becomes_a_row_or_a_refusal() {
    for seed in 0..seeds() {
        let mut numbers = Numbers(seed);
        let mut values = good();
        for _ in 0..=numbers.below(4) {
            let index = numbers.below(values.len());
            change(&mut values[index], &mut numbers);
        }
        let rows = observed(json!([
            {"object": "deployment/shop/web", "cluster": "a", "replicas": i64::MIN, "ready": i64::MAX, "capacity": i64::MIN},
            {"object": "deployment/shop/api", "cluster": "b", "replicas": i64::MAX, "available": i64::MAX},
            {"object": "no object", "cluster": "b"},
        ]));
        let report = plan(&documents(&values), fleet(), &rows);
        assert!(report.objects.len() <= values.len(), "seed {seed}");
        for row in &report.objects {
            assert!(
                row.refusal.is_none() || row.clusters.is_empty(),
                "seed {seed}: refused and placed"
            );
            for planned in &row.clusters {
                assert_eq!(
                    planned.manifest["kind"],
                    row.object.kind.as_str(),
                    "seed {seed}"
                );
                assert_eq!(
                    planned.manifest["metadata"]["name"],
                    row.object.name.as_str(),
                    "seed {seed}"
                );
            }
        }
    }
}

/// Shows that nesting as deep as a parser lets through, ten thousand overrides and a huge list of names are bounded work.
#[test]
fn large_documents_are_bounded_work() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({"a": [deep]});
    }
    let overrides: Vec<Value> = (0..10_000)
        .map(|index| json!({"clusterName": format!("c-{index}"), "clusterOverrides": [{"path": "/spec/x", "value": index}]}))
        .collect();
    let names: Vec<Value> = (0..10_000)
        .map(|index| json!({"name": format!("c-{index}")}))
        .collect();
    let large = federated(
        "FederatedDeployment",
        json!({
            "template": {"spec": deep}, "placement": {"clusters": names}, "overrides": overrides,
        }),
    );
    let report = plan(&documents(&[large]), fleet(), &[]);
    assert_eq!(report.objects[0].excluded.len(), 10_003);
}
