//! The few rules about objects that are checked: names, sizes, and fields that never change.

use serde_json::Value;

use crate::kind::{Kind, NameRule};
use crate::status::{Failure, Invalid};

/// The largest request body that a server takes.
pub(crate) const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// The largest object that etcd takes (`--max-request-bytes`).
pub(crate) const OBJECT_LIMIT_BYTES: usize = 1_572_864;

/// The largest sum of a ConfigMap's or Secret's data.
const DATA_LIMIT_BYTES: usize = 1024 * 1024;

/// The largest sum of an object's annotations.
const ANNOTATIONS_LIMIT_BYTES: usize = 256 * 1024;

/// Fields that never change once they are set, and what the real server says then; [`SAID`] where no more stands here.
const IMMUTABLE: &[(&str, &str)] = &[
    ("deployments.apps", "spec.selector"),
    ("daemonsets.apps", "spec.selector"),
    ("replicasets.apps", "spec.selector"),
    ("statefulsets.apps", "spec.selector"),
    ("statefulsets.apps", "spec.serviceName"),
    ("statefulsets.apps", "spec.podManagementPolicy"),
    ("jobs.batch", "spec.template"),
    ("jobs.batch", "spec.selector"),
    ("jobs.batch", "spec.completionMode"),
    ("services", "spec.clusterIP"),
    ("secrets", "type"),
    ("persistentvolumeclaims", "spec.storageClassName"),
    ("persistentvolumeclaims", "spec.accessModes"),
    ("persistentvolumeclaims", "spec.volumeName"),
    ("persistentvolumeclaims", "spec.selector"),
    ("rolebindings.rbac.authorization.k8s.io", "roleRef"),
    ("clusterrolebindings.rbac.authorization.k8s.io", "roleRef"),
    ("storageclasses.storage.k8s.io", "provisioner"),
    ("storageclasses.storage.k8s.io", "parameters"),
    ("priorityclasses.scheduling.k8s.io", "value"),
];

/// What is said about most of them.
const SAID: &str = "field is immutable";

/// What is said about the others: the resource and the beginning of the path, the field that is blamed, the words.
const SAID_OTHERWISE: &[(&str, &str, &str, Words)] = &[
    (
        "services",
        "spec.clusterIP",
        "spec.clusterIPs[0]",
        Words::Value("may not change once set"),
    ),
    (
        "rolebindings.rbac.authorization.k8s.io",
        "roleRef",
        "roleRef",
        Words::Value("cannot change roleRef"),
    ),
    (
        "clusterrolebindings.rbac.authorization.k8s.io",
        "roleRef",
        "roleRef",
        Words::Value("cannot change roleRef"),
    ),
    (
        "statefulsets.apps",
        "spec.serviceName",
        "spec",
        Words::Forbidden(STATEFUL_SET),
    ),
    (
        "statefulsets.apps",
        "spec.podManagementPolicy",
        "spec",
        Words::Forbidden(STATEFUL_SET),
    ),
    (
        "statefulsets.apps",
        "spec.selector",
        "spec",
        Words::Forbidden(STATEFUL_SET),
    ),
    (
        "persistentvolumeclaims",
        "spec.",
        "spec",
        Words::Forbidden(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ),
    ),
    (
        "storageclasses.storage.k8s.io",
        "provisioner",
        "provisioner",
        Words::Forbidden("updates to provisioner are forbidden."),
    ),
    (
        "storageclasses.storage.k8s.io",
        "parameters",
        "parameters",
        Words::Forbidden("updates to parameters are forbidden."),
    ),
    (
        "priorityclasses.scheduling.k8s.io",
        "value",
        "value",
        Words::Forbidden("may not be changed in an update."),
    ),
];

