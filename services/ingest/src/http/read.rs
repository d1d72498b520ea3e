//! From an HTTP request to a message for `fc.in.apply.<object>`: JSON, YAML, or a CloudEvent in either mode.

use fleetcast_core::Refusal;
use fleetcast_core::dialect::{self, Submitted, native};
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_endpoint::Caller;
use fleetcast_endpoint::axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use fleetcast_endpoint::axum::http::{HeaderMap, StatusCode};
use fleetcast_schemas::envelope::{DATACONTENTTYPE, Headers, ID, SOURCE, SPECVERSION};
use fleetcast_schemas::{Message, codec, subject};
use fleetcast_sealing::Sealing;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::cloud_event::CloudEvent;
use crate::documents;
use crate::door::{media_type, read_json};

/// The media type of a CloudEvent in structured mode.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Where a plain object goes that says nothing about clusters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Placing {
    /// The clusters' names, separated by commas.
    pub(super) clusters: Option<String>,
}

/// Reads what was posted: what it is about, and the message that hands it in.
///
/// # Errors
/// A status, and a refusal that names the field: of the document, of an event, or a header.
pub(super) fn document(
    headers: &HeaderMap,
    bytes: Vec<u8>,
    placing: &Placing,
    caller: &Caller,
    sealing: &Sealing,
) -> Result<(ObjectKey, Message), (StatusCode, Refusal)> {
    let bad = |refusal| (StatusCode::BAD_REQUEST, refusal);
    let wrong = |refusal| (StatusCode::UNPROCESSABLE_ENTITY, refusal);
    let unsupported = |field: &str, message: String| {
        let refusal = Refusal::new(field, message);
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal)
    };
    if let Some(encoding) = text(headers, CONTENT_ENCODING.as_str())
        && encoding != "identity"
    {
        return Err(unsupported(
            "content-encoding",
            format!("{encoding:?} is not read here"),
        ));
    }
    let content_type = text(headers, CONTENT_TYPE.as_str());
    let mut attributes = origin(headers, caller).map_err(bad)?;
    let read = match content_type.as_deref().map(media_type) {
        None | Some(codec::JSON | CLOUD_EVENT) => read_json(&bytes).map_err(bad)?,
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => {
            read_yaml(bytes).map_err(bad)?
        }
        Some(other) => {
            return Err(unsupported(
                "content-type",
                format!(
                    "{other:?} is not read here: application/json, application/yaml and {CLOUD_EVENT} are"
                ),
            ));
        }
    };
    let value = match CloudEvent::read(read).map_err(bad)? {
        Ok(event) => {
            attributes.set(SOURCE, event.source);
            attributes.set(ID, event.id);
            event.data
        }
        Err(document) => document,
    };
    let mut value = place(value, placing).map_err(wrong)?;
    let submitted = Submitted::read(&value).map_err(wrong)?;
    let target = submitted.key();
    if !matches!(submitted, Submitted::Cluster(_)) {
        // Before it travels: whoever reads along on the bus reads no value.
        sealing.seal(&mut value, &target).map_err(wrong)?;
    }
    attributes.set(DATACONTENTTYPE, codec::JSON);
    let payload = serde_json::to_vec(&value);
    let payload = payload.expect("a JSON value has only string keys, so it always serializes");
    let payload = codec::compress(payload, &mut attributes);
    let message = Message {
        subject: subject::apply(&target),
        headers: attributes,
        payload,
    };
    Ok((target, message))
}

/// Who hands something in, under which id: attributes of a CloudEvent in binary mode, else the token's name and an id of our own.
///
/// # Errors
/// Where the headers say that it is a CloudEvent, and it is none.
pub(super) fn origin(headers: &HeaderMap, caller: &Caller) -> Result<Headers, Refusal> {
    let is_event = headers.contains_key(SPECVERSION);
    let attribute = |name: &'static str, default: &dyn Fn() -> String| match text(headers, name) {
        Some(value) if !value.is_empty() => Ok(decoded(&value)),
        _ if is_event => Err(Refusal::new(name, "is required of a CloudEvent")),
        _ => Ok(default()),
    };
    Ok(Headers::default()
        .with(
            SOURCE,
            attribute(SOURCE, &|| format!("fleetcast/http/{}", caller.name))?,
        )
        .with(ID, attribute(ID, &|| Uuid::now_v7().to_string())?))
}

/// A header's value as text; bytes that are none are replaced.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// An attribute in a header is percent-encoded (CloudEvents HTTP binding 1.0, section 3.1.3.2).
fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

fn read_yaml(bytes: Vec<u8>) -> Result<Value, Refusal> {
    let text = String::from_utf8(bytes).map_err(|_| Refusal::new("", "is no text in UTF-8"))?;
    let mut read = documents::read(&text);
    match (read.pop(), read.is_empty()) {
        (Some((_, document)), true) => document,
        (None, _) => Err(Refusal::new("", "there is no document in it")),
        (Some(_), false) => Err(Refusal::new(
            "",
            "there is more than one document in it: hand in one at a time",
        )),
    }
}

