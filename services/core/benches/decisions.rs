//! How fast decisions are made on one core, and how that grows: placement over clusters and objects, rendering, overrides, digests.
//!
//! One *decision* is the verdict of one object over all registered clusters: which get it with which manifest and for which reasons, and
//! why each other one that was meant does not. `cargo bench -p fleetcast-core --bench decisions`; docs/performance.md has the figures.

use std::collections::BTreeMap;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fleetcast_core::decision::{Decision, Standings};
use fleetcast_core::dialect::{self, Input, karmada};
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{Cluster, ClusterName, FederatedObject};
use fleetcast_core::placement::{Containment, Holding, Situation};
use fleetcast_core::plan::{self, Plan};
use fleetcast_core::time::Time;
use serde_json::{Value, json};

fn main() {
    divan::main();
}

/// How many clusters a fleet has where growth is shown.
const FLEETS: [usize; 4] = [10, 100, 1_000, 10_000];
const THOUSAND: usize = 1_000;

/// Clusters with four labels: one in ten is in any region, one in a hundred in any group.
fn fleet(count: usize) -> BTreeMap<ClusterName, Cluster> {
    (0..count)
        .map(|index| {
            let name = ClusterName::parse(&format!("cluster-{index:05}")).expect("valid");
            let labels = [
                ("region", format!("region-{}", index % 10)),
                ("group", format!("group-{:02}", index % 100)),
                ("tier", "prod".to_owned()),
                ("cloud", format!("cloud-{}", index % 3)),
            ];
            let cluster = Cluster {
                labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
                region: Some(format!("region-{}", index % 10)),
                zone: Some(format!("zone-{}", index % 30)),
                ..Cluster::named(name.clone())
            };
            (name, cluster)
        })
        .collect()
}

/// A Deployment of about 1 KB.
fn deployment() -> Value {
    let environment: Vec<Value> = (0..8)
        .map(|index| json!({"name": format!("SETTING_{index}"), "value": format!("value-{index}")}))
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "team": "shop"}},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "registry.example/shop/web:1.4.2", "env": environment,
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
                }]},
            },
        },
    })
}

fn object(mut spec: Value) -> FederatedObject {
    spec["template"] = deployment();
    let document = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
    });
    match dialect::read(&document) {
        Ok(Input::Object(object)) => *object,
        other => panic!("{other:?} is no object"),
    }
}

fn decide(object: &FederatedObject, clusters: &BTreeMap<ClusterName, Cluster>) -> Plan {
    let situation = Situation {
        clusters,
        holding: &|_| Holding::default(),
        containment: Containment::None,
        needed: &BTreeMap::new(),
        all: false,
    };
    plan::plan_in(black_box(object), black_box(&situation))
}

fn bench_decision(bencher: Bencher<'_, '_>, clusters: usize, spec: Value) {
    let (clusters, object) = (fleet(clusters), object(spec));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| decide(&object, &clusters));
}

/// One decision in which every cluster is selected.
#[divan::bench(args = FLEETS)]
fn every_cluster_selected(bencher: Bencher<'_, '_>, clusters: usize) {
    bench_decision(
        bencher,
        clusters,
        json!({"placement": {"clusterSelector": {}}}),
    );
}

/// One decision in which one cluster in ten is selected by a label.
#[divan::bench(args = FLEETS)]
fn one_in_ten_selected(bencher: Bencher<'_, '_>, clusters: usize) {
    let selector = json!({"matchLabels": {"region": "region-3"}});
    bench_decision(
        bencher,
        clusters,
        json!({"placement": {"clusterSelector": selector}}),
    );
}

/// One decision with a selector of two expressions that one cluster in a hundred meets.
#[divan::bench(args = FLEETS)]
fn one_in_a_hundred_selected(bencher: Bencher<'_, '_>, clusters: usize) {
    let selector = json!({"matchExpressions": [
        {"key": "group", "operator": "In", "values": ["group-07"]},
        {"key": "tier", "operator": "NotIn", "values": ["test"]},
    ]});
    bench_decision(
        bencher,
        clusters,
        json!({"placement": {"clusterSelector": selector}}),
    );
}

