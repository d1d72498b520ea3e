//! What others stand in or are served by: CustomResourceDefinition, APIService, Namespace.

use serde_json::Value;

use super::{Health, condition};

/// kstatus `crdConditions`.
pub(super) fn definition(live: &Value) -> Health {
    if let Some(found) = condition(live, "NamesAccepted").filter(super::Condition::is_false) {
        return Health::degraded(found.says("its names are taken"));
    }
    match condition(live, "Established") {
        Some(found) if found.is_true() => Health::healthy(""),
        Some(found) if found.is_false() && found.reason != "Installing" => {
            Health::degraded(found.says("not established"))
        }
        Some(_) | None => Health::progressing("not served yet"),
    }
}

/// Argo CD `health_apiservice.go`, since neither kstatus nor Karmada has a rule.
pub(super) fn service(live: &Value) -> Health {
    match condition(live, "Available") {
        Some(found) if found.is_true() => Health::healthy(""),
        Some(found) => Health::progressing(found.says("not available")),
        None => Health::progressing("not looked at yet"),
    }
}

/// kstatus: Current, unless it is terminating.
pub(super) fn namespace(live: &Value) -> Health {
    match live["status"]["phase"] == "Terminating" {
        true => Health::progressing("is being deleted"),
        false => Health::healthy(""),
    }
}
