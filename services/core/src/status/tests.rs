//! Tables: rows of the view in, status out.

use super::*;
use crate::ack::Observed;
use crate::fold::{ClusterView, Condition, Row};
use crate::health::Health;
use crate::readiness::Readiness;
use crate::time::Time;

fn row(cluster: &str, condition: Condition, applied_revision: u64, health: Option<Health>) -> Row {
    Row {
        cluster: ClusterName::parse(cluster).expect("valid"),
        condition,
        revision: 2,
        applied_revision,
        decision: 1,
        replicas: None,
        digest: None,
        message: match condition {
            Condition::Excluded => "Tainted: not tolerated".to_owned(),
            other => format!("is {}", other.word()),
        },
        attempts: 0,
        answered_at: None,
        behind: 0,
        held: None,
        observed: Observed {
            health,
            ..Observed::default()
        },
    }
}

fn well(cluster: &str) -> Row {
    row(cluster, Condition::Applied, 2, Some(Health::healthy("")))
}

/// `status/reason` of each condition, in order.
fn conditions(status: &Value) -> Vec<String> {
    let conditions = status["conditions"].as_array().expect("conditions");
    let word = |condition: &Value, field: &str| text(&condition[field]).to_owned();
    conditions
        .iter()
        .map(|one| {
            format!(
                "{}={}/{}",
                word(one, "type"),
                word(one, "status"),
                word(one, "reason")
            )
        })
        .collect()
}

#[test]
fn a_federated_object_is_told_what_a_person_should_look_at_first() {
    let sick = |health| row("us-1", Condition::Applied, 2, Some(health));
    for (rows, decided, counts, expected) in [
        (
            vec![well("eu-1"), well("us-1")],
            2,
            [2, 2, 2],
            [
                "Placed=True/Placed",
                "Applied=True/Applied",
                "Healthy=True/Healthy",
            ],
        ),
        (
            vec![],
            2,
            [0, 0, 0],
            [
                "Placed=False/NoCluster",
                "Applied=True/Applied",
                "Healthy=True/Healthy",
            ],
        ),
        (
            vec![well("eu-1")],
            1,
            [1, 1, 1],
            [
                "Placed=Unknown/Deciding",
                "Applied=Unknown/Deciding",
                "Healthy=True/Healthy",
            ],
        ),
        (
            vec![
                well("eu-1"),
                row("eu-2", Condition::Pending, 0, None),
                row("us-1", Condition::Refused, 1, None),
            ],
            2,
            [3, 1, 1],
            [
                "Placed=True/Placed",
                "Applied=False/Refused",
                "Healthy=Unknown/NotSeen",
            ],
        ),
        (
            vec![well("eu-1"), row("us-1", Condition::Retrying, 0, None)],
            2,
            [2, 1, 1],
            [
                "Placed=True/Placed",
                "Applied=False/Retrying",
                "Healthy=Unknown/NotSeen",
            ],
        ),
        (
            vec![well("eu-1"), row("us-1", Condition::Removing, 1, None)],
            2,
            [1, 1, 1],
            [
                "Placed=True/Placed",
                "Applied=False/Removing",
                "Healthy=True/Healthy",
            ],
        ),
        (
            vec![well("eu-1"), row("us-1", Condition::Excluded, 0, None)],
            2,
            [1, 1, 1],
            [
                "Placed=True/Placed",
                "Applied=True/Applied",
                "Healthy=True/Healthy",
            ],
        ),
        (
            vec![well("eu-1"), sick(Health::degraded("crashes"))],
            2,
            [2, 2, 1],
            [
                "Placed=True/Placed",
                "Applied=True/Applied",
                "Healthy=False/Degraded",
            ],
        ),
        (
            vec![well("eu-1"), sick(Health::progressing("starts"))],
            2,
            [2, 2, 1],
            [
                "Placed=True/Placed",
                "Applied=True/Applied",
                "Healthy=False/Progressing",
            ],
        ),
        (
            vec![well("eu-1"), sick(Health::unknown("offline"))],
            2,
            [2, 2, 1],
            [
                "Placed=True/Placed",
                "Applied=True/Applied",
                "Healthy=Unknown/Unknown",
            ],
        ),
    ] {
        let status = native::status(2, decided, &rows);
        assert_eq!(conditions(&status), expected, "{status:#}");
        let found =
            ["placed", "applied", "healthy"].map(|count| status[count].as_u64().expect("a count"));
        assert_eq!(found, counts, "{status:#}");
    }
}