/// One decision in which ten clusters are named.
#[divan::bench(args = FLEETS)]
fn ten_named(bencher: Bencher<'_, '_>, clusters: usize) {
    let names: Vec<String> = (0..10)
        .map(|index| format!("cluster-{:05}", index * clusters / 10))
        .collect();
    bench_decision(bencher, clusters, json!({"placement": {"clusters": names}}));
}

/// One decision over 1,000 clusters of which one in ten is selected, where the regions' images differ in ten ways.
#[divan::bench]
fn one_in_ten_selected_with_overrides(bencher: Bencher<'_, '_>) {
    let overrides: Vec<Value> = (0..10)
        .map(|index| {
            json!({
                "clusterSelector": {"matchLabels": {"region": format!("region-{index}")}},
                "images": [{"component": "registry", "op": "replace", "value": format!("registry-{index}.example")}],
            })
        })
        .collect();
    let selector = json!({"matchLabels": {"cloud": "cloud-1"}, "matchExpressions": [
        {"key": "region", "operator": "In", "values": ["region-1", "region-4", "region-7"]},
    ]});
    bench_decision(
        bencher,
        THOUSAND,
        json!({"placement": {"clusterSelector": selector}, "overrides": overrides}),
    );
}

/// One decision that divides 500 replicas by weight over the 100 of 1,000 clusters that are selected, spread over three zones.
#[divan::bench]
fn one_in_ten_divided_and_spread(bencher: Bencher<'_, '_>) {
    let spec = json!({
        "placement": {
            "clusterSelector": {"matchLabels": {"region": "region-3"}},
            "spread": [{"by": "zone", "min": 3}],
        },
        "replicas": {"divide": "weighted", "total": 500},
    });
    bench_decision(bencher, THOUSAND, spec);
}

/// A thousand different objects, each decided over 1,000 clusters of which one in ten is selected.
#[divan::bench(args = [100, 1_000], sample_count = 10)]
fn objects_over_a_thousand_clusters(bencher: Bencher<'_, '_>, objects: usize) {
    let clusters = fleet(THOUSAND);
    let objects: Vec<FederatedObject> = (0..objects)
        .map(|index| {
            let selector = json!({"matchLabels": {"region": format!("region-{}", index % 10)}});
            object(json!({"placement": {"clusterSelector": selector}}))
        })
        .collect();
    bencher
        .counter(ItemsCount::new(objects.len()))
        .bench_local(|| {
            for object in &objects {
                black_box(decide(object, &clusters));
            }
        });
}

/// What a decision records: the difference of 1,000 verdicts to standings that say the same.
#[divan::bench]
fn difference_to_equal_standings(bencher: Bencher<'_, '_>) {
    let clusters = fleet(THOUSAND);
    let plan = decide(
        &object(json!({"placement": {"clusterSelector": {}}})),
        &clusters,
    );
    let body = |standings: &Standings| {
        standings.difference(&plan.verdicts, |_| true, OnDelete::Delete, "", None, "")
    };
    let mut standings = Standings::default();
    let first = Decision {
        object: "Deployment.apps/shop/web".parse().expect("valid"),
        number: 1,
        revision: 1,
        epoch: "1.a".to_owned().try_into().expect("valid"),
        term: 1,
        time: Time(0),
        causation: String::new(),
        correlation: String::new(),
        body: body(&standings),
    };
    standings.apply(&first);
    assert!(body(&standings).changes_nothing());
    bencher.bench_local(|| body(black_box(&standings)));
}

/// Karmada's objects over a fleet of which the policy's affinity means one in ten.
struct Karmada {
    members: BTreeMap<ClusterName, karmada::Member>,
    set: karmada::Set,
    object: Value,
}