const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// The form of a cause.
enum Words {
    /// `Invalid value: …: <words>`
    Value(&'static str),
    /// `Forbidden: <words>`
    Forbidden(&'static str),
}

/// Fields of [`IMMUTABLE`] that may still be set where they were not.
const MAY_BE_SET_LATER: [&str; 2] = ["spec.clusterIP", "spec.volumeName"];

/// Checks an object's own form.
pub(crate) fn object(kind: &Kind, name: &str, object: &Value) -> Result<(), Failure> {
    let refuse = |invalid| Err(Failure::invalid(kind, name, invalid));
    if let Some(why) = bad_name(kind.name_rule, name) {
        return refuse(Invalid::value("metadata.name", &Value::from(name), why));
    }
    for part in ["labels", "annotations"] {
        match object.pointer(&format!("/metadata/{part}")) {
            None => {}
            Some(Value::Object(texts)) if texts.values().all(Value::is_string) => {}
            Some(_) => {
                let message = format!(
                    "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal ObjectMeta.metadata.{part} into Go type string",
                    kind.kind, kind.versions[0].name, kind.kind
                );
                return Err(Failure::bad_request(message));
            }
        }
    }
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        if !is_label_key(key) {
            return refuse(Invalid::value(
                "metadata.labels",
                &Value::from(key.as_str()),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ));
        }
        if !is_label_value(value.as_str().unwrap_or_default()) {
            return refuse(Invalid::value(
                "metadata.labels",
                value,
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ));
        }
    }
    if texts_bytes(object.pointer("/metadata/annotations")) > ANNOTATIONS_LIMIT_BYTES {
        return refuse(Invalid::too_long(
            "metadata.annotations",
            ANNOTATIONS_LIMIT_BYTES,
        ));
    }
    if kind.is("configmaps") || kind.is("secrets") {
        let size: usize = ["/data", "/binaryData"]
            .iter()
            .map(|part| values_bytes(object.pointer(part)))
            .sum();
        // A Secret's data is base64, four characters for three bytes.
        let size = if kind.is("secrets") {
            size / 4 * 3
        } else {
            size
        };
        if size > DATA_LIMIT_BYTES {
            return refuse(Invalid::too_long("data", DATA_LIMIT_BYTES));
        }
    }
    Ok(())
}

/// Checks that a change leaves alone what never changes.
pub(crate) fn change(kind: &Kind, name: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    let refuse = |invalid| Err(Failure::invalid(kind, name, invalid));
    for (resource, path) in IMMUTABLE.iter().filter(|(resource, _)| kind.is(resource)) {
        let (before, after) = (at(old, path), at(new, path));
        let set_later = before.is_none() && MAY_BE_SET_LATER.contains(path);
        if before != after && !set_later {
            let value = after.unwrap_or(&Value::Null);
            let otherwise = SAID_OTHERWISE
                .iter()
                .find(|(of, beginning, ..)| of == resource && path.starts_with(beginning));
            return refuse(match otherwise {
                None => Invalid::value(*path, value, SAID),
                Some((_, _, field, Words::Value(words))) => Invalid::value(*field, value, words),
                Some((_, _, field, Words::Forbidden(words))) => Invalid::forbidden(*field, words),
            });
        }
    }
    if old.get("immutable") == Some(&Value::Bool(true))
        && (kind.is("configmaps") || kind.is("secrets"))
    {
        for path in ["immutable", "data", "binaryData"] {
            if at(old, path) != at(new, path) {
                return refuse(Invalid::forbidden(
                    path,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    let deleting = old.pointer("/metadata/deletionTimestamp").is_some();
    let finalizers = |object: &Value| {
        object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    if deleting
        && finalizers(new)
            .iter()
            .any(|finalizer| !finalizers(old).contains(finalizer))
    {
        return refuse(Invalid::forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted",
        ));
    }
    Ok(())
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(object, |value, step| value.get(step))
}

fn texts_bytes(texts: Option<&Value>) -> usize {
    let texts = texts.and_then(Value::as_object);
    texts
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum()
}

/// The keys of data do not count.
fn values_bytes(texts: Option<&Value>) -> usize {
    let texts = texts.and_then(Value::as_object);
    texts
        .into_iter()
        .flat_map(|texts| texts.values())
        .map(|value| value.as_str().map_or(0, str::len))
        .sum()
}

/// Why a name is not valid.
fn bad_name(rule: NameRule, name: &str) -> Option<&'static str> {
    match rule {
        NameRule::DnsSubdomain if is_dns_subdomain(name) => None,
        NameRule::DnsSubdomain => Some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        ),
        NameRule::DnsLabel if name.len() <= 63 && is_dns_label(name) => None,
        NameRule::DnsLabel => Some(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        ),
        NameRule::PathSegment if matches!(name, "" | "." | "..") => {
            Some("may not be empty, '.' or '..'")
        }
        NameRule::PathSegment if name.contains(['/', '%']) => Some("may not contain '/' or '%'"),
        NameRule::PathSegment => None,
    }
}

fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && edge(value.bytes().next())
        && edge(value.bytes().last())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::by_resource;

    /// Names follow their kind's rule.
    #[test]
    fn names() {
        let long = "a".repeat(254);
        for (rule, name, good) in [
            (NameRule::DnsSubdomain, "web.shop-1", true),
            (NameRule::DnsSubdomain, "Web", false),
            (NameRule::DnsSubdomain, "web..shop", false),
            (NameRule::DnsSubdomain, "-web", false),
            (NameRule::DnsSubdomain, &long, false),
            (NameRule::DnsLabel, "web.shop", false),
            (NameRule::DnsLabel, "web", true),
            (NameRule::PathSegment, "system:node", true),
            (NameRule::PathSegment, "a/b", false),
            (NameRule::PathSegment, "..", false),
        ] {
            assert_eq!(bad_name(rule, name).is_none(), good, "{rule:?} {name}");
        }
    }

    /// What never changes is refused, with the field to blame.
    #[test]
    fn immutable_fields() {
        let selector = |app: &str| json!({"spec": {"selector": {"matchLabels": {"app": app}}}});
        let immutable = |data: &str| json!({"immutable": true, "data": {"a": data}});
        let address =
            |ip: Option<&str>| json!({"spec": ip.map_or(json!({}), |ip| json!({"clusterIP": ip}))});
        let deleting = |finalizers: Value| json!({"metadata": {"deletionTimestamp": "now", "finalizers": finalizers}});
        for (resource, old, new, field) in [
            (
                "deployments.apps",
                selector("a"),
                selector("b"),
                Some("spec.selector"),
            ),
            ("deployments.apps", selector("a"), selector("a"), None),
            ("configmaps", immutable("1"), immutable("2"), Some("data")),
            (
                "configmaps",
                immutable("1"),
                json!({"data": {"a": "1"}}),
                Some("immutable"),
            ),
            (
                "configmaps",
                json!({"data": {"a": "1"}}),
                immutable("2"),
                None,
            ),
            ("services", address(None), address(Some("10.0.0.1")), None),
            (
                "services",
                address(Some("10.0.0.1")),
                address(Some("10.0.0.2")),
                Some("spec.clusterIPs[0]"),
            ),
            (
                "pods",
                deleting(json!(["a"])),
                deleting(json!(["a", "b"])),
                Some("metadata.finalizers"),
            ),
            (
                "pods",
                deleting(json!(["a", "b"])),
                deleting(json!(["a"])),
                None,
            ),
        ] {
            let result = change(by_resource(resource).unwrap(), "x", &old, &new);
            let blamed = result.err().map(|failure| {
                failure.details["causes"][0]["field"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            });
            assert_eq!(blamed.as_deref(), field, "{resource} {old} to {new}");
        }
    }

    /// Labels and sizes are checked.
    #[test]
    fn forms() {
        let labelled = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}});
        for (value, code) in [
            (labelled("app.kubernetes.io/name", "web_1"), None),
            (labelled("app", "not good"), Some(422)),
            (labelled("/app", "web"), Some(422)),
            (json!({"metadata": {"labels": {"a": 1}}}), Some(400)),
            (
                json!({"metadata": {"annotations": {"a": "x".repeat(ANNOTATIONS_LIMIT_BYTES)}}}),
                Some(422),
            ),
            (
                json!({"data": {"a": "x".repeat(DATA_LIMIT_BYTES + 1)}}),
                Some(422),
            ),
        ] {
            let result = object(by_resource("configmaps").unwrap(), "x", &value);
            assert_eq!(result.err().map(|failure| failure.code), code);
        }
    }
}
