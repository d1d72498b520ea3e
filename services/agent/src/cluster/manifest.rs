//! A manifest as it is written: checked against the work that brings it, cleaned of what only the server writes, marked as ours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleetcast_core::decision::Place;
use fleetcast_core::document::Document;
use fleetcast_core::drift::Stated;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::ObjectKey;
use fleetcast_core::stated;
use fleetcast_core::work::Work;
use fleetcast_kubernetes::split;
use serde_json::{Map, Value, json};

use super::MANAGER;

/// The label on everything that is ours; its value is `true`.
pub(super) const MANAGED: &str = "fleetcast.dev/managed";
/// The annotation that names the object, so that a copy of ours under another name is not ours.
pub(super) const OBJECT: &str = "fleetcast.dev/object";
/// The annotation with the digest of the rendered manifest.
pub(super) const DIGEST: &str = "fleetcast.dev/digest";
/// The annotation with the revision.
pub(super) const REVISION: &str = "fleetcast.dev/revision";
/// The annotation with the decision.
pub(super) const DECISION: &str = "fleetcast.dev/decision";
/// The annotation with the epoch in which the decision was made.
pub(super) const EPOCH: &str = "fleetcast.dev/epoch";
/// The annotation with the fields that the manifest states ([`Stated`], in base64).
pub(super) const FIELDS: &str = "fleetcast.dev/fields";

/// Metadata that only the server writes; an apply that states `managedFields` is refused.
const SERVERS: [&str; 9] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "generateName",
];

/// A manifest that is about the object that its work is about.
#[derive(Clone, PartialEq)]
pub(super) struct Manifest {
    /// `apps/v1`.
    pub(super) api_version: String,
    /// The whole object, without status and what only the server writes. `metadata` is there and an object.
    pub(super) value: Value,
}

