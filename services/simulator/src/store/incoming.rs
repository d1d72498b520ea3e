//! What comes in with a write: the object in the body, and whether it is the one that the URL names.

use serde_json::Value;

use super::Moment;
use super::upkeep::remove;
use crate::apply::{SERVER_METADATA, Writer};
use crate::kind::{Kind, Origin, Target};
use crate::object::{Stored, drop_nulls, meta_text, metadata_mut};
use crate::patch;
use crate::request::{ObjectsRequest, Subresource};
use crate::status::{Failure, Invalid};

/// Why an update with an old version is a conflict.
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Who writes, for `managedFields`.
pub(super) fn writer<'a>(
    target: &'a Target,
    request: &'a ObjectsRequest,
    time: &'a str,
) -> Writer<'a> {
    Writer {
        name: &request.manager,
        api_version: &target.version().api_version,
        subresource: request.subresource.as_str(),
        time,
    }
}

/// Reads an object from a request's body, and leaves out `apiVersion` and `kind`.
pub(super) fn read_body(
    target: &Target,
    request: &ObjectsRequest,
    name: Option<&str>,
    body: &[u8],
) -> Result<Value, Failure> {
    checked(target, request, name, patch::read_value(body)?)
}

/// Checks that an object is the one that the URL names, and leaves out `apiVersion` and `kind`.
pub(super) fn checked(
    target: &Target,
    request: &ObjectsRequest,
    name: Option<&str>,
    mut object: Value,
) -> Result<Value, Failure> {
    let version = target.version();
    let Some(fields) = object.as_object_mut() else {
        return Err(Failure::bad_request(
            "the object provided is unrecognized: it must be a mapping",
        ));
    };
    let text = |value: Option<Value>| {
        value
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let (api_version, kind) = (
        text(fields.remove("apiVersion")),
        text(fields.remove("kind")),
    );
    if api_version != version.api_version || kind != target.kind.kind {
        let message = if api_version.is_empty() || kind.is_empty() {
            format!(
                "the object provided is unrecognized (must be of type {}): apiVersion and kind must be set",
                target.kind.kind
            )
        } else {
            let data = version_name(&api_version);
            if name.is_none() && kind != target.kind.kind && target.kind.origin == Origin::BuiltIn {
                // A creation reads the body as what it says it is, and finds no way from there.
                format!(
                    "{kind} in version {data:?} cannot be handled as a {0}: converting ({data}.{kind}) to (core.{0}): unknown conversion",
                    target.kind.kind
                )
            } else {
                format!(
                    "the API version in the data ({api_version}, Kind={kind}) does not match the expected API version ({}, Kind={})",
                    version.api_version, target.kind.kind
                )
            }
        };
        return Err(Failure::bad_request(message));
    }
    if object
        .get("metadata")
        .is_some_and(|metadata| !metadata.is_object() && !metadata.is_null())
    {
        return Err(Failure::bad_request(
            "the object provided is unrecognized: metadata must be a mapping",
        ));
    }
    drop_nulls(&mut object);
    let stated = meta_text(&object, "name").unwrap_or_default();
    if let Some(name) = name.filter(|name| !stated.is_empty() && *name != stated) {
        return Err(Failure::bad_request(format!(
            "the name of the object ({stated}) does not match the name on the URL ({name})"
        )));
    }
    let namespace = meta_text(&object, "namespace").unwrap_or_default();
    if !namespace.is_empty() && namespace != request.namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata_mut(&mut object);
    Ok(object)
}

/// `v1` of `apps/v1`.
fn version_name(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or(api_version)
}

pub(super) fn generated_name(prefix: &str, moment: &Moment<'_>) -> String {
    /// How many random characters the real server appends.
    const SUFFIX: usize = 5;
    let uid: String = (moment.new_uid)()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    format!("{prefix}{}", &uid[uid.len().saturating_sub(SUFFIX)..])
}

pub(super) fn preconditions_of_apply(
    kind: &Kind,
    name: &str,
    config: &Value,
    before: Option<&Stored>,
) -> Result<(), Failure> {
    let uid = meta_text(config, "uid");
    let version = meta_text(config, "resourceVersion");
    match before {
        None if uid.is_some() => {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                uid.unwrap_or_default()
            );
            Err(Failure::conflict(kind, name, &why))
        }
        // A version alone holds nothing back where there is nothing.
        None => Ok(()),
        Some(before)
            if version
                .is_some_and(|version| version != "0" && version != before.version.to_string()) =>
        {
            Err(Failure::conflict(kind, name, MODIFIED))
        }
        Some(before) if uid.is_some_and(|uid| uid != &*before.uid) => {
            // Unlike an update, an apply is read as an attempt to change the uid.
            let value = Value::from(uid.unwrap_or_default());
            let invalid = Invalid::value("metadata.uid", &value, "field is immutable");
            Err(Failure::invalid(kind, name, invalid))
        }
        Some(_) => Ok(()),
    }
}

/// Leaves in an applied configuration only what its endpoint can change.
pub(super) fn restrict(config: &mut Value, target: &Target, subresource: Subresource) {
    let Some(fields) = config.as_object_mut() else {
        return;
    };
    match subresource {
        Subresource::Main if target.version().status => {
            fields.remove("status");
        }
        Subresource::Main => {}
        Subresource::Status => fields.retain(|field, _| field == "status"),
    }
}

/// Leaves out of `metadata` what the server keeps up, and `metadata` itself if nothing is left.
pub(super) fn take_from_metadata(object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in SERVER_METADATA {
        metadata.remove(field);
    }
    if metadata.is_empty() {
        remove(object, "metadata");
    }
}
