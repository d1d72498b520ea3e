//! Copies that the controller before us left: known by its label, released by one patch, and ours with the apply that follows.
//!
//! KubeFed and Karmada write whole objects with updates, so the server counts them among the owners of every field that they set. Were that left so, a field that
//! a later revision no longer states would stay for ever, since somebody else owns it, too. Therefore their fields become nobody's, and their marks (labels and
//! annotations of their domain) become ours, so that our apply, which does not state them, takes them away: without them neither of the two deletes the copy.
//!
//! Nothing else changes: no field of the object is written, and what only the copy has stays.

use fleetcast_core::model::federated::Predecessor;
use serde_json::{Map, Value, json};

use super::MANAGER;

/// What the controller before us says of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It kept it.
    Kept,
    /// It is told to leave it alone, and so are we: why.
    KeptAway(String),
}

/// What `before` says of `live`; none where it says nothing.
pub(super) fn left(live: &Value, before: Predecessor) -> Option<Left> {
    let label = before.label();
    match (before, live["metadata"]["labels"][label].as_str()?) {
        (_, "true") => Some(Left::Kept),
        // KubeFed refuses to adopt such an object (its status ManagedLabelFalse).
        (Predecessor::Kubefed, "false") => Some(Left::KeptAway(format!(
            "its label {label} is \"false\": it is not to be managed; take the label away to have it taken over"
        ))),
        _ => None,
    }
}

/// The merge patch that releases `live`, over the state that it is in; none where that is done. `manifest` is what will be applied.
pub(super) fn release(live: &Value, manifest: &Value, before: Predecessor) -> Option<Value> {
    let entries = live["metadata"]["managedFields"].as_array();
    let entries: Vec<&Value> = entries.into_iter().flatten().collect();
    // Whatever program set the label is the controller, under whatever name it runs.
    let sets_label = |entry: &Value| {
        let labels = &entry["fieldsV1"]["f:metadata"]["f:labels"];
        labels.get(format!("f:{}", before.label())).is_some() && !is_ours(entry)
    };
    let controllers: Vec<&Value> = entries
        .iter()
        .filter(|entry| sets_label(entry))
        .map(|entry| &entry["manager"])
        .collect();
    let is_theirs = |entry: &Value| {
        controllers.contains(&&entry["manager"])
            && entry["subresource"].as_str().is_none_or(str::is_empty)
    };
    let mut ours = entries
        .iter()
        .find(|entry| is_ours(entry))
        .map_or_else(new_entry(live), |entry| (*entry).clone());
    let mut is_done = !entries.iter().any(|entry| is_theirs(entry));
    for field in ["labels", "annotations"] {
        let stated = &manifest["metadata"][field];
        let marks = live["metadata"][field].as_object().into_iter().flatten();
        for (mark, _) in marks.filter(|(key, _)| before.owns(key) && stated.get(key).is_none()) {
            let fields = entry(&mut ours["fieldsV1"], "f:metadata");
            let fields = entry_of(fields, &format!("f:{field}"));
            is_done &= fields.insert(format!("f:{mark}"), json!({})).is_some();
        }
    }
    if is_done {
        return None;
    }
    let kept = entries
        .into_iter()
        .filter(|entry| !is_theirs(entry) && !is_ours(entry))
        .cloned();
    let managers: Vec<Value> = kept.chain([ours]).collect();
    Some(json!({"metadata": {
        "resourceVersion": live["metadata"]["resourceVersion"], "managedFields": managers,
    }}))
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == MANAGER
        && entry["operation"] == "Apply"
        && entry["subresource"].as_str().is_none_or(str::is_empty)
}

fn new_entry(live: &Value) -> impl Fn() -> Value {
    move || {
        json!({
            "manager": MANAGER, "operation": "Apply", "apiVersion": live["apiVersion"],
            "fieldsType": "FieldsV1", "fieldsV1": {},
        })
    }
}

fn entry<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

fn entry_of<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(field).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_by_karmada() -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "web", "karmada.io/managed": "true", "propagationpolicy.karmada.io/permanent-id": "p"},
                "annotations": {"work.karmada.io/name": "w", "notkarmada.io/x": "stays"},
                "managedFields": [
                    {"manager": "karmada-agent", "operation": "Update", "apiVersion": "v1", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:karmada.io/managed": {}, "f:app": {}}}, "f:data": {"f:a": {}}}},
                    {"manager": "karmada-agent", "operation": "Update", "apiVersion": "v1", "subresource": "status", "fieldsV1": {"f:status": {}}},
                    {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}}}},
                ],
            },
            "data": {"a": "1", "b": "2"},
        })
    }

    #[test]
    fn what_it_owned_is_nobodys_and_its_marks_are_ours_to_take_away() {
        let live = left_by_karmada();
        assert_eq!(left(&live, Predecessor::Karmada), Some(Left::Kept));
        assert_eq!(left(&live, Predecessor::Kubefed), None);
        // The manifest states one of the marks: it stays.
        let manifest = json!({"metadata": {"labels": {"app": "web", "propagationpolicy.karmada.io/permanent-id": "p"}}, "data": {"a": "1"}});
        let patch = release(&live, &manifest, Predecessor::Karmada).expect("to be released");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let managers = patch["metadata"]["managedFields"].as_array().unwrap();
        let told: Vec<(&Value, &Value)> = managers
            .iter()
            .map(|entry| (&entry["manager"], &entry["fieldsV1"]))
            .collect();
        let marks = json!({"f:metadata": {"f:labels": {"f:karmada.io/managed": {}}, "f:annotations": {"f:work.karmada.io/name": {}}}});
        assert_eq!(
            told,
            [
                (&json!("karmada-agent"), &json!({"f:status": {}})),
                (&json!("kubectl-edit"), &json!({"f:data": {"f:b": {}}})),
                (&json!("fleetcast"), &marks),
            ]
        );
        let mut after = live;
        after["metadata"]["managedFields"] = patch["metadata"]["managedFields"].clone();
        assert_eq!(release(&after, &manifest, Predecessor::Karmada), None);
    }

    #[test]
    fn a_label_that_nobody_owns_goes_as_well() {
        let mut live = left_by_karmada();
        live["metadata"]["managedFields"] = json!([]);
        let patch = release(&live, &json!({}), Predecessor::Karmada).expect("to be released");
        let managers = patch["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(managers.len(), 1);
        assert_eq!(managers[0]["manager"], "fleetcast");
    }

    #[test]
    fn kubefeds_no_is_a_no() {
        let live = json!({"metadata": {"labels": {"kubefed.io/managed": "false"}}});
        assert!(matches!(
            left(&live, Predecessor::Kubefed),
            Some(Left::KeptAway(_))
        ));
    }
}
