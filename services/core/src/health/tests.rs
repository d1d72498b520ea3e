//! Each kind's rule, as tables with the source of each row.
#![allow(clippy::unwrap_used)]

mod configured;

use serde_json::{Value, json};

use super::*;

/// An object of `api_version` and `kind` with a spec and a status.
fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec, "status": status})
}

fn conditions(list: &[(&str, &str, &str)]) -> Value {
    let entry = |(name, status, reason): &(&str, &str, &str)| json!({"type": name, "status": status, "reason": reason});
    list.iter().map(entry).collect()
}

#[track_caller]
fn check(live: &Value, state: State, reason: &str) {
    let health = of(live, &Rules::default());
    assert_eq!(health.state, state, "{health:?} of {live}");
    assert!(
        health.reason.contains(reason),
        "{health:?}, not {reason:?}, of {live}"
    );
}

/// kstatus `generic.go`: terminating, generation not observed, Stalled, Reconciling, Ready; anything else is Current.
#[test]
fn any_kind_by_what_holds_for_all() {
    let custom = |status: Value| object("example.com/v1", "Shirt", json!({}), status);
    let ready =
        |status, reason| custom(json!({"conditions": conditions(&[("Ready", status, reason)])}));
    for (live, state, reason) in [
        (custom(json!(null)), State::Healthy, ""),
        (
            custom(json!({"observedGeneration": 1})),
            State::Progressing,
            "generation 2 is not observed",
        ),
        (custom(json!({"observedGeneration": 2})), State::Healthy, ""),
        (ready("True", ""), State::Healthy, ""),
        (
            ready("False", "Dyeing"),
            State::Progressing,
            "not ready: Dyeing",
        ),
        (ready("Unknown", ""), State::Progressing, "not ready"),
        (
            custom(
                json!({"conditions": conditions(&[("Stalled", "True", "NoThread"), ("Ready", "True", "")])}),
            ),
            State::Degraded,
            "NoThread",
        ),
        (
            custom(
                json!({"conditions": conditions(&[("Reconciling", "True", "Dyeing"), ("Ready", "True", "")])}),
            ),
            State::Progressing,
            "Dyeing",
        ),
        (
            custom(json!({"conditions": conditions(&[("Available", "False", "Torn")])})),
            State::Progressing,
            "not available: Torn",
        ),
        (custom(json!({"conditions": "hostile"})), State::Healthy, ""),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            State::Healthy,
            "",
        ),
        (json!([]), State::Healthy, ""),
    ] {
        check(&live, state, reason);
    }
    let mut going = ready("True", "");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(&going, State::Progressing, "is being deleted");
    going["metadata"]["finalizers"] = json!(["a/b"]);
    check(&going, State::Progressing, "waits for a/b");
}

