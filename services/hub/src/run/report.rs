//! What a person is told: the condition `Accepted`, an Event beside the object, the log.

use fleetcast_core::digest;
use fleetcast_core::hub::Report;
use fleetcast_core::model::ObjectKey;
use fleetcast_kubernetes::brief;
use serde_json::{Value, json};

use crate::api::Api;

/// Who owns the condition `Accepted`: what the rest of a status says is another manager's.
const MANAGER: &str = "fleetcast-hub-accepted";

/// Tells what is to be told about the object at `place`; what does not get through is told again by whoever watches next.
pub(super) async fn tell(
    api: &Api,
    api_version: &str,
    place: &ObjectKey,
    uid: &str,
    generation: u64,
    report: &Report,
) {
    let (status, reason, message) = match report {
        Report::Accepted => ("True", "TakenIn", "The object is in the log.".to_owned()),
        Report::Refused(refusal) if refusal.field.is_empty() => {
            ("False", "Refused", refusal.message.clone())
        }
        Report::Refused(refusal) => (
            "False",
            "Refused",
            format!("{}: {}", refusal.field, refusal.message),
        ),
        Report::Vanished => {
            tracing::error!(
                %place,
                "vanished from the hub without a deletion: nothing is removed, a cluster stays in the fleet; `fleetcast hub diff` shows and settles it"
            );
            return;
        }
        Report::Older => {
            tracing::error!(
                %place,
                "the hub holds an older state than the log: it was restored, perhaps; nothing is changed, `fleetcast hub diff` shows and settles it"
            );
            (
                "False",
                "Older",
                "The log holds a newer state of this object: the hub was restored, perhaps. Settle it with `fleetcast hub diff`.".to_owned(),
            )
        }
    };
    let now = fleetcast_bus::now().rfc3339();
    let condition = json!({
        "type": "Accepted", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now, "observedGeneration": generation,
    });
    if place.group() == "fleetcast.dev" {
        let status = json!({"conditions": [condition]});
        let told = api
            .apply_status(api_version, place, MANAGER, uid, &status)
            .await;
        warn(place, told.map(drop));
    }
    if status == "False" {
        let namespace = place.namespace().unwrap_or("default");
        // One Event for each refusal of an object, however often it is met.
        let which = digest::short(format!("{uid}\n{reason}\n{message}").as_bytes());
        let name = format!("{}.{}", place.name(), &which[..16]);
        let event = event(api_version, place, uid, reason, &message, &now);
        let told = api.event(namespace, &name, &event);
        warn(place, told.await);
    }
}

fn event(
    api_version: &str,
    place: &ObjectKey,
    uid: &str,
    reason: &str,
    message: &str,
    now: &str,
) -> Value {
    json!({
        "involvedObject": {"apiVersion": api_version, "kind": place.kind(), "namespace": place.namespace(), "name": place.name(), "uid": uid},
        "type": "Warning", "reason": reason, "message": message,
        "source": {"component": "fleetcast"}, "reportingComponent": "fleetcast", "reportingInstance": "",
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    })
}

fn warn(place: &ObjectKey, told: Result<(), kube::Error>) {
    if let Err(error) = told {
        tracing::warn!(%place, error = brief(&error), "the hub cannot be told");
    }
}
