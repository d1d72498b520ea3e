//! Plain objects placed by policies of the log, and federated ones by preferences: who decides, who is looked at again, who is not.

use serde_json::{Value, json};

use super::super::*;
use super::scene::*;
use crate::change::{Change, Content, Origin};
use crate::document::Document;
use crate::log::ClusterEvent;
use crate::planning::{self, Fleet};
use crate::report::ObjectPlan;

const SHOP: &str = "Deployment.apps/shop/web";
const POLICY: &str = "PropagationPolicy.policy.karmada.io/shop/web";

fn content(dialect: Dialect, document: &Value) -> Content {
    Content::Declared {
        dialect,
        document: Document::from_value(document),
    }
}

impl Scene {
    fn policy(&mut self, policy: &str, revision: u64, content: Content) {
        self.log(Event::Policy(Change {
            object: key(policy),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: format!("{policy} {revision}"),
            },
            time: Time(0),
            content,
        }));
        self.poll();
    }

    fn karmada(&mut self, policy: &str, revision: u64, document: &Value) {
        self.policy(policy, revision, content(Dialect::Karmada, document));
    }

    fn plain(&mut self, object: &str, revision: u64, document: &Value) {
        self.change(object, revision, content(Dialect::Karmada, document));
        self.poll();
    }

    /// The policies that the newest decision about `object` went by.
    fn used(&self, object: &str) -> Vec<String> {
        let mut decisions = self.log.iter().filter_map(|entry| match &entry.event {
            Event::Decision(decision) if decision.object == key(object) => Some(decision),
            _ => None,
        });
        let newest = decisions.next_back().expect("a decision");
        let used = newest.body.inputs.policies.iter();
        used.map(|used| format!("{} {}", used.policy.name(), used.revision))
            .collect()
    }
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "web", "image": "web:1", "envFrom": [{"configMapRef": {"name": "settings"}}]},
        ]}}},
    })
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"a": "b"}})
}

/// Places Deployments of `shop` in `clusters`, with further members of the spec.
fn propagation(clusters: &[&str], more: Value) -> Value {
    let mut spec = json!({
        "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
        "placement": {"clusterAffinity": {"clusterNames": clusters}},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn images(name: &str, cluster: &str, tag: &str) -> Value {
    json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy",
    "metadata": {"name": name, "namespace": "shop"}, "spec": {
        "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
        "overrideRules": [{
            "targetCluster": {"clusterNames": [cluster]},
            "overriders": {"imageOverrider": [{"component": "Tag", "operator": "replace", "value": tag}]},
        }],
    }})
}

#[test]
fn a_policy_places_what_it_selects_and_nothing_else() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.plain(SHOP, 1, &deployment(2));
    assert_eq!(
        scene.told(),
        ["decide 1 of 1: ! eu-1 us-1 NoPolicy"],
        "it sits nowhere, and that is said"
    );
    scene.plain("ConfigMap/shop/other", 1, &config_map("other"));
    scene.told();
    scene.karmada(POLICY, 1, &propagation(&["eu-1"], json!({})));
    let told = scene.told();
    assert_eq!(
        told,
        ["decide 2 of 1: + eu-1; drop us-1", "write eu-1 2 n1"],
        "the ConfigMap is not looked at"
    );
    assert_eq!(scene.used(SHOP), ["web 1"]);
    scene.karmada(POLICY, 2, &propagation(&["eu-1", "us-1"], json!({})));
    assert_eq!(scene.told(), ["decide 3 of 1: + us-1", "write us-1 3 n1"]);
    assert_eq!(scene.used(SHOP), ["web 2"]);
    scene.karmada(POLICY, 3, &propagation(&["us-1"], json!({})));
    assert_eq!(
        scene.told(),
        ["decide 4 of 1: - eu-1 Delete", "remove eu-1 4 n2"]
    );
}

