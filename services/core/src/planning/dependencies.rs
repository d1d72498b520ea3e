//! Plain objects that need no placement of their own, since a native object among the documents takes them along.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dependencies;
use crate::dialect::native;
use crate::model::ObjectKey;

/// What the native documents that take others along name.
pub(super) fn named_by<'a>(documents: impl Iterator<Item = &'a Value>) -> BTreeSet<ObjectKey> {
    documents
        .filter(|document| {
            document["apiVersion"] == native::API_VERSION
                && document["spec"]["dependencies"] == true
        })
        .flat_map(|document| {
            let namespace = document["metadata"]["namespace"].as_str();
            dependencies::of(
                &document["spec"]["template"],
                namespace.unwrap_or("default"),
            )
        })
        .collect()
}

/// The native document for a plain object that another one takes along: nowhere by itself.
pub(super) fn wrap(plain: &Value, followed: &BTreeSet<ObjectKey>) -> Option<Value> {
    if followed.is_empty() || plain["apiVersion"] != "v1" {
        return None;
    }
    let metadata = &plain["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let (kind, name) = (plain["kind"].as_str()?, metadata["name"].as_str()?);
    let key = ObjectKey::new(kind, "", Some(namespace), name).ok()?;
    followed
        .contains(&key)
        .then(|| native::wrap(plain, &[]).ok())?
}
