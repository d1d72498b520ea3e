//! Pods, and what runs them to an end: Pod, Job, CronJob.

use serde_json::Value;

use super::{Health, condition, count};

/// kstatus `podConditions`; which waiting containers are in trouble is Argo CD's rule (`gitops-engine` `health_pod.go`), of which kstatus's
/// CrashLoopBackOff is one. An unschedulable pod is degraded at once: kstatus waits 15 s by its clock.
pub(super) fn pod(live: &Value) -> Health {
    let phase = live["status"]["phase"].as_str().unwrap_or_default();
    match phase {
        "Succeeded" => return Health::healthy("completed"),
        "Failed" => {
            let text = |field: &str| {
                live["status"][field]
                    .as_str()
                    .filter(|text| !text.is_empty())
            };
            let why = text("message")
                .or(text("reason"))
                .unwrap_or("the pod failed");
            return Health::degraded(why);
        }
        _ => {}
    }
    if let Some((container, why)) = stuck(live) {
        return Health::degraded(format!("container {container}: {why}"));
    }
    match phase {
        "Running" => match condition(live, "Ready") {
            Some(found) if found.is_true() => Health::healthy(""),
            Some(found) => Health::progressing(found.says("not ready")),
            None => Health::progressing("not ready yet"),
        },
        "Pending" => match condition(live, "PodScheduled") {
            Some(found) if found.is_false() && found.reason == "Unschedulable" => {
                Health::degraded(found.says("unschedulable"))
            }
            _ => Health::progressing("pending"),
        },
        "Unknown" => Health::unknown("its node does not answer"),
        _ => Health::progressing("not scheduled yet"),
    }
}

/// The first container that waits for a reason that does not pass by itself.
fn stuck(live: &Value) -> Option<(&str, &str)> {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| live["status"][field].as_array())
        .flatten();
    statuses.into_iter().find_map(|status| {
        let why = status["state"]["waiting"]["reason"].as_str()?;
        let is_stuck = why.starts_with("Err") || why.ends_with("Error") || why.ends_with("BackOff");
        is_stuck.then(|| (status["name"].as_str().unwrap_or_default(), why))
    })
}

/// kstatus `jobConditions`: a Job that has started is healthy until it fails.
pub(super) fn job(live: &Value) -> Health {
    let says = |name: &str| condition(live, name).filter(super::Condition::is_true);
    if let Some(failed) = says("Failed").or_else(|| says("FailureTarget")) {
        return Health::degraded(failed.says("failed"));
    }
    if says("Complete").is_some() {
        return Health::healthy("completed");
    }
    if says("Suspended").is_some() {
        return Health::healthy("suspended");
    }
    match live["status"]["startTime"].is_string() {
        true => Health::healthy(format!("running: {} active", count(live, "active"))),
        false => Health::progressing("not started yet"),
    }
}

/// kstatus: always Current.
pub(super) fn cron_job(live: &Value) -> Health {
    Health::healthy(match live["spec"]["suspend"] == true {
        true => "suspended",
        false => "",
    })
}