#[test]
fn a_policy_that_is_withdrawn_orphans() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.karmada(POLICY, 1, &propagation(&["eu-1"], json!({})));
    scene.plain(SHOP, 1, &deployment(2));
    scene.told();
    scene.policy(POLICY, 2, Content::withdrawn(false));
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: - eu-1 Orphan; ! us-1 NoPolicy",
            "remove eu-1 2 n2"
        ]
    );
    scene.karmada(POLICY, 3, &propagation(&["eu-1"], json!({})));
    assert_eq!(
        scene.told(),
        ["decide 3 of 1: + eu-1; drop us-1", "write eu-1 3 n3"],
        "and comes back"
    );
}

#[test]
fn copies_go_or_stay_with_the_object_as_its_policy_says() {
    for (preserve, mode) in [(false, "Delete"), (true, "Orphan")] {
        let mut scene = Scene::with(&["eu-1"]);
        let policy = propagation(&["eu-1"], json!({"preserveResourcesOnDeletion": preserve}));
        scene.karmada(POLICY, 1, &policy);
        scene.plain(SHOP, 1, &deployment(2));
        scene.told();
        scene.change(SHOP, 2, Content::withdrawn(false));
        scene.poll();
        assert_eq!(
            scene.told(),
            [
                format!("decide 2 of 2: - eu-1 {mode}"),
                "remove eu-1 2 n2".to_owned()
            ]
        );
    }
}

#[test]
fn an_override_policy_changes_its_clusters_only_and_is_named() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.karmada(POLICY, 1, &propagation(&["eu-1", "us-1"], json!({})));
    scene.plain(SHOP, 1, &deployment(2));
    scene.told();
    let name = "OverridePolicy.policy.karmada.io/shop/tags";
    scene.karmada(name, 1, &images("tags", "us-1", "2"));
    assert_eq!(scene.told(), ["decide 2 of 1: + us-1", "write us-1 2 n2"]);
    assert_eq!(scene.used(SHOP), ["web 1", "tags 1"]);
    let work::Body::Apply { manifest, policy } = &scene.work("us-1").body else {
        panic!("an apply");
    };
    let manifest = manifest.value().expect("JSON");
    assert_eq!(
        manifest["spec"]["template"]["spec"]["containers"][0]["image"],
        "web:2"
    );
    assert_eq!(policy.adopt, crate::model::federated::Adopt::Never);
    scene.policy(name, 2, Content::withdrawn(false));
    assert_eq!(scene.told(), ["decide 3 of 1: + us-1", "write us-1 3 n3"]);
}

#[test]
fn a_policy_waits_for_its_override_policy() {
    let mut scene = Scene::with(&["eu-1"]);
    let policy = propagation(&["eu-1"], json!({"dependentOverrides": ["tags"]}));
    scene.karmada(POLICY, 1, &policy);
    scene.plain(SHOP, 1, &deployment(2));
    assert_eq!(scene.told(), ["decide 1 of 1: ! eu-1 Suspended"]);
    scene.karmada(
        "OverridePolicy.policy.karmada.io/shop/tags",
        1,
        &images("tags", "us-1", "2"),
    );
    assert_eq!(scene.told(), ["decide 2 of 1: + eu-1", "write eu-1 2 n1"]);
}

#[test]
fn what_a_workload_names_follows_it_where_its_policy_says_so() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.plain("ConfigMap/shop/settings", 1, &config_map("settings"));
    scene.karmada(
        POLICY,
        1,
        &propagation(&["eu-1"], json!({"propagateDeps": true})),
    );
    scene.told();
    scene.plain(SHOP, 1, &deployment(2));
    let told = scene.told();
    assert_eq!(
        told,
        [
            "decide 2 of 1: + eu-1",
            "decide 1 of 1: + eu-1",
            "write eu-1 2 n1",
            "write eu-1 1 n2"
        ],
        "the ConfigMap, then the Deployment that names it"
    );
    scene.karmada(
        POLICY,
        2,
        &propagation(&["us-1"], json!({"propagateDeps": true})),
    );
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: + us-1; - eu-1 Delete",
            "decide 3 of 1: + us-1; - eu-1 Delete",
            "remove eu-1 3 n3",
            "write us-1 3 n1",
            "remove eu-1 2 n4",
            "write us-1 2 n2",
        ]
    );
}

