//! Tables: the copies' statuses in, the sum out, with Karmada's own rules as the source.

use super::*;
use crate::health::status::Selected;
use crate::status::karmada::{Observed as Sum, status};

/// A copy that holds the newest revision, with this status in this generation.
fn copy(cluster: &str, status: Value, generation: u64) -> Row {
    let mut row = well(cluster);
    row.observed.status = Some(Selected {
        fields: Document::from_value(&status),
        omitted: Vec::new(),
        generation: Some(generation),
        whole: false,
    });
    row
}

fn declared(api_version: &str, kind: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "LoadBalancer"}})
}

/// The sum of two copies' statuses.
fn sum(api_version: &str, kind: &str, one: Value, other: Value) -> Value {
    let rows = [copy("c1", one, 1), copy("c2", other, 1)];
    status(&declared(api_version, kind), &rows)
        .expect("a sum")
        .0
}

#[test]
fn counts_are_added_and_phases_say_what_to_look_at_first() {
    let web = |replicas: i64, ready: i64| json!({"replicas": replicas, "readyReplicas": ready, "updatedReplicas": replicas});
    assert_eq!(
        sum("apps/v1", "Deployment", web(2, 1), web(3, 3)),
        json!({"replicas": 5, "readyReplicas": 4, "updatedReplicas": 5, "availableReplicas": 0, "unavailableReplicas": 0})
    );
    let stateful = json!({"replicas": 1, "currentReplicas": 1});
    assert_eq!(
        sum("apps/v1", "StatefulSet", stateful.clone(), stateful)["currentReplicas"],
        2
    );
    let set = json!({"fullyLabeledReplicas": 2});
    assert_eq!(
        sum("apps/v1", "ReplicaSet", set.clone(), set)["fullyLabeledReplicas"],
        4
    );
    let daemons = json!({"desiredNumberScheduled": 3, "numberReady": 2});
    let daemons = sum("apps/v1", "DaemonSet", daemons.clone(), daemons);
    assert_eq!(
        (&daemons["desiredNumberScheduled"], &daemons["numberReady"]),
        (&json!(6), &json!(4))
    );
    let budget = json!({"currentHealthy": 1, "disruptedPods": {"p": "2026-01-01T00:00:00Z"}});
    let budget = sum("policy/v1", "PodDisruptionBudget", budget.clone(), budget);
    assert_eq!(budget["currentHealthy"], 2);
    assert_eq!(
        budget["disruptedPods"],
        json!({"c1/p": "2026-01-01T00:00:00Z", "c2/p": "2026-01-01T00:00:00Z"})
    );
    let scaler = json!({"currentReplicas": 2, "desiredReplicas": 3});
    assert_eq!(
        sum(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            scaler.clone(),
            scaler
        ),
        json!({"currentReplicas": 4, "desiredReplicas": 6})
    );
    let phase = |phase: &str| json!({"phase": phase});
    for (kind, one, other, expected) in [
        ("Pod", "Running", "Failed", "Failed"),
        ("Pod", "Running", "Pending", "Pending"),
        ("Pod", "Succeeded", "Running", "Running"),
        ("PersistentVolumeClaim", "Bound", "Lost", "Lost"),
        ("PersistentVolumeClaim", "Pending", "Bound", "Pending"),
        ("PersistentVolumeClaim", "Bound", "Bound", "Bound"),
        ("PersistentVolume", "Released", "Bound", "Bound"),
        ("PersistentVolume", "Available", "Bound", "Available"),
    ] {
        let sum = sum("v1", kind, phase(one), phase(other));
        assert_eq!(sum["phase"], expected, "{kind}: {one}, {other}");
    }
    let mut unseen = well("c2");
    unseen.condition = Condition::Pending;
    let rows = [copy("c1", phase("Running"), 1), unseen];
    let (pod, _) = status(&declared("v1", "Pod"), &rows).expect("a sum");
    assert_eq!(pod["phase"], "Pending", "one that was not seen yet counts");
    let pod = json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]});
    let pod = sum("v1", "Pod", pod.clone(), pod);
    assert_eq!(super::super::items(&pod["containerStatuses"]).len(), 2);
}

#[test]
fn all_ways_in_are_told_once_and_in_order() {
    let way = |ip: &str| json!({"loadBalancer": {"ingress": [{"ip": ip}, {"ip": ip}]}});
    let expected = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1", "hostname": "c2"}, {"ip": "10.0.0.2", "hostname": "c1"}]}});
    for (api_version, kind) in [("v1", "Service"), ("networking.k8s.io/v1", "Ingress")] {
        assert_eq!(
            sum(api_version, kind, way("10.0.0.2"), way("10.0.0.1")),
            expected
        );
    }
    let mut inner = declared("v1", "Service");
    inner["spec"]["type"] = json!("ClusterIP");
    assert_eq!(status(&inner, &[copy("c1", way("10.0.0.1"), 1)]), None);
}

