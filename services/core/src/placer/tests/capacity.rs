//! How much room clusters have: looked at when a decision is due, recorded in it, and never a reason for one.

use serde_json::{Value, json};

use super::super::*;
use super::scene::*;
use crate::capacity::Amounts;
use crate::change::{Change, Content, Origin};
use crate::document::Document;

const SHOP: &str = "Deployment.apps/shop/web";

/// Room for so many replicas that ask for one core.
fn room(cores: i64) -> Capacity {
    Capacity {
        nodes: 1,
        ready_nodes: 1,
        allocatable: Amounts {
            cpu_milli: cores * 1_000,
            memory_bytes: i64::MAX,
            pods: 1_000,
        },
        ..Capacity::default()
    }
}

impl Scene {
    fn measured(&mut self, cores: &[(&str, i64)]) {
        for (cluster, cores) in cores {
            self.placer.measured(&name(cluster), room(*cores));
        }
        self.poll();
    }

    fn declared(&mut self, dialect: Dialect, revision: u64, document: &Value) {
        let document = Document::from_value(document);
        self.change(SHOP, revision, Content::Declared { dialect, document });
        self.poll();
    }

    /// What the newest decision observed, and the replicas after all of them.
    fn decided(&self) -> (Value, Value) {
        let mut decisions = self.log.iter().filter_map(|entry| match &entry.event {
            Event::Decision(decision) => Some(decision),
            _ => None,
        });
        let newest = decisions.next_back().expect("a decision");
        let replicas = self.placer.objects[&key(SHOP)].standings.replicas();
        (json!(newest.body.inputs.available), json!(replicas))
    }

    fn decisions(&self) -> usize {
        let of_any = |entry: &&Entry| matches!(entry.event, Event::Decision(_));
        self.log.iter().filter(of_any).count()
    }
}

fn template(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "web", "image": image, "resources": {"requests": {"cpu": "1"}}},
        ]}}},
    })
}

fn native(divide: &str, total: i64, image: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": template(1, image), "placement": {"clusterSelector": {}}, "replicas": {"divide": divide, "total": total}},
    })
}

#[test]
fn replicas_go_where_there_is_room_and_the_decision_says_what_it_saw() {
    for (divide, observed, replicas) in [
        (
            "available",
            json!({"eu-1": 2, "us-1": 6}),
            json!({"eu-1": 1, "us-1": 3}),
        ),
        (
            "aggregated",
            json!({"eu-1": 2, "us-1": 6}),
            json!({"us-1": 4}),
        ),
        // Weights look at nothing.
        ("weighted", Value::Null, json!({"eu-1": 2, "us-1": 2})),
    ] {
        let mut scene = Scene::with(&["eu-1", "us-1"]);
        scene.measured(&[("eu-1", 2), ("us-1", 6)]);
        scene.declared(Dialect::Native, 1, &native(divide, 4, "web:1"));
        assert_eq!(scene.decided(), (observed, replicas), "{divide}");
    }
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.measured(&[("eu-1", 2)]);
    scene.declared(Dialect::Native, 1, &native("available", 4, "web:1"));
    let (observed, _) = scene.decided();
    assert_eq!(
        observed,
        json!({"eu-1": 2}),
        "what nobody measured is not known"
    );
}

#[test]
fn room_that_comes_and_goes_is_no_reason_to_decide_and_moves_nothing() {
    let mut scene = Scene::with(&["eu-1", "us-1"]);
    scene.measured(&[("eu-1", 4), ("us-1", 4)]);
    scene.declared(Dialect::Native, 1, &native("available", 4, "web:1"));
    let (_, before) = scene.decided();
    let decisions = scene.decisions();
    for cores in [0, 100, 3] {
        scene.measured(&[("eu-1", cores), ("us-1", 100 - cores)]);
    }
    assert_eq!(scene.decisions(), decisions);
    // A decision that is due for another reason looks at the newest numbers, and leaves what is placed where it is.
    scene.declared(Dialect::Native, 2, &native("available", 4, "web:2"));
    assert_eq!(
        scene.decided(),
        (json!({"eu-1": 3, "us-1": 97}), before),
        "nothing moves"
    );
    scene.declared(Dialect::Native, 3, &native("available", 8, "web:2"));
    let (_, after) = scene.decided();
    assert_eq!(
        after
            .as_object()
            .map(|shares| shares.values().filter_map(Value::as_i64).sum()),
        Some(8)
    );
}

#[test]
fn karmadas_dynamic_weights_and_aggregation_look_at_the_same_numbers() {
    for (scheduling, observed, replicas) in [
        (
            json!({"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted", "weightPreference": {"dynamicWeight": "AvailableReplicas"}}),
            json!({"eu-1": 2, "us-1": 6}),
            json!({"eu-1": 1, "us-1": 3}),
        ),
        (
            json!({"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated"}),
            json!({"eu-1": 2, "us-1": 6}),
            json!({"us-1": 4}),
        ),
        (
            json!({"replicaSchedulingType": "Duplicated"}),
            Value::Null,
            json!({"eu-1": 4, "us-1": 4}),
        ),
    ] {
        let mut scene = Scene::with(&["eu-1", "us-1"]);
        scene.measured(&[("eu-1", 2), ("us-1", 6)]);
        let policy = json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}], "placement": {"replicaScheduling": scheduling}},
        });
        scene.log(Event::Policy(Change {
            object: key("PropagationPolicy.policy.karmada.io/shop/web"),
            revision: 1,
            origin: Origin {
                source: "test".to_owned(),
                id: "policy".to_owned(),
            },
            time: Time(0),
            content: Content::Declared {
                dialect: Dialect::Karmada,
                document: Document::from_value(&policy),
            },
        }));
        scene.declared(Dialect::Karmada, 1, &template(4, "web:1"));
        assert_eq!(scene.decided(), (observed, replicas), "{scheduling}");
    }
}
