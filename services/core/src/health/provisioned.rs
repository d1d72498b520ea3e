//! What waits until somebody provides it: Service, Ingress, PersistentVolumeClaim.

use serde_json::Value;

use super::Health;

fn has_address(live: &Value) -> bool {
    let ingress = live["status"]["loadBalancer"]["ingress"].as_array();
    ingress.is_some_and(|entries| {
        !entries.is_empty()
            && entries.iter().all(|entry| {
                let said = |field: &str| entry[field].as_str().is_some_and(|text| !text.is_empty());
                said("ip") || said("hostname")
            })
    })
}

/// Karmada `interpretServiceHealth`: one of type LoadBalancer needs an address, others are healthy as they stand.
pub(super) fn service(live: &Value) -> Health {
    match live["spec"]["type"] == "LoadBalancer" && !has_address(live) {
        true => Health::progressing("waits for the load balancer's address"),
        false => Health::healthy(""),
    }
}

/// Karmada `interpretIngressHealth`: it needs an address.
pub(super) fn ingress(live: &Value) -> Health {
    match has_address(live) {
        true => Health::healthy(""),
        false => Health::progressing("waits for an address"),
    }
}

/// kstatus `pvcConditions` and Karmada: bound; a claim whose volume is gone is degraded (Argo CD `health_pvc.go`).
pub(super) fn claim(live: &Value) -> Health {
    match live["status"]["phase"].as_str() {
        Some("Bound") => Health::healthy(""),
        Some("Lost") => Health::degraded("its volume is gone"),
        _ => Health::progressing("not bound to a volume yet"),
    }
}
