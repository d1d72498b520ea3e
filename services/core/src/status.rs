//! What the objects of a hub are told about themselves: from the view to the status that stands on them. Pure; the edge only writes it.
//!
//! | object of the hub | status | file |
//! |---|---|---|
//! | FederatedObject, ClusterFederatedObject | counts, conditions, the first clusters that are not right | [`native`] |
//! | KubeFed's kinds | KubeFed's own form | [`kubefed`] |
//! | plain objects under a Karmada policy | the sum of their copies' statuses, as Karmada shows it | [`karmada`] |
//! | MemberCluster, KubeFedCluster, Karmada's Cluster | whether it is ready, since when, what it has room for | [`cluster`] |
//!
//! What is wrong in clusters is told in Events, too: [`failures`].
//!
//! Times are left to [`finish`], which keeps those of what did not change, so that an equal status is not written again. A new dialect is a file here and an arm in [`of_object`].

pub mod cluster;
pub mod failures;
pub mod karmada;
pub mod kubefed;
pub mod native;

use serde_json::{Value, json};

use crate::capacity::Capacity;
use crate::dialect;
use crate::document::Document;
use crate::fold::View;
use crate::hub::{HubOrigin, sighting};
use crate::model::cluster::{KARMADA, KUBEFED};
use crate::model::{ClusterName, Dialect, ObjectKey};

pub use failures::Failure;

/// What an object of a hub is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Where it stands on the hub.
    pub place: ObjectKey,
    /// Its apiVersion there.
    pub api_version: String,
    /// Which hub's object it was, in which state; none for a cluster, which any hub may hold.
    pub origin: Option<HubOrigin>,
    /// What it declared; none for a cluster.
    pub document: Option<Document>,
    /// Its status, without the times that [`finish`] knows.
    pub status: Value,
    /// Clusters in which something is wrong with it, the first ones: for Events.
    pub failures: Vec<Failure>,
    /// Whether it is a sum over its copies, and of which generation; none where it is no sum.
    pub sum: Option<karmada::Observed>,
}

/// What the object of a hub is told that declared `key`; none where no hub did, or its dialect has no status of ours.
pub fn of_object(view: &View, key: &ObjectKey) -> Option<Told> {
    let object = view.object(key)?;
    let origin = HubOrigin::of(&object.change.origin)?;
    let document = object.change.document.clone()?;
    let value = document.value().ok()?;
    let rows = view.rows(key);
    let decided = object
        .decision
        .as_ref()
        .map_or(0, |decision| decision.revision);
    let readiness = |cluster: &ClusterName| view.readiness(cluster);
    let revision = object.change.revision;
    let (status, sum) = match object.change.dialect? {
        Dialect::Native => (native::status(revision, decided, &rows), None),
        Dialect::Kubefed => (kubefed::status(revision, decided, &rows, &readiness), None),
        Dialect::Karmada => {
            let (status, observed) = karmada::status(&value, &rows)?;
            (status, Some(observed))
        }
    };
    let (place, api_version) = place_of(&value)?;
    Some(Told {
        place,
        api_version,
        origin: Some(origin),
        document: Some(document),
        status,
        failures: failures::of(&rows),
        sum,
    })
}

/// What the objects are told that may have registered a cluster, in each dialect; nothing where it is not registered.
pub fn of_cluster(view: &View, name: &ClusterName, capacity: Option<&Capacity>) -> Vec<Told> {
    let known = view.cluster(name);
    let Some(known) = known.filter(|known| known.registered.is_some()) else {
        return Vec::new();
    };
    let told = |place: ObjectKey, api_version: &str, status: Value| Told {
        place,
        api_version: api_version.to_owned(),
        origin: None,
        document: None,
        status,
        sum: None,
        failures: Vec::new(),
    };
    let foreign = |kind: &str, api_version: &str, status: Option<Value>| {
        let place = ObjectKey::new(kind, dialect::group_of(api_version), None, name.as_str());
        Some(told(place.ok()?, api_version, status?))
    };
    let ours = told(
        ObjectKey::of_cluster(name),
        dialect::native::API_VERSION,
        cluster::status(known, capacity),
    );
    let kubefed = foreign("KubeFedCluster", KUBEFED, cluster::kubefed(known, capacity));
    let karmada = foreign("Cluster", KARMADA, cluster::karmada(known, capacity));
    [Some(ours), kubefed, karmada]
        .into_iter()
        .flatten()
        .collect()
}

fn place_of(document: &Value) -> Option<(ObjectKey, String)> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let api_version = text("/apiVersion")?;
    let place = ObjectKey::new(
        text("/kind")?,
        dialect::group_of(api_version),
        text("/metadata/namespace"),
        text("/metadata/name")?,
    );
    Some((place.ok()?, api_version.to_owned()))
}

