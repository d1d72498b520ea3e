//! The status of a MemberCluster: whether it is ready, and since when.

use serde_json::{Value, json};

use crate::fold::ClusterView;
use crate::readiness::Readiness;

use super::condition;

/// `conditions`: `Ready` with the time since when; the reason is the word for how it stands.
pub fn status(known: &ClusterView) -> Value {
    let (status, reason, message) = match known.readiness() {
        Readiness::Ready => ("True", "Ready", "Its agent is heard and can do its work."),
        Readiness::Degraded => {
            let trouble = known.trouble.as_deref();
            ("False", "Degraded", trouble.unwrap_or_default())
        }
        Readiness::Offline => (
            "False",
            "Offline",
            "Its agent is not heard any more; what it holds stays.",
        ),
        Readiness::Unknown => ("Unknown", "NeverHeard", "No agent was heard yet."),
    };
    let mut ready = condition("Ready", status, reason, message.to_owned());
    ready["lastTransitionTime"] = json!(known.since.rfc3339());
    json!({"conditions": [ready]})
}