#[test]
fn only_the_first_clusters_that_are_not_right_are_named() {
    let mut rows: Vec<Row> = (0..500).map(|n| well(&format!("a{n:03}"))).collect();
    rows.extend((0..100).map(|n| row(&format!("b{n:03}"), Condition::Retrying, 1, None)));
    let status = native::status(2, 2, &rows);
    let named = status["clusters"].as_array().expect("a list");
    assert_eq!(named.len(), native::NAMED);
    assert_eq!(
        named[0],
        json!({"name": "b000", "revision": 1, "outcome": "retrying", "reason": "Retrying", "message": "is retrying"})
    );
    let message = text(&status["conditions"][1]["message"]);
    assert!(
        message.starts_with("500 of 600 clusters") && message.contains("and 95 more"),
        "{message}"
    );
}

#[test]
fn kubefeds_kinds_are_told_in_kubefeds_words() {
    let silent = |cluster: &ClusterName| match cluster.as_str() {
        "c9" => Readiness::Offline,
        _ => Readiness::Ready,
    };
    for (condition, applied, expected) in [
        (Condition::Applied, 2, json!({"name": "c1"})),
        (
            Condition::Pending,
            0,
            json!({"name": "c1", "status": "CreationTimedOut"}),
        ),
        (
            Condition::Pending,
            1,
            json!({"name": "c1", "status": "UpdateTimedOut"}),
        ),
        (
            Condition::Retrying,
            0,
            json!({"name": "c1", "status": "CreationFailed"}),
        ),
        (
            Condition::Refused,
            1,
            json!({"name": "c1", "status": "UpdateFailed"}),
        ),
        (
            Condition::Ahead,
            1,
            json!({"name": "c1", "status": "UpdateFailed"}),
        ),
        (
            Condition::Removing,
            1,
            json!({"name": "c1", "status": "WaitingForRemoval"}),
        ),
    ] {
        let is_right = condition == Condition::Applied;
        let status = kubefed::status(2, 2, &[row("c1", condition, applied, None)], &silent);
        assert_eq!(status["clusters"], json!([expected]));
        let expected = match is_right {
            true => "Propagation=True/",
            false => "Propagation=False/CheckClusters",
        };
        assert_eq!(conditions(&status), [expected], "{status}");
    }
    for condition in [Condition::Pending, Condition::Removing] {
        let status = kubefed::status(2, 2, &[row("c9", condition, 1, None)], &silent);
        assert_eq!(status["clusters"][0]["status"], "ClusterNotReady");
    }
    let mut override_failed = row("c1", Condition::Excluded, 0, None);
    override_failed.message = "Refused: spec.overrides[0]: no such path".to_owned();
    let status = kubefed::status(2, 2, &[override_failed, well("c2")], &silent);
    assert_eq!(status["clusters"][0]["status"], "ApplyOverridesFailed");
    let mut outside = row("c1", Condition::Excluded, 0, None);
    outside.message = "Namespace: no FederatedNamespace".to_owned();
    let status = kubefed::status(2, 2, &[outside], &silent);
    assert_eq!(
        conditions(&status),
        ["Propagation=False/NamespaceNotFederated"]
    );
    let mut collected = well("c1");
    collected.observed.status = Some(crate::health::status::Selected {
        fields: Document::from_value(&json!({"readyReplicas": 2})),
        omitted: Vec::new(),
        generation: Some(3),
        whole: true,
    });
    let mut selected = collected.clone();
    selected.cluster = ClusterName::parse("c2").expect("valid");
    selected.observed.status.as_mut().expect("just set").whole = false;
    let status = kubefed::status(2, 2, &[collected, selected], &silent);
    assert_eq!(
        status["clusters"],
        json!([{"name": "c1", "remoteStatus": {"readyReplicas": 2}}, {"name": "c2"}])
    );
    let nowhere = kubefed::status(2, 2, &[], &silent);
    assert_eq!(
        conditions(&nowhere),
        ["Propagation=True/"],
        "as KubeFed says where no cluster is selected"
    );
    assert_eq!(nowhere.get("clusters"), None);
}

