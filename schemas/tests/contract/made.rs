//! Samples with made-up values: what is written for each event, with its body once more for people.

use fleetcast_core::ack::{Ack, Batch, BatchBody, Observed, Outcome, Seen};
use fleetcast_core::capacity::{Amounts, Capacity};
use fleetcast_core::change::{Change, Content, Origin, Together};
use fleetcast_core::decision::{
    Assigned, Body, Decision, Excluded, Held, HeldCopies, Inputs, Removed,
};
use fleetcast_core::document::Document;
use fleetcast_core::drift::{Drift, Field};
use fleetcast_core::epoch::{Beginning, Epoch};
use fleetcast_core::health::Health;
use fleetcast_core::health::status::Selected;
use fleetcast_core::log::{ClusterEvent, ClusterNews};
use fleetcast_core::model::federated::{Conflict, OnDelete};
use fleetcast_core::model::{
    ApplyPolicy, Cluster, ClusterName, Dialect, ObjectKey, Taint, TaintEffect,
};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::placer::Fence;
use fleetcast_core::reconcile::Strays;
use fleetcast_core::time::Time;
use fleetcast_core::work::{self, Stamp, Work};
use fleetcast_schemas::Message;
use fleetcast_schemas::codec::{self, BODY_LIMIT};
use fleetcast_schemas::envelope::ENCODING;
use fleetcast_schemas::event::{self, Base, DeadLetter, Heartbeat, Replay, Section};
use fleetcast_schemas::subject::Lane;
use serde::Serialize;
use serde_json::{Value, json};

/// One sample.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// `change`, `decision`, …
    pub(crate) event: &'static str,
    /// What is special about it.
    pub(crate) name: &'static str,
    /// The message, with its payload not compressed.
    pub(crate) message: Message,
    /// Its body, in JSON.
    pub(crate) body: Value,
}

fn sample<T: Serialize>(
    event: &'static str,
    name: &'static str,
    mut message: Message,
    body: &T,
) -> Sample {
    message.payload = codec::decompress(&message.payload, &message.headers, BODY_LIMIT)
        .expect("it was compressed here")
        .into_owned();
    message.headers.remove(ENCODING);
    Sample {
        event,
        name,
        message,
        body: serde_json::to_value(body).expect("it serializes"),
    }
}

/// 2026-03-01T12:00:00Z and `ms` more.
fn time(ms: i64) -> Time {
    Time(1_772_366_400_000 + ms)
}

/// Of a hub that was restored.
fn later() -> Epoch {
    Epoch {
        number: 2,
        hub: "7b6a5c4d".to_owned(),
    }
}

fn epoch() -> Epoch {
    Epoch {
        number: 1,
        hub: "4f1c2d3e".to_owned(),
    }
}

fn object(text: &str) -> ObjectKey {
    text.parse().expect("valid")
}

fn cluster(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn digest(text: &str) -> String {
    fleetcast_core::digest::of_bytes(text.as_bytes())
}

const WEB: &str = "Deployment.apps/shop/web";

/// Every sample.
pub(crate) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    all.extend(changes());
    all.extend(policies());
    all.extend(decisions());
    all.extend(clusters());
    all.extend(works());
    all.extend(others());
    all
}

fn policies() -> Vec<Sample> {
    let declared = Content::Declared {
        dialect: Dialect::Karmada,
        document: Document::from_value(&json!({
            "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
                "placement": {"clusterAffinity": {"clusterNames": ["eu-1"]}},
            },
        })),
    };
    [
        ("declared", 1, declared),
        ("withdrawn", 2, Content::withdrawn(false)),
    ]
    .map(|(name, revision, content)| {
        let change = Change {
            object: object("PropagationPolicy.policy.karmada.io/shop/web"),
            revision,
            origin: Origin {
                source: "fleetcast/cli".to_owned(),
                id: format!("p{revision}"),
            },
            time: time(revision as i64),
            content,
        };
        sample("policy", name, event::change(&change), &change.content)
    })
    .into()
}