impl Karmada {
    fn new(clusters: usize, scheduling: Value) -> Self {
        let mut set = karmada::Set::default();
        set.add_policy(&json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
                "placement": {
                    "clusterAffinity": {"labelSelector": {"matchLabels": {"region": "region-3"}}},
                    "replicaScheduling": scheduling,
                },
            },
        }))
        .expect("valid");
        Self {
            members: fleet(clusters)
                .into_iter()
                .map(|(name, cluster)| (name, karmada::Member::from_cluster(&cluster)))
                .collect(),
            set,
            object: deployment(),
        }
    }

    /// As the placer decides.
    fn decide(&self) -> karmada::live::Decided {
        let key = "Deployment.apps/shop/web".parse().expect("valid");
        let asked = karmada::live::Plain {
            key: &key,
            document: &self.object,
            created: "2026-01-01T00:00:00Z",
            held: &BTreeMap::new(),
            available: &BTreeMap::new(),
        };
        karmada::live::decide(&self.set, black_box(&asked), &[], &self.members)
    }
}

/// One decision of the placer's in Karmada's dialect.
#[divan::bench(args = FLEETS)]
fn karmada_one_in_ten(bencher: Bencher<'_, '_>, clusters: usize) {
    let karmada = Karmada::new(clusters, json!({"replicaSchedulingType": "Duplicated"}));
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| karmada.decide());
}

/// The same with its replicas divided by static weights.
#[divan::bench]
fn karmada_divided(bencher: Bencher<'_, '_>) {
    let scheduling = json!({
        "replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted",
        "weightPreference": {"staticWeightList": [
            {"targetCluster": {"labelSelector": {"matchLabels": {"tier": "prod"}}}, "weight": 2},
            {"targetCluster": {"labelSelector": {"matchLabels": {"cloud": "cloud-1"}}}, "weight": 3},
        ]},
    });
    let mut karmada = Karmada::new(THOUSAND, scheduling);
    karmada.object["spec"]["replicas"] = json!(500);
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| karmada.decide());
}

/// One plan in Karmada's dialect, which says of every cluster why not.
#[divan::bench]
fn karmada_plan(bencher: Bencher<'_, '_>) {
    let karmada = Karmada::new(THOUSAND, json!({"replicaSchedulingType": "Duplicated"}));
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        karmada::plan(
            &karmada.set,
            black_box(&karmada.object),
            &karmada.members,
            &[],
        )
    });
}

/// Rendering one manifest of 1 KB: overrides applied, digest taken.
#[divan::bench(args = [0, 1, 10])]
fn render(bencher: Bencher<'_, '_>, overrides: usize) {
    let patches: Vec<Value> = (0..overrides)
        .map(|index| {
            json!({"patches": [{"op": "add", "path": format!("/metadata/labels/l{index}"), "value": "x"}]})
        })
        .collect();
    let object = object(json!({"placement": {"clusterSelector": {}}, "overrides": patches}));
    let clusters = fleet(1);
    let cluster = clusters.values().next().expect("one");
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| plan::render_for(black_box(&object), black_box(cluster)));
}

/// A thousand clusters, each with an override of its own, so that nothing is shared.
#[divan::bench(sample_count = 20)]
fn render_a_thousand_different(bencher: Bencher<'_, '_>) {
    let clusters = fleet(THOUSAND);
    let overrides: Vec<Value> = clusters
        .keys()
        .map(|name| {
            json!({"clusters": [name.as_str()], "labels": [{"op": "add", "value": {"cluster": name.as_str()}}]})
        })
        .collect();
    let object = object(json!({"placement": {"clusterSelector": {}}, "overrides": overrides}));
    bencher
        .counter(ItemsCount::new(THOUSAND))
        .bench_local(|| decide(&object, &clusters));
}

/// Reading a native document of 1 KB.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let document = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": deployment(), "placement": {"clusterSelector": {}}},
    });
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| dialect::read(black_box(&document)));
}