#[test]
fn what_a_cluster_has_room_for_is_told_in_the_words_of_each_kind() {
    let known = ClusterView {
        registered: None,
        online: Some(true),
        trouble: None,
        since: Time(0),
    };
    let amounts = |cpu_milli, memory_bytes, pods| crate::capacity::Amounts {
        cpu_milli,
        memory_bytes,
        pods,
    };
    let capacity = crate::capacity::Capacity {
        nodes: 3,
        ready_nodes: 2,
        allocatable: amounts(8_000, 16 << 30, 220),
        allocated: amounts(3_250, 5 << 30, 41),
        kubernetes: "v1.36.0".to_owned(),
    };
    assert_eq!(
        cluster::status(&known, Some(&capacity))["capacity"],
        json!({
            "nodes": 3, "readyNodes": 2, "pods": 220,
            "allocatable": {"cpu": "8", "memory": "16384Mi", "pods": 220},
            "allocated": {"cpu": "3250m", "memory": "5120Mi", "pods": 41},
            "available": {"cpu": "4750m", "memory": "11264Mi", "pods": 179},
        })
    );
    let karmada = cluster::karmada(&known, Some(&capacity)).expect("heard");
    assert_eq!(karmada["kubernetesVersion"], "v1.36.0");
    assert_eq!(
        karmada["nodeSummary"],
        json!({"totalNum": 3, "readyNum": 2})
    );
    assert_eq!(
        karmada["resourceSummary"]["allocated"],
        json!({"cpu": "3250m", "memory": "5120Mi", "pods": "41"})
    );
    let kubefed = cluster::kubefed(&known, Some(&capacity)).expect("heard");
    assert_eq!(kubefed["kubernetesVersion"], "v1.36.0");
}

#[test]
fn what_is_wrong_in_clusters_is_told_of_the_first_and_only_where_it_lasts() {
    let mut retried = row("c3", Condition::Retrying, 0, None);
    retried.attempts = 3;
    let mut broken = row("c5", Condition::Excluded, 0, None);
    broken.message = "Refused: spec.overrides[0]: no such path".to_owned();
    let rows = [
        well("c0"),
        row("c1", Condition::Refused, 0, None),
        row("c2", Condition::Retrying, 0, None),
        retried,
        row(
            "c4",
            Condition::Applied,
            2,
            Some(Health::degraded("crashes")),
        ),
        broken,
        row("c6", Condition::Pending, 0, None),
    ];
    let told = failures::of(&rows);
    let words: Vec<String> = told
        .iter()
        .map(|one| format!("{} {} {}", one.cluster, one.reason, one.message))
        .collect();
    assert_eq!(
        words,
        [
            "c1 Refused is refused",
            "c3 Retrying is retrying",
            "c4 Degraded crashes",
            "c5 OverrideFailed Refused: spec.overrides[0]: no such path"
        ]
    );
}

#[test]
fn a_cluster_is_told_how_it_stands_and_since_when() {
    for (online, trouble, expected) in [
        (Some(true), None, "Ready=True/Ready"),
        (Some(true), Some("refused"), "Ready=False/Degraded"),
        (Some(false), None, "Ready=False/Offline"),
        (None, None, "Ready=Unknown/NeverHeard"),
    ] {
        let known = ClusterView {
            registered: None,
            online,
            trouble: trouble.map(str::to_owned),
            since: Time(61_000),
        };
        let status = cluster::status(&known, None);
        assert_eq!(conditions(&status), [expected]);
        let foreign = |status: Option<Value>| status.map(|status| conditions(&status));
        let (kubefed, karmada): (&[&str], &str) = match expected {
            "Ready=True/Ready" => (&["Ready=True/ClusterReady"], "Ready=True/ClusterReady"),
            "Ready=False/Degraded" => (
                &[
                    "Ready=False/ClusterNotReady",
                    "Offline=False/ClusterReachable",
                ],
                "Ready=False/ClusterNotReady",
            ),
            "Ready=False/Offline" => (
                &["Offline=True/ClusterNotReachable"],
                "Ready=False/ClusterNotReachable",
            ),
            _ => (&[], ""),
        };
        let of = |words: &[&str]| -> Option<Vec<String>> {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            (!words.is_empty() && !words[0].is_empty()).then_some(words)
        };
        assert_eq!(foreign(cluster::kubefed(&known, None)), of(kubefed));
        assert_eq!(foreign(cluster::karmada(&known, None)), of(&[karmada]));
        assert_eq!(
            status["conditions"][0]["lastTransitionTime"],
            "1970-01-01T00:01:01Z"
        );
    }
}