/// kstatus `core.go` `deploymentConditions`, row by row.
#[test]
fn deployments() {
    let deployment = |spec: Value, status: Value| object("apps/v1", "Deployment", spec, status);
    let available = conditions(&[
        ("Available", "True", ""),
        ("Progressing", "True", "NewReplicaSetAvailable"),
    ]);
    let status = |replicas: i64,
                  updated: i64,
                  available_replicas: i64,
                  ready: i64,
                  conditions: &Value| {
        json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available_replicas,
            "readyReplicas": ready, "conditions": conditions})
    };
    let three = || json!({"replicas": 3, "progressDeadlineSeconds": 600});
    for (live, state, reason) in [
        (
            deployment(three(), status(3, 3, 3, 3, &available)),
            State::Healthy,
            "",
        ),
        (
            deployment(three(), json!({})),
            State::Progressing,
            "0 of 3 pods are created",
        ),
        (
            deployment(three(), status(3, 2, 3, 3, &available)),
            State::Progressing,
            "2 of 3 pods are updated",
        ),
        (
            deployment(three(), status(4, 3, 3, 3, &available)),
            State::Progressing,
            "1 pods are still to go",
        ),
        (
            deployment(three(), status(3, 3, 2, 3, &available)),
            State::Progressing,
            "2 of 3 pods are available",
        ),
        (
            deployment(three(), status(3, 3, 3, 2, &available)),
            State::Progressing,
            "2 of 3 pods are ready",
        ),
        (
            deployment(json!({"replicas": 0}), status(0, 0, 0, 0, &available)),
            State::Healthy,
            "",
        ),
        (
            deployment(json!({}), status(1, 1, 1, 1, &available)),
            State::Healthy,
            "",
        ),
        (
            deployment(
                three(),
                status(
                    3,
                    3,
                    3,
                    3,
                    &conditions(&[
                        ("Available", "True", ""),
                        ("Progressing", "True", "ReplicaSetUpdated"),
                    ]),
                ),
            ),
            State::Progressing,
            "new ReplicaSet",
        ),
        (
            deployment(
                json!({"replicas": 3}),
                status(
                    3,
                    3,
                    3,
                    3,
                    &conditions(&[("Available", "False", "MinimumReplicasUnavailable")]),
                ),
            ),
            State::Progressing,
            "MinimumReplicasUnavailable",
        ),
        (
            deployment(
                three(),
                status(
                    3,
                    1,
                    3,
                    3,
                    &conditions(&[("Progressing", "False", "ProgressDeadlineExceeded")]),
                ),
            ),
            State::Degraded,
            "deadline",
        ),
        (
            deployment(three(), json!({"observedGeneration": 1, "replicas": 3})),
            State::Progressing,
            "not observed",
        ),
    ] {
        check(&live, state, reason);
    }
}