/// The status to be written on the live object at `now` (RFC 3339); none where it is another object by now, or says all this already.
pub fn finish(told: &Told, live: &Value, now: &str) -> Option<Value> {
    let uid = live["metadata"]["uid"].as_str();
    if told
        .origin
        .as_ref()
        .is_some_and(|origin| uid != Some(&origin.uid))
    {
        return None;
    }
    let before = &live["status"];
    let is_same = || {
        told.document.as_ref().is_some_and(|document| {
            let value = document.value();
            value.is_ok_and(|value| sighting::document(live) == value)
        })
    };
    if let Some(observed) = told.sum {
        return finish_sum(told, observed, is_same, live, now);
    }
    let mut status = told.status.clone();
    if told.document.is_some() {
        let generation = match is_same() {
            true => &live["metadata"]["generation"],
            // What is told is about an earlier state: so is the generation that stands there.
            false => &before["observedGeneration"],
        };
        if generation.is_u64() {
            status["observedGeneration"] = generation.clone();
        }
    }
    let generation = status["observedGeneration"].clone();
    let is_kubefed = told.place.group() == kubefed::GROUP;
    let clusters_changed = items(&status["clusters"]) != items(&before["clusters"]);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let old = of_type(before, &condition["type"]);
        let changed = old["status"] != condition["status"]
            || (is_kubefed && text(&old["reason"]) != text(&condition["reason"]));
        if condition.get("lastTransitionTime").is_none() {
            condition["lastTransitionTime"] = kept(&old["lastTransitionTime"], !changed, now);
        }
        if is_kubefed {
            let unchanged = !changed && !clusters_changed;
            condition["lastUpdateTime"] = kept(&old["lastUpdateTime"], unchanged, now);
        } else if generation.is_u64() {
            condition["observedGeneration"] = generation.clone();
        }
    }
    (clusters_changed || !says(before, &status)).then_some(status)
}

/// As [`finish`], for a sum: of what stands there only the fields that are told are looked at, and times but those of a Job say nothing.
fn finish_sum(
    told: &Told,
    observed: karmada::Observed,
    is_same: impl Fn() -> bool,
    live: &Value,
    now: &str,
) -> Option<Value> {
    let before = &live["status"];
    let mut status = karmada::settle(told.status.clone(), live, now)?;
    let generation = match observed {
        karmada::Observed::Unsaid => &Value::Null,
        karmada::Observed::All if is_same() => &live["metadata"]["generation"],
        karmada::Observed::All | karmada::Observed::NotAll => &before["observedGeneration"],
    };
    if generation.is_u64() {
        status["observedGeneration"] = generation.clone();
    }
    let fields = status.as_object_mut()?;
    if fields
        .iter()
        .all(|(name, value)| says_as_much(&before[name], value))
    {
        return None;
    }
    fields.retain(|_, value| !value.is_null());
    Some(status)
}

/// Whether both say the same, where a server leaves out what is zero or empty.
fn says_as_much(one: &Value, other: &Value) -> bool {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) => false,
    };
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let names = ones.keys().chain(others.keys());
            names
                .into_iter()
                .all(|name| says_as_much(&one[name], &other[name]))
        }
        (Value::Array(ones), Value::Array(others)) => {
            // A server adds to items what we leave to it (`ipMode` of a way in).
            let item = |one: &Value, other: &Value| match other.as_object() {
                Some(fields) => fields
                    .keys()
                    .all(|name| says_as_much(&one[name], &other[name])),
                None => says_as_much(one, other),
            };
            ones.len() == others.len()
                && ones.iter().zip(others).all(|(one, other)| item(one, other))
        }
        _ => one == other || (is_nothing(one) && is_nothing(other)),
    }
}

fn of_type<'a>(status: &'a Value, kind: &Value) -> &'a Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut same = conditions.filter(|condition| condition["type"] == *kind);
    same.next().unwrap_or(&Value::Null)
}

/// The items of a list; a server drops a list that lost its last item.
fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn kept(old: &Value, keep: bool, now: &str) -> Value {
    match old {
        Value::String(_) if keep => old.clone(),
        _ => json!(now),
    }
}

/// Whether all that `status` says stands in `before`; conditions and fields of others may stand there as well.
fn says(before: &Value, status: &Value) -> bool {
    let fields = status.as_object().into_iter().flatten();
    fields.into_iter().all(|(name, value)| match name.as_str() {
        "conditions" => {
            let ours = value.as_array().into_iter().flatten();
            ours.into_iter()
                .all(|condition| of_type(before, &condition["type"]) == condition)
        }
        _ => before[name] == *value,
    })
}

/// `a condition`, without the time.
fn condition(kind: &str, status: &str, reason: &str, message: String) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// `eu-1, eu-2 and 3 more`.
fn some<'a>(names: impl Iterator<Item = &'a ClusterName>) -> String {
    const NAMED: usize = 5;
    let names: Vec<&str> = names.map(ClusterName::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests;
