//! What runs pods for as long as it stands: Deployment, StatefulSet, DaemonSet, ReplicaSet.

use serde_json::Value;

use super::{Health, condition, count};

fn wanted(live: &Value) -> i64 {
    live["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// "1 of 3 pods are <what>", where fewer than wanted are.
fn fewer(found: i64, wanted: i64, what: &str) -> Option<Health> {
    (found < wanted).then(|| Health::progressing(format!("{found} of {wanted} pods are {what}")))
}

/// More pods than wanted are there.
fn more(found: i64, wanted: i64) -> Option<Health> {
    (found > wanted)
        .then(|| Health::progressing(format!("{} pods are still to go", found - wanted)))
}

/// kstatus `deploymentConditions`.
pub(super) fn deployment(live: &Value) -> Health {
    let progressing = condition(live, "Progressing");
    if let Some(found) = progressing
        .as_ref()
        .filter(|found| found.reason == "ProgressDeadlineExceeded")
    {
        return Health::degraded(found.says("its deadline is exceeded"));
    }
    let (wanted, found) = (wanted(live), count(live, "replicas"));
    let updated = count(live, "updatedReplicas");
    let pods = fewer(found, wanted, "created")
        .or_else(|| fewer(updated, wanted, "updated"))
        .or_else(|| more(found, wanted))
        .or_else(|| fewer(count(live, "availableReplicas"), updated, "available"))
        .or_else(|| fewer(count(live, "readyReplicas"), wanted, "ready"));
    if let Some(health) = pods {
        return health;
    }
    let has_deadline = live["spec"]["progressDeadlineSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds != i64::from(i32::MAX));
    let is_rolled_out = progressing
        .is_some_and(|found| found.is_true() && found.reason == "NewReplicaSetAvailable");
    if has_deadline && !is_rolled_out {
        return Health::progressing("its new ReplicaSet is not available");
    }
    match condition(live, "Available") {
        Some(found) if found.is_true() => Health::healthy(""),
        Some(found) => Health::progressing(found.says("not available")),
        None => Health::progressing("not available yet"),
    }
}

/// kstatus `stsConditions`.
pub(super) fn stateful_set(live: &Value) -> Health {
    let strategy = &live["spec"]["updateStrategy"];
    if strategy["type"] == "OnDelete" {
        return Health::healthy("its pods are updated as somebody deletes them");
    }
    let (wanted, found) = (wanted(live), count(live, "replicas"));
    let pods = fewer(found, wanted, "created")
        .or_else(|| fewer(count(live, "readyReplicas"), wanted, "ready"))
        .or_else(|| more(found, wanted));
    if let Some(health) = pods {
        return health;
    }
    if let Some(partition) = strategy["rollingUpdate"]["partition"].as_i64()
        && partition > 0
    {
        let due = wanted - partition;
        return fewer(count(live, "updatedReplicas"), due, "updated").unwrap_or_else(|| {
            Health::healthy(format!("rolled out down to partition {partition}"))
        });
    }
    if let Some(health) = fewer(count(live, "currentReplicas"), wanted, "current") {
        return health;
    }
    let status = &live["status"];
    match status["currentRevision"] == status["updateRevision"] {
        true => Health::healthy(""),
        false => Health::progressing("the update is rolling out"),
    }
}

/// kstatus `daemonsetConditions`.
pub(super) fn daemon_set(live: &Value) -> Health {
    let Some(wanted) = live["status"]["desiredNumberScheduled"].as_i64() else {
        return Health::progressing("the controller has not counted its nodes yet");
    };
    let is_on_delete = live["spec"]["updateStrategy"]["type"] == "OnDelete";
    let updated = match is_on_delete {
        true => None,
        false => fewer(count(live, "updatedNumberScheduled"), wanted, "updated"),
    };
    fewer(count(live, "currentNumberScheduled"), wanted, "scheduled")
        .or(updated)
        .or_else(|| fewer(count(live, "numberAvailable"), wanted, "available"))
        .or_else(|| fewer(count(live, "numberReady"), wanted, "ready"))
        .unwrap_or_else(|| Health::healthy(""))
}

/// kstatus `replicasetConditions`.
pub(super) fn replica_set(live: &Value) -> Health {
    if let Some(found) = condition(live, "ReplicaFailure").filter(super::Condition::is_true) {
        return Health::progressing(found.says("a pod could not be created or deleted"));
    }
    let wanted = wanted(live);
    fewer(count(live, "fullyLabeledReplicas"), wanted, "labelled")
        .or_else(|| fewer(count(live, "availableReplicas"), wanted, "available"))
        .or_else(|| fewer(count(live, "readyReplicas"), wanted, "ready"))
        .or_else(|| more(count(live, "replicas"), wanted))
        .unwrap_or_else(|| Health::healthy(""))
}