fn changes() -> Vec<Sample> {
    let declared = |name: &str| Content::Declared {
        dialect: Dialect::Native,
        document: Document::from_value(&json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "template": {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}},
                "placement": {"clusterSelector": {"matchLabels": {"tier": "prod"}}},
            },
        })),
    };
    let kubefed = Content::Declared {
        dialect: Dialect::Kubefed,
        document: Document::from_value(&json!({
            "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedConfigMap",
            "metadata": {"name": "settings", "namespace": "shop"},
            "spec": {"template": {"data": {"text": "é 日本 \u{1F680}"}}, "placement": {"clusters": [{"name": "eu-1"}]}},
        })),
    };
    let role = "ClusterRole.rbac.authorization.k8s.io/system:node é=2E";
    [
        (
            "declared",
            WEB,
            1,
            "git@example.com:shop",
            "4c1a9",
            declared("web"),
        ),
        (
            "declared-kubefed",
            "ConfigMap/shop/settings",
            1,
            "hub",
            "uid/17",
            kubefed,
        ),
        (
            "hostile-names",
            role,
            3,
            "a \"b\" <c>",
            "id with spaces; and = signs",
            declared("x"),
        ),
        (
            "withdrawn",
            WEB,
            2,
            "git@example.com:shop",
            "4c1aa",
            Content::withdrawn(false),
        ),
        (
            "withdrawn-orphan",
            WEB,
            9,
            "cli",
            "01",
            Content::withdrawn(true),
        ),
        (
            "withdrawn-together",
            WEB,
            10,
            "cli",
            "02",
            Content::Withdrawn {
                orphan: false,
                together: Some(Together {
                    id: "0199".to_owned(),
                    objects: 30,
                    in_namespace: 12,
                }),
            },
        ),
    ]
    .into_iter()
    .map(|(name, about, revision, source, id, content)| {
        let change = Change {
            object: object(about),
            revision,
            origin: Origin {
                source: source.to_owned(),
                id: id.to_owned(),
            },
            time: time(123),
            content,
        };
        sample("change", name, event::change(&change), &change.content)
    })
    .collect()
}

fn decisions() -> Vec<Sample> {
    let inputs = Inputs {
        change_sequence: 17,
        cluster_sequence: 12,
        available: Some(Box::new(
            [(cluster("eu-1"), 4), (cluster("eu-2"), 16)].into(),
        )),
        ..Inputs::default()
    };
    let all = Body {
        inputs: inputs.clone(),
        assigned: vec![
            Assigned {
                digest: digest("a"),
                replicas: Some(3),
                reasons: vec![
                    "named in placement.clusters".to_owned(),
                    "spec.overrides[0] applies".to_owned(),
                ],
                clusters: vec![cluster("eu-1"), cluster("eu-2")],
            },
            Assigned {
                digest: digest("b"),
                replicas: None,
                reasons: Vec::new(),
                clusters: vec![cluster("us.west-1")],
            },
        ],
        removed: vec![
            Removed {
                mode: OnDelete::Delete,
                reason: "NotSelected: no longer meant in revision 4".to_owned(),
                clusters: vec![cluster("ap-1")],
            },
            Removed {
                mode: OnDelete::Orphan,
                reason: "Excluded: left out by placement.exclude".to_owned(),
                clusters: vec![cluster("ap-2")],
            },
        ],
        excluded: vec![
            Excluded {
                reason: Exclusion::Refused,
                field: "spec.overrides[1].patches[0].path".to_owned(),
                message: "names nothing".to_owned(),
                clusters: vec![cluster("eu-3")],
            },
            Excluded {
                reason: Exclusion::Unknown,
                field: String::new(),
                message: "is not registered".to_owned(),
                clusters: vec![cluster("eu-9")],
            },
        ],
        dropped: vec![cluster("gone")],
        held: None,
    };
    let held = Body {
        inputs: inputs.clone(),
        held: Some(Box::new(Held {
            id: "3f9c21aa".to_owned(),
            by: "fleetcast/cli".to_owned(),
            limit: "40 of 50 objects in cluster eu-1".to_owned(),
            copies: vec![HeldCopies {
                reason: "withdrawn in revision 4".to_owned(),
                clusters: vec![cluster("eu-1"), cluster("eu-2")],
            }],
        })),
        ..Body::default()
    };
    let nothing = Body {
        inputs,
        ..Body::default()
    };
    [
        ("all-groups", 5, all),
        ("nothing-differs", 6, nothing),
        ("held", 7, held),
    ]
    .into_iter()
    .map(|(name, number, body)| {
        let decision = Decision {
            object: object(WEB),
            number,
            revision: 4,
            epoch: epoch(),
            term: 3,
            time: time(456),
            causation: "7a6b5c4d".to_owned(),
            correlation: "4c1a9".to_owned(),
            body,
        };
        sample("decision", name, event::decision(&decision), &decision.body)
    })
    .collect()
}

