//! Events beside an object of a hub for what is wrong with it in clusters: one for each object, cluster and reason, counted where it comes back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleetcast_core::digest;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::status::{Failure, Told};
use fleetcast_core::time::Time;
use fleetcast_kubernetes::brief;
use kube::Error;
use serde_json::{Value, json};

use crate::api::Api;

/// How many Events may be written at once, and again after [`REFILL`]: a fleet that fails is told by its objects' status, not by a flood.
const BURST: u32 = 50;
/// How long it takes until as many may be written again.
const REFILL: Duration = Duration::from_secs(30);
/// How many failures are remembered; then it begins anew, and finds the Events that are there.
const REMEMBERED: usize = 20_000;

/// What was told, and how much may be told still.
#[derive(Default)]
pub(super) struct Events(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// The message by the object's uid, cluster and reason.
    told: BTreeMap<(String, String, &'static str), String>,
    /// Since when so many were written.
    spent: Option<(Instant, u32)>,
}

impl Memory {
    /// Those of `failures` that are new and may be told now; those that are over are forgotten.
    fn news<'a>(&mut self, uid: &str, failures: &'a [Failure]) -> Vec<&'a Failure> {
        let key = |failure: &Failure| {
            let cluster = failure.cluster.to_string();
            (uid.to_owned(), cluster, failure.reason)
        };
        let still: Vec<_> = failures.iter().map(key).collect();
        self.told
            .retain(|known, _| known.0 != uid || still.contains(known));
        if self.told.len() > REMEMBERED {
            self.told.clear();
        }
        let mut news = Vec::new();
        for failure in failures {
            if self.told.get(&key(failure)) != Some(&failure.message) && self.may_tell() {
                self.told.insert(key(failure), failure.message.clone());
                news.push(failure);
            }
        }
        news
    }

    fn may_tell(&mut self) -> bool {
        let spent = self.spent.take();
        let (since, count) = spent
            .filter(|(since, _)| since.elapsed() < REFILL)
            .unwrap_or((Instant::now(), 0));
        self.spent = Some((since, count.saturating_add(1).min(BURST)));
        count < BURST
    }
}

impl Events {
    /// Tells what is new among the failures; what does not get through stands in the status all the same.
    pub(super) async fn tell(&self, api: &Api, told: &Told, uid: &str) {
        let news = {
            let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            memory.news(uid, &told.failures)
        };
        for failure in news {
            if let Err(error) = write(api, told, uid, failure).await {
                let place = &told.place;
                tracing::warn!(%place, error = brief(&error), "an Event cannot be written");
            }
        }
    }
}

/// Creates the Event, or counts it up where it is there and this came later.
async fn write(api: &Api, told: &Told, uid: &str, failure: &Failure) -> Result<(), Error> {
    let Told {
        place, api_version, ..
    } = told;
    let Failure {
        cluster,
        reason,
        message,
        at,
    } = failure;
    let namespace = place.namespace().unwrap_or("default");
    let which = digest::short(format!("{uid}\n{cluster}\n{reason}").as_bytes());
    let name = format!("{}.{}", place.name(), &which[..16]);
    let message = format!("{cluster}: {message}");
    let now = at.unwrap_or_else(fleetcast_bus::now).rfc3339();
    let key = ObjectKey::new("Event", "", Some(namespace), &name);
    let key = key.map_err(|refusal| Error::Service(refusal.to_string().into()))?;
    let Some(before) = api.get("v1", &key).await? else {
        let event = json!({
            "involvedObject": {"apiVersion": api_version, "kind": place.kind(), "namespace": place.namespace(), "name": place.name(), "uid": uid},
            "type": "Warning", "reason": reason, "message": message,
            "source": {"component": "fleetcast"}, "reportingComponent": "fleetcast", "reportingInstance": "",
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        return api.event(namespace, &name, &event).await;
    };
    let is_later = is_later(*at, &before);
    if before["message"] == message.as_str() && !is_later {
        return Ok(());
    }
    let count = before["count"].as_i64().unwrap_or(1).saturating_add(1);
    let patch = json!({"message": message, "count": count, "lastTimestamp": now});
    api.merge("v1", &key, &patch).await.map(drop)
}

/// Whether what a cluster said at `at` came after the Event's last time: an answer that was told before is not told again after a restart.
fn is_later(at: Option<Time>, before: &Value) -> bool {
    let last = before["lastTimestamp"].as_str().unwrap_or_default();
    // RFC 3339 in UTC and whole seconds: in the order of the texts.
    at.is_some_and(|at| at.rfc3339().as_str() > last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_core::model::ClusterName;

    fn failure(cluster: &str, message: &str) -> Failure {
        Failure {
            cluster: ClusterName::parse(cluster).expect("valid"),
            reason: "Refused",
            message: message.to_owned(),
            at: None,
        }
    }

    #[test]
    fn a_failure_is_told_once_and_again_where_it_comes_back_or_says_otherwise() {
        let mut memory = Memory::default();
        let (no, other) = ([failure("eu", "no")], [failure("eu", "still no")]);
        for (failures, told) in [
            (&no[..], 1),
            (&no[..], 0),
            (&other[..], 1),
            (&[], 0),
            (&other[..], 1),
        ] {
            assert_eq!(memory.news("u", failures).len(), told, "{failures:?}");
        }
        assert_eq!(memory.news("v", &other).len(), 1, "another object");
    }

    #[test]
    fn a_fleet_that_fails_is_no_flood() {
        let mut memory = Memory::default();
        let told: usize = (0..1_000)
            .map(|count| {
                memory
                    .news(&count.to_string(), &[failure("eu", "no")])
                    .len()
            })
            .sum();
        assert_eq!(told, usize::try_from(BURST).expect("small"));
    }
}
