//! What holds for every kind, and what is said about kinds without a rule of their own.

use serde_json::Value;

use super::{Health, condition};

/// An object that is being deleted is on its way (kstatus: Terminating).
pub(super) fn deleting(live: &Value) -> Option<Health> {
    live["metadata"]["deletionTimestamp"].as_str()?;
    let finalizers: Vec<&str> = live["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Some(Health::progressing(match finalizers.is_empty() {
        true => "is being deleted".to_owned(),
        false => format!("is being deleted: waits for {}", finalizers.join(", ")),
    }))
}

/// A generation that the controller has not seen (kstatus: LatestGenerationNotObserved), and the conditions that kstatus reads on any kind.
pub(super) fn unobserved(live: &Value) -> Option<Health> {
    let generation = live["metadata"]["generation"].as_i64();
    if let (Some(generation), Some(observed)) =
        (generation, live["status"]["observedGeneration"].as_i64())
        && generation != observed
    {
        return Some(Health::progressing(format!(
            "generation {generation} is not observed yet: the controller is at {observed}"
        )));
    }
    let says = |name: &str| condition(live, name).filter(super::Condition::is_true);
    if let Some(stalled) = says("Stalled") {
        return Some(Health::degraded(stalled.says("stalled")));
    }
    says("Reconciling").map(|found| Health::progressing(found.says("reconciling")))
}

/// Any kind: by its condition Ready (kstatus), else Available; without either it is healthy as it stands.
pub(super) fn any(live: &Value) -> Health {
    for name in ["Ready", "Available"] {
        let Some(found) = condition(live, name) else {
            continue;
        };
        return match found.is_true() {
            true => Health::healthy(""),
            false => Health::progressing(found.says(&format!("not {}", name.to_lowercase()))),
        };
    }
    Health::healthy("")
}