fn clusters() -> Vec<Sample> {
    let registered = Cluster {
        labels: [("tier".to_owned(), "prod".to_owned())].into(),
        region: Some("eu".to_owned()),
        zone: Some("eu-a".to_owned()),
        provider: Some("metal".to_owned()),
        taints: vec![Taint {
            key: "maintenance".to_owned(),
            value: "yes".to_owned(),
            effect: TaintEffect::NoSchedule,
        }],
        cordoned: true,
        ..Cluster::named(cluster("eu-1"))
    };
    let plain = Cluster::named(cluster("eu-1"));
    [
        ("registered", ClusterNews::Registered(Box::new(registered))),
        ("registered-plain", ClusterNews::Registered(Box::new(plain))),
        ("removed", ClusterNews::Removed {}),
        ("online", ClusterNews::READY),
        (
            "degraded",
            ClusterNews::Online {
                trouble: Some("the API server does not answer".to_owned()),
            },
        ),
        ("offline", ClusterNews::Offline {}),
    ]
    .into_iter()
    .map(|(name, news)| {
        let told = ClusterEvent {
            cluster: cluster("eu-1"),
            time: time(789),
            news,
        };
        sample("cluster", name, event::cluster(&told), &told.news)
    })
    .collect()
}

fn works() -> Vec<Sample> {
    let apply = work::Body::Apply {
        manifest: Document::from_value(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 3},
        })),
        policy: ApplyPolicy {
            conflict: Conflict::Force,
            ignore: vec!["/spec/replicas".to_owned()],
            ..ApplyPolicy::default()
        },
    };
    let remove = work::Body::Remove {
        mode: OnDelete::Orphan,
        api_version: "apps/v1".to_owned(),
    };
    [
        ("apply", epoch(), Some(digest("a")), apply.clone()),
        ("remove", epoch(), None, remove),
        ("restored", later(), Some(digest("a")), apply),
    ]
    .into_iter()
    .map(|(name, writer, digest, body)| {
        let work = Work {
            cluster: cluster("eu-1"),
            object: object(WEB),
            revision: 4,
            decision: 5,
            decision_epoch: epoch(),
            digest,
            stamp: Stamp {
                epoch: writer,
                term: 3,
                incarnation: "0195a000-0000-7000-8000-000000000001".to_owned(),
                n: 41,
            },
            time: time(1_000),
            causation: "1a2b3c4d".to_owned(),
            correlation: "4c1a9".to_owned(),
            body,
        };
        sample("work", name, event::work(&work, 3), &work.body)
    })
    .collect()
}