/// A plain object in a document that places it, where clusters are named.
fn place(value: Value, placing: &Placing) -> Result<Value, Refusal> {
    let Some(clusters) = placing
        .clusters
        .as_deref()
        .filter(|names| !names.is_empty())
    else {
        return Ok(value);
    };
    let named: Result<Vec<ClusterName>, Refusal> = clusters
        .split(',')
        .map(|name| {
            ClusterName::parse(name.trim())
                .map_err(|refusal| Refusal::new("clusters", refusal.message))
        })
        .collect();
    let api_version = value.get("apiVersion").and_then(Value::as_str);
    if api_version.is_some_and(dialect::is_plain) {
        native::wrap(&value, &named?)
    } else {
        Err(Refusal::new(
            "clusters",
            "says where plain objects go; this document says so itself",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleetcast_endpoint::axum::http::{HeaderName, HeaderValue};
    use fleetcast_schemas::role::Role;
    use fleetcast_schemas::role::limits::Limits;
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn read(
        pairs: &[(&'static str, &'static str)],
        body: &str,
        clusters: Option<&str>,
    ) -> Result<(ObjectKey, Message), (StatusCode, Refusal)> {
        let caller = Caller {
            name: "ci".to_owned(),
            role: Role::Publisher,
            limits: Limits::default(),
        };
        let placing = Placing {
            clusters: clusters.map(str::to_owned),
        };
        let (headers, body) = (headers(pairs), body.as_bytes().to_vec());
        document(&headers, body, &placing, &caller, &Sealing::Plain)
    }

    const SECRET: &str = r#"{"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"template": {"apiVersion": "v1", "kind": "Secret"}, "placement": {"clusters": ["eu"]}}}"#;
    const PLAIN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\n";

    #[test]
    fn a_document_is_handed_in_for_its_own_target() {
        let yaml = [("content-type", "application/yaml")];
        for (pairs, body, clusters, subject) in [
            (&[][..], SECRET, None, "fc.in.apply.Secret._.shop.db"),
            (
                &[("content-type", "application/json; charset=utf-8")],
                SECRET,
                None,
                "fc.in.apply.Secret._.shop.db",
            ),
            (&yaml, PLAIN, None, "fc.in.apply.ConfigMap._.shop.web"),
            (
                &yaml,
                PLAIN,
                Some("eu-1,us-1"),
                "fc.in.apply.ConfigMap._.shop.web",
            ),
        ] {
            let (_, message) = read(pairs, body, clusters).expect(body);
            assert_eq!(message.subject, subject);
            assert_eq!(message.headers.get(SOURCE), Some("fleetcast/http/ci"));
        }
    }

    #[test]
    fn a_cloud_event_brings_its_own_source_and_id_in_either_mode() {
        let binary = [
            ("ce-specversion", "1.0"),
            ("ce-source", "/shop%20floor"),
            ("ce-id", "e1"),
            ("content-type", "application/json"),
        ];
        let data: Value = serde_json::from_str(SECRET).expect("JSON");
        let event = json!({"specversion": "1.0", "type": "t", "source": "/shop floor", "id": "e1", "data": data});
        let structured = [("content-type", CLOUD_EVENT)];
        for (pairs, body) in [(&binary[..], SECRET), (&structured, &event.to_string())] {
            let (_, message) = read(pairs, body, None).expect("valid");
            assert_eq!(message.headers.get(SOURCE), Some("/shop floor"));
            assert_eq!(message.headers.get(ID), Some("e1"));
            let bytes = codec::decompress(&message.payload, &message.headers, codec::BODY_LIMIT);
            let handed: Value = serde_json::from_slice(&bytes.expect("readable")).expect("JSON");
            assert_eq!(handed, data);
        }
    }

    #[test]
    fn what_cannot_be_handed_in_is_refused_with_status_and_field() {
        let yaml = ("content-type", "application/yaml");
        for (pairs, body, clusters, status, field) in [
            (&[][..], "{", None, 400, ""),
            (&[], "[]", None, 422, ""),
            (&[], r#"{"kind": "Pod"}"#, None, 422, "apiVersion"),
            (
                &[],
                r#"{"specversion": "1.0", "type": "t"}"#,
                None,
                400,
                "source",
            ),
            (
                &[("ce-specversion", "1.0"), ("ce-id", "1")],
                SECRET,
                None,
                400,
                "ce-source",
            ),
            (&[yaml], "a: [", None, 400, ""),
            (&[yaml], "a: 1\n---\nb: 2\n", None, 400, ""),
            (&[yaml], "", None, 400, ""),
            (
                &[("content-type", "application/x-www-form-urlencoded")],
                "a=b",
                None,
                415,
                "content-type",
            ),
            (
                &[("content-encoding", "gzip")],
                SECRET,
                None,
                415,
                "content-encoding",
            ),
            (&[yaml], PLAIN, Some("eu 1"), 422, "clusters"),
            (&[], SECRET, Some("eu-1"), 422, "clusters"),
        ] {
            let (found, refusal) = read(pairs, body, clusters).expect_err(body);
            assert_eq!(
                (found.as_u16(), refusal.field.as_str()),
                (status, field),
                "{body}: {refusal}"
            );
        }
    }
}
