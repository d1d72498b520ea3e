//! What is seen of a copy, from the object as its API server gives it. No client is needed here.

use fleetcast_core::ack::Observed;
use fleetcast_core::drift::{self, Drift};
use fleetcast_core::health::{self, Rules, status};
use fleetcast_core::model::ObjectKey;
use fleetcast_core::model::federated::Reported;
use fleetcast_core::reconcile::{Copied, Sight};
use fleetcast_core::work::{Body, Work};
use fleetcast_kubernetes::version;
use fleetcast_sealing::Keys;
use serde_json::Value;

use super::MANAGER;
use super::manifest::{self, Manifest};
use super::unseal;

/// What travels back about copies.
#[derive(Debug, Clone)]
pub struct Reporting {
    /// Rules of the operator's for health, beside ours.
    pub rules: Rules,
    /// How many bytes of selected status fields travel back per object; 0 for none.
    pub status_limit_bytes: usize,
}

impl Default for Reporting {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            status_limit_bytes: status::LIMIT_BYTES,
        }
    }
}

/// What is seen of `live`, a copy of ours, by `work`; drift is looked for only where it says what the work brought.
pub(super) fn copy(work: &Work, live: &Value, reporting: &Reporting, keys: &Keys) -> Sight {
    let digest = live["metadata"]["annotations"][manifest::DIGEST].as_str();
    let drift = match &work.body {
        Body::Apply {
            manifest, policy, ..
        } if digest == work.digest.as_deref() => unseal::open(keys, work, manifest)
            .ok()
            .and_then(|manifest| Manifest::parse(&work.object, &manifest).ok())
            .and_then(|manifest| {
                let fields = drift::find(&manifest.value, live, &policy.ignore, MANAGER);
                Drift::of(fields)
            }),
        Body::Apply { .. } | Body::Remove { .. } => None,
    };
    let reported = match &work.body {
        Body::Apply { policy, .. } => policy.report,
        Body::Remove { .. } => Reported::Selected,
    };
    let status = status::select(
        live,
        &reporting.rules,
        reported,
        reporting.status_limit_bytes,
    );
    Sight {
        version: version(live),
        copy: Some(Copied {
            digest: digest.map(str::to_owned),
            observed: Observed {
                health: Some(health::of(live, &reporting.rules)),
                drift,
                status,
            },
            unstated: Vec::new(),
        }),
    }
}

/// Nothing of ours is there.
pub(super) fn nothing(version: u64) -> Sight {
    Sight {
        version,
        copy: None,
    }
}

/// The object that `live` is a copy of, where it is ours.
pub(super) fn object(live: &Value) -> Option<ObjectKey> {
    let metadata = &live["metadata"];
    let object: ObjectKey = metadata["annotations"][manifest::OBJECT]
        .as_str()?
        .parse()
        .ok()?;
    // Somebody who copies an object copies our annotations, too.
    let is_itself = metadata["name"] == object.name()
        && metadata["namespace"].as_str() == object.namespace()
        && live["kind"] == object.kind();
    is_itself.then_some(object)
}