fn others() -> Vec<Sample> {
    let lane = Lane {
        partition: 3,
        cluster: cluster("eu-1"),
    };
    let beginning = Beginning {
        epoch: epoch(),
        partitions: 16,
    };
    let fence = Fence {
        epoch: epoch(),
        term: 3,
        incarnation: "0195a000-0000-7000-8000-000000000001".to_owned(),
        complete: true,
    };
    let answer = |count, outcome, message: &str, digest| Ack {
        object: object(WEB),
        epoch: epoch(),
        decision: 5,
        decision_epoch: None,
        revision: 4,
        count,
        outcome,
        message: message.to_owned(),
        digest,
        attempts: 2,
        work_id: "9f8e7d6c".to_owned(),
        time: time(2_000),
        observed: Observed::default(),
        held: None,
    };
    let seen_copy = |count, observed| Ack {
        observed,
        ..answer(count, Outcome::Applied, "", Some(digest("a")))
    };
    let copies = BatchBody {
        transitions: 2,
        confirmed: 17,
        after: 17,
        acks: vec![
            seen_copy(
                18,
                Observed {
                    health: Some(Health::progressing("2 of 3 pods are ready")),
                    drift: None,
                    status: Some(Selected {
                        fields: Document::from_value(&json!({"readyReplicas": 2, "replicas": 3})),
                        omitted: vec!["conditions".to_owned()],
                        generation: Some(2),
                        whole: true,
                    }),
                },
            ),
            seen_copy(
                19,
                Observed {
                    health: Some(Health::healthy("")),
                    drift: Some(Drift {
                        healed: true,
                        deleted: false,
                        fields: vec![
                            Field {
                                path: ".spec.replicas".to_owned(),
                                manager: Some("kubectl-edit".to_owned()),
                                time: Some("2026-01-02T03:04:05Z".to_owned()),
                            },
                            Field {
                                path: ".metadata.labels.app".to_owned(),
                                manager: None,
                                time: None,
                            },
                        ],
                        more: 3,
                        heals: 2,
                    }),
                    status: None,
                },
            ),
            seen_copy(
                20,
                Observed {
                    health: Some(Health::unknown("it is not there")),
                    drift: Some(Drift::deletion()),
                    status: None,
                },
            ),
        ],
    };
    let restored = BatchBody {
        transitions: 2,
        confirmed: 0,
        after: 0,
        acks: vec![Ack {
            epoch: later(),
            decision_epoch: Some(epoch()),
            ..answer(
                1,
                Outcome::Ahead,
                "the cluster holds a newer decision",
                None,
            )
        }],
    };
    let several = BatchBody {
        transitions: 2,
        confirmed: 10,
        after: 11,
        acks: vec![
            answer(12, Outcome::Applied, "", Some(digest("a"))),
            answer(
                13,
                Outcome::Refused,
                "spec.selector: field is immutable",
                None,
            ),
            answer(
                15,
                Outcome::Retrying,
                "the API server does not answer",
                None,
            ),
            answer(16, Outcome::Removed, "", None),
            answer(17, Outcome::Orphaned, "", None),
        ],
    };
    let none = BatchBody {
        transitions: 1,
        confirmed: 0,
        after: 0,
        acks: Vec::new(),
    };
    let heartbeat = Heartbeat {
        version: "0.1.0".to_owned(),
        n: 41,
        open: 2,
        epoch: None,
        transitions: 0,
        trouble: None,
        capacity: None,
        strays: None,
    };
    let following = Heartbeat {
        epoch: Some(beginning.epoch.clone()),
        ..heartbeat.clone()
    };
    let struggling = Heartbeat {
        transitions: 7,
        trouble: Some("the API server does not answer".to_owned()),
        ..following.clone()
    };
    let measured = Heartbeat {
        capacity: Some(Capacity {
            nodes: 3,
            ready_nodes: 2,
            allocatable: Amounts {
                cpu_milli: 8_000,
                memory_bytes: 16 << 30,
                pods: 220,
            },
            allocated: Amounts {
                cpu_milli: 3_250,
                memory_bytes: 5 << 30,
                pods: 41,
            },
            kubernetes: "v1.36.0".to_owned(),
        }),
        ..following.clone()
    };
    let with_strays = Heartbeat {
        strays: Some(Strays {
            count: 31,
            more: false,
            objects: vec![object(WEB)],
        }),
        ..following.clone()
    };
    let seen = Seen {
        transitions: 2,
        count: 17,
    };
    let base = Base {
        format: 1,
        log: 12_000,
        log_digest: "3f".repeat(32),
        time: time(1_900),
        acks: [(0, 4_100), (1, 0)].into(),
        answered_by: time(2_450),
        beginning: beginning.clone(),
        sections: vec![Section {
            name: "view".to_owned(),
            parts: 2,
            bytes: 900_000,
            digest: "5a".repeat(32),
        }],
    };
    let letter = DeadLetter {
        subject: "fc.ack.p03.eu-1".to_owned(),
        sequence: 99,
        reason: "the body is malformed".to_owned(),
        headers: [("ce-type".to_owned(), "dev.fleetcast.ack.v1".to_owned())].into(),
        payload: vec![0, 127, 128, 255],
    };
    let acks = |name, body: BatchBody| {
        let batch = Batch {
            cluster: cluster("eu-1"),
            body,
        };
        sample(
            "ack",
            name,
            event::acks(&batch, &lane, time(2_100)),
            &batch.body,
        )
    };
    vec![
        sample(
            "epoch",
            "first",
            event::epoch_begins(&beginning, time(0)),
            &beginning,
        ),
        sample("fence", "term", event::fence(&fence, 3, time(900)), &fence),
        acks("every-outcome", several),
        acks("copies-observed", copies),
        acks("restored", restored),
        acks("empty", none),
        sample(
            "heartbeat",
            "alive",
            event::heartbeat(&heartbeat, &lane, time(2_200)),
            &heartbeat,
        ),
        sample(
            "heartbeat",
            "following",
            event::heartbeat(&following, &lane, time(2_250)),
            &following,
        ),
        sample(
            "heartbeat",
            "struggling",
            event::heartbeat(&struggling, &lane, time(2_260)),
            &struggling,
        ),
        sample(
            "heartbeat",
            "measured",
            event::heartbeat(&measured, &lane, time(2_270)),
            &measured,
        ),
        sample(
            "heartbeat",
            "strays",
            event::heartbeat(&with_strays, &lane, time(2_270)),
            &with_strays,
        ),
        sample(
            "replay",
            "called",
            event::replay("0198a2".to_owned(), &lane, time(2_350)),
            &Replay {},
        ),
        sample(
            "seen",
            "confirmed",
            event::seen(seen, &lane, time(2_300)),
            &seen,
        ),
        sample("base", "cut", event::base(&base, time(2_500)), &base),
        sample(
            "dead",
            "unreadable",
            event::dead(&letter, "aggregator", time(2_400)),
            &letter,
        ),
    ]
}