#[test]
fn divided_replicas_do_not_move_for_a_cluster_that_joins() {
    let divided = json!({
        "placement": {"replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted"}},
    });
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.karmada(POLICY, 1, &propagation(&[], divided));
    scene.plain(SHOP, 1, &deployment(4));
    scene.told();
    scene.register("ap-1");
    assert_eq!(scene.told(), Vec::<String>::new(), "as with Karmada");
    scene.plain(SHOP, 2, &deployment(6));
    let told = scene.told();
    assert!(told[0].contains("ap-1"), "{told:?}");
}

#[test]
fn a_rewritten_stream_holds_the_same_manifests() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    let divided = json!({
        "placement": {"replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted"}},
    });
    scene.karmada(POLICY, 1, &propagation(&[], divided));
    scene.karmada(
        "OverridePolicy.policy.karmada.io/shop/tags",
        1,
        &images("tags", "us-1", "2"),
    );
    scene.plain(SHOP, 1, &deployment(5));
    namespace(&mut scene);
    scene.change(
        "Deployment.apps/other/web",
        1,
        content(Dialect::Kubefed, &federated()),
    );
    scene.policy(
        "ReplicaSchedulingPreference.scheduling.kubefed.io/other/web",
        1,
        content(Dialect::Kubefed, &preference(7)),
    );
    let before: BTreeMap<(ClusterName, ObjectKey), String> = newest(&scene);
    assert_eq!(before.len(), 6);
    scene.restart();
    scene.stream.clear();
    scene.told();
    scene.lead("y", 2);
    let told = scene.told();
    assert_eq!(told.len(), 7, "six written, and complete: {told:?}");
    assert_eq!(newest(&scene), before);
}

/// The digest of the newest work, by cluster and object.
fn newest(scene: &Scene) -> BTreeMap<(ClusterName, ObjectKey), String> {
    let works = scene.stream.iter().flatten();
    works
        .map(|work| {
            let work::Body::Apply { manifest, .. } = &work.body else {
                panic!("an apply");
            };
            let digest = digest::of_bytes(manifest.as_bytes());
            ((work.cluster.clone(), work.object.clone()), digest)
        })
        .collect()
}

fn federated() -> Value {
    json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedDeployment", "metadata": {"name": "web", "namespace": "other"},
        "spec": {
            "template": {"spec": {"replicas": 1, "template": {"spec": {"containers": []}}}},
            "placement": {"clusters": [{"name": "eu-1"}]},
        },
    })
}

fn preference(total: i64) -> Value {
    json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": "web", "namespace": "other"},
        "spec": {"targetKind": "FederatedDeployment", "totalReplicas": total, "clusters": {"eu-1": {"weight": 2}, "us-1": {"weight": 1}}},
    })
}

fn namespace(scene: &mut Scene) {
    let document = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace",
        "metadata": {"name": "other", "namespace": "other"}, "spec": {"placement": {"clusterSelector": {}}},
    });
    scene.change("Namespace/other", 1, content(Dialect::Kubefed, &document));
    scene.poll();
}

