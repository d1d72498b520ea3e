//! Fields that are left as they are on an object that exists.
//!
//! Leaving such a field out of what is applied is right only where somebody else owns it: the server removes a field that its only owner
//! no longer states. So a field that we own is stated as it stands, and one that we do not own is left out.

use serde_json::Value;

use super::MANAGER;

/// Makes `manifest` leave the fields at `pointers` as they are in `live`; a pointer that leads nowhere changes nothing.
pub(super) fn leave(manifest: &mut Value, live: &Value, pointers: &[String]) {
    for pointer in pointers {
        let Some(steps) = steps(pointer) else {
            continue;
        };
        let as_it_stands = is_owned(live, &steps)
            .then(|| find(live, manifest, &steps))
            .flatten()
            .cloned();
        put(manifest, &steps, as_it_stands);
    }
}

fn steps(pointer: &str) -> Option<Vec<String>> {
    let steps = pointer.strip_prefix('/')?.split('/');
    Some(
        steps
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

/// What `live` has at `steps`; an item of a list is found by the name that `manifest`'s item has, else by its place.
fn find<'a>(live: &'a Value, manifest: &Value, steps: &[String]) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(live);
    };
    let (wanted, live) = match live {
        Value::Array(items) => {
            let index: usize = step.parse().ok()?;
            let wanted = manifest.get(index).unwrap_or(&Value::Null);
            let live = match wanted.get("name") {
                Some(name) => items.iter().find(|item| item.get("name") == Some(name))?,
                None => items.get(index)?,
            };
            (wanted, live)
        }
        live => (
            manifest.get(step).unwrap_or(&Value::Null),
            live.get(step.as_str())?,
        ),
    };
    find(live, wanted, rest)
}

/// Sets what `manifest` has at `steps`, or takes it away; it is never made where it is not.
fn put(manifest: &mut Value, steps: &[String], value: Option<Value>) {
    let Some((last, above)) = steps.split_last() else {
        return;
    };
    let parent = above.iter().try_fold(manifest, |value, step| match value {
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        value => value.get_mut(step.as_str()),
    });
    match (parent, value) {
        (Some(Value::Object(fields)), Some(value)) if fields.contains_key(last) => {
            fields.insert(last.clone(), value);
        }
        (Some(Value::Object(fields)), None) => drop(fields.remove(last)),
        (Some(Value::Array(items)), value) => {
            if let Ok(index) = last.parse::<usize>()
                && index < items.len()
            {
                match value {
                    Some(value) => items[index] = value,
                    None => drop(items.remove(index)),
                }
            }
        }
        _ => {}
    }
}

/// Whether an earlier apply of ours states the field. Items of lists are not told apart: who states the list states its items.
fn is_owned(live: &Value, steps: &[String]) -> bool {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        entry["manager"] == MANAGER && entry["operation"] == "Apply" && {
            let mut fields = &entry["fieldsV1"];
            steps.iter().all(|step| {
                if step.parse::<usize>().is_ok() {
                    return true;
                }
                match fields.get(format!("f:{step}")) {
                    Some(below) => {
                        fields = below;
                        true
                    }
                    // Below a list's items, which are named by keys, or below a field that is owned as one.
                    None => fields
                        .as_object()
                        .is_some_and(|fields| fields.keys().all(|key| !key.starts_with("f:"))),
                }
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_stated_as_it_stands_where_it_is_ours_and_left_out_where_it_is_not() {
        let live = |fields: Value| {
            json!({
                "metadata": {"managedFields": [{"manager": "fleetcast", "operation": "Apply", "fieldsV1": fields}]},
                "spec": {"replicas": 7, "containers": [{"name": "side", "image": "s"}, {"name": "web", "image": "new"}]},
            })
        };
        let ours = live(
            json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}}),
        );
        let theirs = live(json!({"f:spec": {"f:paused": {}}}));
        let manifest =
            json!({"spec": {"replicas": 3, "containers": [{"name": "web", "image": "old"}]}});
        let image = "/spec/containers/0/image";
        for (live, pointer, expected) in [
            (
                &ours,
                "/spec/replicas",
                json!({"spec": {"replicas": 7, "containers": [{"name": "web", "image": "old"}]}}),
            ),
            (
                &theirs,
                "/spec/replicas",
                json!({"spec": {"containers": [{"name": "web", "image": "old"}]}}),
            ),
            (
                &ours,
                image,
                json!({"spec": {"replicas": 3, "containers": [{"name": "web", "image": "new"}]}}),
            ),
            (
                &theirs,
                image,
                json!({"spec": {"replicas": 3, "containers": [{"name": "web"}]}}),
            ),
            (&ours, "/spec/nothing", manifest.clone()),
            (&ours, "/a/b/c", manifest.clone()),
            (&ours, "/spec/containers/9/image", manifest.clone()),
            (&ours, "spec", manifest.clone()),
        ] {
            let mut left = manifest.clone();
            leave(&mut left, live, &[pointer.to_owned()]);
            assert_eq!(left, expected, "{pointer}");
        }
    }
}