/// kstatus `core.go` `stsConditions`, `daemonsetConditions`, `replicasetConditions`.
#[test]
fn other_workloads() {
    let set = |spec: Value, status: Value| object("apps/v1", "StatefulSet", spec, status);
    let full = json!({"replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "a"});
    let with = |field: &str, value: Value| {
        let mut status = full.clone();
        status[field] = value;
        set(json!({"replicas": 2}), status)
    };
    let partition = |updated: i64| {
        let spec = json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
        set(
            spec,
            json!({"replicas": 3, "readyReplicas": 3, "updatedReplicas": updated}),
        )
    };
    let daemons = |status: Value| object("apps/v1", "DaemonSet", json!({}), status);
    let scheduled = |current: i64, updated: i64, available: i64, ready: i64| {
        daemons(
            json!({"desiredNumberScheduled": 2, "currentNumberScheduled": current, "updatedNumberScheduled": updated,
            "numberAvailable": available, "numberReady": ready}),
        )
    };
    let replicas = |status: Value| object("apps/v1", "ReplicaSet", json!({"replicas": 2}), status);
    for (live, state, reason) in [
        (with("replicas", json!(2)), State::Healthy, ""),
        (
            with("replicas", json!(1)),
            State::Progressing,
            "1 of 2 pods are created",
        ),
        (
            with("readyReplicas", json!(1)),
            State::Progressing,
            "1 of 2 pods are ready",
        ),
        (
            with("replicas", json!(3)),
            State::Progressing,
            "still to go",
        ),
        (
            with("currentReplicas", json!(1)),
            State::Progressing,
            "1 of 2 pods are current",
        ),
        (
            with("updateRevision", json!("b")),
            State::Progressing,
            "rolling out",
        ),
        (
            set(
                json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
                json!({}),
            ),
            State::Healthy,
            "as somebody deletes them",
        ),
        (partition(1), State::Healthy, "partition 2"),
        (partition(0), State::Progressing, "0 of 1 pods are updated"),
        (daemons(json!({})), State::Progressing, "not counted"),
        (scheduled(2, 2, 2, 2), State::Healthy, ""),
        (scheduled(1, 2, 2, 2), State::Progressing, "scheduled"),
        (scheduled(2, 1, 2, 2), State::Progressing, "updated"),
        (scheduled(2, 2, 1, 2), State::Progressing, "available"),
        (scheduled(2, 2, 2, 1), State::Progressing, "ready"),
        (
            daemons(json!({"desiredNumberScheduled": 0})),
            State::Healthy,
            "",
        ),
        (
            replicas(
                json!({"replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}),
            ),
            State::Healthy,
            "",
        ),
        (
            replicas(json!({"replicas": 2, "fullyLabeledReplicas": 1})),
            State::Progressing,
            "labelled",
        ),
        (
            replicas(
                json!({"conditions": conditions(&[("ReplicaFailure", "True", "FailedCreate")])}),
            ),
            State::Progressing,
            "FailedCreate",
        ),
    ] {
        check(&live, state, reason);
    }
}

/// kstatus `podConditions` and `jobConditions`; waiting containers as Argo CD reads them.
#[test]
fn pods_and_what_runs_to_an_end() {
    let pod = |status: Value| object("v1", "Pod", json!({}), status);
    let waiting = |phase: &str, reason: &str| {
        pod(
            json!({"phase": phase, "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": reason}}}]}),
        )
    };
    let job = |status: Value| object("batch/v1", "Job", json!({}), status);
    for (live, state, reason) in [
        (
            pod(json!({"phase": "Succeeded"})),
            State::Healthy,
            "completed",
        ),
        (
            pod(json!({"phase": "Failed", "reason": "Evicted"})),
            State::Degraded,
            "Evicted",
        ),
        (
            pod(json!({"phase": "Running", "conditions": conditions(&[("Ready", "True", "")])})),
            State::Healthy,
            "",
        ),
        (
            pod(
                json!({"phase": "Running", "conditions": conditions(&[("Ready", "False", "ContainersNotReady")])}),
            ),
            State::Progressing,
            "ContainersNotReady",
        ),
        (
            waiting("Running", "CrashLoopBackOff"),
            State::Degraded,
            "container web: CrashLoopBackOff",
        ),
        (
            waiting("Pending", "ImagePullBackOff"),
            State::Degraded,
            "ImagePullBackOff",
        ),
        (
            waiting("Pending", "ErrImagePull"),
            State::Degraded,
            "ErrImagePull",
        ),
        (
            waiting("Pending", "ContainerCreating"),
            State::Progressing,
            "pending",
        ),
        (
            pod(
                json!({"phase": "Pending", "conditions": conditions(&[("PodScheduled", "False", "Unschedulable")])}),
            ),
            State::Degraded,
            "unschedulable",
        ),
        (pod(json!({"phase": "Unknown"})), State::Unknown, "node"),
        (pod(json!({})), State::Progressing, "not scheduled"),
        (job(json!({})), State::Progressing, "not started"),
        (
            job(json!({"startTime": "t", "active": 2})),
            State::Healthy,
            "running: 2 active",
        ),
        (
            job(json!({"conditions": conditions(&[("Complete", "True", "")])})),
            State::Healthy,
            "completed",
        ),
        (
            job(json!({"conditions": conditions(&[("Failed", "True", "BackoffLimitExceeded")])})),
            State::Degraded,
            "BackoffLimitExceeded",
        ),
        (
            job(json!({"conditions": conditions(&[("Suspended", "True", "")])})),
            State::Healthy,
            "suspended",
        ),
        (
            object("batch/v1", "CronJob", json!({"suspend": true}), json!({})),
            State::Healthy,
            "suspended",
        ),
        (
            object("batch/v1", "CronJob", json!({}), json!({})),
            State::Healthy,
            "",
        ),
    ] {
        check(&live, state, reason);
    }
}