#[test]
fn a_preference_schedules_its_target() {
    let web = "Deployment.apps/other/web";
    let name = "ReplicaSchedulingPreference.scheduling.kubefed.io/other/web";
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    namespace(&mut scene);
    scene.change(web, 1, content(Dialect::Kubefed, &federated()));
    scene.poll();
    scene.told();
    scene.policy(name, 1, content(Dialect::Kubefed, &preference(6)));
    assert_eq!(
        scene.told(),
        [
            "decide 2 of 1: + eu-1; + us-1",
            "write eu-1 2 n3",
            "write us-1 2 n2"
        ]
    );
    assert_eq!(scene.used(web), ["web 1"]);
    let replicas = |scene: &Scene, cluster: &str| match &scene.work(cluster).body {
        work::Body::Apply { manifest, .. } => {
            manifest.value().expect("JSON")["spec"]["replicas"].clone()
        }
        work::Body::Remove { .. } => panic!("an apply"),
    };
    assert_eq!(
        (replicas(&scene, "eu-1"), replicas(&scene, "us-1")),
        (json!(4), json!(2))
    );
    scene.policy(name, 2, Content::withdrawn(false));
    assert_eq!(
        scene.told(),
        Vec::<String>::new(),
        "what it wrote stays, as with KubeFed"
    );
    let mut changed = federated();
    changed["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}});
    scene.change(web, 2, content(Dialect::Kubefed, &changed));
    scene.poll();
    assert_eq!(
        scene.told(),
        [
            "decide 3 of 2: + eu-1; - us-1 Delete",
            "write eu-1 3 n4",
            "remove us-1 3 n3"
        ],
        "until the object changes"
    );
}

/// Shows that the placer decides what `plan` says: the same clusters, reasons, replicas and manifests, for the same documents.
#[test]
fn the_placer_decides_what_plan_says() {
    let divided = json!({
        "placement": {"replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted"}},
        "propagateDeps": true,
    });
    let documents = [
        propagation(&[], divided),
        images("tags", "us-1", "2"),
        deployment(5),
        config_map("settings"),
        federated(),
        preference(7),
    ];
    let mut scene = Scene::with(&["ap-1", "eu-1", "us-1"]);
    scene.karmada(POLICY, 1, &documents[0]);
    scene.karmada(
        "OverridePolicy.policy.karmada.io/shop/tags",
        1,
        &documents[1],
    );
    scene.plain(SHOP, 1, &documents[2]);
    scene.plain("ConfigMap/shop/settings", 1, &documents[3]);
    namespace(&mut scene);
    scene.change(
        "Deployment.apps/other/web",
        1,
        content(Dialect::Kubefed, &documents[4]),
    );
    scene.policy(
        "ReplicaSchedulingPreference.scheduling.kubefed.io/other/web",
        1,
        content(Dialect::Kubefed, &documents[5]),
    );
    let mut files: Vec<planning::Document> = Vec::new();
    let namespace = json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace",
        "metadata": {"name": "other", "namespace": "other"}, "spec": {"placement": {"clusterSelector": {}}},
    });
    for (index, document) in documents.iter().chain([&namespace]).enumerate() {
        files.push(planning::Document {
            file: "all.yaml".to_owned(),
            index,
            value: Ok(document.clone()),
        });
    }
    let fleet = Fleet::of(scene.placer.clusters().values().cloned());
    let report = planning::plan(&files, fleet, &[]);
    assert_eq!(report.refusals, []);
    assert_eq!(report.objects.len(), 4);
    for planned in &report.objects {
        let object = planned.object.key().expect("an object");
        assert_eq!(decided(&scene, &object), expected(planned), "{object}");
    }
}

type Held = BTreeMap<ClusterName, (Option<i64>, Vec<String>, String)>;

fn expected(planned: &ObjectPlan) -> Held {
    let clusters = planned.clusters.iter();
    clusters
        .map(|one| {
            let digest = digest::of_value(&one.manifest);
            (
                one.cluster.clone(),
                (one.replicas, one.reasons.clone(), digest),
            )
        })
        .collect()
}

fn decided(scene: &Scene, object: &ObjectKey) -> Held {
    let standings = scene.placer.objects[object].standings.iter();
    standings
        .filter_map(|(cluster, standing)| match standing {
            Standing::Assigned {
                replicas,
                reasons,
                digest,
                ..
            } => Some((
                cluster.clone(),
                (*replicas, reasons.clone(), digest.clone()),
            )),
            Standing::Removing { .. } | Standing::Excluded { .. } => None,
        })
        .collect()
}

#[test]
fn a_label_of_a_cluster_places_anew_what_a_policy_selects_by_it() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    let by_label = json!({"placement": {"clusterAffinity": {"labelSelector": {"matchLabels": {"region": "eu"}}}}});
    scene.karmada(POLICY, 1, &propagation(&[], by_label));
    scene.plain(SHOP, 1, &deployment(2));
    scene.told();
    let mut us = Cluster::named(name("us-1"));
    us.labels = [("region".to_owned(), "eu".to_owned())].into();
    scene.log(Event::Cluster(ClusterEvent {
        cluster: name("us-1"),
        time: Time(0),
        news: ClusterNews::Registered(Box::new(us)),
    }));
    scene.poll();
    assert_eq!(scene.told(), ["decide 2 of 1: + us-1", "write us-1 2 n1"]);
}
