//! Objects in the form that a client asks for: whole, metadata only, or a table.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::kind::Target;
use crate::object::Stored;
use crate::request::View;
use crate::table;
use crate::watch::Change;

/// One page of a list.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) objects: Vec<Arc<Stored>>,
    pub(crate) continue_token: Option<String>,
    /// How many objects are on the pages after this one.
    pub(crate) remaining: usize,
}

impl Page {
    /// The metadata of the list.
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = json!(token);
            metadata["remainingItemCount"] = json!(self.remaining);
        }
        metadata
    }
}

/// How objects without `apiVersion` and `kind` begin.
const NO_HEAD: &str = "{";

const METADATA_HEAD: &str =
    "{\"apiVersion\":\"meta.k8s.io/v1\",\"kind\":\"PartialObjectMetadata\",";

/// One object.
pub(crate) fn one(target: &Target, stored: &Stored, view: View, now: DateTime<Utc>) -> Vec<u8> {
    match view {
        View::Object => stored.body(&target.version().head),
        View::Metadata => metadata_only(stored),
        View::Table => table::table(
            &target.kind,
            target.version(),
            &[stored],
            json!({"resourceVersion": stored.version.to_string()}),
            now,
        )
        .to_string()
        .into_bytes(),
    }
}

/// A list of objects.
pub(crate) fn many(target: &Target, page: &Page, view: View, now: DateTime<Utc>) -> Vec<u8> {
    let version = target.version();
    let (kind, api_version) = match view {
        View::Table => {
            let objects: Vec<&Stored> = page.objects.iter().map(|stored| &**stored).collect();
            return table::table(&target.kind, version, &objects, page.metadata(), now)
                .to_string()
                .into_bytes();
        }
        View::Object => (
            format!("{}List", target.kind.kind),
            version.api_version.as_str(),
        ),
        View::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1"),
    };
    let size: usize = page
        .objects
        .iter()
        .map(|stored| stored.length_bytes() + 64)
        .sum();
    let mut body = Vec::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{},\"items\":[",
        page.metadata()
    );
    body.extend_from_slice(head.as_bytes());
    for (index, stored) in page.objects.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match view {
            // As in the real server, only custom objects say in a list what they are.
            View::Object if target.kind.origin == crate::kind::Origin::Custom => {
                stored.write(&version.head, &mut body)
            }
            View::Object | View::Table => stored.write(NO_HEAD, &mut body),
            View::Metadata => body.extend(metadata_only(stored)),
        }
    }
    body.extend_from_slice(b"]}");
    body
}

/// One line of a watch.
pub(crate) fn event(
    target: &Target,
    change: Change,
    stored: &Stored,
    view: View,
    now: DateTime<Utc>,
) -> Vec<u8> {
    let mut line = format!("{{\"type\":\"{}\",\"object\":", change.as_str()).into_bytes();
    match view {
        View::Object => stored.write(&target.version().head, &mut line),
        View::Metadata | View::Table => line.extend(one(target, stored, view, now)),
    }
    line.extend_from_slice(b"}\n");
    line
}

/// A line of a watch that only tells how far it has come.
pub(crate) fn bookmark(
    target: &Target,
    view: View,
    version: u64,
    ends_initial_events: bool,
) -> Vec<u8> {
    let (api_version, kind) = match view {
        View::Object | View::Table => (
            target.version().api_version.as_str(),
            target.kind.kind.as_str(),
        ),
        View::Metadata => ("meta.k8s.io/v1", "PartialObjectMetadata"),
    };
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if ends_initial_events {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    if view == View::Table {
        object = json!({"apiVersion": "meta.k8s.io/v1", "kind": "Table", "metadata": {"resourceVersion": version.to_string()},
            "columnDefinitions": [], "rows": [{"cells": [], "object": object}]});
    }
    let mut line = json!({"type": "BOOKMARK", "object": object})
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

/// A line of a watch that ends it with an error.
pub(crate) fn error(status: &Value) -> Vec<u8> {
    let mut line = json!({"type": "ERROR", "object": status})
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

fn metadata_only(stored: &Stored) -> Vec<u8> {
    let object = stored.read();
    let mut body = METADATA_HEAD.as_bytes().to_vec();
    body.extend_from_slice(b"\"metadata\":");
    body.extend_from_slice(object["metadata"].to_string().as_bytes());
    body.push(b'}');
    body
}
