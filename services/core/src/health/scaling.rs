//! What guards or sets the number of pods: PodDisruptionBudget, HorizontalPodAutoscaler.

use serde_json::Value;

use super::{Health, condition, count};

/// Karmada `interpretPodDisruptionBudgetHealth`: as many healthy pods as desired. (kstatus calls every computed budget Current.)
pub(super) fn disruption_budget(live: &Value) -> Health {
    if let Some(found) = condition(live, "DisruptionAllowed")
        .filter(|found| found.is_false() && found.reason == "SyncFailed")
    {
        return Health::degraded(found.says("the budget cannot be computed"));
    }
    if live["status"]["desiredHealthy"].is_null() {
        return Health::progressing("not computed yet");
    }
    let (healthy, desired) = (count(live, "currentHealthy"), count(live, "desiredHealthy"));
    match healthy < desired {
        true => Health::degraded(format!("{healthy} of {desired} pods are healthy")),
        false => Health::healthy(""),
    }
}

/// Argo CD `health_hpa.go`, since neither kstatus nor Karmada has a rule: what cannot scale is degraded, what was never looked at is progressing.
pub(super) fn autoscaler(live: &Value) -> Health {
    let mut seen = false;
    for (name, expected) in [("AbleToScale", ""), ("ScalingActive", "ScalingDisabled")] {
        let Some(found) = condition(live, name) else {
            continue;
        };
        seen = true;
        if found.is_false() && found.reason != expected {
            return Health::degraded(found.says("cannot scale"));
        }
    }
    match seen {
        true => Health::healthy(""),
        false => Health::progressing("waits for the autoscaler's controller"),
    }
}