/// Karmada `healthy.go` for Service, Ingress, PersistentVolumeClaim and PodDisruptionBudget; Argo CD for HorizontalPodAutoscaler and APIService; kstatus for the rest.
#[test]
fn what_others_provide_guard_or_serve() {
    let service =
        |kind: &str, status: Value| object("v1", "Service", json!({"type": kind}), status);
    let address = |entry: Value| json!({"loadBalancer": {"ingress": [entry]}});
    let ingress = |status: Value| object("networking.k8s.io/v1", "Ingress", json!({}), status);
    let claim = |phase: &str| {
        object(
            "v1",
            "PersistentVolumeClaim",
            json!({}),
            json!({"phase": phase}),
        )
    };
    let budget = |status: Value| object("policy/v1", "PodDisruptionBudget", json!({}), status);
    let scaler = |list| {
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({}),
            json!({"conditions": conditions(list)}),
        )
    };
    let definition = |list| {
        object(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({}),
            json!({"conditions": conditions(list)}),
        )
    };
    let api = |list| {
        object(
            "apiregistration.k8s.io/v1",
            "APIService",
            json!({}),
            json!({"conditions": conditions(list)}),
        )
    };
    for (live, state, reason) in [
        (
            service("ClusterIP", json!({"loadBalancer": {}})),
            State::Healthy,
            "",
        ),
        (
            service("LoadBalancer", json!({"loadBalancer": {}})),
            State::Progressing,
            "load balancer",
        ),
        (
            service("LoadBalancer", address(json!({"ip": "10.0.0.1"}))),
            State::Healthy,
            "",
        ),
        (
            service("LoadBalancer", address(json!({"hostname": "a.example"}))),
            State::Healthy,
            "",
        ),
        (
            service("LoadBalancer", address(json!({"ip": ""}))),
            State::Progressing,
            "load balancer",
        ),
        (ingress(json!({})), State::Progressing, "address"),
        (
            ingress(address(json!({"ip": "10.0.0.1"}))),
            State::Healthy,
            "",
        ),
        (claim("Bound"), State::Healthy, ""),
        (claim("Pending"), State::Progressing, "not bound"),
        (claim("Lost"), State::Degraded, "gone"),
        (budget(json!({})), State::Progressing, "not computed"),
        (
            budget(json!({"desiredHealthy": 2, "currentHealthy": 2})),
            State::Healthy,
            "",
        ),
        (
            budget(json!({"desiredHealthy": 2, "currentHealthy": 1})),
            State::Degraded,
            "1 of 2 pods are healthy",
        ),
        (
            budget(
                json!({"conditions": conditions(&[("DisruptionAllowed", "False", "SyncFailed")])}),
            ),
            State::Degraded,
            "SyncFailed",
        ),
        (scaler(&[]), State::Progressing, "controller"),
        (
            scaler(&[
                ("AbleToScale", "True", "ReadyForNewScale"),
                ("ScalingActive", "True", "ValidMetricFound"),
            ]),
            State::Healthy,
            "",
        ),
        (
            scaler(&[("AbleToScale", "False", "FailedGetScale")]),
            State::Degraded,
            "FailedGetScale",
        ),
        (
            scaler(&[
                ("AbleToScale", "True", ""),
                ("ScalingActive", "False", "ScalingDisabled"),
            ]),
            State::Healthy,
            "",
        ),
        (
            scaler(&[("ScalingActive", "False", "FailedGetResourceMetric")]),
            State::Degraded,
            "FailedGetResourceMetric",
        ),
        (definition(&[]), State::Progressing, "not served"),
        (
            definition(&[("NamesAccepted", "True", ""), ("Established", "True", "")]),
            State::Healthy,
            "",
        ),
        (
            definition(&[("NamesAccepted", "False", "PluralConflict")]),
            State::Degraded,
            "PluralConflict",
        ),
        (
            definition(&[("Established", "False", "Installing")]),
            State::Progressing,
            "not served",
        ),
        (
            definition(&[("Established", "False", "NotAccepted")]),
            State::Degraded,
            "NotAccepted",
        ),
        (api(&[]), State::Progressing, ""),
        (api(&[("Available", "True", "")]), State::Healthy, ""),
        (
            api(&[("Available", "False", "MissingEndpoints")]),
            State::Progressing,
            "MissingEndpoints",
        ),
        (
            object("v1", "Namespace", json!({}), json!({"phase": "Active"})),
            State::Healthy,
            "",
        ),
        (
            object(
                "v1",
                "Namespace",
                json!({}),
                json!({"phase": "Terminating"}),
            ),
            State::Progressing,
            "deleted",
        ),
    ] {
        check(&live, state, reason);
    }
}