impl Manifest {
    /// Reads `document` as the manifest of `object`.
    ///
    /// # Errors
    /// The reason, for a person; it never quotes the content.
    pub(super) fn parse(object: &ObjectKey, document: &Document) -> Result<Self, String> {
        let mut value = document
            .value()
            .map_err(|error| format!("the manifest is not JSON: {error}"))?;
        let text = |field: &str| {
            value
                .pointer(field)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let api_version = text("/apiVersion").ok_or("the manifest has no apiVersion")?;
        let (group, version) = split(&api_version);
        if !is_version(version) {
            return Err(format!("apiVersion {api_version:?} names no version"));
        }
        let stated = |field: &str, expected: &str| match text(field) {
            Some(found) if found == expected => Ok(()),
            found => Err(format!(
                "the manifest's {} is {:?}, the work is about {object}",
                field.trim_start_matches('/').replace('/', "."),
                found.unwrap_or_default()
            )),
        };
        stated("/kind", object.kind())?;
        stated("/metadata/name", object.name())?;
        if group != object.group() {
            return Err(format!(
                "the manifest's apiVersion is {api_version:?}, the work is about {object}"
            ));
        }
        match (text("/metadata/namespace"), object.namespace()) {
            (Some(_), Some(namespace)) => stated("/metadata/namespace", namespace)?,
            (None, _) => {}
            (Some(found), None) => {
                return Err(format!(
                    "the manifest's metadata.namespace is {found:?}, the work is about {object}"
                ));
            }
        }
        if let Some(whole) = value.as_object_mut() {
            whole.remove("status");
        }
        let metadata = value
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
            .ok_or("the manifest's metadata is no object")?;
        metadata.retain(|field, _| !SERVERS.contains(&field.as_str()));
        for field in ["labels", "annotations"] {
            match metadata.get(field) {
                None | Some(Value::Object(_)) => {}
                Some(Value::Null) => drop(metadata.remove(field)),
                Some(_) => return Err(format!("the manifest's metadata.{field} is no object")),
            }
        }
        if object.kind() == "Secret" && object.group().is_empty() {
            encode_string_data(&mut value);
        }
        let metadata = entry(&mut value, "metadata");
        if let Some(namespace) = object.namespace() {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        Ok(Self { api_version, value })
    }

    /// The object with our marks; only over the state `resource_version`, where one is given.
    pub(super) fn marked(&self, work: &Work, resource_version: Option<&str>) -> Value {
        let mut value = self.value.clone();
        let metadata = entry(&mut value, "metadata");
        if let Some(resource_version) = resource_version {
            metadata.insert("resourceVersion".to_owned(), json!(resource_version));
        }
        labels(metadata, "labels").insert(MANAGED.to_owned(), json!("true"));
        let fields = STANDARD.encode(Stated::of(&self.value).to_bytes());
        let annotations = labels(metadata, "annotations");
        for (annotation, text) in [
            (OBJECT, work.object.to_string()),
            (DIGEST, work.digest.clone().unwrap_or_default()),
            (REVISION, work.revision.to_string()),
            (DECISION, work.decision.to_string()),
            (EPOCH, work.decision_epoch.to_string()),
            (FIELDS, fields),
        ] {
            annotations.insert(annotation.to_owned(), json!(text));
        }
        value
    }
}

/// A merge patch that takes our marks away, only over the state `resource_version`.
pub(super) fn unmark(resource_version: &str) -> Value {
    json!({"metadata": {
        "resourceVersion": resource_version,
        "labels": {MANAGED: null},
        "annotations": {OBJECT: null, DIGEST: null, REVISION: null, DECISION: null, EPOCH: null, FIELDS: null},
    }})
}

/// The decision that a live object of ours carries; none where it cannot be read.
pub(super) fn recorded(live: &Value) -> Option<Place> {
    let annotations = live.pointer("/metadata/annotations")?;
    let text = |annotation: &str| annotations.get(annotation)?.as_str();
    let epoch = Epoch::try_from(text(EPOCH)?.to_owned()).ok()?;
    let number = text(DECISION)?.parse().ok()?;
    Some(Place { epoch, number })
}

/// The fields that our last apply of a live object stated; none where that cannot be read.
pub(super) fn stated(live: &Value) -> Stated {
    let text = live["metadata"]["annotations"][FIELDS].as_str();
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    Stated::from_bytes(&bytes.unwrap_or_default())
}

/// What we applied last of a live object of ours, without our marks; none where the server does not record it.
pub(super) fn held(live: &Value) -> Option<Value> {
    let mut stated = stated::by(live, MANAGER)?;
    let metadata = entry(&mut stated, "metadata");
    for (field, marks) in [
        ("labels", &[MANAGED][..]),
        (
            "annotations",
            &[OBJECT, DIGEST, REVISION, DECISION, EPOCH, FIELDS][..],
        ),
    ] {
        if let Some(Value::Object(texts)) = metadata.get_mut(field) {
            texts.retain(|key, _| !marks.contains(&key.as_str()));
            if texts.is_empty() {
                metadata.remove(field);
            }
        }
    }
    Some(stated)
}

/// Whether a live object is ours, as `object`.
pub(super) fn is_ours(live: &Value, object: &ObjectKey) -> bool {
    let metadata = &live["metadata"];
    metadata["labels"][MANAGED] == "true"
        && metadata["annotations"][OBJECT]
            .as_str()
            .is_some_and(|text| text == object.to_string())
}

/// Whether `text` may be a version: it becomes a step of a path.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Moves a Secret's `stringData` to `data`, as the server does: it keeps no trace of `stringData`, so nobody could see a change to it.
fn encode_string_data(value: &mut Value) {
    let Some(Value::Object(texts)) = value
        .as_object_mut()
        .and_then(|whole| whole.remove("stringData"))
    else {
        return;
    };
    let data = entry(value, "data");
    for (key, text) in texts {
        let encoded = text.as_str().map(|text| STANDARD.encode(text));
        // What is no text is left for the server to refuse.
        data.insert(key, encoded.map_or(text, Value::from));
    }
}

fn entry<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

fn labels<'a>(metadata: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let slot = metadata.entry(field).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest that is about something else, or is nothing, is refused with the field that says so.
    #[test]
    fn a_manifest_about_something_else_is_refused() {
        let object: ObjectKey = "Deployment.apps/shop/web".parse().unwrap();
        let good = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
        let with = |pointer: &str, value: Value| {
            let mut manifest = good.clone();
            *manifest.pointer_mut(pointer).unwrap() = value;
            manifest
        };
        for (manifest, reason) in [
            (json!([]), "no apiVersion"),
            (with("/apiVersion", json!(1)), "no apiVersion"),
            (with("/apiVersion", json!("apps/v1?x")), "names no version"),
            (with("/apiVersion", json!("apps/")), "names no version"),
            (with("/apiVersion", json!("v1")), "apiVersion is \"v1\""),
            (with("/kind", json!("Secret")), "kind is \"Secret\""),
            (with("/metadata/name", json!("x")), "metadata.name is \"x\""),
            (
                with("/metadata/namespace", json!("x")),
                "metadata.namespace is \"x\"",
            ),
            (with("/metadata", json!([])), "metadata.name is \"\""),
            (
                with("/metadata", json!({"name": "web", "labels": 3})),
                "metadata.labels is no object",
            ),
        ] {
            let error = Manifest::parse(&object, &Document::from_value(&manifest))
                .err()
                .unwrap_or_default();
            assert!(error.contains(reason), "{manifest}: {error:?}");
        }
        assert!(Manifest::parse(&object, &Document::from_bytes(*b"{")).is_err());
        assert!(Manifest::parse(&object, &Document::from_value(&good)).is_ok());
    }

    /// What only the server writes is left out, and the namespace is filled in.
    #[test]
    fn what_only_the_server_writes_is_left_out() {
        let manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "status": {"a": 1},
            "metadata": {"name": "a", "managedFields": [], "resourceVersion": "1", "uid": "x", "labels": null},
        });
        let parsed = Manifest::parse(
            &"ConfigMap/shop/a".parse().unwrap(),
            &Document::from_value(&manifest),
        );
        assert_eq!(
            parsed.map(|manifest| manifest.value),
            Ok(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}})
            )
        );
    }
}