fn told(kind: &str, status: Value) -> (Told, Value) {
    let (api_version, group) = match kind {
        "FederatedObject" => ("fleetcast.dev/v1alpha1", "fleetcast.dev"),
        _ => ("types.kubefed.io/v1beta1", kubefed::GROUP),
    };
    let live = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "9", "generation": 3},
        "spec": {},
    });
    let told = Told {
        place: ObjectKey::new(kind, group, Some("shop"), "web").expect("valid"),
        api_version: api_version.to_owned(),
        origin: HubOrigin::of(&crate::change::Origin {
            source: "kubernetes/hub".to_owned(),
            id: "u/9/3".to_owned(),
        }),
        document: Some(Document::from_value(&sighting::document(&live))),
        status,
        failures: Vec::new(),
        sum: None,
    };
    (told, live)
}

#[test]
fn a_status_is_written_once_and_keeps_the_times_of_what_did_not_change() {
    for kind in ["FederatedObject", "FederatedConfigMap"] {
        let status = |rows: &[Row]| match kind {
            "FederatedObject" => native::status(2, 2, rows),
            _ => kubefed::status(2, 2, rows, &|_| Readiness::Ready),
        };
        let (first, mut live) = told(kind, status(&[well("eu-1")]));
        let mut written = finish(&first, &live, "t1").expect("new");
        assert_eq!(written["observedGeneration"], 3);
        assert_eq!(written["conditions"][0]["lastTransitionTime"], "t1");
        // Somebody else's condition and field stay, and are no reason to write again.
        let others = json!({"type": "Accepted", "status": "True"});
        written["conditions"]
            .as_array_mut()
            .expect("a list")
            .insert(0, others);
        written["other"] = json!(1);
        live["status"] = written;
        assert_eq!(
            finish(&first, &live, "t2"),
            None,
            "{kind}: it says all this"
        );

        let (worse, _) = told(kind, status(&[row("eu-1", Condition::Retrying, 1, None)]));
        let written = finish(&worse, &live, "t3").expect("changed");
        let times: Vec<&str> = written["conditions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| text(&one["lastTransitionTime"]))
            .collect();
        let expected: &[&str] = match kind {
            "FederatedObject" => &["t1", "t3", "t3"],
            _ => &["t3"],
        };
        assert_eq!(times, expected, "{kind}");

        let mut after = live.clone();
        after["status"] = written;
        let well = finish(&first, &after, "t4").expect("changed");
        if kind == "FederatedObject" {
            assert_eq!(well.get("clusters"), None, "nothing is wrong any more");
        }
        // As a server keeps a list that lost its last item.
        let mut other = well.clone();
        other["clusters"] = match kind {
            "FederatedObject" => json!([]),
            _ => well["clusters"].clone(),
        };
        after["status"] = other;
        assert_eq!(
            finish(&first, &after, "t5"),
            None,
            "{kind}: it says all this"
        );

        live["metadata"]["generation"] = json!(4);
        live["spec"] = json!({"suspend": true});
        let written = finish(&worse, &live, "t4").expect("changed");
        assert_eq!(
            written["observedGeneration"], 3,
            "what is told is about the generation before"
        );
        live["metadata"]["uid"] = json!("another");
        assert_eq!(finish(&worse, &live, "t5"), None, "another object by now");
    }
    let (nowhere, mut live) = told(
        "FederatedConfigMap",
        kubefed::status(2, 2, &[], &|_| Readiness::Ready),
    );
    let (somewhere, _) = told(
        "FederatedConfigMap",
        kubefed::status(2, 2, &[well("c1")], &|_| Readiness::Ready),
    );
    live["status"] = finish(&somewhere, &live, "t1").expect("new");
    let written = finish(&nowhere, &live, "t2").expect("its clusters are gone");
    assert_eq!(written.get("clusters"), None);
}

mod karmada;