#[test]
fn a_job_is_complete_where_it_is_everywhere_and_failed_where_it_is_anywhere() {
    let job = |conditions: &[&str], start: Option<&str>| {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|kind| json!({"type": kind, "status": "True"}))
            .collect();
        json!({"succeeded": 1, "conditions": conditions, "startTime": start, "completionTime": start})
    };
    let complete = ["SuccessCriteriaMet", "Complete"];
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z");
    for (one, other, expected, start, end) in [
        (
            job(&complete, Some(late)),
            job(&[], Some(early)),
            vec![],
            Some(early),
            Some(late),
        ),
        (
            job(&complete, Some(late)),
            job(&[], None),
            vec![],
            None,
            None,
        ),
        (
            job(&complete, Some(early)),
            job(&complete, Some(late)),
            vec!["Complete", "SuccessCriteriaMet"],
            Some(early),
            Some(late),
        ),
        (
            job(&complete, Some(early)),
            job(&["FailureTarget", "Failed"], Some(late)),
            vec!["FailureTarget", "Failed"],
            Some(early),
            Some(late),
        ),
    ] {
        let sum = sum("batch/v1", "Job", one, other);
        let kinds: Vec<&str> = super::super::items(&sum["conditions"])
            .iter()
            .map(|one| text(&one["type"]))
            .collect();
        assert_eq!(kinds, expected);
        assert_eq!(
            (&sum["startTime"], &sum["completionTime"]),
            (&json!(start), &json!(end))
        );
        assert_eq!(sum["succeeded"], 2);
    }
    let cron = |time: &str| json!({"active": [{"name": "j"}], "lastScheduleTime": time});
    let cron = sum("batch/v1", "CronJob", cron(late), cron(early));
    assert_eq!(cron["lastScheduleTime"], late);
    assert_eq!(super::super::items(&cron["active"]).len(), 2);
}

/// Karmada sets `observedGeneration` only when every member has seen what it holds, and holds the newest.
#[test]
fn the_generation_on_the_hub_is_observed_once_every_cluster_has_seen_the_newest() {
    let seen = |generation: u64| json!({"replicas": 1, "observedGeneration": generation});
    let mut behind = copy("c2", seen(4), 4);
    behind.condition = Condition::Pending;
    for (other, expected) in [
        (copy("c2", seen(4), 4), Sum::All),
        (copy("c2", seen(3), 4), Sum::NotAll),
        (behind, Sum::NotAll),
        (well("c2"), Sum::NotAll),
    ] {
        let rows = [copy("c1", seen(7), 7), other];
        let (_, observed) = status(&declared("apps/v1", "Deployment"), &rows).expect("a sum");
        assert_eq!(observed, expected);
    }
    let gone = row("c1", Condition::Removing, 1, None);
    assert_eq!(
        status(&declared("apps/v1", "Deployment"), &[gone]),
        None,
        "nobody has it any more"
    );
    let config = declared("v1", "ConfigMap");
    assert_eq!(status(&config, &[well("c1")]), None, "it has no status");
}

#[test]
fn a_sum_is_written_once_and_is_about_the_generation_that_was_seen() {
    let (mut told, mut live) = told("FederatedObject", Value::Null);
    for field in ["apiVersion", "kind"] {
        live[field] = declared("apps/v1", "Deployment")[field].clone();
    }
    told.document = Some(Document::from_value(&sighting::document(&live)));
    let rows = [copy(
        "c1",
        json!({"replicas": 2, "observedGeneration": 1}),
        1,
    )];
    let (status, observed) = status(&live, &rows).expect("a sum");
    (told.status, told.sum) = (status, Some(observed));
    let written = finish(&told, &live, "t1").expect("new");
    assert_eq!(
        written,
        json!({"replicas": 2, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0, "unavailableReplicas": 0, "observedGeneration": 3})
    );
    // As a server keeps it: without zeros, beside what others say.
    live["status"] =
        json!({"replicas": 2, "observedGeneration": 3, "conditions": [{"type": "Available"}]});
    assert_eq!(finish(&told, &live, "t2"), None, "it says all this");
    live["status"]["readyReplicas"] = json!(1);
    assert!(
        finish(&told, &live, "t2").is_some(),
        "somebody else wrote it"
    );
    live["status"]["readyReplicas"] = Value::Null;
    live["metadata"]["generation"] = json!(4);
    live["spec"]["replicas"] = json!(9);
    assert_eq!(
        finish(&told, &live, "t2"),
        None,
        "what is told is about the generation before"
    );

    let job = |conditions: Value| {
        let mut job = live.clone();
        (job["apiVersion"], job["kind"]) = (json!("batch/v1"), json!("Job"));
        job["status"] = json!({"startTime": "t0", "conditions": conditions});
        job
    };
    told.status = json!({"active": 1, "startTime": "t9", "completionTime": null, "conditions": []});
    told.sum = Some(Sum::Unsaid);
    let running = finish(&told, &job(json!([])), "t3").expect("new");
    assert_eq!(
        running,
        json!({"active": 1, "startTime": "t0", "conditions": []}),
        "a start that is told stays"
    );
    let complete = json!([{"type": "Complete", "status": "True"}]);
    assert_eq!(
        finish(&told, &job(complete), "t3"),
        None,
        "what is finished stays so"
    );
}
